//! An explanation as plain text for a terminal.

use std::fmt::Write as _;

use checker::history::formats::Clock;

use super::{Actor, Explanation, time};

/// The explanation as lines of plain text. Ends with a newline.
pub fn text(explanation: &Explanation) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{}: {}", explanation.property, explanation.sentence);
    if explanation.left_out > 0 {
        let _ = writeln!(
            text,
            "  the last {} of {} operations:",
            explanation.actors.len(),
            explanation.actors.len() + explanation.left_out
        );
    }
    for line in explanation.sketch.text().lines() {
        let _ = writeln!(text, "    {line}");
    }
    put_actors(&mut text, explanation);
    put_cycle(&mut text, explanation);
    for point in &explanation.points {
        let _ = writeln!(text, "  {}:", point.heading);
        for line in &point.lines {
            let _ = writeln!(text, "    - {line}");
        }
    }
    text
}

fn put_actors(text: &mut String, explanation: &Explanation) {
    let rows: Vec<[String; 3]> = explanation
        .actors
        .iter()
        .map(|actor| [actor.letter.clone(), actor.who.clone(), when(actor, explanation.clock)])
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    for (row, actor) in rows.iter().zip(&explanation.actors) {
        let _ = writeln!(
            text,
            "    {:<a$}  {:<b$}  {:<c$}  {}",
            row[0],
            row[1],
            row[2],
            actor.what,
            a = widths[0],
            b = widths[1],
            c = widths[2]
        );
    }
}

fn put_cycle(text: &mut String, explanation: &Explanation) {
    let Some(first) = explanation.cycle.first() else { return };
    let mut line = first.from.clone();
    for arrow in &explanation.cycle {
        let _ = write!(line, " --{}--> {}", arrow.kind, arrow.to);
    }
    let _ = writeln!(text, "  The circle:\n    {line}");
    for arrow in &explanation.cycle {
        let _ = writeln!(text, "    {} before {} ({}): {}", arrow.from, arrow.to, arrow.kind, arrow.why);
    }
}

/// When an operation was, with its lines where they are known.
pub fn when(actor: &Actor, clock: Clock) -> String {
    if actor.who == "initially" {
        return String::new();
    }
    let short = |at: u64| match clock {
        Clock::Lines => at.to_string(),
        Clock::Nanoseconds => time(at, clock).trim_end_matches(" ms").to_owned(),
    };
    let span = match actor.end {
        Some(end) if end == actor.start => short(end),
        Some(end) => format!("{} .. {}", short(actor.start), short(end)),
        None => format!("{} .. open", short(actor.start)),
    };
    match (clock, actor.lines) {
        (Clock::Lines, _) => format!("lines {span}"),
        (Clock::Nanoseconds, Some((begun, ended))) => {
            let ended = ended.map_or_else(|| "-".to_owned(), |line| line.to_string());
            format!("{span} ms (lines {begun}, {ended})")
        }
        (Clock::Nanoseconds, None) => format!("{span} ms"),
    }
}

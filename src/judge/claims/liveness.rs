//! Progress within a bound, and its absence for one.
//!
//! What counts is the time during which clients *ask*: from the moment on at which a call of the kind is made or still
//! open, until one of that kind is answered. A pause in which nobody asks is no outage; a stretch goes on over the gap
//! between two attempts only if that is at most a quarter of the bound. Deliberately absent: rates; a single answer ends
//! a stretch.

use checker::history::{Op, Operation};
use checker::trace::{Role, What};
use checker::verdict::{Evidence, Verdict};

use super::super::evidence::Recorded;
use super::{Window, holds, seconds, violated};
use crate::suite::{Liveness, Progress, duration_text};

/// Time in which clients asked without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    from: u64,
    to: u64,
    /// Calls made in it, or open at its start.
    asked: u64,
    /// Whether an answer ended it.
    answered: bool,
}

impl Stretch {
    fn length(self) -> u64 {
        self.to - self.from
    }
}

/// Whether progress was never missing for longer than the bound.
pub(super) fn live(claim: &Liveness, window: Window, recorded: &Recorded) -> Result<Verdict, String> {
    if claim.of == Progress::Elections {
        return elected_within(claim, window, recorded);
    }
    let stretches = asked(claim, window, recorded)?;
    let answers = stretches.iter().filter(|stretch| stretch.answered).count() as u64;
    let what = claim.of.name();
    let Some(longest) = longest(&stretches) else {
        return Err(format!("no client asked for {what} in the {} that count", seconds(window.length())));
    };
    if longest.length() > claim.bound_ns {
        let bound = duration_text(claim.bound_ns);
        let summary = format!(
            "no {what} were acknowledged for {}, and the bound is {bound}",
            seconds(longest.length())
        );
        return Ok(violated(summary, vec![shown(longest)]));
    }
    if answers == 0 {
        let reason = format!(
            "no {what} were acknowledged, and they were tried for {} only: less than the bound of {}",
            seconds(longest.length()),
            duration_text(claim.bound_ns)
        );
        return Err(reason);
    }
    Ok(holds(
        answers,
        format!("acknowledged {what}, never longer than {} without one", seconds(longest.length())),
    ))
}

/// Whether progress was missing for at least the bound.
pub(super) fn stalls(claim: &Liveness, window: Window, recorded: &Recorded) -> Result<Verdict, String> {
    if claim.of == Progress::Elections {
        return nobody_elected(claim, window, recorded);
    }
    let stretches = asked(claim, window, recorded)?;
    let what = claim.of.name();
    let bound = duration_text(claim.bound_ns);
    let Some(longest) = longest(&stretches) else {
        return Err(format!("no client asked for {what} in the {} that count", seconds(window.length())));
    };
    if longest.length() >= claim.bound_ns {
        let unit = format!(
            "attempts at {what} without an answer, for {} from {} on",
            seconds(longest.length()),
            seconds(longest.from)
        );
        return Ok(holds(longest.asked, unit));
    }
    if !longest.answered && stretches.iter().all(|stretch| !stretch.answered) {
        let reason = format!(
            "{what} were tried for {} only, less than the bound of {bound}",
            seconds(longest.length())
        );
        return Err(reason);
    }
    let summary = format!(
        "{what} were acknowledged: the longest time without was {}, and {bound} are claimed",
        seconds(longest.length())
    );
    Ok(violated(summary, vec![shown(longest)]))
}

fn longest(stretches: &[Stretch]) -> Option<Stretch> {
    stretches.iter().copied().max_by_key(|stretch| stretch.length())
}

fn shown(stretch: Stretch) -> Evidence {
    let end = if stretch.answered { "then an acknowledgement" } else { "and no acknowledgement" };
    Evidence {
        start: stretch.from,
        end: Some(stretch.to),
        who: "all clients".to_owned(),
        what: format!("{} attempts, {end}", stretch.asked),
    }
}

fn asked(claim: &Liveness, window: Window, recorded: &Recorded) -> Result<Vec<Stretch>, String> {
    let operations = recorded.history.operations().map_err(|malformed| malformed.to_string())?;
    let wanted = |op: &Op| op.is_read() == (claim.of == Progress::Reads);
    let operations: Vec<Operation<'_>> = operations.into_iter().filter(|one| wanted(one.op)).collect();
    Ok(stretches(&operations, window, claim.bound_ns / 4))
}

/// What a point in time means to somebody who waits for an answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Point {
    Asked,
    Answered,
    GivenUp,
}

/// The stretches of the window, in order. `pause` is the longest gap between two attempts within one.
fn stretches(operations: &[Operation<'_>], window: Window, pause: u64) -> Vec<Stretch> {
    let mut sweep = Sweep { window, pause, open: 0, current: None, idle_since: None, found: Vec::new() };
    let mut points: Vec<(u64, Point)> = Vec::new();
    for operation in operations {
        points.push((operation.invoked.time, Point::Asked));
        if let Some(completed) = operation.completed {
            let point = if operation.reply().is_some() { Point::Answered } else { Point::GivenUp };
            points.push((completed.time, point));
        }
    }
    points.sort_unstable();
    let begin = points.partition_point(|(time, _)| *time < window.from);
    for (_, point) in &points[..begin] {
        sweep.open = if *point == Point::Asked { sweep.open + 1 } else { sweep.open.saturating_sub(1) };
    }
    if sweep.open > 0 {
        sweep.current = Some((window.from, sweep.open));
    }
    for (time, point) in points[begin..].iter().take_while(|(time, _)| *time <= window.to) {
        sweep.at(*time, *point);
    }
    sweep.end();
    sweep.found
}

struct Sweep {
    window: Window,
    pause: u64,
    open: u64,
    /// When the present stretch began, and how often was asked in it.
    current: Option<(u64, u64)>,
    /// Since when no attempt is open, in a stretch.
    idle_since: Option<u64>,
    found: Vec<Stretch>,
}

impl Sweep {
    fn at(&mut self, time: u64, point: Point) {
        if let Some(since) = self.idle_since.filter(|since| time - since > self.pause) {
            self.close(since, false);
        }
        match point {
            Point::Asked => {
                self.open += 1;
                self.idle_since = None;
                let (_, asked) = self.current.get_or_insert((time, 0));
                *asked += 1;
            }
            Point::Answered => {
                self.open = self.open.saturating_sub(1);
                self.close(time, true);
                if self.open > 0 {
                    self.current = Some((time, self.open));
                }
            }
            Point::GivenUp => {
                self.open = self.open.saturating_sub(1);
                if self.open == 0 && self.current.is_some() {
                    self.idle_since = Some(time);
                }
            }
        }
    }

    fn close(&mut self, to: u64, answered: bool) {
        self.idle_since = None;
        if let Some((from, asked)) = self.current.take() {
            self.found.push(Stretch { from, to, asked, answered });
        }
    }

    fn end(&mut self) {
        let end = self.window.to;
        let to = self.idle_since.filter(|since| end - since > self.pause).unwrap_or(end);
        self.close(to, false);
    }
}

/// The first election of the window, as time and description.
fn first_election(window: Window, recorded: &Recorded) -> Result<Option<(u64, String)>, String> {
    let trace = &recorded.trace;
    if trace.events.is_empty() {
        return Err("there is no trace of any node".to_owned());
    }
    let elected = trace
        .events
        .iter()
        .find(|event| window.holds(event.time) && matches!(event.what, What::Role(Role::Leader, _)));
    Ok(elected.map(|event| (event.time, format!("{} leads term {}", trace.name(event.node), event.term))))
}

fn elected_within(claim: &Liveness, window: Window, recorded: &Recorded) -> Result<Verdict, String> {
    let bound = duration_text(claim.bound_ns);
    match first_election(window, recorded)? {
        Some((at, what)) if at - window.from <= claim.bound_ns => {
            Ok(holds(1, format!("election, {} after the begin: {what}", seconds(at - window.from))))
        }
        _ if window.length() < claim.bound_ns => Err(format!(
            "no node was elected in {}, less than the bound of {bound}",
            seconds(window.length())
        )),
        found => {
            if found.is_none()
                && let Some(damage) = &recorded.trace_damage
            {
                return Err(damage.clone());
            }
            let end = found.as_ref().map_or(window.to, |(at, _)| *at);
            let what = found.map_or_else(|| "no node is elected".to_owned(), |(_, what)| what);
            let evidence = Evidence { start: window.from, end: Some(end), who: "all nodes".to_owned(), what };
            Ok(violated(format!("no node was elected within {bound}"), vec![evidence]))
        }
    }
}

fn nobody_elected(claim: &Liveness, window: Window, recorded: &Recorded) -> Result<Verdict, String> {
    let bound = duration_text(claim.bound_ns);
    match first_election(window, recorded)? {
        Some((at, what)) if at - window.from < claim.bound_ns => {
            let evidence = Evidence { start: at, end: Some(at), who: "trace".to_owned(), what };
            let summary = format!("a node was elected after {}, within {bound}", seconds(at - window.from));
            Ok(violated(summary, vec![evidence]))
        }
        _ if window.length() < claim.bound_ns => {
            Err(format!("the {} that count are less than the bound of {bound}", seconds(window.length())))
        }
        _ => match &recorded.trace_damage {
            Some(damage) => Err(damage.clone()),
            None => Ok(holds(0, format!("elections in {bound}"))),
        },
    }
}

#[cfg(test)]
mod tests {
    use checker::history::{Event, EventBody, History, Key, Outcome, ProcessId, Reply, Value};
    use checker::trace::TraceBuilder;

    use super::*;
    use crate::suite::Part;

    const MS: u64 = 1_000_000;
    const WINDOW: Window = Window { from: 1000 * MS, to: 5000 * MS };

    /// Writes, each with its begin and end in milliseconds: `+` answered, `-` refused, `?` unknown.
    fn writes(calls: &[(u64, u64, char)]) -> Recorded {
        let mut events = Vec::new();
        for (process, &(begin, end, how)) in calls.iter().enumerate() {
            let event =
                |at: u64, body| Event { time: at * MS, process: ProcessId(process as u64), node: None, body };
            let op = Op::Write { key: Key::new("a"), value: Value::Int(process as i64) };
            let outcome = match how {
                '+' => Outcome::Ok(Reply::Done),
                '-' => Outcome::Failed("no leader".to_owned()),
                _ => Outcome::Unknown("timeout".to_owned()),
            };
            events.push(event(begin, EventBody::Invoke(op)));
            events.push(event(end, EventBody::Complete(outcome)));
        }
        events.sort_by_key(|event| event.time);
        Recorded { history: History { events }, ..Recorded::default() }
    }

    fn claim(of: Progress, bound_ms: u64) -> Liveness {
        Liveness { of, bound_ns: bound_ms * MS, part: Part::default() }
    }

    /// `+` holds, `-` violated, `?` inconclusive: live, then stalls.
    fn both(recorded: &Recorded, of: Progress, bound_ms: u64) -> String {
        let mark = |verdict: Result<Verdict, String>| match verdict {
            Ok(Verdict::Holds(_)) => '+',
            Ok(Verdict::Violated(_)) => '-',
            Ok(Verdict::Inconclusive(_)) | Err(_) => '?',
        };
        let claim = claim(of, bound_ms);
        [mark(live(&claim, WINDOW, recorded)), mark(stalls(&claim, WINDOW, recorded))].iter().collect()
    }

    #[test]
    fn a_write_that_waits_is_an_outage_and_silence_is_none() {
        let served = writes(&[(1100, 1110, '+'), (2000, 2020, '+'), (4900, 4910, '+')]);
        assert_eq!(both(&served, Progress::Writes, 1000), "+-");
        let waits = writes(&[(1100, 1110, '+'), (2000, 4000, '+')]);
        assert_eq!(both(&waits, Progress::Writes, 1000), "-+");
        assert_eq!(both(&waits, Progress::Writes, 2500), "+-");
        assert_eq!(both(&waits, Progress::Reads, 1000), "??");
    }

    #[test]
    fn attempts_that_are_given_up_go_on_in_the_next_one() {
        let tried = writes(&[(1100, 1600, '?'), (1700, 2200, '-'), (2300, 2800, '?')]);
        assert_eq!(both(&tried, Progress::Writes, 1500), "-+");
        // Two attempts with a second between them: nobody knows what came in between.
        let apart = writes(&[(1100, 1200, '?'), (2300, 2400, '?'), (3500, 3510, '-')]);
        assert_eq!(both(&apart, Progress::Writes, 1500), "??");
    }

    #[test]
    fn what_was_asked_before_the_window_counts_from_its_begin() {
        let before = writes(&[(500, 3000, '+'), (3100, 3110, '+')]);
        assert_eq!(both(&before, Progress::Writes, 1900), "-+");
        assert_eq!(both(&before, Progress::Writes, 2100), "+-");
        // An answer after the window does not help within it.
        let after = writes(&[(1500, 6000, '+')]);
        assert_eq!(both(&after, Progress::Writes, 3000), "-+");
    }

    #[test]
    fn too_short_a_time_decides_nothing() {
        let short = writes(&[(1100, 1200, '?')]);
        assert_eq!(both(&short, Progress::Writes, 2000), "??");
        assert_eq!(both(&Recorded::default(), Progress::Writes, 2000), "??");
    }

    #[test]
    fn elections_are_read_from_the_traces() {
        let traced = |lines: &[&str]| {
            let mut builder = TraceBuilder::new(0);
            builder.read("n1", lines).unwrap();
            Recorded { trace: builder.finish(), ..Recorded::default() }
        };
        let boot = r#"{"t":1,"n":"n1","term":0,"ev":"boot","boot":1}"#;
        let early = r#"{"t":900000000,"n":"n1","term":1,"ev":"role","role":"leader"}"#;
        let late = r#"{"t":3000000000,"n":"n1","term":2,"ev":"role","role":"leader"}"#;
        assert_eq!(both(&traced(&[boot, early]), Progress::Elections, 1000), "-+");
        assert_eq!(both(&traced(&[boot, early, late]), Progress::Elections, 1000), "-+");
        assert_eq!(both(&traced(&[boot, early, late]), Progress::Elections, 2500), "+-");
        assert_eq!(both(&traced(&[boot]), Progress::Elections, 9000), "??");
        assert_eq!(both(&Recorded::default(), Progress::Elections, 1000), "??");
        let damaged = Recorded { trace_damage: Some("cut".to_owned()), ..traced(&[boot, early]) };
        assert_eq!(both(&damaged, Progress::Elections, 1000), "??");
    }
}

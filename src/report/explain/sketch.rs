//! A counterexample as bars: a row for each process or node, the ends of the bars in their order and not to scale.
//!
//! Invariant: one bar lies wholly left of another exactly if its operation ended before the other began.

use super::Actor;

/// The bars of a counterexample.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sketch {
    /// The names of the rows.
    pub rows: Vec<String>,
    /// A bar for each of the last actors, in their order.
    pub bars: Vec<Bar>,
    /// How many columns there are.
    pub columns: usize,
    /// Earlier actors, which have no bar.
    pub skipped: usize,
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Its name.
    pub letter: String,
    /// Its row.
    pub row: usize,
    /// The column in which it begins.
    pub from: usize,
    /// The column in which it ends; `None` if it is open, the same as `from` for an instant.
    pub to: Option<usize>,
}

/// A process has one row, whichever node it talks to.
fn row(actor: &Actor) -> &str {
    actor.who.split_once(" via ").map_or(actor.who.as_str(), |(process, _)| process)
}

/// The most bars that a reader can tell apart.
const BARS: usize = 12;
/// The widest text.
const WIDTH: usize = 96;

impl Sketch {
    /// The sketch of these operations.
    pub(super) fn of(actors: &[Actor]) -> Self {
        let skipped = actors.len().saturating_sub(BARS);
        let actors = &actors[skipped..];
        let mut rows: Vec<String> = Vec::new();
        // At one time beginnings come first: intervals that touch are concurrent. Lines are finer than times.
        let mut ends: Vec<(u64, u64, u8, usize)> = Vec::new();
        for (at, actor) in actors.iter().enumerate() {
            let row = row(actor);
            if rows.iter().all(|known| known != row) {
                rows.push(row.to_owned());
            }
            let (begun, ended) =
                actor.lines.map_or((0, 0), |(begun, ended)| (begun, ended.unwrap_or(u64::MAX)));
            let first = if actor.lines.is_some() { 1 } else { 0 };
            ends.push((actor.start, begun, 0, at));
            match actor.end {
                Some(end) if end == actor.start && first == 0 => {}
                Some(end) => ends.push((end, ended, 1, at)),
                None => {}
            }
        }
        ends.sort_unstable();
        let mut bars: Vec<Bar> = actors
            .iter()
            .map(|actor| Bar {
                letter: actor.letter.clone(),
                row: rows.iter().position(|name| name == row(actor)).unwrap_or(0),
                from: 0,
                to: None,
            })
            .collect();
        for (column, &(_, _, side, at)) in ends.iter().enumerate() {
            match side {
                0 => {
                    bars[at].from = column;
                    let instant = actors[at].end == Some(actors[at].start);
                    bars[at].to = instant.then_some(column);
                }
                _ => bars[at].to = Some(column),
            }
        }
        Self { rows, bars, columns: ends.len(), skipped }
    }

    /// The bars in plain text, a line for each row. Empty if they would be too wide.
    pub fn text(&self) -> String {
        let margin = self.rows.iter().map(|row| row.chars().count()).max().unwrap_or(0) + 2;
        let letters = self.bars.iter().map(|bar| bar.letter.chars().count()).max().unwrap_or(1);
        if self.columns == 0 {
            return String::new();
        }
        let step = (WIDTH.saturating_sub(margin) / self.columns).min(8);
        if step < 2 + letters / 2 {
            return String::new();
        }
        let mut text = String::new();
        for (number, row) in self.rows.iter().enumerate() {
            let mut line = vec![' '; self.columns * step + letters + 1];
            for bar in self.bars.iter().filter(|bar| bar.row == number) {
                put(&mut line, bar, step, self.columns);
            }
            let line: String = line.into_iter().collect();
            let pad = margin - row.chars().count();
            text.push_str(format!("{row}{}{line}", " ".repeat(pad)).trim_end());
            text.push('\n');
        }
        text
    }
}

fn put(line: &mut [char], bar: &Bar, step: usize, columns: usize) {
    let from = bar.from * step;
    let letters: Vec<char> = bar.letter.chars().collect();
    if bar.to == Some(bar.from) {
        line[from] = '*';
        line[from + 1..][..letters.len()].copy_from_slice(&letters);
        return;
    }
    let to = bar.to.map_or(columns * step, |to| to * step);
    line[from] = '|';
    line[from + 1..to].fill('-');
    line[to] = if bar.to.is_some() { '|' } else { '>' };
    let middle = from + 1 + (to - from - 1).saturating_sub(letters.len()) / 2;
    line[middle..][..letters.len()].copy_from_slice(&letters);
}

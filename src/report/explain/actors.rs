//! The operations or events of a counterexample, each with a letter by which sentences call it.

use checker::history::Operation;
use checker::linearizability::describe;
use checker::verdict::Evidence;

use super::Material;

/// One operation or event of a counterexample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// `a`, `b`, ... in the order of time; of transactions `T1`, `T2`, ... as the sentence calls them.
    pub letter: String,
    /// Who: "process 12 via n3".
    pub who: String,
    /// What, in words: "read r3 -> 17".
    pub what: String,
    /// When it began.
    pub start: u64,
    /// When it ended; `None` if it is still open, equal to `start` for an instant.
    pub end: Option<u64>,
    /// Its position among the operations of the history, where it is one.
    pub operation: Option<usize>,
    /// The lines of the file at which it began and ended, where they are known.
    pub lines: Option<(u64, Option<u64>)>,
}

/// How the positions of events map to lines of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Events in front of the recorded ones: the writes that stand for initial values.
    pub added: usize,
    /// The line of the first recorded event, if every event has a line of its own from there on.
    pub first_line: Option<u64>,
}

impl Origin {
    /// The line of the event at this position.
    pub fn line(&self, event: usize) -> Option<u64> {
        Some(self.first_line? + event.checked_sub(self.added)? as u64)
    }

    /// The lines of an operation.
    pub fn lines(&self, operation: &Operation<'_>) -> Option<(u64, Option<u64>)> {
        let begun = self.line(operation.invoked.index)?;
        Some((begun, operation.completed.and_then(|point| self.line(point.index))))
    }

    /// Whether this operation was not recorded but stands for an initial value.
    pub fn is_added(&self, operation: &Operation<'_>) -> bool {
        operation.invoked.index < self.added
    }
}

/// The actors behind this evidence.
pub(super) fn actors(evidence: &[Evidence], material: &Material<'_, '_>) -> Vec<Actor> {
    let actor = |(position, evidence): (usize, &Evidence)| {
        let operation = find(evidence, material);
        let (letter, who) = match evidence.who.split_once(' ') {
            Some((name, rest)) if is_transaction(name) => (name.to_owned(), rest.to_owned()),
            _ => (letter(position), evidence.who.clone()),
        };
        Actor {
            letter,
            who,
            what: evidence.what.clone(),
            start: evidence.start,
            end: evidence.end,
            operation,
            lines: operation.and_then(|at| material.origin.lines(&material.operations[at])),
        }
    };
    evidence.iter().enumerate().map(actor).collect()
}

/// `T1`, `T12`.
fn is_transaction(name: &str) -> bool {
    name.strip_prefix('T')
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

/// a ... z, aa, ab ...
fn letter(position: usize) -> String {
    let last = char::from(b'a' + (position % 26) as u8);
    match position / 26 {
        0 => last.to_string(),
        more => format!("{}{last}", letter(more - 1)),
    }
}

/// The operation behind this evidence: a process has one call open at a time.
fn find(evidence: &Evidence, material: &Material<'_, '_>) -> Option<usize> {
    let operations = material.operations;
    if evidence.who == "initially" {
        let words = |operation: &Operation<'_>| describe(operation.op, operation.reply()) == evidence.what;
        let added = operations.iter().take_while(|operation| material.origin.is_added(operation));
        return added.enumerate().find(|(_, operation)| words(operation)).map(|(at, _)| at);
    }
    let process: u64 = evidence.who.strip_prefix("process ")?.split(' ').next()?.parse().ok()?;
    let first = operations.partition_point(|operation| operation.invoked.time < evidence.start);
    let same_time = operations[first..].iter().take_while(|o| o.invoked.time == evidence.start);
    let of_process = same_time.enumerate().filter(|(_, o)| o.process.0 == process);
    let end = |operation: &Operation<'_>| operation.acknowledged().map(|point| point.time) == evidence.end;
    let mut of_process: Vec<(usize, &Operation<'_>)> = of_process.collect();
    // A clock may be so coarse that a process makes several calls at one time.
    if of_process.len() > 1 {
        of_process.retain(|(_, o)| end(o) && evidence.what.starts_with(&describe(o.op, o.reply())));
    }
    of_process.first().map(|(at, _)| first + at)
}

#[cfg(test)]
mod tests {
    use super::letter;

    #[test]
    fn letters_go_on_behind_z() {
        assert_eq!([0, 25, 26, 27, 52].map(letter), ["a", "z", "aa", "ab", "ba"]);
    }
}

//! Trace events as evidence: who, when, and what in words.

use crate::trace::{Entry, Role, SnapshotState, Span, Trace, What};
use crate::verdict::{Cause, Counterexample, Coverage, Evidence, Verdict};

/// A violation that these events prove. Put in the order of time.
pub(super) fn violated(trace: &Trace, summary: String, items: Vec<Evidence>) -> Verdict {
    let mut evidence = items;
    evidence.sort_by_key(|item| item.start);
    evidence.dedup();
    debug_assert!(!evidence.is_empty() && !trace.events.is_empty());
    Verdict::Violated(Counterexample { summary, evidence })
}

/// No violation among so many of these; too little to say if there were none at all.
pub(super) fn holds(trace: &Trace, examined: u64, unit: &str) -> Verdict {
    match trace.events.is_empty() {
        true => Verdict::Inconclusive(Cause::Evidence { reason: "there is no trace of any node".to_owned() }),
        false => Verdict::Holds(Coverage { examined, unit: unit.to_owned(), power: None }),
    }
}

/// The event at this position.
pub(super) fn event(trace: &Trace, position: usize) -> Evidence {
    let event = &trace.events[position];
    let what = match event.what {
        What::Boot(boot) => {
            format!("starts (start {}), log ends at {}/{}", boot.count, boot.last_index, boot.last_term)
        }
        What::Role(Role::Leader, votes) => {
            format!("leads term {}{}", event.term, list(trace, ", voted for by", votes))
        }
        What::Role(role, _) => format!("is {role:?} in term {}", event.term).to_lowercase(),
        What::Vote(to) => format!("votes for {} in term {}", trace.name(to), event.term),
        What::Truncate(from) => format!("removes its log from index {from} on"),
        What::Append(span) => batch(trace, "appends", span),
        What::Apply(span) => batch(trace, "applies", span),
        What::Commit(commit) => format!(
            "commits up to index {} (term {}){}",
            commit.index,
            commit.entry_term,
            list(trace, ", counting", commit.acks)
        ),
        What::Snapshot(SnapshotState::Installed, index, term) => {
            format!("installs a snapshot up to entry {index} of term {term}")
        }
        other => format!("{other:?}").to_lowercase(),
    };
    instant(trace, position, what)
}

/// The event at this position, of whose entries only this one matters.
pub(super) fn entry(trace: &Trace, position: usize, verb: &str, entry: Entry) -> Evidence {
    instant(trace, position, format!("{verb} {}", name(entry)))
}

/// An entry in words.
pub(super) fn name(entry: Entry) -> String {
    format!("entry {} of term {} (hash {:016x})", entry.index, entry.term, entry.hash)
}

/// Something that a node did at this event.
pub(super) fn instant(trace: &Trace, position: usize, what: String) -> Evidence {
    let event = &trace.events[position];
    Evidence { start: event.time, end: Some(event.time), who: trace.name(event.node).to_owned(), what }
}

fn batch(trace: &Trace, verb: &str, span: Span) -> String {
    match trace.entries(span) {
        [] => format!("{verb} nothing"),
        [only] => format!("{verb} {}", name(*only)),
        [first, .., last] => format!("{verb} entries {} to {}", first.index, last.index),
    }
}

fn list(trace: &Trace, what: &str, span: Span) -> String {
    let names: Vec<&str> = trace.list(span).iter().map(|&node| trace.name(node)).collect();
    match names.is_empty() {
        true => String::new(),
        false => format!("{what} {}", names.join(", ")),
    }
}

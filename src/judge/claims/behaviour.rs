//! Whether an event of the nodes happened.
//!
//! Invariant: an event that did happen is shown, and one that did not is only said to be absent where every node's trace
//! is whole.

use checker::trace::{Role, SnapshotState, Trace, What};
use checker::verdict::{Evidence, Verdict};

use super::super::evidence::Recorded;
use super::{Window, holds, seconds, violated};
use crate::suite::{Behaviour, NodeEvent, Part, When};

pub(super) fn judge(claim: &Behaviour, recorded: &Recorded) -> Result<Verdict, String> {
    let window = match claim.part == Part::default() {
        true => Window { from: 0, to: u64::MAX },
        false => super::window(&claim.part, recorded)?,
    };
    let seen = match claim.event {
        NodeEvent::Exits => exits(recorded)?,
        _ if recorded.trace.events.is_empty() => return Err("there is no trace of any node".to_owned()),
        event => traced(event, &recorded.trace),
    };
    let meant = |seen: &Seen| {
        window.holds(seen.at)
            && claim.node.as_ref().is_none_or(|node| *node == seen.node)
            && claim.term.is_none_or(|term| seen.term == Some(term))
    };
    let seen: Vec<Seen> = seen.into_iter().filter(meant).collect();
    match (claim.when, seen.first()) {
        (When::Occurs, Some(first)) => {
            let unit =
                format!("such events, the first at {}: {} {}", seconds(first.at), first.node, first.what);
            Ok(holds(seen.len() as u64, unit))
        }
        (When::Never, Some(first)) => {
            let evidence = Evidence {
                start: first.at,
                end: Some(first.at),
                who: first.node.clone(),
                what: first.what.clone(),
            };
            Ok(violated(format!("{} {}, which it was never to do", first.node, first.what), vec![evidence]))
        }
        (when, None) => {
            if let Some(damage) = &recorded.trace_damage {
                return Err(damage.clone());
            }
            match when {
                When::Never => Ok(holds(0, format!("events `{}`", claim.event.name()))),
                When::Occurs => Ok(violated(
                    format!("no event `{}` happened", claim.event.name()),
                    vec![nothing(recorded)],
                )),
            }
        }
    }
}

/// That all traces were read and none of them holds it.
fn nothing(recorded: &Recorded) -> Evidence {
    let end = recorded.trace.events.last().map(|event| event.time);
    let what = format!("{} events, none of them meant", recorded.trace.events.len());
    Evidence { start: 0, end, who: "all nodes".to_owned(), what }
}

/// An event that a claim may mean.
struct Seen {
    at: u64,
    node: String,
    term: Option<u64>,
    what: String,
}

fn exits(recorded: &Recorded) -> Result<Vec<Seen>, String> {
    let record = recorded.record.as_ref().ok_or("the run ended without a record of the nodes that ended")?;
    let seen = record.unexpected_exits.iter().map(|exit| Seen {
        at: exit.at,
        node: exit.node.clone(),
        term: None,
        what: format!("ended by itself ({})", exit.status),
    });
    Ok(seen.collect())
}

fn traced(wanted: NodeEvent, trace: &Trace) -> Vec<Seen> {
    let mut stood = vec![false; trace.nodes.len()];
    let mut seen = Vec::new();
    for event in &trace.events {
        let node = event.node.0 as usize;
        let what = words(wanted, event.what, event.term, stood[node], trace);
        match event.what {
            What::Role(role, _) => stood[node] = matches!(role, Role::Leader | Role::Candidate),
            What::Boot(_) => stood[node] = false,
            _ => {}
        }
        let name = trace.name(event.node);
        // A vote for oneself says nothing about the others.
        let own = matches!(event.what, What::Vote(to) if to == event.node);
        seen.extend(what.filter(|_| !own).map(|what| Seen {
            at: event.time,
            node: name.to_owned(),
            term: Some(event.term),
            what,
        }));
    }
    seen
}

/// The event in words, if it is the wanted one. `stood` says whether the node led or stood for election before.
fn words(wanted: NodeEvent, what: What, term: u64, stood: bool, trace: &Trace) -> Option<String> {
    let list = |span| {
        let names: Vec<&str> = trace.list(span).iter().map(|node| trace.name(*node)).collect();
        names.join(", ")
    };
    match (wanted, what) {
        (NodeEvent::Elected, What::Role(Role::Leader, votes)) => {
            Some(format!("leads term {term}, voted for by {}", list(votes)))
        }
        (NodeEvent::Campaigns, What::Role(Role::Candidate, _)) => {
            Some(format!("asks for votes in term {term}"))
        }
        (NodeEvent::AsksPreVote, What::Role(Role::PreCandidate, _)) => {
            Some(format!("asks for pre-votes in term {term}"))
        }
        (NodeEvent::Follows, What::Role(Role::Follower, _)) if stood => {
            Some(format!("follows in term {term}"))
        }
        (NodeEvent::Votes, What::Vote(to)) => Some(format!("votes for {} in term {term}", trace.name(to))),
        (NodeEvent::Truncates, What::Truncate(from)) => Some(format!("removes its log from index {from} on")),
        (NodeEvent::TakesSnapshot, What::Snapshot(SnapshotState::Taken, index, _)) => {
            Some(format!("takes a snapshot up to entry {index}"))
        }
        (NodeEvent::InstallsSnapshot, What::Snapshot(SnapshotState::Installed, index, _)) => {
            Some(format!("installs a snapshot up to entry {index}"))
        }
        (NodeEvent::Restarts, What::Boot(boot)) if boot.count > 1 => {
            Some(format!("starts again (start {})", boot.count))
        }
        (NodeEvent::CommitsOldTerm, What::Commit(commit))
            if !trace.list(commit.acks).is_empty() && commit.entry_term < term =>
        {
            let acks = list(commit.acks);
            Some(format!(
                "commits entry {} of term {} in term {term}, counting {acks}",
                commit.index, commit.entry_term
            ))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use checker::trace::TraceBuilder;

    use super::*;

    fn recorded(lines: &[&str]) -> Recorded {
        let mut builder = TraceBuilder::new(0);
        builder.read("trace", lines).unwrap();
        Recorded { trace: builder.finish(), ..Recorded::default() }
    }

    fn claim(when: When, event: NodeEvent) -> Behaviour {
        Behaviour { when, event, node: None, term: None, part: Part::default() }
    }

    const LINES: [&str; 4] = [
        r#"{"t":1,"n":"n1","term":1,"ev":"vote","to":"n1"}"#,
        r#"{"t":2,"n":"n1","term":1,"ev":"role","role":"leader","votes":["n1","n2"]}"#,
        r#"{"t":3,"n":"n1","term":2,"ev":"role","role":"follower"}"#,
        r#"{"t":4,"n":"n2","term":2,"ev":"commit","index":3,"entry_term":1,"acks":["n2","n3"]}"#,
    ];

    #[test]
    fn events_are_found_by_node_and_term() {
        let run = recorded(&LINES);
        let elected = claim(When::Occurs, NodeEvent::Elected);
        assert!(matches!(judge(&elected, &run), Ok(Verdict::Holds(_))));
        let by_another = Behaviour { node: Some("n2".to_owned()), ..elected.clone() };
        assert!(matches!(judge(&by_another, &run), Ok(Verdict::Violated(_))));
        let later = Behaviour { term: Some(2), when: When::Never, ..elected };
        assert!(matches!(judge(&later, &run), Ok(Verdict::Holds(_))));
        for event in [NodeEvent::Follows, NodeEvent::CommitsOldTerm] {
            assert!(matches!(judge(&claim(When::Occurs, event), &run), Ok(Verdict::Holds(_))), "{event:?}");
            assert!(matches!(judge(&claim(When::Never, event), &run), Ok(Verdict::Violated(_))), "{event:?}");
        }
        assert!(matches!(judge(&claim(When::Never, NodeEvent::Votes), &run), Ok(Verdict::Holds(_))));
    }

    #[test]
    fn absence_is_not_concluded_from_a_trace_with_holes() {
        let run = Recorded { trace_damage: Some("there is no trace of n3".to_owned()), ..recorded(&LINES) };
        assert!(judge(&claim(When::Never, NodeEvent::Truncates), &run).is_err());
        assert!(judge(&claim(When::Occurs, NodeEvent::Truncates), &run).is_err());
        assert!(matches!(judge(&claim(When::Occurs, NodeEvent::Elected), &run), Ok(Verdict::Holds(_))));
        assert!(judge(&claim(When::Never, NodeEvent::Elected), &recorded(&[])).is_err());
        assert!(judge(&claim(When::Never, NodeEvent::Exits), &run).is_err());
    }
}

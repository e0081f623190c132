//! The picture of nodes: who led, stood for election, followed or was down, in which term, and the events that prove a
//! violation.
//!
//! A node is down from the last thing that it told until it starts again: its trace knows no more, and no less.

use checker::trace::{Event, Node, Role, Trace, What};

use super::escape::clip;
use super::items;
use super::page::{Item, Mark, Shape, Tab};
use crate::report::explain::Actor;
use crate::rundir::ExitRecord;

/// Bars and events on one tab.
const ITEMS: usize = 1_200;
/// Changes of leadership that are marked.
const CHANGES: usize = 400;
/// Characters of a text.
const LONG: usize = 240;

/// A tab with the nodes, and the events of a counterexample if one is given. `exits` are the nodes that ended by themselves.
pub(super) fn tab(trace: &Trace, exits: &[ExitRecord], label: &str, core: &[Actor]) -> Tab {
    let mut all = roles(trace, exits);
    all.extend(trace.events.iter().filter_map(|event| instant(trace, event)));
    // The events that are told in the counterexample's words need not be told twice.
    let told = |item: &Item| {
        item.shape == Shape::Instant
            && core
                .iter()
                .any(|actor| actor.start == item.start && lane(trace, &actor.who) == Some(item.lane))
    };
    all.retain(|item| !told(item));
    all.sort_by_key(|item| (item.start, item.lane));
    let ends: Vec<Item> = core.iter().filter_map(|actor| actor_item(trace, actor)).collect();
    let proof = ends.len();
    let total = all.len();
    all.extend(ends);
    let positions: Vec<usize> = (total..all.len()).collect();
    let picked = items::pick(all.len(), |at| (all[at].start, all[at].end), &positions, ITEMS);
    let span = whole(&all);
    let density = items::density(all.iter().map(|item| item.start), span);
    let mut items: Vec<Item> = picked.into_iter().map(|at| all[at].clone()).collect();
    items.sort_by_key(|item| (item.start, item.shape == Shape::Instant));
    // The trace has its nodes in the order in which they were met.
    let mut names: Vec<&String> = trace.nodes.iter().collect();
    names.sort_by_key(|name| (name.len(), name.as_str()));
    for item in &mut items {
        let name = &trace.nodes[item.lane];
        item.lane = names.iter().position(|other| *other == name).unwrap_or(0);
    }
    Tab {
        label: label.to_owned(),
        unit: "events",
        note: "A thick bar leads, a hatched one stands for election, a thin one follows, a dashed line is a node that is down; \
               a diamond is one event."
            .to_owned(),
        reason: String::new(),
        violated: proof > 0,
        lanes: names.into_iter().map(|name| clip(name, 24)).collect(),
        drawn: whole(&items),
        items,
        total: (total + proof) as u64,
        density,
        span,
    }
}

/// When leadership changed hands.
pub(super) fn changes(trace: &Trace) -> Vec<Mark> {
    let leads = trace.events.iter().filter(|event| matches!(event.what, What::Role(Role::Leader, _)));
    let mark = |event: &Event| Mark {
        at: event.time,
        label: format!("{} leads term {}", trace.name(event.node), event.term),
        kind: "leader",
    };
    let mut marks: Vec<Mark> = leads.map(mark).collect();
    if marks.len() > CHANGES {
        let step = marks.len().div_ceil(CHANGES);
        marks = marks.into_iter().step_by(step).collect();
    }
    marks
}

/// From each change of a node's role to its next, and between two starts of it the time in which it was down.
fn roles(trace: &Trace, exits: &[ExitRecord]) -> Vec<Item> {
    let end = trace.events.last().map_or(0, |event| event.time);
    let mut current: Vec<Option<Item>> = vec![None; trace.nodes.len()];
    // The last that each node told of itself.
    let mut told: Vec<u64> = vec![0; trace.nodes.len()];
    let mut items = Vec::new();
    for event in &trace.events {
        let lane = event.node.0 as usize;
        let last_sign = std::mem::replace(&mut told[lane], event.time);
        let next = match event.what {
            What::Role(role, votes) => Some(segment(trace, event, role, votes)),
            // It begins as a follower of its term, and says so by starting.
            What::Boot(_) => Some(Item {
                lane,
                start: event.time,
                shape: Shape::Follower,
                label: String::new(),
                words: format!("follows in term {}", event.term),
                who: trace.name(event.node).to_owned(),
                ..Item::default()
            }),
            _ => None,
        };
        let Some(next) = next else { continue };
        let starts = matches!(event.what, What::Boot(_));
        if let Some(last) = current[lane].replace(next) {
            let until = if starts { last_sign } else { event.time };
            items.push(Item { end: Some(until), ..last });
            if starts {
                items.push(down(trace, event.node, (last_sign, event.time)));
            }
        }
    }
    for last in current.into_iter().flatten() {
        let lane = last.lane;
        let name = &trace.nodes[lane];
        // It ended by itself, and nothing came after that.
        let gone = exits.iter().filter(|exit| exit.node == *name && exit.at >= told[lane]);
        let ended = gone.map(|exit| exit.at).max();
        items.push(Item { end: Some(ended.unwrap_or(end)), ..last });
        if let Some(ended) = ended.filter(|ended| *ended < end) {
            items.push(down(trace, Node(lane as u16), (ended, end)));
        }
    }
    items
}

/// A node tells nothing from the end of its process on; when exactly that was its trace cannot say.
fn down(trace: &Trace, node: Node, (from, to): (u64, u64)) -> Item {
    Item {
        lane: node.0 as usize,
        start: from,
        end: Some(to),
        shape: Shape::Down,
        words: "down: nothing is told by it from here until it starts again, or until the end".to_owned(),
        who: clip(trace.name(node), LONG),
        ..Item::default()
    }
}

fn segment(trace: &Trace, event: &Event, role: Role, votes: checker::trace::Span) -> Item {
    let (shape, label, mut words) = match role {
        Role::Leader => {
            (Shape::Leader, format!("leads {}", event.term), format!("leads term {}", event.term))
        }
        Role::Candidate => (
            Shape::Candidate,
            format!("{}", event.term),
            format!("stands for election in term {}", event.term),
        ),
        Role::PreCandidate => {
            (Shape::Candidate, String::new(), format!("asks whether it could win term {}", event.term + 1))
        }
        Role::Follower => (Shape::Follower, String::new(), format!("follows in term {}", event.term)),
    };
    let voters: Vec<&str> = trace.list(votes).iter().map(|&node| trace.name(node)).collect();
    if !voters.is_empty() {
        words.push_str(&format!(", voted for by {}", voters.join(", ")));
    }
    Item {
        lane: event.node.0 as usize,
        start: event.time,
        shape,
        label,
        words: clip(&words, LONG),
        who: clip(trace.name(event.node), LONG),
        ..Item::default()
    }
}

/// An event that helps to read the others.
fn instant(trace: &Trace, event: &Event) -> Option<Item> {
    let words = match event.what {
        What::Boot(boot) => format!("starts (start {}) in term {}", boot.count, event.term),
        What::Vote(to) => format!("votes for {} in term {}", trace.name(to), event.term),
        What::Truncate(from) => format!("removes its log from index {from} on"),
        _ => return None,
    };
    Some(Item {
        lane: event.node.0 as usize,
        start: event.time,
        end: Some(event.time),
        shape: Shape::Instant,
        words: clip(&words, LONG),
        who: clip(trace.name(event.node), LONG),
        ..Item::default()
    })
}

fn lane(trace: &Trace, who: &str) -> Option<usize> {
    trace.nodes.iter().position(|name| name == who)
}

fn actor_item(trace: &Trace, actor: &Actor) -> Option<Item> {
    Some(Item {
        lane: lane(trace, &actor.who)?,
        start: actor.start,
        end: actor.end,
        shape: Shape::Instant,
        label: String::new(),
        letter: actor.letter.clone(),
        words: clip(&actor.what, LONG),
        who: clip(&actor.who, LONG),
        ..Item::default()
    })
}

fn whole(items: &[Item]) -> (u64, u64) {
    let from = items.iter().map(|item| item.start).min().unwrap_or(0);
    (from, items.iter().map(|item| item.end.unwrap_or(item.start)).max().unwrap_or(from))
}

#[cfg(test)]
mod tests {
    use checker::trace::TraceBuilder;

    use super::*;

    fn trace(lines: &[(u64, &str)]) -> Trace {
        let line = |(at, rest): &(u64, &str)| format!(r#"{{"t":{at},"n":"n1","term":1,"ev":{rest}}}"#) + "\n";
        let lines: Vec<String> = lines.iter().map(line).collect();
        let mut builder = TraceBuilder::new(0);
        builder.read("n1", lines.iter().map(String::as_str)).expect("a trace");
        builder.finish()
    }

    const BOOT: &str =
        r#""boot","boot":1,"voted_for":null,"last_index":0,"last_term":0,"members":["n1","n2"]"#;
    const LEADS: &str = r#""role","role":"leader","votes":["n1","n2"]"#;
    const FSYNC: &str = r#""fsync","index":1,"hard_state":false"#;

    fn spans(items: &[Item]) -> Vec<(Shape, u64, Option<u64>)> {
        let mut spans: Vec<_> = items.iter().map(|item| (item.shape, item.start, item.end)).collect();
        spans.sort_by_key(|span| span.1);
        spans
    }

    #[test]
    fn a_node_is_down_from_its_last_word_until_it_starts_again() {
        let trace = trace(&[(10, BOOT), (20, LEADS), (30, FSYNC), (90, BOOT), (100, FSYNC)]);
        let expected = [
            (Shape::Follower, 10, Some(20)),
            (Shape::Leader, 20, Some(30)),
            (Shape::Down, 30, Some(90)),
            (Shape::Follower, 90, Some(100)),
        ];
        assert_eq!(spans(&roles(&trace, &[])), expected);
    }

    #[test]
    fn a_node_that_ended_by_itself_is_down_to_the_end() {
        let two = trace(&[(10, BOOT), (20, LEADS), (30, FSYNC), (90, FSYNC)]);
        let exit =
            |at| ExitRecord { node: "n1".to_owned(), at, status: "signal 6".to_owned(), last: String::new() };
        assert_eq!(spans(&roles(&two, &[exit(50)])).len(), 2, "it said more after that");
        let one = trace(&[(10, BOOT), (20, LEADS)]);
        assert_eq!(spans(&roles(&one, &[exit(50)]))[1], (Shape::Leader, 20, Some(50)));
    }
}

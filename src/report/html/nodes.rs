//! The picture of nodes: who led, stood for election or followed, in which term, and the events that prove a violation.

use checker::trace::{Event, Role, Trace, What};

use super::escape::clip;
use super::items;
use super::page::{Item, Mark, Shape, Tab};
use crate::report::explain::Actor;

/// Bars and events on one tab.
const ITEMS: usize = 1_200;
/// Changes of leadership that are marked.
const CHANGES: usize = 400;
/// Characters of a text.
const LONG: usize = 240;

/// A tab with the nodes, and the events of a counterexample if one is given.
pub(super) fn tab(trace: &Trace, label: &str, core: &[Actor]) -> Tab {
    let mut all = roles(trace);
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
        note: "A thick bar leads, a hatched one stands for election, a thin one follows; a diamond is one event.".to_owned(),
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

/// From each change of a node's role to its next.
fn roles(trace: &Trace) -> Vec<Item> {
    let end = trace.events.last().map_or(0, |event| event.time);
    let mut current: Vec<Option<Item>> = vec![None; trace.nodes.len()];
    let mut items = Vec::new();
    for event in &trace.events {
        let lane = event.node.0 as usize;
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
        if let Some(mut last) = current[lane].replace(next) {
            last.end = Some(event.time);
            items.push(last);
        }
    }
    items.extend(current.into_iter().flatten().map(|last| Item { end: Some(end), ..last }));
    items
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

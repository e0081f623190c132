//! Moving the clocks of several nodes, undoing that, and what came of it.
//!
//! Invariant: undoing sets the same state whatever it finds, so that twice is the same as once.

use std::time::{Duration, Instant};

use cluster::clock::{ClockFamily, ClockSetting};
use cluster::levers::{LeverError, Levers};
use cluster::system::NodeId;

use crate::fault::{Injection, Installed};
use crate::moves::list;
use crate::target::{Effect, Moved, Undone};

/// How long an injection waits for the nodes to read their clocks, and how often it looks.
const READING_LIMIT: Duration = Duration::from_millis(100);
const LOOK_INTERVAL: Duration = Duration::from_millis(1);

/// Moves the clocks, and waits for a while until the nodes have read them.
pub(crate) async fn install(moved: &Moved, levers: &dyn Levers) -> Injection {
    let mut effective: Option<Instant> = None;
    for (node, family) in each(moved) {
        match levers.set_clock(node, family, &moved.setting) {
            Ok(instant) => effective = effective.max(Some(instant)),
            Err(LeverError::WrongState(why) | LeverError::Unsupported(why)) if effective.is_none() => {
                return Injection::Skipped(format!("{node}: {why}"));
            }
            Err(error) => return Injection::Indeterminate(format!("{node}: {error}")),
        }
    }
    let wrong: Vec<String> = each(moved)
        .filter(|(node, family)| {
            levers.clock(*node, *family).is_none_or(|state| state.speed_ppm != moved.setting.speed_ppm)
        })
        .map(|(node, family)| format!("the {} clock of {node} does not go as it was set", word(family)))
        .collect();
    if !wrong.is_empty() {
        return Injection::Indeterminate(wrong.join(", "));
    }
    let deadline = Instant::now() + READING_LIMIT;
    while !unread(moved, levers).is_empty() && Instant::now() < deadline {
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    Injection::Installed(Installed { proof: readings(moved, levers), effective })
}

/// Makes the clocks as true as they can be.
pub(crate) fn undo(moved: &Moved, levers: &dyn Levers) -> Result<Undone, String> {
    let (mut effective, mut failed, mut ahead) = (None, Vec::new(), Vec::new());
    for (node, family) in each(moved) {
        match levers.set_clock(node, family, &ClockSetting::healed(family)) {
            Ok(instant) => effective = effective.max(Some(instant)),
            Err(error) => failed.push(format!("the {} clock of {node}: {error}", word(family))),
        }
        if let (ClockFamily::Monotonic, Some(state)) = (family, levers.clock(node, family)) {
            ahead.push(format!("{node} {}", seconds(state.offset_ns)));
        }
    }
    if !failed.is_empty() {
        return Err(failed.join("; "));
    }
    let kept = if ahead.is_empty() {
        String::new()
    } else {
        format!("; monotonic clocks keep {}", ahead.join(", "))
    };
    let done = format!("clocks of {} go at the true speed{kept}", list(&moved.nodes));
    Ok(Undone { effective, ..Undone::new(done) })
}

/// Whether the nodes have read the clocks since they were moved.
pub(crate) fn effect(moved: &Moved, levers: &dyn Levers) -> Effect {
    if unread(moved, levers).len() == moved.nodes.len() * moved.families.len() {
        return Effect::None(format!("no process of {} read the clocks that were moved", list(&moved.nodes)));
    }
    Effect::Seen(readings(moved, levers))
}

fn each(moved: &Moved) -> impl Iterator<Item = (NodeId, ClockFamily)> {
    moved.nodes.iter().flat_map(|node| moved.families.iter().map(|family| (*node, *family)))
}

fn unread(moved: &Moved, levers: &dyn Levers) -> Vec<(NodeId, ClockFamily)> {
    let is_read =
        |(node, family): &(NodeId, ClockFamily)| levers.clock(*node, *family).is_some_and(|state| state.read);
    each(moved).filter(|each| !is_read(each)).collect()
}

/// "n1 reads wall +10.000 s, n1 has not read monotonic yet".
fn readings(moved: &Moved, levers: &dyn Levers) -> String {
    let words = each(moved).filter_map(|(node, family)| {
        let state = levers.clock(node, family)?;
        Some(if state.read {
            let strobe = if state.strobing { ", to and fro" } else { "" };
            format!("{node} reads {} {}{strobe}", word(family), seconds(state.offset_ns))
        } else {
            format!("{node} has not read {}", word(family))
        })
    });
    words.collect::<Vec<_>>().join(", ")
}

fn word(family: ClockFamily) -> &'static str {
    match family {
        ClockFamily::Wall => "wall",
        ClockFamily::Monotonic => "monotonic",
    }
}

fn seconds(ns: i64) -> String {
    format!("{:+.3} s", ns as f64 / 1e9)
}

//! What a fault is done to, as a value that can be written down, and undoing it from that value alone.
//!
//! One variant per family of levers, not per fault: many faults take nodes down, and all of them are undone alike.
//! Undoing is idempotent: it moves towards the baseline from whatever state it finds, and twice is the same as once.

use std::collections::BTreeMap;
use std::time::Instant;

use cluster::clock::{ClockFamily, ClockSetting};
use cluster::disk::{DiskEdit, DiskStats, DiskTrouble, Survival, Wait};
use cluster::levers::{Endpoint, LeverError, Levers, Link, LinkRule, LinkStats, NodeSignal, ProcessState};
use cluster::order::Order;
use cluster::system::{BoxFuture, FileEdit, NodeId};
use serde::{Deserialize, Serialize};

use crate::armed::{self, Armed};
use crate::clocks;
use crate::damage::Damaged;
use crate::gated::{self, Gated};
use crate::limited::{self, Limited};
use crate::members::{self, Removed};
use crate::moves::{list, together};
use crate::restarts::{self, Reconfigured, Rolled};
use crate::twins::{self, Twinned};

/// What a fault is done to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// Rules for links.
    Links(Cut),
    /// Nodes whose processes are ended.
    Down(Vec<NodeId>),
    /// Nodes whose processes are stopped by SIGSTOP.
    Paused(Vec<NodeId>),
    /// Nodes that are killed and whose files are then changed.
    Edited(Edited),
    /// Nodes that are killed and whose disks are then changed.
    DiskEdited(DiskEdited),
    /// Nodes whose disks are in trouble while they run. The trouble may end a node.
    DiskTroubled(DiskTroubled),
    /// Nodes that are asked for something.
    Ordered(Ordered),
    /// Nodes whose clocks are moved.
    Clocks(Moved),
    /// Nodes at which messages of their peers are lost, late, repeated or held.
    Gated(Gated),
    /// Nodes that go and come back one after another.
    Rolled(Rolled),
    /// Nodes that run under other rules.
    Reconfigured(Reconfigured),
    /// A member that is removed.
    Removed(Removed),
    /// Nodes that may use less of the machine. The limits may end a node.
    Limited(Limited),
    /// Nodes that kill themselves at a failpoint.
    Armed(Armed),
    /// A node that runs a second time.
    Twinned(Twinned),
    /// Nodes that are killed and whose stored data is then damaged.
    Damaged(Damaged),
}

/// Links and the rules that a fault puts on them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// What it is, for people: "majority: n1 n2 n4 | n3 n5".
    pub what: String,
    /// The links that are changed, each once.
    pub rules: Vec<(Link, LinkRule)>,
}

/// A change to the files of nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edited {
    /// Which nodes.
    pub nodes: Vec<NodeId>,
    /// The change.
    pub edit: FileEdit,
}

/// A change to the disks of nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskEdited {
    /// Which nodes.
    pub nodes: Vec<NodeId>,
    /// The change.
    pub edit: DiskEdit,
    /// What is random in it is drawn from this.
    pub seed: u64,
}

/// A trouble of the disks of nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskTroubled {
    /// Which nodes.
    pub nodes: Vec<NodeId>,
    /// What is wrong.
    pub trouble: DiskTrouble,
}

/// Something that nodes are asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ordered {
    /// Which nodes.
    pub nodes: Vec<NodeId>,
    /// For what.
    pub order: Order,
}

/// A change of the clocks of nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// Which nodes.
    pub nodes: Vec<NodeId>,
    /// Which of their clocks.
    pub families: Vec<ClockFamily>,
    /// The change.
    pub setting: ClockSetting,
    /// What it is, for people: "clocks 20% fast".
    pub what: String,
}

/// What undoing did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undone {
    /// What was done, in words.
    pub done: String,
    /// The instant from which on the fault had no effect, where the lever tells.
    pub effective: Option<Instant>,
    /// Whether the fault did anything, where only undoing it tells.
    pub effect: Option<Effect>,
}

impl Undone {
    /// This was done, and nothing more is known.
    pub(crate) fn new(done: impl Into<String>) -> Self {
        Self { done: done.into(), effective: None, effect: None }
    }
}

/// Whether a fault did anything while it lasted, by what was read just before it was undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// It did; this shows it.
    Seen(String),
    /// It did not, or nobody could have noticed; why.
    None(String),
}

impl Target {
    /// The rule that this puts on a link.
    pub fn rule(&self, link: Link) -> LinkRule {
        let Target::Links(cut) = self else { return LinkRule::Pass };
        cut.rules.iter().find(|(changed, _)| *changed == link).map_or(LinkRule::Pass, |(_, rule)| *rule)
    }

    /// The nodes whose processes it touches.
    pub fn processes(&self) -> &[NodeId] {
        match self {
            // An order leaves the process as it was, whoever else holds it.
            Target::Links(_) | Target::Ordered(_) | Target::Gated(_) | Target::Removed(_) => &[],
            Target::Down(nodes) | Target::Paused(nodes) => nodes,
            Target::Edited(edited) => &edited.nodes,
            Target::DiskEdited(edited) => &edited.nodes,
            Target::DiskTroubled(troubled) => &troubled.nodes,
            Target::Clocks(moved) => &moved.nodes,
            Target::Rolled(rolled) => &rolled.nodes,
            Target::Reconfigured(reconfigured) => &reconfigured.nodes,
            Target::Limited(limited) => &limited.nodes,
            Target::Armed(armed) => &armed.nodes,
            Target::Twinned(twinned) => &twinned.parties,
            Target::Damaged(damaged) => &damaged.nodes,
        }
    }

    /// The nodes that it is done to, in the eyes of the others: those of its processes, or those that lose the most links.
    pub(crate) fn touched(&self) -> Vec<NodeId> {
        let Target::Links(cut) = self else { return self.processes().to_vec() };
        let mut links: BTreeMap<NodeId, usize> = BTreeMap::new();
        for (link, _) in &cut.rules {
            for end in [link.from, link.to] {
                if let Endpoint::Node(node) = end {
                    *links.entry(node).or_default() += 1;
                }
            }
        }
        let most = links.values().copied().max().unwrap_or(0);
        links.into_iter().filter(|(_, count)| *count == most).map(|(node, _)| node).collect()
    }

    /// One line for the status and the report.
    pub fn describe(&self) -> String {
        match self {
            Target::Links(cut) => cut.what.clone(),
            Target::Down(nodes) => format!("{} down", list(nodes)),
            Target::Paused(nodes) => format!("{} paused", list(nodes)),
            Target::Ordered(Ordered { nodes, order }) => format!("{} told to {order}", list(nodes)),
            Target::Edited(Edited { nodes, edit }) => format!("{} {edit}", list(nodes)),
            Target::DiskEdited(edited) => format!("{}: {}", list(&edited.nodes), edit_in_words(&edited.edit)),
            Target::DiskTroubled(troubled) => {
                format!("{}: {}", list(&troubled.nodes), trouble_in_words(&troubled.trouble))
            }
            Target::Clocks(moved) => format!("{} with {}", list(&moved.nodes), moved.what),
            Target::Gated(gated) => gated.describe(),
            Target::Rolled(rolled) => {
                format!("{} {} one after another", list(&rolled.nodes), rolled.way.word())
            }
            Target::Reconfigured(Reconfigured { nodes, rules }) => {
                let rules: Vec<String> =
                    rules.iter().map(|(name, value)| format!("{name}={value}")).collect();
                format!("{} under {}", list(nodes), rules.join(" "))
            }
            Target::Removed(removed) => format!("{} no member", removed.node),
            Target::Limited(limited) => limited.describe(),
            Target::Armed(armed) => armed.describe(),
            Target::Twinned(twinned) => twinned.describe(),
            Target::Damaged(damaged) => damaged.describe(),
        }
    }
}

/// Undoes a fault from its target alone. `Err` lists what could not be undone; everything else was.
///
/// Links go back to `Pass`; where faults overlap, the [`crate::nemesis::Nemesis`] hands in levers that keep what the others
/// still ask for. Nodes that are down are started, paused ones resumed. A paused node that is gone is left alone: no
/// pause ends a process, so its exit is something to be found, not to be repaired. Clocks go at the true speed again: a wall
/// clock back to the true time, a monotonic one from where it is, because it must not go back.
pub fn undo<'a>(target: &'a Target, levers: &'a dyn Levers) -> BoxFuture<'a, Result<Undone, String>> {
    Box::pin(async move {
        match target {
            Target::Links(cut) => undo_links(cut, levers),
            // What was begun takes its course.
            Target::Ordered(_) => Ok(Undone::new("nothing to undo")),
            Target::Down(nodes) => bring_back(nodes, AfterExit::Start, levers).await,
            Target::Edited(edited) => bring_back(&edited.nodes, AfterExit::Start, levers).await,
            Target::Paused(nodes) => bring_back(nodes, AfterExit::Leave, levers).await,
            Target::DiskEdited(edited) => bring_back(&edited.nodes, AfterExit::Start, levers).await,
            Target::DiskTroubled(troubled) => undo_trouble(&troubled.nodes, levers).await,
            Target::Clocks(moved) => clocks::undo(moved, levers),
            Target::Gated(gated) => gated::undo(gated, levers).await,
            Target::Rolled(rolled) => bring_back(&rolled.nodes, AfterExit::Start, levers).await,
            Target::Reconfigured(reconfigured) => restarts::restore_rules(reconfigured, levers).await,
            Target::Removed(removed) => members::add_again(removed, levers).await,
            Target::Limited(limited) => {
                limited::lift(&limited.nodes, levers)?;
                bring_back(&limited.nodes, AfterExit::Start, levers).await
            }
            Target::Armed(armed) => {
                armed::disarm(armed, levers).await?;
                bring_back(&armed.nodes, AfterExit::Start, levers).await
            }
            Target::Twinned(twinned) => twins::end(twinned, levers).await,
            Target::Damaged(damaged) => bring_back(&damaged.nodes, AfterExit::Start, levers).await,
        }
    })
}

/// What the counters of the levers showed before a fault was installed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// The counters of each link of the target, in the target's order.
    frames: Vec<LinkStats>,
    /// The counters of each disk of the target, in the target's order.
    disks: Vec<DiskStats>,
}

/// Reads the counters that [`effect`] compares with.
pub fn before(target: &Target, levers: &dyn Levers) -> Before {
    Before { frames: frames(target, levers), disks: disks(target, levers) }
}

/// What the fault did from `before` until now. Called while it is still in place.
pub fn effect(target: &Target, before: &Before, levers: &dyn Levers) -> Effect {
    match target {
        Target::Links(cut) => frames_touched(cut, before, &frames(target, levers)),
        Target::Ordered(_) => Effect::Seen("begun when it was ordered".to_owned()),
        Target::Paused(nodes) => still_in(nodes, ProcessState::Paused, levers),
        Target::Down(nodes) => still_in(nodes, ProcessState::Down, levers),
        Target::Edited(edited) => still_in(&edited.nodes, ProcessState::Down, levers),
        Target::DiskEdited(edited) => still_in(&edited.nodes, ProcessState::Down, levers),
        Target::DiskTroubled(troubled) => {
            let waiting = |node: &NodeId| levers.disk(*node).map_or(0, |disk| disk.waiting);
            let waiting = troubled.nodes.iter().map(waiting).sum();
            trouble_seen(before, &disks(target, levers), waiting)
        }
        Target::Clocks(moved) => clocks::effect(moved, levers),
        // Only its nodes know, and say it when it is undone.
        Target::Gated(_) => Effect::None("its nodes were not asked".to_owned()),
        Target::Rolled(rolled) => still_in(&rolled.nodes, ProcessState::Running, levers),
        Target::Reconfigured(reconfigured) => still_in(&reconfigured.nodes, ProcessState::Running, levers),
        Target::Removed(_) => Effect::Seen("committed when it was installed".to_owned()),
        Target::Limited(limited) => limited::effect(limited, levers),
        Target::Armed(armed) => armed::effect(armed, levers),
        // Whether it runs is asked when it is ended.
        Target::Twinned(_) => Effect::Seen("it was started".to_owned()),
        Target::Damaged(damaged) => still_in(&damaged.nodes, ProcessState::Down, levers),
    }
}

fn disks(target: &Target, levers: &dyn Levers) -> Vec<DiskStats> {
    let Target::DiskTroubled(troubled) = target else { return Vec::new() };
    troubled.nodes.iter().map(|node| levers.disk(*node).unwrap_or_default().stats).collect()
}

/// Reads one counter of a disk.
type DiskCounter = fn(&DiskStats) -> u64;

/// What a disk in trouble does to requests, in words, and its counter.
const ANSWERS: [(&str, DiskCounter); 8] = [
    ("syncs failed with EIO", |stats| stats.sync_errors),
    ("writes failed with EIO", |stats| stats.write_errors),
    ("reads failed with EIO", |stats| stats.read_errors),
    ("requests failed with ENOSPC", |stats| stats.no_space),
    ("requests failed with EROFS", |stats| stats.read_only),
    ("writes stored with a wrong bit", |stats| stats.flipped),
    ("syncs made to wait", |stats| stats.syncs_waited),
    ("reads made to wait", |stats| stats.reads_waited),
];

fn trouble_seen(before: &Before, now: &[DiskStats], waiting: u64) -> Effect {
    let earlier = |index: usize| before.disks.get(index).copied().unwrap_or_default();
    let since = |count: DiskCounter| -> u64 {
        let disks = now.iter().enumerate();
        disks.map(|(index, stats)| count(stats).saturating_sub(count(&earlier(index)))).sum()
    };
    let mut seen: Vec<String> = ANSWERS
        .iter()
        .map(|(word, count)| (since(*count), word))
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    if waiting > 0 {
        seen.push(format!("{waiting} of them until the end"));
    }
    if seen.is_empty() {
        let asked = since(|stats| stats.writes + stats.reads + stats.syncs);
        return Effect::None(format!("none of the {asked} requests to the disk was touched"));
    }
    Effect::Seen(seen.join(", "))
}

fn edit_in_words(edit: &DiskEdit) -> String {
    match edit {
        DiskEdit::PowerFailure { survival: Survival::Nothing } => "power failure".to_owned(),
        DiskEdit::PowerFailure { survival: Survival::Some { .. } } => {
            "power failure, a part of the unsynced survives".to_owned()
        }
        DiskEdit::Rollback { age_ms } => format!("disk rolled back by {age_ms} ms"),
        DiskEdit::FlipBits { bits } => format!("{bits} bits of the disk flipped"),
        DiskEdit::Truncate { bytes } => format!("a file {bytes} bytes shorter"),
        DiskEdit::DeleteFile => "a file deleted".to_owned(),
        DiskEdit::Wipe => "disk wiped".to_owned(),
    }
}

fn trouble_in_words(trouble: &DiskTrouble) -> String {
    let share =
        |ppm: u32, what: &str| (ppm > 0).then(|| format!("{} % of {what}", f64::from(ppm) / 10_000.0));
    let wait = |wait: Wait, what: &str| match wait {
        Wait::None => None,
        Wait::For(us) => Some(format!("{what} {} ms later", f64::from(us) / 1000.0)),
        Wait::Held => Some(format!("{what} held")),
    };
    let parts = [
        share(trouble.sync_error_ppm, "syncs fail"),
        share(trouble.write_error_ppm, "writes fail"),
        share(trouble.read_error_ppm, "reads fail"),
        share(trouble.flip_ppm, "writes stored wrong"),
        trouble.full.then(|| "disk full".to_owned()),
        trouble.read_only.then(|| "disk read-only".to_owned()),
        wait(trouble.sync_wait, "syncs"),
        wait(trouble.read_wait, "reads"),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "a sound disk".to_owned() } else { parts.join(", ") }
}

/// Makes the disks sound, and starts the nodes that the trouble has ended.
async fn undo_trouble(nodes: &[NodeId], levers: &dyn Levers) -> Result<Undone, String> {
    let mut effective = None;
    for node in nodes {
        let released = levers.set_disk(*node, DiskTrouble::default());
        effective = Some(released.map_err(|error| format!("{node}: {error}"))?);
    }
    let undone = bring_back(nodes, AfterExit::Start, levers).await?;
    Ok(Undone { effective, ..undone })
}

fn frames(target: &Target, levers: &dyn Levers) -> Vec<LinkStats> {
    match target {
        Target::Links(cut) => cut.rules.iter().map(|(link, _)| levers.link(*link).1).collect(),
        Target::Down(_)
        | Target::Paused(_)
        | Target::Edited(_)
        | Target::DiskEdited(_)
        | Target::DiskTroubled(_)
        | Target::Ordered(_)
        | Target::Clocks(_)
        | Target::Gated(_)
        | Target::Rolled(_)
        | Target::Reconfigured(_)
        | Target::Removed(_)
        | Target::Limited(_)
        | Target::Armed(_)
        | Target::Twinned(_)
        | Target::Damaged(_) => Vec::new(),
    }
}

/// Reads one counter of a link.
type Counter = fn(&LinkStats) -> u64;

/// What can happen to a frame beside passing, in words, and its counter.
const TOUCHES: [(&str, Counter); 6] = [
    ("dropped", |stats| stats.dropped),
    ("delayed", |stats| stats.delayed),
    ("duplicated", |stats| stats.duplicated),
    ("reordered", |stats| stats.reordered),
    ("corrupted", |stats| stats.corrupted),
    ("answered with resets", |stats| stats.reset),
];

fn frames_touched(cut: &Cut, before: &Before, now: &[LinkStats]) -> Effect {
    let earlier = |index: usize| before.frames.get(index).copied().unwrap_or_default();
    let since = |index: usize, count: Counter| count(&now[index]).saturating_sub(count(&earlier(index)));
    let touched = |index: usize| TOUCHES.iter().any(|(_, count)| since(index, *count) > 0);
    let (all, links) = (cut.rules.len(), (0..now.len()).filter(|index| touched(*index)).count());
    let sums =
        TOUCHES.map(|(word, count)| (word, (0..now.len()).map(|index| since(index, count)).sum::<u64>()));
    if links == 0 {
        let words =
            if cut.rules.iter().all(|(_, rule)| *rule == LinkRule::Drop) { "dropped" } else { "touched" };
        return Effect::None(format!(
            "no frame was {words} on any of its {all} links: nobody tried to use them"
        ));
    }
    let seen: Vec<String> = sums
        .iter()
        .filter(|(_, frames)| *frames > 0)
        .map(|(word, frames)| format!("{frames} frames {word}"))
        .collect();
    Effect::Seen(format!("{} on {links} of {all} links", seen.join(", ")))
}

fn still_in(nodes: &[NodeId], state: ProcessState, levers: &dyn Levers) -> Effect {
    let (still, not): (Vec<NodeId>, Vec<NodeId>) =
        nodes.iter().partition(|node| levers.process(**node) == state);
    let word = match state {
        ProcessState::Down => "down",
        ProcessState::Paused => "paused",
        ProcessState::Running => "running",
    };
    match (still.is_empty(), not.is_empty()) {
        (_, true) => Effect::Seen(format!("{} still {word} at the end", list(&still))),
        (false, false) => {
            Effect::Seen(format!("{} still {word} at the end, {} no longer", list(&still), list(&not)))
        }
        (true, false) => Effect::None(format!("{} not {word} at the end", list(&not))),
    }
}

fn undo_links(cut: &Cut, levers: &dyn Levers) -> Result<Undone, String> {
    let pass: Vec<(Link, LinkRule)> = cut.rules.iter().map(|(link, _)| (*link, LinkRule::Pass)).collect();
    let effective = levers.set_links(&pass).map_err(|error| format!("{}: {error}", cut.what))?;
    Ok(Undone { effective: Some(effective), ..Undone::new(format!("{} links released", pass.len())) })
}

/// What to do with a node that is found down.
#[derive(Clone, Copy)]
enum AfterExit {
    Start,
    Leave,
}

async fn bring_back(nodes: &[NodeId], after_exit: AfterExit, levers: &dyn Levers) -> Result<Undone, String> {
    let steps = nodes.iter().map(|node| bring_one_back(*node, after_exit, levers)).collect();
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for (node, step) in nodes.iter().zip(together(steps).await) {
        match step {
            Ok(word) => done.push(format!("{node} {word}")),
            Err(error) => failed.push(format!("{node}: {error}")),
        }
    }
    if failed.is_empty() { Ok(Undone::new(done.join(", "))) } else { Err(failed.join("; ")) }
}

fn bring_one_back(
    node: NodeId,
    after_exit: AfterExit,
    levers: &dyn Levers,
) -> BoxFuture<'_, Result<&'static str, LeverError>> {
    Box::pin(async move {
        match (levers.process(node), after_exit) {
            (ProcessState::Running, _) => Ok("was running"),
            (ProcessState::Paused, _) => levers.signal(node, NodeSignal::Resume).await.map(|()| "resumed"),
            (ProcessState::Down, AfterExit::Start) => levers.start(node).await.map(|()| "started"),
            (ProcessState::Down, AfterExit::Leave) => {
                Ok("is gone; it was paused, not ended, so it is not started")
            }
        }
    })
}

//! Rules that a run draws, because every value of them is safe, and handovers of leadership.
//!
//! Invariant: a rule that the caller chose stays as it is. Only rules without an unsafe value are drawn.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::Shape;
use super::storms::Storm;
use crate::raft::io::NodeId;
use crate::raft::rules::Rules;

/// The rules and what is drawn for them; oftener named, oftener drawn.
const HARMLESS: &[(&str, &[&str])] = &[
    ("election_priority", &["none", "none", "n1=10", "n3=10,n2=5"]),
    ("backtrack", &["term_hint", "term_hint", "binary"]),
    ("pipelining", &["on", "on", "on", "off"]),
    ("batching", &["on", "on", "on", "off"]),
    ("max_inflight", &["256", "256", "2"]),
    ("leader_transfer", &["checked", "checked", "blind"]),
    ("snapshot", &["off", "5", "20", "20", "100", "2KiB"]),
    ("log_keep", &["0", "0", "3", "50"]),
    ("read_mode", &["read_index", "read_index", "lease", "lease", "follower_read_index", "log"]),
    ("read_batch", &["on", "on", "off"]),
    ("read_redirect", &["true", "false"]),
];

/// Whether everything that a lease rests on is as the honest rules have it. With `leader_stickiness=off` (the paper's protocol)
/// only reads by lease are unsafe.
fn leases_are_safe(chosen: &Rules) -> bool {
    let honest = Rules::default();
    chosen.vote == honest.vote && chosen.read == honest.read && chosen.membership == honest.membership
}

/// Together with a message per entry these would take longer to catch up than a run waits.
const SLOW: &[&str] = &["pipelining", "batching", "max_inflight"];

/// What is drawn for each of those rules, the default where the caller has chosen.
pub(super) fn rules(
    random: &mut ChaCha8Rng,
    chosen: &Rules,
    entries_per_append: usize,
) -> Vec<(&'static str, &'static str)> {
    let defaults = Rules::default().list();
    let unchanged: Vec<_> = chosen.list().into_iter().filter(|rule| defaults.contains(rule)).collect();
    let mut drawn = Vec::new();
    for (name, values) in HARMLESS {
        // Drawn in any case, so that the choice of one rule leaves the rest of the run's randomness as it is.
        let value = values[random.random_range(0..values.len())];
        let needs_honest_votes = *name == "read_mode" && !leases_are_safe(chosen);
        let is_too_slow = SLOW.contains(name)
            && (entries_per_append < 1000 || drawn.iter().any(|(rule, _)| SLOW.contains(rule)));
        if !is_too_slow
            && !needs_honest_votes
            && unchanged.iter().any(|(rule, text)| rule == name && text != value)
        {
            drawn.push((*name, value));
        }
    }
    drawn
}

/// Storms about leases need them, where they are safe and the caller did not choose.
pub(super) fn prefer_leases(storm: Storm, chosen: &Rules, drawn: &mut Vec<(&'static str, &'static str)>) {
    let is_about_leases = matches!(storm, Storm::Leases | Storm::Restarts);
    if is_about_leases {
        prefer_short_patience(chosen, drawn);
    }
    if is_about_leases && chosen.read == Rules::default().read && leases_are_safe(chosen) {
        drawn.retain(|(rule, _)| *rule != "read_mode");
        drawn.push(("read_mode", "lease"));
    }
}

/// An election is close to the end of a lease only if patience is always close to its minimum.
fn prefer_short_patience(chosen: &Rules, drawn: &mut Vec<(&'static str, &'static str)>) {
    let (chosen, honest) = (&chosen.vote, &Rules::default().vote);
    if chosen.election_timeout == honest.election_timeout && chosen.election_timer == honest.election_timer {
        drawn.push(("election_timeout", "150ms..170ms"));
    }
}

/// A storm of leaders is about entries that arrive before those that follow them.
pub(super) fn prefer_one_at_a_time(storm: Storm, shape: &mut Shape) {
    if storm == Storm::Leaders && !shape.rules.iter().any(|(rule, _)| SLOW.contains(rule)) {
        shape.entries_per_append = 1;
    }
}

/// How fast the clocks of each node run, in thousandths: any two are apart by a factor below 1.1, and often by nearly that.
pub(super) fn clocks(random: &mut ChaCha8Rng, nodes: u16) -> Vec<u64> {
    const RATES: &[u64] = &[1000, 1000, 954, 1049];
    let slow = random.random_range(0..nodes);
    match random.random_range(0..3) {
        0 => vec![1000; usize::from(nodes)],
        1 => (0..nodes).map(|_| RATES[random.random_range(0..RATES.len())]).collect(),
        // The worst for a lease: a leader that is slower than all its voters.
        _ => (0..nodes).map(|node| if node == slow { 954 } else { 1049 }).collect(),
    }
}

/// To whom a leader is told to hand over: anybody, itself included, or whom it chooses.
pub(super) fn target(random: &mut ChaCha8Rng, nodes: &[NodeId]) -> Option<NodeId> {
    if random.random_range(0..3) == 0 { None } else { Some(nodes[random.random_range(0..nodes.len())]) }
}

//! The properties that a run is judged by, one file each, and their registry.
//!
//! Adding one is a file and a line in [`REGISTRY`]. Invariant: a property says "violated" only with the operations or
//! events that prove it, "holds" only if it looked at everything that it needs, and "inconclusive" otherwise; what a
//! trace does not tell is never guessed.

mod commit_has_quorum;
mod commit_monotonic;
mod configurations;
mod durable_before_ack;
mod election_safety;
mod evidence;
mod exactly_once;
mod leader_append_only;
mod leader_completeness;
mod lease_overlap;
mod linearizable;
mod log_matching;
mod lost_commits;
mod monotonic_reads;
mod mutual_exclusion;
mod quorum_overlap;
mod read_your_writes;
mod role_transitions;
mod sessions;
mod stale_read;
mod state_hash_equal;
mod state_machine_safety;
mod term_monotonic;
mod vote_once;

#[cfg(test)]
mod tests;

use crate::history::History;
use crate::params::{Params, Setting};
use crate::trace::Trace;
use crate::verdict::{Budget, Verdict};

/// What a property judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// What the clients saw.
    History,
    /// That, and reads of every key after all faults were healed.
    HistoryAndFinalReads,
    /// What the nodes wrote down.
    Trace,
}

/// One run, as recorded.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// What the clients saw.
    pub history: &'a History,
    /// The position in the history of the first event of the final reads; `None` if there were none.
    pub final_reads_from: Option<usize>,
    /// What the nodes wrote down; empty for a system without traces.
    pub trace: &'a Trace,
}

/// An entry of the registry.
#[derive(Clone, Copy, Debug)]
pub struct PropertyKind {
    /// The name in a suite file, in kebab-case.
    pub name: &'static str,
    /// One sentence for the reference page.
    pub summary: &'static str,
    /// How a suite asks for it.
    pub example: &'static str,
    /// What can be set.
    pub settings: &'static [Setting],
    /// What it judges.
    pub needs: Needs,
    /// Judges a run.
    pub judge: fn(&Run<'_>, &Params, &Budget<'_>) -> Verdict,
}

static REGISTRY: &[PropertyKind] = &[
    linearizable::KIND,
    lost_commits::KIND,
    stale_read::KIND,
    monotonic_reads::KIND,
    read_your_writes::KIND,
    exactly_once::KIND,
    mutual_exclusion::KIND,
    election_safety::KIND,
    vote_once::KIND,
    log_matching::KIND,
    leader_completeness::KIND,
    state_machine_safety::KIND,
    commit_monotonic::KIND,
    state_hash_equal::KIND,
    term_monotonic::KIND,
    role_transitions::KIND,
    leader_append_only::KIND,
    commit_has_quorum::KIND,
    durable_before_ack::KIND,
    quorum_overlap::KIND,
    lease_overlap::KIND,
];

/// All properties.
pub fn registry() -> &'static [PropertyKind] {
    REGISTRY
}

/// The property of this name.
pub fn find(name: &str) -> Option<&'static PropertyKind> {
    REGISTRY.iter().find(|kind| kind.name == name)
}

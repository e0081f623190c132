//! The one type at which a run and its reporters meet.
//!
//! The process inside the sandbox writes these as JSON lines to its standard output; the process outside reads them
//! and hands them to whatever shows them. A reporter sees nothing else of a run until the run directory is judged.

use serde::{Deserialize, Serialize};

/// The stages of a run, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The nodes are being started.
    Starting,
    /// Clients work and nothing is broken yet.
    WarmUp,
    /// Clients work while faults come and go.
    Faults,
    /// Everything is undone from the ledger.
    Healing,
    /// Clients work until the cluster has shown progress.
    Recovery,
    /// Clients are silent until all nodes have applied the same.
    Settling,
    /// The final state is read.
    FinalReads,
    /// The nodes are being stopped.
    Stopping,
}

impl Phase {
    /// A word or two for the status line.
    pub fn label(self) -> &'static str {
        match self {
            Phase::Starting => "starting",
            Phase::WarmUp => "warm-up",
            Phase::Faults => "faults",
            Phase::Healing => "healing",
            Phase::Recovery => "recovery",
            Phase::Settling => "settling",
            Phase::FinalReads => "final reads",
            Phase::Stopping => "stopping",
        }
    }
}

/// Counts of completed calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calls {
    /// Took effect.
    pub ok: u64,
    /// Provably without effect.
    pub failed: u64,
    /// Of unknown outcome.
    pub unknown: u64,
}

/// One thing that happened in a run. Times are nanoseconds since the start of the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum RunEvent {
    /// A phase began.
    Phase {
        /// When.
        at: u64,
        /// Which.
        phase: Phase,
    },
    /// Some time has passed.
    Progress {
        /// When.
        at: u64,
        /// Calls so far.
        calls: Calls,
        /// What is known of leadership: "n3 leads term 7".
        leader: Option<String>,
        /// The faults in force, as short texts.
        active: Vec<String>,
    },
    /// A fault was installed, skipped, or undone.
    Fault {
        /// When.
        at: u64,
        /// One line: "partition isolate-leader n3 | n1 n2 n4 n5: installed".
        text: String,
    },
    /// A step of a choreography is done, or was missed.
    Step {
        /// When.
        at: u64,
        /// One line: "campaign: n1: told to stand for election, which it has begun".
        text: String,
    },
    /// A node's process ended although no fault ended it.
    NodeExited {
        /// When.
        at: u64,
        /// Which node.
        node: String,
        /// How: "signal 6".
        status: String,
    },
    /// The nodes are kept running for the user to look at.
    Kept {
        /// What to type in order to reach them.
        hint: String,
    },
    /// The run could not be carried out; says nothing about the system under test.
    HarnessFailure {
        /// What happened, where, and what to do.
        message: String,
    },
    /// This host cannot run it.
    Unavailable {
        /// What is missing and how to get it.
        message: String,
    },
    /// The run is over and its directory complete.
    Finished {
        /// When.
        at: u64,
        /// Whether the user cut it short.
        interrupted: bool,
    },
}

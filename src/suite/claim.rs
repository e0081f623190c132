//! What a suite claims of a run beside its checks: progress in time, a cost, an event.
//!
//! Invariant: a claim of progress states its bound, a claim of cost names the cell that it is compared with, and a claim
//! of an event names one that the traces of nodes hold; nothing here is judged from what steps or faults were meant to
//! do. Deliberately absent: the judging, see `judge/claims`.

use serde::{Deserialize, Serialize};

/// One claim. All of them presuppose that no check is violated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Claim {
    /// Progress is never missing for longer than the bound.
    Live(Liveness),
    /// Progress is missing for at least the bound.
    Stalls(Liveness),
    /// A measure is worse, or not worse, than in another cell of the same run.
    Degrades(Degrades),
    /// An event of the nodes happened, or did not.
    Behaviour(Behaviour),
}

/// Progress, and how long one may wait for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Liveness {
    /// What counts as progress.
    pub of: Progress,
    /// The bound, above 0.
    pub bound_ns: u64,
    /// The part of the run that is looked at.
    #[serde(flatten)]
    pub part: Part,
}

/// What counts as progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    /// A write was acknowledged.
    Writes,
    /// A read was answered.
    Reads,
    /// A node was elected.
    Elections,
}

/// A part of a run, between two labelled steps. Without a label: from the first fault or step, and until healing begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Part {
    /// From the end of the step with this label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Until the begin of the step with this label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// How a measure compares with that of another cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Degrades {
    /// The measure: `latency`.
    pub measure: String,
    /// Which number of it: `p99`.
    pub aggregate: String,
    /// Of which node, where a measure is one of nodes; the most of any if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The cell that it is compared with.
    pub control: String,
    /// How much worse it is, as a factor: 2 is twice the time, or half the throughput.
    pub factor: Factor,
}

/// A bound on a factor.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Factor {
    /// At least so many times worse.
    AtLeast(f64),
    /// At most so many times worse.
    AtMost(f64),
}

/// An event of the nodes, and whether it has to happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Behaviour {
    /// Whether it has to happen.
    pub when: When,
    /// Which event.
    pub event: NodeEvent,
    /// Of this node only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// In this term only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term: Option<u64>,
    /// The part of the run that is looked at; without labels all of it.
    #[serde(flatten)]
    pub part: Part,
}

/// Whether an event has to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// At least once.
    Occurs,
    /// Not at all.
    Never,
}

/// The events that a claim can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeEvent {
    /// A node becomes leader.
    Elected,
    /// A node asks for votes.
    Campaigns,
    /// A node asks whether it could win an election.
    AsksPreVote,
    /// A node that led, or stood for election, follows.
    Follows,
    /// A node gives a vote to another.
    Votes,
    /// A node removes entries from the end of its log.
    Truncates,
    /// A node takes a snapshot of its own state.
    TakesSnapshot,
    /// A node installs a snapshot of its leader.
    InstallsSnapshot,
    /// A node starts again with what it had.
    Restarts,
    /// A leader commits an entry of an earlier term by an entry of that term.
    CommitsOldTerm,
    /// A node ends although nothing ended it.
    Exits,
}

impl NodeEvent {
    /// All of them, with their names in suite files.
    pub const ALL: [(&'static str, NodeEvent); 11] = [
        ("elected", NodeEvent::Elected),
        ("campaigns", NodeEvent::Campaigns),
        ("asks-pre-vote", NodeEvent::AsksPreVote),
        ("follows", NodeEvent::Follows),
        ("votes", NodeEvent::Votes),
        ("truncates", NodeEvent::Truncates),
        ("takes-snapshot", NodeEvent::TakesSnapshot),
        ("installs-snapshot", NodeEvent::InstallsSnapshot),
        ("restarts", NodeEvent::Restarts),
        ("commits-old-term", NodeEvent::CommitsOldTerm),
        ("exits", NodeEvent::Exits),
    ];

    /// Its name in suite files.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, event)| *event == self).map_or("", |(name, _)| name)
    }
}

impl Progress {
    /// All kinds, with their names in suite files.
    pub const ALL: [(&'static str, Progress); 3] =
        [("writes", Progress::Writes), ("reads", Progress::Reads), ("elections", Progress::Elections)];

    /// Its name in suite files.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, progress)| *progress == self).map_or("", |(name, _)| name)
    }
}

impl Claim {
    /// The key of the claim in suite files, which is also the name of its verdict.
    pub fn name(&self) -> &'static str {
        match self {
            Claim::Live(_) => "live",
            Claim::Stalls(_) => "stalls",
            Claim::Degrades(_) => "degrades",
            Claim::Behaviour(_) => "behaviour",
        }
    }

    /// The claim in words: "stalls (no writes for 2s)".
    pub fn words(&self) -> String {
        let time = super::duration_text;
        match self {
            Claim::Live(claim) => format!("live ({} within {})", claim.of.name(), time(claim.bound_ns)),
            Claim::Stalls(claim) => format!("stalls (no {} for {})", claim.of.name(), time(claim.bound_ns)),
            Claim::Degrades(claim) => {
                let (how, factor) = match claim.factor {
                    Factor::AtLeast(factor) => ("at least", factor),
                    Factor::AtMost(factor) => ("at most", factor),
                };
                let (measured, control) = (claim.measured(), &claim.control);
                format!("{measured} {how} {factor} times worse than in {control}")
            }
            Claim::Behaviour(claim) => claim.words(),
        }
    }
}

impl Degrades {
    /// What is measured: `latency.p99`, `memory.max of n1`.
    pub fn measured(&self) -> String {
        let node = self.node.as_ref().map_or_else(String::new, |node| format!(" of {node}"));
        format!("{}.{}{node}", self.measure, self.aggregate)
    }
}

impl Behaviour {
    fn words(&self) -> String {
        let who = self.node.as_deref().unwrap_or("a node");
        let event = self.event.name();
        let term = self.term.map_or_else(String::new, |term| format!(" in term {term}"));
        match self.when {
            When::Occurs => format!("{who}: {event}{term}"),
            When::Never => format!("{who}: never {event}{term}"),
        }
    }
}

//! Nodes that are taken down and come back, one after another, or under other rules.
//!
//! Invariant: whatever a start came to, undoing ends with nodes that run under the rules that they had before.

use std::time::Duration;

use cluster::levers::{LeverError, Levers, NodeSignal, ProcessState};
use cluster::start::{StartAs, StartOutcome};
use cluster::system::NodeId;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::fault::Injection;
use crate::moves::{all_in, list, signal_all};
use crate::target::Undone;

/// How long a node may take until it answers.
const START_LIMIT: Duration = Duration::from_secs(10);
/// How long a node that was told to end may take.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// How a node is taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// SIGKILL.
    Kill,
    /// SIGTERM.
    Stop,
    /// SIGSTOP.
    Pause,
}

/// Nodes that go and come back one after another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rolled {
    /// In this order.
    pub nodes: Vec<NodeId>,
    /// How.
    pub way: Way,
    /// For how long each is out, in milliseconds.
    pub out_ms: u64,
    /// How long until the next goes, in milliseconds.
    pub between_ms: u64,
}

/// Nodes that run under other rules for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconfigured {
    /// Which.
    pub nodes: Vec<NodeId>,
    /// The rules, beside those of the suite.
    pub rules: Vec<(String, String)>,
}

impl Way {
    /// The signal that takes a node out.
    fn signal(self) -> NodeSignal {
        match self {
            Way::Kill => NodeSignal::Kill,
            Way::Stop => NodeSignal::Terminate,
            Way::Pause => NodeSignal::Pause,
        }
    }

    /// "killed".
    pub(crate) fn word(self) -> &'static str {
        match self {
            Way::Kill => "killed",
            Way::Stop => "stopped",
            Way::Pause => "paused",
        }
    }
}

/// Takes one node out. `Err` is how the injection ended if that did not succeed.
pub(crate) async fn take_out(node: NodeId, way: Way, levers: &dyn Levers) -> Result<(), Injection> {
    signal_all(&[node], way.signal(), levers).await?;
    let wanted = if way == Way::Pause { ProcessState::Paused } else { ProcessState::Down };
    if way == Way::Stop && !levers.wait_down(node, STOP_LIMIT).await {
        return Err(Injection::Indeterminate(format!("{node} did not end within {STOP_LIMIT:?}")));
    }
    all_in(&[node], wanted, levers)
}

/// Lets all of the nodes go and come back. The last one is back when this ends.
pub(crate) async fn roll(rolled: &Rolled, levers: &dyn Levers) -> Injection {
    for (position, node) in rolled.nodes.iter().enumerate() {
        if position > 0 {
            sleep(Duration::from_millis(rolled.between_ms)).await;
        }
        if let Err(injection) = take_out(*node, rolled.way, levers).await {
            return if position == 0 { injection } else { begun(injection) };
        }
        sleep(Duration::from_millis(rolled.out_ms)).await;
        let back = match rolled.way {
            Way::Pause => levers.signal(*node, NodeSignal::Resume).await,
            Way::Kill | Way::Stop => levers.start(*node).await,
        };
        if let Err(error) = back {
            return Injection::Indeterminate(format!("{node} did not come back: {error}"));
        }
    }
    Injection::installed(format!("{} {} one after another", list(&rolled.nodes), rolled.way.word()))
}

/// Once a node was touched, nothing is skipped any more.
pub(crate) fn begun(injection: Injection) -> Injection {
    match injection {
        Injection::Skipped(why) => Injection::Indeterminate(format!("it had begun; {why}")),
        other => other,
    }
}

/// Kills the nodes and starts them under other rules.
pub(crate) async fn reconfigure(reconfigured: &Reconfigured, levers: &dyn Levers) -> Injection {
    let mut proofs = Vec::new();
    for (position, node) in reconfigured.nodes.iter().enumerate() {
        if let Err(injection) = take_out(*node, Way::Kill, levers).await {
            return if position == 0 { injection } else { begun(injection) };
        }
        let how = StartAs { rules: Some(reconfigured.rules.clone()), ..StartAs::default() };
        match levers.start_as(*node, how, START_LIMIT).await {
            Ok(StartOutcome::Answers) => proofs.push(format!("{node} answers")),
            Ok(outcome) => return Injection::Indeterminate(format!("{node}: {}", in_words(&outcome))),
            Err(error) => return Injection::Indeterminate(format!("{node} was killed, but: {error}")),
        }
    }
    Injection::installed(proofs.join(", "))
}

/// Starts the nodes under the rules of the suite alone.
pub(crate) async fn restore_rules(
    reconfigured: &Reconfigured,
    levers: &dyn Levers,
) -> Result<Undone, String> {
    let mut done = Vec::new();
    for node in &reconfigured.nodes {
        match levers.signal(*node, NodeSignal::Kill).await {
            Ok(()) | Err(LeverError::WrongState(_)) => {}
            Err(error) => return Err(format!("{node}: {error}")),
        }
        let how = StartAs { rules: Some(Vec::new()), ..StartAs::default() };
        match levers.start_as(*node, how, START_LIMIT).await {
            Ok(StartOutcome::Answers) => done.push(format!("{node} back under its rules")),
            Ok(outcome) => return Err(format!("{node}: {}", in_words(&outcome))),
            Err(error) => return Err(format!("{node}: {error}")),
        }
    }
    Ok(Undone::new(done.join(", ")))
}

fn in_words(outcome: &StartOutcome) -> String {
    match outcome {
        StartOutcome::Answers => "it answers".to_owned(),
        StartOutcome::Silent => format!("it did not answer within {START_LIMIT:?}"),
        StartOutcome::Refused { status, said, .. } => format!("it refused to start ({status}): {said}"),
    }
}

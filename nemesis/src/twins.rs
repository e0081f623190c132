//! Second processes that take themselves for a node that is there already.
//!
//! Invariant: the node itself ends as it began, a running process on its own data; when a twin is over, nothing is left on its host.

use std::time::Duration;

use cluster::edit::DataEdit;
use cluster::levers::{LeverError, Levers, NodeSignal, ProcessState};
use cluster::start::{StartAs, StartOutcome, Twin, TwinData};
use cluster::system::NodeId;
use serde::{Deserialize, Serialize};

use crate::fault::Injection;
use crate::moves::{all_in, signal_all};
use crate::target::{Effect, Undone};

/// How long a twin may take until it answers.
const START_LIMIT: Duration = Duration::from_secs(5);
/// The name of the copy that a twin is made of.
const COPY: &str = "twin";

/// A node and its twin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Twinned {
    /// The node, and the spare host on which its twin runs.
    pub parties: [NodeId; 2],
    /// What the twin has stored.
    pub store: Store,
}

/// What a twin has stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Store {
    /// The data directory of the node itself.
    Shared,
    /// A copy of it, for which the node is killed and started again.
    Copy,
    /// Nothing.
    Empty,
}

impl Twinned {
    /// One line for the status and the report.
    pub(crate) fn describe(&self) -> String {
        let [of, host] = self.parties;
        let store = match self.store {
            Store::Shared => "its data directory",
            Store::Copy => "a copy of its data",
            Store::Empty => "no data",
        };
        format!("{of} a second time, on the host {host}, with {store}")
    }
}

/// Starts the twin.
pub(crate) async fn start(twinned: &Twinned, levers: &dyn Levers) -> Injection {
    let [of, host] = twinned.parties;
    let copied = match twinned.store {
        Store::Shared | Store::Empty => None,
        Store::Copy => match copy(of, host, levers).await {
            Ok(copied) => Some(copied),
            Err(injection) => return injection,
        },
    };
    let data = if twinned.store == Store::Shared { TwinData::Shared } else { TwinData::Own };
    let how = StartAs { twin: Some(Twin { of, data }), ..StartAs::default() };
    let came = match levers.start_as(host, how, START_LIMIT).await {
        Ok(StartOutcome::Answers) => format!("{host} answers as {of}"),
        Ok(StartOutcome::Silent) => format!("{host} runs as {of} and did not answer within {START_LIMIT:?}"),
        Ok(StartOutcome::Refused { status, said, .. }) => {
            format!(
                "{host}, started as {of}, ended at once ({status}): {}",
                said.lines().last().unwrap_or("it said nothing")
            )
        }
        Err(error @ (LeverError::WrongState(_) | LeverError::Unsupported(_))) if copied.is_none() => {
            return Injection::Skipped(error.to_string());
        }
        Err(error) => return Injection::Indeterminate(error.to_string()),
    };
    Injection::installed(copied.into_iter().chain([came]).collect::<Vec<_>>().join("; "))
}

/// Copies the data of a node to another host. `Err` is how the injection ended if that did not succeed.
async fn copy(of: NodeId, host: NodeId, levers: &dyn Levers) -> Result<String, Injection> {
    signal_all(&[of], NodeSignal::Kill, levers).await?;
    all_in(&[of], ProcessState::Down, levers)?;
    let failed = |error: LeverError| Injection::Indeterminate(format!("{of} was killed, but: {error}"));
    let saved = levers.edit_data(of, DataEdit::Save { name: COPY.to_owned() }).await.map_err(failed)?;
    levers.start(of).await.map_err(failed)?;
    let restore = DataEdit::Restore { name: COPY.to_owned(), of: Some(of) };
    levers.edit_data(host, restore).await.map_err(failed)?;
    Ok(format!("{of}: {saved}"))
}

/// Ends the twin and removes what it has stored of its own, and starts the node if it is down.
pub(crate) async fn end(twinned: &Twinned, levers: &dyn Levers) -> Result<Undone, String> {
    let [of, host] = twinned.parties;
    let effect = match levers.process(host) {
        ProcessState::Running | ProcessState::Paused => format!("{host} ran as {of} until the end"),
        ProcessState::Down => format!("{host} had ended by itself"),
    };
    match levers.signal(host, NodeSignal::Kill).await {
        Ok(()) | Err(LeverError::WrongState(_)) => {}
        Err(error) => return Err(format!("{host}: {error}")),
    }
    // A twin without data of its own leaves its host as it was.
    if twinned.store != Store::Shared {
        levers.edit_data(host, DataEdit::Wipe).await.map_err(|error| format!("{host}: {error}"))?;
    }
    let done = match levers.process(of) {
        ProcessState::Down => levers.start(of).await.map(|()| format!("{host} ended, {of} started")),
        ProcessState::Running | ProcessState::Paused => Ok(format!("{host} ended")),
    };
    let done = done.map_err(|error| format!("{of}: {error}"))?;
    Ok(Undone { effect: Some(Effect::Seen(effect)), ..Undone::new(done) })
}

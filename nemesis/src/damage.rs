//! Damage to what nodes have stored in plain files.
//!
//! Invariant: nothing is changed while a node runs; a node that was killed for a damage that could not be done is started by undoing
//! like any other.

use std::time::Duration;

use cluster::edit::DataEdit;
use cluster::levers::{Levers, NodeSignal, ProcessState};
use cluster::system::NodeId;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::fault::Injection;
use crate::moves::{all_in, list, signal_all};
use crate::restarts::begun;

/// The name of the copy that is restored.
const COPY: &str = "earlier";

/// Nodes whose stored data is damaged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damaged {
    /// Which; exactly two with [`Damage::Swap`].
    pub nodes: Vec<NodeId>,
    /// How.
    pub damage: Damage,
    /// What is random in it is drawn from this.
    pub seed: u64,
}

/// A damage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Damage {
    /// Bits of a file are flipped.
    FlipBits {
        /// Which file, as in [`DataEdit::FlipBits`].
        file: String,
        /// How many.
        bits: u32,
    },
    /// A file loses its end.
    Truncate {
        /// Which file.
        file: String,
        /// How many bytes.
        bytes: u64,
    },
    /// A file is gone.
    DeleteFile {
        /// Which file.
        file: String,
    },
    /// Everything is gone.
    Wipe,
    /// Everything is as it was.
    Restore {
        /// So long before, in milliseconds.
        age_ms: u64,
    },
    /// The two nodes have each other's.
    Swap,
}

impl Damaged {
    /// One line for the status and the report.
    pub(crate) fn describe(&self) -> String {
        let what = match &self.damage {
            Damage::FlipBits { file, bits } => format!("{bits} wrong bits in {file}"),
            Damage::Truncate { file, bytes } => format!("{file} {bytes} bytes shorter"),
            Damage::DeleteFile { file } => format!("{file} removed"),
            Damage::Wipe => "nothing stored".to_owned(),
            Damage::Restore { age_ms } => format!("data of {age_ms} ms ago"),
            Damage::Swap => "each other's data".to_owned(),
        };
        format!("{}: {what}", list(&self.nodes))
    }
}

/// Kills the nodes and damages what they have stored.
pub(crate) async fn damage(damaged: &Damaged, levers: &dyn Levers) -> Injection {
    let (nodes, edits) = (&damaged.nodes, edits(damaged));
    if edits.is_empty() {
        return Injection::Skipped(format!("{} takes two nodes", damaged.describe()));
    }
    if let Damage::Restore { age_ms } = damaged.damage {
        if let Err(injection) = copy(nodes, levers).await {
            return injection;
        }
        sleep(Duration::from_millis(age_ms)).await;
    }
    if let Err(injection) = kill(nodes, levers).await {
        let restores = matches!(damaged.damage, Damage::Restore { .. });
        return if restores { begun(injection) } else { injection };
    }
    let mut proofs = Vec::new();
    for (node, edit) in edits {
        match levers.edit_data(node, edit).await {
            Ok(proof) => proofs.push(format!("{node}: {proof}")),
            Err(error) => {
                proofs.push(format!("{node} was killed, but: {error}"));
                return Injection::Indeterminate(proofs.join("; "));
            }
        }
    }
    Injection::installed(proofs.join("; "))
}

async fn kill(nodes: &[NodeId], levers: &dyn Levers) -> Result<(), Injection> {
    signal_all(nodes, NodeSignal::Kill, levers).await?;
    all_in(nodes, ProcessState::Down, levers)
}

/// Keeps a copy of what the nodes have now.
async fn copy(nodes: &[NodeId], levers: &dyn Levers) -> Result<(), Injection> {
    kill(nodes, levers).await?;
    for node in nodes {
        let failed = |error| Injection::Indeterminate(format!("{node} was killed for a copy, but: {error}"));
        levers.edit_data(*node, DataEdit::Save { name: COPY.to_owned() }).await.map_err(failed)?;
        levers.start(*node).await.map_err(failed)?;
    }
    Ok(())
}

/// The edits that make up a damage, each with its node. A swap is one edit for two nodes.
fn edits(damaged: &Damaged) -> Vec<(NodeId, DataEdit)> {
    let edit = |node: &NodeId| match &damaged.damage {
        Damage::FlipBits { file, bits } => {
            // Each node of its own, or all would lose the same bits.
            let seed = damaged.seed.wrapping_add(node.0.into());
            Some(DataEdit::FlipBits { file: file.clone(), bits: *bits, seed })
        }
        Damage::Truncate { file, bytes } => Some(DataEdit::Truncate { file: file.clone(), bytes: *bytes }),
        Damage::DeleteFile { file } => Some(DataEdit::DeleteFile { file: file.clone() }),
        Damage::Wipe => Some(DataEdit::Wipe),
        Damage::Restore { .. } => Some(DataEdit::Restore { name: COPY.to_owned(), of: None }),
        Damage::Swap => match damaged.nodes.as_slice() {
            [one, other] if one == node => Some(DataEdit::Swap { with: *other }),
            _ => None,
        },
    };
    damaged.nodes.iter().filter_map(|node| Some((*node, edit(node)?))).collect()
}

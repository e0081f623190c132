//! `durable-before-ack`: what a node acknowledges, and what a leader counts of itself, is durable on that node.
//!
//! ```yaml
//! checks: [durable-before-ack]
//! ```
//!
//! Durable is what the node says that it synced (`fsync`), what it found at its start, and what an installed snapshot
//! covers; a removal takes it back. Each node is judged by the order of its own lines alone. The reader of a violation sees the
//! acknowledgement, or the commit that counts the leader itself, and the last sync before it. Reference: Ongaro & Ousterhout,
//! figure 2 (persistent state is updated on stable storage before responding to RPCs).

use super::{Needs, PropertyKind, Run, evidence};
use crate::params::Params;
use crate::trace::{Node, SnapshotState, Trace, What};
use crate::verdict::{Budget, Verdict};

pub(super) const KIND: PropertyKind = PropertyKind {
    name: "durable-before-ack",
    summary: "What a node acknowledges, and what a leader counts of itself, is durable on that node.",
    example: "checks: [durable-before-ack]",
    settings: &[],
    needs: Needs::Trace,
    judge,
};

fn judge(run: &Run<'_>, _: &Params, _: &Budget<'_>) -> Verdict {
    let trace = run.trace;
    let mut examined = 0;
    for node in trace.all_nodes() {
        let mut disk = Disk::default();
        for position in trace.of(node) {
            let claimed = claimed(trace, node, position);
            examined += u64::from(claimed.is_some());
            // What was acknowledged in an earlier term than that of a removal may be told behind it.
            let judged = disk.known && trace.events[position].term >= disk.removed_in;
            if let Some(index) = claimed.filter(|index| judged && *index > disk.durable) {
                let who = trace.name(node);
                let summary = format!(
                    "{who} vouches for its log up to index {index}, of which only {} is durable",
                    match disk.durable {
                        0 => "nothing".to_owned(),
                        durable => format!("what stands up to index {durable}"),
                    }
                );
                let mut items = vec![evidence::event(trace, position)];
                if let Some(at) = disk.last {
                    let what = format!("its log is durable up to index {}", disk.durable);
                    items.push(evidence::instant(trace, at, what));
                }
                return evidence::violated(trace, summary, items);
            }
            if matches!(trace.events[position].what, What::Truncate(_)) {
                disk.removed_in = trace.events[position].term;
            }
            disk.observe(trace.events[position].what, position);
        }
    }
    evidence::holds(trace, examined, "acknowledgements")
}

/// The index up to which the node vouches for its own log at this event.
fn claimed(trace: &Trace, node: Node, position: usize) -> Option<u64> {
    match trace.events[position].what {
        What::Ack(_, index) => Some(index),
        What::Commit(commit) if trace.list(commit.acks).contains(&node) => Some(commit.index),
        _ => None,
    }
}

/// What a node has on its disk, as it says.
#[derive(Default)]
struct Disk {
    durable: u64,
    /// Whether its start was seen: before, nothing is known.
    known: bool,
    /// The event that says so.
    last: Option<usize>,
    /// The term of the last removal.
    removed_in: u64,
}

impl Disk {
    fn observe(&mut self, what: What, position: usize) {
        let durable = match what {
            What::Boot(boot) => {
                self.known = true;
                boot.last_index.max(boot.snapshot_index)
            }
            What::Fsync(index, _) => self.durable.max(index),
            What::Snapshot(SnapshotState::Installed, index, _) => self.durable.max(index),
            What::Truncate(from) => self.durable.min(from.saturating_sub(1)),
            _ => return,
        };
        self.durable = durable;
        self.last = Some(position);
    }
}

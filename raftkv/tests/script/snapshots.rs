//! The state machine of a script's node, a row of commands, and where its snapshots lie.

use std::collections::VecDeque;

use raftkv::raft::control::Order;
use raftkv::raft::io::{Effects, Input, NodeId};
use raftkv::raft::log::{Entry, Payload};
use raftkv::raft::snapshot::{
    Chunk, SendChunk, SnapshotId, SnapshotMeta, SnapshotReport, SnapshotWork, Verification,
};

use raftkv::store::Store;

use super::{Outcome, Script};

/// A snapshot: its bytes are the commands, with a space between them.
#[derive(Clone)]
pub(super) struct Stored {
    pub(super) meta: SnapshotMeta,
    bytes: Vec<u8>,
}

/// What a node has beside its log.
#[derive(Default)]
pub(super) struct Shelf {
    /// The commands that were applied.
    pub(super) state: Vec<String>,
    pub(super) applied: u64,
    /// The snapshot on its disk.
    pub(super) stored: Option<Stored>,
    received: Vec<u8>,
    /// What arrives is not what is kept.
    spoils: bool,
    /// What is not done yet, with the state at its time.
    work: VecDeque<(SnapshotWork, Vec<String>)>,
    frozen: bool,
}

fn command(entry: &Entry) -> Option<String> {
    match &entry.payload {
        Payload::Command(command) => Some(String::from_utf8_lossy(command.as_bytes()).into_owned()),
        _ => None,
    }
}

fn commands(bytes: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(bytes).split_whitespace().map(str::to_owned).collect()
}

impl Shelf {
    /// A node starts with what its snapshot holds.
    pub(super) fn start(&mut self) -> Option<SnapshotMeta> {
        let stored = self.stored.as_ref()?;
        (self.state, self.applied) = (commands(&stored.bytes), stored.meta.id.last.index);
        Some(stored.meta.clone())
    }

    /// Everything but the disk is gone; whether a snapshot was under way.
    pub(super) fn crash(&mut self) -> Vec<String> {
        let lost = self.work.drain(..).filter_map(|(work, _)| match work {
            SnapshotWork::Take(take) => Some(format!("the snapshot up to {}", take.last)),
            _ => None,
        });
        let lost = lost.collect();
        *self = Self { stored: self.stored.take(), ..Self::default() };
        lost
    }
}

impl Script {
    pub(super) fn order_snapshots(&mut self, arguments: &[&str]) -> Outcome {
        self.targets(arguments)?.into_iter().try_for_each(|id| self.order(id, "snapshot", Order::Snapshot))
    }

    /// The disk loses its snapshots.
    pub(super) fn lose_snapshots(&mut self, arguments: &[&str]) -> Outcome {
        self.targets(arguments)?.into_iter().try_for_each(|id| {
            self.node(id)?.shelf.stored = None;
            Ok(())
        })
    }

    /// A message from a node with all of its snapshot, as it may have been under way for long.
    pub(super) fn forge_snapshot(&mut self, arguments: &[&str]) -> Outcome {
        let [from, to] = arguments else { return Err("forge-snapshot: from whom, to whom?".into()) };
        let (from, to) = (from.parse()?, to.parse()?);
        let node = self.node(from)?;
        let term = node.raft.as_ref().ok_or("it is down")?.term();
        let Stored { meta, bytes } = node.shelf.stored.clone().ok_or("it has no snapshot")?;
        let (offset, len) = (0, bytes.len());
        let chunk = SendChunk { to, term, id: meta.id, total: meta.size, offset, len };
        self.post(from, to, chunk.message(bytes));
        Ok(())
    }

    pub(super) fn freeze(&mut self, arguments: &[&str], frozen: bool) -> Outcome {
        self.targets(arguments)?.into_iter().try_for_each(|id| {
            self.node(id)?.shelf.frozen = frozen;
            self.finish_snapshot_work(id)
        })
    }

    pub(super) fn spoil(&mut self, arguments: &[&str], spoils: bool) -> Outcome {
        self.targets(arguments)?.into_iter().try_for_each(|id| {
            self.node(id)?.shelf.spoils = spoils;
            Ok(())
        })
    }

    /// What every node has applied.
    pub(super) fn machines(&mut self) {
        let show = |(id, node): (&NodeId, &super::Node)| {
            format!("{id} has applied {}: {}", node.shelf.applied, node.shelf.state.join(" "))
        };
        let lines: Vec<String> = self.nodes.iter().map(show).collect();
        self.out.extend(lines);
    }

    /// The part of effects that concerns the state machine.
    pub(super) fn apply_to_shelf(&mut self, id: NodeId, effects: &Effects) -> Outcome {
        let super::Node { shelf, machine, .. } = self.node(id)?;
        let mut restored = None;
        if let Some(restore) = effects.restore {
            let stored = shelf.stored.as_ref().filter(|stored| stored.meta.id == restore);
            shelf.state = commands(&stored.ok_or("a snapshot that is not there is restored")?.bytes);
            shelf.applied = restore.last.index;
            // What `value` shows begins anew: a script that asks for it asks who has applied what.
            if let Some(machine) = machine {
                machine.restore(restore.last.index, Store::default())?;
            }
            restored = Some(format!("{id} goes on from the state: {}", shelf.state.join(" ")));
        }
        for entry in &effects.apply {
            shelf.applied = entry.index;
            shelf.state.extend(command(entry));
        }
        restored.into_iter().for_each(|line| self.say(line));
        Ok(())
    }

    pub(super) fn begin_snapshot_work(&mut self, id: NodeId, work: Vec<SnapshotWork>) -> Outcome {
        for work in work {
            if let SnapshotWork::Take(take) = &work {
                let members =
                    take.configuration.as_ref().map_or("no configuration".to_owned(), |(at, members)| {
                        format!("the configuration of {at}: {}", super::print::configuration(members))
                    });
                let beyond =
                    if take.beyond.is_empty() { "" } else { ", which is behind what it has applied" };
                self.say(format!("{id} begins a snapshot up to {}{beyond}, with {members}", take.last));
            }
            let shelf = &mut self.node(id)?.shelf;
            let state = shelf.state.clone();
            shelf.work.push_back((work, state));
        }
        Ok(())
    }

    pub(super) fn finish_snapshot_work(&mut self, id: NodeId) -> Outcome {
        while !self.node(id)?.shelf.frozen {
            let Some((work, state)) = self.node(id)?.shelf.work.pop_front() else { break };
            if let Some(report) = self.snapshot_work(id, work, state)? {
                self.step(id, Input::Snapshot(report))?;
            }
        }
        Ok(())
    }

    fn snapshot_work(
        &mut self,
        id: NodeId,
        work: SnapshotWork,
        mut state: Vec<String>,
    ) -> Outcome<Option<SnapshotReport>> {
        match work {
            SnapshotWork::Take(take) => {
                state.extend(take.beyond.iter().filter_map(command));
                // No snapshot is empty.
                let bytes = if state.is_empty() { b" ".to_vec() } else { state.join(" ").into_bytes() };
                let id_of = SnapshotId { last: take.last, checksum: crc32fast::hash(&bytes) };
                let size = bytes.len() as u64;
                let meta = SnapshotMeta { id: id_of, size, configuration: take.configuration };
                self.headers.push(meta.clone());
                self.node(id)?.shelf.stored = Some(Stored { meta: meta.clone(), bytes });
                self.say(format!("{id} has the snapshot up to {} on disk", meta.id.last));
                Ok(Some(SnapshotReport::Taken(meta)))
            }
            SnapshotWork::Store(chunk) => {
                self.store_chunk(id, &chunk)?;
                Ok(None)
            }
            SnapshotWork::Complete(which, verification) => self.complete(id, which, verification).map(Some),
            SnapshotWork::Send(chunk) => self.send_chunk(id, &chunk),
        }
    }

    fn store_chunk(&mut self, id: NodeId, chunk: &Chunk) -> Outcome {
        let (from, to) = (chunk.offset as usize, chunk.offset as usize + chunk.data.len());
        let shelf = &mut self.node(id)?.shelf;
        let received = &mut shelf.received;
        if from == 0 {
            received.clear();
        }
        received.resize(received.len().max(to), b'?');
        if shelf.spoils {
            received[from..to].fill(b'?');
        } else {
            received[from..to].copy_from_slice(&chunk.data);
        }
        let text = String::from_utf8_lossy(&chunk.data).into_owned();
        self.say(format!(
            "{id} keeps bytes {from}..{to} of the snapshot up to {}: \"{text}\"",
            chunk.id.last
        ));
        Ok(())
    }

    fn complete(
        &mut self,
        id: NodeId,
        which: SnapshotId,
        verification: Verification,
    ) -> Outcome<SnapshotReport> {
        let bytes = self.node(id)?.shelf.received.clone();
        let checksum = crc32fast::hash(&bytes);
        if verification == Verification::Whole && checksum != which.checksum {
            self.say(format!("{id} refuses the snapshot up to {}: it is not what was announced", which.last));
            return Ok(SnapshotReport::NotReceived(which, "it is not what was announced".into()));
        }
        let header = self.headers.iter().find(|meta| meta.id == which);
        let configuration = header.and_then(|meta| meta.configuration.clone());
        let meta =
            SnapshotMeta { id: SnapshotId { checksum, ..which }, size: bytes.len() as u64, configuration };
        self.node(id)?.shelf.stored = Some(Stored { meta: meta.clone(), bytes });
        self.say(format!("{id} has the snapshot up to {} on disk", meta.id.last));
        Ok(SnapshotReport::Received(meta))
    }

    fn send_chunk(&mut self, id: NodeId, chunk: &SendChunk) -> Outcome<Option<SnapshotReport>> {
        let stored = self.node(id)?.shelf.stored.as_ref().filter(|stored| stored.meta.id == chunk.id);
        let from = chunk.offset as usize;
        let data = stored.and_then(|stored| stored.bytes.get(from..from + chunk.len)).map(<[u8]>::to_vec);
        let Some(data) = data else { return Ok(Some(SnapshotReport::NotSent(chunk.to, chunk.id))) };
        self.post(id, chunk.to, chunk.message(data));
        Ok(None)
    }
}

//! The thread that writes the log: group commit, and what may only be said once a write is durable.
//!
//! Invariants: jobs are finished in the order in which they were given; what a job says (trace lines here, then messages
//! by the driver, to which they are handed back) is said after its own write and every earlier one is durable. After an
//! error nothing more is written or said: the node stops (fail-stop).
//! What it lacks on purpose: any choice. Which messages have to wait is the core's decision.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use crate::raft::io::{NodeId, Persist, PersistId};
use crate::raft::message::Message;
use crate::raft::trace::{Event, EventKind, Fsync};
use crate::tracefile::TraceFile;
use crate::wal::Wal;

/// No further batch joins a write that has grown to this.
const GROUP_BYTES_MAX: usize = 1 << 20;

/// A write and what depends on it.
#[derive(Debug, Default)]
pub(crate) struct Job {
    /// What to write; nothing, for what only depends on earlier writes.
    pub(crate) persist: Option<Persist>,
    /// Trace lines of what holds then.
    pub(crate) trace: Vec<Event>,
    /// Messages that may leave then.
    pub(crate) send: Vec<(NodeId, Message)>,
}

/// What the writer tells the core's thread.
#[derive(Debug)]
pub(crate) enum Report {
    /// Some jobs are done.
    Finished {
        /// Everything up to this batch is durable.
        persisted: Option<PersistId>,
        /// The messages of these jobs, which may leave now.
        send: Vec<(NodeId, Message)>,
    },
    /// Nothing can be written any more.
    Failed(String),
}

/// Everything that the thread needs.
pub(crate) struct Writer {
    /// The log.
    pub(crate) wal: Wal,
    /// The trace, if one is written.
    pub(crate) trace: Option<Arc<TraceFile>>,
}

impl Writer {
    /// Works until no job can come any more.
    pub(crate) fn run(mut self, jobs: &Receiver<Job>, report: impl Fn(Report)) {
        let mut group = Vec::new();
        while let Ok(first) = jobs.recv() {
            self.stage(first, &mut group);
            while self.wal.staged() < GROUP_BYTES_MAX
                && let Ok(next) = jobs.try_recv()
            {
                self.stage(next, &mut group);
            }
            match self.finish(&mut group) {
                Ok(finished) => report(finished),
                Err(error) => return report(Report::Failed(error)),
            }
        }
    }

    fn stage(&mut self, job: Job, group: &mut Vec<Job>) {
        if let Some(persist) = &job.persist {
            self.wal.stage(persist);
        }
        group.push(job);
    }

    /// Makes a group durable, then traces what depends on it.
    fn finish(&mut self, group: &mut Vec<Job>) -> Result<Report, String> {
        self.wal.commit().map_err(|error| error.to_string())?;
        let covered = group.iter().filter_map(|job| job.persist.as_ref()?.compact).max();
        if let Some(index) = covered {
            self.wal.compact(index).map_err(|error| error.to_string())?;
        }
        if let Some(trace) = &self.trace {
            let events = group.iter_mut().flat_map(|job| job.trace.drain(..)).collect();
            trace.write(&merge_syncs(events)).map_err(|error| format!("cannot write the trace: {error}"))?;
        }
        let (mut persisted, mut send) = (None, Vec::new());
        for mut job in group.drain(..) {
            send.append(&mut job.send);
            persisted = job.persist.map(|persist| persist.id).or(persisted);
        }
        Ok(Report::Finished { persisted, send })
    }
}

/// One sync made several batches durable: successive lines about it become one, unless the log became shorter between
/// them.
fn merge_syncs(events: Vec<Event>) -> Vec<Event> {
    let mut merged: Vec<Event> = Vec::with_capacity(events.len());
    for event in events {
        if let EventKind::Fsync(next) = &event.kind
            && let Some(Event { term, kind: EventKind::Fsync(last) }) = merged.last_mut()
            && *term == event.term
            && last.index <= next.index
        {
            *last = Fsync { index: next.index, hard_state: last.hard_state || next.hard_state };
            continue;
        }
        merged.push(event);
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sync(term: u64, index: u64, hard_state: bool) -> Event {
        Event { term, kind: EventKind::Fsync(Fsync { index, hard_state }) }
    }

    #[test]
    fn successive_syncs_are_one_line() {
        let ack = Event { term: 1, kind: EventKind::Ack(NodeId(2), 5) };
        let events =
            vec![sync(1, 4, true), sync(1, 5, false), ack.clone(), sync(1, 6, false), sync(1, 3, false)];
        let expected = [sync(1, 5, true), ack, sync(1, 6, false), sync(1, 3, false)];
        assert_eq!(merge_syncs(events), expected);
        assert_eq!(merge_syncs(vec![sync(1, 1, false), sync(2, 1, true)]).len(), 2, "the terms differ");
    }
}

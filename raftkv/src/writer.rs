//! The thread that writes the log: group commit, and what may only be said once a write is durable.
//!
//! Invariants: jobs are finished in the order in which they were given; what a job says (trace lines here, then messages
//! by the driver, to which they are handed back) is said after its own write and every earlier one is durable. After an
//! error nothing more is written or said: the node stops (fail-stop).
//! While the disk is full nothing is said either, and everything is written once there is room.
//! What it lacks on purpose: any choice. Which messages have to wait, and for what, is the core's decision.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::failpoints::steps;
use crate::failpoints::{self, Point};
use crate::raft::io::{DiskSpace, Flush, HardState, NodeId, Persist, PersistId};
use crate::raft::message::Message;
use crate::raft::rules::{LogSync, Rules};
use crate::raft::trace::{Event, EventKind, Fsync};
use crate::tracefile::TraceFile;
use crate::wal::{Wal, WalError};

/// How often a full disk is asked again.
const FULL_RETRY: Duration = Duration::from_millis(100);

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
    /// There is no room for what waits, or there is again.
    Disk(DiskSpace),
    /// Nothing can be written any more.
    Failed(String),
}

/// Everything that the thread needs.
pub(crate) struct Writer {
    wal: Wal,
    rules: Rules,
    trace: Option<Arc<TraceFile>>,
    /// Jobs that arrived while the disk was full.
    waiting: VecDeque<Job>,
    /// The sync that was not made yet, and when it has to be.
    late: Option<(Instant, Option<Event>)>,
}

/// Jobs that share a write.
#[derive(Default)]
struct Group {
    jobs: Vec<Job>,
    /// What is to be written behind them without a sync.
    cached: Option<HardState>,
}

impl Writer {
    /// A thread's work on an open log.
    pub(crate) fn new(wal: Wal, rules: Rules, trace: Option<Arc<TraceFile>>) -> Self {
        Self { wal, rules, trace, waiting: VecDeque::new(), late: None }
    }

    /// Works until no job can come any more.
    pub(crate) fn run(mut self, jobs: &Receiver<Job>, report: impl Fn(Report)) {
        let mut group = Group::default();
        loop {
            let result = match self.next(jobs) {
                Ok(None) => return,
                Ok(Some(first)) => self.gather(first, jobs, &mut group).and_then(|()| {
                    let finished = self.finish(&mut group, jobs, &report);
                    finished.map(&report)
                }),
                Err(error) => Err(error),
            };
            if let Err(error) = result {
                return report(Report::Failed(error));
            }
        }
    }

    /// The next job; syncs what is due meanwhile. `None` when no job can come any more.
    fn next(&mut self, jobs: &Receiver<Job>) -> Result<Option<Job>, String> {
        if let Some(job) = self.waiting.pop_front() {
            return Ok(Some(job));
        }
        while let Some((due, _)) = &self.late {
            match jobs.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(job) => return Ok(Some(job)),
                Err(RecvTimeoutError::Timeout) => self.sync_late()?,
                Err(RecvTimeoutError::Disconnected) => {
                    // An orderly end leaves nothing behind.
                    self.sync_late()?;
                    return Ok(None);
                }
            }
        }
        Ok(jobs.recv().ok())
    }

    /// Stages a job and those that may share its sync.
    fn gather(&mut self, first: Job, jobs: &Receiver<Job>, group: &mut Group) -> Result<(), String> {
        // Everything that waits shares one sync: none is reported before it, and either all of them are on disk or none
        // (section 10.2.2 of the thesis on batching). One sync for each is as safe, and as slow as the disk.
        match self.rules.storage.log_sync {
            LogSync::Serial => self.stage_serially(first, group),
            LogSync::GroupCommit => {
                self.stage(first, group);
                while self.wal.staged() < GROUP_BYTES_MAX
                    && let Some(next) = self.waiting.pop_front().or_else(|| jobs.try_recv().ok())
                {
                    self.stage(next, group);
                }
                Ok(())
            }
        }
    }

    fn stage(&mut self, job: Job, group: &mut Group) {
        if let Some(persist) = &job.persist {
            self.wal.stage(persist);
            // What is only cached stands behind everything that is synced, unless that is newer.
            group.cached = persist.cached.or(group.cached.filter(|_| persist.hard_state.is_none()));
        }
        group.jobs.push(job);
    }

    /// Writes and syncs each entry of a job on its own, up to the last one.
    fn stage_serially(&mut self, mut job: Job, group: &mut Group) -> Result<(), String> {
        if let Some(persist) = &mut job.persist
            && persist.must_be_synced()
        {
            let last = persist.entries.len().saturating_sub(1);
            for entry in persist.entries.drain(..last).collect::<Vec<_>>() {
                let before = Persist {
                    hard_state: persist.hard_state.take(),
                    reset: persist.reset.take(),
                    truncate_from: persist.truncate_from.take(),
                    entries: vec![entry],
                    ..Persist::default()
                };
                self.wal.stage(&before);
                match self.wal.commit() {
                    // What stays staged is written together with the rest.
                    Ok(()) => steps::durable(&before.entries),
                    Err(WalError::Full) => {}
                    Err(error) => return Err(error.to_string()),
                }
            }
        }
        self.stage(job, group);
        Ok(())
    }

    /// Makes a group as durable as it asks for, then traces what depends on it.
    fn finish(
        &mut self,
        group: &mut Group,
        jobs: &Receiver<Job>,
        report: &impl Fn(Report),
    ) -> Result<Report, String> {
        self.write(jobs, report)?;
        if self.group_is_synced(group)? {
            self.late = None;
        } else {
            self.remember_sync(group);
        }
        if let Some(cached) = group.cached.take() {
            self.wal.stage_hard_state(cached);
            self.write(jobs, report)?;
        }
        for persist in group.jobs.iter().filter_map(|job| job.persist.as_ref()) {
            steps::durable(&persist.entries);
        }
        let covered = group.jobs.iter().filter_map(|job| job.persist.as_ref()?.compact).max();
        if let Some(index) = covered {
            failpoints::hit(Point::SnapshotCompact);
            self.wal.compact(index).map_err(|error| error.to_string())?;
        }
        self.trace(group.jobs.iter_mut().flat_map(|job| job.trace.drain(..)).collect())?;
        let (mut persisted, mut send) = (None, Vec::new());
        for mut job in group.jobs.drain(..) {
            send.append(&mut job.send);
            persisted = job.persist.map(|persist| persist.id).or(persisted);
        }
        Ok(Report::Finished { persisted, send })
    }

    /// Syncs if anything in the group has to be synced now.
    fn group_is_synced(&mut self, group: &Group) -> Result<bool, String> {
        let asks = group.jobs.iter().filter_map(|job| job.persist.as_ref()).any(Persist::must_be_synced);
        if asks {
            self.wal.sync().map_err(|error| error.to_string())?;
        }
        Ok(asks)
    }

    /// Takes out of the group what claims a sync that was not made, and makes sure that it is made in time.
    fn remember_sync(&mut self, group: &mut Group) {
        for job in &mut group.jobs {
            let claims = |event: &mut Event| matches!(event.kind, EventKind::Fsync(_));
            let claimed = job.trace.extract_if(.., claims).last();
            if let Some(Persist { flush: Flush::Within(millis), .. }) = &job.persist
                && job.persist.as_ref().is_some_and(Persist::writes)
            {
                let due = Instant::now() + Duration::from_millis(*millis);
                let (due, _) = self.late.take().unwrap_or((due, None));
                self.late = Some((due, claimed));
            }
        }
    }

    fn sync_late(&mut self) -> Result<(), String> {
        self.wal.sync().map_err(|error| error.to_string())?;
        let event = self.late.take().and_then(|(_, event)| event);
        self.trace(event.into_iter().collect())
    }

    /// Writes what is staged. While the disk is full it waits for room and collects what else is to be written.
    fn write(&mut self, jobs: &Receiver<Job>, report: &impl Fn(Report)) -> Result<(), String> {
        let mut told = false;
        loop {
            match self.wal.write() {
                Ok(()) => break,
                Err(WalError::Full) => {}
                Err(error) => return Err(error.to_string()),
            }
            if !std::mem::replace(&mut told, true) {
                tracing::error!("the disk is full: this node acknowledges nothing until there is room");
                report(Report::Disk(DiskSpace::Full));
            }
            self.wait_for_room(jobs)?;
        }
        if told {
            tracing::info!("the disk has room again");
            report(Report::Disk(DiskSpace::Free));
        }
        Ok(())
    }

    fn wait_for_room(&mut self, jobs: &Receiver<Job>) -> Result<(), String> {
        let again = Instant::now() + FULL_RETRY;
        loop {
            match jobs.recv_timeout(again.saturating_duration_since(Instant::now())) {
                Ok(job) => self.waiting.push_back(job),
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => return Err("stopped while the disk was full".into()),
            }
        }
    }

    fn trace(&self, events: Vec<Event>) -> Result<(), String> {
        let Some(trace) = self.trace.as_ref().filter(|_| !events.is_empty()) else { return Ok(()) };
        trace.write(&merge_syncs(events)).map_err(|error| format!("cannot write the trace: {error}"))
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

    /// How many reports it takes until so many jobs, which all waited before the writer began, are durable.
    fn reports(rule: (&str, &str)) -> usize {
        let dir = tempfile::tempdir().unwrap();
        let (wal, _) = Wal::open(&dir.path().join("wal"), crate::wal::Sizes::default()).unwrap();
        let mut rules = Rules::default();
        rules.set(rule.0, rule.1).unwrap();
        let (jobs, received) = std::sync::mpsc::channel();
        for index in 1..=5 {
            let entry = crate::raft::log::Entry { index, term: 1, payload: crate::raft::log::Payload::Noop };
            let persist = Persist { id: PersistId(index), entries: vec![entry], ..Persist::default() };
            jobs.send(Job { persist: Some(persist), ..Job::default() }).unwrap();
        }
        drop(jobs);
        let reports = std::cell::RefCell::new(Vec::new());
        Writer::new(wal, rules, None).run(&received, |report| reports.borrow_mut().push(report));
        let reports = reports.into_inner();
        let last = reports.last();
        assert!(matches!(last, Some(Report::Finished { persisted: Some(PersistId(5)), .. })), "{last:?}");
        reports.len()
    }

    #[test]
    fn what_waits_shares_a_sync_unless_each_gets_its_own() {
        assert_eq!(reports(("log_sync", "group_commit")), 1);
        assert_eq!(reports(("log_sync", "serial")), 5);
    }
}

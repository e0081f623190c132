//! Who may call when: pacing, process ids, and the final reads.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};

use checker::history::{Op, Outcome, ProcessId};
use workloads::{Context, Step, Workload};

use super::{Action, Nanos};

/// A final read that failed is tried again after this long.
const FINAL_READ_RETRY: Nanos = 50_000_000;

/// The clients of one run. Each has at most one call open.
pub(super) struct Clients {
    workload: Box<dyn Workload>,
    /// The process id under which each client calls.
    processes: Vec<u64>,
    /// Time from one call of a client to its next; zero without a rate.
    interval: Nanos,
    /// When each client's last call was due, for an even pace.
    last_due: Vec<Nanos>,
    /// Idle clients by the time of their next call.
    idle: BinaryHeap<Reverse<(Nanos, usize)>>,
    final_reads: Option<FinalReads>,
}

/// The reads of the final state: each is repeated until it is answered.
struct FinalReads {
    waiting: VecDeque<Op>,
    /// The clients whose final read is open.
    reading: BTreeSet<usize>,
    /// Calls of the phases before that are still open.
    leftover: usize,
}

impl Clients {
    /// So many clients, whose processes are counted from `first`.
    pub(super) fn new(count: usize, rate: Option<f64>, workload: Box<dyn Workload>, first: u64) -> Self {
        let interval = rate.map_or(0, |rate| (count as f64 / rate * 1e9) as Nanos);
        // The clients begin spread over one interval, so that an even rate is even from the start.
        let starts: Vec<Nanos> =
            (0..count).map(|client| interval * client as u64 / count.max(1) as u64).collect();
        Self {
            workload,
            processes: (0..count as u64).map(|client| first + client).collect(),
            interval,
            idle: starts.iter().enumerate().map(|(client, &at)| Reverse((at, client))).collect(),
            last_due: starts,
            final_reads: None,
        }
    }

    /// Hands out every call that is due.
    pub(super) fn due_calls(&mut self, now: Nanos, actions: &mut Vec<Action>) {
        while let Some(&Reverse((at, client))) = self.idle.peek() {
            if at > now {
                break;
            }
            self.idle.pop();
            if self.final_reads.is_some() {
                self.final_call(client, actions);
            } else {
                self.work_call(now, client, actions);
            }
        }
    }

    /// Takes note of a completed call and schedules the client's next one.
    pub(super) fn completed(
        &mut self,
        now: Nanos,
        client: usize,
        process: ProcessId,
        op: &Op,
        outcome: &Outcome,
    ) {
        self.workload.completed(process, op, outcome);
        if matches!(outcome, Outcome::Unknown(_)) {
            // The old process may still be at it: its client goes on as a new one.
            self.processes[client] += self.processes.len() as u64;
        }
        let mut next = (self.last_due[client] + self.interval).max(now);
        if let Some(reads) = &mut self.final_reads {
            next = now;
            if !reads.reading.remove(&client) {
                reads.leftover -= 1;
            } else if !matches!(outcome, Outcome::Ok(_)) {
                reads.waiting.push_back(op.clone());
                next = now + FINAL_READ_RETRY;
            }
        }
        self.idle.push(Reverse((next, client)));
    }

    /// From now on clients only read the final state, without a pace: what the workload has touched, and more.
    pub(super) fn begin_final_reads(&mut self, now: Nanos, more: Vec<Op>) {
        let mut waiting: VecDeque<Op> = self.workload.final_reads().into();
        waiting.extend(more.into_iter().filter(|read| !waiting.contains(read)).collect::<Vec<_>>());
        self.final_reads = Some(FinalReads {
            waiting,
            reading: BTreeSet::new(),
            leftover: self.processes.len() - self.idle.len(),
        });
        self.idle = self.idle.drain().map(|Reverse((_, client))| Reverse((now, client))).collect();
    }

    /// Whether every final read was answered and no call is open.
    pub(super) fn final_reads_done(&self) -> bool {
        self.final_reads
            .as_ref()
            .is_some_and(|reads| reads.waiting.is_empty() && reads.reading.is_empty() && reads.leftover == 0)
    }

    /// When the next idle client wants to call.
    pub(super) fn next_due(&self) -> Option<Nanos> {
        let waiting = self.final_reads.as_ref().is_none_or(|reads| !reads.waiting.is_empty());
        self.idle.peek().filter(|_| waiting).map(|Reverse((at, _))| *at)
    }

    fn work_call(&mut self, now: Nanos, client: usize, actions: &mut Vec<Action>) {
        let process = ProcessId(self.processes[client]);
        match self.workload.next(&Context { client, process, now_ns: now }) {
            Step::Call(op) => {
                self.last_due[client] =
                    if self.interval == 0 { now } else { now.max(self.last_due[client] + self.interval) };
                actions.push(Action::Call { client, process, op });
            }
            Step::WaitUntil(at) => self.idle.push(Reverse((at.max(now + 1), client))),
            // It stays out of the heap until the final reads, where its hands are welcome again.
            Step::Done => self.idle.push(Reverse((Nanos::MAX, client))),
        }
    }

    fn final_call(&mut self, client: usize, actions: &mut Vec<Action>) {
        let Some(reads) = &mut self.final_reads else { return };
        let Some(op) = reads.waiting.pop_front() else {
            // Nothing to read: wait for a failed read of another client to come back.
            self.idle.push(Reverse((Nanos::MAX, client)));
            return;
        };
        reads.reading.insert(client);
        actions.push(Action::Call { client, process: ProcessId(self.processes[client]), op });
    }
}

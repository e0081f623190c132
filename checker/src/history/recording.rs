//! A history in the form in which large ones are held: paired operations of fixed size, and tables of what they say.
//!
//! Invariant: [`Recording::operation`] gives what [`History::operations`](super::History::operations) gives for the same
//! events, and [`Recording::history`] gives those events back. An operation costs 40 bytes, beside one entry in a table for
//! each distinct thing that it wrote, saw or failed for; reads of one key share theirs. What it lacks: more than
//! [`MOST_EVENTS`] events.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::counts::Counting;
use super::operations::{Malformed, Point, Problem};
use super::{Counts, Event, EventBody, History, Key, Op, Operation, Outcome, ProcessId, Reply};

/// The most events of one recording: positions are 32 bits wide, and the two highest have a meaning of their own.
pub const MOST_EVENTS: usize = u32::MAX as usize - 2;

/// No outcome, no completion, no node, nothing open.
const NONE: u32 = u32::MAX;

/// An operation, as numbers of table entries and events.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    invoked_at: u64,
    completed_at: u64,
    process: u32,
    op: u32,
    outcome: u32,
    node: u32,
    invoked: u32,
    completed: u32,
}

/// Paired operations, in the order of their invocations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    rows: Vec<Row>,
    ops: Vec<Op>,
    outcomes: Vec<Outcome>,
    processes: Vec<ProcessId>,
    nodes: Vec<Box<str>>,
    events: u32,
}

impl Recording {
    /// The operations of a history, paired.
    pub(super) fn of(history: History) -> Result<Recording, Malformed> {
        let mut recorder = Recorder::default();
        for Event { time, process, node, body } in history.events {
            match body {
                EventBody::Invoke(op) => recorder.invoke(time, process, node.as_deref(), op)?,
                EventBody::Complete(outcome) => {
                    recorder.complete(time, process, node.as_deref(), outcome)?;
                }
            }
        }
        Ok(recorder.finish())
    }

    /// How many operations there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The operation at this position, which is less than [`Recording::len`].
    pub fn operation(&self, at: usize) -> Operation<'_> {
        let row = &self.rows[at];
        let completed = Point { index: row.completed as usize, time: row.completed_at };
        Operation {
            process: self.processes[row.process as usize],
            node: self.nodes.get(row.node as usize).map(|node| &**node),
            op: &self.ops[row.op as usize],
            outcome: self.outcomes.get(row.outcome as usize),
            invoked: Point { index: row.invoked as usize, time: row.invoked_at },
            completed: (row.completed != NONE).then_some(completed),
        }
    }

    /// All operations.
    pub fn operations(&self) -> impl ExactSizeIterator<Item = Operation<'_>> {
        (0..self.len()).map(|at| self.operation(at))
    }

    /// How the operations ended, by function.
    pub fn counts(&self) -> Counts {
        let mut counting = Counting::default();
        self.operations().for_each(|operation| counting.count(operation.op.name(), operation.outcome));
        counting.finish()
    }

    /// The keys that were used, in their order.
    pub fn keys(&self) -> Vec<Key> {
        // Readers share the text of a key among its operations, so that few are left to compare.
        let mut texts: FxHashSet<*const str> = FxHashSet::default();
        let fresh = self.ops.iter().map(Op::key).filter(|key| texts.insert(Arc::as_ptr(&key.0)));
        let mut keys: Vec<Key> = fresh.cloned().collect();
        keys.sort();
        keys.dedup();
        keys
    }

    /// Who made the operations.
    pub fn processes(&self) -> &[ProcessId] {
        &self.processes
    }

    /// What was asked: one entry, or one for many operations that ask the same.
    pub(super) fn ops_mut(&mut self) -> &mut [Op] {
        &mut self.ops
    }

    /// How operations ended: one entry, or one for many that ended in the same way.
    pub(super) fn outcomes_mut(&mut self) -> &mut [Outcome] {
        &mut self.outcomes
    }

    /// What each operation asked and how it ended. A value that was read belongs to one operation only.
    pub(super) fn ends_mut(&mut self) -> impl Iterator<Item = (&Op, &mut Outcome)> {
        let (ops, outcomes) = (&self.ops, &mut self.outcomes);
        let ended = self.rows.iter().filter(|row| row.outcome != NONE);
        let mut ended: Vec<(u32, u32)> = ended.map(|row| (row.outcome, row.op)).collect();
        ended.sort_unstable();
        ended.dedup_by_key(|(outcome, _)| *outcome);
        let mut numbers = ended.into_iter().peekable();
        outcomes.iter_mut().enumerate().filter_map(move |(number, outcome)| {
            let (_, op) = numbers.next_if(|(next, _)| *next as usize == number)?;
            Some((&ops[op as usize], outcome))
        })
    }

    /// Puts operations before all others, one after the other, each of which ended well.
    pub fn begin_with(&mut self, process: ProcessId, ops: impl ExactSizeIterator<Item = Op>) {
        let added = ops.len() as u32 * 2;
        let time = self.rows.first().map_or(0, |row| row.invoked_at);
        for row in &mut self.rows {
            row.invoked += added;
            row.completed = if row.completed == NONE { NONE } else { row.completed + added };
        }
        let (process_number, outcome) = (self.processes.len() as u32, self.outcomes.len() as u32);
        self.processes.push(process);
        self.outcomes.push(Outcome::Ok(Reply::Done));
        let first = self.ops.len() as u32;
        self.ops.extend(ops);
        let rows = (0..added / 2).map(|at| Row {
            invoked_at: time,
            completed_at: time,
            process: process_number,
            op: first + at,
            outcome,
            node: NONE,
            invoked: at * 2,
            completed: at * 2 + 1,
        });
        self.rows.splice(0..0, rows.collect::<Vec<Row>>());
        self.events += added;
    }

    /// About how many bytes it holds.
    pub fn bytes(&self) -> usize {
        let values = self.ops.iter().map(Op::heap_bytes).chain(self.outcomes.iter().map(Outcome::heap_bytes));
        self.tables() + values.sum::<usize>()
    }

    /// ... without what its values hold beside themselves.
    fn tables(&self) -> usize {
        self.rows.len() * size_of::<Row>()
            + self.ops.len() * size_of::<Op>()
            + self.outcomes.len() * size_of::<Outcome>()
    }

    /// The events. A large recording takes several times its own memory in this form.
    pub fn history(&self) -> History {
        let mut events: Vec<Option<Event>> = vec![None; self.events as usize];
        for operation in self.operations() {
            let event = |point: Point, body| {
                let node = operation.node.map(str::to_owned);
                Some(Event { time: point.time, process: operation.process, node, body })
            };
            events[operation.invoked.index] =
                event(operation.invoked, EventBody::Invoke(operation.op.clone()));
            if let (Some(point), Some(outcome)) = (operation.completed, operation.outcome) {
                events[point.index] = event(point, EventBody::Complete(outcome.clone()));
            }
        }
        History { events: events.into_iter().flatten().collect() }
    }
}

/// Pairs events as they come.
#[derive(Default)]
pub struct Recorder {
    recording: Recording,
    /// The number of each process.
    numbers: FxHashMap<ProcessId, u32>,
    /// The open operation of each process, by its number.
    open: Vec<u32>,
    /// The ops that have no argument, of which there is one for each key.
    plain: FxHashMap<Op, u32>,
    /// The outcomes that many operations share.
    shared: FxHashMap<Outcome, u32>,
    nodes: FxHashMap<Box<str>, u32>,
    /// What the values of the recording hold beside themselves, in bytes.
    heap: usize,
}

/// Outcomes are shared until there are this many kinds of them.
const SHARED: usize = 1 << 12;

impl Recorder {
    /// A call is made. Fails if its process has one open.
    pub fn invoke(
        &mut self,
        time: u64,
        process: ProcessId,
        node: Option<&str>,
        op: Op,
    ) -> Result<(), Malformed> {
        let index = self.recording.events as usize;
        let refuse = |problem| Err(Malformed { index, problem });
        if index + 1 >= MOST_EVENTS {
            return refuse(Problem::TooMany);
        }
        let number = self.number(process);
        let open = self.open[number as usize];
        if open != NONE {
            let since = self.recording.rows[open as usize].invoked as usize;
            return refuse(Problem::AlreadyOpen(process, since));
        }
        self.open[number as usize] = self.recording.rows.len() as u32;
        let row = Row {
            invoked_at: time,
            completed_at: 0,
            process: number,
            op: self.op(op),
            outcome: NONE,
            node: self.node(node),
            invoked: index as u32,
            completed: NONE,
        };
        self.recording.rows.push(row);
        self.recording.events += 1;
        Ok(())
    }

    /// What the open call of a process asks.
    pub fn open(&self, process: ProcessId) -> Option<&Op> {
        let row = self.recording.rows.get(*self.open.get(*self.numbers.get(&process)? as usize)? as usize)?;
        Some(&self.recording.ops[row.op as usize])
    }

    /// The open call of a process ends. Fails if it has none.
    pub fn complete(
        &mut self,
        time: u64,
        process: ProcessId,
        node: Option<&str>,
        outcome: Outcome,
    ) -> Result<(), Malformed> {
        let index = self.recording.events as usize;
        let refuse = |problem| Err(Malformed { index, problem });
        let open = self.numbers.get(&process).map(|&number| &mut self.open[number as usize]);
        let Some(open) = open.filter(|open| **open != NONE) else {
            return refuse(Problem::CompletionWithoutInvocation(process));
        };
        let at = std::mem::replace(open, NONE) as usize;
        let (outcome, node) = (self.outcome(outcome), self.node(node));
        let row = &mut self.recording.rows[at];
        (row.outcome, row.completed, row.completed_at) = (outcome, index as u32, time);
        if node != NONE {
            row.node = node;
        }
        self.recording.events += 1;
        Ok(())
    }

    /// About how many bytes the recording holds so far.
    pub fn held(&self) -> usize {
        self.recording.tables() + self.heap
    }

    /// What was recorded; calls that are still open stay so.
    pub fn finish(self) -> Recording {
        self.recording
    }

    fn number(&mut self, process: ProcessId) -> u32 {
        let next = self.open.len() as u32;
        let number = *self.numbers.entry(process).or_insert(next);
        if number == next {
            self.open.push(NONE);
            self.recording.processes.push(process);
        }
        number
    }

    fn op(&mut self, op: Op) -> u32 {
        let next = self.recording.ops.len() as u32;
        if matches!(op, Op::Read { .. } | Op::Members { .. } | Op::Delete { .. }) {
            if let Some(&known) = self.plain.get(&op) {
                return known;
            }
            self.plain.insert(op.clone(), next);
        }
        self.heap += op.heap_bytes();
        self.recording.ops.push(op);
        next
    }

    fn outcome(&mut self, outcome: Outcome) -> u32 {
        let next = self.recording.outcomes.len() as u32;
        // A value that was read may yet be spelled in other words, for that read alone.
        if !matches!(outcome, Outcome::Ok(Reply::Value(_))) {
            if let Some(&known) = self.shared.get(&outcome) {
                return known;
            }
            if self.shared.len() < SHARED {
                self.shared.insert(outcome.clone(), next);
            }
        }
        self.heap += outcome.heap_bytes();
        self.recording.outcomes.push(outcome);
        next
    }

    fn node(&mut self, node: Option<&str>) -> u32 {
        let Some(node) = node else { return NONE };
        if let Some(&known) = self.nodes.get(node) {
            return known;
        }
        let next = self.recording.nodes.len() as u32;
        self.recording.nodes.push(node.into());
        self.nodes.insert(node.into(), next);
        next
    }
}

//! The state machine as a driver runs it: applies what the core hands out and keeps the results until they are asked for.
//!
//! Invariant: entries are applied once, in the order in which they come. A result is kept until the call of
//! [`Machine::apply`] after the one that reported its entry as committed, so that an answer can be given in both cases:
//! applied when committed, or before that under `apply_at: append`. A panic of the state machine never leaves this file as
//! one.
//! Deliberately without requests and clients: which request belongs to which entry is known to the core.
//! Reference: figure 2 of the paper, "if commitIndex > lastApplied: increment lastApplied, apply log[lastApplied]".

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::failpoints::steps;
use crate::kept::Journal;
use crate::raft::log::{Entry, Payload};
use crate::raft::rules::{OnApplyPanic, Rules};
use crate::store::{Applied, Local, Reply, Store};

/// A state machine and how far it is.
#[derive(Debug)]
pub struct Machine {
    rules: Rules,
    store: Store,
    applied: u64,
    /// The results of the last entries, the last of them being that of the entry at `applied`.
    results: VecDeque<Applied>,
    committed: u64,
    states: Vec<(u64, u64)>,
    /// Its files, if it outlives its process.
    journal: Option<Journal>,
}

impl Machine {
    /// An empty one.
    pub fn new(rules: &Rules) -> Self {
        Self {
            rules: rules.clone(),
            store: Store::new(rules),
            applied: 0,
            results: VecDeque::new(),
            committed: 0,
            states: Vec::new(),
            journal: None,
        }
    }

    /// One that keeps its state below `directory`. What it finds there counts, unless the snapshot up to `index` is newer.
    pub fn kept(rules: &Rules, directory: &Path, index: u64, snapshot: Store) -> Result<Self, String> {
        let (journal, store) = Journal::open(rules, directory, index, snapshot)?;
        let mut machine = Self::new(rules);
        (machine.store, machine.applied, machine.journal) = (store, index, Some(journal));
        Ok(machine)
    }

    /// Whether the state contains entries behind `index`, which were applied before this start and were not handed out again
    /// yet. It is not the state at `index` then.
    pub fn is_ahead_of(&self, index: u64) -> bool {
        self.journal.as_ref().is_some_and(|journal| journal.contains(index + 1))
    }

    /// The state.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The index of the last entry in it.
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// Tells it about its process and the time.
    pub fn observe(&mut self, local: Local) {
        self.store.observe(local);
    }

    /// Takes over a state that contains everything up to `index`: that of a snapshot. Returns the one before, because it takes
    /// a while to free a large one, which is not for the thread that answers clients.
    pub fn restore(&mut self, index: u64, store: Store) -> Result<Store, String> {
        if let Some(journal) = &mut self.journal {
            journal.replace(index, &store)?;
        }
        self.applied = index;
        self.results.clear();
        self.states.clear();
        Ok(std::mem::replace(&mut self.store, store))
    }

    /// Applies entries. `commit` is how far the log is committed. An error means that this node must stop.
    pub fn apply(&mut self, entries: &[Entry], commit: u64) -> Result<(), String> {
        self.states.clear();
        self.forget_answered();
        for entry in entries {
            let known = self.journal.as_ref().is_some_and(|journal| journal.contains(entry.index));
            let result = if known { nothing() } else { self.apply_and_keep(entry)? };
            // A gap, which only weakened rules can make, ends the row of results.
            if entry.index != self.applied + 1 {
                self.results.clear();
            }
            self.applied = entry.index;
            self.results.push_back(result);
            if !self.is_ahead_of(entry.index) {
                self.states.push((entry.index, self.store.hash()));
            }
        }
        if let Some(journal) = &mut self.journal
            && !journal.contains(self.applied + 1)
        {
            journal.shorten(self.applied, &self.store)?;
        }
        self.committed = self.committed.max(commit);
        Ok(())
    }

    fn apply_and_keep(&mut self, entry: &Entry) -> Result<Applied, String> {
        let result = self.apply_one(entry)?;
        match &mut self.journal {
            Some(journal) => {
                journal.keep(entry, result.reply == Reply::Skipped, || steps::applying(entry))?;
            }
            None => steps::applying(entry),
        }
        Ok(result)
    }

    /// Results that an earlier call reported as committed have been asked for.
    fn forget_answered(&mut self) {
        let open = self.applied.saturating_sub(self.committed) as usize;
        let answered = self.results.len().saturating_sub(open);
        self.results.drain(..answered);
    }

    fn apply_one(&mut self, entry: &Entry) -> Result<Applied, String> {
        let Payload::Command(command) = &entry.payload else {
            return Ok(nothing());
        };
        let store = &mut self.store;
        let reason = match catch_unwind(AssertUnwindSafe(|| store.apply(entry.index, command.as_bytes()))) {
            Ok(applied) => return Ok(applied),
            Err(panic) => panic_text(panic.as_ref()),
        };
        // The honest law: a replica that cannot apply a committed entry stops. It may not decide on its own that the entry is
        // left out, because others apply it (state machine safety, section 5.4.3 of the paper); and a state that a panic has
        // left half changed is no state to answer from.
        match self.rules.client.on_apply_panic {
            OnApplyPanic::StopNode => Err(format!(
                "applying entry {} of term {} panicked ({reason}). Every replica that runs this program and applies it \
                 will stop there: run a version that can apply it, or restore from a snapshot without it",
                entry.index, entry.term
            )),
            OnApplyPanic::SkipEntry => {
                tracing::error!("entry {} is left out: applying it panicked: {reason}", entry.index);
                Ok(Applied { reply: Reply::Skipped, remember: None })
            }
        }
    }

    /// The result of the entry at `index`, if it was applied and is still known.
    pub fn result(&self, index: u64) -> Option<&Applied> {
        self.results.get(self.position(index)?)
    }

    /// Takes the result of the entry at `index` out, for the one that asked for it.
    pub fn take_result(&mut self, index: u64) -> Option<Applied> {
        let position = self.position(index)?;
        Some(std::mem::replace(self.results.get_mut(position)?, nothing()))
    }

    fn position(&self, index: u64) -> Option<usize> {
        let from_the_end = self.applied.checked_sub(index)?;
        (self.results.len() as u64).checked_sub(from_the_end + 1).map(|position| position as usize)
    }

    /// The index of each entry of the last call and the hash of the state behind it.
    pub fn states(&self) -> &[(u64, u64)] {
        &self.states
    }
}

/// The result of what changes nothing.
fn nothing() -> Applied {
    Applied { reply: Reply::Done, remember: None }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no reason given".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Command, Poison, Proposal, Value};

    fn entry(index: u64, command: Command) -> Entry {
        let command = Proposal { stamp_ms: 0, session: None, command }.encode();
        Entry { index, term: 1, payload: Payload::Command(command.into()) }
    }

    fn incr(index: u64) -> Entry {
        entry(index, Command::Increment("n".into(), 1))
    }

    fn number(machine: &Machine, index: u64) -> Option<i64> {
        match machine.result(index)?.reply {
            Reply::Number(number) => Some(number),
            _ => None,
        }
    }

    #[test]
    fn results_are_kept_until_the_call_after_the_one_that_committed_them() {
        let mut machine = Machine::new(&Rules::default());
        machine.apply(&[incr(1), incr(2)], 2).unwrap();
        assert_eq!([1, 2, 3].map(|index| number(&machine, index)), [Some(1), Some(2), None]);
        machine.apply(&[incr(3)], 3).unwrap();
        assert_eq!([2, 3].map(|index| number(&machine, index)), [None, Some(3)]);
        // Applied before they are committed.
        machine.apply(&[incr(4), incr(5)], 3).unwrap();
        machine.apply(&[incr(6)], 4).unwrap();
        assert_eq!([4, 5, 6].map(|index| number(&machine, index)), [Some(4), Some(5), Some(6)]);
        machine.apply(&[], 6).unwrap();
        assert_eq!([4, 5, 6].map(|index| number(&machine, index)), [None, Some(5), Some(6)]);
        machine.apply(&[], 6).unwrap();
        assert_eq!(number(&machine, 6), None);
    }

    /// The state behind `n` increments of one key.
    fn counted(n: u64) -> Store {
        let mut machine = Machine::new(&Rules::default());
        machine.apply(&(1..=n).map(incr).collect::<Vec<_>>(), n).unwrap();
        machine.store().clone()
    }

    #[test]
    fn a_kept_state_takes_each_entry_once_and_gives_way_to_newer_snapshots() {
        let (rules, dir) = (Rules::default(), tempfile::tempdir().unwrap());
        let open = |index, snapshot| Machine::kept(&rules, dir.path(), index, snapshot).unwrap();
        let value = |machine: &Machine| machine.store().get("n").cloned();
        open(0, Store::new(&rules)).apply(&[incr(1), incr(2), incr(3)], 3).unwrap();

        // A write that a power failure cut off is as if it had not been.
        let path = dir.path().join("journal");
        let journal = std::fs::read(&path).unwrap();
        std::fs::write(&path, &journal[..journal.len() - 3]).unwrap();
        let mut again = open(0, Store::new(&rules));
        assert_eq!(value(&again), Some(Value::Text("2".into())));
        assert!(again.is_ahead_of(1) && !again.is_ahead_of(2));
        again.apply(&[incr(1)], 1).unwrap();
        assert_eq!(again.states(), [], "it is not the state behind that entry");
        again.apply(&[incr(2), incr(3)], 3).unwrap();
        assert_eq!(value(&again), Some(Value::Text("3".into())));
        assert_eq!(again.states().iter().map(|state| state.0).collect::<Vec<_>>(), [2, 3]);

        // An installed snapshot replaces the state, also across a restart, and whether its installation was finished or not.
        again.restore(10, counted(10)).unwrap();
        again.apply(&[incr(11)], 11).unwrap();
        assert_eq!(value(&open(10, counted(10))), Some(Value::Text("11".into())));
        let installed = open(20, counted(20));
        assert_eq!((value(&installed), installed.is_ahead_of(20)), (Some(Value::Text("20".into())), false));
    }

    #[test]
    fn poison_stops_the_node_or_is_left_out() {
        let poison = |only| Command::Poison(Poison { key: "p".into(), value: "v".into(), only });
        let entries = [incr(1), entry(2, poison(Some(2))), incr(3)];
        let replicas = |rule: &str| {
            let mut rules = Rules::default();
            rules.set("on_apply_panic", rule).unwrap();
            [1, 2].map(|node| {
                let mut machine = Machine::new(&rules);
                machine.observe(Local { node, ..Local::default() });
                (machine.apply(&entries, 3), machine)
            })
        };
        let [(one, machine), (two, stopped)] = replicas("stop_node");
        assert_eq!((one, machine.store().get("p")), (Ok(()), Some(&Value::Text("v".into()))));
        assert!(two.unwrap_err().contains("applying entry 2 of term 1 panicked (the command at 2"));
        assert_eq!(stopped.applied(), 1, "nothing behind it was applied");

        let [(one, machine), (two, skipped)] = replicas("skip_entry");
        assert_eq!((one, two), (Ok(()), Ok(())));
        assert_eq!(skipped.result(2).map(|applied| &applied.reply), Some(&Reply::Skipped));
        assert_eq!(number(&skipped, 3), Some(2), "it goes on");
        assert_ne!(machine.store().hash(), skipped.store().hash(), "and differs from then on");
    }
}

//! The order of a run's phases, and which faults are due in the fault phase.

use std::collections::BTreeMap;

use super::{Action, FaultTime, Nanos, Settings};
use crate::events::Phase;

/// What an interruption means in the current phase.
pub(super) enum Interruption {
    /// Faults may be in force: undo them.
    Heal,
    /// Nothing to undo.
    Stop,
    /// It is ending anyway.
    AlreadyEnding,
}

/// Where a run stands.
pub(super) struct Phases {
    phase: Phase,
    since: Nanos,
    interrupted: bool,
    /// Acknowledged calls, and among them writes, since the phase began.
    acknowledged: u64,
    acknowledged_writes: u64,
    /// Faults not yet asked for, the next one last.
    pending: Vec<FaultTime>,
    /// How long each fault lasts that was asked for and is not yet known to be in force.
    asked: BTreeMap<u64, Nanos>,
    /// When each fault in force has to end.
    ends: BTreeMap<u64, Nanos>,
}

impl Phases {
    pub(super) fn new(settings: &Settings) -> Self {
        let mut pending = settings.faults.clone();
        pending.sort_by_key(|fault| std::cmp::Reverse((fault.at, fault.id)));
        Self {
            phase: Phase::Starting,
            since: 0,
            interrupted: false,
            acknowledged: 0,
            acknowledged_writes: 0,
            pending,
            asked: BTreeMap::new(),
            ends: BTreeMap::new(),
        }
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    pub(super) fn interrupted(&self) -> bool {
        self.interrupted
    }

    pub(super) fn enter(&mut self, now: Nanos, phase: Phase) {
        debug_assert!(phase > self.phase, "phases only move forward");
        self.phase = phase;
        self.since = now;
        self.acknowledged = 0;
        self.acknowledged_writes = 0;
    }

    /// How long the current phase has lasted.
    pub(super) fn lasted(&self, now: Nanos) -> Nanos {
        now.saturating_sub(self.since)
    }

    pub(super) fn acknowledged(&mut self, read: bool) {
        self.acknowledged += 1;
        self.acknowledged_writes += u64::from(!read);
    }

    /// Whether the warm-up has done its work.
    pub(super) fn warm(&self, now: Nanos, settings: &Settings) -> bool {
        self.lasted(now) >= settings.warm_up && self.answers(settings)
    }

    /// Whether the cluster has acknowledged enough for the warm-up.
    fn answers(&self, settings: &Settings) -> bool {
        let demanded = settings.warm_up_calls;
        demanded == 0 || (self.acknowledged >= demanded && self.acknowledged_writes > 0)
    }

    /// Whether the healed cluster has shown progress. A read alone does not show it: a deposed leader can answer one.
    pub(super) fn recovered(&self, settings: &Settings) -> bool {
        self.acknowledged >= settings.recovery_calls && self.acknowledged_writes > 0
    }

    /// Whether clients make calls in this phase.
    pub(super) fn clients_work(&self) -> bool {
        !self.interrupted
            && matches!(
                self.phase,
                Phase::WarmUp | Phase::Faults | Phase::Healing | Phase::Recovery | Phase::FinalReads
            )
    }

    pub(super) fn interrupt(&mut self) -> Interruption {
        if self.interrupted || self.phase == Phase::Stopping {
            return Interruption::AlreadyEnding;
        }
        self.interrupted = true;
        match self.phase {
            Phase::Faults => Interruption::Heal,
            Phase::Healing => Interruption::AlreadyEnding,
            _ => Interruption::Stop,
        }
    }

    /// A fault is in force: its end is counted from now.
    pub(super) fn installed(&mut self, now: Nanos, id: u64) {
        if let Some(lasts) = self.asked.remove(&id) {
            self.ends.insert(id, now.saturating_add(lasts));
        }
    }

    pub(super) fn skipped(&mut self, id: u64) {
        self.asked.remove(&id);
    }

    /// Asks for the faults that are due and ends those whose time is over. Only in the fault phase: at its end
    /// everything is healed at once.
    pub(super) fn due_faults(&mut self, now: Nanos, actions: &mut Vec<Action>) {
        if self.phase != Phase::Faults {
            return;
        }
        self.ends.retain(|&id, &mut end| {
            if end <= now {
                actions.push(Action::Undo { id });
            }
            end > now
        });
        while let Some(fault) = self.pending.last().copied() {
            if self.since + fault.at > now {
                break;
            }
            self.pending.pop();
            self.asked.insert(fault.id, fault.lasts);
            actions.push(Action::Inject { id: fault.id });
        }
    }

    /// When the phase or a fault needs attention if nothing happens before.
    pub(super) fn next_due(&self, settings: &Settings) -> Option<Nanos> {
        let limit = match self.phase {
            Phase::WarmUp if self.answers(settings) => Some(settings.warm_up),
            Phase::WarmUp => Some(settings.warm_up_limit),
            Phase::Faults => Some(settings.duration),
            Phase::Recovery => Some(settings.quiesce),
            Phase::Settling => Some(settings.settle_limit),
            Phase::FinalReads => Some(settings.final_reads_limit),
            Phase::Starting | Phase::Healing | Phase::Stopping => None,
        };
        let limit = limit.map(|limit| self.since.saturating_add(limit));
        if self.phase != Phase::Faults {
            return limit;
        }
        let start = self.pending.last().map(|fault| self.since + fault.at);
        let end = self.ends.values().min().copied();
        limit.into_iter().chain(start).chain(end).min()
    }
}

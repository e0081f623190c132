//! What happens next in a run: pure, in virtual time.
//!
//! The timeline tells the director what happened and when ([`Signal`]) and performs what comes back ([`Action`]). The
//! director holds no clock, socket or file, so every phase change and every pacing decision is tested with numbers.
//! It never looks into a fault: whether and where one is installed is decided between the timeline and `nemesis`.

mod clients;
mod phases;

use checker::history::{Op, Outcome, ProcessId};
use workloads::Workload;

use crate::events::{Calls, Phase};
use clients::Clients;
use phases::Phases;

/// Nanoseconds since the start of the run.
pub type Nanos = u64;

/// The fixed numbers of a run. All durations in nanoseconds.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many clients call at once.
    pub clients: usize,
    /// Calls per second of all clients together; `None` for as many as come back.
    pub rate: Option<f64>,
    /// The shortest warm-up.
    pub warm_up: Nanos,
    /// Acknowledged calls before the warm-up is over.
    pub warm_up_calls: u64,
    /// The longest warm-up; a cluster that has not acknowledged the calls by then cannot be tested.
    pub warm_up_limit: Nanos,
    /// The length of the fault phase.
    pub duration: Nanos,
    /// When each planned fault starts, from the start of the fault phase, and how long it lasts once installed.
    pub faults: Vec<FaultTime>,
    /// The longest that the cluster may take to acknowledge calls again after everything is healed.
    pub quiesce: Nanos,
    /// Acknowledged calls after healing that count as progress.
    pub recovery_calls: u64,
    /// The longest that the nodes may take until all have applied the same. A read of the final state before that would
    /// say more about the lag of the node that it went to than about what became of a write.
    pub settle_limit: Nanos,
    /// The longest that the final reads may take.
    pub final_reads_limit: Nanos,
}

/// When one planned fault is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultTime {
    /// Its number in the plan.
    pub id: u64,
    /// From the start of the fault phase.
    pub at: Nanos,
    /// From its installation to its end.
    pub lasts: Nanos,
}

/// What the director is told.
#[derive(Clone, Debug)]
pub enum Signal {
    /// All nodes answer.
    Ready,
    /// The open call of a client ended.
    Completed {
        /// The client, from 0.
        client: usize,
        /// Under which process it called.
        process: ProcessId,
        /// The call.
        op: Op,
        /// How it ended.
        outcome: Outcome,
    },
    /// A fault that was asked for is in force, in full or in part.
    Installed {
        /// Its number in the plan.
        id: u64,
    },
    /// A fault that was asked for was skipped.
    Skipped {
        /// Its number in the plan.
        id: u64,
    },
    /// Every fault has been undone.
    Healed,
    /// No call is open, and all nodes have applied the same, as far as they tell.
    Converged,
    /// A time that was asked for has come.
    Due,
    /// The user wants it to end.
    Interrupted,
}

/// What the timeline has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Record the invocation and send the call.
    Call {
        /// The client, from 0.
        client: usize,
        /// Under which process to record it.
        process: ProcessId,
        /// The call.
        op: Op,
    },
    /// Choose, record and install a planned fault.
    Inject {
        /// Its number in the plan.
        id: u64,
    },
    /// Undo a fault.
    Undo {
        /// Its number in the plan.
        id: u64,
    },
    /// Undo everything that is in force, newest first, then say [`Signal::Healed`].
    Heal,
    /// A phase begins; the next invocation belongs to it.
    Enter(Phase),
    /// The run is over.
    Stop(End),
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Every phase was carried out. Where progress or a final read is missing, the history shows it.
    Complete,
    /// The user cut it short.
    Interrupted,
    /// The cluster never acknowledged enough calls before any fault.
    NeverWarm,
}

/// The state of one run.
pub struct Director {
    settings: Settings,
    phases: Phases,
    clients: Clients,
    calls: Calls,
}

impl Director {
    /// A run of this workload that has not begun.
    pub fn new(settings: Settings, workload: Box<dyn Workload>) -> Self {
        let clients = Clients::new(settings.clients, settings.rate, workload);
        Self { phases: Phases::new(&settings), settings, clients, calls: Calls::default() }
    }

    /// Takes note of `signal` and says what to do, in order.
    pub fn handle(&mut self, now: Nanos, signal: Signal, actions: &mut Vec<Action>) {
        match signal {
            Signal::Ready => self.enter(now, Phase::WarmUp, actions),
            Signal::Completed { client, process, op, outcome } => {
                self.count(&outcome);
                let acknowledged = matches!(outcome, Outcome::Ok(_));
                self.clients.completed(now, client, process, &op, &outcome);
                if acknowledged {
                    self.phases.acknowledged(op.is_read());
                }
            }
            Signal::Installed { id } => self.phases.installed(now, id),
            Signal::Skipped { id } => self.phases.skipped(id),
            Signal::Healed if self.phases.interrupted() => {
                self.enter(now, Phase::Stopping, actions);
                actions.push(Action::Stop(End::Interrupted));
            }
            Signal::Healed => self.enter(now, Phase::Recovery, actions),
            Signal::Converged if self.phases.phase() == Phase::Settling => {
                self.enter(now, Phase::FinalReads, actions);
            }
            Signal::Converged | Signal::Due => {}
            Signal::Interrupted => self.interrupt(now, actions),
        }
        self.advance(now, actions);
    }

    /// When to come back with [`Signal::Due`] if nothing else happens.
    pub fn next_due(&self) -> Option<Nanos> {
        let phase = self.phases.next_due(&self.settings);
        let call = if self.phases.clients_work() { self.clients.next_due() } else { None };
        phase.into_iter().chain(call).min()
    }

    /// Calls completed so far.
    pub fn calls(&self) -> Calls {
        self.calls
    }

    fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Ok(_) => self.calls.ok += 1,
            Outcome::Failed(_) => self.calls.failed += 1,
            Outcome::Unknown(_) => self.calls.unknown += 1,
        }
    }

    fn interrupt(&mut self, now: Nanos, actions: &mut Vec<Action>) {
        match self.phases.interrupt() {
            phases::Interruption::Heal => {
                self.enter(now, Phase::Healing, actions);
                actions.push(Action::Heal);
            }
            phases::Interruption::Stop => {
                self.enter(now, Phase::Stopping, actions);
                actions.push(Action::Stop(End::Interrupted));
            }
            phases::Interruption::AlreadyEnding => {}
        }
    }

    fn enter(&mut self, now: Nanos, phase: Phase, actions: &mut Vec<Action>) {
        self.phases.enter(now, phase);
        actions.push(Action::Enter(phase));
        if phase == Phase::FinalReads {
            self.clients.begin_final_reads(now);
        }
    }

    /// Does what is due at `now`: phase changes first, then faults, then calls.
    fn advance(&mut self, now: Nanos, actions: &mut Vec<Action>) {
        match self.phases.phase() {
            Phase::WarmUp if self.phases.warm(now, &self.settings) => self.enter(now, Phase::Faults, actions),
            Phase::WarmUp if self.phases.lasted(now) >= self.settings.warm_up_limit => {
                self.enter(now, Phase::Stopping, actions);
                actions.push(Action::Stop(End::NeverWarm));
            }
            Phase::Faults if self.phases.lasted(now) >= self.settings.duration => {
                self.enter(now, Phase::Healing, actions);
                actions.push(Action::Heal);
            }
            Phase::Recovery
                if self.phases.recovered(&self.settings)
                    || self.phases.lasted(now) >= self.settings.quiesce =>
            {
                self.enter(now, Phase::Settling, actions);
            }
            Phase::Settling if self.phases.lasted(now) >= self.settings.settle_limit => {
                self.enter(now, Phase::FinalReads, actions);
            }
            Phase::FinalReads
                if self.clients.final_reads_done()
                    || self.phases.lasted(now) >= self.settings.final_reads_limit =>
            {
                self.enter(now, Phase::Stopping, actions);
                actions.push(Action::Stop(End::Complete));
            }
            _ => {}
        }
        self.phases.due_faults(now, actions);
        if self.phases.clients_work() {
            self.clients.due_calls(now, actions);
        }
    }
}

#[cfg(test)]
mod tests;

//! What happens next in a run: pure, in virtual time.
//!
//! The timeline tells the director what happened and when ([`Signal`]) and performs what comes back ([`Action`]). The
//! director holds no clock, socket or file, so every phase change and every pacing decision is tested with numbers.
//! It never looks into a fault: whether and where one is installed is decided between the timeline and `nemesis`.

mod clients;
mod phases;
pub mod script;

use checker::history::{Op, Outcome, ProcessId};
use workloads::Workload;

use crate::events::{Calls, Phase};
use crate::script::model::{Finish, Script};
use clients::Clients;
use phases::Phases;
use script::{Missed, News, Player, Progress, Todo, Wants};

/// Nanoseconds since the start of the run.
pub type Nanos = u64;

/// The first process of the client that comes after the steps, far from those of the steps.
const LAST_CLIENT_FROM: u64 = 1_000_000;
/// The first process of the operations of steps beside clients.
const STEPS_BESIDE_CLIENTS_FROM: u64 = 1_000_000_000;

/// The fixed numbers of a run. All durations in nanoseconds.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many clients call at once.
    pub clients: usize,
    /// Calls per second of all clients together; `None` for as many as come back.
    pub rate: Option<f64>,
    /// The shortest warm-up.
    pub warm_up: Nanos,
    /// Acknowledged calls before the warm-up is over; 0 for none, as where a step has to make a leader first.
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
    /// Who works while faults come and go, or steps are taken.
    pub background: Background,
}

/// Who works while faults come and go, or steps are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Background {
    /// Clients with a workload.
    Clients,
    /// Nobody: the operations of the steps are all. A client comes at the end, to see whether writes are acknowledged, and
    /// for the final reads.
    Nobody,
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
    /// Something that a choreography waits for, or may.
    Script(News),
    /// A time that was asked for has come.
    Due,
    /// The user wants it to end.
    Interrupted,
}

/// What the timeline has to do.
#[derive(Clone, Debug, PartialEq)]
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
    /// A step of a choreography wants this.
    Script(Todo),
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
    /// The choreography did not come about.
    Missed,
}

/// The state of one run.
pub struct Director {
    settings: Settings,
    phases: Phases,
    clients: Clients,
    calls: Calls,
    player: Option<(Player, Finish)>,
}

impl Director {
    /// A run of this workload that has not begun.
    pub fn new(settings: Settings, workload: Box<dyn Workload>) -> Self {
        let first = match settings.background {
            Background::Clients => 0,
            Background::Nobody => LAST_CLIENT_FROM,
        };
        let clients = Clients::new(settings.clients, settings.rate, workload, first);
        Self { phases: Phases::new(&settings), settings, clients, calls: Calls::default(), player: None }
    }

    /// Takes the steps of a choreography in the place of planned faults.
    #[must_use]
    pub fn playing(mut self, script: &Script, nodes: u16, spares: u16) -> Self {
        let first = match self.settings.background {
            Background::Clients => STEPS_BESIDE_CLIENTS_FROM,
            Background::Nobody => 1,
        };
        self.player = Some((Player::new(script, nodes, spares, first), script.finish));
        self
    }

    /// What the timeline should look at as often as it can.
    pub fn wants(&self) -> Wants {
        match (&self.player, self.phases.phase()) {
            (Some((player, _)), Phase::Faults) => player.wants(),
            // Whether the nodes agree.
            (Some((player, _)), Phase::Settling) => player.everybody(),
            _ => Wants::default(),
        }
    }

    /// Why the choreography did not come about, if it did not.
    pub fn missed(&self) -> Option<&Missed> {
        self.player.as_ref()?.0.missed()
    }

    /// Takes note of `signal` and says what to do, in order.
    pub fn handle(&mut self, now: Nanos, signal: Signal, actions: &mut Vec<Action>) {
        match signal {
            // Without clients nobody warms anything up.
            Signal::Ready if self.settings.background == Background::Nobody => {
                self.begin_faults(now, actions)
            }
            Signal::Ready => self.enter(now, Phase::WarmUp, actions),
            Signal::Script(news) => self.hear(now, news, actions),
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
            Signal::Due if self.steps_began() => self.play(now, actions, Player::tick),
            Signal::Due => {}
            Signal::Converged => {}
            Signal::Interrupted => self.interrupt(now, actions),
        }
        self.advance(now, actions);
    }

    /// When to come back with [`Signal::Due`] if nothing else happens.
    pub fn next_due(&self, now: Nanos) -> Option<Nanos> {
        let phase = self.phases.next_due(&self.settings);
        let call = if self.clients_work() { self.clients.next_due() } else { None };
        let playing = self.player.as_ref().filter(|_| self.phases.phase() == Phase::Faults);
        let step = playing.and_then(|(player, _)| player.next_due(now));
        phase.into_iter().chain(call).chain(step).min()
    }

    fn clients_work(&self) -> bool {
        let alone = matches!(self.phases.phase(), Phase::Recovery | Phase::FinalReads);
        self.phases.clients_work() && (self.settings.background == Background::Clients || alone)
    }

    /// The faults begin, or the steps.
    fn begin_faults(&mut self, now: Nanos, actions: &mut Vec<Action>) {
        self.enter(now, Phase::Faults, actions);
        self.play(now, actions, Player::tick);
    }

    fn hear(&mut self, now: Nanos, news: News, actions: &mut Vec<Action>) {
        if let News::Ended { outcome, .. } = &news {
            self.count(outcome);
        }
        if self.steps_began() {
            self.play(now, actions, |player, now, todo| player.hear(now, news, todo));
        } else if let Some((player, _)) = &mut self.player {
            // A step that was taken while clients warm the cluster up would be lost.
            player.note(now, news, &mut Vec::new());
        }
    }

    fn steps_began(&self) -> bool {
        !matches!(self.phases.phase(), Phase::Starting | Phase::WarmUp)
    }

    /// Lets the choreography go on, and ends its phase when it has ended. What it hears later changes nothing any more.
    fn play(
        &mut self,
        now: Nanos,
        actions: &mut Vec<Action>,
        go_on: impl FnOnce(&mut Player, Nanos, &mut Vec<Todo>),
    ) {
        let Some((player, finish)) = &mut self.player else { return };
        let mut todo = Vec::new();
        let playing = self.phases.phase() == Phase::Faults && player.progress() == Progress::Going;
        go_on(player, now, &mut todo);
        if !playing {
            return;
        }
        let (progress, finish) = (player.progress(), *finish);
        actions.extend(todo.into_iter().map(Action::Script));
        match (progress, finish) {
            (Progress::Going, _) => {}
            (Progress::Done, Finish::Heal) => {
                self.enter(now, Phase::Healing, actions);
                actions.push(Action::Heal);
            }
            (Progress::Done, Finish::AsIs) => {
                self.enter(now, Phase::Stopping, actions);
                actions.push(Action::Stop(End::Complete));
            }
            (Progress::Missed, _) => {
                self.enter(now, Phase::Stopping, actions);
                actions.push(Action::Stop(End::Missed));
            }
        }
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
            let touched = self.player.as_ref().map(|(player, _)| player.final_reads()).unwrap_or_default();
            self.clients.begin_final_reads(now, touched);
        }
    }

    /// Does what is due at `now`: phase changes first, then faults, then calls.
    fn advance(&mut self, now: Nanos, actions: &mut Vec<Action>) {
        match self.phases.phase() {
            Phase::WarmUp if self.phases.warm(now, &self.settings) => self.begin_faults(now, actions),
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
        if self.clients_work() {
            self.clients.due_calls(now, actions);
        }
    }
}

#[cfg(test)]
mod tests;

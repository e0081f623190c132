//! A cluster in memory that implements the levers, with a few scripted ways to misbehave.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use cluster::clock::{ClockFamily, ClockSetting, ClockShift, ClockState, TRUE_SPEED_PPM};
use cluster::disk::{DiskEdit, DiskState, DiskTrouble};
use cluster::edit::DataEdit;
use cluster::levers::{LeverError, Levers, Link, LinkRule, LinkStats, NodeSignal, ProcessState};
use cluster::limits::{LimitState, Limits};
use cluster::messages::MessageState;
use cluster::order::{MemberChange, Order};
use cluster::start::{StartAs, StartOutcome};
use cluster::system::{BoxFuture, FileEdit, NodeId, Role, View};
use cluster::view::Membership;
use nemesis::baseline::all_links;
use nemesis::claims::Claims;
use nemesis::picture::Picture;

/// The cluster.
pub(crate) struct Model {
    state: Mutex<State>,
}

/// Everything that can be seen or scripted.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) processes: BTreeMap<NodeId, ProcessState>,
    pub(crate) rules: BTreeMap<Link, LinkRule>,
    pub(crate) stats: BTreeMap<Link, LinkStats>,
    /// The edits done so far.
    pub(crate) edits: Vec<(NodeId, FileEdit)>,
    /// The disk edits done so far.
    pub(crate) disk_edits: Vec<(NodeId, DiskEdit, u64)>,
    /// Disks in trouble.
    pub(crate) disks: BTreeMap<NodeId, DiskState>,
    /// The orders given so far.
    pub(crate) orders: Vec<(NodeId, Order)>,
    /// How nodes answer orders, if not that they have begun.
    pub(crate) refusals: BTreeMap<NodeId, LeverError>,
    /// What nodes say of their messages.
    pub(crate) messages: BTreeMap<NodeId, MessageState>,
    /// The rules that nodes were started under, if they were started under their own.
    pub(crate) own_rules: BTreeMap<NodeId, Vec<(String, String)>>,
    /// Spare hosts, and whose twin runs there, if one does.
    pub(crate) spares: BTreeMap<NodeId, Option<NodeId>>,
    /// Nodes whose twins end at once.
    pub(crate) locked: BTreeSet<NodeId>,
    /// The edits of data done so far.
    pub(crate) data_edits: Vec<(NodeId, DataEdit)>,
    /// Nodes that were removed from the members.
    pub(crate) removed: BTreeSet<NodeId>,
    /// Whether changes of members are never committed.
    pub(crate) undecided: bool,
    /// Nodes that ignore SIGTERM.
    pub(crate) stubborn: BTreeSet<NodeId>,
    /// How many of the next starts of a node fail.
    pub(crate) failing_starts: BTreeMap<NodeId, u32>,
    /// Nodes whose files cannot be edited.
    pub(crate) unreadable: BTreeSet<NodeId>,
    /// Nodes under limits.
    pub(crate) limits: BTreeMap<NodeId, LimitState>,
    /// Clocks that were moved.
    pub(crate) clocks: BTreeMap<(NodeId, ClockFamily), ClockState>,
    /// Whether nodes never look at their clocks.
    pub(crate) timeless: bool,
    /// How many levers have moved.
    pub(crate) moves: u64,
    /// The harness dies with this move, before or after the move had its effect.
    pub(crate) death: Option<Death>,
}

/// When the harness dies.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Death {
    Before(u64),
    After(u64),
}

impl Model {
    pub(crate) fn new(nodes: u16) -> Self {
        let processes = (1..=nodes).map(|id| (NodeId(id), ProcessState::Running)).collect();
        Self { state: Mutex::new(State { processes, ..State::default() }) }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics under this lock")
    }

    /// One frame on every link.
    pub(crate) fn traffic(&self) {
        let mut state = self.state();
        for link in all_links(&state.processes.keys().copied().collect::<Vec<_>>()) {
            let dropped = state.rules.get(&link) == Some(&LinkRule::Drop);
            let stats = state.stats.entry(link).or_default();
            if dropped { stats.dropped += 1 } else { stats.passed += 1 }
        }
    }

    /// The links that drop frames.
    pub(crate) fn dropping(&self) -> BTreeSet<Link> {
        let state = self.state();
        state.rules.iter().filter(|(_, rule)| **rule == LinkRule::Drop).map(|(link, _)| *link).collect()
    }

    /// A picture in which n1 leads, if it runs, and all others follow.
    pub(crate) fn picture(&self, active: Claims) -> Picture {
        Picture::take(self, active, Duration::from_secs(1), |id| {
            let role = if id == NodeId(1) { Role::Leader } else { Role::Follower };
            Some((
                View { role: Some(role), term: Some(1), commit_index: Some(20), ..View::default() },
                Duration::ZERO,
            ))
        })
    }

    /// How many nodes do not run.
    pub(crate) fn out(&self) -> usize {
        self.state().processes.values().filter(|state| **state != ProcessState::Running).count()
    }
}

impl State {
    pub(crate) fn dead(&self) -> bool {
        match self.death {
            None => false,
            Some(Death::Before(at) | Death::After(at)) => self.moves >= at,
        }
    }

    /// Performs one move, unless the harness is dead or dies of it.
    fn perform<T>(&mut self, act: impl FnOnce(&mut State) -> Result<T, LeverError>) -> Result<T, LeverError> {
        let died = || Err(LeverError::Failed("the harness is dead".to_owned()));
        if self.dead() {
            return died();
        }
        self.moves += 1;
        match self.death {
            Some(Death::Before(at)) if self.moves == at => died(),
            Some(Death::After(at)) if self.moves == at => act(self).and(died()),
            _ => act(self),
        }
    }

    fn process(&self, node: NodeId) -> ProcessState {
        match self.spares.get(&node) {
            Some(Some(_)) => ProcessState::Running,
            Some(None) => ProcessState::Down,
            None => self.processes.get(&node).copied().unwrap_or(ProcessState::Down),
        }
    }

    fn start_as(&mut self, node: NodeId, how: StartAs) -> Result<StartOutcome, LeverError> {
        let (Some(twin), Some(runs)) = (how.twin, self.spares.get_mut(&node)) else {
            self.start(node)?;
            self.own_rules.insert(node, how.rules.unwrap_or_default());
            return Ok(StartOutcome::Answers);
        };
        if self.locked.contains(&twin.of) {
            let said = "n2 is running already".to_owned();
            return Ok(StartOutcome::Refused { code: Some(65), status: "exit status: 65".to_owned(), said });
        }
        *runs = Some(twin.of);
        Ok(StartOutcome::Answers)
    }

    fn edit_data(&mut self, node: NodeId, edit: DataEdit) -> Result<String, LeverError> {
        if self.process(node) != ProcessState::Down {
            return Err(LeverError::WrongState(format!("{node} is not down")));
        }
        if self.unreadable.contains(&node) {
            return Err(LeverError::Failed("no such file".to_owned()));
        }
        let proof = edit.to_string();
        self.data_edits.push((node, edit));
        Ok(proof)
    }

    fn signal(&mut self, node: NodeId, signal: NodeSignal) -> Result<(), LeverError> {
        if let Some(runs) = self.spares.get_mut(&node) {
            let was = runs.take();
            return was.map(|_| ()).ok_or_else(|| LeverError::WrongState(format!("{node} is down")));
        }
        let stubborn = self.stubborn.contains(&node);
        let Some(process) = self.processes.get_mut(&node) else {
            return Err(LeverError::Unsupported(format!("there is no {node}")));
        };
        *process = match (signal, *process) {
            (_, ProcessState::Down) => return Err(LeverError::WrongState(format!("{node} is down"))),
            (NodeSignal::Kill, _) => ProcessState::Down,
            (NodeSignal::Terminate, ProcessState::Running) if !stubborn => ProcessState::Down,
            (NodeSignal::Terminate, unchanged) => unchanged,
            (NodeSignal::Pause, _) => ProcessState::Paused,
            (NodeSignal::Resume, _) => ProcessState::Running,
        };
        Ok(())
    }

    fn start(&mut self, node: NodeId) -> Result<(), LeverError> {
        if let Some(failures) = self.failing_starts.get_mut(&node).filter(|failures| **failures > 0) {
            *failures -= 1;
            return Err(LeverError::Failed(format!("{node} does not start")));
        }
        match self.processes.insert(node, ProcessState::Running) {
            Some(ProcessState::Down) => {
                self.limits.remove(&node);
                Ok(())
            }
            _ => Err(LeverError::WrongState(format!("{node} is not down"))),
        }
    }

    /// What a node that runs says of itself. The first one leads.
    fn view(&self, node: NodeId) -> Option<View> {
        let running = |node: &NodeId| self.processes.get(node) == Some(&ProcessState::Running);
        let first = self.processes.keys().find(|node| running(node) && !self.refusals.contains_key(node));
        let role = if first == Some(&node) { Role::Leader } else { Role::Follower };
        let voters = self.processes.keys().filter(|node| !self.removed.contains(node)).copied().collect();
        let config = Membership { voters, committed: !self.undecided, ..Membership::default() };
        let messages = self.messages.get(&node).cloned();
        let view = View { role: Some(role), config: Some(config), messages, ..View::default() };
        running(&node).then_some(view)
    }

    fn change_members(&mut self, order: &Order) {
        match order {
            Order::Members(MemberChange::Remove { node }) => drop(self.removed.insert(*node)),
            Order::Members(MemberChange::Add { node, .. }) => drop(self.removed.remove(node)),
            _ => {}
        }
    }

    fn edit_disk(&mut self, node: NodeId, edit: DiskEdit, seed: u64) -> Result<String, LeverError> {
        if self.processes.get(&node) != Some(&ProcessState::Down) {
            return Err(LeverError::WrongState(format!("{node} is not down")));
        }
        if self.unreadable.contains(&node) {
            return Err(LeverError::Failed("no mount".to_owned()));
        }
        self.disk_edits.push((node, edit, seed));
        Ok("some pages were lost".to_owned())
    }

    fn clock(&self, node: NodeId, family: ClockFamily) -> ClockState {
        let still = ClockState { offset_ns: 0, speed_ppm: TRUE_SPEED_PPM, strobing: false, read: false };
        self.clocks.get(&(node, family)).copied().unwrap_or(still)
    }

    fn set_clock(&mut self, node: NodeId, family: ClockFamily, setting: &ClockSetting) {
        let offset_ns = match setting.shift {
            ClockShift::None => self.clock(node, family).offset_ns,
            ClockShift::By(ns) => self.clock(node, family).offset_ns + ns,
            ClockShift::ToTrue => 0,
        };
        let (speed_ppm, strobing) = (setting.speed_ppm, setting.strobe.is_some());
        let state = ClockState { offset_ns, speed_ppm, strobing, read: !self.timeless };
        self.clocks.insert((node, family), state);
    }

    fn edit(&mut self, node: NodeId, edit: FileEdit) -> Result<String, LeverError> {
        if self.processes.get(&node) != Some(&ProcessState::Down) {
            return Err(LeverError::WrongState(format!("{node} is not down")));
        }
        if self.unreadable.contains(&node) {
            return Err(LeverError::Failed("bad checksum".to_owned()));
        }
        let proof = format!("edited by {edit:?}");
        self.edits.push((node, edit));
        Ok(proof)
    }
}

impl Levers for Model {
    fn nodes(&self) -> Vec<NodeId> {
        self.state().processes.keys().copied().collect()
    }

    fn set_links(&self, rules: &[(Link, LinkRule)]) -> Result<Instant, LeverError> {
        self.state().perform(|state| {
            state.rules.extend(rules.iter().copied());
            Ok(Instant::now())
        })
    }

    fn link(&self, link: Link) -> (LinkRule, LinkStats) {
        let state = self.state();
        (
            state.rules.get(&link).copied().unwrap_or_default(),
            state.stats.get(&link).copied().unwrap_or_default(),
        )
    }

    fn process(&self, node: NodeId) -> ProcessState {
        self.state().process(node)
    }

    fn signal(&self, node: NodeId, signal: NodeSignal) -> BoxFuture<'_, Result<(), LeverError>> {
        Box::pin(async move { self.state().perform(|state| state.signal(node, signal)) })
    }

    fn wait_down(&self, node: NodeId, timeout: Duration) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            if self.process(node) != ProcessState::Down {
                tokio::time::sleep(timeout).await;
            }
            self.process(node) == ProcessState::Down
        })
    }

    fn start(&self, node: NodeId) -> BoxFuture<'_, Result<(), LeverError>> {
        Box::pin(async move { self.state().perform(|state| state.start(node)) })
    }

    fn start_as(
        &self,
        node: NodeId,
        how: StartAs,
        _patience: Duration,
    ) -> BoxFuture<'_, Result<StartOutcome, LeverError>> {
        Box::pin(async move { self.state().perform(|state| state.start_as(node, how)) })
    }

    fn spares(&self) -> Vec<NodeId> {
        self.state().spares.keys().copied().collect()
    }

    fn edit_data(&self, node: NodeId, edit: DataEdit) -> BoxFuture<'_, Result<String, LeverError>> {
        Box::pin(async move { self.state().perform(|state| state.edit_data(node, edit)) })
    }

    fn look(&self, node: NodeId, _timeout: Duration) -> BoxFuture<'_, Option<View>> {
        let view = self.state().view(node);
        Box::pin(async move { view })
    }

    fn edit(&self, node: NodeId, edit: FileEdit) -> BoxFuture<'_, Result<String, LeverError>> {
        Box::pin(async move { self.state().perform(|state| state.edit(node, edit)) })
    }

    fn set_disk(&self, node: NodeId, trouble: DiskTrouble) -> Result<Instant, LeverError> {
        self.state().perform(|state| {
            state.disks.entry(node).or_default().trouble = trouble;
            Ok(Instant::now())
        })
    }

    fn set_clock(
        &self,
        node: NodeId,
        family: ClockFamily,
        setting: &ClockSetting,
    ) -> Result<Instant, LeverError> {
        if let Some(objection) = setting.objection(family) {
            return Err(LeverError::Unsupported(objection.to_owned()));
        }
        self.state().perform(|state| {
            state.set_clock(node, family, setting);
            Ok(Instant::now())
        })
    }

    fn disk(&self, node: NodeId) -> Option<DiskState> {
        Some(self.state().disks.get(&node).copied().unwrap_or_default())
    }

    fn edit_disk(
        &self,
        node: NodeId,
        edit: DiskEdit,
        seed: u64,
    ) -> BoxFuture<'_, Result<String, LeverError>> {
        Box::pin(async move { self.state().perform(|state| state.edit_disk(node, edit, seed)) })
    }

    fn order(&self, node: NodeId, order: Order) -> BoxFuture<'_, Result<String, LeverError>> {
        Box::pin(async move {
            self.state().perform(|state| {
                let refusal = state.refusals.get(&node).cloned();
                if refusal.is_none() {
                    state.change_members(&order);
                }
                state.orders.push((node, order));
                refusal.map_or(Ok("begun".to_owned()), Err)
            })
        })
    }

    fn set_limits(&self, node: NodeId, limits: Limits) -> Result<Instant, LeverError> {
        self.state().perform(|state| {
            if state.processes.get(&node) == Some(&ProcessState::Down) {
                return Err(LeverError::WrongState(format!("{node} is down")));
            }
            let left = limits.descriptors.map(u64::from);
            let stops = u64::from(limits.duty.is_some());
            state.limits.insert(node, LimitState { limits, left, stops, open: 9, ..LimitState::default() });
            Ok(Instant::now())
        })
    }

    fn limits(&self, node: NodeId) -> LimitState {
        let state = self.state();
        let alive = state.processes.get(&node) != Some(&ProcessState::Down);
        state.limits.get(&node).copied().filter(|_| alive).unwrap_or_default()
    }

    fn clock(&self, node: NodeId, family: ClockFamily) -> Option<ClockState> {
        Some(self.state().clock(node, family))
    }
}

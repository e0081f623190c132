//! The nemesis of a run: begins, installs, undoes and heals faults, through the ledger.
//!
//! Invariants: the ledger holds a fault before any lever moves for it; a fault is never undone beside its own injection;
//! where faults overlap on a link, every change of that link takes all of them into account, under one lock.
//! It reads no clock and decides nothing: when, what and where are the caller's.

use std::collections::BTreeMap;
use std::io;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cluster::clock::{ClockFamily, ClockSetting, ClockState};
use cluster::disk::{DiskEdit, DiskState, DiskTrouble};
use cluster::edit::{DataEdit, FileEdit};
use cluster::levers::{LeverError, Levers, Link, LinkRule, LinkStats, NodeSignal, ProcessState};
use cluster::limits::{LimitState, Limits};
use cluster::order::Order;
use cluster::start::{StartAs, StartOutcome};
use cluster::system::{BoxFuture, NodeId, View};

use crate::baseline::{Difference, verify_baseline};
use crate::claims::{Claims, FaultId, stronger};
use crate::fault::{Fault, Injection};
use crate::ledger::{Entry, Ledger};
use crate::target::{Before, Effect, Target, Undone, before, effect, undo};

/// How often healing tries what fails, and how long it waits before the second and later tries.
const HEAL_PAUSES: [Duration; 3] = [Duration::ZERO, Duration::from_millis(100), Duration::from_millis(500)];

/// Why the nemesis did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum NemesisError {
    /// The ledger could not be written. Nothing was done for a fault that was about to begin.
    #[error("the fault ledger could not be written: {0}")]
    Ledger(#[from] io::Error),
    /// The fault is not active.
    #[error("{0} is not active")]
    NotActive(FaultId),
    /// The number is in use, or a node is already under another process fault.
    #[error("{0}")]
    Conflict(String),
    /// The fault could not be undone; it stays in the ledger.
    #[error("{0} could not be undone: {1}")]
    Stuck(FaultId, String),
}

/// A fault that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Whether it did anything.
    pub effect: Effect,
    /// What undoing did.
    pub undone: Undone,
}

/// What healing came to.
#[derive(Debug, Default)]
pub struct Healed {
    /// The faults that were undone, in this order.
    pub ended: Vec<(FaultId, Ended)>,
    /// The faults that could not be, with the last error. A harness failure.
    pub broken: Vec<(Entry, String)>,
    /// What differs from an unharmed cluster all the same. With nothing broken, this is what the nodes did by
    /// themselves (a process that ended), or a defect of the harness.
    pub differences: Vec<Difference>,
}

/// The nemesis of one run.
pub struct Nemesis {
    levers: Arc<dyn Levers>,
    book: Mutex<Book>,
}

struct Book {
    ledger: Ledger,
    slots: BTreeMap<FaultId, Slot>,
    /// Ended faults whose injection was never confirmed: something of theirs may still come true late.
    unconfirmed: Vec<Target>,
    /// The nodes that the fault was done to that ended last.
    healed: Vec<NodeId>,
}

#[derive(Default)]
struct Slot {
    before: Before,
    certainty: Certainty,
    stage: Stage,
    /// Held while the fault is being installed or undone.
    busy: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Certainty {
    #[default]
    Unconfirmed,
    Installed,
}

/// Whether a fault still has a say in the rules of links.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Active,
    Ending,
}

impl Nemesis {
    /// A nemesis for this cluster, with an empty ledger that is written to `out`.
    pub fn new(levers: Arc<dyn Levers>, out: Box<dyn Write + Send>) -> Result<Self, NemesisError> {
        Self::with(levers, Ledger::new(out)?)
    }

    /// A nemesis that takes over what a ledger file says is still active.
    pub fn resume(
        levers: Arc<dyn Levers>,
        out: Box<dyn Write + Send>,
        left: Vec<Entry>,
    ) -> Result<Self, NemesisError> {
        Self::with(levers, Ledger::resume(out, left)?)
    }

    fn with(levers: Arc<dyn Levers>, ledger: Ledger) -> Result<Self, NemesisError> {
        let slot = |entry: &Entry| Slot { before: before(&entry.target, levers.as_ref()), ..Slot::default() };
        let slots = ledger.active().iter().map(|entry| (entry.id, slot(entry))).collect();
        Ok(Self {
            levers,
            book: Mutex::new(Book { ledger, slots, unconfirmed: Vec::new(), healed: Vec::new() }),
        })
    }

    /// The faults that are active, oldest first.
    pub fn active(&self) -> Vec<Entry> {
        self.book().ledger.active().to_vec()
    }

    /// What the active faults hold, for a [`crate::picture::Picture`].
    pub fn claims(&self) -> Claims {
        self.book().all_claims()
    }

    /// The nodes that the fault was done to that ended last, for a [`crate::picture::Picture`].
    pub fn healed(&self) -> Vec<NodeId> {
        self.book().healed.clone()
    }

    /// Writes a fault to the ledger. From now on it counts as active, and [`Nemesis::inject`] may follow.
    pub fn begin(&self, id: FaultId, fault: &str, target: Target) -> Result<(), NemesisError> {
        let before = before(&target, self.levers.as_ref());
        let mut book = self.book();
        if book.slots.contains_key(&id) {
            return Err(NemesisError::Conflict(format!("{id} is active already")));
        }
        let held = book.all_claims();
        if let Some((node, holder)) =
            target.processes().iter().find_map(|node| Some((node, held.holder(*node)?)))
        {
            return Err(NemesisError::Conflict(format!("{node} is under {holder}")));
        }
        book.ledger.begin(Entry { id, fault: fault.to_owned(), target })?;
        book.slots.insert(id, Slot { before, ..Slot::default() });
        Ok(())
    }

    /// Installs a fault that has begun. One that is skipped is over; any other stays active until it is undone, also when
    /// this future is dropped half-way.
    pub async fn inject(&self, id: FaultId, fault: &dyn Fault) -> Result<Injection, NemesisError> {
        let (target, busy) = self.find(id)?;
        let _busy = busy.lock().await;
        if self.book().slots.get(&id).is_none_or(|slot| slot.stage == Stage::Ending) {
            return Ok(Injection::Skipped("it was undone before it began".to_owned()));
        }
        let injection = fault.inject(&target, &Shared { nemesis: self, id }).await;
        match injection {
            Injection::Installed(_) => {
                if let Some(slot) = self.book().slots.get_mut(&id) {
                    slot.certainty = Certainty::Installed;
                }
            }
            Injection::Indeterminate(_) => {}
            Injection::Skipped(_) => self.book().end(id),
        }
        Ok(injection)
    }

    /// Undoes one fault. Waits for its injection where that is still under way. After [`NemesisError::Stuck`] it may be
    /// tried again.
    pub async fn undo(&self, id: FaultId) -> Result<Ended, NemesisError> {
        let (target, busy) = self.find(id)?;
        let _busy = busy.lock().await;
        let (before, certainty) = self.book().ending(id).ok_or(NemesisError::NotActive(id))?;
        let effect = effect(&target, &before, self.levers.as_ref());
        match undo(&target, &Shared { nemesis: self, id }).await {
            Err(why) => Err(NemesisError::Stuck(id, why)),
            Ok(undone) => {
                let mut book = self.book();
                let touched = target.touched();
                if !touched.is_empty() {
                    book.healed = touched;
                }
                if certainty == Certainty::Unconfirmed {
                    book.unconfirmed.push(target);
                }
                book.end(id);
                let effect = undone.effect.clone().unwrap_or(effect);
                Ok(Ended { effect, undone })
            }
        }
    }

    /// Undoes everything, newest first, tries again what fails, and compares the cluster with an unharmed one.
    pub async fn heal(&self) -> Healed {
        let mut healed = Healed::default();
        let mut errors: BTreeMap<FaultId, String> = BTreeMap::new();
        for pause in HEAL_PAUSES {
            let left = self.active();
            if left.is_empty() {
                break;
            }
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            for entry in left.iter().rev() {
                match self.undo(entry.id).await {
                    Ok(ended) => healed.ended.push((entry.id, ended)),
                    Err(error) => drop(errors.insert(entry.id, error.to_string())),
                }
            }
        }
        self.undo_late_effects().await;
        let left =
            self.active().into_iter().map(|entry| (errors.remove(&entry.id).unwrap_or_default(), entry));
        healed.broken = left.map(|(error, entry)| (entry, error)).collect();
        healed.differences = verify_baseline(self.levers.as_ref());
        healed
    }

    /// Undoes the unconfirmed once more: a node that ignored SIGTERM for long may have ended since.
    async fn undo_late_effects(&self) {
        let unconfirmed = std::mem::take(&mut self.book().unconfirmed);
        let free = |target: &Target| {
            let claims = self.claims();
            target.processes().iter().all(|node| claims.holder(*node).is_none())
        };
        for target in unconfirmed.iter().filter(|target| !target.processes().is_empty() && free(target)) {
            if let Err(why) = undo(target, self.levers.as_ref()).await {
                tracing::warn!("{} could not be undone: {why}", target.describe());
            }
        }
    }

    fn find(&self, id: FaultId) -> Result<(Target, Arc<tokio::sync::Mutex<()>>), NemesisError> {
        let book = self.book();
        let entry = book.ledger.active().iter().find(|entry| entry.id == id);
        let found = entry.and_then(|entry| Some((entry.target.clone(), book.slots.get(&id)?.busy.clone())));
        found.ok_or(NemesisError::NotActive(id))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // No code panics under this lock half-way through a change, so the content is sound in any case.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// What all active faults hold, also those that are being undone.
    fn all_claims(&self) -> Claims {
        Claims(self.ledger.active().iter().map(|entry| (entry.id, entry.target.clone())).collect())
    }

    /// What the other faults say about the rules of links: those that are being undone have no say any more.
    fn claims_beside(&self, id: FaultId) -> Claims {
        let counts = |other: FaultId| {
            other != id && self.slots.get(&other).is_some_and(|slot| slot.stage == Stage::Active)
        };
        let entries = self.ledger.active().iter().filter(|entry| counts(entry.id));
        Claims(entries.map(|entry| (entry.id, entry.target.clone())).collect())
    }

    /// Takes the say in the rules of links from a fault that is about to be undone.
    fn ending(&mut self, id: FaultId) -> Option<(Before, Certainty)> {
        let slot = self.slots.get_mut(&id)?;
        slot.stage = Stage::Ending;
        Some((slot.before.clone(), slot.certainty))
    }

    /// Forgets a fault that has no effect any more. Where the ledger cannot be written this is only said: a reader of the
    /// file would undo the fault once more, which is harmless.
    fn end(&mut self, id: FaultId) {
        self.slots.remove(&id);
        if let Err(error) = self.ledger.end(id) {
            tracing::warn!("the end of {id} could not be written to the fault ledger: {error}");
        }
    }
}

/// The levers as one fault sees them: what it asks of a link is combined with what the others ask for.
struct Shared<'a> {
    nemesis: &'a Nemesis,
    id: FaultId,
}

impl Levers for Shared<'_> {
    fn nodes(&self) -> Vec<NodeId> {
        self.nemesis.levers.nodes()
    }

    fn set_links(&self, rules: &[(Link, LinkRule)]) -> Result<Instant, LeverError> {
        // The lock is held while the switch is told, or two overlapping faults could each set what was right before
        // the other moved.
        let book = self.nemesis.book();
        let others = book.claims_beside(self.id);
        let rules: Vec<(Link, LinkRule)> =
            rules.iter().map(|(link, rule)| (*link, stronger(*rule, others.rule(*link)))).collect();
        self.nemesis.levers.set_links(&rules)
    }

    fn link(&self, link: Link) -> (LinkRule, LinkStats) {
        self.nemesis.levers.link(link)
    }

    fn process(&self, node: NodeId) -> ProcessState {
        self.nemesis.levers.process(node)
    }

    fn signal(&self, node: NodeId, signal: NodeSignal) -> BoxFuture<'_, Result<(), LeverError>> {
        self.nemesis.levers.signal(node, signal)
    }

    fn wait_down(&self, node: NodeId, timeout: Duration) -> BoxFuture<'_, bool> {
        self.nemesis.levers.wait_down(node, timeout)
    }

    fn start(&self, node: NodeId) -> BoxFuture<'_, Result<(), LeverError>> {
        self.nemesis.levers.start(node)
    }

    fn look(&self, node: NodeId, timeout: Duration) -> BoxFuture<'_, Option<View>> {
        self.nemesis.levers.look(node, timeout)
    }

    fn spares(&self) -> Vec<NodeId> {
        self.nemesis.levers.spares()
    }

    fn start_as(
        &self,
        node: NodeId,
        how: StartAs,
        patience: Duration,
    ) -> BoxFuture<'_, Result<StartOutcome, LeverError>> {
        self.nemesis.levers.start_as(node, how, patience)
    }

    fn edit_data(&self, node: NodeId, edit: DataEdit) -> BoxFuture<'_, Result<String, LeverError>> {
        self.nemesis.levers.edit_data(node, edit)
    }

    fn edit(&self, node: NodeId, edit: FileEdit) -> BoxFuture<'_, Result<String, LeverError>> {
        self.nemesis.levers.edit(node, edit)
    }

    fn set_disk(&self, node: NodeId, trouble: DiskTrouble) -> Result<Instant, LeverError> {
        self.nemesis.levers.set_disk(node, trouble)
    }

    fn disk(&self, node: NodeId) -> Option<DiskState> {
        self.nemesis.levers.disk(node)
    }

    fn edit_disk(
        &self,
        node: NodeId,
        edit: DiskEdit,
        seed: u64,
    ) -> BoxFuture<'_, Result<String, LeverError>> {
        self.nemesis.levers.edit_disk(node, edit, seed)
    }

    fn order(&self, node: NodeId, order: Order) -> BoxFuture<'_, Result<String, LeverError>> {
        self.nemesis.levers.order(node, order)
    }

    fn set_clock(
        &self,
        node: NodeId,
        family: ClockFamily,
        setting: &ClockSetting,
    ) -> Result<Instant, LeverError> {
        self.nemesis.levers.set_clock(node, family, setting)
    }

    fn set_limits(&self, node: NodeId, limits: Limits) -> Result<Instant, LeverError> {
        self.nemesis.levers.set_limits(node, limits)
    }

    fn limits(&self, node: NodeId) -> LimitState {
        self.nemesis.levers.limits(node)
    }

    fn clock(&self, node: NodeId, family: ClockFamily) -> Option<ClockState> {
        self.nemesis.levers.clock(node, family)
    }
}

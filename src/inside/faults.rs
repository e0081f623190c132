//! Carries planned faults out: chooses when they are due, installs and undoes them beside the clients' work, and keeps
//! the record of what became of each.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use cluster::levers::Levers;
use cluster::system::NodeId;
use nemesis::baseline::Difference;
use nemesis::claims::{Claims, FaultId};
use nemesis::fault::{Choice, Fault, Injection};
use nemesis::nemesis::{Ended, Healed, Nemesis, NemesisError};
use nemesis::picture::Picture;
use nemesis::schedule::Planned;
use nemesis::target::Effect;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::UnboundedSender;

use super::timeline::Incoming;
use crate::director::Nanos;
use crate::recorder::LineFile;

/// What became of a fault, as told by the task that did it.
pub(super) enum Report {
    /// An injection came back.
    Injected { id: u64, result: Result<Injection, NemesisError>, returned: Instant },
    /// An undoing came back.
    Undone { id: u64, result: Result<Ended, NemesisError>, returned: Instant },
    /// Everything is undone, or not.
    Healed { healed: Healed, returned: Instant },
}

/// One line of `faults.jsonl`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FaultLine {
    /// When it was recorded, in nanoseconds since the start of the run.
    pub t: Nanos,
    /// The number of the fault in the plan.
    pub id: u64,
    /// Its kind.
    pub fault: String,
    /// What it was done to.
    pub what: String,
    /// What happened.
    #[serde(flatten)]
    pub event: FaultEvent,
}

/// What happened to a fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum FaultEvent {
    /// It is in force.
    Installed {
        /// When it was asked for.
        requested: Nanos,
        /// From when on it had its effect.
        effective: Nanos,
        /// What shows that.
        proof: String,
    },
    /// Nothing was done.
    Skipped {
        /// Why.
        why: String,
    },
    /// It may be in force in part.
    Indeterminate {
        /// What is known.
        why: String,
    },
    /// It is over.
    Undone {
        /// What undoing did.
        how: String,
        /// Whether the fault did anything while it lasted.
        effect: Effect,
    },
    /// It could not be undone.
    Stuck {
        /// Why.
        why: String,
    },
}

/// The faults of one run.
pub(super) struct Faults {
    nemesis: Arc<Nemesis>,
    planned: BTreeMap<u64, (Planned, Arc<dyn Fault>)>,
    /// What each fault that was tried is done to, and when it was asked for.
    tried: BTreeMap<u64, (String, Nanos)>,
    /// The kinds of faults that steps have begun.
    of_steps: BTreeMap<u64, String>,
    record: LineFile,
    incoming: UnboundedSender<Incoming>,
}

impl Faults {
    /// The faults of a plan, with an empty ledger and record in the run directory.
    pub(super) fn new(
        planned: &[Planned],
        nodes: usize,
        levers: Arc<dyn Levers>,
        directory: &Path,
        incoming: UnboundedSender<Incoming>,
    ) -> Result<Self, String> {
        let ledger = directory.join("ledger.jsonl");
        let out = std::fs::File::create(&ledger).map_err(|error| format!("{}: {error}", ledger.display()))?;
        let nemesis = Nemesis::new(levers, Box::new(out)).map_err(|error| error.to_string())?;
        let mut faults = BTreeMap::new();
        for one in planned {
            let kind =
                nemesis::faults::find(&one.kind).ok_or_else(|| format!("no fault is called {}", one.kind))?;
            faults.insert(one.id.0, (one.clone(), Arc::from((kind.build)(&one.params, nodes)?)));
        }
        let record = LineFile::create(&directory.join("faults.jsonl")).map_err(|error| error.to_string())?;
        let (nemesis, of_steps) = (Arc::new(nemesis), BTreeMap::new());
        Ok(Self { nemesis, planned: faults, tried: BTreeMap::new(), of_steps, record, incoming })
    }

    /// The nemesis itself, for who takes the steps of a choreography.
    pub(super) fn nemesis(&self) -> Arc<Nemesis> {
        self.nemesis.clone()
    }

    /// Records what became of a fault of a step.
    pub(super) fn of_step(
        &mut self,
        id: u64,
        fault: &str,
        what: &str,
        t: Nanos,
        event: FaultEvent,
    ) -> Result<FaultLine, String> {
        self.of_steps.insert(id, fault.to_owned());
        self.tried.insert(id, (what.to_owned(), t));
        self.line(t, id, event)
    }

    /// What the active faults hold.
    pub(super) fn claims(&self) -> Claims {
        self.nemesis.claims()
    }

    /// The nodes that the fault was done to that ended last.
    pub(super) fn let_go(&self) -> Vec<NodeId> {
        self.nemesis.healed()
    }

    /// The faults in force as short texts.
    pub(super) fn active(&self) -> Vec<String> {
        self.nemesis
            .active()
            .iter()
            .map(|entry| format!("{} {}", entry.fault, entry.target.describe()))
            .collect()
    }

    /// Chooses the target of a planned fault and begins to install it. Returns the line if it is skipped at once; a
    /// [`Report`] follows otherwise.
    pub(super) fn inject(
        &mut self,
        id: u64,
        now: Nanos,
        picture: &Picture,
    ) -> Result<Option<FaultLine>, String> {
        let Some((planned, fault)) = self.planned.get(&id) else {
            return Err(format!("the plan has no fault {id}"));
        };
        let target = match fault.choose(picture, &mut planned.rng()) {
            Choice::Target(target) => target,
            Choice::Skipped(why) => {
                self.tried.insert(id, (String::new(), now));
                return self.line(now, id, FaultEvent::Skipped { why }).map(Some);
            }
        };
        self.tried.insert(id, (target.describe(), now));
        match self.nemesis.begin(FaultId(id), &planned.kind, target) {
            Ok(()) => {}
            Err(NemesisError::Conflict(why)) => {
                return self.line(now, id, FaultEvent::Skipped { why }).map(Some);
            }
            Err(error) => return Err(error.to_string()),
        }
        let (nemesis, fault, incoming) = (self.nemesis.clone(), fault.clone(), self.incoming.clone());
        tokio::spawn(async move {
            let result = nemesis.inject(FaultId(id), fault.as_ref()).await;
            let _ = incoming.send(Incoming::Fault(Report::Injected { id, result, returned: Instant::now() }));
        });
        Ok(None)
    }

    /// Begins to undo one fault. A [`Report`] follows.
    pub(super) fn undo(&self, id: u64) {
        let (nemesis, incoming) = (self.nemesis.clone(), self.incoming.clone());
        tokio::spawn(async move {
            let result = nemesis.undo(FaultId(id)).await;
            let _ = incoming.send(Incoming::Fault(Report::Undone { id, result, returned: Instant::now() }));
        });
    }

    /// Begins to undo everything. A [`Report`] follows.
    pub(super) fn heal(&self) {
        let (nemesis, incoming) = (self.nemesis.clone(), self.incoming.clone());
        tokio::spawn(async move {
            let healed = nemesis.heal().await;
            let _ = incoming.send(Incoming::Fault(Report::Healed { healed, returned: Instant::now() }));
        });
    }

    /// Records how an injection ended. `effective` is when, where the lever told, and else when it returned.
    pub(super) fn injected(
        &mut self,
        id: u64,
        now: Nanos,
        effective: Nanos,
        result: Result<Injection, NemesisError>,
    ) -> Result<FaultLine, String> {
        let requested = self.tried.get(&id).map_or(now, |(_, requested)| *requested);
        let event = match result {
            Ok(Injection::Installed(installed)) => {
                FaultEvent::Installed { requested, effective, proof: installed.proof }
            }
            Ok(Injection::Skipped(why)) => FaultEvent::Skipped { why },
            Ok(Injection::Indeterminate(why)) => FaultEvent::Indeterminate { why },
            // Healing undid it before its injection was begun.
            Err(NemesisError::NotActive(_)) => FaultEvent::Skipped { why: "the faults had ended".to_owned() },
            Err(error) => return Err(error.to_string()),
        };
        self.line(now, id, event)
    }

    /// Records how an undoing ended; `None` if healing had undone it already.
    pub(super) fn undone(
        &mut self,
        id: u64,
        now: Nanos,
        result: Result<Ended, NemesisError>,
    ) -> Result<Option<FaultLine>, String> {
        match result {
            Ok(ended) => {
                let event = FaultEvent::Undone { how: ended.undone.done, effect: ended.effect };
                self.line(now, id, event).map(Some)
            }
            Err(NemesisError::NotActive(_)) => Ok(None),
            Err(NemesisError::Stuck(_, why)) => self.line(now, id, FaultEvent::Stuck { why }).map(Some),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Records what healing did. What stays broken, or different from an unharmed cluster, is an error of the harness.
    pub(super) fn healed(&mut self, now: Nanos, healed: Healed) -> Result<Vec<FaultLine>, String> {
        let mut lines = Vec::new();
        for (id, ended) in healed.ended {
            let event = FaultEvent::Undone { how: ended.undone.done, effect: ended.effect };
            lines.push(self.line(now, id.0, event)?);
        }
        let broken: Vec<String> = healed
            .broken
            .iter()
            .map(|(entry, why)| format!("{} {}: {why}", entry.fault, entry.target.describe()))
            .collect();
        if !broken.is_empty() {
            return Err(format!("could not undo {}", broken.join("; ")));
        }
        let (processes, links): (Vec<_>, Vec<_>) =
            healed.differences.iter().partition(|difference| matches!(difference, Difference::Process(..)));
        // A node that ended by itself is a finding, and is reported as one.
        for difference in processes {
            tracing::warn!("after healing, {difference}");
        }
        if !links.is_empty() {
            let links: Vec<String> = links.iter().map(ToString::to_string).collect();
            return Err(format!("after healing, {}", links.join("; ")));
        }
        Ok(lines)
    }

    /// Hands the record to the kernel.
    pub(super) fn flush(&mut self) -> Result<(), String> {
        self.record.flush().map_err(|error| error.to_string())
    }

    fn line(&mut self, t: Nanos, id: u64, event: FaultEvent) -> Result<FaultLine, String> {
        let planned = self.planned.get(&id).map(|(planned, _)| &planned.kind);
        let fault = planned.or(self.of_steps.get(&id)).cloned().unwrap_or_default();
        let what = self.tried.get(&id).map_or_else(String::new, |(what, _)| what.clone());
        let line = FaultLine { t, id, fault, what, event };
        let text = serde_json::to_string(&line).map_err(|error| error.to_string())?;
        self.record
            .line(|buffer| {
                buffer.push_str(&text);
                buffer.push('\n');
            })
            .and_then(|()| self.record.flush())
            .map_err(|error| error.to_string())?;
        Ok(line)
    }
}

impl FaultLine {
    /// One line for people.
    pub(super) fn text(&self) -> String {
        let head = format!("{} {}", self.fault, self.what);
        match &self.event {
            FaultEvent::Installed { proof, .. } => format!("{head}: installed, {proof}"),
            FaultEvent::Skipped { why } => format!("{}: skipped, {why}", self.fault),
            FaultEvent::Indeterminate { why } => format!("{head}: indeterminate, {why}"),
            FaultEvent::Undone { how, effect: Effect::Seen(seen) } => {
                format!("{head}: undone, {how}; {seen}")
            }
            FaultEvent::Undone { how, effect: Effect::None(none) } => {
                format!("{head}: undone, {how}; it had no effect: {none}")
            }
            FaultEvent::Stuck { why } => format!("{head}: could not be undone, {why}"),
        }
    }
}

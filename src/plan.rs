//! A plan: a suite with everything random drawn.
//!
//! Invariant: the plan is a value (`plan.json`), and running it needs nothing else of the suite file, its templates or
//! the generator of seeds. Each purpose has a random stream of its own, so that a fault added to a suite never shifts
//! what the clients ask for. The seed fixes the plan, not the scheduling of the kernel.

use std::collections::BTreeSet;

use cluster::bridge::ONLY_CUTS;
use cluster::cluster::FailingDisk;
use cluster::network::NetworkKind;
use nemesis::schedule::{self, Mix, MixEntry, Planned};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;
use serde::{Deserialize, Serialize};

use crate::director::{Background, FaultTime, Settings};
use crate::script::model::Script;
use crate::suite::{FaultPlan, FaultUse, SCRIPTED, Suite};

/// Acknowledged calls that end the warm-up, and after healing count as progress: those of a second, up to this.
const CALLS_MAX: u64 = 20;
/// A cluster that has not acknowledged those by then cannot be tested.
const WARM_UP_LIMIT_NS: u64 = 20_000_000_000;
/// The longest that the nodes may take to agree before the final state is read all the same.
const SETTLE_LIMIT_NS: u64 = 2_000_000_000;
/// How many writes a second the client tries that comes after the steps.
const LAST_CLIENT_RATE: f64 = 100.0;
/// The same behind steps, where the nodes have little to catch up with; those that differ for good never agree.
const STEPS_SETTLE_LIMIT_NS: u64 = 300_000_000;
/// The longest that the final reads may take.
const FINAL_READS_LIMIT_NS: u64 = 10_000_000_000;

/// Everything about a run that is decided before it begins.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// The version of this format.
    pub format: u32,
    /// The seed that everything below was drawn from.
    pub seed: u64,
    /// The suite, resolved.
    pub suite: Suite,
    /// The command that asked for it, without its seed: "raftcheck run suites/kill.yaml".
    pub command: String,
    /// The overrides of the command line, `name=value`.
    pub overrides: Vec<String>,
    /// The faults, in the order in which they are due.
    pub faults: Vec<Planned>,
    /// Seeds of the random streams.
    pub streams: Streams,
    /// Whether the packets on the network are written down.
    #[serde(default)]
    pub packets: Packets,
}

/// Whether the packets on the network are written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Packets {
    /// No.
    #[default]
    Forgotten,
    /// To `network.pcapng` in the run directory.
    Captured,
}

/// One seed per purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Streams {
    /// What the clients ask for.
    pub workload: u64,
    /// The nodes' own randomness (election timeouts).
    pub nodes: u64,
    /// When which fault is due, and what it chooses.
    pub faults: u64,
}

impl Streams {
    fn of(seed: u64) -> Self {
        let stream = |purpose: u64| {
            let mut generator = ChaCha12Rng::seed_from_u64(seed);
            generator.set_stream(purpose);
            generator.next_u64()
        };
        Self { workload: stream(1), nodes: stream(2), faults: stream(3) }
    }
}

impl Plan {
    /// Draws the plan of a suite. `Err` says why its faults cannot be drawn.
    pub fn draw(suite: Suite, command: &str, overrides: &[String], seed: u64) -> Result<Self, String> {
        let streams = Streams::of(seed);
        let faults = match &suite.faults {
            Some(faults) => schedule::draw(&mix(faults), suite.duration_ns, streams.faults)?,
            None => Vec::new(),
        };
        Ok(Self {
            format: crate::rundir::FORMAT,
            seed,
            command: command.to_owned(),
            overrides: overrides.to_vec(),
            suite,
            faults,
            streams,
            packets: Packets::default(),
        })
    }

    /// The numbers that the director needs.
    pub fn director_settings(&self) -> Settings {
        let suite = &self.suite;
        let faults = self.faults.iter();
        let calls = suite.workload.rate.map_or(CALLS_MAX, |rate| (rate as u64).clamp(1, CALLS_MAX));
        let alone = suite.workload.kind == SCRIPTED;
        Settings {
            clients: if alone { 1 } else { suite.workload.clients },
            rate: if alone { Some(LAST_CLIENT_RATE) } else { suite.workload.rate },
            warm_up: suite.warm_up_ns,
            // Where elections begin by steps only, nothing is acknowledged before the first of them.
            warm_up_calls: if suite.script.is_some() { 0 } else { calls },
            warm_up_limit: suite.warm_up_ns.saturating_add(WARM_UP_LIMIT_NS),
            // Steps end by themselves.
            duration: if suite.script.is_some() { u64::MAX / 4 } else { suite.duration_ns },
            faults: faults
                .map(|fault| FaultTime { id: fault.id.0, at: fault.at_ns, lasts: fault.for_ns })
                .collect(),
            quiesce: suite.quiesce_ns,
            recovery_calls: if alone { 1 } else { calls },
            settle_limit: if suite.script.is_some() { STEPS_SETTLE_LIMIT_NS } else { SETTLE_LIMIT_NS },
            final_reads_limit: FINAL_READS_LIMIT_NS,
            background: if alone { Background::Nobody } else { Background::Clients },
        }
    }

    /// The disks that the faults need; `None` if a plain directory does.
    pub fn disk(&self) -> Option<FailingDisk> {
        let script = self.suite.script.as_ref();
        let steps = script.map(Script::faults).unwrap_or_default();
        let uses = self.suite.faults.iter().flat_map(|faults| &faults.mix).chain(steps);
        let lost = script.is_some_and(Script::loses_power).then(FailingDisk::default);
        let needed = uses.filter_map(|one| (nemesis::faults::find(&one.fault)?.needs)(&one.settings).disk);
        needed.chain(lost).reduce(FailingDisk::and)
    }

    /// Why the network of the suite cannot do what its faults need; `None` if it can.
    pub fn network_lacks(&self) -> Option<String> {
        if self.suite.system.network == NetworkKind::Switch {
            return None;
        }
        let steps = self.suite.script.as_ref().map(Script::faults).unwrap_or_default();
        let uses = self.suite.faults.iter().flat_map(|faults| &faults.mix).chain(steps);
        let makes_lines_bad = |one: &&FaultUse| {
            nemesis::faults::find(&one.fault).is_some_and(|kind| (kind.needs)(&one.settings).bad_lines)
        };
        let mut names: BTreeSet<&str> = uses.filter(makes_lines_bad).map(|one| one.fault.as_str()).collect();
        if self.suite.script.as_ref().is_some_and(Script::loses_power) {
            names.insert("power-failure");
        }
        let names: Vec<&str> = names.into_iter().collect();
        (!names.is_empty()).then(|| format!("the suite injects {}, and {ONLY_CUTS}", names.join(", ")))
    }

    /// The command that draws and runs the same plan again.
    pub fn reproduce(&self) -> String {
        let sets: String = self.overrides.iter().map(|set| format!(" --set {set}")).collect();
        format!("REPRODUCE WITH: {} --seed {}{sets}", self.command, self.seed)
    }
}

fn mix(faults: &FaultPlan) -> Mix {
    let entry = |fault: &FaultUse| MixEntry {
        kind: fault.fault.clone(),
        params: fault.settings.clone(),
        weight: fault.weight,
    };
    Mix { every_ns: faults.every_ns, entries: faults.mix.iter().map(entry).collect() }
}

#[cfg(test)]
mod tests {
    use super::{Plan, Streams};

    fn settings(source: &str) -> crate::director::Settings {
        let suite = crate::suite::read("x.yaml", source.as_bytes(), &[], &crate::suite::vocabulary());
        let suite = suite.unwrap_or_else(|problems| panic!("{problems}"));
        Plan::draw(suite, "raftcheck run x.yaml", &[], 1).expect("it can be drawn").director_settings()
    }

    #[test]
    fn steps_wait_for_no_calls_of_the_clients_beside_them() {
        let head = "version: 1\nname: x\nsystem: { use: raftkv, nodes: 3 }\nworkload: { kind: register }\n";
        let steps = settings(&format!("{head}steps:\n  - campaign: n1\n"));
        assert_eq!((steps.warm_up, steps.warm_up_calls), (0, 0));
        let stated = settings(&format!("{head}warm-up: 300ms\nsteps:\n  - campaign: n1\n"));
        assert_eq!((stated.warm_up, stated.warm_up_calls), (300_000_000, 0));
        let planned = settings(&format!(
            "{head}duration: 10s\nfaults: {{ every: 2s..4s, mix: [{{ kill: {{ target: leader, for: 500ms }} }}] }}\n"
        ));
        assert!(planned.warm_up_calls > 0);
    }

    #[test]
    fn streams_differ_from_each_other_and_between_seeds() {
        let streams = Streams::of(7);
        assert_eq!(streams, Streams::of(7));
        assert_ne!(streams.workload, streams.nodes);
        assert_ne!(streams.nodes, streams.faults);
        assert_ne!(streams.workload, Streams::of(8).workload);
    }
}

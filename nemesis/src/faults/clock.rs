//! Moves the clocks of nodes while they run: a step, another speed, a standstill, or to and fro.
//!
//! ```yaml
//! - clock: { target: leader, change: [fast, slow], clocks: both, drift: 20%, for: 2s..8s }
//! ```
//!
//! Each injection draws one of `change`:
//!
//! * `forward`: a step forward by `by`.
//! * `back`: a step back by `by`; wall clocks only.
//! * `fast`, `slow`: faster or slower by `drift`: at 20% a fast clock goes 1.2 s in a second, a slow one 0.8 s.
//! * `freeze`: the clock stands still.
//! * `strobe`: there and back again: in every second `period` the clock is `by` ahead; wall clocks only.
//!
//! `clocks` says which ones: `wall` is the time of day, which programs stamp records and lifetimes with; `monotonic` the
//! time since boot, by which they measure timeouts and leases; `both` moves them alike. A monotonic clock never goes back.
//! Waits go by the moved clock as well: what sleeps for 100 ms on a clock of twice the speed sleeps for 50. Not moved are
//! CLOCK_MONOTONIC_RAW, file times, and the timers inside the kernel's TCP.
//!
//! Only processes of the node are affected, never the host nor another node. When the fault ends, wall clocks step back to
//! the true time; monotonic ones go on at the true speed from where they are, since they must not go back.
//!
//! The reader sees by how much each moved clock differs from the true one, and whether a process of the node has read it
//! since; a fault during which none did is reported as without effect. A node whose programs could not all be given clocks
//! is skipped. Nodes of a suite with this fault run under a tracer, which makes every reading of a clock and every wait a
//! little dearer; `raftcheck bench` says by how much a reading.

use checker::params::{Kind, Params, Setting};
use cluster::clock::{ClockFamily, ClockSetting, ClockShift, Strobe, TRUE_SPEED_PPM};
use cluster::levers::Levers;
use cluster::system::BoxFuture;
use rand::Rng;
use rand::seq::IndexedRandom;

use crate::clocks;
use crate::fault::{Choice, Fault, FaultKind, Injection, Needs};
use crate::picture::Picture;
use crate::select::Selector;
use crate::settings::{self, FOR, TARGET};
use crate::target::{Moved, Target};

pub(crate) const KIND: FaultKind = FaultKind {
    name: "clock",
    summary: "Moves the clocks of nodes: a step, another speed, a standstill, or to and fro.",
    source: include_str!("clock.rs"),
    settings: &[
        TARGET,
        FOR,
        Setting {
            name: "change",
            kind: Kind::List(&Kind::Word(&["forward", "back", "fast", "slow", "freeze", "strobe"])),
            default: Some("forward"),
            doc: "What happens to the clocks; each injection draws one of the list.",
        },
        Setting {
            name: "clocks",
            kind: Kind::Word(&["wall", "monotonic", "both"]),
            default: Some("wall"),
            doc: "The time of day, the time since boot, or both alike.",
        },
        Setting {
            name: "by",
            kind: Kind::Duration,
            default: Some("10s"),
            doc: "The length of a step and of a strobe, at most 10000h.",
        },
        Setting {
            name: "drift",
            kind: Kind::Ratio,
            default: Some("20%"),
            doc: "By how much a fast clock is faster, and a slow one slower, than the true one.",
        },
        Setting {
            name: "period",
            kind: Kind::Duration,
            default: Some("200ms"),
            doc: "How long a strobe stays at either place.",
        },
    ],
    needs,
    build,
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Forward,
    Back,
    Fast,
    Slow,
    Freeze,
    Strobe,
}

/// What "10000h" is: no step makes a clock show a time before 1970.
const STEP_NS_MAX: u64 = 10_000 * 3600 * 1_000_000_000;

struct Clock {
    selector: Selector,
    changes: Vec<Change>,
    families: Vec<ClockFamily>,
    by_ns: i64,
    drift_ppm: u32,
    period_ns: u64,
}

fn needs(params: &Params) -> Needs {
    Needs { clocks: true, ..Selector::needs(params) }
}

fn build(params: &Params, nodes: usize) -> Result<Box<dyn Fault>, String> {
    let changes: Vec<Change> =
        settings::words(params, "change")?.into_iter().map(change).collect::<Result<_, _>>()?;
    let families = match settings::text(params, "clocks")? {
        "wall" => vec![ClockFamily::Wall],
        "monotonic" => vec![ClockFamily::Monotonic],
        "both" => vec![ClockFamily::Wall, ClockFamily::Monotonic],
        other => return Err(format!("`clocks` is `wall`, `monotonic` or `both`, not `{other}`")),
    };
    let ns = |name: &str, limit: u64| {
        let length = settings::duration(params, name)?.as_nanos();
        u64::try_from(length)
            .ok()
            .filter(|ns| (1..=limit).contains(ns))
            .ok_or_else(|| format!("`{name}` must be longer than nothing and at most 10000h"))
    };
    let drift_ppm = (settings::ratio(params, "drift")? * 1e6).round() as u32;
    let fault = Clock {
        selector: Selector::read(params, nodes)?,
        changes,
        families,
        by_ns: ns("by", STEP_NS_MAX)? as i64,
        drift_ppm,
        period_ns: ns("period", STEP_NS_MAX)?,
    };
    fault.check()?;
    Ok(Box::new(fault))
}

fn change(word: &str) -> Result<Change, String> {
    Ok(match word {
        "forward" => Change::Forward,
        "back" => Change::Back,
        "fast" => Change::Fast,
        "slow" => Change::Slow,
        "freeze" => Change::Freeze,
        "strobe" => Change::Strobe,
        other => return Err(format!("`change` knows no `{other}`")),
    })
}

impl Clock {
    /// What must not be asked for.
    fn check(&self) -> Result<(), String> {
        if self.changes.is_empty() {
            return Err("`change` names no change".to_owned());
        }
        let goes_back = |change: &Change| matches!(change, Change::Back | Change::Strobe);
        if self.families.contains(&ClockFamily::Monotonic) && self.changes.iter().any(goes_back) {
            return Err(
                "`change: back` and `change: strobe` need `clocks: wall`: a monotonic clock never goes back"
                    .to_owned(),
            );
        }
        let drifts = |change: &Change| matches!(change, Change::Fast | Change::Slow);
        if self.drift_ppm == 0 && self.changes.iter().any(drifts) {
            return Err("`drift` is 0%, and with it `fast` and `slow` clocks are true".to_owned());
        }
        Ok(())
    }

    fn setting(&self, change: Change) -> ClockSetting {
        let still = ClockSetting { shift: ClockShift::None, speed_ppm: TRUE_SPEED_PPM, strobe: None };
        match change {
            Change::Forward => ClockSetting { shift: ClockShift::By(self.by_ns), ..still },
            Change::Back => ClockSetting { shift: ClockShift::By(-self.by_ns), ..still },
            Change::Fast => ClockSetting { speed_ppm: TRUE_SPEED_PPM + self.drift_ppm, ..still },
            Change::Slow => ClockSetting { speed_ppm: TRUE_SPEED_PPM - self.drift_ppm, ..still },
            Change::Freeze => ClockSetting { speed_ppm: 0, ..still },
            Change::Strobe => {
                let strobe = Strobe { period_ns: self.period_ns, by_ns: self.by_ns };
                ClockSetting { strobe: Some(strobe), ..still }
            }
        }
    }

    fn in_words(&self, change: Change) -> String {
        let which = match self.families.as_slice() {
            [ClockFamily::Wall] => "wall clocks",
            [ClockFamily::Monotonic] => "monotonic clocks",
            _ => "all clocks",
        };
        let (seconds, percent) = (self.by_ns as f64 / 1e9, f64::from(self.drift_ppm) / 1e4);
        match change {
            Change::Forward => format!("{which} {seconds} s ahead"),
            Change::Back => format!("{which} {seconds} s behind"),
            Change::Fast => format!("{which} {percent}% fast"),
            Change::Slow => format!("{which} {percent}% slow"),
            Change::Freeze => format!("{which} standing still"),
            Change::Strobe => {
                format!("{which} {seconds} s ahead every other {} ms", self.period_ns as f64 / 1e6)
            }
        }
    }
}

impl Fault for Clock {
    fn choose(&self, picture: &Picture, rng: &mut dyn Rng) -> Choice {
        let Some(change) = self.changes.choose(rng).copied() else {
            return Choice::Skipped("no change to draw from".to_owned());
        };
        match self.selector.select(picture, rng) {
            Ok(nodes) => Choice::Target(Target::Clocks(Moved {
                nodes,
                families: self.families.clone(),
                setting: self.setting(change),
                what: self.in_words(change),
            })),
            Err(why) => Choice::Skipped(why),
        }
    }

    fn inject<'a>(&'a self, target: &'a Target, levers: &'a dyn Levers) -> BoxFuture<'a, Injection> {
        Box::pin(async move {
            match target {
                Target::Clocks(moved) => clocks::install(moved, levers).await,
                other => Injection::Skipped(format!("{} has no clocks", other.describe())),
            }
        })
    }
}

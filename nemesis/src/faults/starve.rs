//! Gives nodes a part of the time only: each runs for a share of every period and stands still for the rest.
//!
//! ```yaml
//! - starve: { target: leader, share: 10%, period: 100ms, for: 2s..4s }
//! ```
//!
//! It is a container whose processor quota is used up in every period, or a virtual machine whose host has sold too much of
//! itself. Unlike a paused node it always answers in the end, just too late: heartbeats come in bursts, leases run out between
//! two instructions, and elections are won by a node that sleeps through its term.
//!
//! All processes of the node are stopped (SIGSTOP) and continued (SIGCONT) by turns. A quota of the kernel counts time on the
//! processor; this counts any time, so that a node that only waits is stopped as well. Priorities are no way for a program without
//! privileges, which cannot raise again what it lowered.
//!
//! The reader sees how often and for how long the node stood still, and how much of the processor it used in the time that it had.

use checker::params::{Kind, Params, Setting};
use cluster::limits::{Duty, Limits};

use crate::fault::{Fault, FaultKind};
use crate::limited::Limiting;
use crate::select::Selector;
use crate::settings::{self, FOR, TARGET};

/// The shortest turn that a machine under load can be expected to keep.
const TURN_US_MIN: u64 = 1_000;
const PERIOD_US_MAX: u64 = 60_000_000;

pub(crate) const KIND: FaultKind = FaultKind {
    name: "starve",
    summary: "Lets nodes run for a share of the time only.",
    source: include_str!("starve.rs"),
    settings: &[
        TARGET,
        Setting {
            name: "share",
            kind: Kind::Ratio,
            default: Some("10%"),
            doc: "The share of each period in which the node runs.",
        },
        Setting {
            name: "period",
            kind: Kind::Duration,
            default: Some("100ms"),
            doc: "The length of a period, at most 1m. It begins with standing still.",
        },
        FOR,
    ],
    needs: Selector::needs,
    build,
};

fn build(params: &Params, nodes: usize) -> Result<Box<dyn Fault>, String> {
    let share = u64::from(settings::ppm(params, "share")?);
    let period = settings::duration(params, "period")?.as_micros();
    let period = u64::try_from(period).ok().filter(|period| *period <= PERIOD_US_MAX);
    let period = period.ok_or("`period` is at most 1m")?;
    let run = period * share / 1_000_000;
    let turn = |us: u64| u32::try_from(us).ok().filter(|_| us >= TURN_US_MIN);
    let short = || {
        format!(
            "with this `share` of this `period` the node would run for {run} us and stand still for {} us; both have to be 1ms or longer",
            period - run
        )
    };
    let duty = Duty { run_us: turn(run).ok_or_else(short)?, stop_us: turn(period - run).ok_or_else(short)? };
    let limits = Limits { duty: Some(duty), ..Limits::default() };
    Ok(Box::new(Limiting { selector: Selector::read(params, nodes)?, limits }))
}

//! Clocks of a node's own: an offset and a speed for every process of a node, changed while they run, without root.
//!
//! A node that is started with a [`NodeClock`] runs under a tracer, which at each exec redirects the clock functions of the
//! vDSO to code that reads the true clock and moves it as the control page says. After that a change is a store to memory.
//!
//! Invariants: the host's clocks are never touched, nor those of another node; a monotonic clock never goes back; a node
//! whose programs could not all be given clocks is never reported as having them.
//!
//! Lacks: CLOCK_MONOTONIC_RAW and the clocks of CPU time, which stay true (the traces of the bundled node use the first, so
//! that they stay comparable); 32-bit programs; file times, which the kernel writes; TCP's timers; other architectures than
//! x86-64. Reference: vdso(7), ptrace(2), time_namespaces(7) for what the kernel itself can and cannot do.

#[cfg(target_arch = "x86_64")]
mod code;
#[cfg(target_arch = "x86_64")]
mod local;
#[cfg(target_arch = "x86_64")]
mod node;
#[cfg(target_arch = "x86_64")]
mod page;
#[cfg(target_arch = "x86_64")]
mod patch;
#[cfg(target_arch = "x86_64")]
mod tracer;
#[cfg(target_arch = "x86_64")]
mod vdso;
#[cfg(target_arch = "x86_64")]
mod waits;

#[cfg(not(target_arch = "x86_64"))]
mod absent;
#[cfg(not(target_arch = "x86_64"))]
use absent as node;

use serde::{Deserialize, Serialize};

#[cfg(target_arch = "x86_64")]
pub use local::reading_cost_ns;
#[cfg(not(target_arch = "x86_64"))]
pub use node::reading_cost_ns;

pub use node::NodeClock;
pub(crate) use node::{Door, StoppedThreads, Tracer};

/// A family of clocks that move together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClockFamily {
    /// The time of day: CLOCK_REALTIME, CLOCK_TAI, `gettimeofday`, `time`.
    Wall,
    /// The time since some beginning: CLOCK_MONOTONIC, CLOCK_BOOTTIME.
    Monotonic,
}

/// A change of one family. Whatever the clock shows at that moment is where it goes on, but for `shift`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ClockSetting {
    /// A step of what it shows.
    pub shift: ClockShift,
    /// How fast it goes from then on, in millionths of the true speed: 1,000,000 is true, 0 stands still. At most
    /// 100,000,000.
    pub speed_ppm: u32,
    /// Whether it jumps to and fro.
    pub strobe: Option<Strobe>,
}

/// A step of what a clock shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClockShift {
    /// None.
    None,
    /// By so many nanoseconds; a monotonic clock only forward.
    By(i64),
    /// To the true time. Not for a monotonic clock, which would have to go back.
    ToTrue,
}

/// To and fro: in every second period the clock is elsewhere. Not for a monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Strobe {
    /// How long it stays at either place, in nanoseconds, not 0.
    pub period_ns: u64,
    /// How far the other place is, in nanoseconds.
    pub by_ns: i64,
}

/// What a family of a node's clocks does at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ClockState {
    /// By how much it differs from the true time, in nanoseconds.
    pub offset_ns: i64,
    /// How fast it goes, in millionths.
    pub speed_ppm: u32,
    /// Whether it jumps to and fro.
    pub strobing: bool,
    /// Whether a process of the node has read it since the last change took effect.
    pub read: bool,
}

/// How giving a program clocks of its own went on this host.
#[derive(Clone, Copy, Debug)]
pub struct Trial {
    /// How long the program was held up at its start.
    pub patch: std::time::Duration,
    /// From before its start until after its end.
    pub all: std::time::Duration,
}

impl std::fmt::Display for Trial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { patch, all } = self;
        write!(f, "a program was given clocks of its own in {patch:.1?}, of {all:.1?} in all")
    }
}

/// What a true clock does.
pub const TRUE_SPEED_PPM: u32 = 1_000_000;
/// The fastest that a clock can go.
pub const SPEED_PPM_MAX: u32 = 100 * TRUE_SPEED_PPM;

impl ClockSetting {
    /// As true as this family can be made: a wall clock goes back to the true time, a monotonic one keeps its lead.
    pub fn healed(family: ClockFamily) -> Self {
        let shift = match family {
            ClockFamily::Wall => ClockShift::ToTrue,
            ClockFamily::Monotonic => ClockShift::None,
        };
        Self { shift, speed_ppm: TRUE_SPEED_PPM, strobe: None }
    }

    /// Why this cannot be done to clocks of this family, if so.
    pub fn objection(&self, family: ClockFamily) -> Option<&'static str> {
        if self.speed_ppm > SPEED_PPM_MAX {
            return Some("a clock goes at most a hundred times as fast as the true one");
        }
        if self.strobe.is_some_and(|strobe| strobe.period_ns == 0) {
            return Some("the period of a strobe is longer than nothing");
        }
        let goes_back =
            matches!(self.shift, ClockShift::ToTrue | ClockShift::By(..0)) || self.strobe.is_some();
        (family == ClockFamily::Monotonic && goes_back).then_some("a monotonic clock never goes back")
    }
}

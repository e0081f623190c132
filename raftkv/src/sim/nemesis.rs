//! What goes wrong in a run: which faults there are and how often each comes.
//!
//! Invariant: a fault is drawn from the run's own random stream, so that the seed fixes it.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::disk::Crash;

/// A fault, or the end of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A random node crashes and comes back after so many milliseconds.
    Crash(Crash, u64),
    /// A leader crashes, if there is one, and comes back after so many milliseconds.
    CrashLeader(Crash, u64),
    /// All nodes lose power and come back.
    PowerFailure,
    /// The disk of a random node is full for so many milliseconds.
    DiskFull(u64),
    /// The next sync of a random node fails.
    SyncError,
    /// The members fall into two groups.
    Split,
    /// A leader, if there is one, is cut off from the others.
    IsolateLeader,
    /// One direction between two nodes is cut.
    CutOneWay,
    /// A random node is not scheduled for so many milliseconds.
    Pause(u64),
    /// The machine of a leader, if there is one, is suspended for so many milliseconds, while some others go on without it.
    Suspend(u64),
    /// A random node's time of day is set by so many milliseconds.
    SetClock(i64),
    /// A leader, if there is one, is told to hand over.
    Transfer,
    /// A leader, if there is one, and one other node no longer reach each other. After so many milliseconds the leader is cut
    /// off altogether, and then the rest may restart: what they promised it is all that is left.
    Desert(u64, Rest),
    /// All links work again.
    Heal,
}

/// What becomes of the nodes that heard a deserted leader to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// They go on.
    Stays,
    /// They crash and come back after so many milliseconds.
    Restarts(u64),
}

/// Draws the next fault.
pub(super) fn draw(random: &mut ChaCha8Rng) -> Fault {
    // Short outages come before the followers' patience ends, long ones after it.
    let outage = if random.random_range(0..2) == 0 { 5..60 } else { 60..900 };
    let outage = random.random_range(outage);
    let crash = if random.random_range(0..2) == 0 { Crash::Process } else { Crash::Power };
    match random.random_range(0..130) {
        0..18 => Fault::Crash(crash, outage),
        18..36 => Fault::CrashLeader(crash, outage),
        36..42 => Fault::PowerFailure,
        42..54 => Fault::Split,
        54..64 => Fault::IsolateLeader,
        64..70 => Fault::CutOneWay,
        70..80 => Fault::Pause(outage),
        80..86 => Fault::Transfer,
        86..91 => Fault::DiskFull(outage),
        91..94 => Fault::SyncError,
        94..99 => Fault::Suspend(random.random_range(200..900)),
        99..102 => Fault::SetClock(random.random_range(-3_000..=500)),
        102..112 => {
            let restarts = random.random_range(0..2) == 0;
            let rest = if restarts { Rest::Restarts(random.random_range(1..10)) } else { Rest::Stays };
            Fault::Desert(random.random_range(100..500), rest)
        }
        _ => Fault::Heal,
    }
}

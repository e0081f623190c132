//! The zone theorem: groups of operations that must be contiguous in any order can be arranged if and only if no two
//! of them must each come before the other.
//!
//! A zone has `f`, the smallest return, and `s`, the largest call of its operations; zone A must precede zone B if
//! `f_A < s_B`. Reference: Gibbons & Korach, Testing Shared Memories, SIAM J. Computing 1997.

/// One group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Zone {
    /// The smallest return and the call that has it.
    pub(super) first_return: (u32, usize),
    /// The largest call instant and the call that has it.
    pub(super) last_call: (u32, usize),
}

impl Zone {
    pub(super) fn f(&self) -> u32 {
        self.first_return.0
    }

    pub(super) fn s(&self) -> u32 {
        self.last_call.0
    }

    pub(super) fn is_forward(&self) -> bool {
        self.f() < self.s()
    }

    /// Where the zone goes in a valid arrangement; backward zones first among equals.
    pub(super) fn rank(&self) -> (u32, bool) {
        (self.f().min(self.s()), self.is_forward())
    }
}

/// Two zones (positions in the slice) that must each come before the other, if there are any.
pub(super) fn conflict(zones: &[Zone]) -> Option<(usize, usize)> {
    let mut forward: Vec<usize> = (0..zones.len()).filter(|&at| zones[at].is_forward()).collect();
    forward.sort_by_key(|&at| (zones[at].f(), zones[at].s()));
    for pair in forward.windows(2) {
        if zones[pair[1]].f() < zones[pair[0]].s() {
            return Some((pair[0], pair[1]));
        }
    }
    // The forward zones are disjoint from here on, so only the last one that starts before can hold a backward one.
    for (at, zone) in zones.iter().enumerate().filter(|(_, zone)| !zone.is_forward()) {
        let before = forward.partition_point(|&other| zones[other].f() < zone.s());
        if before > 0 && zone.f() < zones[forward[before - 1]].s() {
            return Some((forward[before - 1], at));
        }
    }
    None
}

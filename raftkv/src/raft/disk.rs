//! What a node does while its disk takes no more, or takes too long.
//!
//! Invariant: nothing is promised that the disk has not kept, and nothing piles up meanwhile. A node whose disk is full
//! stays a follower that hears its leader, learns what is committed and answers what it has; it acknowledges nothing,
//! gives no vote and does not lead, as long as there is anybody else who could. Once there is room it goes on by itself.
//! Deliberately without any way to free room.
//! Reference: Huang et al., "Gray Failure: The Achilles' Heel of Cloud-Scale Systems", HotOS 2017, for slow disks.

use super::Raft;
use super::io::{DiskSpace, Micros};
use super::rules::{Millis, SlowDisk};
use super::trace::Role;

impl Raft {
    /// The disk has become full, or has room again.
    pub(super) fn disk_space(&mut self, now: Micros, space: DiskSpace) {
        self.disk_space = space;
        // A leader that can write nothing makes way for one that can.
        if self.disk_is_full() && self.role == Role::Leader && !self.peers().is_empty() {
            self.become_follower(now, self.term);
        }
    }

    /// Whether nothing can be promised at present.
    pub(super) fn disk_is_full(&self) -> bool {
        self.disk_space == DiskSpace::Full
    }

    /// Whether a write has been under way for longer than a leader may take.
    pub(super) fn disk_is_slow(&self, now: Micros) -> bool {
        let Some(since) = self.durability.oldest_issue() else { return false };
        // A leader waits for no one's disk but sends from its own: heartbeats flow while every client waits, and nobody
        // else notices. There is no law for it, only a limit that fits the disk.
        match self.rules.storage.step_down_on_slow_disk {
            SlowDisk::After(Millis(limit)) => now.millis_since(since) > limit,
            SlowDisk::Off => false,
        }
    }
}

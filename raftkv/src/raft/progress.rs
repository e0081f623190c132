//! What a leader knows about one follower, and what it may send next.
//!
//! Invariant: `match_index < next_index`. `match_index` is what the follower has vouched for; it goes back
//! when the follower turns out to have lost entries, which weakened rules and broken disks make possible.
//! Reference: `nextIndex` and `matchIndex` of figure 2 of the paper, section 10.2.2 of the thesis for
//! pipelining.

use std::collections::VecDeque;

use super::install::Sending;
use super::io::Micros;

/// How a leader feeds a follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Feeding {
    /// It does not know where the logs agree: one message, then wait for the answer.
    Probe(Probe),
    /// It knows: messages follow each other without waiting.
    Pipeline,
}

/// The one message of a probing leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probe {
    /// To be sent.
    Ready,
    /// On its way.
    Sent,
    /// To be sent once more, with one entry: there was no answer, and whoever does not answer is not sent many entries again and
    /// again.
    Again,
}

/// How much may be on its way to one follower.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Unanswered messages with entries.
    pub(super) messages: usize,
    /// The size of those entries; one message may exceed it.
    pub(super) bytes: usize,
}

/// The unanswered messages with entries.
#[derive(Clone, Debug, Default)]
pub(super) struct Inflight {
    /// The last index and the size of each.
    sent: VecDeque<(u64, usize)>,
    bytes: usize,
}

impl Inflight {
    /// How many they are.
    pub(super) fn messages(&self) -> usize {
        self.sent.len()
    }

    /// The size of their entries.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn push(&mut self, last: u64, bytes: usize) {
        self.sent.push_back((last, bytes));
        self.bytes += bytes;
    }

    /// Everything up to `matched` was answered.
    fn answered(&mut self, matched: u64) {
        while let Some(&(last, bytes)) = self.sent.front()
            && last <= matched
        {
            self.sent.pop_front();
            self.bytes -= bytes;
        }
    }
}

/// How far a follower is: first by what it has vouched for, then by the bytes that it has of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reached {
    match_index: u64,
    snapshot_bytes: u64,
}

/// One follower as its leader sees it.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    /// The last entry that the follower has vouched for.
    pub(super) match_index: u64,
    /// The next entry to send.
    pub(super) next_index: u64,
    /// How to send it.
    pub(super) feeding: Feeding,
    /// Where a search by halves ends: the follower does not have the leader's entry there.
    refused_at: Option<u64>,
    /// How many unanswered messages with entries are allowed at present. It falls to one when messages were
    /// lost or overtook each other and doubles with every step forward, or else each such mishap would send
    /// all of them again.
    pub(super) window: usize,
    /// What was sent and not answered.
    pub(super) inflight: Inflight,
    /// The snapshot that it is being sent, and nothing else meanwhile.
    pub(super) sending: Option<Sending>,
    /// When anything was heard from it in this term.
    pub(super) heard: Micros,
    /// When entries were last sent or acknowledged.
    pub(super) moved: Micros,
    /// The last round of heartbeats that it answered.
    pub(super) round: u64,
}

impl Progress {
    /// A new leader begins at the end of its own log and has heard nothing yet.
    pub(super) fn new(now: Micros, last_index: u64) -> Self {
        Self {
            match_index: 0,
            next_index: last_index + 1,
            feeding: Feeding::Probe(Probe::Ready),
            refused_at: None,
            window: usize::MAX,
            inflight: Inflight::default(),
            sending: None,
            heard: now,
            moved: now,
            round: 0,
        }
    }

    /// Whether a message may go out now.
    pub(super) fn may_send(&self, last_index: u64, bounds: Bounds) -> bool {
        if self.sending.is_some() {
            return false;
        }
        match self.feeding {
            Feeding::Probe(Probe::Ready | Probe::Again) => true,
            Feeding::Probe(Probe::Sent) => false,
            Feeding::Pipeline => {
                self.next_index <= last_index
                    && self.inflight.messages() < bounds.messages.min(self.window)
                    && self.inflight.bytes() < bounds.bytes
            }
        }
    }

    /// A message went out: the index of its last entry, if it has any, and the size of its entries.
    pub(super) fn sent(&mut self, now: Micros, last: Option<u64>, bytes: usize) {
        self.moved = now;
        match (self.feeding, last) {
            (Feeding::Probe(_), _) => self.feeding = Feeding::Probe(Probe::Sent),
            (Feeding::Pipeline, Some(last)) => {
                self.next_index = last + 1;
                self.inflight.push(last, bytes);
            }
            (Feeding::Pipeline, None) => {}
        }
    }

    /// How far it is.
    pub(super) fn reached(&self) -> Reached {
        let snapshot_bytes = self.sending.as_ref().map_or(0, Sending::acknowledged);
        Reached { match_index: self.match_index, snapshot_bytes }
    }

    /// Searches from `next_index` on.
    pub(super) fn probe_from(&mut self, next_index: u64) {
        self.next_index = next_index.max(1);
        self.match_index = self.match_index.min(self.next_index - 1);
        self.feeding = Feeding::Probe(Probe::Ready);
        self.refused_at = None;
        self.inflight = Inflight::default();
    }

    /// Whether the next probe only asks, because entries could still be sent in vain.
    pub(super) fn is_searching(&self) -> bool {
        self.refused_at.is_some_and(|refused| self.next_index < refused)
    }

    /// How many entries the next message may carry, of `most`.
    pub(super) fn entries_at_once(&self, most: usize) -> usize {
        match self.feeding {
            Feeding::Probe(_) if self.is_searching() => 0,
            Feeding::Probe(Probe::Again) => most.min(1),
            Feeding::Probe(_) | Feeding::Pipeline => most,
        }
    }

    /// Takes for granted that the follower has everything up to `match_index`, whoever says so.
    pub(super) fn believe(&mut self, match_index: u64) {
        self.match_index = match_index;
        self.next_index = self.next_index.max(match_index + 1);
    }

    /// The follower has everything up to `matched`.
    pub(super) fn matched(&mut self, now: Micros, matched: u64) {
        let answers_probe = matched + 1 >= self.next_index;
        if matched > self.match_index {
            self.match_index = matched;
            self.moved = now;
            self.window = self.window.saturating_mul(2);
        }
        self.next_index = self.next_index.max(self.match_index + 1);
        self.inflight.answered(matched);
        if answers_probe {
            self.go_on_from_match();
        }
    }

    /// A probe was answered: the next one if a search by halves is not at its end, entries otherwise.
    fn go_on_from_match(&mut self) {
        match self.refused_at {
            Some(refused) if self.match_index + 1 < refused => {
                self.probe_from(middle(self.match_index, refused) + 1);
                self.refused_at = Some(refused);
            }
            _ => {
                self.refused_at = None;
                self.feeding = Feeding::Pipeline;
            }
        }
    }

    /// The same as [`Progress::rejected`], halving what lies between the last entry that the follower vouched for and the
    /// first that it refused, and not below `floor`, where the leader's log begins.
    pub(super) fn rejected_by_halves(&mut self, prev_index: u64, floor: u64) {
        let refused = self.refused_at.map_or(prev_index, |earlier| earlier.min(prev_index));
        let vouched = if self.match_index < prev_index { self.match_index } else { 0 };
        let before = (self.next_index, self.feeding);
        self.rejected(prev_index, middle(vouched.max(floor.min(prev_index)), prev_index));
        if before != (self.next_index, self.feeding) {
            self.refused_at = Some(refused);
        }
    }

    /// The follower refused what came after `prev_index`; its log can agree up to `bound` at the latest.
    pub(super) fn rejected(&mut self, prev_index: u64, bound: u64) {
        let next = prev_index.min(bound + 1).max(1);
        match self.feeding {
            // The probe itself was refused: believe it, also below what the follower once vouched for.
            Feeding::Probe(_) if prev_index == self.next_index - 1 => self.probe_from(next),
            // One of several messages overtook another or was lost, or the follower has lost entries. Begin
            // again behind what it vouched for; if that is wrong, the probe will say so.
            Feeding::Pipeline if prev_index >= self.match_index => {
                self.window = 1;
                self.probe_from(next.max(self.match_index + 1));
            }
            // An answer to something older.
            Feeding::Probe(_) | Feeding::Pipeline => {}
        }
    }

    /// A heartbeat was answered by a follower whose log ends at `last_index`. Whatever has not moved for
    /// `patience_ms` is taken as lost.
    pub(super) fn answered_heartbeat(&mut self, now: Micros, last_index: u64, patience_ms: u64) {
        if last_index < self.match_index {
            self.probe_from(last_index + 1);
        } else if now.millis_since(self.moved) >= patience_ms && self.feeding == Feeding::Probe(Probe::Sent) {
            self.feeding = Feeding::Probe(Probe::Again);
        }
    }

    /// Whether messages seem to be lost: entries are open, and nothing has moved for `patience_ms`.
    pub(super) fn has_stalled(&self, now: Micros, patience_ms: u64) -> bool {
        self.feeding == Feeding::Pipeline
            && self.match_index + 1 < self.next_index
            && now.millis_since(self.moved) >= patience_ms
    }
}

/// The index in the middle, `low` if they are neighbours.
fn middle(low: u64, high: u64) -> u64 {
    low + high.saturating_sub(low) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipeline(match_index: u64, next_index: u64) -> Progress {
        let mut progress = Progress::new(Micros(0), match_index);
        progress.matched(Micros(0), match_index);
        progress.next_index = next_index;
        progress
    }

    #[test]
    fn a_reply_that_was_overtaken_is_ignored() {
        let mut progress = pipeline(5, 9);
        progress.rejected(3, 0);
        assert_eq!((progress.match_index, progress.next_index, progress.feeding), (5, 9, Feeding::Pipeline));
    }

    #[test]
    fn a_gap_in_the_pipeline_goes_back_to_what_matched() {
        let mut progress = pipeline(5, 9);
        progress.rejected(8, 2);
        assert_eq!((progress.match_index, progress.next_index), (5, 6));
        assert_eq!(progress.feeding, Feeding::Probe(Probe::Ready));
    }

    #[test]
    fn after_a_gap_the_window_opens_step_by_step() {
        let mut progress = pipeline(5, 9);
        progress.rejected(8, 2);
        assert_eq!(progress.window, 1);
        progress.matched(Micros(0), 4);
        assert_eq!(progress.feeding, Feeding::Probe(Probe::Ready), "an old answer does not answer the probe");
        progress.matched(Micros(0), 6);
        progress.matched(Micros(0), 6);
        assert_eq!((progress.window, progress.feeding), (2, Feeding::Pipeline));
    }

    #[test]
    fn a_follower_that_lost_entries_is_found_out_by_the_probe() {
        let mut progress = pipeline(5, 6);
        progress.rejected(5, 2);
        assert_eq!((progress.match_index, progress.next_index), (5, 6), "it may have been a late answer");
        progress.feeding = Feeding::Probe(Probe::Sent);
        progress.rejected(5, 2);
        assert_eq!((progress.match_index, progress.next_index), (2, 3));
    }

    #[test]
    fn a_short_log_shows_in_the_heartbeat() {
        let mut progress = pipeline(5, 6);
        progress.answered_heartbeat(Micros(0), 1, 50);
        assert_eq!((progress.match_index, progress.next_index), (1, 2));
    }

    #[test]
    fn a_search_by_halves_ends_where_the_logs_agree() {
        for floor in [0, 10] {
            for agreed in floor..100 {
                let mut progress = Progress::new(Micros(0), 100);
                let mut probes = 0;
                while progress.feeding != Feeding::Pipeline {
                    probes += 1;
                    let prev_index = progress.next_index - 1;
                    assert!(prev_index >= floor && probes <= 9, "{agreed}: {progress:?}");
                    let entries = if progress.is_searching() { 0 } else { 100 - prev_index };
                    progress.sent(Micros(0), None, 0);
                    if prev_index <= agreed {
                        progress.matched(Micros(0), prev_index + entries);
                    } else {
                        progress.rejected_by_halves(prev_index, floor);
                    }
                }
                assert_eq!(progress.match_index, 100, "{agreed}");
            }
        }
    }

    #[test]
    fn the_first_index_is_one() {
        let mut progress = Progress::new(Micros(0), 0);
        progress.rejected(0, 0);
        assert_eq!((progress.match_index, progress.next_index), (0, 1));
    }
}

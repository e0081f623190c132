//! The frames that wait on bad lines.
//!
//! Invariant: they are bounded in bytes, and leave in the order of their times, equal ones in the order of their arrival.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// More than this is not kept, in bytes.
const BYTES_MAX: usize = 64 << 20;

#[derive(Debug, PartialEq, Eq)]
struct Held {
    due: Instant,
    number: u64,
    link: (usize, usize),
    bytes: Vec<u8>,
}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Held {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    queue: BinaryHeap<Reverse<Held>>,
    number: u64,
    bytes: usize,
}

impl Waiting {
    /// Keeps a frame of this link; false if there is no room.
    pub(super) fn add(&mut self, due: Instant, link: (usize, usize), bytes: &[u8]) -> bool {
        if self.bytes + bytes.len() > BYTES_MAX {
            return false;
        }
        self.bytes += bytes.len();
        self.number += 1;
        self.queue.push(Reverse(Held { due, number: self.number, link, bytes: bytes.to_vec() }));
        true
    }

    /// When the next frame leaves.
    pub(super) fn next(&self) -> Option<Instant> {
        self.queue.peek().map(|Reverse(held)| held.due)
    }

    /// A frame whose time has come, and the port that it leaves through.
    pub(super) fn due(&mut self, now: Instant) -> Option<(usize, Vec<u8>)> {
        if self.next()? > now {
            return None;
        }
        let Reverse(held) = self.queue.pop()?;
        self.bytes -= held.bytes.len();
        Some((held.link.1, held.bytes))
    }

    /// Takes all frames of a link out, in their order.
    pub(super) fn take(&mut self, from: usize, to: usize) -> Vec<Vec<u8>> {
        if self.queue.is_empty() {
            return Vec::new();
        }
        let all = std::mem::take(&mut self.queue).into_vec();
        let (mut taken, kept): (Vec<Held>, Vec<Held>) =
            all.into_iter().map(|Reverse(held)| held).partition(|held| held.link == (from, to));
        self.queue = kept.into_iter().map(Reverse).collect();
        taken.sort_unstable();
        self.bytes -= taken.iter().map(|held| held.bytes.len()).sum::<usize>();
        taken.into_iter().map(|held| held.bytes).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn frames_leave_in_the_order_of_their_times() {
        let (mut waiting, now) = (Waiting::default(), Instant::now());
        let at = |ms| now + Duration::from_millis(ms);
        for (number, ms) in [(1, 5), (2, 3), (3, 5), (4, 9)] {
            assert!(waiting.add(at(ms), (1, 2 + usize::from(number == 3)), &[number]));
        }
        assert_eq!(waiting.due(now), None);
        assert_eq!(waiting.next(), Some(at(3)));
        assert_eq!(waiting.due(at(5)), Some((2, vec![2])));
        assert_eq!(waiting.due(at(5)), Some((2, vec![1])));
        assert_eq!(waiting.due(at(5)), Some((3, vec![3])));
        assert_eq!(waiting.due(at(5)), None);
    }

    #[test]
    fn a_link_gives_up_what_waits_on_it() {
        let (mut waiting, now) = (Waiting::default(), Instant::now());
        for number in 0..6 {
            waiting.add(
                now + Duration::from_millis(10 - number),
                (1, 2 + number as usize % 2),
                &[number as u8],
            );
        }
        assert_eq!(waiting.take(1, 2), [vec![4], vec![2], vec![0]]);
        assert_eq!(waiting.take(1, 2), Vec::<Vec<u8>>::new());
        assert_eq!(waiting.take(1, 3), [vec![5], vec![3], vec![1]]);
        assert_eq!((waiting.bytes, waiting.next()), (0, None));
    }

    #[test]
    fn there_is_a_bound() {
        let (mut waiting, now) = (Waiting::default(), Instant::now());
        let frame = vec![0; 1 << 20];
        let kept = (0..100).filter(|_| waiting.add(now, (0, 1), &frame)).count();
        assert_eq!(kept, 64);
    }
}

//! The random choices of the clients: one ChaCha stream per client.
//!
//! Invariant: an operation takes the same number of draws whatever it turns out to be and whatever the store answered,
//! so that the n-th choice of client c is a function of (seed, c, n). Deliberately absent: the thread's generator, and
//! streams shared by two clients. Reference: D. J. Bernstein, "ChaCha, a variant of Salsa20"; its stream number is
//! part of the nonce, so streams of one seed never overlap.

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What one operation draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Draw {
    /// Which function, as an index into the words of the [`Mix`].
    pub(crate) function: usize,
    /// Which of the keys in use.
    pub(crate) slot: usize,
    /// A free choice of the workload, evenly spread.
    pub(crate) pick: u32,
}

/// The streams of all clients.
#[derive(Debug)]
pub(crate) struct Draws {
    streams: Vec<ChaCha8Rng>,
    slots: usize,
    mix: Mix,
}

impl Draws {
    /// Streams for so many clients that choose among `slots` keys.
    pub(crate) fn new(seed: u64, clients: usize, slots: usize, mix: Mix) -> Self {
        let streams = (0..clients as u64)
            .map(|client| {
                let mut stream = ChaCha8Rng::seed_from_u64(seed);
                stream.set_stream(client);
                stream
            })
            .collect();
        Self { streams, slots, mix }
    }

    /// The next draw of this client.
    pub(crate) fn next(&mut self, client: usize) -> Draw {
        let stream = &mut self.streams[client];
        // Three statements and not one expression: the order of the draws is part of what a seed means.
        let function = self.mix.choose(stream.random::<u32>());
        let slot = scale(stream.random::<u32>(), self.slots as u64) as usize;
        let pick = stream.random::<u32>();
        Draw { function, slot, pick }
    }
}

/// Maps an evenly spread 32-bit number onto `0..bound`. Unlike `random_range` it takes one draw, never a second one
/// after a rejection; the bias is below one in four million for every bound that occurs here.
fn scale(draw: u32, bound: u64) -> u64 {
    (u64::from(draw) * bound) >> 32
}

/// Functions with their relative weights.
#[derive(Clone, Debug)]
pub(crate) struct Mix {
    weights: Vec<u64>,
}

impl Mix {
    /// The weights of these words; a word that the map does not list weighs nothing.
    pub(crate) fn new(words: &[&str], weights: &BTreeMap<String, u64>) -> Result<Self, String> {
        let weights: Vec<u64> = words.iter().map(|word| weights.get(*word).copied().unwrap_or(0)).collect();
        match weights.iter().try_fold(0_u64, |sum, weight| sum.checked_add(*weight)) {
            None => Err("mix: the weights are too large".to_owned()),
            Some(0) => Err(format!("mix: at least one of {} needs a weight above 0", words.join(", "))),
            Some(sum) if sum > u64::from(u32::MAX) => Err("mix: the weights are too large".to_owned()),
            Some(_) => Ok(Self { weights }),
        }
    }

    fn choose(&self, draw: u32) -> usize {
        let mut point = scale(draw, self.weights.iter().sum());
        for (index, weight) in self.weights.iter().enumerate() {
            if point < *weight {
                return index;
            }
            point -= weight;
        }
        unreachable!("the point lies below the sum of the weights")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mix(read: u64, write: u64) -> Mix {
        let weights = BTreeMap::from([("read".to_owned(), read), ("write".to_owned(), write)]);
        Mix::new(&["read", "write"], &weights).unwrap()
    }

    #[test]
    fn the_draws_of_a_client_do_not_depend_on_the_others() {
        let mut alone = Draws::new(7, 1, 8, mix(1, 1));
        let mut crowd = Draws::new(7, 20, 8, mix(1, 1));
        for round in 0..200 {
            for other in 1..20 {
                if (round + other) % 3 == 0 {
                    crowd.next(other);
                }
            }
            assert_eq!(alone.next(0), crowd.next(0));
        }
    }

    #[test]
    fn clients_and_seeds_draw_differently() {
        let take = |seed, client| {
            let mut draws = Draws::new(seed, 2, 8, mix(1, 1));
            (0..32).map(|_| draws.next(client).pick).collect::<Vec<_>>()
        };
        assert_ne!(take(1, 0), take(1, 1));
        assert_ne!(take(1, 0), take(2, 0));
    }

    #[test]
    fn functions_come_as_often_as_they_weigh() {
        let mut draws = Draws::new(3, 1, 4, mix(3, 1));
        let reads = (0..40_000).filter(|_| draws.next(0).function == 0).count();
        assert!((29_000..31_000).contains(&reads), "{reads} of 40000 with a weight of 3 in 4");
    }

    #[test]
    fn a_function_without_weight_never_comes() {
        let mut draws = Draws::new(3, 1, 4, mix(0, 5));
        assert!((0..10_000).all(|_| draws.next(0).function == 1));
    }

    #[test]
    fn weights_that_mean_nothing_are_refused() {
        let none = BTreeMap::from([("read".to_owned(), 0)]);
        assert!(Mix::new(&["read"], &none).unwrap_err().contains("above 0"));
        let huge = BTreeMap::from([("read".to_owned(), u64::MAX), ("write".to_owned(), 1)]);
        assert!(Mix::new(&["read", "write"], &huge).unwrap_err().contains("too large"));
    }

    /// What a seed means must not change between releases: a recorded plan is run again by its seed.
    #[test]
    fn the_first_draws_of_a_seed_are_fixed() {
        let mut draws = Draws::new(1, 2, 8, mix(1, 1));
        let first: Vec<(usize, usize)> = (0..8)
            .map(|n| {
                let draw = draws.next(n % 2);
                (draw.function, draw.slot)
            })
            .collect();
        assert_eq!(first, FIRST_DRAWS_OF_SEED_1);
    }

    const FIRST_DRAWS_OF_SEED_1: [(usize, usize); 8] =
        [(1, 3), (1, 6), (0, 1), (0, 1), (0, 1), (1, 0), (0, 7), (1, 7)];
}

//! Keys that are used for a while and then replaced.
//!
//! The cost of judging a key grows with the length of its history, so every key gets a bounded number of operations.
//! There are always `slots` keys in use; the key of slot 2 is `r2-0`, then `r2-1`, and so on. Invariant: no key gets
//! more than `ops_per_key` operations, and every key that was ever handed out is in [`Keys::touched`]. Deliberately
//! absent: a draw; which slot is the business of [`crate::draw`].

use checker::history::Key;

/// The keys in use.
#[derive(Debug)]
pub(crate) struct Keys {
    prefix: char,
    ops_per_key: u64,
    slots: Vec<Slot>,
    touched: Vec<Key>,
}

#[derive(Clone, Debug)]
struct Slot {
    key: Option<Key>,
    generation: u64,
    used: u64,
}

impl Keys {
    /// So many keys at a time, whose names begin with `prefix`.
    pub(crate) fn new(prefix: char, slots: usize, ops_per_key: u64) -> Self {
        let slot = Slot { key: None, generation: 0, used: 0 };
        Self { prefix, ops_per_key, slots: vec![slot; slots], touched: Vec::new() }
    }

    /// The key of this slot, for one operation.
    pub(crate) fn take(&mut self, slot: usize) -> Key {
        let state = &mut self.slots[slot];
        if state.used == self.ops_per_key {
            *state = Slot { key: None, generation: state.generation + 1, used: 0 };
        }
        state.used += 1;
        if let Some(key) = &state.key {
            return key.clone();
        }
        let key = Key::new(format!("{}{slot}-{}", self.prefix, state.generation));
        state.key = Some(key.clone());
        self.touched.push(key.clone());
        key
    }

    /// How many keys are in use at a time.
    pub(crate) fn in_use(&self) -> usize {
        self.slots.len()
    }

    /// Whether the key is in use.
    pub(crate) fn is_current(&self, key: &Key) -> bool {
        self.slots.iter().any(|slot| slot.key.as_ref() == Some(key))
    }

    /// All keys that were ever handed out, in the order of their first use.
    pub(crate) fn touched(&self) -> &[Key] {
        &self.touched
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_key_is_replaced_after_its_share() {
        let mut keys = Keys::new('r', 2, 3);
        let names: Vec<String> = (0..7).map(|_| keys.take(1).to_string()).collect();
        assert_eq!(names, ["r1-0", "r1-0", "r1-0", "r1-1", "r1-1", "r1-1", "r1-2"]);
        assert!(keys.is_current(&Key::new("r1-2")));
        assert!(!keys.is_current(&Key::new("r1-1")));
    }

    #[test]
    fn everything_handed_out_is_touched_once_and_bounded() {
        let mut keys = Keys::new('r', 5, 10);
        let mut used: BTreeMap<Key, u64> = BTreeMap::new();
        for n in 0..1000 {
            *used.entry(keys.take((n * 7) % 5)).or_default() += 1;
        }
        assert!(used.values().all(|count| *count <= 10));
        let mut touched = keys.touched().to_vec();
        touched.sort();
        assert_eq!(touched, used.into_keys().collect::<Vec<_>>());
    }
}

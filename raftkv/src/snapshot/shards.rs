//! A map of keys that can be copied without copying what is in it.
//!
//! The keys are spread over a fixed number of parts. A copy shares all parts; whoever changes a part that is still shared
//! copies that part first (copy-on-write). So a copy of a map of any size costs a few microseconds, what it costs later is
//! spread over the writes that come while the copy lives, and each of those pays for one part at most. That is what the
//! pages of a forked child do, without the fork.
//! Invariant: a copy never changes.
//! What it lacks on purpose: an order. Whoever needs one sorts what they get, as the writer of a snapshot does part by part.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// With a million keys a part has a thousand of them.
const PARTS: usize = 1024;

/// The keys of a part, under a hash with a secret, so that no client can choose keys that collide.
type Part<K, V> = HashMap<K, V>;

/// The map.
#[derive(Clone, Debug)]
pub(crate) struct Shards<K, V> {
    parts: Vec<Arc<Part<K, V>>>,
    len: usize,
}

impl<K, V> Default for Shards<K, V> {
    fn default() -> Self {
        // One empty part stands for all, until each gets its first key.
        Self { parts: vec![Arc::default(); PARTS], len: 0 }
    }
}

/// The part of a key.
fn part_of<Q: Hash + ?Sized>(key: &Q) -> usize {
    let mut hasher = rustc_hash::FxHasher::default();
    key.hash(&mut hasher);
    // The high bits of this hash are the good ones.
    (hasher.finish() >> 32) as usize % PARTS
}

impl<K: Eq + Hash + Clone, V: Clone> Shards<K, V> {
    /// What a key is bound to.
    pub(crate) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.parts[part_of(key)].get(key)
    }

    /// The same, to be changed.
    pub(crate) fn get_mut<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let part = &mut self.parts[part_of(key)];
        // A part is not copied for a key that is not there.
        if part.contains_key(key) { Arc::make_mut(part).get_mut(key) } else { None }
    }

    /// Binds a key; what it was bound to before.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let before = Arc::make_mut(&mut self.parts[part_of(&key)]).insert(key, value);
        self.len += usize::from(before.is_none());
        before
    }

    /// Unbinds a key.
    pub(crate) fn remove_entry<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<(K, V)>
    where
        K: Borrow<Q>,
    {
        let part = &mut self.parts[part_of(key)];
        let removed = if part.contains_key(key) { Arc::make_mut(part).remove_entry(key) } else { None };
        self.len -= usize::from(removed.is_some());
        removed
    }

    /// How many keys are bound.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// All keys, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.parts.iter().flat_map(|part| part.iter())
    }

    /// All keys, part by part. Each part that was visited is given up, so that whoever changes it need not copy it.
    pub(crate) fn into_parts(self) -> impl Iterator<Item = Arc<Part<K, V>>> {
        self.parts.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap as Model;

    use proptest::prelude::*;

    use super::*;

    fn contents(shards: Shards<String, usize>) -> Model<String, usize> {
        shards.into_parts().flat_map(|part| (*part).clone()).collect()
    }

    proptest! {
        #[test]
        fn it_is_a_map_and_copies_never_change(
            writes in proptest::collection::vec((0..40u8, 0..4u8), 0..200),
            copy_at in 0..200usize,
        ) {
            let (mut shards, mut model) = (Shards::default(), Model::new());
            let mut copies = Vec::new();
            for (number, (key, kind)) in writes.into_iter().enumerate() {
                if number % (copy_at + 1) == copy_at {
                    copies.push((shards.clone(), model.clone()));
                }
                let key = format!("k{key}");
                match kind {
                    0 => prop_assert_eq!(shards.remove_entry(&key), model.remove_entry(&key)),
                    1 => {
                        let (one, two) = (shards.get_mut(&key), model.get_mut(&key));
                        prop_assert_eq!(&one, &two);
                        one.into_iter().chain(two).for_each(|value| *value += 1);
                    }
                    _ => prop_assert_eq!(shards.insert(key.clone(), number), model.insert(key, number)),
                }
                prop_assert_eq!(shards.len(), model.len());
            }
            for (key, value) in &model {
                prop_assert_eq!(shards.get(key), Some(value));
            }
            prop_assert_eq!(shards.iter().count(), model.len());
            copies.push((shards, model));
            for (copy, model) in copies {
                prop_assert_eq!(contents(copy), model);
            }
        }
    }

    #[test]
    fn only_the_part_that_changes_is_copied() {
        let mut shards = Shards::default();
        for key in 0..10_000 {
            shards.insert(key.to_string(), 0);
        }
        let copy = shards.clone();
        shards.insert("17".into(), 1);
        assert_eq!((shards.remove_entry("not there"), shards.get_mut("nor this")), (None, None));
        let same = shards.parts.iter().zip(&copy.parts).filter(|(a, b)| Arc::ptr_eq(a, b)).count();
        assert_eq!(same, PARTS - 1);
        let largest = copy.parts.iter().map(|part| part.len()).max().unwrap();
        assert!(largest < 40, "keys spread over the parts: {largest} in one, 10 on average");
    }
}

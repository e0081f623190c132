//! Sorting by instants.
//!
//! The instants of one key lie close together unless there are many keys, and then counting them is several times faster
//! than comparing them. Invariant: the result is that of a stable sort.

/// So many times as wide as there are items the instants may lie apart, to be counted.
const WIDE: u64 = 8;

/// Sorts by an instant, or by anything else that is a number. Items with equal ones keep their order.
pub(super) fn sort<T: Copy>(items: &mut Vec<T>, instant: impl Fn(&T) -> u64) {
    if items.is_sorted_by_key(&instant) {
        return;
    }
    let (mut first, mut last) = (u64::MAX, 0);
    for item in items.iter() {
        let at = instant(item);
        (first, last) = (first.min(at), last.max(at));
    }
    let width = last - first;
    if width >= WIDE * items.len() as u64 || items.len() > u32::MAX as usize {
        return items.sort_by_key(instant);
    }
    let mut places = vec![0_u32; width as usize + 1];
    for item in items.iter() {
        places[(instant(item) - first) as usize] += 1;
    }
    let mut before = 0;
    for place in &mut places {
        before += std::mem::replace(place, before);
    }
    let mut sorted = items.clone();
    for item in items.iter() {
        let place = &mut places[(instant(item) - first) as usize];
        sorted[*place as usize] = *item;
        *place += 1;
    }
    *items = sorted;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::Random;

    #[test]
    fn counting_and_comparing_sort_alike() {
        for seed in 0..200 {
            let mut random = Random::new(seed);
            let (count, width) = (random.below(40), 1 + random.below(1_000));
            let first = random.below(1 << 40);
            let mut items: Vec<(u64, u64)> = (0..count).map(|n| (first + random.below(width), n)).collect();
            let mut expected = items.clone();
            expected.sort_by_key(|item| item.0);
            sort(&mut items, |item| item.0);
            assert_eq!(items, expected, "seed {seed}");
        }
    }
}

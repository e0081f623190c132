//! Which of many bars are drawn, and in which rows.
//!
//! Invariant: the bars of a counterexample are always among the drawn ones, and around them those that are nearest.

/// A bar on the way to the page: its beginning and its end, `None` if it is open.
pub(super) type Span = (u64, Option<u64>);

/// How many parts the density of a tab has.
const PARTS: usize = 240;

/// The positions of at most `limit` bars to draw, in their order: those of `core`, and the nearest to their ends. Without
/// a core it is the first ones.
pub(super) fn pick(count: usize, span: impl Fn(usize) -> Span, core: &[usize], limit: usize) -> Vec<usize> {
    if count <= limit {
        return (0..count).collect();
    }
    let mut ends: Vec<u64> = core
        .iter()
        .flat_map(|&at| {
            let (start, end) = span(at);
            [Some(start), end]
        })
        .flatten()
        .collect();
    if ends.is_empty() {
        return (0..limit).collect();
    }
    ends.sort_unstable();
    let mut sorted = core.to_vec();
    sorted.sort_unstable();
    let distance = |at: usize| {
        let (start, end) = span(at);
        let end = end.unwrap_or(start);
        let next = ends.partition_point(|&moment| moment < start);
        let behind = ends.get(next).map_or(u64::MAX, |&moment| moment.saturating_sub(end));
        let before = next.checked_sub(1).map_or(u64::MAX, |last| start - ends[last]);
        behind.min(before)
    };
    let mut ranked: Vec<(bool, u64, usize)> =
        (0..count).map(|at| (sorted.binary_search(&at).is_err(), distance(at), at)).collect();
    ranked.select_nth_unstable(limit - 1);
    ranked.truncate(limit);
    let mut picked: Vec<usize> = ranked.into_iter().map(|(_, _, at)| at).collect();
    picked.sort_unstable();
    picked
}

/// How many bars begin in each equal part of `span`.
pub(super) fn density(starts: impl Iterator<Item = u64>, span: (u64, u64)) -> Vec<u32> {
    let mut parts = vec![0; PARTS];
    let width = (span.1.saturating_sub(span.0)).max(1);
    for start in starts {
        let part = (start.saturating_sub(span.0) as u128 * PARTS as u128 / width as u128) as usize;
        parts[part.min(PARTS - 1)] += 1;
    }
    parts
}

/// Rows for processes: one that ended gives its row to one that began later. `lives` are the first and the last moment of
/// each process; the result is the row of each, and how many there are.
pub(super) fn rows(lives: &[(u64, u64)]) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..lives.len()).collect();
    order.sort_by_key(|&at| lives[at]);
    let mut free: Vec<u64> = Vec::new();
    let mut row = vec![0; lives.len()];
    for at in order {
        let (first, last) = lives[at];
        let found = free.iter().position(|&until| until < first);
        row[at] = found.unwrap_or(free.len());
        match found {
            Some(old) => free[old] = last,
            None => free.push(last),
        }
    }
    (row, free.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_is_drawn_and_what_is_near_it() {
        let span = |at: usize| (at as u64 * 10, Some(at as u64 * 10 + 5));
        assert_eq!(pick(5, span, &[], 10), [0, 1, 2, 3, 4]);
        assert_eq!(pick(1000, span, &[], 3), [0, 1, 2]);
        assert_eq!(pick(1000, span, &[500], 3), [499, 500, 501]);
        let far = pick(1000, span, &[3, 900], 6);
        assert!(far.contains(&3) && far.contains(&900), "{far:?}");
        assert_eq!(far.len(), 6);
    }

    #[test]
    fn a_row_is_used_again_once_its_process_has_ended() {
        assert_eq!(rows(&[(0, 10), (5, 8), (9, 20), (11, 12)]), (vec![0, 1, 1, 0], 2));
    }

    #[test]
    fn every_bar_is_counted_once() {
        let parts = density((0..1000).chain([1000]), (0, 1000));
        assert_eq!(parts.iter().sum::<u32>(), 1001);
        assert_eq!(density([7].into_iter(), (7, 7)).iter().sum::<u32>(), 1);
    }
}

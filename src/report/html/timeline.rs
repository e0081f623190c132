//! A whole history in a bounded number of buckets: how much was answered, how fast, and when nothing was.
//!
//! Invariant: every operation is counted in exactly one bucket, the one in which it ended. Latencies are known to a
//! sixteenth of their size.

/// Buckets of a timeline.
const BUCKETS: usize = 200;
/// Steps of the scale of latencies, 16 for each power of two.
const STEPS: usize = 16 * 48;
/// The shortest gap without an answer that is shown, in nanoseconds, and in times of the usual one.
const GAP: u64 = 200_000_000;
const GAP_USUAL: u64 = 6;
/// Gaps that are shown, the longest ones.
const GAPS: usize = 50;

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It took effect.
    Ok,
    /// It provably had no effect.
    Failed,
    /// Nobody knows.
    Unknown,
}

/// One operation: when it began and ended, and how.
pub type Call = (u64, u64, End);

/// What happened in a part of the time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Operations that ended `ok`, `failed` or `unknown` here.
    pub ended: [u64; 3],
    /// Of those that were answered: the latency that half of them kept, in nanoseconds.
    pub median: Option<u64>,
    /// The latency that 99 % kept.
    pub p99: Option<u64>,
}

/// A history over time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    /// The parts, of equal length.
    pub buckets: Vec<Bucket>,
    /// From and to.
    pub span: (u64, u64),
    /// Stretches in which nothing was answered, in the order of time.
    pub gaps: Vec<(u64, u64)>,
}

impl Timeline {
    /// The timeline of these operations. They are gone through twice.
    pub fn of<I: Iterator<Item = Call>>(calls: impl Fn() -> I) -> Self {
        let whole =
            |(from, to): (u64, u64), (begun, ended, _): Call| (from.min(begun).min(ended), to.max(ended));
        let (from, to) = calls().fold((u64::MAX, 0), whole);
        if from > to {
            return Self::default();
        }
        let width = to - from + 1;
        let count = BUCKETS.min(usize::try_from(width).unwrap_or(BUCKETS));
        let bucket = |at: u64| ((at - from) as u128 * count as u128 / width as u128) as usize;
        let mut buckets = vec![Bucket::default(); count];
        let mut latencies = vec![vec![0_u32; STEPS]; count];
        let mut answers = Vec::new();
        for (begun, ended, how) in calls() {
            let at = bucket(ended);
            buckets[at].ended[how as usize] += 1;
            if how == End::Ok {
                latencies[at][step(ended.saturating_sub(begun))] += 1;
                answers.push(ended);
            }
        }
        for (bucket, steps) in buckets.iter_mut().zip(&latencies) {
            bucket.median = quantile(steps, bucket.ended[0], 50);
            bucket.p99 = quantile(steps, bucket.ended[0], 99);
        }
        answers.sort_unstable();
        Self { buckets, span: (from, to), gaps: gaps(&answers) }
    }
}

fn gaps(answers: &[u64]) -> Vec<(u64, u64)> {
    let (Some(first), Some(last)) = (answers.first(), answers.last()) else { return Vec::new() };
    let usual = (last - first) / answers.len() as u64;
    let long = GAP.max(usual.saturating_mul(GAP_USUAL));
    let pairs = answers.windows(2).filter(|pair| pair[1] - pair[0] >= long);
    let mut gaps: Vec<(u64, u64)> = pairs.map(|pair| (pair[0], pair[1])).collect();
    gaps.sort_by_key(|&(from, to)| std::cmp::Reverse(to - from));
    gaps.truncate(GAPS);
    gaps.sort_unstable();
    gaps
}

/// The step of the scale on which a latency lies.
fn step(latency: u64) -> usize {
    let latency = latency.max(16);
    let power = 63 - latency.leading_zeros();
    let sixteenth = (latency >> (power - 4)) as usize & 15;
    ((power as usize - 4) * 16 + sixteenth).min(STEPS - 1)
}

/// The least latency of a step.
fn least(step: usize) -> u64 {
    (16 + (step as u64 & 15)) << (step / 16)
}

fn quantile(steps: &[u32], all: u64, percent: u64) -> Option<u64> {
    let wanted = (all * percent).div_ceil(100).max(1);
    let mut seen = 0;
    let found = steps.iter().position(|&count| {
        seen += u64::from(count);
        seen >= wanted
    });
    found.map(least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_lie_on_the_scale_to_a_sixteenth() {
        for latency in [16, 17, 31, 32, 1000, 123_456_789, 60_000_000_000] {
            let told = least(step(latency));
            assert!(told <= latency && latency - told <= latency / 16, "{latency} became {told}");
        }
        assert_eq!(step(0), 0);
        assert!(step(u64::MAX) < STEPS);
    }

    #[test]
    fn every_operation_is_counted_where_it_ended() {
        let ms = 1_000_000;
        let calls = || (0..1000_u64).map(|at| (at * ms, at * ms + ms / 2, End::Ok));
        let timeline = Timeline::of(calls);
        assert_eq!(timeline.buckets.len(), BUCKETS);
        assert_eq!(timeline.buckets.iter().map(|bucket| bucket.ended[0]).sum::<u64>(), 1000);
        assert!(timeline.buckets.iter().all(|bucket| bucket.ended[0] == 5));
        let median = timeline.buckets[3].median.unwrap();
        assert!(median <= ms / 2 && ms / 2 - median <= ms / 32, "{median}");
        assert!(timeline.gaps.is_empty());
    }

    #[test]
    fn a_gap_is_a_time_without_any_answer() {
        let second = 1_000_000_000;
        let steady = |from: u64| (0..50_u64).map(move |at| (from, from + at, End::Ok));
        let calls = || steady(0).chain([(2, second, End::Unknown)]).chain(steady(2 * second));
        assert_eq!(Timeline::of(calls).gaps, [(49, 2 * second)]);
        // Where answers are rare, their absence says nothing.
        let rare = || (0..50_u64).map(|at| (at * second, at * second, End::Ok));
        assert!(Timeline::of(rare).gaps.is_empty());
        assert_eq!(Timeline::of(std::iter::empty).buckets.len(), 0);
    }
}

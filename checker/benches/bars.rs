//! How long the judge takes for each history that it is measured by. `raftcheck bench checker` prints the same cases as a
//! table, with their bars and beside the textbook search.

use checker::generate::BARS;
use checker::linearizability::{FailedCas, check};
use checker::verdict::{Budget, Verdict};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use std::time::{Duration, Instant};

/// Most time and memory that one judgement may take.
const TIME: Duration = Duration::from_secs(60);
const MEMORY_BYTES: usize = 2 << 30;

fn bars(c: &mut Criterion) {
    let mut group = c.benchmark_group("bars");
    group.sample_size(10);
    let (mut number, mut family) = (0, "");
    for bar in BARS {
        // Those that only say what is different belong to the one before.
        let name = match bar.name.strip_prefix("  ") {
            Some(more) => format!("{family} {more}"),
            None => {
                family = bar.name;
                bar.name.to_owned()
            }
        };
        number += 1;
        let mut history = None;
        group.bench_function(BenchmarkId::new(format!("{number:02}"), name), |b| {
            let history = history.get_or_insert_with(|| bar.history());
            b.iter(|| {
                let begun = Instant::now();
                let expired = || begun.elapsed() > TIME;
                let budget = Budget { expired: &expired, memory_bytes: MEMORY_BYTES };
                match check(history, FailedCas::Observe, &budget) {
                    Verdict::Inconclusive(cause) => panic!("{cause:?}"),
                    decided => decided,
                }
            });
        });
    }
}

criterion_group!(benches, bars);
criterion_main!(benches);

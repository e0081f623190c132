//! What it costs to record, read and judge a run of the usual size: 300,000 operations over rotating keys, and the
//! traces of five nodes.

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use checker::history::{Event, EventBody, History, Key, Op, Outcome, ProcessId, Reply, Value, jsonl};
use checker::linearizability::{FailedCas, check};
use checker::properties::{Run, registry};
use checker::trace::{Trace, TraceBuilder};
use checker::verdict::{Budget, Verdict};
use criterion::{Criterion, criterion_group, criterion_main};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const PER_KEY: usize = 400;

/// Ten clients on one register after the other; each operation takes effect somewhere in its interval, one in twenty
/// updates ends unknown.
fn history(operations: usize) -> History {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut events = Vec::with_capacity(operations * 2);
    let (mut time, mut fresh, mut next_process) = (0u64, 0i64, 10u64);
    let mut open: Vec<Option<(u64, Op, Option<Outcome>)>> = vec![None; 10];
    let mut processes: Vec<u64> = (0..10).collect();
    let mut state = Value::Nil;
    let mut started = 0;
    while started < operations || open.iter().any(Option::is_some) {
        time += rng.random_range(1..100_000);
        let client = rng.random_range(0..10);
        let node = Some(format!("n{}", client % 5 + 1));
        let key = Key::new(format!("r{}", started / PER_KEY));
        match open[client].take() {
            None => {
                // A new key starts when the old one is done with.
                let rotates = started % PER_KEY == 0 && open.iter().any(Option::is_some);
                if started == operations || rotates {
                    continue;
                }
                if started % PER_KEY == 0 {
                    state = Value::Nil;
                }
                started += 1;
                fresh += 1;
                let op = match rng.random_range(0..10) {
                    0..5 => Op::Read { key },
                    5..9 => Op::Write { key, value: Value::Int(fresh) },
                    _ => Op::Cas { key, expected: state.clone(), new: Value::Int(fresh) },
                };
                let process = ProcessId(processes[client]);
                events.push(Event { time, process, node, body: EventBody::Invoke(op.clone()) });
                open[client] = Some((time, op, None));
            }
            Some((at, op, None)) => {
                let lost = !op.is_read() && rng.random_range(0..20) == 0;
                let reply = match &op {
                    Op::Read { .. } => Reply::Value(state.clone()),
                    Op::Cas { expected, new, .. } if *expected == state => {
                        state = new.clone();
                        Reply::Done
                    }
                    Op::Cas { .. } => Reply::Mismatch(None),
                    Op::Write { value, .. } => {
                        state = value.clone();
                        Reply::Done
                    }
                    _ => unreachable!("not generated"),
                };
                let outcome =
                    if lost { Outcome::Unknown("timed out".to_owned()) } else { Outcome::Ok(reply) };
                open[client] = Some((at, op, Some(outcome)));
            }
            Some((_, _, Some(outcome))) => {
                let process = ProcessId(processes[client]);
                if matches!(outcome, Outcome::Unknown(_)) {
                    processes[client] = next_process;
                    next_process += 1;
                }
                events.push(Event { time, process, node, body: EventBody::Complete(outcome) });
            }
        }
    }
    History { events }
}

fn written(history: &History) -> String {
    let (mut writer, mut text) = (jsonl::Writer::new(), String::new());
    writer.header(&mut text);
    history.events.iter().for_each(|event| writer.event(event, &mut text));
    text
}

/// Five nodes that replicate `entries` entries, one line per append, fsync, ack, commit and apply.
fn traces(entries: u64) -> Vec<String> {
    (1..=5)
        .map(|n| {
            let mut text = String::new();
            let mut t = 1_000_000_000u64;
            let mut put = |rest: std::fmt::Arguments<'_>| {
                t += 1_000;
                let _ = writeln!(text, r#"{{"t":{t},"n":"n{n}","term":1,"ev":{rest}}}"#);
            };
            put(format_args!(
                r#""boot","boot":1,"voted_for":null,"last_index":0,"last_term":0,"members":["n1","n2"]"#
            ));
            if n == 1 {
                put(format_args!(r#""role","role":"leader","votes":["n1","n2","n3"]"#));
            }
            for i in 1..=entries {
                let hash = i.wrapping_mul(0x9E37_79B9_7F4A_7C15);
                put(format_args!(r#""append","entries":[[{i},1,"{hash:016x}"]]"#));
                put(format_args!(r#""fsync","index":{i},"hard_state":false"#));
                put(format_args!(r#""ack","to":"n1","index":{i}"#));
                put(format_args!(r#""commit","index":{i},"entry_term":1,"acks":["n1","n2","n3"]"#));
                put(format_args!(r#""apply","entries":[[{i},1,"{hash:016x}"]]"#));
            }
            text
        })
        .collect()
}

fn parse(traces: &[String]) -> Trace {
    let mut builder = TraceBuilder::new(0);
    for (at, text) in traces.iter().enumerate() {
        builder.read(&format!("n{at}"), text.split_inclusive('\n')).expect("the trace is well formed");
    }
    builder.finish()
}

fn judge(c: &mut Criterion) {
    let never = || false;
    let budget = Budget { expired: &never, memory_bytes: 256 << 20 };
    let history = history(300_000);
    let text = written(&history);
    let traces = traces(12_000);
    let lines: usize = traces.iter().map(|text| text.lines().count()).sum();
    let bytes: usize = traces.iter().map(String::len).sum();
    println!(
        "history: {} events, {} MB; traces: {lines} lines, {} MB",
        history.events.len(),
        text.len() >> 20,
        bytes >> 20
    );
    let trace = parse(&traces);

    let mut group = c.benchmark_group("a run");
    group.sample_size(10);
    group.bench_function("record 600,000 events", |b| b.iter(|| black_box(written(&history).len())));
    group.bench_function("read the history", |b| {
        b.iter(|| jsonl::read(text.split_inclusive('\n')).expect("it was written by us"))
    });
    group.bench_function("linearizable", |b| {
        b.iter(|| match check(&history, FailedCas::Observe, &budget) {
            Verdict::Holds(coverage) => coverage,
            other => panic!("{other:?}"),
        })
    });
    group.bench_function("read the traces", |b| b.iter(|| parse(&traces)));
    for kind in registry().iter().filter(|kind| kind.needs == checker::properties::Needs::Trace) {
        group.bench_function(kind.name, |b| {
            b.iter(|| {
                let run = Run { history: &history, final_reads_from: None, trace: &trace };
                match (kind.judge)(&run, &Default::default(), &budget) {
                    Verdict::Holds(coverage) => coverage,
                    other => panic!("{other:?}"),
                }
            })
        });
    }
}

/// A register of five values under many clients: reads, writes and CAS in equal parts.
#[derive(Clone, Copy)]
struct Contention {
    operations: usize,
    clients: usize,
    /// How many of a hundred updates end unknown.
    unknown: u32,
    /// How many acknowledged writes are lost.
    lost: usize,
}

fn contended(of: Contention) -> History {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let mut events = Vec::with_capacity(of.operations * 2);
    let (mut time, mut started, mut next_process) = (0, 0, of.clients as u64);
    let mut open: Vec<Option<(Op, Option<Outcome>)>> = vec![None; of.clients];
    let mut processes: Vec<u64> = (0..next_process).collect();
    let (mut state, mut to_lose) = (Value::Nil, of.lost);
    while started < of.operations || open.iter().any(Option::is_some) {
        time += 1;
        let client = rng.random_range(0..of.clients);
        let key = Key::new("r");
        let process = ProcessId(processes[client]);
        let mut event = |process, body| events.push(Event { time, process, node: None, body });
        match open[client].take() {
            None if started == of.operations => {}
            None => {
                started += 1;
                let value = Value::Int(rng.random_range(1..=5));
                let op = match rng.random_range(0..3) {
                    0 => Op::Read { key },
                    1 => Op::Write { key, value },
                    _ => Op::Cas { key, expected: Value::Int(rng.random_range(1..=5)), new: value },
                };
                event(process, EventBody::Invoke(op.clone()));
                open[client] = Some((op, None));
            }
            Some((op, None)) => {
                let unknown = !op.is_read() && rng.random_range(0..100) < of.unknown;
                let reply = match &op {
                    Op::Read { .. } => Reply::Value(state.clone()),
                    Op::Cas { expected, .. } if *expected != state => Reply::Mismatch(None),
                    Op::Write { .. } if to_lose > 0 && started > of.operations / 2 => {
                        to_lose -= 1;
                        Reply::Done
                    }
                    Op::Cas { new: value, .. } | Op::Write { value, .. } => {
                        state = value.clone();
                        Reply::Done
                    }
                    _ => unreachable!("not generated"),
                };
                let outcome =
                    if unknown { Outcome::Unknown("timed out".to_owned()) } else { Outcome::Ok(reply) };
                open[client] = Some((op, Some(outcome)));
            }
            Some((_, Some(outcome))) => {
                if matches!(outcome, Outcome::Unknown(_)) {
                    processes[client] = next_process;
                    next_process += 1;
                }
                event(process, EventBody::Complete(outcome));
            }
        }
    }
    History { events }
}

/// Judges each of these once, with 60 s and 2 GiB at most, and prints a line: some take too long to repeat.
fn contention(_: &mut Criterion) {
    let (none, some) = (0, 10);
    for (operations, clients, unknown, lost) in [
        (300, 10, 7, none),
        (300, 10, 7, some),
        (1_000, 25, 0, none),
        (1_000, 25, 0, some),
        (10_000, 10, 5, none),
        (10_000, 10, 5, some),
        (10_000, 50, 0, none),
        (10_000, 50, 5, none),
        (100_000, 50, 0, none),
        (100_000, 50, 5, none),
    ] {
        let history = contended(Contention { operations, clients, unknown, lost });
        for failed_cas in [FailedCas::Drop, FailedCas::Observe] {
            let start = Instant::now();
            let expired = || start.elapsed() > Duration::from_secs(60);
            let verdict = check(&history, failed_cas, &Budget { expired: &expired, memory_bytes: 2 << 30 });
            let said = match verdict {
                Verdict::Holds(_) => "holds".to_owned(),
                Verdict::Violated(found) => format!("violated, {} operations", found.evidence.len()),
                Verdict::Inconclusive(cause) => format!("{cause:?}"),
            };
            println!(
                "5 values, {operations} operations, {clients} clients, {unknown} % unknown, {lost} writes lost, \
                 refused CAS {failed_cas:?}: {:?}, {said}",
                start.elapsed()
            );
        }
    }
}

criterion_group!(benches, judge, contention);
criterion_main!(benches);

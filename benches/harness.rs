//! What the harness itself costs per event, and to get ready. `raftcheck bench` measures whole runs.

use std::hint::black_box;
use std::process::{Command, Stdio};

use checker::history::{Event, EventBody, Key, Op, Outcome, ProcessId, Reply, Value};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use raftcheck::director::{Director, Settings, Signal};
use raftcheck::recorder::HistoryFile;
use workloads::{Context, Step, Workload};

/// A workload that costs nothing.
struct Writes(i64);

impl Workload for Writes {
    fn next(&mut self, _: &Context) -> Step {
        self.0 += 1;
        Step::Call(Op::Write { key: Key::new("a"), value: Value::Int(self.0) })
    }

    fn completed(&mut self, _: ProcessId, _: &Op, _: &Outcome) {}

    fn final_reads(&mut self) -> Vec<Op> {
        Vec::new()
    }
}

/// One call recorded: its invocation and its completion.
fn record(criterion: &mut Criterion) {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let mut history = HistoryFile::create(file.path()).expect("a history");
    let op = Op::Cas { key: Key::new("r3-1"), expected: Value::Int(17003), new: Value::Int(18003) };
    let mut time = 0;
    let mut group = criterion.benchmark_group("record");
    group.throughput(Throughput::Elements(1));
    group.bench_function("one call", |bencher| {
        bencher.iter(|| {
            time += 1000;
            let event = |body| Event { time, process: ProcessId(7), node: Some("n3".to_owned()), body };
            history.event(&event(EventBody::Invoke(op.clone()))).expect("recorded");
            history.event(&event(EventBody::Complete(Outcome::Ok(Reply::Done)))).expect("recorded");
        });
    });
    group.finish();
}

/// One completion told to the director of 64 clients without a rate, and the next call asked for.
fn direct(criterion: &mut Criterion) {
    let second = 1_000_000_000;
    let settings = Settings {
        clients: 64,
        rate: None,
        warm_up: 0,
        warm_up_calls: 1,
        warm_up_limit: second,
        duration: 1_000_000 * second,
        faults: Vec::new(),
        quiesce: second,
        recovery_calls: 1,
        settle_limit: second,
        final_reads_limit: second,
        background: raftcheck::director::Background::Clients,
    };
    let mut director = Director::new(settings, Box::new(Writes(0)));
    let mut actions = Vec::new();
    director.handle(0, Signal::Ready, &mut actions);
    let mut now = 0;
    let mut group = criterion.benchmark_group("direct");
    group.throughput(Throughput::Elements(1));
    group.bench_function("one completion", |bencher| {
        bencher.iter(|| {
            now += 1000;
            let op = Op::Write { key: Key::new("a"), value: Value::Int(1) };
            let outcome = Outcome::Ok(Reply::Done);
            actions.clear();
            director.handle(
                now,
                Signal::Completed { client: 5, process: ProcessId(5), op, outcome },
                &mut actions,
            );
            black_box(&actions);
        });
    });
    group.finish();
}

/// A process that enters a sandbox, makes five hosts and the switch, moves all links 200 times, and ends.
fn sandbox(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sandbox");
    group.sample_size(10);
    group.bench_function("five hosts, 200 cuts, and gone", |bencher| {
        bencher.iter(|| {
            let status = Command::new(env!("CARGO_BIN_EXE_raftcheck"))
                .args(["bench", "--inside"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .status()
                .expect("the measuring process");
            assert!(status.success());
        });
    });
    group.finish();
}

criterion_group!(benches, record, direct, sandbox);
criterion_main!(benches);

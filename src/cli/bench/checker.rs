//! `raftcheck bench checker`: how long the judge takes for histories from easy to hard, and how much memory.
//!
//! Every case is generated from a fixed seed, so that the table means the same on every host, and is judged in a process
//! of its own, so that its memory is its own. The check time is that of the judgement alone, without reading a file. Beside
//! it stands the textbook search ([`greedy`](super::greedy)), once, with ten seconds and 1 GiB.

use std::io::{self, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ::checker::generate::{Model, Settings, Values, Violation, generate};
use ::checker::history::{Event, EventBody, History, Key, Op, Outcome, ProcessId, Reply, Value};
use ::checker::linearizability::{FailedCas, check};
use ::checker::verdict::{Budget, Verdict};
use nix::sys::resource::{UsageWho, getrusage};
use serde::{Deserialize, Serialize};

use super::greedy;
use crate::exit::Exit;
use crate::session;

/// The arguments of `raftcheck bench checker`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// How often each case is judged
    #[arg(long, default_value = "5", value_parser = clap::value_parser!(u32).range(1..=100))]
    repeat: u32,
    /// Print JSON lines
    #[arg(long)]
    json: bool,
    /// Judge this case, by number, in this process
    #[arg(long, hide = true)]
    case: Option<usize>,
}

/// Most time and memory that one judgement may take.
const TIME: Duration = Duration::from_secs(60);
const MEMORY_BYTES: usize = 2 << 30;
/// ... and the textbook search.
const GREEDY_TIME: Duration = Duration::from_secs(10);
const GREEDY_MEMORY_BYTES: usize = 1 << 30;
const SEED: u64 = 7;

/// One row.
struct Case {
    name: &'static str,
    /// The most that it should take, in milliseconds.
    bar_ms: f64,
    make: fn() -> History,
}

const CASES: [Case; 13] = [
    Case {
        name: "register, 300 ops, 20 unknown, one stale read",
        bar_ms: 1.0,
        make: || {
            made(
                Model::Register,
                Size { operations: 300, clients: 10, unknown: 20.0 / 300.0 },
                Values::Unique,
                Some(Violation::Stale),
            )
        },
    },
    Case {
        name: "register, 1,000 ops, 25 clients",
        bar_ms: 0.2,
        make: || {
            made(Model::Register, Size { operations: 1_000, clients: 25, unknown: 0.0 }, Values::Unique, None)
        },
    },
    Case {
        name: "CAS, 5 values, 1,000 ops, 25 clients",
        bar_ms: 15.0,
        make: || {
            made(
                Model::CasRegister,
                Size { operations: 1_000, clients: 25, unknown: 0.0 },
                Values::Few(5),
                None,
            )
        },
    },
    Case {
        name: "CAS, 5 values, 10,000 ops, 10 clients, 5 % unknown",
        bar_ms: 200.0,
        make: || {
            made(
                Model::CasRegister,
                Size { operations: 10_000, clients: 10, unknown: 0.05 },
                Values::Few(5),
                None,
            )
        },
    },
    Case {
        name: "CAS, 5 values, 10,000 ops, 5 clients",
        bar_ms: f64::INFINITY,
        make: || {
            made(
                Model::CasRegister,
                Size { operations: 10_000, clients: 5, unknown: 0.0 },
                Values::Few(5),
                None,
            )
        },
    },
    Case {
        name: "register, 5 values, 10,000 ops, 5 clients",
        bar_ms: f64::INFINITY,
        make: || {
            made(Model::Register, Size { operations: 10_000, clients: 5, unknown: 0.0 }, Values::Few(5), None)
        },
    },
    Case { name: "KV, 10 keys, deletes, 10,000 ops, 50 clients, 5 % unknown", bar_ms: 50.0, make: key_value },
    Case { name: "CAS, 5 values, 100,000 ops, 50 clients", bar_ms: 60e3, make: || hard(0.0, None) },
    Case { name: "  and 1 % unknown", bar_ms: 60e3, make: || hard(0.01, None) },
    Case { name: "  and 5 % unknown", bar_ms: 60e3, make: || hard(0.05, None) },
    Case { name: "  and one stale read", bar_ms: 60e3, make: || hard(0.0, Some(Violation::Stale)) },
    Case {
        name: "  and 5 % unknown, one stale read",
        bar_ms: 60e3,
        make: || hard(0.05, Some(Violation::Stale)),
    },
    Case {
        name: "  and 5 % unknown, one lost write",
        bar_ms: 60e3,
        make: || hard(0.05, Some(Violation::Lost)),
    },
];

struct Size {
    operations: u64,
    clients: u32,
    unknown: f64,
}

fn made(model: Model, size: Size, values: Values, violation: Option<Violation>) -> History {
    let Size { operations, clients, unknown } = size;
    let settings = Settings { model, operations, clients, unknown, keys: 1, values, violation, seed: SEED };
    let mut events = Vec::new();
    // The settings are those above, and possible.
    let _ = generate(&settings, &mut |event| events.push(event.clone()));
    History { events }
}

fn hard(unknown: f64, violation: Option<Violation>) -> History {
    let size = Size { operations: 100_000, clients: 50, unknown };
    made(Model::CasRegister, size, Values::Few(5), violation)
}

/// An open call: the number of its key, what was asked, and the answer once it took effect.
type Asked = (usize, Op, Option<Reply>);

/// Fifty clients on ten keys: gets, puts of few values, deletes and CAS, each of which takes effect halfway.
fn key_value() -> History {
    const OPERATIONS: usize = 10_000;
    let mut draw = Draw(SEED);
    let (mut events, mut invoked, mut next_process) = (Vec::new(), 0, 50);
    let mut state = vec![Value::Nil; 10];
    let mut clients: Vec<(u64, Option<Asked>)> = (0..50).map(|id| (id, None)).collect();
    while invoked < OPERATIONS || clients.iter().any(|client| client.1.is_some()) {
        let (process, open) = &mut clients[draw.below(50)];
        let mut event = |process: u64, body| {
            let time = events.len() as u64;
            events.push(Event { time, process: ProcessId(process), node: None, body });
        };
        match open.take() {
            None if invoked == OPERATIONS => {}
            None => {
                invoked += 1;
                let at = draw.below(10);
                let key = Key::new(at.to_string());
                let value = Value::Int(draw.below(1_000) as i64);
                let op = match draw.below(10) {
                    0..4 => Op::Read { key },
                    4..7 => Op::Write { key, value },
                    7 => Op::Delete { key },
                    8 => Op::Cas { key, expected: state[at].clone(), new: value },
                    _ => Op::Cas { key, expected: Value::Int(draw.below(1_000) as i64), new: value },
                };
                event(*process, EventBody::Invoke(op.clone()));
                *open = Some((at, op, None));
            }
            Some((at, op, None)) => {
                let reply = applied(&op, &mut state[at]);
                *open = Some((at, op, Some(reply)));
            }
            Some((_, op, Some(reply))) => {
                let lost = !op.is_read() && draw.below(20) == 0;
                let outcome = if lost { Outcome::Unknown("timeout".to_owned()) } else { Outcome::Ok(reply) };
                event(*process, EventBody::Complete(outcome));
                if lost {
                    *process = next_process;
                    next_process += 1;
                }
            }
        }
    }
    History { events }
}

fn applied(op: &Op, state: &mut Value) -> Reply {
    match op {
        Op::Write { value, .. } => *state = value.clone(),
        Op::Delete { .. } => *state = Value::Nil,
        Op::Cas { expected, .. } if expected != state => return Reply::Mismatch(None),
        Op::Cas { new, .. } => *state = new.clone(),
        _ => return Reply::Value(state.clone()),
    }
    Reply::Done
}

/// Random numbers that are the same in every version (splitmix64).
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % n as u64) as usize
    }
}

/// What the process of one case found.
#[derive(Debug, Serialize, Deserialize)]
struct Measured {
    case: String,
    verdict: String,
    median_ms: f64,
    min_ms: f64,
    max_ms: f64,
    memory_mib: f64,
    bar_ms: Option<f64>,
    met: Option<bool>,
    /// `None` where the textbook search gave up.
    greedy_ms: Option<f64>,
}

/// Measures and prints the table.
pub(super) fn main(args: &Args) -> Exit {
    if let Some(case) = args.case {
        return match CASES.get(case) {
            Some(case) => {
                println!("{}", serde_json::to_string(&measure(case, args.repeat)).unwrap_or_default());
                Exit::AsExpected
            }
            None => Exit::Usage,
        };
    }
    if !args.json {
        print(&format!(
            "{:58} {:>10} {:>10} {:>10} {:>6}  {:>9} {:6}  {:>11}  verdict\n",
            "check time in ms", "median", "min", "max", "MiB", "bar", "", "textbook"
        ));
    }
    for (number, case) in CASES.iter().enumerate() {
        match in_a_process(number, args.repeat) {
            Ok(found) if args.json => {
                print(&format!("{}\n", serde_json::to_string(&found).unwrap_or_default()))
            }
            Ok(found) => print(&row(&found)),
            Err(error) => {
                eprintln!("error: {}: {error}", case.name);
                return Exit::Harness;
            }
        }
    }
    Exit::AsExpected
}

fn in_a_process(case: usize, repeat: u32) -> Result<Measured, String> {
    let executable = session::executable().map_err(|error| error.to_string())?;
    let output = Command::new(executable)
        .args(["bench", "checker", "--case", &case.to_string(), "--repeat", &repeat.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| error.to_string())?;
    serde_json::from_slice(&output.stdout).map_err(|_| format!("no figure came back ({})", output.status))
}

fn measure(case: &Case, repeat: u32) -> Measured {
    let history = (case.make)();
    let mut times = Vec::new();
    let mut verdict = String::new();
    for _ in 0..repeat {
        let begun = Instant::now();
        let expired = || begun.elapsed() > TIME;
        let budget = Budget { expired: &expired, memory_bytes: MEMORY_BYTES };
        verdict = match check(&history, FailedCas::Observe, &budget) {
            Verdict::Holds(_) => "holds".to_owned(),
            Verdict::Violated(found) => format!("violated, {} operations", found.evidence.len()),
            Verdict::Inconclusive(_) => "inconclusive".to_owned(),
        };
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        // A case of many seconds is not worth the waiting.
        if times.iter().sum::<f64>() > 60e3 {
            break;
        }
    }
    times.sort_by(f64::total_cmp);
    let memory_mib = getrusage(UsageWho::RUSAGE_SELF).map_or(0.0, |usage| usage.max_rss() as f64 / 1024.0);
    let median_ms = times[times.len() / 2];
    let bar_ms = case.bar_ms.is_finite().then_some(case.bar_ms);
    Measured {
        case: case.name.to_owned(),
        met: bar_ms.map(|bar| median_ms <= bar && verdict != "inconclusive"),
        verdict,
        median_ms,
        min_ms: times[0],
        max_ms: times[times.len() - 1],
        memory_mib,
        bar_ms,
        greedy_ms: textbook(&history),
    }
}

/// The time of the textbook search, key by key; `None` if it gave up.
fn textbook(history: &History) -> Option<f64> {
    let operations = history.operations().ok()?;
    let begun = Instant::now();
    let mut keys: std::collections::BTreeMap<&Key, Vec<_>> = std::collections::BTreeMap::new();
    for operation in operations {
        keys.entry(operation.op.key()).or_default().push(operation);
    }
    for operations in keys.values() {
        let left = GREEDY_TIME.checked_sub(begun.elapsed())?;
        if greedy::search(operations, left, GREEDY_MEMORY_BYTES) == greedy::Ended::GaveUp {
            return None;
        }
    }
    Some(begun.elapsed().as_secs_f64() * 1e3)
}

fn row(found: &Measured) -> String {
    let number = super::number;
    let bar = found.bar_ms.map_or("-".to_owned(), |bar| format!("<= {}", number(bar)));
    let met = match found.met {
        Some(true) => "met",
        Some(false) => "MISSED",
        None => "",
    };
    let greedy = found.greedy_ms.map_or("gave up".to_owned(), number);
    format!(
        "{:58} {:>10} {:>10} {:>10} {:>6}  {bar:>9} {met:6}  {greedy:>11}  {}\n",
        found.case,
        number(found.median_ms),
        number(found.min_ms),
        number(found.max_ms),
        number(found.memory_mib),
        found.verdict,
    )
}

/// A reader that has gone away is no failure.
fn print(text: &str) {
    let _ = io::stdout().lock().write_all(text.as_bytes());
}

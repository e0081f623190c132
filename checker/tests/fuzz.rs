//! The bodies of the fuzz targets, run by the stable toolchain over their corpus and over mutations of it, so that neither
//! rots; and large texts read by two threads. `UPDATE=1` writes the corpus again.

use std::path::PathBuf;

use checker::fuzz::TARGETS;
use checker::generate::{self, EdnWriter, Settings, Values};
use checker::history::formats::{self, Format, Keys, Reading, Specification};
use checker::history::jsonl;
use checker::transactions;
use checker::verdict::Budget;
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const UNLIMITED: Budget<'_> = Budget { expired: &|| false, memory_bytes: usize::MAX };
/// Mutations of each target's corpus in one run.
const MUTATIONS: u32 = 20_000;

fn corpus(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

const JEPSEN: &str = r#"{:type :invoke, :f :read, :value nil, :process 0, :time 5, :index 0}
#jepsen.history.Op{:type :ok, :f :read, :value 3, :process 0, :time 9, :error [:a {:b #{1 2}}], :node "n\"1"}
; a comment
{:type :info, :f :start-partition, :process :nemesis, :time 10, :value {:n1 #{"n2"}}} #_[1 (2)]
{:type :invoke, :f :cas, :value [1 2], :process 1}, {:type :fail, :f :cas, :process 1 :error :timed-out}
{:type :invoke :f :write :value -12N :process 1}
{:type :info :f :write :process 1}
"#;
const INDEPENDENT: &str = r#"{:type :invoke, :f :cas, :value [7 [1 2]], :process 0}
{:type :ok, :f :cas, :value [7 [1 2]], :process 0}
{:type :invoke, :f :read, :value ["k" nil], :process 0}
{:type :ok, :f :read, :value ["k" 2.5], :process 0}
"#;
const ELLE: &str = r#"[{"index":0,"type":"invoke","process":1,"value":[["append",253,1],["r",1,null]]},
{"index":1,"type":"ok","process":1,"f":"txn","value":[["append",253,1],["r",1,[1,2,"\u00e4"]]],"time":7}]
"#;
const TRANSACTIONS: &str = r#"{:process 0 :time 1 :type :invoke :f :txn :value [[:r x nil] [:append y 1]]}
{:process 0 :time 3 :type :ok :f :txn :value [[:r x [1 2]] [:append y 1]]}
{:process 1 :time 3 :type :invoke :f :txn :value [[:r x nil]]}
{:process 1 :time 4 :type :ok :f :txn :value [[:r x [1 3]]]}
"#;
const OWN: &str = r#"{"format":"raftcheck-history","version":1}
{"t":1,"p":0,"type":"invoke","f":"cas","key":"a","value":[1,2],"node":"n1"}
{"t":2,"p":0,"type":"ok","mismatch":3}
{"t":3,"p":0,"type":"invoke","f":"read","key":"a"}
{"t":3,"p":1,"type":"invoke","f":"append","key":"b","value":"x\n"}
{"t":4,"p":0,"type":"ok","value":[null,["y"]]}
{"t":5,"p":1,"type":"info","error":"timeout"}
"#;
const ETCD: &str =
    "INFO  jepsen.util - 0\t:invoke\t:write\t4\nnoise\nINFO  jepsen.util - 0\t:info\t:write\t:timed-out\n";
const TEXT: &str =
    "0\t:invoke\t:cas\t[1 2]\n:nemesis\t:info\t:start\tnil\n0\t:fail\t:cas\t[1 2]\t:timed-out\n";
const KV: &str = r#"{:process 0, :type :invoke, :f :append, :key "k", :value "ab"}
{:process 0, :type :ok, :f :append, :key "k", :value "ab"}
{:process 0, :type :invoke, :f :get, :key "k"}
{:process 0, :type :ok, :f :get, :key "k", :value "abx"}
"#;

/// Honest inputs of a target: a byte that says how, and the text.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let seeds: Vec<(u8, String)> = match target {
        "edn" => vec![
            (0, JEPSEN.to_owned()),
            (43, JEPSEN.to_owned()),
            (3, format!("; k\n[{JEPSEN}]")),
            (68, INDEPENDENT.to_owned()),
        ],
        "transactions" => {
            vec![(0, ELLE.to_owned()), (5, ELLE[1..].replace("},", "}")), (3, TRANSACTIONS.to_owned())]
        }
        "jsonl" => vec![(0, OWN.to_owned()), (28, OWN.to_owned())],
        "porcupine" => vec![(0, ETCD.to_owned()), (11, TEXT.to_owned()), (18, KV.to_owned())],
        other => panic!("no seeds for the target {other}: write some"),
    };
    seeds.into_iter().map(|(how, text)| [&[how], text.as_bytes()].concat()).collect()
}

fn mutate(bytes: &mut Vec<u8>, others: &[Vec<u8>], random: &mut ChaCha8Rng) {
    let marks = b"[](){}\"\\:;#_,\n\t-0n";
    for _ in 0..random.random_range(1..6) {
        let at = random.random_range(0..=bytes.len());
        match random.random_range(0..7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.random_range(0..8),
            1 if at < bytes.len() => bytes[at] = random.random_range(0..=255),
            2 => bytes.truncate(at),
            3 | 4 => bytes.insert(at, marks[random.random_range(0..marks.len())]),
            5 => drop(bytes.drain(at..(at + random.random_range(0..8)).min(bytes.len()))),
            _ => {
                let other = &others[random.random_range(0..others.len())];
                let from = random.random_range(0..=other.len());
                let to = random.random_range(from..=other.len().min(from + 64));
                bytes.splice(at..at, other[from..to].iter().copied());
            }
        }
        bytes.truncate(1 << 12);
    }
}

#[test]
fn the_corpus_is_checked_in() {
    for (target, _) in TARGETS {
        let directory = corpus(target);
        for (number, seed) in seeds(target).into_iter().enumerate() {
            let path = directory.join(format!("seed-{number}"));
            if std::env::var_os("UPDATE").is_some() {
                std::fs::create_dir_all(&directory).unwrap();
                std::fs::write(&path, seed).unwrap();
            }
            assert!(path.is_file(), "{} is missing: run with UPDATE=1", path.display());
        }
    }
}

/// How many mutations, and from which seed; both can be set to search for longer.
fn effort() -> (u32, u64) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    (number("FUZZ_MUTATIONS").unwrap_or(u64::from(MUTATIONS)) as u32, number("FUZZ_SEED").unwrap_or(1))
}

#[test]
fn no_target_panics_over_its_corpus_and_mutations_of_it() {
    let (mutations, seed) = effort();
    println!("{mutations} mutations from seed {seed}");
    for (target, body) in TARGETS {
        let mut inputs: Vec<Vec<u8>> = Vec::new();
        for entry in std::fs::read_dir(corpus(target)).unwrap() {
            inputs.push(std::fs::read(entry.unwrap().path()).unwrap());
        }
        inputs.extend(seeds(target));
        inputs.sort();
        inputs.iter().for_each(|input| body(input));
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        for number in 0..mutations {
            let mut input = inputs[random.random_range(0..inputs.len())].clone();
            mutate(&mut input, &inputs, &mut random);
            let result = std::panic::catch_unwind(|| body(&input));
            assert!(result.is_ok(), "{target} panics over mutation {number}: {}", input.escape_ascii());
        }
    }
}

/// A generated history as text.
fn generated(format: Format, settings: &Settings) -> Vec<u8> {
    let mut text = String::new();
    let (mut own, mut edn) = (jsonl::Writer::new(), EdnWriter::new(settings.keys));
    if format == Format::Raftcheck {
        own.header(&mut text);
    }
    let mut sink = |event: &checker::history::Event| match format {
        Format::Raftcheck => own.event(event, &mut text),
        _ => edn.event(event, &mut text),
    };
    generate::generate(settings, &mut sink).expect("possible");
    text.into_bytes()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn where_a_text_is_cut_changes_nothing(
        seed in any::<u64>(),
        model in prop::sample::select(vec![Specification::Register, Specification::CasRegister, Specification::Append, Specification::Set]),
        keys in 1..3_u32,
        format in prop::sample::select(vec![Format::Raftcheck, Format::JepsenEdn]),
        cuts in prop::collection::vec(0.0..1.0_f64, 0..20),
    ) {
        let values = Values::Unique;
        let settings = Settings { model, operations: 60, clients: 4, unknown: 0.1, keys, values, violation: None, seed };
        let text = generated(format, &settings);
        let independent = keys > 1 && format == Format::JepsenEdn;
        let keys = if independent { Keys::Independent } else { Keys::One };
        let reading = Reading { keys, ..Reading::default() };
        let whole = formats::read(format, &text, &reading).expect("generated");
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| (cut * text.len() as f64) as usize).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let mut reader = formats::Reader::new(format, &reading).expect("it fits");
        for cut in cuts.windows(2) {
            reader.push(&text[cut[0]..cut[1]]).expect("generated");
        }
        prop_assert_eq!(reader.finish().expect("generated"), whole);
    }
}

/// Hands out a text in pieces of uneven sizes.
struct Trickle<'a>(&'a [u8], ChaCha8Rng);

impl std::io::Read for Trickle<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let most = self.0.len().min(into.len());
        let count = most.min(self.1.random_range(1..100_000));
        into[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

#[test]
fn two_threads_read_what_one_reads() {
    let settings = Settings {
        model: Specification::CasRegister,
        operations: 20_000,
        clients: 9,
        unknown: 0.02,
        keys: 3,
        values: Values::Unique,
        violation: None,
        seed: 5,
    };
    let text = generated(Format::JepsenEdn, &settings);
    assert!(text.len() > 2 << 20, "too small for several blocks");
    let reading = Reading { keys: Keys::Independent, ..Reading::default() };
    let spread = String::from_utf8(text.clone()).unwrap().replace(", :process", ",\n  :process").into_bytes();
    let listed = [b"[", &text[..], b"]"].concat();
    let cut = text[..text.len() - 30].to_vec();
    let mut damaged = text.clone();
    damaged[1_500_000] = b'}';
    let mut twice = text.clone();
    twice.extend_from_slice(&text);
    for (name, text) in [
        ("whole", &text),
        ("entries of two lines", &spread),
        ("a list", &listed),
        ("cut off", &cut),
        ("damaged", &damaged),
        ("twice", &twice),
    ] {
        for seed in 0..3 {
            let mut source = Trickle(text, ChaCha8Rng::seed_from_u64(seed));
            let together = formats::read_from(Format::JepsenEdn, &mut source, &reading, &UNLIMITED);
            let whole = formats::read(Format::JepsenEdn, text, &reading);
            match (together, whole) {
                (Ok(together), Ok(whole)) => assert!(together == whole, "{name}, seed {seed}"),
                (Err(together), Err(whole)) => assert_eq!(together.to_string(), whole.to_string(), "{name}"),
                (together, whole) => panic!("{name}: {:?}, {:?}", together.is_ok(), whole.is_ok()),
            }
        }
    }
}

#[test]
fn two_threads_read_transactions_as_one_does() {
    let mut text = TRANSACTIONS.repeat(20_000).into_bytes();
    for notation in [TRANSACTIONS, ELLE] {
        if notation == ELLE {
            text = ELLE[1..].replace("},", "}").replace("}]", "}").repeat(8_000).into_bytes();
        }
        assert!(text.len() > 1 << 20);
        let mut source = Trickle(&text, ChaCha8Rng::seed_from_u64(1));
        let together = transactions::read_from(&mut source, &UNLIMITED).expect("valid");
        let whole = transactions::read(&text).expect("valid");
        assert!(together == whole);
        assert!(whole.transactions.list.len() >= 8_000);
    }
}

#[test]
fn absurd_lengths_end_with_an_error() {
    // Each of these is nested in a way of its own, and the last in two at once.
    let discarded = format!("#_{}", "[".repeat(50));
    for text in ["[", "#_", "{:a ", "#a ", &discarded].map(|text| text.repeat(1 << 18)) {
        let error = formats::read(Format::JepsenEdn, text.as_bytes(), &Reading::default()).unwrap_err();
        assert!(error.problem.contains("too deeply"), "{error}");
    }
    let endless = std::iter::once(b'"').chain(std::iter::repeat_n(b'a', 65 << 20)).collect::<Vec<u8>>();
    for format in [Format::JepsenEdn, Format::Raftcheck, Format::PorcupineEtcd] {
        let error = formats::read(format, &endless, &Reading::default()).unwrap_err();
        assert_eq!((error.line, error.column), (1, 1), "{error}");
        assert!(error.problem.contains("64 MiB"), "{error}");
    }
}

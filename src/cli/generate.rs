//! `raftcheck generate history`: a history whose verdict is known, to try a checker on.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::PathBuf;

use checker::generate::{self, EdnWriter, Settings, Values};
use checker::history::jsonl;
use clap::ValueEnum;

use crate::exit::Exit;

/// The arguments of `raftcheck generate`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum What {
    /// Write a history whose verdict is known; the verdict goes to standard error
    History(HistoryArgs),
}

#[derive(Clone, Debug, clap::Args)]
struct HistoryArgs {
    /// What kind of store
    #[arg(long, value_enum, default_value = "register")]
    model: Model,
    /// How many operations
    #[arg(long, default_value = "1000", value_parser = clap::value_parser!(u64).range(1..))]
    operations: u64,
    /// How many clients at once
    #[arg(long, default_value = "10", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    clients: u32,
    /// The share of operations whose outcome is unknown
    #[arg(long, default_value = "0%", value_name = "PERCENT", value_parser = percent)]
    unknown: f64,
    /// How many keys
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    keys: u32,
    /// Whether each value is written once, or how many there are
    #[arg(long, default_value = "unique", value_name = "unique|N", value_parser = values)]
    values: Values,
    /// What is wrong with it
    #[arg(long, value_enum, default_value = "none")]
    violation: Violation,
    /// Where the choices come from: the same seed gives the same bytes
    #[arg(long, default_value = "1")]
    seed: u64,
    /// Where it goes; without it, to standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// history.jsonl of raftcheck, or history.edn of Jepsen
    #[arg(long, value_enum, default_value = "jsonl")]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Model {
    Register,
    CasRegister,
    Append,
    Set,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Violation {
    /// It is linearizable
    None,
    /// One read shows what was there before an acknowledged change
    Stale,
    /// An acknowledged change never takes effect
    Lost,
    /// Two changes take effect in the opposite order
    Reordered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Jsonl,
    Edn,
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
    match number.filter(|percent| (0.0..=100.0).contains(percent)) {
        Some(percent) => Ok(percent / 100.0),
        None => Err("a share is between 0% and 100%, such as 5%".to_owned()),
    }
}

fn values(text: &str) -> Result<Values, String> {
    match (text, text.parse()) {
        ("unique", _) => Ok(Values::Unique),
        (_, Ok(count)) if count > 0 => Ok(Values::Few(count)),
        _ => Err("values are `unique`, or as many as a number says".to_owned()),
    }
}

/// Generates.
pub(super) fn main(args: &Args) -> Exit {
    let What::History(args) = &args.what;
    // Before a file that exists is written over.
    if let Err(impossible) = settings(args).check() {
        eprintln!("error: {impossible}");
        return Exit::Usage;
    }
    let out: Box<dyn Write> = match &args.out {
        None => Box::new(io::stdout().lock()),
        Some(path) => match File::create(path) {
            Ok(file) => Box::new(file),
            Err(error) => {
                eprintln!("error: {}: {error}", path.display());
                return Exit::Usage;
            }
        },
    };
    history(args, BufWriter::new(out))
}

fn settings(args: &HistoryArgs) -> Settings {
    Settings {
        model: match args.model {
            Model::Register => generate::Model::Register,
            Model::CasRegister => generate::Model::CasRegister,
            Model::Append => generate::Model::Append,
            Model::Set => generate::Model::Set,
        },
        operations: args.operations,
        clients: args.clients,
        unknown: args.unknown,
        keys: args.keys,
        values: args.values,
        violation: match args.violation {
            Violation::None => None,
            Violation::Stale => Some(generate::Violation::Stale),
            Violation::Lost => Some(generate::Violation::Lost),
            Violation::Reordered => Some(generate::Violation::Reordered),
        },
        seed: args.seed,
    }
}

fn history(args: &HistoryArgs, mut out: impl Write) -> Exit {
    let (mut jsonl, mut edn) = (jsonl::Writer::new(), EdnWriter::new(args.keys));
    let mut line = String::new();
    if args.format == Format::Jsonl {
        jsonl.header(&mut line);
    }
    let mut failure: Option<io::Error> = None;
    let truth = generate::generate(&settings(args), &mut |event| {
        match args.format {
            Format::Jsonl => jsonl.event(event, &mut line),
            Format::Edn => edn.event(event, &mut line),
        }
        if failure.is_none() {
            failure = out.write_all(line.as_bytes()).err();
        }
        line.clear();
    });
    let truth = match truth {
        Ok(truth) => truth,
        Err(impossible) => {
            eprintln!("error: {impossible}");
            return Exit::Usage;
        }
    };
    match failure.map_or_else(|| out.flush(), Err) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => return Exit::AsExpected,
        Err(error) => {
            eprintln!("error: the history could not be written: {error}");
            return Exit::Harness;
        }
        Ok(()) => {}
    }
    let verdict = match &truth.violation {
        None => "linearizable".to_owned(),
        Some(proof) => format!("not linearizable: {proof}"),
    };
    eprintln!("truth: {verdict} ({} operations, {} of them unknown)", truth.operations, truth.unknown);
    if args.format == Format::Edn && args.keys > 1 {
        eprintln!("note: its values are [key value], so judge it with --independent");
    }
    Exit::AsExpected
}

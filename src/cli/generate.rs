//! `raftcheck generate history`: a history whose verdict is known, to try a checker on.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::PathBuf;

use checker::generate::{self, EdnWriter, Settings, Values};
use checker::history::formats::Specification;
use checker::history::jsonl;
use clap::ValueEnum;

use super::model::{self, Model};
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
    #[arg(long, default_value = "register", value_parser = model::named())]
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
    /// history.jsonl of raftcheck, or history.edn of Jepsen [default: jsonl; edn for list-append]
    #[arg(long, value_enum)]
    format: Option<Format>,
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
    let format = match (args.model, args.format) {
        (Model::ListAppend, Some(Format::Jsonl)) => {
            eprintln!("error: --format jsonl has no transactions; list-append is written as edn");
            return Exit::Usage;
        }
        (Model::ListAppend, _) => Format::Edn,
        (_, format) => format.unwrap_or(Format::Jsonl),
    };
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
    match args.model {
        Model::ListAppend => transactions(args, BufWriter::new(out)),
        _ => history(args, format, BufWriter::new(out)),
    }
}

fn settings(args: &HistoryArgs) -> Settings {
    Settings {
        model: match args.model {
            Model::Of(specification) => specification,
            // Transactions have a generator of their own, to which the model means nothing.
            Model::Auto | Model::ListAppend => Specification::Append,
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

fn history(args: &HistoryArgs, format: Format, out: impl Write) -> Exit {
    let (mut jsonl, mut edn) = (jsonl::Writer::new(), EdnWriter::new(args.keys));
    let mut line = String::new();
    let mut file = Sink { out, failure: None };
    if format == Format::Jsonl {
        jsonl.header(&mut line);
    }
    let truth = generate::generate(&settings(args), &mut |event| {
        match format {
            Format::Jsonl => jsonl.event(event, &mut line),
            Format::Edn => edn.event(event, &mut line),
        }
        file.write(&line);
        line.clear();
    });
    let exit = told(truth, file, ("linearizable", "operations"));
    if exit == Exit::AsExpected && format == Format::Edn && args.keys > 1 {
        eprintln!("note: its values are [key value], so judge it with --independent");
    }
    exit
}

fn transactions(args: &HistoryArgs, out: impl Write) -> Exit {
    let mut file = Sink { out, failure: None };
    let truth = generate::transactions(&settings(args), &mut |line| file.write(line));
    told(truth, file, ("strict-serializable", "transactions"))
}

/// Where the lines go, until that fails.
struct Sink<W> {
    out: W,
    failure: Option<io::Error>,
}

impl<W: Write> Sink<W> {
    fn write(&mut self, line: &str) {
        if self.failure.is_none() {
            self.failure = self.out.write_all(line.as_bytes()).err();
        }
    }

    fn finish(mut self) -> io::Result<()> {
        self.failure.map_or_else(|| self.out.flush(), Err)
    }
}

/// Says what was generated.
fn told<W: Write>(
    truth: Result<generate::Truth, generate::Impossible>,
    file: Sink<W>,
    (property, unit): (&str, &str),
) -> Exit {
    let truth = match truth {
        Ok(truth) => truth,
        Err(impossible) => {
            eprintln!("error: {impossible}");
            return Exit::Usage;
        }
    };
    match file.finish() {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => return Exit::AsExpected,
        Err(error) => {
            eprintln!("error: the history could not be written: {error}");
            return Exit::Harness;
        }
        Ok(()) => {}
    }
    let verdict = match &truth.violation {
        None => property.to_owned(),
        Some(proof) => format!("not {property}: {proof}"),
    };
    eprintln!("truth: {verdict} ({} {unit}, {} of them unknown)", truth.operations, truth.unknown);
    Exit::AsExpected
}

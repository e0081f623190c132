//! How a history file is to be understood: what can be typed, and what holds where nothing is.

use std::path::PathBuf;
use std::time::Duration;

use checker::history::formats::{CasFailure, Format, Keys, NilReads, Reading, Specification};
use checker::transactions::Consistency;
use checker::verdict::{Cause, Verdict};
use clap::ValueEnum;

use super::units;
use crate::cli::model::Model;

/// The formats by the names of the tools that write them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum InputFormat {
    /// Told by the first entry of the file
    Auto,
    /// history.jsonl of raftcheck
    Raftcheck,
    /// history.edn or history.txt of Jepsen or Maelstrom
    Jepsen,
    /// One vector of EDN maps
    Knossos,
    /// A log with lines of `jepsen.util`
    PorcupineEtcd,
    /// EDN maps of put, append and get with a :key
    PorcupineKv,
}

/// What a history of transactions has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Level {
    /// Writes are not interleaved
    ReadUncommitted,
    /// Only committed data is read
    ReadCommitted,
    /// Each transaction reads from one snapshot, the first committer wins
    SnapshotIsolation,
    /// There is an order of the transactions
    Serializable,
    /// ... that keeps the order of each process
    StrongSessionSerializable,
    /// ... that keeps the order of time
    StrictSerializable,
}

/// What a read of nil says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum NilRead {
    /// Nothing
    Any,
    /// That the key was absent
    Exact,
}

/// What a failed CAS says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum FailedCas {
    /// Nothing
    Drop,
    /// That the key did not hold the expected value at some point of the call
    Observe,
}

/// Yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Answer {
    /// They are
    Yes,
    /// They are not
    No,
}

/// The options for history files.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "For history files")]
pub(super) struct Options {
    /// What wrote the file [default: auto]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(super) input_format: Option<InputFormat>,
    /// What it is judged against [default: auto]
    #[arg(long, value_enum)]
    pub(super) model: Option<Model>,
    /// What a history of transactions has to be [default: strict-serializable]
    #[arg(long, value_enum, value_name = "LEVEL")]
    pub(super) consistency: Option<Level>,
    /// Whether every value is a pair [key value] of jepsen.independent
    #[arg(long, value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "yes", value_name = "yes|no")]
    pub(super) independent: Option<Answer>,
    /// What every key holds before the history, as EDN [default: nil]
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    pub(super) initial: Option<String>,
    /// What a read of nil says [default: any for Knossos, otherwise exact]
    #[arg(long, value_enum)]
    pub(super) nil_reads: Option<NilRead>,
    /// What a failed CAS says [default: observe for raftcheck and porcupine-etcd, otherwise drop]
    #[arg(long, value_enum)]
    pub(super) failed_cas: Option<FailedCas>,
    /// The longest time for one history, its reading included [default: 60s]
    #[arg(long, value_name = "DURATION", value_parser = units::duration)]
    timeout: Option<Duration>,
    /// The most memory for one history and the search for an answer, about [default: 2GiB]
    #[arg(long, value_name = "SIZE", value_parser = units::bytes)]
    memory: Option<usize>,
    #[command(flatten)]
    pub(super) showing: Showing,
}

/// What is shown beside the verdict, of runs and of histories.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "To understand a verdict")]
pub(super) struct Showing {
    /// Explain the verdict: a small timeline, what contradicts what, what would make it hold
    #[arg(long)]
    pub(super) explain: bool,
    /// Write one self-contained page with the verdict and a picture of the operations
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,
}

impl Showing {
    fn contradiction(&self, paths: &[PathBuf], output: crate::cli::Format) -> Option<String> {
        if self.explain && output != crate::cli::Format::Human {
            return Some(
                "--explain is text for people: --format json has the same facts without it".to_owned(),
            );
        }
        let html = self.html.as_ref()?;
        if paths.len() > 1 {
            return Some(format!("--html writes one page, and these are {} paths", paths.len()));
        }
        let same = |path: &PathBuf| match (path.canonicalize(), html.canonicalize()) {
            (Ok(path), Ok(html)) => path == html,
            _ => path == html,
        };
        if paths.iter().any(same) && !html.is_dir() {
            return Some(format!("--html {} would write over the history that it is about", html.display()));
        }
        let place = html.parent().filter(|place| !place.as_os_str().is_empty());
        if html.is_dir() {
            return Some(format!("--html {}: this is a directory; name a file", html.display()));
        }
        place
            .filter(|place| !place.is_dir())
            .map(|place| format!("--html {}: there is no directory {}", html.display(), place.display()))
    }
}

/// The models whose operations include a CAS of the caller.
const WITH_CAS: [Model; 3] =
    [Model::Auto, Model::Of(Specification::CasRegister), Model::Of(Specification::Kv)];

impl Options {
    /// Two arguments that cannot both be meant, or one that means nothing beside the other. `output` is how results are
    /// printed.
    pub(super) fn contradiction(&self, paths: &[PathBuf], output: crate::cli::Format) -> Option<String> {
        let model = self.model.unwrap_or(Model::Auto);
        let transactions = model == Model::ListAppend;
        let named = model.name();
        if self.consistency.is_some() && !transactions && model != Model::Auto {
            return Some(format!(
                "--consistency is for transactions, and --model {named} is for single operations"
            ));
        }
        if let (true, Some(option)) = (transactions, self.first_for_operations()) {
            return Some(format!(
                "{option} is for single operations, and --model list-append is for transactions"
            ));
        }
        let formats = [InputFormat::Raftcheck, InputFormat::PorcupineEtcd, InputFormat::PorcupineKv];
        if let Some(format) = self.input_format.filter(|format| transactions && formats.contains(format)) {
            let format = format.to_possible_value();
            let format = format.as_ref().map_or("", |value| value.get_name());
            return Some(format!(
                "--input-format {format} has no transactions, and --model list-append is for them"
            ));
        }
        if self.failed_cas.is_some() && !WITH_CAS.contains(&model) {
            return Some(format!("--failed-cas says nothing for --model {named}, which has no CAS"));
        }
        if self.independent == Some(Answer::Yes) && self.input_format == Some(InputFormat::Raftcheck) {
            return Some(
                "--independent is for Jepsen's values, and a history of raftcheck names its keys".to_owned(),
            );
        }
        self.showing.contradiction(paths, output)
    }

    /// One that was typed.
    pub(super) fn first_given(&self) -> Option<&'static str> {
        let given = [
            (self.input_format.is_some(), "--input-format"),
            (self.model.is_some(), "--model"),
            (self.consistency.is_some(), "--consistency"),
            (self.independent.is_some(), "--independent"),
            (self.initial.is_some(), "--initial"),
            (self.nil_reads.is_some(), "--nil-reads"),
            (self.failed_cas.is_some(), "--failed-cas"),
            (self.timeout.is_some(), "--timeout"),
            (self.memory.is_some(), "--memory"),
        ];
        given.into_iter().find(|(given, _)| *given).map(|(_, name)| name)
    }

    /// The longest time for one history.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout.unwrap_or(Duration::from_secs(60))
    }

    /// The most memory for one history and its judgement, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.memory.unwrap_or(2 << 30)
    }

    /// What would have decided a history that was not, where a budget was too small.
    pub(super) fn advice(&self, verdict: &Verdict) -> Option<String> {
        match verdict {
            Verdict::Inconclusive(Cause::Time { .. }) => {
                Some(format!("a --timeout of more than {:?} goes on longer", self.timeout()))
            }
            Verdict::Inconclusive(Cause::Memory { .. }) => {
                let mib = self.memory() as f64 / f64::from(1 << 20);
                Some(format!("a --memory of more than {mib:.1} MiB holds more"))
            }
            _ => None,
        }
    }

    /// The format, if the text need not tell it: `detected` is what it looks like.
    pub(super) fn format(&self, detected: Option<Format>) -> Option<Format> {
        match self.input_format.unwrap_or(InputFormat::Auto) {
            InputFormat::Auto => detected,
            InputFormat::Raftcheck => Some(Format::Raftcheck),
            InputFormat::Jepsen if detected == Some(Format::JepsenText) => detected,
            InputFormat::Jepsen => Some(Format::JepsenEdn),
            InputFormat::Knossos => Some(Format::KnossosEdn),
            InputFormat::PorcupineEtcd => Some(Format::PorcupineEtcd),
            InputFormat::PorcupineKv => Some(Format::PorcupineKv),
        }
    }

    /// The model, if one was named.
    pub(super) fn specification(&self) -> Option<Specification> {
        match self.model? {
            Model::Of(specification) => Some(specification),
            Model::Auto | Model::ListAppend => None,
        }
    }

    /// Whether the history is one of transactions: as the model says, or as it looks.
    pub(super) fn is_transactions(&self, looks_like: impl FnOnce() -> bool) -> bool {
        match self.model.unwrap_or(Model::Auto) {
            Model::ListAppend => true,
            Model::Auto => looks_like(),
            _ => false,
        }
    }

    /// An option that means nothing for transactions, if one was typed.
    pub(super) fn first_for_operations(&self) -> Option<&'static str> {
        let given = [
            (self.independent.is_some(), "--independent"),
            (self.initial.is_some(), "--initial"),
            (self.nil_reads.is_some(), "--nil-reads"),
            (self.failed_cas.is_some(), "--failed-cas"),
        ];
        given.into_iter().find(|(given, _)| *given).map(|(_, name)| name)
    }

    /// What a history of transactions has to be.
    pub(super) fn level(&self) -> Consistency {
        match self.consistency.unwrap_or(Level::StrictSerializable) {
            Level::ReadUncommitted => Consistency::ReadUncommitted,
            Level::ReadCommitted => Consistency::ReadCommitted,
            Level::SnapshotIsolation => Consistency::SnapshotIsolation,
            Level::Serializable => Consistency::Serializable,
            Level::StrongSessionSerializable => Consistency::StrongSessionSerializable,
            Level::StrictSerializable => Consistency::StrictSerializable,
        }
    }

    /// How a history of this format is read.
    pub(super) fn reading(&self, format: Format) -> Reading {
        let nil_reads = self.nil_reads.unwrap_or(match format {
            Format::KnossosEdn => NilRead::Any,
            _ => NilRead::Exact,
        });
        let failed_cas = self.failed_cas.unwrap_or(match format {
            Format::Raftcheck | Format::PorcupineEtcd => FailedCas::Observe,
            _ => FailedCas::Drop,
        });
        Reading {
            cas_failure: match failed_cas {
                FailedCas::Drop => CasFailure::NothingHappened,
                FailedCas::Observe => CasFailure::Mismatch,
            },
            nil_reads: match nil_reads {
                NilRead::Any => NilReads::Ignored,
                NilRead::Exact => NilReads::Exact,
            },
            keys: match self.independent {
                None => Keys::Unsaid,
                Some(Answer::No) => Keys::One,
                Some(Answer::Yes) => Keys::Independent,
            },
        }
    }
}

//! One history file, from its bytes to a verdict.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use checker::history::formats::{
    self, CasFailure, Clock, Format, Misfit, ReadError, Reading, Recorded, Specification,
};
use checker::history::{History, Key, ProcessId, Tally, Value};
use checker::linearizability::{self, FailedCas};
use checker::verdict::{Budget, Evidence, Verdict};

use super::input::{self, Input};
use super::options::Options;
use super::picture::{self, About};
use super::show::{self, Shown};
use super::transactions;
use crate::cli::Format as OutputFormat;
use crate::exit::Exit;

/// A judged history, and how it was understood.
pub(super) struct Judged {
    pub(super) file: String,
    pub(super) format: Format,
    pub(super) specification: Specification,
    /// Whether the model was found in the history.
    pub(super) detected: bool,
    pub(super) reading: Reading,
    pub(super) initial: Value,
    pub(super) clock: Clock,
    pub(super) keys: usize,
    pub(super) calls: Tally,
    pub(super) verdict: Verdict,
    pub(super) took: Duration,
    pub(super) remarks: Vec<String>,
    /// The explanation, if one was asked for.
    pub(super) explained: String,
    pub(super) exit: Exit,
}

/// Judges the histories and shows the results.
pub(super) fn check_all(files: &[PathBuf], options: &Options, output: OutputFormat) -> Exit {
    let company = if files.len() > 1 { Company::Others } else { Company::Alone };
    let mut all = Vec::new();
    let mut exits = Vec::new();
    for file in files {
        match check(file, options, company) {
            Ok(shown) => {
                exits.push(shown.exit);
                show::judged(&shown, output);
                all.push(shown.value);
            }
            Err(problem) => {
                eprintln!("error: {problem}");
                exits.push(Exit::Usage);
            }
        }
    }
    show::finished(all, &exits, output);
    exits.into_iter().fold(Exit::AsExpected, Exit::worst)
}

/// Whether the options that were typed are for one history or for several, to some of which they may mean nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Company {
    /// This is the only one.
    Alone,
    /// It is one of those in a store, or of several that were named.
    Others,
}

impl Company {
    /// What to note of an option that means nothing for this history; an error if there is no other that it was typed for.
    pub(super) fn left_out(self, name: &str, option: &str, why: &str) -> Result<String, String> {
        match self {
            Company::Alone => Err(format!("{name}: {option} is for {why}")),
            Company::Others => Ok(format!("{option} was left out here: it is for {why}")),
        }
    }
}

fn check(file: &Path, options: &Options, company: Company) -> Result<Shown, String> {
    let begun = Instant::now();
    let (timeout, memory_bytes) = (options.timeout(), options.memory());
    // From here on: a text that takes too long to read is no better than a search that does.
    let expired = || begun.elapsed() >= timeout;
    let cost = Cost { begun, budget: Budget { expired: &expired, memory_bytes } };
    let input = Input::open(file)?;
    let name = input.name.clone();
    if options.is_transactions(|| checker::transactions::looks_like(&input.head)) {
        return transactions::check(name, &mut input.into_text(), (&cost, company), options);
    }
    let why = "transactions (:txn), and this history has none";
    let left_out = options.consistency.map(|_| company.left_out(&name, "--consistency", why)).transpose()?;
    let format = options
        .format(formats::detect(&input.head))
        .ok_or_else(|| format!("{name}:1:1: {}", input::strange(&input.head)))?;
    let reading = options.reading(format);
    let mut recorded = match formats::read_from(format, &mut input.into_text(), &reading, &cost.budget) {
        Ok(recorded) => recorded,
        Err(ReadError::Spent(cause)) => {
            return Ok(show::unread(&name, show::PROPERTY, cause, &cost, options));
        }
        Err(error) => return Err(unreadable(&name, &error)),
    };
    let specification = match options.specification() {
        Some(named) => named.fits(&recorded.functions).map(|()| named),
        None => Specification::detect(&recorded),
    };
    let place =
        |misfit: Misfit| format!("{name}:{}:{}: {misfit}", misfit.function.line, misfit.function.column);
    let specification = specification.map_err(place)?;
    specification.settle(&mut recorded, reading.nil_reads).map_err(place)?;
    let initial = match &options.initial {
        None => Value::Nil,
        Some(typed) => initial(typed, specification, &recorded, format)?,
    };
    let terms = Terms { format, specification, reading, initial, cost };
    let mut judged = judge(name, recorded, terms, options)?;
    judged.remarks.extend(left_out);
    Ok(show::operations(&judged))
}

/// What one history may cost: its text, and whatever is done with it.
pub(super) struct Cost<'b> {
    /// When it was opened.
    pub(super) begun: Instant,
    /// Counts from then on.
    pub(super) budget: Budget<'b>,
}

/// How a history is understood, and what that may cost.
struct Terms<'b> {
    format: Format,
    specification: Specification,
    reading: Reading,
    initial: Value,
    cost: Cost<'b>,
}

fn judge(
    file: String,
    mut recorded: Recorded,
    terms: Terms<'_>,
    options: &Options,
) -> Result<Judged, String> {
    let Terms { format, specification, reading, initial, cost: Cost { begun, budget } } = terms;
    let calls = recorded.recording.counts().all();
    let keys = recorded.recording.keys();
    let before = Before::put(&mut recorded, specification, &keys, &initial);
    let memory_bytes = budget.memory_bytes.saturating_sub(recorded.recording.bytes());
    let budget = Budget { memory_bytes, ..budget };
    let failed_cas = match reading.cas_failure {
        CasFailure::NothingHappened => FailedCas::Drop,
        CasFailure::Mismatch => FailedCas::Observe,
    };
    let mut verdict =
        linearizability::check_recording(&recorded.recording, specification, failed_cas, &budget);
    before.take_out(&mut verdict);
    let detected = options.specification().is_none();
    let mut remarks: Vec<String> =
        specification.stricter().filter(|_| detected).map(str::to_owned).into_iter().collect();
    if let Some(line) = recorded.cut_off {
        remarks
            .push(format!("line {line} is cut off and was left out: the recorder ended while it wrote it"));
    }
    remarks.extend(options.advice(&verdict));
    let exit = match &verdict {
        Verdict::Violated(_) => {
            let known = specification.starts_empty()
                || matches!(format, Format::Raftcheck | Format::PorcupineEtcd | Format::PorcupineKv);
            if options.initial.is_none() && !known {
                remarks.push(
                    "every key was taken to be nil at first; if it was not, say --initial VALUE".to_owned(),
                );
            }
            Exit::Differs
        }
        Verdict::Inconclusive(_) => Exit::Inconclusive,
        Verdict::Holds(_) if calls.ok == 0 => {
            remarks
                .push("no operation was answered, so this history could not have shown anything".to_owned());
            Exit::Vacuous
        }
        Verdict::Holds(_) => Exit::AsExpected,
    };
    let took = begun.elapsed();
    // The events take several times the memory of the recording, and only a picture needs them.
    let drawn = match options.showing.explain || options.showing.html.is_some() {
        true => recorded.history(),
        false => History::default(),
    };
    let about = About {
        file: &file,
        specification,
        history: &drawn,
        clock: recorded.clock,
        failed_cas,
        added: before.events(),
        first_line: (format == Format::Raftcheck).then_some(2),
        verdict: &verdict,
        exit,
        remarks: &remarks,
    };
    let explained = picture::of_operations(&about, &options.showing)?;
    Ok(Judged {
        file,
        format,
        specification,
        detected,
        reading,
        initial,
        clock: recorded.clock,
        keys: keys.len(),
        calls,
        verdict,
        took,
        remarks,
        explained,
        exit,
    })
}

/// Where a history is damaged, or why it cannot be read.
pub(super) fn unreadable(name: &str, error: &ReadError) -> String {
    match error {
        ReadError::Format(error) => format!("{name}:{}:{}: {}", error.line, error.column, error.problem),
        other => format!("{name}: {other}"),
    }
}

fn initial(
    typed: &str,
    specification: Specification,
    recorded: &Recorded,
    format: Format,
) -> Result<Value, String> {
    if format == Format::PorcupineKv {
        return Err("--initial: in this format every key starts as the empty text".to_owned());
    }
    let value = formats::value(typed).map_err(|error| format!("--initial: {}", error.problem))?;
    specification.initial(value, &recorded.functions).map_err(|problem| format!("--initial: {problem}"))
}

/// An initial value is a write that ended before everything else. It is no operation of the history, and whoever reads
/// of the history does not meet it as one.
struct Before {
    /// Who made these writes; nobody else has this name.
    process: ProcessId,
    writes: u64,
}

impl Before {
    fn put(recorded: &mut Recorded, specification: Specification, keys: &[Key], initial: &Value) -> Before {
        let used: HashSet<ProcessId> = recorded.recording.processes().iter().copied().collect();
        let free = (0..).map(ProcessId).find(|process| !used.contains(process));
        let process = free.unwrap_or(ProcessId(u64::MAX));
        if *initial == Value::Nil {
            return Before { process, writes: 0 };
        }
        let writes = keys.iter().map(|key| specification.before(key, initial));
        recorded.recording.begin_with(process, writes);
        Before { process, writes: keys.len() as u64 }
    }

    /// The events that they take at the front of the history.
    fn events(&self) -> usize {
        self.writes as usize * 2
    }

    fn take_out(&self, verdict: &mut Verdict) {
        if self.writes == 0 {
            return;
        }
        let name = format!("process {}", self.process.0);
        match verdict {
            Verdict::Holds(coverage) => coverage.examined = coverage.examined.saturating_sub(self.writes),
            Verdict::Violated(counterexample) => {
                let theirs = |evidence: &&mut Evidence| evidence.who == name;
                for evidence in counterexample.evidence.iter_mut().filter(theirs) {
                    evidence.who = "initially".to_owned();
                    evidence.end = Some(evidence.start);
                }
            }
            Verdict::Inconclusive(_) => {}
        }
    }
}

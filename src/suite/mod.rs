//! From the bytes of a suite file to a [`Suite`], or to everything that is wrong with it at once.
//!
//! Order: bytes -> spanned tree (`tree`) -> sections (`decode`) against a [`Vocabulary`] -> what no run could fulfil
//! (`feasible`). Each step reports into one list and goes on as far as it can. Invariant: [`read`] returns a complete
//! suite or at least one problem with a position, and never panics, whatever the bytes. Deliberately absent: serde on
//! the way in (it stops at the first problem and forgets positions), and files.

mod claim;
mod decode;
mod diagnostics;
mod feasible;
mod fields;
mod model;
mod question;
mod registries;
mod scalars;
mod schema;
mod settings;
mod suggest;
mod tree;
mod vocabulary;

#[cfg(test)]
mod tests;

use std::path::Path;

use checker::params::{Params, Setting};

pub use claim::{Behaviour, Claim, Degrades, Factor, Liveness, NodeEvent, Part, Progress, When};
pub use diagnostics::{Colour, Diagnostic, Located, Origin, Place, Problems};
pub use model::{
    CheckUse, Comparison, DataPlace, Expect, FaultPlan, FaultUse, RuleUse, SCRIPTED, Suite, SuiteFile,
    SystemUse, Threshold, WorkloadUse,
};
pub use question::{Both, Language, Question};
pub use registries::{measures, vocabulary};
pub use schema::schema;
pub use vocabulary::{
    BuildFault, BuildSystem, BuildWorkload, Ceiling, CheckEntry, Direction, Entry, Evidence, FaultEntry,
    MeasureEntry, RuleBook, RuleEntry, SystemEntry, Unit, Vocabulary, WorkloadEntry,
};

use diagnostics::Diagnostics;

/// Whether a YAML file that was found in a folder of suites is one. What lies beside the suites of `suites/questions` is data
/// of the catalogue: the answers in words, and its indices (`index-*`).
pub fn is_suite(path: &Path) -> bool {
    let of_catalogue = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("index-"))
        || path.parent().is_some_and(|folder| folder.ends_with("questions/texts"));
    !of_catalogue && path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

/// The longest suite file.
const BYTES_MAX: usize = 1 << 20;

/// Reads a suite without a matrix, or the first cell of one. See [`read_file`].
pub fn read(file: &str, bytes: &[u8], sets: &[String], vocabulary: &Vocabulary) -> Result<Suite, Problems> {
    read_file(file, bytes, sets, vocabulary).map(|mut file| file.suites.swap_remove(0))
}

/// Reads a suite file. `file` is its name for messages, `sets` are the `name=value` arguments that replace protocol
/// rules.
pub fn read_file(
    file: &str,
    bytes: &[u8],
    sets: &[String],
    vocabulary: &Vocabulary,
) -> Result<SuiteFile, Problems> {
    let mut out = Diagnostics::default();
    let source = text(bytes, &mut out);
    let read = if out.is_empty() {
        tree::parse(&source, &mut out).and_then(|root| decode::file(&root, sets, vocabulary, &mut out))
    } else {
        None
    };
    match read {
        Some(mut read) if out.is_empty() => {
            read.suites.iter_mut().for_each(|suite| number_lines(suite, &source));
            Ok(read)
        }
        _ => {
            if out.is_empty() {
                out.push(Diagnostic::new(Place::file(0..0), "the suite cannot be read"));
            }
            Err(out.into_problems(file, source, sets))
        }
    }
}

/// Steps know where they stand as bytes while they are read; a run tells lines.
fn number_lines(suite: &mut Suite, source: &str) {
    let starts: Vec<usize> = source.match_indices('\n').map(|(at, _)| at).collect();
    if let Some(script) = &mut suite.script {
        script.walk_mut(&mut |step| step.line = starts.partition_point(|start| *start < step.line) + 1);
    }
}

/// The duration as one writes it in a suite file: `1m30s`, `250ms`.
pub fn duration_text(ns: u64) -> String {
    scalars::duration_text(ns)
}

/// A duration such as `300ms` in nanoseconds, or what is wrong with it.
pub(crate) fn duration_ns(text: &str) -> Result<u64, String> {
    scalars::duration(text).map_err(|error| error.why)
}

/// The defaults of those settings that have one.
pub(crate) fn defaults(settings: &[Setting]) -> Params {
    settings::defaults(settings)
}

/// The verbs of steps, each with a sentence.
pub fn verbs() -> &'static [(&'static str, &'static str)] {
    decode::VERBS
}

/// "did you mean `x`?", where a word is near enough.
pub(crate) fn did_you_mean(found: &str, allowed: &[&str]) -> Option<String> {
    suggest::did_you_mean(found, allowed)
}

/// The words as a sentence.
pub(crate) fn one_of(allowed: &[&str]) -> String {
    suggest::one_of(allowed)
}

fn text(bytes: &[u8], out: &mut Diagnostics) -> String {
    if bytes.len() > BYTES_MAX {
        let message = format!("the file has {} bytes, and a suite at most {BYTES_MAX}", bytes.len());
        out.push(Diagnostic::new(Place::file(0..0), message));
        return String::new();
    }
    let text = String::from_utf8_lossy(bytes).into_owned();
    if let Err(error) = std::str::from_utf8(bytes) {
        // Up to here the text and the bytes are the same; the replacement character is three bytes long.
        let start = error.valid_up_to();
        let place = Place::file(start..start + char::REPLACEMENT_CHARACTER.len_utf8());
        out.push(Diagnostic::new(place, "the file is not UTF-8").label("this byte begins no character"));
    }
    text
}

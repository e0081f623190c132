//! The sections of a suite file, one file each.
//!
//! Every section is read even if an earlier one is wrong, with what could be read of the earlier ones. Invariant: a
//! section that is not read has left a problem behind. To add a section: a file here, a line in [`suite`], and its part
//! of the schema.

mod called;
mod checks;
mod expect;
mod faults;
mod matrix;
mod question;
mod steps;
mod system;
mod template;
mod thresholds;
mod workload;

pub(super) use checks::TIMEOUT;
pub(super) use faults::{Faults, Given, WEIGHT_MAX};
pub(super) use question::GROUPS;
pub(super) use steps::{BESIDE, OP_TIMEOUT as STEP_TIMEOUT, VERBS, WITHIN};
pub(super) use system::{NODES, NODES_MAX};
pub(super) use thresholds::Bound;
pub(super) use workload::{CLIENTS, CLIENTS_MAX, OP_TIMEOUT, RATE, RATE_MAX, Rate};

use super::diagnostics::{Diagnostic, Diagnostics, Place};
use super::feasible::{self, Draft};
use super::fields::{Fields, scalar};
use super::model::{Suite, SuiteFile};
use super::settings::{Read, malformed};
use super::suggest;
use super::tree::Node;
use super::vocabulary::Vocabulary;
use super::{scalars, tree};
use steps::Scripted;

/// The version of the format that this reader knows.
pub(super) const VERSION: u64 = 1;
/// What applies where the suite says nothing.
pub(super) const WARM_UP: &str = "1s";
/// See [`WARM_UP`].
pub(super) const QUIESCE: &str = "5s";

/// What applies in a suite with steps.
pub(super) const STEPS_WARM_UP: &str = "0s";
/// See [`STEPS_WARM_UP`].
pub(super) const STEPS_QUIESCE: &str = "2s";

/// A time with its place.
#[derive(Clone, Debug)]
pub(super) struct Timed {
    pub(super) ns: u64,
    pub(super) place: Place,
}

/// Reads the whole file: one suite, or one per cell of its matrix.
pub(super) fn file(
    root: &Node,
    sets: &[String],
    vocabulary: &Vocabulary,
    out: &mut Diagnostics,
) -> Option<SuiteFile> {
    let question = question::read(matrix::entry(root, "question"), out);
    let Some(matrix) = matrix::entry(root, "matrix") else {
        let filled = template::Values::none().fill_in(root, out).map(|(filled, _)| filled);
        let suite = suite(filled.as_ref().unwrap_or(root), sets, &[], vocabulary, out);
        return Some(SuiteFile { question: question?, suites: vec![suite?] });
    };
    let cells = matrix::read(root, matrix, out);
    matrix::refuse_sets(matrix, sets, out);
    if cells.is_empty() {
        // What else is wrong does not depend on the cells.
        suite(root, sets, &[], vocabulary, out);
        return None;
    }
    let read = |cell: &matrix::Cell| {
        let mark = out.len();
        let others: Vec<&str> = matrix::names(matrix).into_iter().filter(|name| *name != cell.name).collect();
        let suite = suite(&cell.root, sets, &others, vocabulary, out);
        out.annotate(mark, &cell.notes);
        suite.map(|suite| Suite { cell: Some(cell.name.clone()), ..suite })
    };
    // Every cell is read, also behind one with problems.
    let suites: Vec<Option<Suite>> = cells.iter().map(read).collect();
    let suites: Vec<Suite> = suites.into_iter().collect::<Option<_>>()?;
    matrix::controls(&suites, matrix, out);
    Some(SuiteFile { question: question?, suites })
}

/// Reads one suite; `others` are the other cells of its matrix.
fn suite(
    root: &Node,
    sets: &[String],
    others: &[&str],
    vocabulary: &Vocabulary,
    out: &mut Diagnostics,
) -> Option<Suite> {
    let mut fields = Fields::of(root, "the suite", out)?;
    let scripted = steps::scripted(root);
    let version = version(&mut fields, out);
    let name = name(&mut fields, out);
    let system = system::read(&mut fields, sets, vocabulary, out);
    let steps = steps::read(&mut fields, scripted, &system, vocabulary, out);
    let mut workload = workload::read(&mut fields, scripted, &system, vocabulary, out);
    let (warm_up, quiesce) = match scripted {
        Scripted::Yes => (STEPS_WARM_UP, STEPS_QUIESCE),
        Scripted::No => (WARM_UP, QUIESCE),
    };
    let warm_up = time(&mut fields, "warm-up", Some(warm_up), out);
    let (duration, faults) = match scripted {
        Scripted::No => {
            let duration = time(&mut fields, "duration", None, out);
            (duration, faults::read(&mut fields, &system, vocabulary, out))
        }
        Scripted::Yes => {
            steps::refuse(root, out);
            fields.take("duration");
            fields.take("faults");
            (Some(Timed { ns: 0, place: fields.place().clone() }), Faults::none())
        }
    };
    let quiesce = time(&mut fields, "quiesce", Some(quiesce), out);
    if let Some(Some(script)) = &steps.value {
        workload.come_after(script);
    }
    let checks = checks::read(&mut fields, scripted, &system, workload.entry, vocabulary, out);
    if let Some(Some(script)) = &steps.value {
        checks::refuse_misfits(root, script, vocabulary, out);
    }
    let thresholds = thresholds::read(&mut fields, scripted, faults.given, vocabulary, out);
    let labels = steps.labels();
    let context = expect::Context { checks: checks.as_deref(), system: &system, vocabulary, others, labels };
    let expect = expect::read(&mut fields, &context, out);
    // Read before, and by their own files.
    fields.take("matrix");
    fields.take("question");
    fields.finish(out);

    let draft = Draft {
        clients: workload.clients,
        rate: workload.rate.as_ref(),
        op_timeout: workload.op_timeout.as_ref(),
        warm_up: warm_up.as_ref(),
        duration: duration.as_ref(),
        quiesce: quiesce.as_ref(),
        faults: &faults,
        bounds: thresholds.as_deref().unwrap_or_default(),
        vocabulary,
    };
    if scripted == Scripted::No {
        feasible::judge(&draft, out);
    }

    Some(Suite {
        version: version?,
        name: name?,
        cell: None,
        system: system.value?,
        workload: workload.value?,
        warm_up_ns: warm_up?.ns,
        duration_ns: duration?.ns,
        faults: faults.value?,
        script: steps.value?,
        quiesce_ns: quiesce?.ns,
        checks: checks?,
        thresholds: thresholds?.into_iter().map(|bound| bound.threshold).collect(),
        expect: expect?,
    })
}

fn version(fields: &mut Fields<'_>, out: &mut Diagnostics) -> Option<u64> {
    let entry = fields.require("version", "version: 1", out)?;
    let text = &scalar(&entry.value, "`1`", out)?.text;
    if text == &VERSION.to_string() {
        return Some(VERSION);
    }
    let message = format!("this raftcheck reads suites of version {VERSION}, not of version `{text}`");
    out.push(Diagnostic::new(entry.value.place.clone(), message).help("write `version: 1`"));
    None
}

/// The name is also that of a directory.
fn name(fields: &mut Fields<'_>, out: &mut Diagnostics) -> Option<String> {
    let entry = fields.require("name", "name: partition", out)?;
    let text = &scalar(&entry.value, "a name", out)?.text;
    if names_a_directory(text) {
        return Some(text.clone());
    }
    let message = format!("`{text}` cannot name a suite, because its runs go to a directory of that name");
    out.push(Diagnostic::new(entry.value.place.clone(), message).help(DIRECTORY_NAMES));
    None
}

/// What a name that is also that of a directory has to be.
const DIRECTORY_NAMES: &str =
    "use at most 64 lower-case letters, digits, `-`, `_` and `.`, the first a letter or digit";

fn names_a_directory(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    let begins_well = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    begins_well && text.chars().all(plain) && text.len() <= 64
}

/// A duration of the suite; it must be above 0 if it has no default.
fn time(
    fields: &mut Fields<'_>,
    name: &'static str,
    default: Option<&str>,
    out: &mut Diagnostics,
) -> Option<Timed> {
    let entry = match default {
        None => fields.require(name, &format!("{name}: 30s"), out)?,
        Some(default) => match fields.take(name) {
            Some(entry) => entry,
            None => return Some(Timed { ns: known(default), place: fields.place().clone() }),
        },
    };
    let text = &scalar(&entry.value, "a duration such as `30s`", out)?.text;
    let place = entry.value.place.clone();
    match scalars::duration(text) {
        Ok(0) if default.is_none() => {
            out.push(Diagnostic::new(place, format!("`{name}` cannot be 0")).label("nothing would happen"));
            None
        }
        Ok(ns) => Some(Timed { ns, place }),
        Err(error) => {
            out.push(malformed(place, name, text, error));
            None
        }
    }
}

/// A duration of this file's own constants.
fn known(text: &str) -> u64 {
    scalars::duration(text).expect("the reader's own defaults are durations")
}

/// An entry of a list that is a name, or a map from one name to settings: `kill`, `kill: { target: leader }`.
struct Named<'n> {
    name: &'n str,
    place: &'n Place,
    settings: Option<&'n Node>,
}

fn named<'n>(node: &'n Node, what: &str, example: &str, out: &mut Diagnostics) -> Option<Named<'n>> {
    match &node.value {
        tree::Value::Scalar(scalar) => Some(Named { name: &scalar.text, place: &node.place, settings: None }),
        tree::Value::Map(entries) => match entries.as_slice() {
            [only] => {
                let settings = (only.value.value != tree::Value::Null).then_some(&only.value);
                Some(Named { name: &only.key, place: &only.key_place, settings })
            }
            [first, second, ..] => {
                let message = format!(
                    "an entry names one {what}, and this names two: `{}` and `{}`",
                    first.key, second.key
                );
                let help = match first.value.value {
                    tree::Value::Null => {
                        format!("indent `{}` so that it belongs to `{}:`", second.key, first.key)
                    }
                    _ => format!("write `{example}`, and begin the next {what} with a `-` of its own"),
                };
                out.push(
                    Diagnostic::new(second.key_place.clone(), message).label("the second key").help(help),
                );
                None
            }
            [] => {
                out.push(
                    Diagnostic::new(node.place.clone(), format!("this names no {what}"))
                        .help(format!("write `{example}`")),
                );
                None
            }
        },
        _ => {
            let message = format!("expected the name of a {what}, not {}", node.kind());
            out.push(Diagnostic::new(node.place.clone(), message).help(format!("write `{example}`")));
            None
        }
    }
}

/// A name that the vocabulary does not have.
fn unknown(place: &Place, what: &str, name: &str, known: &[&str]) -> Diagnostic {
    let label = suggest::did_you_mean(name, known).unwrap_or_else(|| format!("unknown {what}"));
    let help = match known {
        [] => format!("there is no {what} at all"),
        known => format!("there is {}", suggest::one_of(known)),
    };
    Diagnostic::new(place.clone(), format!("there is no {what} `{name}`")).label(label).help(help)
}

/// What an entry says of its own settings, shown at the setting that it names first.
fn misfit(why: &str, read: &Read, place: &Place) -> Diagnostic {
    let bare = why.strip_prefix('`').unwrap_or(why);
    let name = bare.split([':', '`', ' ']).next().unwrap_or("");
    Diagnostic::new(read.places.get(name).unwrap_or(place).clone(), why)
}

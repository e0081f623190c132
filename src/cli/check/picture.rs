//! `--explain` and `--html`: a verdict in words and as a page.

use checker::history::History;
use checker::history::formats::{Clock, Specification};
use checker::linearizability::FailedCas;
use checker::transactions::{Fate, Recorded};
use checker::verdict::Verdict;

use super::options::Showing;
use crate::exit::Exit;
use crate::judge::Judgement;
use crate::report::explain::{self, Explanation, Material, Origin};
use crate::report::html::{self, End, Finding, Page, Picture, Timeline, Tone};
use crate::rundir::RunDir;

/// A judged history of single operations.
pub(super) struct About<'a> {
    pub(super) file: &'a str,
    pub(super) specification: Specification,
    pub(super) history: &'a History,
    pub(super) clock: Clock,
    pub(super) failed_cas: FailedCas,
    /// Events at the front that stand for initial values.
    pub(super) added: usize,
    /// The line of the first recorded event, if each has one of its own.
    pub(super) first_line: Option<u64>,
    pub(super) verdict: &'a Verdict,
    pub(super) exit: Exit,
    pub(super) remarks: &'a [String],
}

/// Explains and draws a history, as far as that is asked for. Returns the text; the error says what could not be written.
pub(super) fn of_operations(about: &About<'_>, showing: &Showing) -> Result<String, String> {
    if !showing.explain && showing.html.is_none() {
        return Ok(String::new());
    }
    // A damaged history has a verdict that says so, and nothing to draw.
    let operations = about.history.operations().unwrap_or_default();
    let material = Material {
        operations: &operations,
        specification: about.specification,
        failed_cas: about.failed_cas,
        clock: about.clock,
        origin: Origin { added: about.added, first_line: about.first_line },
    };
    let explanation = explain::explain("linearizable", about.verdict, &material);
    let text = text(&explanation, showing);
    if let Some(path) = &showing.html {
        let (picture, shown) = html::picture_of_operations(&material, &[&explanation.actors]);
        let shown = shown.first().copied().flatten();
        let tally = about.history.counts().all();
        let added = about.added as u64 / 2;
        let recorded = || operations.iter().filter(|o| !material.origin.is_added(o));
        let page = Page {
            facts: vec![
                ("model", about.specification.name().to_owned()),
                (
                    "operations",
                    format!(
                        "{}: {} ok, {} failed, {} unknown",
                        tally.total() - added,
                        tally.ok - added,
                        tally.failed,
                        tally.unknown
                    ),
                ),
            ],
            timeline: Timeline::of(|| recorded().map(html::call)),
            remarks: about.remarks.to_vec(),
            ..page(about.file, about.exit, about.verdict, explanation, shown, picture)
        };
        html::write(path, &page).map_err(|error| error.to_string())?;
    }
    Ok(text)
}

/// The same for a history of transactions.
pub(super) fn of_transactions(
    file: &str,
    level: &str,
    recorded: &Recorded,
    verdict: &Verdict,
    exit: Exit,
    showing: &Showing,
) -> Result<String, String> {
    if !showing.explain && showing.html.is_none() {
        return Ok(String::new());
    }
    let material = Material {
        operations: &[],
        specification: Specification::Append,
        failed_cas: FailedCas::Drop,
        clock: recorded.clock,
        origin: Origin::default(),
    };
    let explanation = explain::explain(level, verdict, &material);
    let text = text(&explanation, showing);
    if let Some(path) = &showing.html {
        let all = &recorded.transactions;
        let (picture, shown) = html::picture_of_transactions(all, &explanation.actors, recorded.clock);
        let count = |fate| all.list.iter().filter(|transaction| transaction.fate == fate).count();
        let calls = || {
            all.list.iter().map(|transaction| {
                let how = match transaction.fate {
                    Fate::Committed => End::Ok,
                    Fate::Aborted => End::Failed,
                    Fate::Unknown => End::Unknown,
                };
                (transaction.times.0, transaction.times.1.unwrap_or(transaction.times.0), how)
            })
        };
        let page = Page {
            facts: vec![
                ("model", "list-append".to_owned()),
                ("consistency", level.to_owned()),
                (
                    "transactions",
                    format!(
                        "{} on {} lists: {} committed, {} aborted, {} unknown",
                        all.list.len(),
                        all.keys.len(),
                        count(Fate::Committed),
                        count(Fate::Aborted),
                        count(Fate::Unknown)
                    ),
                ),
            ],
            timeline: Timeline::of(calls),
            ..page(file, exit, verdict, explanation, shown, picture)
        };
        html::write(path, &page).map_err(|error| error.to_string())?;
    }
    Ok(text)
}

/// The same for a run. What it says it prints, behind the verdicts.
pub(super) fn of_run(judgement: &Judgement, showing: &Showing) -> Exit {
    if showing.explain {
        let operations = judgement.recorded.history.operations().unwrap_or_default();
        let material = html::material_of_run(&operations);
        for check in &judgement.judged.checks {
            print!("\n{}", explain::text(&explain::explain(&check.name, &check.verdict, &material)));
        }
    }
    let Some(path) = &showing.html else { return Exit::AsExpected };
    let written = RunDir::open(&judgement.judged.directory)
        .and_then(|dir| html::write(path, &html::page_of_run(&dir, judgement)));
    match written {
        Ok(()) => Exit::AsExpected,
        Err(error) => {
            eprintln!("error: the page could not be written: {error}");
            Exit::Harness
        }
    }
}

fn text(explanation: &Explanation, showing: &Showing) -> String {
    if showing.explain { format!("\n{}", explain::text(explanation)) } else { String::new() }
}

/// The page of a history, without what is counted. `tab` of the picture shows the violation.
fn page(
    file: &str,
    exit: Exit,
    verdict: &Verdict,
    explanation: Explanation,
    tab: Option<usize>,
    mut picture: Picture,
) -> Page {
    let (word, tone) = match verdict {
        Verdict::Violated(_) => ("VIOLATED", Tone::Bad),
        Verdict::Inconclusive(_) => ("INCONCLUSIVE", Tone::Unclear),
        Verdict::Holds(_) if exit == Exit::Vacuous => ("VACUOUS", Tone::Unclear),
        Verdict::Holds(_) => ("NO VIOLATION FOUND", Tone::Good),
    };
    let headline = match verdict {
        Verdict::Violated(_) => format!("This history is not {}.", explanation.property),
        _ => explanation.sentence.clone(),
    };
    let findings = vec![Finding { word: word.to_owned(), tone, note: String::new(), explanation, tab }];
    picture.give_reasons(&findings);
    Page {
        title: file.to_owned(),
        word: word.to_owned(),
        tone,
        headline,
        facts: Vec::new(),
        repeat: Some(
            std::iter::once("raftcheck".to_owned())
                .chain(std::env::args().skip(1))
                .collect::<Vec<_>>()
                .join(" "),
        ),
        findings,
        timeline: Timeline::default(),
        picture,
        tables: Vec::new(),
        remarks: Vec::new(),
    }
}

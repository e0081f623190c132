//! The page of one run, from what it recorded and how that was judged.

use std::collections::BTreeMap;

use checker::history::formats::{Clock, Specification};
use checker::history::{Operation, Outcome};
use checker::linearizability::FailedCas;
use checker::properties::{self, Needs};
use checker::trace::Trace;
use checker::verdict::Verdict;
use nemesis::target::Effect;

use super::escape::clip;
use super::page::{Band, Finding, Mark, Page, Picture, Table, Tone};
use super::{End, Timeline, keys, nodes, story};
use crate::exit::Exit;
use crate::inside::faults::{FaultEvent, FaultLine};
use crate::judge::{Check, Expected, Judged, Judgement, Meaning};
use crate::plan::Plan;
use crate::report::explain::{Actor, Material, Origin, explain};
use crate::rundir::{ExitRecord, PhaseRecord, RunDir};

/// Rows of the table of faults, and bands of the picture.
const FAULTS: usize = 400;
/// Characters of a text.
const LONG: usize = 240;
/// The line of the first event in `history.jsonl`: its header comes before.
const FIRST_LINE: u64 = 2;

/// What there is to show of a run.
struct Ran<'r> {
    judged: &'r Judged,
    plan: &'r Plan,
    /// The operations, in the order of their invocations; none of a damaged history.
    operations: &'r [Operation<'r>],
    trace: &'r Trace,
    faults: &'r [FaultLine],
    phases: &'r [PhaseRecord],
    /// The nodes that ended although no fault ended them.
    exits: &'r [ExitRecord],
    /// `env.json`.
    environment: &'r serde_json::Value,
}

/// The page of a run. What is missing of it is missing on the page.
pub fn page(dir: &RunDir, judgement: &Judgement) -> Page {
    let Judgement { judged, recorded, plan } = judgement;
    let operations = recorded.history.operations().unwrap_or_default();
    let environment = dir.read_json("env.json").unwrap_or_default();
    of(&Ran {
        judged,
        plan,
        operations: &operations,
        trace: &recorded.trace,
        faults: &recorded.faults.lines,
        phases: recorded.record.as_ref().map_or(&[], |record| &record.phases),
        exits: recorded.record.as_ref().map_or(&[], |record| &record.unexpected_exits),
        environment: &environment,
    })
}

/// How the operations of a run are to be understood.
pub(crate) fn material<'m, 'h>(operations: &'m [Operation<'h>]) -> Material<'m, 'h> {
    Material {
        operations,
        // What a key of a run is, its operations tell.
        specification: Specification::Kv,
        failed_cas: FailedCas::Observe,
        clock: Clock::Nanoseconds,
        origin: Origin { added: 0, first_line: Some(FIRST_LINE) },
    }
}

fn of(ran: &Ran<'_>) -> Page {
    let judged = ran.judged;
    let material = material(ran.operations);
    let mut findings: Vec<Finding> = judged.checks.iter().map(|check| finding(check, &material)).collect();
    findings.sort_by_key(|finding| finding.explanation.actors.is_empty());
    let picture = picture(ran, &material, &mut findings);
    let calls = || ran.operations.iter().map(call);
    Page {
        title: format!("{} · seed {}", judged.suite, judged.seed),
        word: word(judged.exit).to_owned(),
        tone: match judged.exit {
            Exit::AsExpected => Tone::Good,
            Exit::Differs | Exit::Harness | Exit::Usage => Tone::Bad,
            _ => Tone::Unclear,
        },
        headline: clip(&judged.headline, LONG),
        facts: facts(ran),
        repeat: Some(judged.reproduce.trim_start_matches("REPRODUCE WITH: ").to_owned()),
        timeline: Timeline::of(calls),
        picture,
        findings,
        tables: [
            story::table(&judged.steps),
            thresholds(judged),
            faults(ran.faults),
            environment(ran.environment),
        ]
        .into_iter()
        .flatten()
        .collect(),
        remarks: remarks(judged),
    }
}

/// How an operation ended, for a timeline.
pub(crate) fn call(operation: &Operation<'_>) -> (u64, u64, End) {
    let ended = operation.completed.map_or(operation.invoked.time, |point| point.time);
    let how = match operation.outcome {
        Some(Outcome::Ok(_)) => End::Ok,
        Some(Outcome::Failed(_)) => End::Failed,
        Some(Outcome::Unknown(_)) | None => End::Unknown,
    };
    (operation.invoked.time, ended, how)
}

fn word(exit: Exit) -> &'static str {
    match exit {
        Exit::AsExpected => "PASS",
        Exit::Differs => "FAIL",
        Exit::Inconclusive => "INCONCLUSIVE",
        Exit::Vacuous => "VACUOUS",
        Exit::Thresholds => "THRESHOLD MISSED",
        Exit::Unavailable => "UNAVAILABLE",
        Exit::Interrupted => "INTERRUPTED",
        Exit::Harness | Exit::Usage => "HARNESS FAILURE",
    }
}

fn finding(check: &Check, material: &Material<'_, '_>) -> Finding {
    let (word, tone) = match (&check.verdict, check.expected) {
        (Verdict::Violated(_), _) => ("VIOLATED", Tone::Bad),
        (Verdict::Holds(_), Expected::Violated) => ("no violation found", Tone::Unclear),
        (Verdict::Holds(_), _) => ("no violation found", Tone::Good),
        (Verdict::Inconclusive(_), _) => ("inconclusive", Tone::Unclear),
    };
    let note = match check.expected {
        Expected::Holds => "has to hold",
        Expected::Violated => "the suite expects a violation",
        Expected::Tolerated => "not what the suite asks about",
    };
    Finding {
        word: word.to_owned(),
        tone,
        note: note.to_owned(),
        explanation: explain(&check.name, &check.verdict, material),
        tab: None,
    }
}

/// The picture; findings learn which tab shows them.
fn picture(ran: &Ran<'_>, material: &Material<'_, '_>, findings: &mut [Finding]) -> Picture {
    let of_trace = |finding: &Finding| {
        properties::find(&finding.explanation.property).is_some_and(|kind| kind.needs == Needs::Trace)
    };
    let cores: Vec<&[Actor]> = findings
        .iter()
        .map(|finding| if of_trace(finding) { &[][..] } else { &finding.explanation.actors[..] })
        .collect();
    let (mut picture, shown) = keys::picture(material, &cores);
    for (finding, tab) in findings.iter_mut().zip(shown) {
        finding.tab = tab;
    }
    if !ran.trace.events.is_empty() {
        let violated = |finding: &&mut Finding| of_trace(finding) && !finding.explanation.actors.is_empty();
        for finding in findings.iter_mut().filter(violated) {
            let explanation = &finding.explanation;
            finding.tab = Some(picture.tabs.len());
            picture.tabs.push(nodes::tab(ran.trace, ran.exits, &explanation.property, &explanation.actors));
        }
        if picture.tabs.iter().all(|tab| tab.unit != "events") {
            picture.tabs.push(nodes::tab(ran.trace, ran.exits, "nodes", &[]));
        }
    }
    picture.give_reasons(findings);
    picture.bands = bands(ran.faults);
    let phase =
        |phase: &PhaseRecord| Mark { at: phase.at, label: phase.phase.label().to_owned(), kind: "phase" };
    picture.marks = ran.phases.iter().map(phase).chain(nodes::changes(ran.trace)).collect();
    picture
}

fn bands(lines: &[FaultLine]) -> Vec<Band> {
    let mut open: BTreeMap<u64, usize> = BTreeMap::new();
    let mut bands: Vec<Band> = Vec::new();
    for line in lines {
        match &line.event {
            FaultEvent::Installed { effective, proof, .. } if bands.len() < FAULTS => {
                open.insert(line.id, bands.len());
                bands.push(Band {
                    from: *effective,
                    to: None,
                    label: clip(&format!("{} {}", line.fault, line.what), 80),
                    detail: clip(proof, LONG),
                });
            }
            FaultEvent::Undone { .. } => {
                if let Some(at) = open.remove(&line.id) {
                    bands[at].to = Some(line.t);
                }
            }
            _ => {}
        }
    }
    bands
}

fn facts(ran: &Ran<'_>) -> Vec<(&'static str, String)> {
    let judged = ran.judged;
    let calls = judged.calls;
    let counts = judged.faults;
    let mut faults = format!("{} installed", counts.installed);
    for (count, what) in [
        (counts.skipped, "skipped"),
        (counts.indeterminate, "indeterminate"),
        (counts.idle, "without effect"),
    ] {
        if count > 0 {
            faults.push_str(&format!(", {count} {what}"));
        }
    }
    let mut facts = vec![
        ("cluster", judged.cluster.clone()),
        ("expected", judged.expect.clone()),
        ("lasted", format!("{:.1} s", judged.lasted as f64 / 1e9)),
        (
            "operations",
            format!(
                "{}: {} ok, {} failed, {} unknown",
                calls.ok + calls.failed + calls.unknown,
                calls.ok,
                calls.failed,
                calls.unknown
            ),
        ),
        ("faults", faults),
    ];
    if let Some(rules) = &ran.plan.suite.system.rules {
        let set: Vec<String> = rules.set.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let rest = if set.is_empty() { String::new() } else { format!("; {}", set.join(", ")) };
        facts.push(("rules", clip(&format!("preset {}{rest}", rules.preset), LONG)));
    }
    if let Some(at) = judged.first_violation {
        facts.push(("first violation", format!("complete after {:.2} s", at as f64 / 1e9)));
    }
    facts
}

fn thresholds(judged: &Judged) -> Option<Table> {
    let row = |threshold: &crate::judge::Threshold| {
        vec![
            if threshold.kept { "kept" } else { "missed" }.to_owned(),
            threshold.measure.clone(),
            threshold.bound.clone(),
            threshold.measured.clone(),
            match threshold.meaning {
                Meaning::Coverage => "coverage",
                Meaning::Performance => "performance",
            }
            .to_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = judged.thresholds.iter().map(row).collect();
    (!rows.is_empty()).then(|| Table {
        title: "Thresholds",
        head: vec!["", "measure", "bound", "measured", "about"],
        rows,
    })
}

/// A row for each fault, from all that was recorded of it.
fn faults(lines: &[FaultLine]) -> Option<Table> {
    let mut rows: BTreeMap<u64, [String; 6]> = BTreeMap::new();
    for line in lines {
        if rows.len() == FAULTS && !rows.contains_key(&line.id) {
            continue;
        }
        let row = rows.entry(line.id).or_default();
        row[0] = line.id.to_string();
        row[1] = clip(&format!("{} {}", line.fault, line.what), LONG);
        let seconds = |at: u64| format!("{:.3} s", at as f64 / 1e9);
        match &line.event {
            FaultEvent::Installed { effective, proof, .. } => {
                row[2] = seconds(*effective);
                row[4] = clip(proof, LONG);
            }
            FaultEvent::Skipped { why } => row[4] = clip(&format!("skipped: {why}"), LONG),
            FaultEvent::Indeterminate { why } => row[4] = clip(&format!("indeterminate: {why}"), LONG),
            FaultEvent::Undone { how, effect } => {
                row[3] = seconds(line.t);
                let effect = match effect {
                    Effect::Seen(seen) => seen.clone(),
                    Effect::None(why) => format!("no effect: {why}"),
                };
                row[5] = clip(&format!("{how}; {effect}"), LONG);
            }
            FaultEvent::Stuck { why } => row[5] = clip(&format!("could not be undone: {why}"), LONG),
        }
    }
    let rows: Vec<Vec<String>> = rows.into_values().map(Vec::from).collect();
    (!rows.is_empty()).then(|| Table {
        title: "Faults",
        head: vec!["#", "fault", "in force from", "to", "proof", "undone, effect"],
        rows,
    })
}

fn environment(value: &serde_json::Value) -> Option<Table> {
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
            .collect::<Vec<_>>()
            .join(" "),
        other => other.to_string(),
    };
    let fields = value.as_object()?;
    let rows: Vec<Vec<String>> = fields
        .iter()
        .filter(|(name, value)| *name != "format" && !value.is_null())
        .map(|(name, value)| vec![clip(name, LONG), clip(&text(value), LONG)])
        .collect();
    (!rows.is_empty()).then(|| Table { title: "Versions and host", head: vec!["", ""], rows })
}

fn remarks(judged: &Judged) -> Vec<String> {
    let harness = judged.harness_failure.iter().map(|failure| format!("harness failure: {failure}"));
    let unavailable = judged.unavailable.iter().map(|missing| format!("unavailable: {missing}"));
    let all = harness.chain(unavailable).chain(judged.remarks.iter().cloned());
    all.collect()
}

//! A verdict in words: the sentence, who did what, what forces the contradiction, and what would change the answer.
//!
//! Invariant: what is said follows from the verdict and the recorded operations alone; a claim such as "without b the
//! others can be explained" was checked by the checker before it is made. Text and page both show an [`Explanation`], so
//! they cannot differ. Lacks a search of its own: where the checker knows no reason, none is invented.

mod actors;
mod cycle;
mod operations;
mod sketch;
mod text;

use checker::history::Operation;
use checker::history::formats::{Clock, Specification};
use checker::linearizability::FailedCas;
use checker::properties;
use checker::verdict::{Cause, Counterexample, Coverage, Verdict};

pub use actors::{Actor, Origin};
pub use cycle::Arrow;
pub use sketch::{Bar, Sketch};
pub use text::{text, when};

/// As many operations of a counterexample as a person looks at: the last ones, where the contradiction comes out.
pub const SHOWN: usize = 40;

/// What is known beside the verdict.
#[derive(Clone, Copy)]
pub struct Material<'m, 'h> {
    /// The operations of the history, in the order of their invocations; empty for transactions.
    pub operations: &'m [Operation<'h>],
    /// What the history was judged against.
    pub specification: Specification,
    /// How a refused CAS was judged.
    pub failed_cas: FailedCas,
    /// What times are.
    pub clock: Clock,
    /// Where operations stand in their file.
    pub origin: Origin,
}

/// One verdict, explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The property's name.
    pub property: String,
    /// What the answer is, in one sentence.
    pub sentence: String,
    /// The operations or events that prove a violation, in the order of time.
    pub actors: Vec<Actor>,
    /// Earlier ones that are not among them.
    pub left_out: usize,
    /// These as bars, a row for each process or node.
    pub sketch: Sketch,
    /// The dependencies of transactions that close a circle.
    pub cycle: Vec<Arrow>,
    /// What there is to say, by heading.
    pub points: Vec<Point>,
    /// What times are.
    pub clock: Clock,
}

/// A few statements under a heading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// The heading, without a colon.
    pub heading: &'static str,
    /// The statements, a sentence each.
    pub lines: Vec<String>,
}

impl Point {
    fn new(heading: &'static str, lines: Vec<String>) -> Option<Self> {
        (!lines.is_empty()).then_some(Self { heading, lines })
    }
}

/// Explains a verdict.
pub fn explain(property: &str, verdict: &Verdict, material: &Material<'_, '_>) -> Explanation {
    let mut explanation = match verdict {
        Verdict::Violated(counterexample) => violated(property, counterexample, material),
        Verdict::Holds(coverage) => holds(property, coverage, material),
        Verdict::Inconclusive(cause) => inconclusive(cause),
    };
    explanation.property = property.to_owned();
    explanation.clock = material.clock;
    if let Some(kind) = properties::find(property) {
        explanation
            .points
            .insert(0, Point { heading: "What it demands", lines: vec![kind.summary.to_owned()] });
    }
    explanation
}

fn plain(sentence: String, points: Vec<Option<Point>>) -> Explanation {
    Explanation {
        property: String::new(),
        sentence,
        actors: Vec::new(),
        left_out: 0,
        sketch: Sketch::default(),
        cycle: Vec::new(),
        points: points.into_iter().flatten().collect(),
        clock: Clock::Nanoseconds,
    }
}

fn violated(property: &str, counterexample: &Counterexample, material: &Material<'_, '_>) -> Explanation {
    let left_out = counterexample.evidence.len().saturating_sub(SHOWN);
    let actors = actors::actors(&counterexample.evidence[left_out..], material);
    let complete = left_out == 0;
    let cycle = cycle::arrows(counterexample);
    let points = match property {
        "linearizable" => operations::points(&actors, complete, material),
        _ => Vec::new(),
    };
    Explanation {
        sketch: Sketch::of(&actors),
        actors,
        left_out,
        cycle,
        ..plain(counterexample.summary.clone(), points)
    }
}

fn holds(property: &str, coverage: &Coverage, material: &Material<'_, '_>) -> Explanation {
    let sentence = format!("no violation found in {} {}", coverage.examined, coverage.unit);
    let of_history = |kind: &properties::PropertyKind| kind.needs != properties::Needs::Trace;
    let mut examined = match properties::find(property).is_some_and(of_history) {
        true => operations::examined(material),
        false => Vec::new(),
    };
    if let Some((power, percent)) = coverage.power.and_then(|power| Some((power, power.percent()?))) {
        examined.push(format!(
            "power: of {} likely wrong answers, {} would have been noticed for certain ({percent} %)",
            power.tried, power.refuted
        ));
    }
    let limits = vec![
        "It says that this recording can be explained, not that the store is correct: another run may show more."
            .to_owned(),
    ];
    plain(
        sentence,
        vec![Point::new("What was examined", examined), Point::new("What it does not say", limits)],
    )
}

fn inconclusive(cause: &Cause) -> Explanation {
    let (sentence, reached, help): (&str, &str, &[&str]) = match cause {
        Cause::Time { reached } => (
            "the time ran out before there was an answer",
            reached,
            &[
                "more time (--timeout 10m; for a run, `timeout` of the check in its suite)",
                "values that are written only once: then an exact rule decides without a search",
                "more keys with fewer operations each, and fewer operations of unknown outcome",
            ],
        ),
        Cause::Memory { reached } => (
            "the memory ran out before there was an answer",
            reached,
            &[
                "more memory (--memory 4GiB)",
                "values that are written only once: then an exact rule decides without a search",
                "fewer clients at a time, and fewer operations of unknown outcome",
            ],
        ),
        Cause::Evidence { reason } => (
            "what was recorded does not decide it",
            reason,
            &["a longer run, or one that is recorded to its end; nothing is wrong with the budget"],
        ),
        Cause::Model { reason } => (
            "no model fits",
            reason,
            &["the right --model, or a workload that uses one kind of operation on each key"],
        ),
    };
    let help = help.iter().map(|&line| line.to_owned()).collect();
    plain(
        format!("inconclusive: {sentence}"),
        vec![
            Point::new("How far it came", vec![reached.to_owned()]),
            Point::new("What would help", help),
            Point::new(
                "What it says of the store",
                vec!["Nothing: it is neither a violation nor the absence of one.".to_owned()],
            ),
        ],
    )
}

/// A time in words: milliseconds, or a line of the file.
pub fn time(at: u64, clock: Clock) -> String {
    match clock {
        Clock::Lines => format!("line {at}"),
        Clock::Nanoseconds => format!("{}.{:03} ms", at / 1_000_000, at / 1_000 % 1_000),
    }
}

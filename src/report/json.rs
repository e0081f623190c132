//! Results for programs: one document at the end, or one line per event.

use std::io::Write;

use serde::Serialize;
use serde_json::json;

use super::Reporter;
use crate::events::RunEvent;
use crate::judge::Judged;
use crate::plan::Plan;

/// One JSON document with all runs, at the end.
pub(super) struct Document;

/// One JSON object per line, as things happen.
pub(super) struct Lines;

impl Reporter for Document {
    fn event(&self, _: &Plan, _: &RunEvent) {}

    fn judged(&self, _: &Judged) {}

    fn finished(&self, all: &[Judged]) {
        let text = serde_json::to_string_pretty(&json!({ "format": 1, "runs": all }));
        print_line(&text.unwrap_or_default());
    }
}

impl Reporter for Lines {
    fn event(&self, plan: &Plan, event: &RunEvent) {
        line(&Line { suite: &plan.suite.title(), seed: plan.seed, body: event });
    }

    fn judged(&self, judged: &Judged) {
        let body = json!({ "event": "judged", "result": judged });
        line(&Line { suite: &judged.suite, seed: judged.seed, body: &body });
    }

    fn finished(&self, _: &[Judged]) {}
}

#[derive(Serialize)]
struct Line<'a, T: Serialize> {
    suite: &'a str,
    seed: u64,
    #[serde(flatten)]
    body: &'a T,
}

fn line(value: &impl Serialize) {
    print_line(&serde_json::to_string(value).unwrap_or_default());
}

/// Prints a line; a reader that has gone away is no reason to stop a run.
fn print_line(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

//! What is shown of runs. A reporter sees events and verdicts, and nothing else of a run.

pub mod explain;
pub mod html;
mod human;
mod json;
mod junit;
mod style;

use crate::cli::Format;
use crate::events::RunEvent;
use crate::judge::Judged;
use crate::plan::Plan;

pub use junit::write as write_junit;
pub use style::Style;

/// Shows runs as they happen and as they were judged. Runs may go on side by side.
pub trait Reporter: Sync {
    /// Something happened in a run.
    fn event(&self, plan: &Plan, event: &RunEvent);

    /// A run was judged.
    fn judged(&self, judged: &Judged);

    /// All runs were judged.
    fn finished(&self, all: &[Judged]);
}

/// The reporter for a format. `runs` is how many there will be.
pub fn reporter(format: Format, runs: usize) -> Box<dyn Reporter> {
    match format {
        Format::Human => Box::new(human::Human::new(runs)),
        Format::Json => Box::new(json::Document),
        Format::Jsonl => Box::new(json::Lines),
    }
}

/// A silent reporter.
pub struct Silent;

impl Reporter for Silent {
    fn event(&self, _: &Plan, _: &RunEvent) {}
    fn judged(&self, _: &Judged) {}
    fn finished(&self, _: &[Judged]) {}
}

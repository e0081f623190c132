//! Running the cells of an entry of the catalogue.
//!
//! Invariant: each run is one of `raftcheck run`, with a run directory of its own that can be judged again. Cells run one
//! after another, those that are compared with another behind it.

use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::catalogue::results::{CellResult, Sample};
use crate::catalogue::{Entry, Runs};
use crate::cli::run::random_seed;
use crate::exit::Exit;
use crate::inside;
use crate::interrupt;
use crate::judge::{Control, Judged};
use crate::plan::Plan;
use crate::report::Silent;
use crate::rundir::RunDir;
use crate::session::{After, Session};
use crate::suite::Suite;

/// What became of an entry.
pub(in crate::cli) enum Tried {
    /// Nothing was run: its cells, with what they expect.
    Planned(Vec<(String, String)>),
    /// The worst exit code of its runs, and the results of its cells.
    Run(Exit, Vec<CellResult>),
}

/// A cell that was run, for those who watch.
pub(in crate::cli) struct Watched<'a> {
    pub(in crate::cli) result: &'a CellResult,
    pub(in crate::cli) exit: Exit,
    /// The directory of a run that did not come out as expected.
    pub(in crate::cli) directory: Option<PathBuf>,
    pub(in crate::cli) reproduce: Option<String>,
}

/// Runs cells.
pub(in crate::cli) struct Runner<'a> {
    out: &'a Path,
    first_seed: u64,
    runs: u64,
}

impl<'a> Runner<'a> {
    pub(in crate::cli) fn new(out: &'a Path, seed: Option<u64>, runs: u64) -> Self {
        Self { out, first_seed: seed.unwrap_or_else(random_seed), runs }
    }

    /// Runs the cells of an entry; all of them if none is named. `Err` says that a named one is not there.
    pub(in crate::cli) fn entry(
        &self,
        entry: &Entry,
        runs: &Runs,
        names: &[String],
        mut watch: impl FnMut(&Watched<'_>),
    ) -> Result<Tried, String> {
        let suites = chosen(entry, runs, names)?;
        let mut results = Vec::new();
        let mut exit = Exit::AsExpected;
        let mut controls: Vec<(String, Judged)> = Vec::new();
        for suite in suites {
            let mut samples = Vec::new();
            let mut missed: Option<Judged> = None;
            for run in 0..self.runs {
                if interrupt::interrupted() {
                    return Ok(Tried::Run(exit.worst(Exit::Interrupted), results));
                }
                let seed = self.first_seed.wrapping_add(run);
                let (sample, judged) = self.one(entry, runs, suite, seed, &controls);
                if let Some(judged) = judged {
                    if judged.exit != Exit::AsExpected && missed.is_none() {
                        missed = Some(judged.clone());
                    }
                    controls.extend(suite.cell.clone().map(|cell| (cell, judged)));
                }
                samples.push(sample);
            }
            let worst = samples.iter().fold(Exit::AsExpected, |worst, sample| worst.worst(sample.exit));
            exit = exit.worst(worst);
            let cell = suite.cell.clone().unwrap_or_default();
            let Some(result) = CellResult::of(&cell, &suite.expect.words(), &samples) else { continue };
            watch(&Watched {
                result: &result,
                exit: worst,
                directory: missed.as_ref().map(|judged| judged.directory.clone()),
                reproduce: missed.map(|judged| judged.reproduce),
            });
            results.push(result);
        }
        Ok(Tried::Run(exit, results))
    }

    fn one(
        &self,
        entry: &Entry,
        runs: &Runs,
        suite: &Suite,
        seed: u64,
        controls: &[(String, Judged)],
    ) -> (Sample, Option<Judged>) {
        let begun = Instant::now();
        let seconds = || begun.elapsed().as_secs_f64();
        let version = match inside::system(suite).map(|system| system.probe()) {
            Ok(Ok(version)) => version,
            Ok(Err(unavailable)) => {
                return (Sample::failed(Exit::Unavailable, &unavailable.to_string(), seconds()), None);
            }
            Err(error) => return (Sample::failed(Exit::Usage, &error, seconds()), None),
        };
        match self.session(entry, runs, suite, seed, &version, controls) {
            Ok(judged) => (Sample::of(&judged, seconds()), Some(judged)),
            Err(error) => (Sample::failed(Exit::Harness, &error, seconds()), None),
        }
    }

    fn session(
        &self,
        entry: &Entry,
        runs: &Runs,
        suite: &Suite,
        seed: u64,
        version: &str,
        controls: &[(String, Judged)],
    ) -> Result<Judged, String> {
        let cell = suite.cell.as_ref().map_or_else(String::new, |cell| format!(" --cell {cell}"));
        let command = format!("raftcheck ask {}{cell}", entry.id);
        let plan = Plan::draw(suite.clone(), &command, &[], seed)?;
        let control = suite.control().and_then(|wanted| {
            let same = |(cell, judged): &&(String, Judged)| cell == wanted && judged.seed == seed;
            let (_, judged) = controls.iter().find(same)?;
            let dir = RunDir::open(&judged.directory).ok()?;
            Some(Control::read(suite, wanted, &dir))
        });
        let session = Session {
            plan: &plan,
            suite_text: runs.text,
            system_version: version,
            out: self.out,
            after: After::Stop,
            control: control.as_ref(),
        };
        session.run(&Silent).map_err(|error| error.to_string())
    }
}

/// What would be run.
pub(super) fn dry(runs: &Runs, names: &[String]) -> Tried {
    let wanted =
        |suite: &&Suite| names.is_empty() || suite.cell.as_ref().is_some_and(|cell| names.contains(cell));
    let cells = runs.suite.suites.iter().filter(wanted);
    Tried::Planned(
        cells.map(|suite| (suite.cell.clone().unwrap_or_default(), suite.expect.words())).collect(),
    )
}

/// The cells that are meant, with those that they are compared with.
fn chosen<'r>(entry: &Entry, runs: &'r Runs, names: &[String]) -> Result<Vec<&'r Suite>, String> {
    let suites = &runs.suite.suites;
    let cells: Vec<&str> = suites.iter().filter_map(|suite| suite.cell.as_deref()).collect();
    if let Some(unknown) = names.iter().find(|name| !cells.contains(&name.as_str())) {
        return Err(format!("{} has no cell `{unknown}`; it has {}", entry.id, cells.join(", ")));
    }
    let named = |suite: &Suite| suite.cell.as_ref().is_some_and(|cell| names.contains(cell));
    let controls: Vec<&str> =
        suites.iter().filter(|suite| named(suite)).filter_map(|suite| suite.control()).collect();
    let needed = |suite: &Suite| suite.cell.as_deref().is_some_and(|cell| controls.contains(&cell));
    Ok(suites.iter().filter(|suite| names.is_empty() || named(suite) || needed(suite)).collect())
}

//! The cells of a matrix among the runs: which of them are chosen, and which one another is compared with.

use std::collections::BTreeSet;

use super::{Job, Loaded};
use crate::judge::{Control, Judged};
use crate::rundir::RunDir;

/// The chosen cells, with the controls that they are compared with; all if none is named.
pub(super) fn choose(loaded: Vec<Loaded>, names: &[String]) -> Result<Vec<Loaded>, String> {
    if names.is_empty() {
        return Ok(loaded);
    }
    let cells: BTreeSet<&str> = loaded.iter().filter_map(|one| one.suite.cell.as_deref()).collect();
    if let Some(unknown) = names.iter().find(|name| !cells.contains(name.as_str())) {
        let near = cells.iter().max_by(|one, other| {
            strsim::jaro_winkler(one, unknown).total_cmp(&strsim::jaro_winkler(other, unknown))
        });
        return Err(match near {
            None => format!("there is no cell `{unknown}`: these suites have no matrix"),
            Some(near) => format!(
                "there is no cell `{unknown}`; did you mean `{near}`? There is {}",
                cells.iter().copied().collect::<Vec<_>>().join(", ")
            ),
        });
    }
    let chosen = |one: &Loaded| one.suite.cell.as_ref().is_some_and(|cell| names.contains(cell));
    let controls: BTreeSet<(String, String)> = loaded
        .iter()
        .filter(|one| chosen(one))
        .filter_map(|one| Some((one.file.clone(), one.suite.control()?.to_owned())))
        .collect();
    let needed = |one: &Loaded| {
        one.suite.cell.as_ref().is_some_and(|cell| controls.contains(&(one.file.clone(), cell.clone())))
    };
    Ok(loaded.into_iter().filter(|one| chosen(one) || needed(one)).collect())
}

/// What the run of the control with the same seed measured; `None` if this run is compared with none, or that one failed.
pub(super) fn control(jobs: &[Job<'_>], number: usize, before: &[(usize, Judged)]) -> Option<Control> {
    let job = &jobs[number];
    let cell = job.loaded.suite.control()?;
    let is_control = |other: &Job<'_>| {
        other.loaded.file == job.loaded.file
            && other.loaded.suite.cell.as_deref() == Some(cell)
            && other.seed == job.seed
    };
    let (_, judged) = before.iter().find(|(number, _)| is_control(&jobs[*number]))?;
    let dir = RunDir::open(&judged.directory).ok()?;
    Some(Control::read(&job.loaded.suite, cell, &dir))
}

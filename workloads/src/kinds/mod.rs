//! The kinds of workload, one per file, and the list of them.
//!
//! To add one: a file here that opens with what it does, an example and what the reader will see, and a line in
//! [`registry`]. The reference pages, `raftcheck list` and the suite reader take everything from there.

mod append;
mod register;
mod set;

use checker::params::{Params, Setting};

use crate::step::Workload;

/// Makes a workload from its settings, for so many clients and a seed.
pub type Build = fn(&Params, usize, u64) -> Result<Box<dyn Workload>, String>;

/// One kind of workload.
#[derive(Clone, Copy)]
pub struct WorkloadKind {
    /// The name in suite files.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub summary: &'static str,
    /// What the reader of a run will see of it.
    pub sees: &'static str,
    /// The `workload:` entry of a suite file.
    pub example: &'static str,
    /// Its settings, apart from those that all workloads have (clients, rate, op-timeout).
    pub settings: &'static [Setting],
    /// The functions of [`checker::history::Op`], by name, that it calls with these settings, final reads included.
    pub functions: fn(&Params) -> Vec<&'static str>,
    /// The model, by name, that its histories are judged against.
    pub model: &'static str,
    /// The checks of client histories, by name, that make sense for it.
    pub checks: &'static [&'static str],
    /// Builds it for so many clients.
    pub build: Build,
}

/// All kinds, in the order of the reference pages.
pub fn registry() -> &'static [WorkloadKind] {
    &[register::KIND, set::KIND, append::KIND]
}

/// The kind of this name.
pub fn find(name: &str) -> Option<&'static WorkloadKind> {
    registry().iter().find(|kind| kind.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    /// The fenced example in the `//!` comment that a file opens with.
    fn example_in_header(source: &str) -> String {
        let header = source.lines().map_while(|line| line.strip_prefix("//!"));
        let fenced =
            header.map(|line| line.strip_prefix(' ').unwrap_or(line)).skip_while(|line| *line != "```yaml");
        fenced.skip(1).take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn every_file_opens_with_its_example() {
        let sources = [include_str!("register.rs"), include_str!("set.rs"), include_str!("append.rs")];
        for (kind, source) in registry().iter().zip(sources) {
            assert_eq!(example_in_header(source), kind.example, "{}", kind.name);
        }
    }

    #[test]
    fn names_are_unique_and_found() {
        for kind in registry() {
            assert_eq!(find(kind.name).map(|found| found.summary), Some(kind.summary));
        }
        assert!(find("registers").is_none());
    }

    #[test]
    fn settings_of_the_wrong_type_are_errors_and_not_panics() {
        for kind in registry() {
            assert!((kind.build)(&Params::default(), 3, 1).is_err(), "{}", kind.name);
            assert!((kind.build)(&testing::defaults(kind), 3, 1).is_ok(), "{}", kind.name);
            assert!((kind.build)(&testing::defaults(kind), 1001, 1).is_err(), "{}", kind.name);
        }
    }

    #[test]
    fn only_announced_functions_are_called() {
        for kind in registry() {
            let params = testing::defaults(kind);
            let functions = (kind.functions)(&params);
            let run = testing::run(kind, &params, 5, 11, 2000);
            for op in run.calls.iter().map(|call| &call.op).chain(&run.final_reads) {
                assert!(functions.contains(&op.name()), "{}: {} is not announced", kind.name, op.name());
            }
        }
    }
}

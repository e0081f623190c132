//! JUnit XML for CI servers: one test suite per raftcheck suite, one test case per run.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use checker::verdict::Verdict;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::exit::Exit;
use crate::judge::Judged;

/// Writes the report.
pub fn write(path: &Path, all: &[Judged]) -> io::Result<()> {
    let mut report = Report::new("raftcheck");
    let mut suites: BTreeMap<&str, TestSuite> = BTreeMap::new();
    for judged in all {
        let suite = suites.entry(&judged.suite).or_insert_with(|| TestSuite::new(&judged.suite));
        suite.add_test_case(case(judged));
    }
    report.add_test_suites(suites.into_values());
    let file = File::create(path).map_err(|error| crate::rundir::named(path, error))?;
    report.serialize(file).map_err(io::Error::other)
}

fn case(judged: &Judged) -> TestCase {
    let mut case = TestCase::new(format!("seed {}", judged.seed), status(judged));
    case.set_classname(&judged.suite);
    case.set_time(Duration::from_nanos(judged.lasted));
    case.set_system_out(format!("{}\nrun directory {}\n", judged.reproduce, judged.directory.display()));
    case
}

fn status(judged: &Judged) -> TestCaseStatus {
    let kind = match judged.exit {
        Exit::AsExpected => return TestCaseStatus::success(),
        Exit::Unavailable => return TestCaseStatus::skipped(),
        Exit::Differs | Exit::Thresholds => NonSuccessKind::Failure,
        _ => NonSuccessKind::Error,
    };
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(&judged.headline);
    let evidence: Vec<String> = judged
        .checks
        .iter()
        .filter(|check| !matches!(check.verdict, Verdict::Holds(_)))
        .map(|check| checker::verdict::render(&check.name, &check.verdict))
        .collect();
    status.set_description(evidence.join("\n"));
    status
}

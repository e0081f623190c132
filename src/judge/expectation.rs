//! From verdicts to the result of a run: what the suite expects against what was found.
//!
//! The order of the rules is the policy of the exit codes. A violation that nobody expects wins over everything, also
//! over a failure of the harness: what was seen was seen. An expected violation makes up for everything except an
//! unexpected one. Only then come the reasons why there is no verdict, and only then the thresholds.

use checker::verdict::Verdict;

use super::judged::{Check, Expected, Meaning, Threshold};
use crate::exit::Exit;

/// What is known beside the verdicts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Circumstances<'a> {
    /// The harness failed, for this reason.
    pub(super) harness: Option<&'a str>,
    /// The host cannot run it, for this reason.
    pub(super) unavailable: Option<&'a str>,
    /// The user cut the run short.
    pub(super) interrupted: bool,
    /// The choreography did not come about, for this reason.
    pub(super) missed: Option<&'a str>,
}

/// The result of a run and the sentence that says why.
pub(super) fn result(
    checks: &[Check],
    thresholds: &[Threshold],
    circumstances: Circumstances<'_>,
) -> (Exit, String) {
    let violated = |expected| names(checks, |check| is_violated(check) && check.expected == expected);
    let unexpected = violated(Expected::Holds);
    if !unexpected.is_empty() {
        return (Exit::Differs, format!("violated: {}", unexpected.join(", ")));
    }
    let wanted = names(checks, |check| check.expected == Expected::Violated);
    let found = violated(Expected::Violated);
    if !found.is_empty() {
        return (Exit::AsExpected, format!("found the expected violation of {}", found.join(" and ")));
    }
    if let Some(reason) = circumstances.unavailable {
        return (Exit::Unavailable, first_line(reason));
    }
    if let Some(reason) = circumstances.harness {
        return (Exit::Harness, format!("no verdict: {}", first_line(reason)));
    }
    if circumstances.interrupted {
        return (Exit::Interrupted, "interrupted; no violation in what was recorded".to_owned());
    }
    // Neither that nothing was found nor that something did not appear says anything then.
    if let Some(reason) = circumstances.missed {
        return (Exit::Inconclusive, format!("the scenario did not come about: {}", first_line(reason)));
    }
    let undecided = |expected| {
        names(checks, |check| matches!(check.verdict, Verdict::Inconclusive(_)) && check.expected == expected)
    };
    if !wanted.is_empty() {
        // Where one of them could not be decided, nobody can say that the violation did not appear.
        let open = undecided(Expected::Violated);
        if !open.is_empty() {
            return (Exit::Inconclusive, format!("could not be decided: {}", open.join(", ")));
        }
        return (Exit::Differs, format!("did not reproduce: no violation of {}", wanted.join(" or ")));
    }
    let open = undecided(Expected::Holds);
    if !open.is_empty() {
        return (Exit::Inconclusive, format!("could not be decided: {}", open.join(", ")));
    }
    let missed = |meaning| {
        let missed = thresholds.iter().filter(|threshold| !threshold.kept && threshold.meaning == meaning);
        missed
            .map(|t| format!("{} {} but was {}", t.measure, t.bound, t.measured))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let coverage = missed(Meaning::Coverage);
    if !coverage.is_empty() {
        return (Exit::Vacuous, format!("too little happened to say anything: {coverage}"));
    }
    let performance = missed(Meaning::Performance);
    if !performance.is_empty() {
        return (Exit::Thresholds, format!("no violation found, but {performance}"));
    }
    (Exit::AsExpected, "no violation found".to_owned())
}

fn is_violated(check: &Check) -> bool {
    matches!(check.verdict, Verdict::Violated(_))
}

fn names(checks: &[Check], keep: impl Fn(&Check) -> bool) -> Vec<&str> {
    checks.iter().filter(|check| keep(check)).map(|check| check.name.as_str()).collect()
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use checker::verdict::{Cause, Counterexample, Coverage, Verdict};

    use super::*;

    fn check(name: &str, expected: Expected, verdict: Verdict) -> Check {
        Check { name: name.to_owned(), expected, took_ms: 0, verdict }
    }

    fn holds() -> Verdict {
        Verdict::Holds(Coverage::default())
    }

    fn violated() -> Verdict {
        Verdict::Violated(Counterexample { summary: String::new(), evidence: Vec::new() })
    }

    fn undecided() -> Verdict {
        Verdict::Inconclusive(Cause::Time { reached: String::new() })
    }

    fn threshold(kept: bool, meaning: Meaning) -> Threshold {
        let text = || "x".to_owned();
        Threshold { measure: text(), bound: text(), measured: text(), kept, meaning }
    }

    fn exit(checks: &[Check], thresholds: &[Threshold], circumstances: Circumstances<'_>) -> Exit {
        result(checks, thresholds, circumstances).0
    }

    #[test]
    fn a_violation_is_never_hidden_by_a_failure_of_the_harness() {
        let checks = [check("a", Expected::Holds, violated()), check("b", Expected::Holds, undecided())];
        let circumstances =
            Circumstances { harness: Some("disk full"), interrupted: true, ..Circumstances::default() };
        assert_eq!(exit(&checks, &[threshold(false, Meaning::Coverage)], circumstances), Exit::Differs);
    }

    #[test]
    fn one_of_the_expected_violations_is_enough_and_no_other_is_allowed() {
        let expected = [check("a", Expected::Violated, violated()), check("b", Expected::Violated, holds())];
        assert_eq!(exit(&expected, &[], Circumstances::default()), Exit::AsExpected);
        let other = [check("a", Expected::Violated, violated()), check("c", Expected::Holds, violated())];
        assert_eq!(exit(&other, &[], Circumstances::default()), Exit::Differs);
        let none = [check("a", Expected::Violated, holds()), check("b", Expected::Violated, holds())];
        assert_eq!(exit(&none, &[], Circumstances::default()), Exit::Differs);
        let open = [check("a", Expected::Violated, holds()), check("b", Expected::Violated, undecided())];
        assert_eq!(exit(&open, &[], Circumstances::default()), Exit::Inconclusive);
    }

    #[test]
    fn a_scenario_that_did_not_come_about_shows_nothing_but_what_was_seen() {
        let missed = Circumstances { missed: Some("line 7"), ..Circumstances::default() };
        assert_eq!(exit(&[check("a", Expected::Holds, holds())], &[], missed), Exit::Inconclusive);
        assert_eq!(exit(&[check("a", Expected::Violated, holds())], &[], missed), Exit::Inconclusive);
        assert_eq!(exit(&[check("a", Expected::Violated, violated())], &[], missed), Exit::AsExpected);
        assert_eq!(exit(&[check("a", Expected::Holds, violated())], &[], missed), Exit::Differs);
    }

    #[test]
    fn what_is_undecided_or_too_little_is_never_green() {
        let safe = [check("a", Expected::Holds, holds())];
        let open = [check("a", Expected::Holds, undecided())];
        let harness = Circumstances { harness: Some("no node started"), ..Circumstances::default() };
        let interrupted = Circumstances { interrupted: true, ..Circumstances::default() };
        assert_eq!(exit(&safe, &[], Circumstances::default()), Exit::AsExpected);
        assert_eq!(exit(&open, &[], Circumstances::default()), Exit::Inconclusive);
        assert_eq!(exit(&safe, &[], harness), Exit::Harness);
        assert_eq!(exit(&safe, &[], interrupted), Exit::Interrupted);
        assert_eq!(
            exit(&safe, &[threshold(false, Meaning::Coverage)], Circumstances::default()),
            Exit::Vacuous
        );
        let slow = [threshold(false, Meaning::Performance), threshold(true, Meaning::Coverage)];
        assert_eq!(exit(&safe, &slow, Circumstances::default()), Exit::Thresholds);
    }
}

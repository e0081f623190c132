//! The exit codes, in one place. They are part of the interface: CI scripts branch on them.

use std::process::ExitCode;

/// How a `raftcheck` command ended, with the number that the shell sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// Every verdict was the expected one.
    AsExpected = 0,
    /// A verdict differs from the expected one: a violation, or an expected violation that did not appear.
    Differs = 1,
    /// At least one property could not be decided.
    Inconclusive = 2,
    /// Too little happened for a verdict to mean anything.
    Vacuous = 4,
    /// Bad arguments, or a suite with errors.
    Usage = 64,
    /// The harness itself failed: this says nothing about the system under test.
    Harness = 70,
    /// This host cannot do what the suite needs.
    Unavailable = 77,
    /// The verdicts are as expected, but a threshold on a measure was missed.
    Thresholds = 99,
    /// Interrupted by the user.
    Interrupted = 130,
}

impl Exit {
    /// The more important of two results: a differing verdict wins over everything, then what prevents a verdict, in
    /// the order in which a person has to act on it.
    pub fn worst(self, other: Exit) -> Exit {
        if self.rank() >= other.rank() { self } else { other }
    }

    fn rank(self) -> u8 {
        match self {
            Exit::Differs => 8,
            Exit::Interrupted => 7,
            Exit::Harness => 6,
            Exit::Usage => 5,
            Exit::Unavailable => 4,
            Exit::Inconclusive => 3,
            Exit::Vacuous => 2,
            Exit::Thresholds => 1,
            Exit::AsExpected => 0,
        }
    }

    /// The number.
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn a_violation_wins_over_every_other_result() {
        for other in [Exit::Harness, Exit::Interrupted, Exit::Inconclusive, Exit::Vacuous, Exit::Thresholds] {
            assert_eq!(Exit::Differs.worst(other), Exit::Differs);
            assert_eq!(other.worst(Exit::Differs), Exit::Differs);
            assert_eq!(Exit::AsExpected.worst(other), other);
        }
    }
}

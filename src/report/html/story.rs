//! The story of a choreography as a table: what each step wanted, when, and what was seen.
//!
//! Invariant: however many steps there were, the last one is shown, because a run that missed a step ended there.

use super::escape::clip;
use super::page::Table;
use crate::director::script::{Came, StoryLine};

/// Rows of the table.
const STEPS: usize = 400;
/// Characters of a text.
const LONG: usize = 240;

/// The table; `None` of a run without steps.
pub(super) fn table(steps: &[StoryLine]) -> Option<Table> {
    let last = steps.last()?;
    let mut rows: Vec<Vec<String>> = steps.iter().take(STEPS).map(row).collect();
    if steps.len() > STEPS {
        let between = steps.len() - STEPS;
        rows[STEPS - 1] = vec![String::new(); HEAD.len()];
        rows[STEPS - 1][1] = format!("{between} more");
        rows.push(row(last));
    }
    Some(Table { title: "Steps", head: HEAD.to_vec(), rows })
}

const HEAD: [&str; 6] = ["line", "step", "began", "done", "seen", "label, note"];

fn row(step: &StoryLine) -> Vec<String> {
    let at = |time: u64| format!("{:.1} ms", time as f64 / 1e6);
    let seen = match step.came {
        Came::Done => step.seen.clone(),
        Came::Otherwise => format!("did not come about: {}", step.seen),
        Came::Missed => format!("MISSED: {}", step.seen),
    };
    let notes: Vec<&str> = [&step.label, &step.note].into_iter().flatten().map(String::as_str).collect();
    vec![
        step.line.to_string(),
        clip(&step.step, LONG),
        at(step.from),
        at(step.t),
        clip(&seen, LONG),
        clip(&notes.join(": "), LONG),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(line: usize, came: Came) -> StoryLine {
        StoryLine {
            from: 1_500_000,
            t: 2_000_000,
            line,
            step: "wait: role(n1) = leader".to_owned(),
            label: Some("led".to_owned()),
            note: None,
            seen: "role(n1) is follower@1".to_owned(),
            came,
        }
    }

    #[test]
    fn a_step_has_its_times_and_what_was_seen() {
        assert!(table(&[]).is_none());
        let table = table(&[step(7, Came::Done), step(8, Came::Missed)]).expect("there are steps");
        assert_eq!(
            table.rows[0],
            ["7", "wait: role(n1) = leader", "1.5 ms", "2.0 ms", "role(n1) is follower@1", "led"]
        );
        assert_eq!(table.rows[1][4], "MISSED: role(n1) is follower@1");
        assert!(table.rows.iter().all(|row| row.len() == table.head.len()));
    }

    #[test]
    fn of_many_steps_the_last_one_is_there() {
        let mut steps: Vec<StoryLine> = (0..900).map(|line| step(line, Came::Done)).collect();
        steps.push(step(900, Came::Missed));
        let table = table(&steps).expect("there are steps");
        assert_eq!(table.rows.len(), STEPS + 1);
        assert_eq!(table.rows[STEPS - 1][1], "501 more");
        assert_eq!(table.rows[STEPS][0], "900");
        assert!(table.rows.iter().all(|row| row.len() == table.head.len()));
    }
}

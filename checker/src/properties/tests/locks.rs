//! Holders of locks that come too late, and those that just do not.

use super::sessions::{self, history, on};
use super::*;

const NAME: &str = "mutual-exclusion";

/// Process 1 stood still between its acquire and its write.
const LATE: &str = "1 lock l 3 10-20 +
                    2 lock l 7 400-410 +
                    2 w k 2 420-430 +
                    1 w k 1 440-450 +";

#[test]
fn a_holder_that_writes_after_the_next_one_is_late() {
    assert_violated(
        &on(NAME, LATE),
        "process 1 did write k = 1 under token 3 of l after process 2 had done write k = 2 under token 7",
    );
    let Verdict::Violated(found) = on(NAME, LATE) else { panic!("it is violated") };
    assert_eq!(found.evidence.len(), 4, "{found:?}");
    // The later holder has only looked, and goes by what it saw.
    assert_violated(&on(NAME, &LATE.replace("2 w k 2", "2 r k nil")), "had done read k -> nil");
    assert_violated(&on(NAME, &LATE.replace("1 w k 1", "1 append k 1")), "append k += 1");
}

#[test]
fn what_was_refused_or_came_in_time_harms_nobody() {
    for harmless in [
        // The store has looked at the token.
        LATE.replace("440-450 +", "440-450 -"),
        // Nobody knows whether it took effect.
        LATE.replace("440-450 +", "440-450 ?"),
        // It may have taken effect before.
        LATE.replace("440-450", "425-450"),
        // The later holder was at work on something else.
        LATE.replace("2 w k 2", "2 w other 2"),
        // The earlier holder only looks.
        LATE.replace("1 w k 1", "1 r k 2"),
        // It has given the lock back, or was told that another one has it, and writes without.
        LATE.replace("2 lock", "1 unlock l nil 30-40 +\n2 lock"),
        LATE.replace("1 w k 1", "1 lock l nil 432-434 -\n1 w k 1"),
        // It is the latest holder again.
        LATE.replace("1 w k 1", "1 lock l 9 432-434 +\n1 w k 1"),
        // The one who writes never had the lock, or has another one.
        LATE.replace("1 w k 1", "3 w k 1"),
        LATE.replace("1 lock l", "1 lock m"),
        // Nobody knows whether the other one got the lock.
        LATE.replace("400-410 +", "400-410 ?"),
    ] {
        assert_holds(&on(NAME, &harmless));
    }
}

#[test]
fn tokens_grow_from_holder_to_holder() {
    let grants = "1 lock l 3 10-20 +
                  1 lock l 3 30-40 +
                  2 lock l 7 50-60 +";
    assert_holds(&on(NAME, grants));
    assert_violated(&on(NAME, &grants.replace("l 7", "l 3")), "the token has not grown");
    assert_violated(&on(NAME, &grants.replace("l 7", "l 2")), "process 2 got acquire l -> 2");
    // Two at once may be given the lock in either order, but not under one token.
    assert_holds(&on(NAME, &grants.replace("l 7 50-60", "l 2 5-60")));
    assert_violated(&on(NAME, &grants.replace("l 7 50-60", "l 3 5-60")), "the token has not grown");
    // Each lock counts for itself.
    assert_holds(&on(NAME, &grants.replace("2 lock l 7", "2 lock m 1")));
}

#[test]
fn a_lock_that_nobody_has_in_the_end_is_not_lost() {
    let history = history(&format!("{LATE}\n3 r k 1 500-510 +"));
    let final_reads = Some(history.events.len() - 2);
    let judge = |history: &History| judge_run("lost-commits", history, final_reads, &Trace::default());
    assert_holds(&judge(&history));
    let lost = sessions::history(&format!("{LATE}\n3 r k 2 500-510 +"));
    assert_violated(&judge(&lost), "an update of k is gone");
}

#[test]
fn a_lock_without_tokens_is_not_judged() {
    let verdict = on(NAME, &LATE.replace("l 7", "l nil"));
    assert!(matches!(verdict, Verdict::Inconclusive(Cause::Evidence { .. })), "{verdict:?}");
}

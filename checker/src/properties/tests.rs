//! Each property on small traces and histories that break it, and on close ones that do not.

mod laws;
mod locks;
mod sessions;

use super::*;
use crate::history::{Event, EventBody, Key, Op, Outcome, ProcessId, Reply, Value};
use crate::params::{Param, Params};
use crate::trace::TraceBuilder;
use crate::verdict::{Cause, render};

fn never() -> bool {
    false
}

/// A trace from short lines: "n1 2 vote to=n3" is node, term, event, fields. One line is one millisecond.
fn trace(lines: &str) -> Trace {
    let mut builder = TraceBuilder::new(0);
    let text: Vec<String> = lines
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .enumerate()
        .map(|(at, line)| {
            let mut words = line.split_whitespace();
            let (n, term, ev) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
            let fields: String = words.map(field).collect();
            format!(r#"{{"t":{},"n":"{n}","term":{term},"ev":"{ev}"{fields}}}"#, (at + 1) * 1_000_000)
        })
        .collect();
    builder.read("trace.jsonl", &text).unwrap();
    builder.finish()
}

fn field(word: &str) -> String {
    let (name, value) = word.split_once('=').unwrap();
    let value = match name {
        // entries=1/1/a,2/1/b
        "entries" => {
            let entry = |e: &str| {
                let parts: Vec<&str> = e.split('/').collect();
                format!(r#"[{},{},"{:0>16}"]"#, parts[0], parts[1], parts[2])
            };
            format!("[{}]", value.split(',').map(entry).collect::<Vec<_>>().join(","))
        }
        "votes" | "acks" | "members" | "outgoing" => {
            format!("[{}]", value.split(',').map(|n| format!("{n:?}")).collect::<Vec<_>>().join(","))
        }
        "to" | "role" | "voted_for" | "state" | "hash" | "mode" => format!("{value:?}"),
        _ => value.to_owned(),
    };
    format!(r#","{name}":{value}"#)
}

fn judge_run(name: &str, history: &History, final_reads_from: Option<usize>, trace: &Trace) -> Verdict {
    let kind = find(name).unwrap();
    let params = Params(
        kind.settings
            .iter()
            .filter_map(|s| Some((s.name.to_owned(), Param::Text(s.default?.to_owned()))))
            .collect(),
    );
    let budget = Budget { expired: &never, memory_bytes: 1 << 30 };
    let verdict = (kind.judge)(&Run { history, final_reads_from, trace }, &params, &budget);
    println!("{}", render(name, &verdict));
    verdict
}

fn on_trace(name: &str, lines: &str) -> Verdict {
    judge_run(name, &History::default(), None, &trace(lines))
}

fn assert_violated(verdict: &Verdict, words: &str) {
    let Verdict::Violated(counterexample) = verdict else { panic!("{verdict:?}") };
    assert!(counterexample.summary.contains(words), "{:?} lacks {words:?}", counterexample.summary);
    assert!((1..=4).contains(&counterexample.evidence.len()), "{:?}", counterexample.evidence);
    assert!(counterexample.evidence.is_sorted_by_key(|e| e.start));
}

fn assert_holds(verdict: &Verdict) {
    assert!(matches!(verdict, Verdict::Holds(_)), "{verdict:?}");
}

#[test]
fn the_registry_is_well_formed() {
    for (at, kind) in registry().iter().enumerate() {
        assert!(kind.name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{}", kind.name);
        assert!(kind.example.starts_with("checks: [") && kind.example.contains(kind.name));
        assert!(kind.summary.ends_with('.'));
        assert!(registry()[..at].iter().all(|other| other.name != kind.name));
        assert_eq!(find(kind.name).unwrap().name, kind.name);
    }
    assert!(find("linearisable").is_none());
}

#[test]
fn a_missing_trace_decides_nothing() {
    for kind in registry().iter().filter(|kind| kind.needs == Needs::Trace) {
        assert!(
            matches!(on_trace(kind.name, ""), Verdict::Inconclusive(Cause::Evidence { .. })),
            "{}",
            kind.name
        );
    }
}

#[test]
fn two_leaders_of_one_term() {
    let two = "n1 2 role role=leader votes=n1,n2
               n3 2 role role=leader votes=n3,n4";
    assert_violated(&on_trace("election-safety", two), "n1 and n3 both lead term 2");
    assert_holds(&on_trace(
        "election-safety",
        "n1 2 role role=leader\nn3 3 role role=leader\nn1 2 role role=leader",
    ));
}

#[test]
fn a_vote_that_was_forgotten() {
    let forgotten = "n1 2 boot boot=1 last_index=0 last_term=0
                     n1 3 vote to=n2
                     n1 0 boot boot=2 last_index=0 last_term=0
                     n1 3 vote to=n3";
    let verdict = on_trace("vote-once", forgotten);
    assert_violated(&verdict, "n1 voted for n2 and for n3 in term 3");
    insta::assert_snapshot!(render("vote-once", &verdict), @r"
    vote-once: VIOLATED
      n1 voted for n2 and for n3 in term 3
      2.000 ms  n1  votes for n2 in term 3
      3.000 ms  n1  starts (start 2), log ends at 0/0
      4.000 ms  n1  votes for n3 in term 3
    ");
    assert_holds(&on_trace(
        "vote-once",
        "n1 3 vote to=n2\nn1 3 vote to=n2\nn1 4 vote to=n3\nn2 3 vote to=n3",
    ));
}

#[test]
fn entries_of_one_index_and_term_must_be_one() {
    let hashes = "n1 1 append entries=1/1/a
                  n2 1 append entries=1/1/b";
    assert_violated(&on_trace("log-matching", hashes), "entry 1 of term 1 is not the same on n1 and on n2");
    let prefixes = "n1 3 append entries=1/1/a,2/3/c
                    n2 3 append entries=1/2/b
                    n2 3 append entries=2/3/c";
    assert_violated(
        &on_trace("log-matching", prefixes),
        "entry 2 of term 3 follows an entry of term 1 on n1",
    );
    let repaired = "n1 3 append entries=1/1/a,2/3/c
                    n2 3 append entries=1/2/b
                    n2 3 truncate from=1
                    n2 3 append entries=1/1/a,2/3/c";
    assert_holds(&on_trace("log-matching", repaired));
}

#[test]
fn what_a_crash_took_away_proves_nothing() {
    // n2's unsynced truncation is undone by a crash: its index 1 is the old entry again, so that what follows is right.
    let undone = "n1 3 append entries=1/2/b,2/4/d
                  n2 2 append entries=1/2/b,2/2/d7
                  n2 2 fsync index=2
                  n2 3 truncate from=1
                  n2 3 append entries=1/1/a
                  n2 3 boot boot=2 last_index=2 last_term=2
                  n2 4 truncate from=2
                  n2 4 append entries=2/4/d";
    assert_holds(&on_trace("log-matching", undone));
    // An append that was never durable is gone after the boot; the leader sends another one.
    let vanished = "n1 1 append entries=1/1/a
                    n2 1 append entries=1/1/a,2/1/b
                    n2 2 boot boot=2 last_index=1 last_term=1
                    n2 3 append entries=2/3/c
                    n1 3 append entries=2/3/c";
    assert_holds(&on_trace("log-matching", vanished));
}

#[test]
fn a_leader_without_a_committed_entry() {
    let lost = "n1 2 append entries=1/2/a,2/2/b
                n1 2 role role=leader
                n2 2 append entries=1/2/a
                n1 2 commit index=2 entry_term=2 acks=n1,n3
                n2 3 role role=leader votes=n2,n3";
    assert_violated(&on_trace("leader-completeness", lost), "lacks entry 2, committed in term 2");
    let other = "n1 2 role role=leader
                 n1 2 append entries=1/2/a
                 n2 1 append entries=1/1/d9
                 n2 3 role role=leader
                 n1 2 commit index=1 entry_term=2 acks=n1,n3";
    assert_violated(&on_trace("leader-completeness", other), "another entry at index 1");
    let fine = "n1 2 role role=leader
                n1 2 append entries=1/2/a,2/2/b
                n2 2 append entries=1/2/a
                n1 2 commit index=1 entry_term=2 acks=n1,n2
                n2 3 role role=leader";
    assert_holds(&on_trace("leader-completeness", fine));
    // A leader of an earlier term, however late it says so, need not have it; nor does a follower's word count.
    let earlier = "n1 5 role role=leader
                   n1 5 append entries=1/5/a
                   n1 5 commit index=1 entry_term=5 acks=n1,n3
                   n2 4 role role=leader
                   n3 1 append entries=1/1/d8
                   n3 1 commit index=1 entry_term=1
                   n2 6 append entries=1/5/a
                   n2 6 role role=leader";
    assert_holds(&on_trace("leader-completeness", earlier));
}

#[test]
fn a_log_of_which_nothing_is_known_proves_nothing() {
    let unknown = "n1 2 role role=leader
                   n1 2 append entries=1/2/a
                   n1 2 commit index=1 entry_term=2 acks=n1,n3
                   n2 2 boot boot=7 last_index=1 last_term=2
                   n2 3 role role=leader";
    assert_holds(&on_trace("leader-completeness", unknown));
    let cut = "n1 2 role role=leader
               n1 2 append entries=1/2/a
               n1 2 commit index=1 entry_term=2 acks=n1,n2
               n2 2 append entries=1/2/a
               n2 2 boot boot=7 last_index=0 last_term=0
               n2 3 role role=leader";
    assert_violated(&on_trace("leader-completeness", cut), "ends at index 0");
}

#[test]
fn applied_entries_must_agree() {
    let two = "n1 2 apply entries=1/1/a,2/2/b
               n2 2 apply entries=1/1/a
               n2 3 apply entries=2/3/c";
    assert_violated(&on_trace("state-machine-safety", two), "different entries at index 2");
    assert_holds(&on_trace("commit-monotonic", two));
    let again = "n1 2 apply entries=1/1/a,2/2/b
                 n1 2 boot boot=2 last_index=2 last_term=2
                 n1 3 apply entries=1/1/a,2/2/b";
    assert_holds(&on_trace("state-machine-safety", again));
    let changed = again.replace("n1 3 apply entries=1/1/a,2/2/b", "n1 3 apply entries=1/1/f");
    assert_violated(&on_trace("state-machine-safety", &changed), "index 1");
    assert_violated(&on_trace("commit-monotonic", &changed), "n1 applied two different entries at index 1");
}

#[test]
fn the_commit_index_falls_only_with_a_restart() {
    let fell = "n1 2 commit index=5 entry_term=2
                n1 2 commit index=4 entry_term=2";
    assert_violated(&on_trace("commit-monotonic", fell), "fell from 5 to 4");
    let restarted = "n1 2 commit index=5 entry_term=2
                     n1 2 boot boot=2 last_index=5 last_term=2
                     n1 2 commit index=4 entry_term=2";
    assert_holds(&on_trace("commit-monotonic", restarted));
}

#[test]
fn an_installed_snapshot_proves_its_last_entry_only() {
    let committed = "n1 2 role role=leader
                     n1 2 append entries=1/2/a,2/2/b,3/2/c
                     n1 2 commit index=3 entry_term=2 acks=n1,n3";
    let fine =
        format!("{committed}\nn2 2 snapshot index=3 entry_term=2 state=installed\nn2 3 role role=leader");
    assert_holds(&on_trace("leader-completeness", &fine));
    let short =
        format!("{committed}\nn2 2 snapshot index=2 entry_term=2 state=installed\nn2 3 role role=leader");
    assert_violated(&on_trace("leader-completeness", &short), "ends at index 2, and lacks entry 3");
    let other =
        format!("{committed}\nn2 2 snapshot index=3 entry_term=1 state=installed\nn2 3 role role=leader");
    assert_violated(&on_trace("leader-completeness", &other), "snapshot that ends in entry 3 of term 1");
    // One without its term tells nothing, and the log before a snapshot is no part of the node any more.
    let nameless = other.replace("entry_term=1", "entry_term=0");
    assert_holds(&on_trace("leader-completeness", &nameless));
    let replaced = format!("n2 1 append entries=1/1/d,2/1/e\n{fine}");
    assert_holds(&on_trace("leader-completeness", &replaced));
}

#[test]
fn what_stands_behind_a_snapshot_stays_unless_it_is_removed() {
    let committed = "n1 2 role role=leader
                     n1 2 append entries=1/2/a,2/2/b,3/2/c,4/2/d
                     n1 2 commit index=4 entry_term=2 acks=n1,n2";
    // n2 lost its trace of the log up to 3, not the log.
    let kept = "n2 2 boot boot=2 last_index=3 last_term=2
                n2 2 append entries=4/2/d
                n2 2 snapshot index=2 entry_term=2 state=installed";
    assert_holds(&on_trace("leader-completeness", &format!("{committed}\n{kept}\nn2 3 role role=leader")));
    let removed = kept.replace("n2 2 snapshot", "n2 2 truncate from=3\nn2 2 snapshot");
    let removed = format!("{committed}\n{removed}\nn2 3 role role=leader");
    assert_violated(&on_trace("leader-completeness", &removed), "ends at index 2, and lacks entry 3");
    // The log may be lost behind a snapshot, and does not end before it.
    let lost = format!(
        "{committed}\nn2 2 boot boot=2 last_index=0 last_term=0 snapshot_index=4\nn2 3 role role=leader"
    );
    assert_holds(&on_trace("leader-completeness", &lost));
}

#[test]
fn the_entry_behind_a_snapshot_follows_its_last_one() {
    let fine = "n1 2 append entries=1/1/a,2/2/b,3/3/c
                n2 2 snapshot index=2 entry_term=2 state=installed
                n2 3 append entries=3/3/c";
    assert_holds(&on_trace("log-matching", fine));
    let wrong = fine.replace("entry_term=2", "entry_term=1");
    assert_violated(
        &on_trace("log-matching", &wrong),
        "follows an entry of term 2 on n1 and one of term 1 on n2",
    );
    assert_holds(&on_trace("log-matching", &fine.replace("entry_term=2", "entry_term=0")));
    // A crash undid the installation: the log is the one before, of which the snapshot says nothing.
    let undone = "n1 4 append entries=1/1/a,2/3/b,3/4/c
                  n2 2 snapshot index=2 entry_term=2 state=installed
                  n2 2 boot boot=2 last_index=2 last_term=3
                  n2 4 append entries=3/4/c";
    assert_holds(&on_trace("log-matching", undone));
}

#[test]
fn a_snapshot_stands_for_the_application_of_its_last_entry() {
    let installed = "n1 3 apply entries=1/1/a,2/3/b
                     n2 3 snapshot index=2 entry_term=3 state=installed
                     n2 3 apply entries=3/3/c
                     n1 3 apply entries=3/3/c";
    assert_holds(&on_trace("state-machine-safety", installed));
    let other = installed.replace("index=2 entry_term=3", "index=2 entry_term=2");
    assert_violated(
        &on_trace("state-machine-safety", &other),
        "n1 and n2 applied different entries at index 2",
    );
    assert_holds(&on_trace("state-machine-safety", &other.replace("entry_term=2", "entry_term=0")));
    // The snapshot comes first, then two different entries of its term.
    let later = "n1 3 snapshot index=2 entry_term=3 state=installed
                 n2 3 apply entries=2/3/b
                 n3 3 apply entries=2/3/c";
    assert_violated(
        &on_trace("state-machine-safety", later),
        "n2 and n3 applied different entries at index 2",
    );
    // One of entries that are not committed does harm once the node starts from it.
    let taken = "n1 2 snapshot index=2 entry_term=2 state=taken
                 n2 3 apply entries=1/1/a,2/3/b";
    assert_holds(&on_trace("state-machine-safety", taken));
    let used = format!("{taken}\nn1 2 boot boot=2 last_index=2 last_term=2 snapshot_index=2");
    assert_violated(
        &on_trace("state-machine-safety", &used),
        "n2 and n1 applied different entries at index 2",
    );
}

#[test]
fn an_installed_snapshot_moves_the_commit_index() {
    let forward = "n1 2 commit index=5 entry_term=2
                   n1 2 snapshot index=9 entry_term=2 state=installed
                   n1 2 commit index=10 entry_term=2";
    assert_holds(&on_trace("commit-monotonic", forward));
    assert_violated(
        &on_trace("commit-monotonic", &forward.replace("index=10", "index=8")),
        "fell from 9 to 8",
    );
    let back = forward.replace("index=9", "index=4");
    assert_violated(&on_trace("commit-monotonic", &back), "fell from 5 to 4");
    // One of the node's own takes nothing back.
    assert_holds(&on_trace("commit-monotonic", &back.replace("installed", "taken")));
}

#[test]
fn states_behind_one_index_must_agree() {
    let equal = "n1 2 state index=5 hash=ab
                 n2 2 state index=5 hash=ab
                 n2 2 state index=6 hash=cd";
    assert_holds(&on_trace("state-hash-equal", equal));
    let differs = equal.replace("n2 2 state index=5 hash=ab", "n2 2 state index=5 hash=ac");
    let verdict = on_trace("state-hash-equal", &differs);
    assert_violated(&verdict, "the states of n1 and n2 behind entry 5 differ");
    let alone = "n1 2 state index=5 hash=ab\nn2 2 state index=6 hash=ac";
    assert!(matches!(on_trace("state-hash-equal", alone), Verdict::Inconclusive(Cause::Evidence { .. })));
}

/// A history from short lines: "3 invoke write r1 5", "3 ok", "3 ok 5", "3 info", "3 fail"; "final" marks the reads.
fn history(lines: &str) -> (History, Option<usize>) {
    let (mut events, mut from) = (Vec::new(), None);
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if line == "final" {
            from = Some(events.len());
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let value = |text: &str| match text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
            Some(items) => {
                let items = items.split(',').filter(|i| !i.is_empty());
                Value::List(items.map(|i| Value::Int(i.parse().unwrap())).collect())
            }
            None if text == "nil" => Value::Nil,
            None => Value::Int(text.parse().unwrap()),
        };
        let body = match words[1] {
            "invoke" => {
                let key = Key::new(words[3]);
                EventBody::Invoke(match words[2] {
                    "read" => Op::Read { key },
                    "write" => Op::Write { key, value: value(words[4]) },
                    "cas" => Op::Cas { key, expected: value(words[4]), new: value(words[5]) },
                    "append" => Op::Append { key, value: value(words[4]) },
                    "add" => Op::Add { key, value: value(words[4]) },
                    "members" => Op::Members { key },
                    "delete" => Op::Delete { key },
                    other => panic!("{other}"),
                })
            }
            "ok" => {
                EventBody::Complete(Outcome::Ok(words.get(2).map_or(Reply::Done, |v| Reply::Value(value(v)))))
            }
            "mismatch" => EventBody::Complete(Outcome::Ok(Reply::Mismatch(words.get(2).map(|v| value(v))))),
            "fail" => EventBody::Complete(Outcome::Failed("refused".to_owned())),
            "info" => EventBody::Complete(Outcome::Unknown("timed out".to_owned())),
            other => panic!("{other}"),
        };
        let process = ProcessId(words[0].parse().unwrap());
        events.push(Event {
            time: (events.len() as u64 + 1) * 1_000_000,
            process,
            node: Some("n1".to_owned()),
            body,
        });
    }
    (History { events }, from)
}

fn on_history(name: &str, lines: &str) -> Verdict {
    let (history, from) = history(lines);
    judge_run(name, &history, from, &Trace::default())
}

#[test]
fn a_stale_read_is_explained() {
    let stale = "1 invoke write r3 17\n1 ok\n1 invoke write r3 18\n1 ok\n4 invoke read r9\n4 ok nil
                 2 invoke read r3\n2 ok 18\n3 invoke read r3\n3 ok 17";
    let verdict = on_history("linearizable", stale);
    insta::assert_snapshot!(render("linearizable", &verdict), @r"
    linearizable: VIOLATED
      read r3 -> 17 was invoked after write r3 = 18 completed, yet write r3 = 17 had completed before write r3 = 18 was invoked: the older value came back
      1.000 .. 2.000  ms  process 1 via n1  write r3 = 17
      3.000 .. 4.000  ms  process 1 via n1  write r3 = 18
      9.000 .. 10.000 ms  process 3 via n1  read r3 -> 17
    ");
}

#[test]
fn an_unknown_write_may_land_late_but_only_once() {
    let late = "1 invoke write r 1\n1 info\n2 invoke write r 2\n2 ok\n2 invoke read r\n2 ok 2\n2 invoke read r\n2 ok 1";
    assert_holds(&on_history("linearizable", late));
    let twice = format!("{late}\n2 invoke read r\n2 ok 2");
    assert_violated(&on_history("linearizable", &twice), "");
}

#[test]
fn refused_cas_count_as_observations() {
    let refused = "1 invoke write r 1\n1 ok\n2 invoke cas r 1 2\n2 mismatch\n1 invoke read r\n1 ok 1";
    assert_violated(&on_history("linearizable", refused), "");
    let told = "1 invoke write r 1\n1 ok\n2 invoke cas r 7 2\n2 mismatch 1\n1 invoke read r\n1 ok 1";
    assert_holds(&on_history("linearizable", told));
}

#[test]
fn what_no_model_knows_is_inconclusive() {
    let mixed = "1 invoke append r 1\n1 ok\n1 invoke write r 1\n1 ok";
    assert!(matches!(on_history("linearizable", mixed), Verdict::Inconclusive(Cause::Model { .. })));
    assert!(matches!(on_history("linearizable", "1 ok"), Verdict::Inconclusive(Cause::Evidence { .. })));
}

#[test]
fn a_lost_write() {
    let lost = "1 invoke write r 1\n1 ok\n1 invoke write r 2\n1 ok\nfinal\n2 invoke read r\n2 ok 1";
    assert_violated(&on_history("lost-commits", lost), "an update of r is gone");
    let nil = "1 invoke write r 1\n1 ok\nfinal\n2 invoke read r\n2 ok nil";
    assert_violated(&on_history("lost-commits", nil), "an update of r is gone");
    // Concurrent writes: either may be the last. An unknown one may land late.
    let either = "1 invoke write r 1\n2 invoke write r 2\n1 ok\n2 ok\nfinal\n3 invoke read r\n3 ok 1";
    assert_holds(&on_history("lost-commits", either));
    let late = "1 invoke write r 1\n1 info\n2 invoke write r 2\n2 ok\nfinal\n3 invoke read r\n3 ok 1";
    assert_holds(&on_history("lost-commits", late));
    // ... but not once a reader saw it before the other was written.
    let seen = "1 invoke write r 1\n1 info\n3 invoke read r\n3 ok 1\n2 invoke write r 2\n2 ok\nfinal\n3 invoke read r\n3 ok 1";
    assert_violated(&on_history("lost-commits", seen), "an update of r is gone");
}

#[test]
fn a_stale_read_loses_nothing() {
    let stale = "1 invoke write r 1\n1 ok\n1 invoke write r 2\n1 ok\n3 invoke read r\n3 ok 1\nfinal\n2 invoke read r\n2 ok 2";
    assert_holds(&on_history("lost-commits", stale));
    let lagging = "1 invoke write r 1\n1 ok\n1 invoke write r 2\n1 ok\nfinal\n2 invoke read r\n2 ok 1\n3 invoke read r\n3 ok 2";
    assert_holds(&on_history("lost-commits", lagging));
    let cas = "1 invoke write r 1\n1 ok\n1 invoke cas r 1 2\n1 ok\n3 invoke cas r 1 9\n3 mismatch 2\nfinal\n2 invoke read r\n2 ok 1";
    assert_violated(&on_history("lost-commits", cas), "an update of r is gone");
}

#[test]
fn lost_elements_of_lists_and_sets() {
    let list = "1 invoke append l 1\n1 ok\n1 invoke append l 2\n1 info\n3 invoke append l 3\n3 ok\nfinal\n2 invoke read l\n2 ok [3]";
    assert_violated(&on_history("lost-commits", list), "1 of append l += 1 is gone");
    // Another order is no loss.
    let order = "1 invoke append l 1\n1 ok\n3 invoke append l 3\n3 ok\nfinal\n2 invoke read l\n2 ok [3,1]";
    assert_holds(&on_history("lost-commits", order));
    let set = "1 invoke add s 1\n1 info\n3 invoke members s\n3 ok [1]\nfinal\n2 invoke members s\n2 ok []";
    assert_violated(&on_history("lost-commits", set), "1 of add s += 1 is gone");
    let unseen = "1 invoke add s 1\n1 info\n3 invoke add s 2\n3 fail\nfinal\n2 invoke members s\n2 ok []";
    assert_holds(&on_history("lost-commits", unseen));
}

#[test]
fn without_final_reads_nothing_is_known() {
    let none = "1 invoke write r 1\n1 ok";
    assert!(matches!(on_history("lost-commits", none), Verdict::Inconclusive(Cause::Evidence { .. })));
    let failed = "1 invoke write r 1\n1 ok\nfinal\n2 invoke read r\n2 info";
    assert!(matches!(on_history("lost-commits", failed), Verdict::Inconclusive(Cause::Evidence { .. })));
}

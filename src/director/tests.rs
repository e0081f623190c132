//! The director in virtual time, driven by a cluster that answers as the test says.

use checker::history::{Key, Op, Outcome, ProcessId, Reply, Value};
use workloads::{Context, Step, Workload};

use super::{Action, Director, End, FaultTime, Nanos, Settings, Signal};
use crate::events::Phase;

const MS: Nanos = 1_000_000;

/// Writes forever; reads two keys at the end.
struct Writes(i64);

impl Workload for Writes {
    fn next(&mut self, _: &Context) -> Step {
        self.0 += 1;
        Step::Call(Op::Write { key: Key::new("a"), value: Value::Int(self.0) })
    }

    fn completed(&mut self, _: ProcessId, _: &Op, _: &Outcome) {}

    fn final_reads(&mut self) -> Vec<Op> {
        ["a", "b"].map(|key| Op::Read { key: Key::new(key) }).to_vec()
    }
}

fn settings() -> Settings {
    Settings {
        clients: 2,
        rate: Some(100.0),
        warm_up: 0,
        warm_up_calls: 4,
        warm_up_limit: 1000 * MS,
        duration: 500 * MS,
        faults: vec![
            FaultTime { id: 1, at: 100 * MS, lasts: 50 * MS },
            FaultTime { id: 2, at: 400 * MS, lasts: 900 * MS },
        ],
        quiesce: 300 * MS,
        recovery_calls: 3,
        settle_limit: 100 * MS,
        final_reads_limit: 200 * MS,
        background: super::Background::Clients,
    }
}

/// One entry of the log of a driven run.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    at: Nanos,
    action: Action,
}

/// Runs a director to its end: every call is answered 1 ms later by `answer`, faults install at once.
fn drive(
    settings: Settings,
    interrupt_at: Option<Nanos>,
    answer: impl Fn(Nanos, &Op) -> Outcome,
) -> Vec<Entry> {
    let mut director = Director::new(settings, Box::new(Writes(0)));
    let mut log = Vec::new();
    let mut open: Vec<(Nanos, Signal)> = vec![(0, Signal::Ready)];
    open.extend(interrupt_at.map(|at| (at, Signal::Interrupted)));
    let mut now = 0;
    for _ in 0..100_000 {
        let incoming = open.iter().map(|(at, _)| *at).min();
        let due = director.next_due(now);
        now = incoming.into_iter().chain(due).min().expect("something happens next").max(now);
        let signal = match open.iter().position(|(at, _)| *at <= now) {
            Some(position) => open.remove(position).1,
            None => Signal::Due,
        };
        let mut actions = Vec::new();
        director.handle(now, signal, &mut actions);
        for action in actions {
            log.push(Entry { at: now, action: action.clone() });
            match action {
                Action::Call { client, process, op } => {
                    let outcome = answer(now, &op);
                    open.push((now + MS, Signal::Completed { client, process, op, outcome }));
                }
                Action::Inject { id } => open.push((now, Signal::Installed { id })),
                Action::Heal => open.push((now + 5 * MS, Signal::Healed)),
                Action::Enter(Phase::Settling) => open.push((now + 7 * MS, Signal::Converged)),
                Action::Undo { .. } | Action::Enter(_) | Action::Script(_) => {}
                Action::Stop(_) => return log,
            }
        }
    }
    panic!("the run did not end");
}

fn ok(op: &Op) -> Outcome {
    Outcome::Ok(if op.is_read() { Reply::Value(Value::Nil) } else { Reply::Done })
}

fn phases(log: &[Entry]) -> Vec<(Nanos, Phase)> {
    log.iter()
        .filter_map(|entry| match entry.action {
            Action::Enter(phase) => Some((entry.at / MS, phase)),
            _ => None,
        })
        .collect()
}

fn faults(log: &[Entry]) -> Vec<(Nanos, Action)> {
    log.iter()
        .filter(|entry| matches!(entry.action, Action::Inject { .. } | Action::Undo { .. } | Action::Heal))
        .map(|entry| (entry.at / MS, entry.action.clone()))
        .collect()
}

fn calls(log: &[Entry]) -> Vec<(Nanos, usize, u64, Op)> {
    log.iter()
        .filter_map(|entry| match &entry.action {
            Action::Call { client, process, op } => Some((entry.at, *client, process.0, op.clone())),
            _ => None,
        })
        .collect()
}

#[test]
fn a_run_goes_through_its_phases_in_order() {
    let log = drive(settings(), None, |_, op| ok(op));
    let order: Vec<Phase> = phases(&log).into_iter().map(|(_, phase)| phase).collect();
    let expected = [
        Phase::WarmUp,
        Phase::Faults,
        Phase::Healing,
        Phase::Recovery,
        Phase::Settling,
        Phase::FinalReads,
        Phase::Stopping,
    ];
    assert_eq!(order, expected);
    assert_eq!(log.last().map(|entry| &entry.action), Some(&Action::Stop(End::Complete)));
}

#[test]
fn faults_begin_and_end_as_planned_and_healing_ends_the_rest() {
    let log = drive(settings(), None, |_, op| ok(op));
    let start = phases(&log)[1].0;
    let relative: Vec<(Nanos, Action)> =
        faults(&log).into_iter().map(|(at, action)| (at - start, action)).collect();
    let expected = [
        (100, Action::Inject { id: 1 }),
        (150, Action::Undo { id: 1 }),
        (400, Action::Inject { id: 2 }),
        (500, Action::Heal),
    ];
    assert_eq!(relative, expected);
}

#[test]
fn the_rate_is_kept_and_no_client_has_two_calls_open() {
    let log = drive(settings(), None, |_, op| ok(op));
    let faults_begin = phases(&log)[1].0 * MS;
    let within = |at: Nanos| at >= faults_begin && at < faults_begin + 500 * MS;
    let calls = calls(&log);
    // 100 calls a second for half a second.
    let made = calls.iter().filter(|(at, ..)| within(*at)).count();
    assert!((48..=52).contains(&made), "{made} calls");
    for client in 0..2 {
        let times: Vec<Nanos> = calls.iter().filter(|call| call.1 == client).map(|call| call.0).collect();
        assert!(times.windows(2).all(|pair| pair[1] > pair[0]), "a call is open for 1 ms");
    }
}

#[test]
fn an_unknown_outcome_ends_a_process_and_not_its_client() {
    let log =
        drive(
            settings(),
            None,
            |now, op| {
                if now < 50 * MS { Outcome::Unknown("timeout".to_owned()) } else { ok(op) }
            },
        );
    let mut processes: Vec<u64> = calls(&log).iter().filter(|call| call.1 == 1).map(|call| call.2).collect();
    processes.dedup();
    assert!(processes.len() > 1 && processes.iter().all(|process| process % 2 == 1), "{processes:?}");
}

#[test]
fn final_reads_are_repeated_until_answered() {
    let failures = std::cell::Cell::new(3);
    let log = drive(settings(), None, |_, op| {
        if op.is_read() && failures.get() > 0 {
            failures.set(failures.get() - 1);
            return Outcome::Failed("not the leader".to_owned());
        }
        ok(op)
    });
    let reads: Vec<Op> = calls(&log).into_iter().filter(|call| call.3.is_read()).map(|call| call.3).collect();
    assert_eq!(reads.len(), 5, "{reads:?}");
    assert_eq!(log.last().map(|entry| &entry.action), Some(&Action::Stop(End::Complete)));
}

#[test]
fn a_cluster_that_never_answers_ends_the_run_before_any_fault() {
    let log = drive(settings(), None, |_, _| Outcome::Failed("connection refused".to_owned()));
    assert!(faults(&log).is_empty());
    assert_eq!(log.last().map(|entry| &entry.action), Some(&Action::Stop(End::NeverWarm)));
}

#[test]
fn where_no_calls_are_demanded_the_warm_up_is_a_time_alone() {
    for warm_up in [0, 30 * MS] {
        let settings = Settings { warm_up, warm_up_calls: 0, ..settings() };
        let log = drive(settings, None, |_, _| Outcome::Failed("nobody leads".to_owned()));
        assert_eq!(phases(&log)[1], (warm_up / MS, Phase::Faults));
        assert_eq!(log.last().map(|entry| &entry.action), Some(&Action::Stop(End::Complete)));
    }
}

#[test]
fn a_cluster_that_does_not_recover_is_still_read_and_ends_in_time() {
    let log =
        drive(
            settings(),
            None,
            |now, op| {
                if now > 300 * MS { Outcome::Unknown("timeout".to_owned()) } else { ok(op) }
            },
        );
    let phases = phases(&log);
    assert_eq!(phases[4].0 - phases[3].0, 300, "the whole of the time to recover: {phases:?}");
    assert_eq!(phases[5].0 - phases[4].0, 7, "the nodes agree: {phases:?}");
    assert_eq!(phases[6].0 - phases[5].0, 200, "and the whole of the time for the final reads: {phases:?}");
}

#[test]
fn an_interruption_heals_first_and_makes_no_more_calls() {
    let log = drive(settings(), Some(250 * MS), |_, op| ok(op));
    assert_eq!(faults(&log).last(), Some(&(250, Action::Heal)));
    assert_eq!(log.last().map(|entry| &entry.action), Some(&Action::Stop(End::Interrupted)));
    assert!(calls(&log).iter().all(|call| call.0 <= 250 * MS));
}

#[test]
fn an_interruption_before_the_faults_has_nothing_to_heal() {
    let log = drive(settings(), Some(1), |_, op| ok(op));
    assert!(faults(&log).is_empty());
    assert_eq!(log.last().map(|entry| &entry.action), Some(&Action::Stop(End::Interrupted)));
}

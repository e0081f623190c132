//! The gate against a recorded driver: what arrives there, and in which order.

use std::sync::mpsc::{Receiver, channel};

use super::*;
use crate::raft::log::{Entry, Payload, Position};
use crate::raft::message::{AppendEntries, Heartbeat, VoteReply};

const N1: NodeId = NodeId(1);
const N2: NodeId = NodeId(2);

fn gate() -> (Gate, Receiver<(NodeId, Message)>) {
    let (sender, receiver) = channel();
    let deliver: Deliver = Arc::new(move |from, message| sender.send((from, message)).is_ok());
    (Gate::new(deliver, Backlog::default()), receiver)
}

fn heartbeat(round: u64) -> Message {
    Message::Heartbeat(Heartbeat { term: 3, commit: 0, round })
}

fn append(term: u64, first: u64, count: u64) -> Message {
    let entry = |index| Entry { index, term, payload: Payload::Noop };
    let entries = (first..first + count).map(entry).collect();
    Message::AppendEntries(AppendEntries { term, prev_index: first - 1, prev_term: term, entries, commit: 0 })
}

fn rule(action: Action, filter: Filter) -> Order {
    Order::Arm(Rule { action, filter, skip: 0, count: None, share_ppm: 1_000_000 })
}

fn kinds(kinds: &[Kind]) -> Filter {
    Filter { kinds: kinds.to_vec(), ..Filter::default() }
}

/// The rounds of the heartbeats that arrived.
fn rounds(arrived: &Receiver<(NodeId, Message)>) -> Vec<u64> {
    let round = |(_, message)| match message {
        Message::Heartbeat(heartbeat) => heartbeat.round,
        other => panic!("{other:?}"),
    };
    arrived.try_iter().map(round).collect()
}

#[test]
fn what_is_held_comes_out_in_order_or_not_at_all() {
    let (gate, arrived) = gate();
    gate.order(rule(Action::Hold, kinds(&[Kind::Heartbeat]))).unwrap();
    (1..=6).for_each(|round| assert!(gate.arrive(N1, heartbeat(round))));
    assert_eq!((rounds(&arrived), gate.state().held.len()), (vec![], 6));
    assert_eq!(gate.order(Order::Release(kinds(&[Kind::Heartbeat]), Some(2))), Ok(2));
    assert_eq!(rounds(&arrived), [1, 2]);
    // What was released can come again.
    assert_eq!(gate.order(Order::Replay(Filter::default(), Some(1))), Ok(1));
    assert_eq!(rounds(&arrived), [1]);
    assert_eq!(gate.order(Order::Discard(Filter::default(), Some(1))), Ok(1));
    let other = Filter { from: Some(N2), ..Filter::default() };
    assert_eq!(gate.order(Order::Release(other.clone(), Some(1))), Err("no held message matches".into()));
    assert_eq!(gate.order(Order::Release(other, None)), Ok(0));
    // The rule is over, what it held is not.
    assert_eq!(gate.order(Order::Disarm(Some(kinds(&[Kind::Heartbeat])))), Ok(1));
    assert!(gate.order(Order::Disarm(None)).is_err());
    gate.arrive(N1, heartbeat(7));
    assert_eq!(rounds(&arrived), [7]);
    assert_eq!(gate.order(Order::Clear), Ok(3));
    assert_eq!(rounds(&arrived), [4, 5, 6]);
    let state = gate.state();
    let totals = Totals { held: 6, dropped: 1, repeated: 1, ..Totals::default() };
    assert_eq!((state.held.len(), state.rules.len(), state.totals), (0, 0, totals));
}

#[test]
fn a_rule_counts_what_matches_it() {
    let (gate, arrived) = gate();
    let drop = Rule {
        action: Action::Drop,
        filter: Filter::default(),
        skip: 2,
        count: Some(3),
        share_ppm: 1_000_000,
    };
    gate.order(Order::Arm(drop)).unwrap();
    (1..=8).for_each(|round| assert!(gate.arrive(N1, heartbeat(round))));
    assert_eq!(rounds(&arrived), [1, 2, 6, 7, 8]);
    assert_eq!((gate.state().rules.len(), gate.state().totals.dropped), (0, 3));
}

#[test]
fn filters_look_at_type_sender_term_and_entries() {
    let (gate, arrived) = gate();
    let filter = Filter { kinds: vec![Kind::AppendEntries], from: Some(N1), term: Some(3), index: Some(6) };
    gate.order(rule(Action::Hold, filter)).unwrap();
    let matching = append(3, 5, 2);
    for (from, message) in [
        (N2, matching.clone()),
        (N1, append(4, 5, 2)),
        (N1, append(3, 5, 1)),
        (N1, append(3, 6, 0)),
        (N1, heartbeat(1)),
    ] {
        gate.arrive(from, message.clone());
        assert_eq!(arrived.try_recv(), Ok((from, message)));
    }
    gate.arrive(N1, matching);
    assert!(arrived.try_recv().is_err());
    assert_eq!(gate.state().held[0].entries, Some((5, 6)));
    let grant = |ballot| {
        Message::VoteReply(VoteReply { term: 3, ballot, granted: true, committed: Position::default() })
    };
    assert_eq!(Seen::of(N1, &grant(Ballot::PreVote)).kind, Kind::PreVoteReply);
    assert_eq!(Seen::of(N1, &grant(Ballot::Vote)).kind, Kind::VoteReply);
    assert_eq!(Seen::of(N1, &append(3, 6, 0)).kind, Kind::Probe);
}

#[test]
fn what_is_recorded_passes_and_can_come_again() {
    let (gate, arrived) = gate();
    let record = Rule {
        action: Action::Record,
        filter: kinds(&[Kind::Heartbeat]),
        skip: 1,
        count: Some(2),
        share_ppm: 1_000_000,
    };
    gate.order(Order::Arm(record)).unwrap();
    (1..=4).for_each(|round| assert!(gate.arrive(N1, heartbeat(round))));
    assert_eq!(rounds(&arrived), [1, 2, 3, 4]);
    for _ in 0..2 {
        assert_eq!(gate.order(Order::Replay(Filter::default(), None)), Ok(2));
        assert_eq!(rounds(&arrived), [2, 3]);
    }
    gate.order(rule(Action::Duplicate, Filter::default())).unwrap();
    gate.arrive(N1, heartbeat(5));
    assert_eq!(rounds(&arrived), [5, 5]);
    assert_eq!(gate.state().totals.repeated, 5);
}

#[test]
fn a_share_is_met_and_is_the_same_every_time() {
    let dropped = || {
        let (gate, arrived) = gate();
        let drop = Rule {
            action: Action::Drop,
            filter: Filter::default(),
            skip: 0,
            count: None,
            share_ppm: 250_000,
        };
        gate.order(Order::Arm(drop)).unwrap();
        (1..=4000).for_each(|round| assert!(gate.arrive(N1, heartbeat(round))));
        rounds(&arrived)
    };
    let passed = dropped();
    // Five standard deviations around three quarters.
    assert!((2863..=3137).contains(&passed.len()), "{}", passed.len());
    assert_eq!(passed, dropped());
    let (gate, _arrived) = gate();
    gate.order(rule(Action::Drop, Filter::default())).unwrap();
    (1..=3).for_each(|round| assert!(gate.arrive(N1, heartbeat(round))));
    assert_eq!(gate.state().rules[0].1, 3, "to how many it was done");
}

#[test]
fn the_late_are_overtaken() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (gate, arrived) = gate();
    let delay = Rule {
        action: Action::Delay(Duration::from_millis(5)),
        filter: Filter::default(),
        skip: 0,
        count: Some(1),
        share_ppm: 1_000_000,
    };
    gate.order(Order::Arm(delay)).unwrap();
    runtime.block_on(async {
        gate.arrive(N1, heartbeat(1));
        gate.arrive(N1, heartbeat(2));
        // Nothing else runs in this runtime before the next await.
        assert_eq!((rounds(&arrived), gate.state().late), (vec![2], 1));
        while gate.state().late > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    assert_eq!((rounds(&arrived), gate.state().totals.delayed), (vec![1], 1));
}

#[test]
fn too_much_is_lost_as_in_a_full_buffer() {
    let (gate, arrived) = gate();
    gate.order(rule(Action::Hold, Filter::default())).unwrap();
    (0..KEPT_MAX as u64 + 5).for_each(|round| assert!(gate.arrive(N1, heartbeat(round))));
    assert_eq!((gate.state().held.len(), gate.state().totals.overflowed), (KEPT_MAX, 5));
    assert_eq!(gate.order(Order::Clear), Ok(KEPT_MAX as u64));
    assert_eq!(rounds(&arrived).len(), KEPT_MAX);
}

//! Laws of the core that no script can show: which inputs share a write, and bounds that only large logs reach.

use super::control::OrderOutcome;
use super::io::RequestId;
use super::log::Payload;
use super::message::{
    AppendEntries, Ballot, Heartbeat, InstallSnapshot, Occasion, TimeoutNow, VoteReply, VoteRequest,
};
use super::snapshot::SnapshotId;
use super::*;

const NOW: Micros = Micros(1_000_000);

fn node(rules: &[(&str, &str)], snapshot: Option<SnapshotMeta>, log: Vec<Entry>) -> Raft {
    let mut chosen = Rules::default();
    for (name, value) in rules {
        chosen.set(name, value).unwrap();
    }
    let config = Config {
        id: NodeId(1),
        members: Configuration::new([1, 2, 3].map(NodeId).to_vec()),
        rules: chosen,
        hard_state: HardState { term: 1, voted_for: None },
        snapshot,
        log,
        commit: 0,
        standing: Standing::default(),
        chunk_bytes: 1 << 16,
        seed: 7,
    };
    Raft::new(config, NOW).unwrap()
}

fn append(from: u16, term: u64, entry_term: u64) -> Input {
    let entries = vec![Entry { index: 1, term: entry_term, payload: Payload::Noop }];
    let append = AppendEntries { term, prev_index: 0, prev_term: 0, entries, commit: 0 };
    Input::Message { from: NodeId(from), message: Message::AppendEntries(append) }
}

/// One write to the disk.
#[derive(Debug, PartialEq)]
struct Written {
    /// The new term, if there is one.
    term: Option<u64>,
    /// The index and the term of each entry.
    entries: Vec<(u64, u64)>,
    /// How many acknowledgements leave behind it.
    acks: usize,
}

fn written(term: Option<u64>, entry: (u64, u64)) -> Written {
    Written { term, entries: vec![entry], acks: 1 }
}

/// What `inputs` lead to.
fn writes(inputs: Vec<Input>) -> Vec<Written> {
    let mut raft = node(&[("read_mode", "read_index")], None, Vec::new());
    let mut inputs = VecDeque::from(inputs);
    let mut writes = Vec::new();
    while !inputs.is_empty() {
        let effects = raft.steps(NOW, &mut inputs);
        let is_ack = |(_, message): &&(NodeId, Message)| matches!(message, Message::AppendReply(_));
        let acks = effects.send_durable.iter().filter(is_ack).count();
        let persist = effects.persist.unwrap_or_default();
        let entries = persist.entries.iter().map(|entry| (entry.index, entry.term)).collect();
        writes.push(Written { term: persist.hard_state.map(|state| state.term), entries, acks });
    }
    writes
}

#[test]
fn an_acknowledgement_shares_no_write_with_what_may_begin_another_term() {
    let apart = [written(None, (1, 1)), written(Some(2), (1, 2))];
    assert_eq!(writes(vec![append(2, 1, 1), append(3, 2, 2)]), apart, "a message of the next term");
    let order = Input::Order { request: RequestId(1), order: Order::Campaign };
    let told = Message::TimeoutNow(TimeoutNow { term: 1 });
    for (input, what) in [
        (Input::Message { from: NodeId(2), message: told }, "its leader lets it stand"),
        (order, "an operator lets it stand"),
    ] {
        let writes = writes(vec![append(2, 1, 1), input, append(3, 2, 2)]);
        assert_eq!(writes[0], written(None, (1, 1)), "{what}");
        let later: Vec<_> = writes[1..].iter().flat_map(|write| write.entries.clone()).collect();
        assert_eq!(later, [(1, 2)], "{what}: the next leader's entry takes its place");
    }
}

#[test]
fn what_is_kept_for_a_stalled_transfer_is_bounded_in_bytes() {
    let command = super::log::Command::from(vec![0; 1 << 20]);
    let payload = Payload::Command(command);
    let entry = |index| Entry { index, term: 1, payload: payload.clone() };
    let id = SnapshotId { last: Position { index: 100, term: 1 }, checksum: 0 };
    let meta = SnapshotMeta { id, size: 1 << 20, configuration: None };
    let leader = || {
        let mut raft = node(&[("log_keep", "0")], Some(meta.clone()), (101..=300).map(entry).collect());
        raft.lead(NOW);
        raft
    };
    let mut alone = leader();
    alone.compact_behind(300);
    assert_eq!(alone.log.base().index, 300, "nobody needs it");

    let mut sending = leader();
    sending.begin_sending(NOW, NodeId(2));
    sending.compact_behind(150);
    assert_eq!(sending.log.base().index, 100, "50 MiB are kept");
    sending.compact_behind(300);
    assert_eq!(sending.log.base().index, 237, "63 entries of 1 MiB and a little more fit into 64 MiB");

    let silent_for = |millis: u64| {
        let mut sending = leader();
        sending.begin_sending(NOW, NodeId(2));
        sending.give_up_silent_transfers(NOW.plus_millis(millis));
        sending.compact_behind(150);
        sending.log.base().index
    };
    assert_eq!(silent_for(30_000), 100, "100 of the longest election timeouts are not over");
    assert_eq!(silent_for(30_001), 150, "nothing is kept for a follower that is gone");
}

#[test]
fn a_snapshot_at_the_end_of_all_indices_is_ignored() {
    let id = SnapshotId { last: Position { index: u64::MAX, term: 1 }, checksum: 0 };
    let part = InstallSnapshot { term: 1, id, total: 1, offset: 0, data: vec![0] };
    let mut raft = node(&[], None, Vec::new());
    let effects = raft.step(NOW, Input::Message { from: NodeId(2), message: Message::InstallSnapshot(part) });
    assert!(effects.snapshots.is_empty(), "no entry could follow it");
}

#[test]
fn an_order_is_not_held_up_by_a_batch() {
    let mut raft = node(&[], None, Vec::new());
    let order = Input::Order { request: RequestId(1), order: Order::Campaign };
    let mut inputs = VecDeque::from([Input::Tick, order]);
    let effects = raft.steps(NOW.plus_millis(1000), &mut inputs);
    assert!(inputs.is_empty(), "nothing was promised, so nothing has to wait");
    assert_eq!(effects.ordered, [(RequestId(1), OrderOutcome::Done(None))]);
}

#[test]
fn a_promise_outlives_the_term_also_if_the_term_comes_before_the_candidate() {
    let granted = |elapsed_ms: u64| {
        let mut raft =
            node(&[("read_mode", "lease")], None, vec![Entry { index: 1, term: 1, payload: Payload::Noop }]);
        let mut step = |now, from, message| {
            let mut inputs = VecDeque::from([Input::Message { from: NodeId(from), message }]);
            raft.steps(now, &mut inputs)
        };
        step(NOW.plus_millis(500), 2, Message::Heartbeat(Heartbeat { term: 1, round: 1, commit: 1 }));
        let later = NOW.plus_millis(500 + elapsed_ms);
        let refusal =
            VoteReply { term: 2, ballot: Ballot::PreVote, granted: false, committed: Position::default() };
        step(later, 3, Message::VoteReply(refusal));
        let request = VoteRequest { term: 2, last_index: 1, last_term: 1, occasion: Occasion::Timeout };
        let effects = step(later, 3, Message::RequestVote(request));
        let is_vote =
            |(_, message): &(NodeId, Message)| matches!(message, Message::VoteReply(reply) if reply.granted);
        effects.send_durable.iter().any(is_vote)
    };
    assert!(!granted(2), "the leader of term 1 counts on this node");
    assert!(granted(1000), "the promise is over");
}

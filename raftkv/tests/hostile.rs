//! Whatever other nodes say, in whatever order, under whatever rules: a node answers or ignores it and never
//! panics.

use proptest::prelude::*;
use raftkv::raft::control::{Change, Order, Part, Poke, Timer};
use raftkv::raft::io::{DiskSpace, HardState, Input, Micros, NodeId, PersistId, ReadAsk, RequestId};
use raftkv::raft::log::{Entry, Payload, Position};
use raftkv::raft::message::*;
use raftkv::raft::quorum::Configuration;
use raftkv::raft::recovery::Standing;
use raftkv::raft::rules::Rules;
use raftkv::raft::{Config, Raft};
use raftkv::sim::UNSAFE_RULES;

/// Small numbers, which meet each other, and the ends of the range.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0_u64..8, 1 => u64::MAX - 2..=u64::MAX]
}

fn node() -> impl Strategy<Value = NodeId> {
    prop_oneof![8 => (0_u16..6).prop_map(NodeId), 1 => Just(NodeId(u16::MAX))]
}

/// What no honest node would make: voters out of order, twice or none at all, witnesses that do not vote.
fn configuration() -> impl Strategy<Value = Configuration> {
    let nodes = || proptest::collection::vec(node(), 0..4);
    (nodes(), nodes(), nodes(), nodes()).prop_map(|(voters, outgoing, learners, witnesses)| {
        let addresses = std::collections::BTreeMap::<NodeId, String>::new();
        let bytes = postcard::to_stdvec(&(voters, outgoing, learners, witnesses, addresses)).unwrap();
        postcard::from_bytes(&bytes).unwrap()
    })
}

fn payload() -> impl Strategy<Value = Payload> {
    prop_oneof![
        4 => Just(Payload::Noop),
        3 => any::<Vec<u8>>().prop_map(|bytes| Payload::Command(bytes.into())),
        2 => configuration().prop_map(|configuration| Payload::Configuration(configuration.into())),
        1 => any::<u64>().prop_map(Payload::Digest),
    ]
}

fn entry() -> impl Strategy<Value = Entry> {
    (number(), number(), payload()).prop_map(|(index, term, payload)| Entry { index, term, payload })
}

/// Entries that follow each other, as most do.
fn entries() -> impl Strategy<Value = (u64, u64, Vec<Entry>)> {
    let contiguous = (0_u64..6, 0_u64..6, proptest::collection::vec((0_u64..3, payload()), 0..5)).prop_map(
        |(index, term, steps)| {
            let mut at = term;
            let entry = |(position, (step, payload))| {
                at += step;
                Entry { index: index + 1 + position as u64, term: at, payload }
            };
            (index, term, steps.into_iter().enumerate().map(entry).collect())
        },
    );
    let arbitrary = (number(), number(), proptest::collection::vec(entry(), 0..3));
    prop_oneof![4 => contiguous, 1 => arbitrary]
}

fn message() -> impl Strategy<Value = Message> {
    let request = || {
        (number(), number(), number(), any::<bool>()).prop_map(|(term, last_index, last_term, handed)| {
            let occasion = if handed { Occasion::Transfer } else { Occasion::Timeout };
            VoteRequest { term, last_index, last_term, occasion }
        })
    };
    let vote = (number(), any::<bool>(), any::<bool>(), number(), number()).prop_map(
        |(term, rehearsal, granted, index, committed)| VoteReply {
            term,
            ballot: if rehearsal { Ballot::PreVote } else { Ballot::Vote },
            granted,
            committed: Position { index, term: committed },
        },
    );
    let append =
        (number(), entries(), number()).prop_map(|(term, (prev_index, prev_term, entries), commit)| {
            AppendEntries { term, prev_index, prev_term, entries, commit }
        });
    let outcome = prop_oneof![
        number().prop_map(AppendOutcome::Matched),
        (number(), number(), number()).prop_map(|(prev_index, hint_index, hint_term)| {
            AppendOutcome::Rejected(Rejection { prev_index, hint_index, hint_term })
        }),
        Just(AppendOutcome::StaleTerm),
    ];
    let reply = (number(), outcome).prop_map(|(term, outcome)| AppendReply { term, outcome });
    let heartbeat =
        (number(), number(), number()).prop_map(|(term, commit, round)| Heartbeat { term, commit, round });
    let answer = (number(), number(), number()).prop_map(|(term, round, last_index)| HeartbeatReply {
        term,
        round,
        last_index,
    });
    prop_oneof![
        request().prop_map(Message::RequestPreVote),
        request().prop_map(Message::RequestVote),
        vote.prop_map(Message::VoteReply),
        append.prop_map(Message::AppendEntries),
        reply.prop_map(Message::AppendReply),
        heartbeat.prop_map(Message::Heartbeat),
        answer.prop_map(Message::HeartbeatReply),
        number().prop_map(|term| Message::TimeoutNow(TimeoutNow { term })),
        (number(), number()).prop_map(|(term, tag)| Message::ReadIndex(ReadIndex { term, tag })),
        (number(), number(), number())
            .prop_map(|(term, tag, index)| Message::ReadIndexReply(ReadIndexReply { term, tag, index })),
    ]
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        12 => (node(), message()).prop_map(|(from, message)| Input::Message { from, message }),
        3 => number().prop_map(|id| Input::Persisted(PersistId(id))),
        2 => any::<u64>().prop_map(|id| Input::Propose { request: RequestId(id), command: vec![1] }),
        2 => any::<u64>().prop_map(|id| Input::Read { request: RequestId(id), ask: ReadAsk::default() }),
        1 => Just(Input::Tick),
        1 => prop_oneof![Just(DiskSpace::Full), Just(DiskSpace::Free)].prop_map(Input::Disk),
        2 => order().prop_map(|order| Input::Order { request: RequestId(0), order }),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let part = prop_oneof![Just(Part::Voter), Just(Part::Learner), Just(Part::Witness)];
    prop_oneof![
        (node(), part).prop_map(|(node, part)| Change::Add { node, address: "10.0.0.9".into(), part }),
        node().prop_map(Change::Promote),
        node().prop_map(Change::Remove),
        proptest::collection::vec((node(), Just(None)), 0..4).prop_map(Change::Replace),
    ]
}

fn order() -> impl Strategy<Value = Order> {
    let timer = prop_oneof![Just(Timer::Armed), Just(Timer::Manual)];
    prop_oneof![
        2 => Just(Order::Campaign),
        1 => Just(Order::Snapshot),
        1 => timer.prop_map(Order::Timer),
        3 => change().prop_map(Order::Change),
        1 => proptest::option::of(node()).prop_map(Order::Transfer),
        1 => (node(), number()).prop_map(|(node, index)| Order::Poke(Poke::NextIndex(node, index))),
        1 => (node(), number()).prop_map(|(node, index)| Order::Poke(Poke::MatchIndex(node, index))),
    ]
}

fn rules() -> impl Strategy<Value = Rules> {
    proptest::sample::subsequence(UNSAFE_RULES, 0..4).prop_map(|changes| {
        let mut rules = Rules::default();
        let pairs = changes.iter().flat_map(|change| change.split_whitespace());
        for (name, value) in pairs.filter_map(|pair| pair.split_once('=')) {
            rules.set(name, value).unwrap();
        }
        rules
    })
}

proptest! {
    // A failing case is printed; there is no file of old ones.
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_node_survives_everything_that_it_is_told(
        rules in rules(),
        size in 1_u16..=4,
        inputs in proptest::collection::vec((input(), 0_u64..100_000), 1..120),
    ) {
        let members = Configuration::new((1..=size).map(NodeId).collect());
        let config = Config { id: NodeId(1), members, rules, hard_state: HardState::default(), snapshot: None, log: Vec::new(), chunk_bytes: 64, commit: 0, standing: Standing::Voter, seed: 7 };
        let Ok(mut raft) = Raft::new(config, Micros(0)) else {
            // A quorum of more members than there are is refused.
            prop_assert!(size < 3);
            return Ok(());
        };
        let (mut now, mut applied) = (0, 0);
        for (input, pause) in inputs {
            now += pause;
            let effects = raft.step(Micros(now), input);
            for entry in &effects.apply {
                prop_assert_eq!(entry.index, applied + 1);
                applied = entry.index;
            }
            prop_assert!(effects.reads.iter().all(|&(_, index)| index <= applied));
        }
    }

    #[test]
    fn arbitrary_bytes_are_a_message_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(message) = postcard::from_bytes::<Message>(&bytes) {
            let again = postcard::to_stdvec(&message).unwrap();
            prop_assert_eq!(postcard::from_bytes::<Message>(&again).unwrap(), message);
        }
    }

    #[test]
    fn a_message_survives_postcard(message in message()) {
        let bytes = postcard::to_stdvec(&message).unwrap();
        prop_assert_eq!(postcard::from_bytes::<Message>(&bytes).unwrap(), message);
    }
}

//! The levers on real nodes of the bundled store, and what the nodes then say and do.
//!
//! `RAFTCHECK_PROGRAM` may name an executable with the subcommands `node` and `node-edit`; `cargo test --workspace` builds one.
//! Without it nothing is tested, and that is said.

mod common;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use checker::history::{Key, Op, Outcome, ProcessId, Reply, Value};
use cluster::client::Place;
use cluster::cluster::{Answered, Cluster, ClusterOptions, Medium};
use cluster::edit::{DataEdit, FileEdit, SeedEntry};
use cluster::levers::{LeverError, Levers, NodeSignal, ProcessState};
use cluster::messages::{MessageAction, MessageFilter, MessageKind, MessageOrder, MessagePick, MessageRule};
use cluster::order::{Belief, Elections, Failpoint, FailpointAction, Fsync, MemberChange, Order, Part};
use cluster::start::{StartAs, StartOutcome, Twin, TwinData};
use cluster::system::{Direct, NodeId, ReadMode, Role, View, WriteMode};
use cluster::systems::raftkv::RaftKv;
use cluster::view::{EntryKind, LogEntry, Vote};

use common::{Exits, Play, Scene, block_on, scripts, start};

fn main() -> ExitCode {
    common::main(&[
        Scene { name: "orders_are_carried_out_and_seen", play: Play::Inside(orders) },
        Scene { name: "a_node_stays_and_crashes_where_it_was_told_to", play: Play::Inside(failpoints) },
        Scene { name: "a_spare_node_joins_and_counts", play: Play::Inside(spare_nodes) },
        Scene { name: "a_start_of_its_own_is_kept_or_refused", play: Play::Inside(starts) },
        Scene { name: "two_processes_take_themselves_for_one_node", play: Play::Inside(twins) },
        Scene { name: "what_a_stopped_node_has_stored_is_changed", play: Play::Inside(edits) },
        Scene { name: "messages_wait_at_the_gate_and_outlive_their_sender", play: Play::Inside(messages) },
        Scene { name: "a_client_of_one_node_goes_nowhere_else", play: Play::Inside(direct_clients) },
    ])
}

const N1: NodeId = NodeId(1);
const N2: NodeId = NodeId(2);
const N3: NodeId = NodeId(3);
const N4: NodeId = NodeId(4);
/// Longer than anything here takes; reached only by a failure.
const PATIENCE: Duration = Duration::from_secs(20);

/// A cluster of three that elects nobody by itself, with a spare host. `None` if there is no program for it.
async fn manual(directory: &Path, rules: &[(&str, &str)]) -> Option<(Arc<Cluster>, Exits)> {
    let program = common::bundled_node()?;
    let rules = [("election_timer", "manual"), ("pre_vote", "off")].iter().chain(rules);
    let rules = rules.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let system = Arc::new(RaftKv::new(program, rules));
    let options = ClusterOptions { system, spares: 1, medium: Medium::Memory, ..scripts("", 3, directory) };
    Some(start(options).await)
}

/// Looks at a node until what it says fits, and returns that.
async fn until(cluster: &Cluster, node: NodeId, what: &str, fits: impl Fn(&View) -> bool) -> View {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let view = cluster.observe(node, Duration::from_millis(200)).await;
        if let Some(view) = view.as_ref().filter(|view| fits(view)) {
            return view.clone();
        }
        assert!(Instant::now() < deadline, "{node} never: {what}; it says {view:#?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn tell(cluster: &Cluster, node: NodeId, order: Order) -> String {
    let words = order.to_string();
    cluster.order(node, order).await.unwrap_or_else(|error| panic!("{node}, told to {words}: {error}"))
}

async fn elect(cluster: &Cluster, node: NodeId) -> View {
    tell(cluster, node, Order::Campaign).await;
    // Its empty entry is committed, so that it answers reads.
    until(cluster, node, "leads", |view| {
        view.role == Some(Role::Leader) && view.commit_index == view.last_log_index
    })
    .await
}

fn write(key: &str, value: i64) -> Op {
    Op::Write { key: Key::new(key), value: Value::Int(value) }
}

fn read(key: &str) -> Op {
    Op::Read { key: Key::new(key) }
}

async fn call(cluster: &Cluster, node: NodeId, op: &Op, read_mode: ReadMode) -> Outcome {
    let direct = Direct { op_timeout: Duration::from_millis(500), read_mode, write_mode: WriteMode::Plain };
    cluster.connect_to(node, direct).unwrap().call(ProcessId(1), op).await.outcome
}

fn orders(directory: &Path) {
    block_on(async {
        let Some((cluster, _exits)) = manual(directory, &[]).await else { return };
        let idle = cluster.observe(N1, PATIENCE).await.unwrap();
        assert_eq!((idle.role, idle.voted_for), (Some(Role::Follower), Some(Vote::Nobody)));
        let leader = elect(&cluster, N1).await;
        let term = leader.term.unwrap();
        assert_eq!(leader.voted_for, Some(Vote::For(N1)));
        assert_eq!(leader.log, Some(vec![LogEntry { index: 1, term, kind: EntryKind::Noop }]));
        let config = leader.config.clone().unwrap();
        assert_eq!((config.voters, config.index, config.committed), (vec![N1, N2, N3], 0, true));
        until(&cluster, N2, "voted for n1", |view| view.voted_for == Some(Vote::For(N1))).await;
        until(&cluster, N1, "both followers match", |view| {
            view.progress
                .as_ref()
                .is_some_and(|all| all.len() == 2 && all.iter().all(|one| one.match_index == 1))
        })
        .await;

        tell(&cluster, N1, Order::Snapshot).await;
        until(&cluster, N1, "a snapshot", |view| view.snapshot_index == Some(1)).await;
        let belief = Belief::MatchIndex(1);
        tell(&cluster, N1, Order::Poke { of: N2, belief }).await;
        let refused = cluster.order(N2, Order::Poke { of: N1, belief }).await;
        assert!(matches!(refused, Err(LeverError::WrongState(_))), "{refused:?}");

        tell(&cluster, N1, Order::Transfer { to: Some(N3) }).await;
        let next = until(&cluster, N3, "leads", |view| view.role == Some(Role::Leader)).await;
        assert!(next.term.unwrap() > term);

        // With its timer armed, the cluster finds a leader again by itself.
        for node in [N1, N2] {
            tell(&cluster, node, Order::Elections(Elections::Armed)).await;
        }
        cluster.signal(N3, NodeSignal::Kill).await.unwrap();
        until(
            &cluster,
            N1,
            "knows another leader",
            |view| matches!(view.leader, Some(leader) if leader != N3),
        )
        .await;
    });
}

fn failpoints(directory: &Path) {
    block_on(async {
        // A leader that was held for long would step down as soon as it goes on.
        let rules = [("check_quorum", "off")];
        let Some((cluster, mut exits)) = manual(directory, &rules).await else { return };
        elect(&cluster, N1).await;

        tell(&cluster, N2, Order::Fsync(Fsync::Hold)).await;
        assert_eq!(call(&cluster, N1, &write("x", 1), ReadMode::ByRules).await, Outcome::Ok(Reply::Done));
        let held =
            until(&cluster, N2, "its syncs are held", |view| view.is_held_at("before_fsync") == Some(true))
                .await;
        assert!(held.role.is_some() && held.durable_index < held.last_log_index, "{held:#?}");
        tell(&cluster, N2, Order::Fsync(Fsync::Release)).await;
        until(&cluster, N2, "everything is durable", |view| view.durable_index == Some(2)).await;

        let point = "after_commit_before_apply";
        let hold = Failpoint { key: Some("y".into()), ..Failpoint::new(point, FailpointAction::Hold) };
        tell(&cluster, N1, Order::Failpoint(hold)).await;
        let stuck = call(&cluster, N1, &write("y", 1), ReadMode::ByRules).await;
        assert!(matches!(stuck, Outcome::Unknown(_)), "{stuck:?}");
        let began = Instant::now();
        let view = until(&cluster, N1, "its core is held", |view| view.is_held_at(point) == Some(true)).await;
        assert!(began.elapsed() < Duration::from_secs(1), "a held node is seen at once");
        assert_eq!((view.role, view.held.unwrap()[0].key.as_deref()), (None, Some("y")));
        tell(&cluster, N1, Order::ReleaseFailpoint { point: Some(point.into()) }).await;
        until(&cluster, N1, "it goes on", |view| view.last_applied == Some(3)).await;

        let nowhere = Order::Failpoint(Failpoint::new("nowhere", FailpointAction::Crash));
        let refused = cluster.order(N1, nowhere).await;
        assert!(
            matches!(&refused, Err(LeverError::WrongState(why)) if why.contains("nowhere")),
            "{refused:?}"
        );
        tell(&cluster, N1, Order::Failpoint(Failpoint::new("mid_apply", FailpointAction::Crash))).await;
        let lost = call(&cluster, N1, &write("z", 1), ReadMode::ByRules).await;
        assert!(matches!(lost, Outcome::Unknown(_)), "{lost:?}");
        let exited = exits.recv().await.unwrap();
        let expected = (N1, Some(NodeSignal::Kill), Answered::Once);
        assert_eq!((exited.node, exited.asked, exited.answered), expected, "it was told to");
    });
}

fn spare_nodes(directory: &Path) {
    block_on(async {
        let Some((cluster, _exits)) = manual(directory, &[("membership", "single")]).await else { return };
        assert_eq!((cluster.nodes(), cluster.spares()), (vec![N1, N2, N3], vec![N4]));
        assert_eq!(cluster.process(N4), ProcessState::Down);
        elect(&cluster, N1).await;
        let started = cluster.start_as(N4, StartAs::default(), PATIENCE).await.unwrap();
        assert_eq!(started, StartOutcome::Answers);
        tell(&cluster, N1, Order::Members(MemberChange::Add { node: N4, part: Part::Learner })).await;
        until(&cluster, N4, "has the log", |view| {
            view.config.as_ref().is_some_and(|config| config.learners == [N4]) && view.last_applied > Some(1)
        })
        .await;
        tell(&cluster, N1, Order::Members(MemberChange::Promote { node: N4 })).await;
        tell(&cluster, N1, Order::Members(MemberChange::Remove { node: N3 })).await;
        let config = until(&cluster, N4, "counts", |view| {
            view.config.as_ref().is_some_and(|config| config.committed && config.voters == [N1, N2, N4])
        })
        .await;
        assert_eq!(config.config.unwrap().learners, []);
        assert_eq!(call(&cluster, N1, &write("x", 4), ReadMode::ByRules).await, Outcome::Ok(Reply::Done));
        until(&cluster, N4, "it has applied the write", |view| view.last_applied == view.last_log_index)
            .await;
        let local = call(&cluster, N4, &read("x"), ReadMode::Local).await;
        assert_eq!(local, Outcome::Ok(Reply::Value(Value::Int(4))));
    });
}

fn starts(directory: &Path) {
    block_on(async {
        let Some((cluster, mut exits)) = manual(directory, &[]).await else { return };
        let rules = |name: &str, value: &str| StartAs {
            rules: Some(vec![(name.to_owned(), value.to_owned())]),
            ..StartAs::default()
        };
        elect(&cluster, N1).await;
        cluster.signal(N2, NodeSignal::Kill).await.unwrap();
        exits.recv().await.unwrap();
        let refused = cluster.start_as(N2, rules("read_mod", "log"), PATIENCE).await.unwrap();
        let StartOutcome::Refused { code: Some(1), said, .. } = &refused else { panic!("{refused:?}") };
        assert!(said.contains("did you mean `read_mode`"), "{said}");
        let exited = exits.recv().await.unwrap();
        assert_eq!((exited.node, exited.asked, exited.answered), (N2, None, Answered::Never));

        // It elects by its own timer now, also after the next start.
        let random = rules("election_timer", "random:100-200");
        assert_eq!(cluster.start_as(N2, random, PATIENCE).await, Ok(StartOutcome::Answers));
        for _ in 0..2 {
            cluster.signal(N1, NodeSignal::Kill).await.unwrap();
            until(&cluster, N2, "leads by itself", |view| view.role == Some(Role::Leader)).await;
            Levers::start(&*cluster, N1).await.unwrap();
            cluster.signal(N2, NodeSignal::Kill).await.unwrap();
            Levers::start(&*cluster, N2).await.unwrap();
        }

        let crash = StartAs {
            failpoints: vec![Failpoint::new("hard_state_mid_write", FailpointAction::Crash)],
            ..StartAs::default()
        };
        while exits.try_recv().is_ok() {}
        cluster.signal(N3, NodeSignal::Kill).await.unwrap();
        exits.recv().await.unwrap();
        cluster.start_as(N3, crash, PATIENCE).await.unwrap();
        let exited = exits.recv().await.unwrap();
        assert_eq!((exited.node, exited.asked), (N3, Some(NodeSignal::Kill)), "a vote of the next term");

        cluster.edit_data(N3, DataEdit::Wipe).await.unwrap();
        let empty = cluster.start_as(N3, StartAs::default(), PATIENCE).await.unwrap();
        assert!(
            matches!(&empty, StartOutcome::Refused { said, .. } if said.contains("holds no data")),
            "{empty:?}"
        );
        let announced = StartAs { bootstrap: cluster::system::Bootstrap::Announced, ..StartAs::default() };
        assert_eq!(cluster.start_as(N3, announced, PATIENCE).await, Ok(StartOutcome::Answers));
    });
}

fn twins(directory: &Path) {
    block_on(async {
        let Some((cluster, _exits)) = manual(directory, &[]).await else { return };
        let twin = |data| StartAs { twin: Some(Twin { of: N3, data }), ..StartAs::default() };
        let shared = cluster.start_as(N4, twin(TwinData::Shared), PATIENCE).await.unwrap();
        assert!(
            matches!(&shared, StartOutcome::Refused { said, .. } if said.contains("running")),
            "{shared:?}"
        );
        let refused = cluster.start_as(N2, twin(TwinData::Own), PATIENCE).await;
        assert!(matches!(refused, Err(LeverError::WrongState(_))), "{refused:?}");

        cluster.signal(N3, NodeSignal::Kill).await.unwrap();
        let copy = || "copy".to_owned();
        cluster.edit_data(N3, DataEdit::Save { name: copy() }).await.unwrap();
        cluster.edit_data(N4, DataEdit::Restore { name: copy(), of: Some(N3) }).await.unwrap();
        Levers::start(&*cluster, N3).await.unwrap();
        assert_eq!(cluster.start_as(N4, twin(TwinData::Own), PATIENCE).await, Ok(StartOutcome::Answers));
        let spec = cluster.spec(N4).unwrap();
        assert_eq!(spec.id, N3);
        assert_eq!([cluster.process(N3), cluster.process(N4)], [ProcessState::Running; 2]);
    });
}

fn edits(directory: &Path) {
    block_on(async {
        let Some((cluster, _exits)) = manual(directory, &[]).await else { return };
        elect(&cluster, N1).await;
        assert_eq!(call(&cluster, N1, &write("x", 1), ReadMode::ByRules).await, Outcome::Ok(Reply::Done));
        let running = cluster.edit_data(N3, DataEdit::Wipe).await;
        assert!(matches!(running, Err(LeverError::WrongState(_))), "{running:?}");
        for node in [N2, N3] {
            cluster.signal(node, NodeSignal::Kill).await.unwrap();
        }
        let term = cluster.observe(N1, PATIENCE).await.unwrap().term.unwrap();
        let proof = cluster.edit(N3, FileEdit::LoseTerm).await.unwrap();
        assert!(proof.contains(&format!("forgot term {term}")), "{proof}");
        let put = Some(("x".to_owned(), "9".to_owned()));
        let entries = vec![SeedEntry { term: 1, put: None }, SeedEntry { term: 4, put }];
        cluster.edit(N3, FileEdit::SeedLog { entries }).await.unwrap();
        let vote = Some(Vote::For(N2));
        cluster.edit(N3, FileEdit::EditHardState { term: Some(6), vote }).await.unwrap();
        cluster.signal(N1, NodeSignal::Kill).await.unwrap();
        Levers::start(&*cluster, N3).await.unwrap();
        let seeded = until(&cluster, N3, "runs", |view| view.term.is_some()).await;
        assert_eq!((seeded.term, seeded.voted_for), (Some(6), vote));
        let terms: Vec<u64> = seeded.log.unwrap().iter().map(|entry| entry.term).collect();
        assert_eq!((terms, seeded.last_log_term), (vec![1, 4], Some(4)));

        // A wrong bit in the middle of a log is noticed.
        let corrupt = cluster.edit(N1, FileEdit::CorruptRecord { index: 1 }).await.unwrap();
        assert!(corrupt.contains("entry 1"), "{corrupt}");
        let refused = cluster.start_as(N1, StartAs::default(), PATIENCE).await.unwrap();
        assert!(matches!(refused, StartOutcome::Refused { .. }), "{refused:?}");

        let nothing = cluster.edit(N2, FileEdit::CorruptRecord { index: 99 }).await;
        assert!(matches!(nothing, Err(LeverError::Failed(_))), "{nothing:?}");
        cluster.signal(N3, NodeSignal::Kill).await.unwrap();
        cluster.edit_data(N2, DataEdit::Swap { with: N3 }).await.unwrap();
        let swapped = cluster.start_as(N2, StartAs::default(), PATIENCE).await.unwrap();
        let expected = "n3";
        assert!(
            matches!(&swapped, StartOutcome::Refused { said, .. } if said.contains(expected)),
            "it is told whose directory that is: {swapped:?}"
        );
    });
}

fn messages(directory: &Path) {
    block_on(async {
        let rules = [("check_quorum", "off"), ("leader_stickiness", "off")];
        let Some((cluster, _exits)) = manual(directory, &rules).await else { return };
        let gate = |order| Order::Messages(order);
        let filter = |kinds: &[MessageKind], from| MessageFilter {
            kinds: kinds.to_vec(),
            from: Some(from),
            ..MessageFilter::default()
        };
        let pick = |filter: &MessageFilter, count| MessagePick { filter: filter.clone(), count };

        // The votes for n1 wait: it has a majority only when one of them is let through.
        for voter in [N2, N3] {
            let hold = MessageRule::new(MessageAction::Hold, filter(&[MessageKind::VoteReply], voter));
            tell(&cluster, N1, gate(MessageOrder::Arm(hold))).await;
        }
        tell(&cluster, N1, Order::Campaign).await;
        let held = |view: &View| view.messages.as_ref().map_or(0, |messages| messages.held.len());
        let candidate = until(&cluster, N1, "both votes are held", |view| held(view) == 2).await;
        assert_eq!(candidate.role, Some(Role::Candidate));
        let from_n3 = filter(&[MessageKind::VoteReply], N3);
        tell(&cluster, N1, gate(MessageOrder::Release(pick(&from_n3, Some(1))))).await;
        let leader = until(&cluster, N1, "leads", |view| view.role == Some(Role::Leader)).await;
        assert_eq!(held(&leader), 1, "the other vote still waits");
        let again = tell(&cluster, N1, gate(MessageOrder::Release(pick(&from_n3, None)))).await;
        assert!(again.contains("messages 0"), "it ends the rule, though nothing waits any more: {again}");
        tell(&cluster, N1, gate(MessageOrder::Clear)).await;

        // Entries for n3 outlive their leader, and are then those of a leader of the past.
        let appends = filter(&[MessageKind::AppendEntries], N1);
        let hold = MessageRule { count: Some(1), ..MessageRule::new(MessageAction::Hold, appends.clone()) };
        tell(&cluster, N3, gate(MessageOrder::Arm(hold))).await;
        assert_eq!(call(&cluster, N1, &write("x", 1), ReadMode::ByRules).await, Outcome::Ok(Reply::Done));
        until(&cluster, N3, "an append is held", |view| held(view) == 1).await;
        cluster.signal(N1, NodeSignal::Kill).await.unwrap();
        elect(&cluster, N2).await;
        let before = until(&cluster, N3, "follows n2", |view| {
            view.leader == Some(N2) && view.last_log_index == view.commit_index
        })
        .await;
        tell(&cluster, N3, gate(MessageOrder::Release(pick(&appends, None)))).await;
        let after = until(&cluster, N3, "nothing is held", |view| held(view) == 0).await;
        assert_eq!((after.term, after.leader), (before.term, before.leader), "an old term moves nobody");
        let again = tell(&cluster, N3, gate(MessageOrder::Replay(pick(&appends, None)))).await;
        assert!(again.contains("messages 1"), "{again}");

        // What is dropped is repeated by the leader, and counted.
        let acks = filter(&[MessageKind::AppendReply], N3);
        let drop = MessageRule { count: Some(2), ..MessageRule::new(MessageAction::Drop, acks) };
        tell(&cluster, N2, gate(MessageOrder::Arm(drop))).await;
        for value in 2..5 {
            let written = call(&cluster, N2, &write("x", value), ReadMode::ByRules).await;
            assert!(matches!(written, Outcome::Ok(_) | Outcome::Unknown(_)), "{written:?}");
        }
        let view = until(&cluster, N2, "n3 matches all the same", |view| {
            let known = view.progress.iter().flatten().find(|one| one.node == N3);
            known.map(|one| one.match_index) == view.last_log_index
        })
        .await;
        assert_eq!(view.messages.unwrap().total_dropped, 2);
    });
}

fn direct_clients(directory: &Path) {
    block_on(async {
        let Some((cluster, _exits)) = manual(directory, &[]).await else { return };
        elect(&cluster, N1).await;
        let refused = call(&cluster, N2, &write("x", 1), ReadMode::ByRules).await;
        assert!(matches!(&refused, Outcome::Failed(why) if why.contains("names n1")), "{refused:?}");
        assert_eq!(call(&cluster, N1, &write("x", 1), ReadMode::ByRules).await, Outcome::Ok(Reply::Done));
        let local = call(&cluster, N1, &read("x"), ReadMode::Local).await;
        assert_eq!(local, Outcome::Ok(Reply::Value(Value::Int(1))));
        let elsewhere = call(&cluster, N2, &read("x"), ReadMode::ReadIndex).await;
        assert!(matches!(elsewhere, Outcome::Failed(_)), "{elsewhere:?}");

        // The same append under the same place through another client: once.
        let append = Op::Append { key: Key::new("l"), value: Value::Int(5) };
        let place = Place { session: 1 << 40, sequence: 1 };
        for _ in 0..2 {
            let direct =
                Direct { op_timeout: PATIENCE, read_mode: ReadMode::ByRules, write_mode: WriteMode::Plain };
            let client = cluster.connect_to(N1, direct).unwrap();
            assert_eq!(client.call_as(ProcessId(7), &append, place).await.outcome, Outcome::Ok(Reply::Done));
        }
        let list = call(&cluster, N1, &read("l"), ReadMode::Log).await;
        assert_eq!(list, Outcome::Ok(Reply::Value(Value::List(vec![Value::Int(5)]))));
    });
}

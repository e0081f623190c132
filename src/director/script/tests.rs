//! Choreographies in virtual time: the test plays the cluster.

use checker::history::{Key, Op, Outcome, Reply, Value};
use cluster::levers::ProcessState;
use cluster::order::Order;
use cluster::system::{NodeId, Role, View, WriteMode};

use super::{Attempt, Came, Deed, News, Player, Progress, StoryLine, Taken, TakenOutcome, Todo};
use crate::director::Nanos;

const MS: Nanos = 1_000_000;

/// A player and everything that it wanted.
struct Play {
    player: Player,
    now: Nanos,
    todo: Vec<Todo>,
    story: Vec<StoryLine>,
}

impl Play {
    fn new(steps: &str) -> Self {
        let text = format!("version: 1\nname: x\nsystem: {{ use: raftkv, nodes: 3 }}\n{steps}");
        let suite = crate::suite::read("x.yaml", text.as_bytes(), &[], &crate::suite::vocabulary());
        let suite = suite.unwrap_or_else(|problems| panic!("{problems}"));
        let player = Player::new(&suite.script.expect("it has steps"), 3, 0, 1);
        let mut play = Self { player, now: 0, todo: Vec::new(), story: Vec::new() };
        play.step(|player, now, out| player.tick(now, out));
        play
    }

    fn step(&mut self, act: impl FnOnce(&mut Player, Nanos, &mut Vec<Todo>)) {
        let mut out = Vec::new();
        act(&mut self.player, self.now, &mut out);
        for todo in out {
            match todo {
                Todo::Tell(line) => self.story.push(line),
                other => self.todo.push(other),
            }
        }
    }

    fn at(&mut self, now: Nanos) -> &mut Self {
        self.now = now;
        self.step(|player, now, out| player.tick(now, out));
        self
    }

    /// The node says this, asked at `asked`.
    fn says(&mut self, node: u16, asked: Nanos, role: Role, term: u64) -> &mut Self {
        let view = View { role: Some(role), term: Some(term), ..View::default() };
        let (node, process) = (NodeId(node), ProcessState::Running);
        let news = News::Seen { node, asked, view: Some(Box::new(view)), process };
        self.step(|player, now, out| player.hear(now, news, out));
        self
    }

    /// The next deed, which is done at once.
    fn deed(&mut self) -> Deed {
        let Todo::Take { ticket, deed } = self.todo.remove(0) else { panic!("no deed") };
        self.taken(ticket, TakenOutcome::Done);
        deed
    }

    fn taken(&mut self, ticket: u64, outcome: TakenOutcome) {
        let taken = Taken { outcome, said: "so it is".to_owned(), refused: Vec::new() };
        self.step(|player, now, out| player.hear(now, News::Taken { ticket, taken }, out));
    }

    /// The node of the next deed, which has to be a campaign.
    fn campaigns(&mut self) -> NodeId {
        match self.deed() {
            Deed::Order { orders } if orders[0].1 == Order::Campaign => orders[0].0,
            other => panic!("{other:?}"),
        }
    }

    fn call(&mut self) -> super::Invocation {
        match self.todo.remove(0) {
            Todo::Invoke(call) => call,
            other => panic!("{other:?}"),
        }
    }

    fn ends(&mut self, number: u64, outcome: Outcome) {
        self.step(|player, now, out| player.hear(now, News::Ended { number, outcome }, out));
    }
}

fn ok() -> Outcome {
    Outcome::Ok(Reply::Done)
}

#[test]
fn a_wait_is_fulfilled_only_by_what_was_asked_for_after_it_began() {
    let mut play = Play::new("steps:\n  - campaign: n1\n  - wait: role(n1) = leader@1\n  - campaign: n2\n");
    play.now = 10 * MS;
    assert_eq!(play.campaigns(), NodeId(1));
    assert_eq!(play.player.wants().nodes, [NodeId(1)].into());
    play.says(1, 9 * MS, Role::Leader, 1);
    assert!(play.todo.is_empty(), "that was before the wait began");
    play.at(12 * MS).says(1, 11 * MS, Role::Leader, 2);
    assert!(play.todo.is_empty(), "another term");
    play.says(1, 12 * MS, Role::Leader, 1);
    assert_eq!(play.campaigns(), NodeId(2));
    assert_eq!(play.player.progress(), Progress::Done);
}

#[test]
fn what_does_not_come_about_in_time_ends_it_with_everything_that_is_known() {
    let mut play = Play::new("steps:\n  - wait: role(n1) = leader\n    within: 50ms\n");
    play.says(1, 0, Role::Candidate, 3);
    play.at(49 * MS);
    assert_eq!(play.player.progress(), Progress::Going);
    play.at(50 * MS);
    let missed = play.player.missed().expect("it is missed").clone();
    assert_eq!((missed.line, missed.step.as_str()), (5, "wait: role(n1) = leader"));
    assert!(missed.why.contains("within 50ms: role(n1) is candidate@3"), "{}", missed.why);
    assert!(missed.views[0].starts_with("n1: candidate@3"), "{:?}", missed.views);
    assert_eq!(play.story.last().map(|line| line.came), Some(Came::Missed));
}

#[test]
fn a_wait_with_an_else_goes_on_there() {
    let steps = "steps:\n  - wait: role(n1) = leader\n    within: 50ms\n    then:\n      - campaign: n1\n    else:\n      \
                 - campaign: n2\n  - campaign: n3\n";
    let mut play = Play::new(steps);
    play.at(50 * MS);
    assert_eq!((play.campaigns(), play.campaigns()), (NodeId(2), NodeId(3)));
    let mut play = Play::new(steps);
    play.says(1, 1, Role::Leader, 1);
    assert_eq!((play.campaigns(), play.campaigns()), (NodeId(1), NodeId(3)));
    assert_eq!(play.player.progress(), Progress::Done);
}

#[test]
fn a_condition_has_to_hold_without_a_break() {
    let mut play = Play::new("steps:\n  - wait: role(n1) = leader\n    for: 20ms\n");
    play.at(MS).says(1, MS, Role::Leader, 1);
    play.at(15 * MS).says(1, 15 * MS, Role::Follower, 1);
    play.at(16 * MS).says(1, 16 * MS, Role::Leader, 1);
    play.at(35 * MS).says(1, 35 * MS, Role::Leader, 1);
    assert_eq!(play.player.progress(), Progress::Going);
    play.at(36 * MS);
    assert_eq!(play.player.progress(), Progress::Done);
}

#[test]
fn an_assertion_waits_until_it_is_known_and_no_longer() {
    let mut play = Play::new("steps:\n  - assert: role(n1) = leader\n");
    assert_eq!(play.player.progress(), Progress::Going);
    play.at(MS).says(1, MS, Role::Follower, 1);
    assert_eq!(play.player.progress(), Progress::Missed);
    assert!(play.player.missed().expect("missed").why.contains("role(n1) is follower@1"));
}

#[test]
fn procedures_bind_their_arguments_and_loops_end() {
    let steps = "procedures:\n  elect:\n    takes: [node]\n    steps:\n      - repeat: 2\n        until: role(node) = leader\n        \
                 do:\n          - campaign: node\n          - wait: role(node) = leader\n            within: 10ms\n            \
                 else: []\nsteps:\n  - let: { node: n3 }\n  - call: elect\n    with: { node: n1 }\n  - campaign: node\n  \
                 - for-each: { F: others(node) }\n    do:\n      - kill: F\n";
    let mut play = Play::new(steps);
    assert_eq!(play.campaigns(), NodeId(1));
    play.at(10 * MS).says(1, 10 * MS, Role::Candidate, 1);
    assert_eq!(play.campaigns(), NodeId(1), "the second turn");
    play.at(11 * MS).says(1, 11 * MS, Role::Leader, 2);
    play.at(12 * MS).says(1, 12 * MS, Role::Leader, 2);
    assert_eq!(play.campaigns(), NodeId(3), "the name means again what it meant before the call");
    for node in [1, 2] {
        assert!(matches!(play.deed(), Deed::Signal { nodes, .. } if nodes == [NodeId(node)]));
    }
    assert_eq!(play.player.progress(), Progress::Done);
    assert!(play.story.iter().any(|line| line.step == "campaign: n1"), "{:?}", play.story);
}

#[test]
fn parallel_branches_wait_for_one_another_only_at_the_end() {
    let steps = "steps:\n  - parallel:\n      - [{ campaign: n1 }, { kill: n2 }]\n      - [{ campaign: n3 }]\n  - kill: n1\n";
    let mut play = Play::new(steps);
    assert_eq!(play.todo.len(), 2, "both have begun");
    assert_eq!((play.campaigns(), play.campaigns()), (NodeId(1), NodeId(3)));
    assert!(matches!(play.deed(), Deed::Signal { nodes, .. } if nodes == [NodeId(2)]));
    assert!(matches!(play.deed(), Deed::Signal { nodes, .. } if nodes == [NodeId(1)]));
    assert_eq!(play.player.progress(), Progress::Done);
}

#[test]
fn an_expectation_that_does_not_hold_is_a_missed_step_and_no_verdict() {
    let mut play = Play::new("steps:\n  - put: { at: n1, key: k, value: 1, expect: ok }\n");
    let call = play.call();
    assert_eq!((call.at, call.attempt), (Some(NodeId(1)), Attempt::Only));
    play.ends(call.number, Outcome::Failed("not the leader".to_owned()));
    let why = &play.player.missed().expect("missed").why;
    assert_eq!(why, "expected ok, but it was failed: not the leader");

    let mut play = Play::new("steps:\n  - get: { key: k, sees: 2 }\n");
    let number = play.call().number;
    play.ends(number, Outcome::Ok(Reply::Value(Value::Int(1))));
    assert_eq!(play.player.progress(), Progress::Missed);

    let mut play = Play::new("steps:\n  - put: { key: k, value: 1, expect: pending }\n    for: 30ms\n");
    play.at(29 * MS);
    assert_eq!(play.player.progress(), Progress::Going);
    play.at(30 * MS);
    assert_eq!(play.player.progress(), Progress::Done);
}

#[test]
fn an_operation_that_is_repeated_ends_with_an_answer_and_not_with_a_later_refusal() {
    let steps = "steps:\n  - begin: { append: { at: n1, key: l, value: 1, retries: by-hand }, as: w }\n  - wait: unanswered(w)\n  \
                 - retry: { op: w, at: n2 }\n  - wait: unanswered(w)\n  - retry: { op: w, at: n3, expect: ok }\n  - assert: \
                 acked(w)\n";
    let mut play = Play::new(steps);
    let first = play.call();
    assert_eq!(first.attempt, Attempt::First);
    play.ends(first.number, Outcome::Unknown("cut off".to_owned()));
    let second = play.call();
    assert_eq!((second.number, second.place, second.attempt), (first.number, first.place, Attempt::Later));
    play.ends(second.number, Outcome::Failed("not the leader".to_owned()));
    let third = play.call();
    assert_eq!((third.at, third.process), (Some(NodeId(3)), first.process));
    play.ends(third.number, ok());
    assert_eq!(play.player.progress(), Progress::Done);
    assert_eq!(play.player.final_reads().len(), 1);
}

#[test]
fn a_write_carries_the_token_that_its_lock_operation_was_given() {
    let steps = "checks: [mutual-exclusion]\nsteps:\n  - begin: { lock: { at: n1, key: l, client: a, ttl: 300ms, as: t } }\n  - put: { \
                 at: n2, key: x, value: 1, client: b, token: t }\n";
    let mut play = Play::new(steps);
    let lock = play.call();
    let acquire =
        Op::Other { key: Key::new("l"), function: "acquire".into(), argument: Value::Text("a".into()) };
    assert_eq!((lock.op, lock.write_mode), (acquire, WriteMode::Expiring { ttl_ms: 300 }));
    assert_eq!(play.todo, [], "the token is not known yet");
    play.ends(lock.number, Outcome::Ok(Reply::Value(Value::Int(7))));
    let put = play.call();
    assert_eq!(put.write_mode, WriteMode::Fenced { lock: "l".to_owned(), token: 7 });
    play.ends(put.number, ok());
    assert_eq!(play.player.progress(), Progress::Done);
    assert_eq!(
        play.player.final_reads(),
        [Op::Read { key: Key::new("x") }],
        "a lock is nothing that was written"
    );
}

#[test]
fn a_step_that_is_refused_is_missed_unless_that_is_expected() {
    for (steps, progress) in [
        ("steps:\n  - campaign: n1\n", Progress::Missed),
        ("steps:\n  - campaign: { node: n1, expect: refused }\n", Progress::Done),
        ("steps:\n  - campaign: { node: n1, expect: any }\n", Progress::Done),
    ] {
        let mut play = Play::new(steps);
        let Todo::Take { ticket, .. } = play.todo.remove(0) else { panic!("no deed") };
        play.taken(ticket, TakenOutcome::Refused);
        assert_eq!(play.player.progress(), progress, "{steps}");
    }
}

#[test]
fn the_writes_of_a_client_have_one_session_wherever_it_turns() {
    let steps = "steps:\n  - put: { at: n1, key: k, value: 1, client: c }\n  - get: { at: n2, key: k, client: c }\n  - begin: { put: \
                 { at: n2, key: k, value: 2, client: c, retries: by-hand }, as: w }\n  - wait: unanswered(w)\n  - retry: { op: w, \
                 at: n3 }\n  - put: { key: k, value: 3 }\n";
    let mut play = Play::new(steps);
    let mut places = Vec::new();
    for outcome in [ok(), ok(), Outcome::Unknown("cut off".to_owned()), ok()] {
        let call = play.call();
        places.push(call.place);
        play.ends(call.number, outcome);
    }
    let sequences: Vec<Option<u64>> = places.iter().map(|place| place.map(|place| place.sequence)).collect();
    assert_eq!(sequences, [Some(1), None, Some(2), Some(2)], "{places:?}");
    let mut sessions: Vec<u64> = places.iter().flatten().map(|place| place.session).collect();
    sessions.dedup();
    assert_eq!(sessions.len(), 1, "{places:?}");
    assert_eq!(play.call().place, None, "nobody's write, and never repeated");
}

#[test]
fn an_order_in_the_background_lets_its_step_go_on_and_is_known_when_it_has_ended() {
    for (outcome, condition) in
        [(TakenOutcome::Done, "acked"), (TakenOutcome::Refused, "failed"), (TakenOutcome::Failed, "unknown")]
    {
        let steps = format!(
            "steps:\n  - begin: {{ remove-member: {{ at: n1, node: n3 }}, as: x }}\n  - wait: pending(x)\n  - kill: n2\n  - \
             wait: {condition}(x)\n"
        );
        let mut play = Play::new(&steps);
        let Todo::Take { ticket, .. } = play.todo.remove(0) else { panic!("no deed") };
        assert!(matches!(play.deed(), Deed::Signal { .. }), "the step has not waited for the order");
        assert_eq!(play.player.progress(), Progress::Going);
        play.taken(ticket, outcome);
        assert_eq!(play.player.progress(), Progress::Done, "{condition}");
        let told = play.story.iter().filter(|line| line.step.starts_with("begin:")).count();
        assert_eq!(told, 2, "when it began and when it ended: {:?}", play.story);
    }
}

#[test]
fn a_choreography_that_never_waits_is_stopped() {
    let play = Play::new("steps:\n  - repeat: 1000000\n    do:\n      - let: { x: 1 }\n");
    assert_eq!(play.player.progress(), Progress::Missed);
}

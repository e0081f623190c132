//! What the state machine does, and what each weakened rule makes of it on two replicas side by side.

use super::*;

fn proposal(stamp_ms: u64, session: Option<(u64, u64)>, command: Command) -> Vec<u8> {
    let session = session.map(|(client, sequence)| SessionCall { client, sequence });
    Proposal { stamp_ms, session, command }.encode()
}

fn run(store: &mut Store, command: Command) -> Reply {
    store.apply(1, &proposal(0, None, command)).reply
}

fn put(key: &str, value: &str) -> Command {
    Command::Put(key.into(), value.into())
}

fn incr(key: &str) -> Command {
    Command::Increment(key.into(), 1)
}

fn rules(changes: &str) -> Rules {
    let mut rules = Rules::default();
    for change in changes.split_whitespace() {
        let (name, value) = change.split_once('=').unwrap();
        rules.set(name, value).unwrap_or_else(|e| panic!("{e}"));
    }
    rules
}

fn text(value: &str) -> Option<Value> {
    Some(Value::Text(value.into()))
}

#[test]
fn put_get_delete() {
    let mut store = Store::default();
    assert_eq!(run(&mut store, Command::Get("a".into())), Reply::Value(None));
    assert_eq!(run(&mut store, Command::Put("a".into(), "1".into())), Reply::Done);
    assert_eq!(run(&mut store, Command::Get("a".into())), Reply::Value(text("1")));
    assert_eq!(run(&mut store, Command::Delete("a".into())), Reply::Done);
    assert_eq!(store.get("a"), None);
}

#[test]
fn compare_and_set_compares() {
    let mut store = Store::default();
    let cas = |expected: Option<&str>, new: &str| {
        Command::Cas(Cas { key: "k".into(), expected: expected.map(Into::into), new: new.into() })
    };
    assert_eq!(run(&mut store, cas(Some("x"), "y")), Reply::NotSwapped(None));
    assert_eq!(run(&mut store, cas(None, "a")), Reply::Swapped);
    assert_eq!(run(&mut store, cas(None, "b")), Reply::NotSwapped(text("a")));
    assert_eq!(run(&mut store, cas(Some("a"), "b")), Reply::Swapped);
    assert_eq!(store.get("k"), text("b").as_ref());
}

#[test]
fn lists_keep_order_and_sets_keep_one() {
    let mut store = Store::default();
    for element in ["b", "a", "b"] {
        run(&mut store, Command::Append("l".into(), element.into()));
        run(&mut store, Command::Add("s".into(), element.into()));
    }
    let list = ["b", "a", "b"].map(Arc::from).to_vec();
    assert_eq!(store.get("l"), Some(&Value::List(list)));
    assert_eq!(store.get("s"), Some(&Value::Set(["a", "b"].map(Arc::from).into())));
    assert_eq!(run(&mut store, Command::Append("s".into(), "x".into())), Reply::WrongType("set".into()));
    assert_eq!(run(&mut store, Command::Add("l".into(), "x".into())), Reply::WrongType("list".into()));
}

#[test]
fn a_repeated_append_in_a_session_appends_once_and_gets_the_stored_result() {
    let mut store = Store::default();
    let cas = Command::Cas(Cas { key: "k".into(), expected: None, new: "v".into() });
    let bytes = proposal(0, Some((9, 1)), cas);
    assert_eq!(store.apply(1, &bytes).reply, Reply::Swapped);
    assert_eq!(store.apply(2, &bytes).reply, Reply::Swapped, "the stored result, not a second comparison");
    let bytes = proposal(0, Some((9, 2)), Command::Append("l".into(), "e".into()));
    assert_eq!(store.apply(3, &bytes).reply, Reply::Done);
    assert_eq!(store.apply(4, &bytes).reply, Reply::Done);
    assert_eq!(store.get("l"), Some(&Value::List(vec!["e".into()])));
    assert_eq!(store.sessions(), 1);
}

#[test]
fn without_a_session_every_append_counts() {
    let mut store = Store::default();
    let bytes = proposal(0, None, Command::Append("l".into(), "e".into()));
    store.apply(1, &bytes);
    store.apply(2, &bytes);
    assert_eq!(store.get("l"), Some(&Value::List(vec!["e".into(), "e".into()])));
}

#[test]
fn a_counter_counts_and_refuses_what_is_no_number() {
    let mut store = Store::default();
    assert_eq!(run(&mut store, incr("n")), Reply::Number(1));
    assert_eq!(run(&mut store, Command::Increment("n".into(), -5)), Reply::Number(-4));
    assert_eq!(store.get("n"), text("-4").as_ref());
    run(&mut store, put("n", "9223372036854775807"));
    assert_eq!(run(&mut store, incr("n")), Reply::WrongType("text".into()), "it does not overflow");
    run(&mut store, put("n", "seven"));
    assert_eq!(run(&mut store, incr("n")), Reply::WrongType("text".into()));
}

#[test]
fn a_lock_has_one_owner_and_tokens_that_rise() {
    let mut store = Store::default();
    let mut index = 0;
    let mut apply = |stamp, command| {
        index += 1;
        store.apply(index, &proposal(stamp, None, command)).reply
    };
    let lock = |owner: &str, ttl_ms| Command::Lock(Lock { key: "m".into(), owner: owner.into(), ttl_ms });
    let unlock = |owner: &str| Command::Unlock("m".into(), owner.into());
    assert_eq!(apply(0, unlock("a")), Reply::NotLocked(None));
    assert_eq!(apply(0, lock("a", None)), Reply::Locked(2));
    assert_eq!(apply(0, lock("a", None)), Reply::Locked(2), "who has it already has the same token");
    let held = Reply::NotLocked(Some(Value::Lock("a".into(), 2)));
    assert_eq!((apply(0, lock("b", None)), apply(0, unlock("b"))), (held.clone(), held));
    assert_eq!(apply(0, unlock("a")), Reply::Done);
    assert_eq!(apply(0, lock("b", Some(50))), Reply::Locked(7));
    assert!(matches!(apply(49, lock("a", None)), Reply::NotLocked(Some(_))));
    assert_eq!(apply(50, lock("a", None)), Reply::Locked(9), "b's lock has ended");
}

#[test]
fn a_fenced_put_takes_the_token_of_the_lock_as_it_is_there() {
    let mut store = Store::default();
    let mut index = 0;
    let mut apply = |stamp, command| {
        index += 1;
        let reply = store.apply(index, &proposal(stamp, None, command)).reply;
        (reply, store.get("k").cloned())
    };
    let lock = |owner: &str| Command::Lock(Lock { key: "m".into(), owner: owner.into(), ttl_ms: Some(50) });
    let fenced = |value: &str, lock: &str, token| {
        Command::PutFenced(Fenced { key: "k".into(), value: value.into(), lock: lock.into(), token })
    };
    assert_eq!(apply(0, fenced("x", "m", 0)), (Reply::NotLocked(None), None), "nobody has the lock");
    assert_eq!(apply(0, lock("a")).0, Reply::Locked(2));
    assert_eq!(apply(49, fenced("1", "m", 2)), (Reply::Done, text("1")));
    let refused = |held| (Reply::NotLocked(held), text("1"));
    let held = Some(Value::Lock("a".into(), 2));
    assert_eq!(apply(49, fenced("x", "m", 3)), refused(held.clone()), "a token that was not given");
    assert_eq!(apply(49, fenced("x", "k", 2)), refused(text("1")), "a key that is no lock");
    assert_eq!(apply(50, fenced("x", "m", 2)), refused(None), "it has ended, and nobody has it");
    assert_eq!(apply(51, lock("b")).0, Reply::Locked(7));
    let held = Some(Value::Lock("b".into(), 7));
    assert_eq!(apply(51, fenced("x", "m", 2)), refused(held), "somebody else has it");
    assert_eq!(apply(52, fenced("2", "m", 7)), (Reply::Done, text("2")));
}

#[test]
fn the_time_of_the_log_ends_keys_and_never_goes_back() {
    let mut store = Store::default();
    store.observe(Local { clock_ms: 99_999, ..Local::default() });
    store.apply(1, &proposal(1_000, None, Command::PutFor("k".into(), "v".into(), 100)));
    assert_eq!(store.next_end_ms(), Some(1_100));
    store.apply(2, &proposal(500, None, Command::Tick));
    assert_eq!(store.get("k"), text("v").as_ref(), "this replica's clock does not count");
    store.apply(3, &proposal(1_100, None, Command::Tick));
    assert_eq!((store.get("k"), store.keys(), store.next_end_ms()), (None, 0, None));
    store.apply(4, &proposal(7, None, Command::PutFor("k".into(), "v".into(), 100)));
    assert_eq!(store.next_end_ms(), Some(1_200), "the leader's clock went back, the log's did not");
    store.apply(5, &proposal(0, None, put("k", "w")));
    store.apply(6, &proposal(9_000, None, Command::Tick));
    assert_eq!(store.get("k"), text("w").as_ref(), "a plain put takes the end away");
}

/// Two replicas with clocks 30 s apart and different seeds apply the same entries; the seconds between two of them pass.
fn replicas(changes: &str, entries: &[Vec<u8>]) -> [Store; 2] {
    [0, 30_000].map(|ahead_ms| {
        let mut store = Store::new(&rules(changes));
        for (position, bytes) in entries.iter().enumerate() {
            let clock_ms =
                1_000_000 + ahead_ms + 1_000 * position as u64 + ahead_ms / 10 * (position as u64 % 2);
            store.observe(Local { clock_ms, seed: 7 + ahead_ms, node: 1 });
            store.apply(position as u64 + 1, bytes);
        }
        store
    })
}

fn agree(changes: &str, entries: &[Vec<u8>]) -> bool {
    let [one, other] = replicas(changes, entries);
    one.hash() == other.hash()
}

#[test]
fn keys_that_end_by_each_replicas_clock_end_at_different_places_of_the_log() {
    let entries = [
        proposal(1_000_000, None, Command::PutFor("k".into(), "v".into(), 2_500)),
        proposal(1_001_000, None, Command::Get("k".into())),
        proposal(
            1_002_000,
            None,
            Command::Cas(Cas { key: "k".into(), expected: Some("v".into()), new: "w".into() }),
        ),
    ];
    assert!(agree("", &entries));
    assert!(!agree("ttl_clock=local_clock", &entries));
    // Not only the ends differ: at its second entry the fast clock has gone 3 s further.
    let entries = [entries[0].clone(), entries[2].clone(), proposal(1_009_000, None, put("x", "y"))];
    let values = replicas("ttl_clock=local_clock", &entries).map(|store| store.get("k").cloned());
    assert_eq!(values, [text("w"), None], "the swap took effect on one replica alone");
}

#[test]
fn sessions_that_end_by_each_replicas_clock_let_a_repetition_through_on_some() {
    let entries = [
        proposal(1_000_000, Some((1, 1)), incr("n")),
        proposal(1_001_000, Some((2, 1)), incr("other")),
        // The client's retry: the answer to its first request was lost.
        proposal(1_002_000, Some((1, 1)), incr("n")),
    ];
    let timeout = "session_timeout=3s";
    let counts = |expiry: &str| {
        replicas(&format!("{timeout} session_expiry={expiry}"), &entries).map(|store| store.get("n").cloned())
    };
    assert_eq!(counts("log_time"), [text("1"), text("1")]);
    assert_eq!(counts("none"), [text("1"), text("1")]);
    assert_eq!(counts("local_clock"), [text("1"), text("2")], "the fast clock had forgotten the session");
    assert!(!agree(&format!("{timeout} session_expiry=local_clock"), &entries));
}

#[test]
fn a_session_that_the_log_has_ended_is_told_so() {
    let mut store = Store::new(&rules("session_timeout=1s"));
    store.apply(1, &proposal(1_000, Some((1, 1)), incr("n")));
    store.apply(2, &proposal(2_000, None, Command::Tick));
    assert_eq!(store.sessions(), 0);
    let late = store.apply(3, &proposal(2_001, Some((1, 2)), incr("n")));
    assert_eq!(late.reply, Reply::SessionExpired);
    let mut store = Store::new(&rules("session_timeout=1s session_expiry=none"));
    store.apply(1, &proposal(1_000, Some((1, 1)), incr("n")));
    assert_eq!(store.apply(2, &proposal(9_000, Some((1, 2)), incr("n"))).reply, Reply::Number(2));
}

#[test]
fn a_state_machine_that_is_not_deterministic_diverges() {
    let entries = [
        proposal(0, None, put("a", "1")),
        proposal(0, None, put("b", "2")),
        proposal(0, None, put("c", "3")),
    ];
    for (value, expected) in [("none", true), ("local_time", false), ("rand", false), ("map_order", false)] {
        assert_eq!(agree(&format!("apply_nondeterminism={value}"), &entries), expected, "{value}");
    }
}

#[test]
fn a_repetition_is_executed_again_without_sessions_in_the_state() {
    let twice = [proposal(0, Some((1, 1)), incr("n")), proposal(0, Some((1, 1)), incr("n"))];
    for (dedup, count, remembered) in
        [("replicated", "1", None), ("off", "2", None), ("leader_memory", "2", Some(1))]
    {
        let mut store = Store::new(&rules(&format!("dedup_sessions={dedup}")));
        let last = twice.iter().zip(1..).map(|(bytes, index)| store.apply(index, bytes)).last().unwrap();
        assert_eq!(store.get("n"), text(count).as_ref(), "{dedup}");
        assert_eq!(last.remember.map(|call| call.sequence), remembered, "{dedup}");
    }
}

/// An old value comes back: c1 puts 1 and never hears of it, c2 puts 2, c1's library repeats its put.
#[test]
fn a_repeated_put_brings_an_old_value_back() {
    for (dedup, seen) in [("replicated", ["1", "2", "2"]), ("off", ["1", "2", "1"])] {
        let mut store = Store::new(&rules(&format!("dedup_sessions={dedup}")));
        let writes = [((1, 1), put("x", "1")), ((2, 1), put("x", "2")), ((1, 1), put("x", "1"))];
        for (position, (session, command)) in writes.into_iter().enumerate() {
            store.apply(position as u64 + 1, &proposal(0, Some(session), command));
            assert_eq!(store.get("x"), text(seen[position]).as_ref(), "{dedup} after write {position}");
        }
    }
}

#[test]
fn the_hash_is_that_of_the_contents_whatever_the_way_there() {
    let mut store = Store::default();
    let mut other = Store::default();
    let entries = [
        (1, put("a", "1")),
        (2, put("a", "2")),
        (3, Command::Append("l".into(), "x".into())),
        (4, Command::Append("l".into(), "y".into())),
        (5, Command::Add("s".into(), "q".into())),
        (6, Command::Add("s".into(), "p".into())),
        (7, Command::PutFor("t".into(), "v".into(), 5)),
        (8, Command::Delete("gone".into())),
    ];
    for (index, command) in entries.clone() {
        store.apply(index, &proposal(0, None, command));
    }
    let mut hashes = vec![other.hash()];
    for (index, command) in entries {
        other.apply(index, &proposal(0, None, command));
        hashes.push(other.hash());
    }
    assert_eq!(store.hash(), other.hash());
    hashes.dedup();
    assert_eq!(hashes.len(), 8, "every entry but the last changed it");
    let restored = Store::decode(&store.encode(), &Rules::default()).unwrap();
    assert_eq!(restored.hash(), store.hash(), "also when it is computed from the contents");
    for key in ["a", "l", "s", "t"] {
        other.apply(9, &proposal(0, None, Command::Delete(key.into())));
    }
    assert_eq!(other.hash(), Store::default().hash());
}

#[test]
fn an_image_holds_sessions_and_refuses_damage() {
    let mut store = Store::default();
    store.apply(1, &proposal(5, Some((1, 1)), incr("n")));
    store.apply(2, &proposal(6, None, Command::PutFor("t".into(), "v".into(), 100)));
    let image = store.encode();
    let mut restored = Store::decode(&image, &Rules::default()).unwrap();
    assert_eq!(restored.encode(), image);
    assert_eq!(restored.next_end_ms(), Some(106));
    let repeated = restored.apply(3, &proposal(0, Some((1, 1)), incr("n")));
    assert_eq!(repeated.reply, Reply::Number(1), "the stored result");
    restored.forget_sessions();
    assert_eq!(restored.apply(4, &proposal(0, Some((1, 1)), incr("n"))).reply, Reply::Number(2));

    for at in 0..image.len() {
        let mut damaged = image.clone();
        damaged[at] ^= 1;
        match Store::decode(&damaged, &Rules::default()) {
            Err(_) => {}
            Ok(other) => assert_eq!(other.hash(), store.hash(), "byte {at} changed the state unnoticed"),
        }
        assert!(Store::decode(&image[..at], &Rules::default()).is_err());
    }
}

#[test]
#[should_panic(expected = "was made to panic")]
fn poison_panics_where_it_is_meant_to() {
    let mut store = Store::default();
    store.observe(Local { node: 2, ..Local::default() });
    let poison = |only| Command::Poison(Poison { key: "k".into(), value: "v".into(), only });
    assert_eq!(run(&mut store, poison(Some(1))), Reply::Done);
    assert_eq!(store.get("k"), text("v").as_ref());
    run(&mut store, poison(Some(2)));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..64)) {
        let mut store = Store::default();
        // The command that is meant to panic is not a client's.
        if !postcard::from_bytes::<Proposal>(&bytes).is_ok_and(|p| matches!(p.command, Command::Poison(_))) {
            store.apply(1, &bytes);
        }
        let _ = Store::decode(&bytes, &Rules::default());
    }
}

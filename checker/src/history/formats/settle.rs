//! A history in the words of the model that it is judged against.
//!
//! Tools spell the same thing in several ways: a set is read with `:read`, a counter goes up with `:inc`, a queue is found
//! empty with a nil or with a `:fail`, a map of registers or a list of steps is read. Each model knows one spelling only.
//! Invariant: nothing is changed but the spelling; what has none is an error that names the function.

use rustc_hash::FxHashMap;

use super::{NilReads, Recorded, Specification, jepsen};
use crate::history::{Event, EventBody, Key, Op, Outcome, ProcessId, Recording, Reply, Value};

/// Something that the model has no words for.
pub(super) struct Strange {
    pub(super) function: String,
    pub(super) why: String,
}

/// Spells the history as this specification has it. What needs no look at single calls is done where it lies.
pub(super) fn settle(
    specification: Specification,
    recorded: &mut Recorded,
    nil_reads: NilReads,
) -> Result<(), Strange> {
    use Specification as S;
    match specification {
        S::Register | S::CasRegister => Ok(()),
        S::Append | S::Kv => {
            if specification.holds_lists(&recorded.functions) {
                absent_if_empty(&mut recorded.recording);
            }
            Ok(())
        }
        S::Set => {
            for op in recorded.recording.ops_mut() {
                if let Op::Read { key } = op {
                    *op = Op::Members { key: key.clone() };
                }
            }
            Ok(())
        }
        S::Counter => by_event(recorded, |events| {
            respell(events, counter, |op, reply| match op {
                Op::Read { .. } => Ok(Outcome::Ok(reply)),
                _ => Ok(Outcome::Ok(Reply::Done)),
            })
        }),
        S::FifoQueue | S::UnorderedQueue => by_event(recorded, |events| {
            expand_drains(events)?;
            find_empty(events, nil_reads);
            respell(events, queue, |op, reply| match op.name() {
                "enqueue" => Ok(Outcome::Ok(Reply::Done)),
                _ => Ok(took(reply, nil_reads)),
            })
        }),
        S::Mutex => by_event(recorded, |events| {
            respell(events, |op, _| lock(op, Value::Nil), |_, _| Ok(Outcome::Ok(Reply::Done)))
        }),
        S::OwnerMutex => {
            by_event(recorded, |events| respell(events, owned, |_, _| Ok(Outcome::Ok(Reply::Done))))
        }
        S::FencedLock => by_event(recorded, |events| {
            respell(events, owned, |op, reply| match op.name() {
                "acquire" => fence(reply),
                _ => Ok(Outcome::Ok(Reply::Done)),
            })
        }),
        S::MultiRegister => by_event(recorded, |events| {
            respell(events, |op, _| transaction(op), |_, reply| transacted(reply, nil_reads))
        }),
    }
}

/// Hands out the events one by one, which takes several times the memory of the recording, and records them again.
fn by_event(
    recorded: &mut Recorded,
    spell: impl FnOnce(&mut Vec<Event>) -> Result<(), Strange>,
) -> Result<(), Strange> {
    let mut history = recorded.history();
    spell(&mut history.events)?;
    // Only drains add events, and so only they can become too many.
    recorded.recording = Recording::of(history)
        .map_err(|malformed| Strange { function: "drain".to_owned(), why: malformed.to_string() })?;
    Ok(())
}

/// Puts every call, and every answer to one, into other words.
fn respell(
    events: &mut [Event],
    call: impl Fn(&Op, ProcessId) -> Result<Op, String>,
    answer: impl Fn(&Op, Reply) -> Result<Outcome, String>,
) -> Result<(), Strange> {
    let mut open: FxHashMap<ProcessId, Op> = FxHashMap::default();
    for event in events {
        match &mut event.body {
            EventBody::Invoke(op) => {
                let spelled =
                    call(op, event.process).map_err(|why| Strange { function: op.name().to_owned(), why })?;
                *op = spelled;
                open.insert(event.process, op.clone());
            }
            EventBody::Complete(outcome) => {
                let (Some(op), Outcome::Ok(reply)) = (open.remove(&event.process), &mut *outcome) else {
                    continue;
                };
                let reply = std::mem::replace(reply, Reply::Done);
                *outcome =
                    answer(&op, reply).map_err(|why| Strange { function: op.name().to_owned(), why })?;
            }
        }
    }
    Ok(())
}

fn absent_if_empty(recording: &mut Recording) {
    let empty = |value: &mut Value| {
        if matches!(value, Value::List(items) if items.is_empty()) {
            *value = Value::Nil;
        }
    };
    for op in recording.ops_mut() {
        match op {
            Op::Write { value, .. } => empty(value),
            Op::Cas { expected, new, .. } => {
                empty(expected);
                empty(new);
            }
            _ => {}
        }
    }
    for outcome in recording.outcomes_mut() {
        if let Outcome::Ok(Reply::Value(value) | Reply::Mismatch(Some(value))) = outcome {
            empty(value);
        }
    }
}

/// A change of a counter.
pub(super) fn adding(key: Key, by: i64) -> Op {
    Op::Other { key, function: "add".into(), argument: Value::Int(by) }
}

fn counter(op: &Op, _: ProcessId) -> Result<Op, String> {
    let by = |key: &Key, argument: &Value, sign: i64| match argument {
        Value::Nil => Ok(adding(key.clone(), sign)),
        Value::Int(n) if *n != i64::MIN => Ok(adding(key.clone(), sign * n)),
        other => Err(format!("a counter goes up by an integer, and not by {other}")),
    };
    match op {
        Op::Read { .. } => Ok(op.clone()),
        Op::Add { key, value: Value::Nil } => Err(format!("an add to counter {key} says not by how much")),
        Op::Add { key, value } => by(key, value, 1),
        Op::Other { key, function, argument } if &**function == "add" => by(key, argument, 1),
        Op::Other { key, function, argument } if function.starts_with("inc") => by(key, argument, 1),
        Op::Other { key, function, argument } if function.starts_with("dec") => by(key, argument, -1),
        other => Err(format!("a counter has no {}", other.name())),
    }
}

fn queue(op: &Op, _: ProcessId) -> Result<Op, String> {
    match op {
        Op::Other { function, argument: Value::Nil, .. } if &**function == "enqueue" => {
            Err("nil is what a dequeue answers that found nothing, so it cannot be enqueued".to_owned())
        }
        Op::Other { key, function, .. } if &**function == "dequeue" => {
            Ok(Op::Other { key: key.clone(), function: function.clone(), argument: Value::Nil })
        }
        other => Ok(other.clone()),
    }
}

/// What a dequeue says.
fn took(reply: Reply, nil_reads: NilReads) -> Outcome {
    match (reply, nil_reads) {
        (Reply::Value(Value::Nil) | Reply::Done, NilReads::Ignored) => {
            Outcome::Failed(jepsen::SAYS_NOTHING.to_owned())
        }
        (Reply::Done, NilReads::Exact) => Outcome::Ok(Reply::Value(Value::Nil)),
        (reply, _) => Outcome::Ok(reply),
    }
}

/// A dequeue that failed because there was nothing saw just that.
fn find_empty(events: &mut [Event], nil_reads: NilReads) {
    let mut open: FxHashMap<ProcessId, bool> = FxHashMap::default();
    for event in events {
        match &mut event.body {
            EventBody::Invoke(op) => drop(open.insert(event.process, op.name() == "dequeue")),
            EventBody::Complete(outcome) => {
                let dequeue = open.remove(&event.process) == Some(true);
                let empty = matches!(outcome, Outcome::Failed(why) if why.trim_start_matches(':') == "empty");
                if dequeue && empty && nil_reads == NilReads::Exact {
                    *outcome = Outcome::Ok(Reply::Value(Value::Nil));
                }
            }
        }
    }
}

/// Drains of unknown outcome stand for no more dequeues than these, which a small text could ask for without end.
const MOST_GUESSED: usize = 5_000_000;

/// A drain is as many dequeues as it answered elements; they overlap, each in a process of its own. One of unknown outcome
/// took at most all that anybody ever tried to enqueue.
fn expand_drains(events: &mut Vec<Event>) -> Result<(), Strange> {
    let calls = |name: &'static str| move |event: &&Event| matches!(&event.body, EventBody::Invoke(op) if op.name() == name);
    if !events.iter().any(|event| calls("drain")(&event)) {
        return Ok(());
    }
    let mut guessed = 0;
    let enqueued = events.iter().filter(calls("enqueue")).count();
    let mut fresh = events.iter().map(|event| event.process.0).max().unwrap_or(0) + 1;
    // The drain that each event belongs to, by the position of its call.
    let mut open: FxHashMap<ProcessId, usize> = FxHashMap::default();
    let mut ends: FxHashMap<usize, usize> = FxHashMap::default();
    for (at, event) in events.iter().enumerate() {
        match &event.body {
            EventBody::Invoke(op) if op.name() == "drain" => drop(open.insert(event.process, at)),
            EventBody::Invoke(_) => drop(open.remove(&event.process)),
            EventBody::Complete(_) => ends.extend(open.remove(&event.process).map(|call| (call, at))),
        }
    }
    let mut answers: FxHashMap<usize, Vec<Event>> = FxHashMap::default();
    let before = std::mem::take(events);
    for (at, event) in before.iter().enumerate() {
        if let Some(dequeues) = answers.remove(&at) {
            events.extend(dequeues);
            continue;
        }
        let EventBody::Invoke(op) = &event.body else {
            events.push(event.clone());
            continue;
        };
        if op.name() != "drain" {
            events.push(event.clone());
            continue;
        }
        let end = ends.get(&at).map(|&end| (end, &before[end]));
        let outcome = end.and_then(|(_, end)| match &end.body {
            EventBody::Complete(outcome) => Some(outcome),
            EventBody::Invoke(_) => None,
        });
        let taken: Vec<Option<Value>> = match outcome {
            Some(Outcome::Failed(_)) => Vec::new(),
            Some(Outcome::Ok(Reply::Value(Value::List(items)))) => items.iter().cloned().map(Some).collect(),
            Some(Outcome::Ok(Reply::Done | Reply::Value(Value::Nil))) => Vec::new(),
            Some(Outcome::Ok(other)) => {
                let why = format!("a drain answers the elements that it took, and not {other:?}");
                return Err(Strange { function: "drain".to_owned(), why });
            }
            Some(Outcome::Unknown(_)) | None => {
                guessed += enqueued;
                if guessed > MOST_GUESSED {
                    let why = format!(
                        "its drains of unknown outcome may each have taken any of {enqueued} elements, which are more than \
                         {MOST_GUESSED} dequeues together"
                    );
                    return Err(Strange { function: "drain".to_owned(), why });
                }
                vec![None; enqueued]
            }
        };
        let mut ending = Vec::new();
        for element in taken {
            let process = ProcessId(fresh);
            fresh += 1;
            let op = Op::Other { key: op.key().clone(), function: "dequeue".into(), argument: Value::Nil };
            events.push(Event { process, body: EventBody::Invoke(op), ..event.clone() });
            if let (Some(element), Some((_, end))) = (element, end) {
                let body = EventBody::Complete(Outcome::Ok(Reply::Value(element)));
                ending.push(Event { process, body, ..end.clone() });
            }
        }
        if let Some((end, _)) = end {
            answers.insert(end, ending);
        }
    }
    Ok(())
}

fn lock(op: &Op, owner: Value) -> Result<Op, String> {
    let function = match op.name() {
        "acquire" | "lock" => "acquire",
        "release" | "unlock" => "release",
        other => return Err(format!("a lock has no {other}")),
    };
    Ok(Op::Other { key: op.key().clone(), function: function.into(), argument: owner })
}

fn owned(op: &Op, process: ProcessId) -> Result<Op, String> {
    lock(op, Value::Int(process.0 as i64))
}

/// The token of an acquire: an integer, or the `:fence` of a map.
fn fence(reply: Reply) -> Result<Outcome, String> {
    let told = match reply {
        Reply::Value(told) => told,
        _ => Value::Nil,
    };
    let of_map = |told: &Value| {
        let mut entries = entries(told)?.into_iter();
        entries.find(|(name, _)| matches!(name, Value::Text(name) if &**name == "fence")).map(|entry| entry.1)
    };
    match of_map(&told).unwrap_or(told) {
        token @ Value::Int(_) => Ok(Outcome::Ok(Reply::Value(token))),
        Value::Nil => Ok(Outcome::Ok(Reply::Done)),
        other => Err(format!("a fenced lock answers a token, which is an integer, and not {other}")),
    }
}

/// The entries of a map.
pub(super) fn entries(value: &Value) -> Option<Vec<(Value, Value)>> {
    let Value::List(entries) = value else { return None };
    let entry = |entry: &Value| match entry {
        Value::List(pair) if pair.len() == 2 => Some((pair[0].clone(), pair[1].clone())),
        _ => None,
    };
    entries.iter().map(entry).collect()
}

fn step(function: &str, register: Value, value: Value) -> Value {
    Value::List(vec![Value::Text(function.into()), register, value])
}

/// One step as a tool spells it.
fn read_step(value: &Value) -> Option<Value> {
    let Value::List(parts) = value else { return None };
    let [Value::Text(function), register, value] = parts.as_slice() else { return None };
    match &**function {
        "r" | "read" => Some(step("r", register.clone(), value.clone())),
        "w" | "write" => Some(step("w", register.clone(), value.clone())),
        _ => None,
    }
}

/// Whether it is a list of steps `[r x 1]`, `[w x 1]`.
pub(super) fn are_steps(value: &Value) -> bool {
    matches!(value, Value::List(steps) if !steps.is_empty() && steps.iter().all(|s| read_step(s).is_some()))
}

/// A transaction that writes these registers.
pub(super) fn writing(key: Key, entries: Vec<(Value, Value)>) -> Op {
    let steps = entries.into_iter().map(|(register, value)| step("w", register, value)).collect();
    Op::Other { key, function: "txn".into(), argument: Value::List(steps) }
}

fn transaction(op: &Op) -> Result<Op, String> {
    let txn = |key: &Key, steps| Op::Other {
        key: key.clone(),
        function: "txn".into(),
        argument: Value::List(steps),
    };
    match op {
        Op::Read { key } => Ok(txn(key, Vec::new())),
        Op::Write { key, value } if entries(value).is_some() => {
            Ok(writing(key.clone(), entries(value).unwrap_or_default()))
        }
        Op::Write { key, value } | Op::Other { key, argument: value, .. } => match value {
            Value::List(steps) => {
                let steps = steps.iter().map(|step| read_step(step).ok_or_else(|| no_step(step)));
                Ok(txn(key, steps.collect::<Result<_, _>>()?))
            }
            other => Err(no_step(other)),
        },
        Op::Cas { key, expected, new } => match (entries(expected), entries(new)) {
            (Some(expected), Some(new)) => {
                let is = expected.into_iter().map(|(register, value)| step("is", register, value));
                let writes = new.into_iter().map(|(register, value)| step("w", register, value));
                Ok(txn(key, is.chain(writes).collect()))
            }
            _ => Err("the :cas of several registers is [{x 1} {x 2}]".to_owned()),
        },
        other => Err(format!("several registers have no {}", other.name())),
    }
}

fn no_step(value: &Value) -> String {
    format!(
        "{value} is no step of a transaction: it is [:r x nil] or [:w x 1], all of them in a vector, or a map"
    )
}

fn transacted(reply: Reply, nil_reads: NilReads) -> Result<Outcome, String> {
    let told = match reply {
        Reply::Value(Value::Nil) | Reply::Done => return Ok(Outcome::Ok(Reply::Done)),
        // Which of the registers differed is not told.
        Reply::Mismatch(_) => return Ok(Outcome::Failed("refused".to_owned())),
        Reply::Value(told) => told,
    };
    let mut steps = match (entries(&told), &told) {
        (Some(entries), _) => {
            entries.into_iter().map(|(register, value)| step("r", register, value)).collect()
        }
        (None, Value::List(steps)) => {
            let steps = steps.iter().map(|step| read_step(step).ok_or_else(|| no_step(step)));
            steps.collect::<Result<Vec<_>, _>>()?
        }
        (None, other) => return Err(no_step(other)),
    };
    if nil_reads == NilReads::Ignored {
        let silent = |step: &Value| {
            matches!(step, Value::List(parts)
            if matches!(parts.as_slice(), [Value::Text(f), _, Value::Nil] if &**f == "r"))
        };
        steps.retain(|step| !silent(step));
    }
    Ok(Outcome::Ok(Reply::Value(Value::List(steps))))
}

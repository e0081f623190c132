//! What a contradiction of single operations rests on: the order of time, what each answer says, and what would have to
//! be different.
//!
//! Invariant: whatever is said to make the operations hold was tried, on these operations alone, by the checker.

use checker::history::{Event, EventBody, History, Op, Operation, Outcome, Reply, Value};
use checker::linearizability;
use checker::verdict::{Budget, Verdict};

use super::{Actor, Material, Point, time};

/// The longest list of sentences under one heading.
const LINES: usize = 12;
/// With more operations than this nothing is tried.
const TRIED: usize = 16;
/// The most that one trial may look at its budget: these are a few operations.
const LOOKS: u32 = 64;
const MEMORY: usize = 1 << 26;

/// What forces the contradiction, and what would resolve it. `complete`: these are all its operations.
pub(super) fn points(actors: &[Actor], complete: bool, material: &Material<'_, '_>) -> Vec<Option<Point>> {
    let found: Option<Vec<&Operation<'_>>> =
        actors.iter().map(|actor| actor.operation.map(|at| &material.operations[at])).collect();
    let Some(core) = found.filter(|core| !core.is_empty()) else { return Vec::new() };
    let mut values: Vec<String> =
        core.iter().zip(actors).filter_map(|(o, a)| says(o, a, &core, actors)).collect();
    shorten(&mut values);
    let mut resolve = Vec::new();
    if complete && core.len() <= TRIED {
        resolve.extend(leaving_out(&core, actors, material));
        resolve.extend(other_answers(&core, actors, material));
    }
    vec![
        Point::new("What the order of time says", precedences(&core, actors, material)),
        Point::new("What the answers say", values),
        Point::new("What would make it hold", resolve),
    ]
}

/// What of the history was looked at.
pub(super) fn examined(material: &Material<'_, '_>) -> Vec<String> {
    let recorded = || material.operations.iter().filter(|o| !material.origin.is_added(o));
    let count = |keep: &dyn Fn(&Operation<'_>) -> bool| recorded().filter(|o| keep(o)).count();
    let answered = count(&|o| o.reply().is_some());
    if answered == 0 {
        return Vec::new();
    }
    let reads = count(&|o| o.op.is_read() && o.reply().is_some());
    let unknown = count(&|o| !o.failed() && o.reply().is_none());
    let keys: std::collections::BTreeSet<_> = recorded().map(|o| o.op.key()).collect();
    vec![
        format!("{answered} operations were answered, {reads} of them reads; {unknown} of unknown outcome"),
        format!(
            "{} {}, at most {} calls open at a time",
            keys.len(),
            if keys.len() == 1 { "key" } else { "keys" },
            open_at_once(material.operations)
        ),
    ]
}

/// The largest number of calls that were open at the same time, those of unknown outcome until they were given up.
fn open_at_once(operations: &[Operation<'_>]) -> usize {
    let mut ends = std::collections::BinaryHeap::new();
    let mut most = 0;
    for operation in operations {
        while ends.peek().is_some_and(|&std::cmp::Reverse(end)| end < operation.invoked.index) {
            ends.pop();
        }
        ends.push(std::cmp::Reverse(operation.completed.map_or(usize::MAX, |point| point.index)));
        most = most.max(ends.len());
    }
    most
}

fn shorten(lines: &mut Vec<String>) {
    let more = lines.len().saturating_sub(LINES);
    if more > 0 {
        lines.truncate(LINES);
        lines.push(format!("and {more} more like these"));
    }
}

/// Who ended before whom began, without what follows from the rest.
fn precedences(core: &[&Operation<'_>], actors: &[Actor], material: &Material<'_, '_>) -> Vec<String> {
    let before =
        |a: usize, b: usize| core[a].acknowledged().is_some_and(|end| end.index < core[b].invoked.index);
    let mut lines = Vec::new();
    for a in 0..core.len() {
        for b in 0..core.len() {
            let follows = (0..core.len()).any(|c| before(a, c) && before(c, b));
            if !before(a, b) || follows {
                continue;
            }
            let (name, other) = (&actors[a].letter, &actors[b].letter);
            lines.push(match (actors[a].who.as_str(), actors[a].end) {
                ("initially", _) | (_, None) => {
                    format!("{name} is before {other}: it is what the key held at first")
                }
                (_, Some(end)) => format!(
                    "{name} ended at {}, before {other} began at {}: so {name} comes first",
                    time(end, material.clock),
                    time(actors[b].start, material.clock)
                ),
            });
        }
    }
    let is_open = |(operation, _): &(&&Operation<'_>, &Actor)| operation.acknowledged().is_none();
    for (_, actor) in core.iter().zip(actors).filter(is_open) {
        let name = &actor.letter;
        lines.push(format!(
            "the outcome of {name} is unknown: it may take effect at any time after it began, or never"
        ));
    }
    shorten(&mut lines);
    lines
}

/// What the answer of one operation says of the key at its effect.
fn says(
    operation: &Operation<'_>,
    actor: &Actor,
    core: &[&Operation<'_>],
    actors: &[Actor],
) -> Option<String> {
    let name = &actor.letter;
    let origin = |value: &Value| origin(value, core, actors);
    match (operation.op, operation.reply()?) {
        (Op::Read { key }, Reply::Value(Value::List(_))) => Some(format!(
            "{name} saw the whole list {key}: exactly these elements were appended before it, in this order"
        )),
        (Op::Members { key }, Reply::Value(_)) => {
            Some(format!("{name} saw the whole set {key}: exactly these elements were added before it"))
        }
        (Op::Read { key }, Reply::Value(value)) => {
            Some(format!("{name} read {}: {key} held it at that moment, and {}", short(value), origin(value)))
        }
        (Op::Cas { key, expected, new }, Reply::Done) => Some(format!(
            "{name} swapped: {key} held {} just before it ({}) and {} just after it",
            short(expected),
            origin(expected),
            short(new)
        )),
        (Op::Cas { key, expected, .. }, Reply::Mismatch(found)) => Some(match found {
            Some(found) => {
                format!("{name} was refused: {key} held {} then, and {}", short(found), origin(found))
            }
            None => {
                format!("{name} was refused: {key} did not hold {} at some moment of it", short(expected))
            }
        }),
        _ => None,
    }
}

/// Who of these put the value there.
fn origin(value: &Value, core: &[&Operation<'_>], actors: &[Actor]) -> String {
    let puts = |operation: &Operation<'_>| match operation.op {
        Op::Write { value: put, .. } => put == value,
        Op::Cas { new, .. } => new == value && !matches!(operation.reply(), Some(Reply::Mismatch(_))),
        Op::Delete { .. } => *value == Value::Nil,
        _ => false,
    };
    let writers: Vec<&str> =
        core.iter().zip(actors).filter(|(o, _)| puts(o)).map(|(_, a)| a.letter.as_str()).collect();
    match (writers.as_slice(), value) {
        ([], Value::Nil) => "it is absent only before the first write".to_owned(),
        ([], _) => "none of these wrote it".to_owned(),
        (_, Value::Nil) => format!("it is absent at first and after {}", writers.join(", ")),
        ([only], _) => format!("of these only {only} wrote it"),
        (several, _) => format!("{} wrote it", several.join(" and ")),
    }
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

/// A history of these operations alone, some with another answer.
fn history<'h>(core: impl Iterator<Item = (&'h Operation<'h>, Option<Outcome>)>) -> History {
    let mut events: Vec<(usize, Event)> = Vec::new();
    for (operation, answer) in core {
        let event = |time, body| Event { time, process: operation.process, node: None, body };
        let invoked = operation.invoked;
        events.push((invoked.index, event(invoked.time, EventBody::Invoke(operation.op.clone()))));
        if let (Some(end), Some(outcome)) = (operation.completed, answer.or(operation.outcome.cloned())) {
            events.push((end.index, event(end.time, EventBody::Complete(outcome))));
        }
    }
    events.sort_by_key(|(index, _)| *index);
    History { events: events.into_iter().map(|(_, event)| event).collect() }
}

fn can_be_explained(history: &History, material: &Material<'_, '_>) -> bool {
    let looks = std::sync::atomic::AtomicU32::new(0);
    let expired = || looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed) > LOOKS;
    let budget = Budget { expired: &expired, memory_bytes: MEMORY };
    let verdict =
        linearizability::check_specification(history, material.specification, material.failed_cas, &budget);
    matches!(verdict, Verdict::Holds(_))
}

/// Which operation must not have been there.
fn leaving_out(core: &[&Operation<'_>], actors: &[Actor], material: &Material<'_, '_>) -> Option<String> {
    let without = |out: usize| {
        let others = core.iter().enumerate().filter(|(at, _)| *at != out);
        can_be_explained(&history(others.map(|(_, o)| (*o, None))), material)
    };
    let needed: Vec<&str> =
        (0..core.len()).filter(|&at| without(at)).map(|at| actors[at].letter.as_str()).collect();
    match needed.len() {
        0 => None,
        all if all == core.len() => {
            Some("any one of these operations less: each is needed for the contradiction".to_owned())
        }
        _ => Some(format!("without {} the others can be explained", needed.join(", or without "))),
    }
}

/// What the reads would have had to see.
fn other_answers(core: &[&Operation<'_>], actors: &[Actor], material: &Material<'_, '_>) -> Vec<String> {
    let mut values: Vec<Value> = vec![Value::Nil];
    for operation in core {
        match operation.op {
            Op::Write { value, .. } => values.push(value.clone()),
            Op::Cas { expected, new, .. } => values.extend([expected.clone(), new.clone()]),
            _ => {}
        }
    }
    values.sort();
    values.dedup();
    let mut lines = Vec::new();
    for (at, actor) in actors.iter().enumerate() {
        let (Op::Read { .. }, Some(Reply::Value(seen))) = (core[at].op, core[at].reply()) else { continue };
        if matches!(seen, Value::List(_)) {
            continue;
        }
        let holds = |value: &&Value| {
            let answer = Outcome::Ok(Reply::Value((*value).clone()));
            let changed = core.iter().enumerate();
            let changed = changed.map(|(other, o)| (*o, (other == at).then(|| answer.clone())));
            *value != seen && can_be_explained(&history(changed), material)
        };
        let fitting: Vec<String> = values.iter().filter(holds).map(short).collect();
        if !fitting.is_empty() {
            lines.push(format!(
                "{} reading {} instead of {}",
                actor.letter,
                fitting.join(" or "),
                short(seen)
            ));
        }
    }
    shorten(&mut lines);
    lines
}

//! `steps:` a choreography, and the `procedures:` that it calls.
//!
//! Invariant: names are followed in the order of the text, so that nothing is used before a step could have set it; a
//! procedure is read once for each call, with the types of its arguments, and put in its place. What a step needs of the
//! system is checked here, before anything starts. The page for authors is docs/questions.md. Deliberately absent: doing.

mod args;
mod edits;
mod flow;
mod network;
mod operations;
mod orders;
mod processes;

use std::collections::{BTreeMap, BTreeSet};

use super::super::diagnostics::{Diagnostic, Diagnostics, Place};
use super::super::fields::{Fields, scalar};
use super::super::suggest;
use super::super::tree::{Entry, Node, Value};
use super::super::vocabulary::Vocabulary;
use super::system::System;
use super::time;
use crate::script::check::{Names, World};
use crate::script::expr::Function;
use crate::script::model::{Finish, Script, Step, Verb};

/// How long a wait may take where the suite says nothing.
pub(in super::super) const WITHIN: &str = "5s";
/// How long the operations of steps may take where the suite says nothing.
pub(in super::super) const OP_TIMEOUT: &str = "1s";
/// How deep procedures may call one another.
const CALLS_MAX: usize = 16;
/// The most steps of a suite, procedures put in their places.
const STEPS_MAX: usize = 10_000;

/// Whether a suite is a choreography.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Scripted {
    /// It has `steps`.
    Yes,
    /// It has not.
    No,
}

/// What could be read of the choreography. The inner `None` of `value` is a suite without one.
pub(super) struct Steps {
    pub(super) value: Option<Option<Script>>,
}

impl Steps {
    /// The labels of all steps; none without steps, and `None` where those could not be read.
    pub(super) fn labels(&self) -> Option<BTreeSet<&str>> {
        let mut labels = BTreeSet::new();
        if let Some(script) = self.value.as_ref()? {
            script.walk(&mut |step| labels.extend(step.label.as_deref()));
        }
        Some(labels)
    }
}

/// Whether the file has steps.
pub(super) fn scripted(root: &Node) -> Scripted {
    match &root.value {
        Value::Map(entries) if entries.iter().any(|entry| entry.key == "steps") => Scripted::Yes,
        _ => Scripted::No,
    }
}

pub(super) fn read(
    suite: &mut Fields<'_>,
    scripted: Scripted,
    system: &System<'_>,
    vocabulary: &Vocabulary,
    out: &mut Diagnostics,
) -> Steps {
    let Some(entry) = suite.take("steps").filter(|_| scripted == Scripted::Yes) else {
        return Steps { value: Some(None) };
    };
    let before = out.len();
    let procedures = suite.take("procedures").map(|entry| procedures(entry, out)).unwrap_or_default();
    let within = time(suite, "within", Some(WITHIN), out);
    let op_timeout = time(suite, "op-timeout", Some(OP_TIMEOUT), out);
    let finish = finish(suite, out);
    let mut steps = Steps { value: None };
    let mut reader = Reader::new(system, vocabulary, procedures);
    let read = reader.steps(&entry.value, out);
    if read.as_ref().is_some_and(Vec::is_empty) {
        out.push(Diagnostic::new(entry.key_place.clone(), "a choreography without a step does nothing"));
    }
    reader.uncalled(out);
    if let (Some(read), Some(within), Some(op_timeout), Some(finish)) = (read, within, op_timeout, finish)
        && out.len() == before
    {
        let script =
            Script { steps: read, finish, within_ns: within.ns, op_timeout_ns: op_timeout.ns.max(1_000_000) };
        steps.value = Some(Some(script));
    }
    steps
}

/// Refuses what stands beside steps and has no meaning there.
pub(super) fn refuse(root: &Node, out: &mut Diagnostics) {
    let Value::Map(entries) = &root.value else { return };
    for entry in entries.iter().filter(|entry| matches!(entry.key.as_str(), "faults" | "duration")) {
        let message = format!("a suite with `steps` has no `{}`", entry.key);
        let help = match entry.key.as_str() {
            "faults" => {
                "a step begins a fault: `- fault: { network: { target: n1, delay: 50ms } }` with a `label`"
            }
            _ => "it ends when its steps have ended",
        };
        out.push(Diagnostic::new(entry.key_place.clone(), message).label("remove this").help(help));
    }
}

fn finish(suite: &mut Fields<'_>, out: &mut Diagnostics) -> Option<Finish> {
    let Some(entry) = suite.take("finish") else { return Some(Finish::Heal) };
    let text = &scalar(&entry.value, "`heal` or `as-is`", out)?.text;
    super::super::settings::word(&entry.value, text, &["heal", "as-is"], "finish", out).map(|word| match word
    {
        "as-is" => Finish::AsIs,
        _ => Finish::Heal,
    })
}

/// A procedure that can be called.
#[derive(Clone)]
struct Procedure<'n> {
    takes: Vec<&'n str>,
    steps: &'n Node,
    place: &'n Place,
}

fn procedures<'n>(entry: &'n Entry, out: &mut Diagnostics) -> BTreeMap<&'n str, Procedure<'n>> {
    let Value::Map(entries) = &entry.value.value else {
        let message = format!("`procedures` is a map from names to steps, not {}", entry.value.kind());
        out.push(Diagnostic::new(entry.value.place.clone(), message));
        return BTreeMap::new();
    };
    entries.iter().filter_map(|entry| Some((entry.key.as_str(), procedure(entry, out)?))).collect()
}

fn procedure<'n>(entry: &'n Entry, out: &mut Diagnostics) -> Option<Procedure<'n>> {
    let mut fields = Fields::of(&entry.value, format!("`{}`", entry.key), out)?.at(entry.key_place.clone());
    let takes = fields.take("takes").map_or(&[][..], |takes| super::super::fields::items(&takes.value));
    let takes: Option<Vec<&str>> =
        takes.iter().map(|node| Some(scalar(node, "the name of an argument", out)?.text.as_str())).collect();
    let steps = fields.require("steps", "steps: [{ campaign: node }]", out);
    fields.finish(out);
    Some(Procedure { takes: takes?, steps: &steps?.value, place: &entry.key_place })
}

/// Reads steps, and follows the names that they set.
struct Reader<'r, 'n> {
    system: &'r System<'r>,
    vocabulary: &'r Vocabulary,
    procedures: BTreeMap<&'n str, Procedure<'n>>,
    called: BTreeSet<&'n str>,
    /// The calls that are being put in their places.
    calls: Vec<String>,
    names: Names,
    /// Labels of faults, which can be healed.
    faults: BTreeSet<String>,
    /// Copies of data that have been made.
    copies: BTreeSet<String>,
    count: usize,
}

/// The verb of a step and its value.
struct Given<'n> {
    verb: &'static str,
    place: &'n Place,
    value: &'n Node,
}

/// Reads what stands behind a verb.
type ReadVerb<'r, 'n> =
    fn(&mut Reader<'r, 'n>, &Given<'n>, &mut Fields<'n>, &mut Diagnostics) -> Option<Verb>;

/// Keys that stand beside a verb.
pub(in super::super) const BESIDE: [&str; 9] =
    ["label", "note", "within", "for", "then", "else", "do", "until", "with"];

/// All verbs, in the order of the page, with a sentence and an example.
pub(in super::super) const VERBS: &[(&str, &str)] = &[
    ("kill", "Sends SIGKILL: `kill: n1`."),
    ("stop", "Sends SIGTERM and waits: `stop: n1`."),
    ("start", "Starts a node that is down, on its data: `start: { node: n1, rules: { pre_vote: full } }`."),
    ("start-twin", "Starts a second process for a node on a spare host: `start-twin: { node: n4, of: n1 }`."),
    ("restart", "Kills a node and starts it: `restart: n1`."),
    ("pause", "Sends SIGSTOP: `pause: n1`."),
    ("resume", "Sends SIGCONT: `resume: n1`."),
    ("power-loss", "Kills nodes, and what they had not synced is gone: `power-loss: [n1, n2]`."),
    ("crash-at", "Lets a node kill itself at a failpoint: `crash-at: { node: n1, point: mid_apply }`."),
    ("hold-at", "Lets a node stand still at a failpoint: `hold-at: { node: n1, point: before_fsync }`."),
    ("release", "Lets a node go on that stands at a failpoint: `release: n1`."),
    ("cut", "Cuts links: `cut: n1 <-> n3`, `cut: n1 -> clients`."),
    ("isolate", "Cuts a node from all others: `isolate: n1`."),
    ("partition", "Cuts nodes that stand in no common group: `partition: [[n1, n2], [n3]]`."),
    ("heal", "Heals links, or ends a fault: `heal: n1 <-> n3`, `heal: n1`, `heal: all`, `heal: LABEL`."),
    (
        "fault",
        "Begins any fault of `raftcheck list faults`: `fault: { network: { target: n1, delay: 50ms } }` with a `label`.",
    ),
    (
        "hold-messages",
        "Holds messages of the Raft protocol back: `hold-messages: { type: vote-reply, to: n1 }` with a `label`.",
    ),
    ("drop-messages", "Drops them: `drop-messages: { type: heartbeat, from: n1, to: n2, count: 3 }`."),
    ("duplicate-messages", "Lets them arrive twice: `duplicate-messages: { type: vote-reply, to: n1 }`."),
    ("delay-messages", "Lets them arrive later: `delay-messages: { to: n1, by: 50ms }`."),
    (
        "record-messages",
        "Keeps copies of them: `record-messages: { type: append-entries, to: n2 }` with a `label`.",
    ),
    ("release-messages", "Lets held messages go on: `release-messages: LABEL`."),
    ("discard-messages", "Drops held messages: `discard-messages: LABEL`."),
    ("replay-messages", "Lets recorded messages arrive again: `replay-messages: LABEL`."),
    ("campaign", "Tells a node to stand for election: `campaign: n1`."),
    ("transfer", "Tells a leader to hand leadership over: `transfer: { from: n1, to: n2 }`."),
    ("snapshot", "Tells a node to take a snapshot: `snapshot: n1`."),
    ("timers", "Says whether elections begin by themselves: `timers: manual`, `timers: armed`."),
    ("hold-fsync", "Lets the syncs of a node's log wait: `hold-fsync: n1`."),
    ("release-fsync", "Lets them go on: `release-fsync: n1`."),
    ("poke", "Overwrites what a leader believes of a follower: `poke: { at: n1, of: n2, next-index: 1 }`."),
    ("add-member", "Adds a member: `add-member: { at: n1, node: n4, part: learner }`."),
    ("promote", "Makes a learner a voter: `promote: { at: n1, node: n4 }`."),
    ("remove-member", "Removes a member: `remove-member: { at: n1, node: n2 }`."),
    ("change-members", "Makes these nodes the voters: `change-members: { at: n1, to: [n1, n4, n5] }`."),
    ("lose-vote", "Takes the vote of a node that is down: `lose-vote: n2`."),
    ("lose-term", "Takes its term and vote: `lose-term: n2`."),
    ("edit-hard-state", "Sets its term and vote: `edit-hard-state: { node: n2, term: 7, voted-for: none }`."),
    ("truncate-log", "Removes its last entries: `truncate-log: { node: n2, entries: 1 }`."),
    ("seed-log", "Replaces its log by entries of these terms: `seed-log: { node: n1, terms: [1, 1, 4] }`."),
    ("corrupt-record", "Flips a bit of an entry: `corrupt-record: { node: n1, index: 3 }`."),
    ("torn-write", "Leaves a part of the last write: `torn-write: { node: n1, keep: 20 }`."),
    ("wipe", "Removes everything that it has stored: `wipe: n2`."),
    ("copy-data", "Keeps a copy of what it has stored: `copy-data: { node: n1, to: yesterday }`."),
    ("restore-data", "Puts a copy in its place: `restore-data: { node: n2, from: yesterday, of: n1 }`."),
    ("swap-data", "Exchanges what two nodes have stored: `swap-data: { node: n1, with: n2 }`."),
    ("flip-bits", "Flips bits of a file: `flip-bits: { node: n1, file: wal/*, bits: 1 }`."),
    ("delete-file", "Removes a file: `delete-file: { node: n1, file: wal/* }`."),
    ("put", "Writes: `put: { at: n1, key: k, value: 1, expect: ok }`."),
    ("poison", "Writes what some replicas cannot apply: `poison: { at: n1, key: k, value: 1, only: n2 }`."),
    ("get", "Reads: `get: { at: n1, key: k }`."),
    ("delete", "Removes a key: `delete: { key: k }`."),
    ("cas", "Compares and sets: `cas: { key: k, from: 1, to: 2 }`."),
    ("append", "Appends to a list: `append: { key: l, value: 1 }`."),
    ("add", "Adds to a set: `add: { key: s, value: 1 }`."),
    ("members", "Reads a set: `members: { key: s }`."),
    ("lock", "Takes a lock: `lock: { at: n1, key: l, client: a, ttl: 300ms, as: t }`."),
    ("unlock", "Gives a lock back: `unlock: { key: l, client: a }`."),
    ("begin", "Begins an operation or an order and goes on: `begin: { put: { key: k, value: 1 }, as: w }`."),
    ("retry", "Sends an operation again under its number: `retry: { op: w, at: n2 }`."),
    ("wait", "Waits for a condition: `wait: role(n1) = leader@1` with `within`, `for`, `then`, `else`."),
    ("assert", "Demands a condition: `assert: term(n1) = 1`."),
    ("if", "Decides: `if: role(n1) = leader` with `then`, `else`."),
    ("let", "Binds names: `let: { L: leader() }`."),
    ("repeat", "Does steps again: `repeat: 3` with `do`, `until`."),
    ("for-each", "Does steps for each node: `for-each: { F: others(n1) }` with `do`."),
    ("parallel", "Does lists of steps side by side: `parallel: [[...], [...]]`."),
    ("call", "Does the steps of a procedure: `call: elect` with `with: { node: n1 }`."),
];

/// The names of all verbs.
pub(in super::super) fn verbs() -> Vec<&'static str> {
    VERBS.iter().map(|(verb, _)| *verb).collect()
}

impl<'r, 'n> Reader<'r, 'n> {
    fn new(
        system: &'r System<'r>,
        vocabulary: &'r Vocabulary,
        procedures: BTreeMap<&'n str, Procedure<'n>>,
    ) -> Self {
        Self {
            system,
            vocabulary,
            procedures,
            called: BTreeSet::new(),
            calls: Vec::new(),
            names: Names::default(),
            faults: BTreeSet::new(),
            copies: BTreeSet::new(),
            count: 0,
        }
    }

    fn world(&self) -> World<'_> {
        let entry = self.system.entry;
        World {
            names: &self.names,
            nodes: self.system.hosts(),
            points: entry.map_or(&[], |entry| entry.failpoints),
            tells: entry.map_or(everything, |entry| entry.tells),
            system: entry.map_or("the system", |entry| entry.entry.name),
        }
    }

    /// A list of steps, each read even if an earlier one is wrong.
    fn steps(&mut self, node: &'n Node, out: &mut Diagnostics) -> Option<Vec<Step>> {
        match &node.value {
            Value::List(items) => {
                let read: Vec<Option<Step>> = items.iter().map(|item| self.step(item, out)).collect();
                read.into_iter().collect()
            }
            Value::Null => Some(Vec::new()),
            _ => {
                let message = format!("expected a list of steps, not {}", node.kind());
                let help = "begin each step with a `-`: `- campaign: n1`";
                out.push(Diagnostic::new(node.place.clone(), message).help(help));
                None
            }
        }
    }

    fn step(&mut self, node: &'n Node, out: &mut Diagnostics) -> Option<Step> {
        self.count += 1;
        if self.count > STEPS_MAX {
            let message =
                format!("the choreography has more than {STEPS_MAX} steps, calls put in their places");
            out.push(Diagnostic::new(node.place.clone(), message));
            return None;
        }
        let Value::Map(entries) = &node.value else {
            let message = format!("a step is a verb and what it is done to, not {}", node.kind());
            out.push(Diagnostic::new(node.place.clone(), message).help("write for example `- campaign: n1`"));
            return None;
        };
        let given = self.verb(node, entries, out)?;
        let before = out.len();
        let mut fields = Fields::of(node, "this step", out)?.at(given.place.clone());
        fields.take(given.verb);
        let label = fields.take("label").and_then(|entry| self.fresh(&entry.value, "a label", out));
        let note =
            fields.take("note").and_then(|entry| Some(scalar(&entry.value, "a sentence", out)?.text.clone()));
        let within_ns = match fields.take("within") {
            None => None,
            Some(entry) => Some(args::duration(&entry.value, "within", out)?),
        };
        let verb = reader_of(given.verb)(self, &given, &mut fields, out);
        fields.finish(out);
        self.set_label(label.as_deref(), verb.as_ref(), &given, out);
        let verb = verb.filter(|_| out.len() == before)?;
        let text = format!("{}: {}", given.verb, args::shown(given.value));
        // The place of the verb; `number_lines` makes a line of it.
        Some(Step { line: given.place.range.start, text, label, note, within_ns, verb })
    }

    /// The one key of a step that is its verb.
    fn verb(&self, node: &'n Node, entries: &'n [Entry], out: &mut Diagnostics) -> Option<Given<'n>> {
        let all = verbs();
        let is_verb = |entry: &&Entry| all.contains(&entry.key.as_str());
        let mut found = entries.iter().filter(is_verb);
        match (found.next(), found.next()) {
            (Some(entry), None) => {
                let verb = all.into_iter().find(|verb| *verb == entry.key)?;
                Some(Given { verb, place: &entry.key_place, value: &entry.value })
            }
            (Some(first), Some(second)) => {
                let message =
                    format!("a step has one verb, and this has two: `{}` and `{}`", first.key, second.key);
                let help = format!("begin the next step with a `-` of its own: `- {}: ...`", second.key);
                out.push(
                    Diagnostic::new(second.key_place.clone(), message).label("the second verb").help(help),
                );
                None
            }
            (None, _) => {
                let strange = entries.iter().find(|entry| !BESIDE.contains(&entry.key.as_str()));
                match strange {
                    None => {
                        out.push(
                            Diagnostic::new(node.place.clone(), "this step has no verb")
                                .help("write for example `- campaign: n1`"),
                        );
                    }
                    Some(entry) => {
                        let label = suggest::did_you_mean(&entry.key, &all)
                            .unwrap_or_else(|| "unknown verb".to_owned());
                        let message = format!("there is no verb `{}`", entry.key);
                        let help = "the verbs are listed in docs/questions.md, and by `raftcheck list steps`";
                        out.push(Diagnostic::new(entry.key_place.clone(), message).label(label).help(help));
                    }
                }
                None
            }
        }
    }

    /// Makes the label of a step known to the steps behind it.
    fn set_label(
        &mut self,
        label: Option<&str>,
        verb: Option<&Verb>,
        given: &Given<'_>,
        out: &mut Diagnostics,
    ) {
        let needs = matches!(verb, Some(Verb::Fault { .. }))
            || matches!(given.verb, "hold-messages" | "record-messages");
        match label {
            None if needs => {
                let help = "write for example `label: slow` beside it, and end it with that name";
                let message = format!("a step `{}` needs a label", given.verb);
                out.push(Diagnostic::new(given.place.clone(), message).help(help));
            }
            None => {}
            Some(label) => {
                self.names.labels.insert(label.to_owned());
                match verb {
                    Some(Verb::Fault { .. }) => drop(self.faults.insert(label.to_owned())),
                    Some(Verb::Messages { .. }) => drop(self.names.messages.insert(label.to_owned())),
                    _ => {}
                }
            }
        }
    }

    /// A name that the author gives: a word that means nothing else.
    fn fresh(&self, node: &Node, what: &str, out: &mut Diagnostics) -> Option<String> {
        let text = &scalar(node, what, out)?.text;
        if let Err(why) = args::is_name(text) {
            out.push(Diagnostic::new(node.place.clone(), format!("`{text}` cannot be {what}")).label(why));
            return None;
        }
        Some(text.clone())
    }

    /// Procedures that nobody calls are read all the same, with arguments of any type.
    fn uncalled(&mut self, out: &mut Diagnostics) {
        let left: Vec<(&str, Procedure<'n>)> = self
            .procedures
            .iter()
            .filter(|(name, _)| !self.called.contains(*name))
            .map(|(name, procedure)| (*name, procedure.clone()))
            .collect();
        for (name, procedure) in left {
            let message = format!("no step calls the procedure `{name}`");
            out.push(Diagnostic::new(procedure.place.clone(), message).label("remove it, or call it"));
        }
    }
}

fn everything(_: Function) -> bool {
    true
}

/// Who reads what stands behind this verb.
fn reader_of<'r, 'n>(verb: &str) -> ReadVerb<'r, 'n> {
    match verb {
        "kill" | "stop" | "pause" | "resume" => Reader::signal,
        "start" | "restart" => Reader::start,
        "start-twin" => Reader::start_twin,
        "power-loss" => Reader::power_loss,
        "crash-at" | "hold-at" => Reader::failpoint,
        "release" => Reader::release,
        "cut" => Reader::cut,
        "isolate" => Reader::isolate,
        "partition" => Reader::partition,
        "heal" => Reader::heal,
        "fault" => Reader::fault,
        "hold-messages" | "drop-messages" | "duplicate-messages" | "delay-messages" | "record-messages" => {
            Reader::messages
        }
        "release-messages" | "discard-messages" | "replay-messages" => Reader::held,
        "campaign" | "snapshot" | "hold-fsync" | "release-fsync" => Reader::plain_order,
        "transfer" => Reader::transfer,
        "timers" => Reader::timers,
        "poke" => Reader::poke,
        "add-member" | "promote" | "remove-member" => Reader::member,
        "change-members" => Reader::change_members,
        "lose-vote" | "lose-term" | "wipe" => Reader::plain_edit,
        "edit-hard-state" | "truncate-log" | "seed-log" | "corrupt-record" | "torn-write" => Reader::log_edit,
        "copy-data" | "restore-data" | "swap-data" | "flip-bits" | "delete-file" => Reader::data_edit,
        "begin" => Reader::begin,
        "retry" => Reader::retry,
        "wait" => Reader::wait,
        "assert" => Reader::assert,
        "if" => Reader::decide,
        "let" => Reader::bind,
        "repeat" => Reader::repeat,
        "for-each" => Reader::for_each,
        "parallel" => Reader::parallel,
        "call" => Reader::call,
        _ => Reader::operation,
    }
}

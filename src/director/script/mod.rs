//! Plays a choreography: what happened, and when -> what to do next. Pure, in virtual time.
//!
//! The timeline tells it what it sees ([`News`]) and does what comes back ([`Todo`]). Invariant: a step is taken only after the
//! one before it is done; a wait is fulfilled only by what was asked for after it began; and whatever does not come about in
//! time ends the choreography as [`Missed`], with the step and what was known then. Deliberately absent: verdicts.

mod calls;
mod deed;
mod last;
mod program;
mod taken;
mod threads;

use std::collections::{BTreeMap, BTreeSet};

use checker::history::{Key, Op, Outcome, ProcessId};
use cluster::client::Place;
use cluster::levers::ProcessState;
use cluster::system::{NodeId, Role, View, WriteMode};
use cluster::view::Vote;
use serde::{Deserialize, Serialize};

pub use deed::{Attempt, Deed, Edit, Invocation, Taken, TakenOutcome};
pub use last::LastClient;

use super::Nanos;
use crate::script::model::Script;
use crate::script::scene::{Scene, Seen, TraceLine};
use program::Program;
use taken::BegunOrder;
use threads::Thread;

/// What the timeline tells.
#[derive(Clone, Debug)]
pub enum News {
    /// A node was asked about itself.
    Seen {
        /// Which.
        node: NodeId,
        /// When it was asked.
        asked: Nanos,
        /// What it said, if it answered.
        view: Option<Box<View>>,
        /// Its process when it was asked.
        process: ProcessState,
    },
    /// The process of a node has changed.
    Process {
        /// Which.
        node: NodeId,
        /// Its process now.
        process: ProcessState,
    },
    /// What a deed came to.
    Taken {
        /// The number of the deed.
        ticket: u64,
        /// How it ended.
        taken: Taken,
    },
    /// An attempt of an operation has ended.
    Ended {
        /// The number of the operation.
        number: u64,
        /// How.
        outcome: Outcome,
    },
    /// The traces were read up to now; these lines are new.
    Traced {
        /// Which.
        lines: Vec<(NodeId, TraceLine)>,
    },
}

/// What the timeline has to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Todo {
    /// Do this, and tell [`News::Taken`].
    Take {
        /// Its number.
        ticket: u64,
        /// What.
        deed: Deed,
    },
    /// Call this, and tell [`News::Ended`].
    Invoke(Invocation),
    /// Write this into the story of the run.
    Tell(StoryLine),
}

/// One line of the story of a choreography: `steps.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoryLine {
    /// When the step began, in nanoseconds since the start of the run.
    pub from: Nanos,
    /// When it was done.
    pub t: Nanos,
    /// The line of the suite file.
    pub line: usize,
    /// The step in short.
    pub step: String,
    /// Its label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What it is for, in the words of the author.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What was seen.
    pub seen: String,
    /// Whether it came about.
    pub came: Came,
}

impl StoryLine {
    /// One line for people.
    pub fn text(&self) -> String {
        let seen = if self.seen.is_empty() { String::new() } else { format!(": {}", self.seen) };
        match self.came {
            Came::Done => format!("{}{seen}", self.step),
            Came::Otherwise => format!("{} did not come about{seen}", self.step),
            Came::Missed => format!("{} was missed{seen}", self.step),
        }
    }
}

/// Whether a step came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Came {
    /// It did.
    Done,
    /// It did not, and the choreography goes on elsewhere.
    Otherwise,
    /// It did not, and the choreography ends.
    Missed,
}

/// Why a choreography did not come about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    /// The line of the suite file.
    pub line: usize,
    /// The step in short.
    pub step: String,
    /// What was awaited, and what was there instead.
    pub why: String,
    /// The last view of every node.
    pub views: Vec<String>,
}

/// How far a choreography is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Steps are left.
    Going,
    /// All of them are done.
    Done,
    /// It did not come about.
    Missed,
}

/// What the timeline should look at as often as it can.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// These nodes.
    pub nodes: BTreeSet<NodeId>,
    /// Whether the traces, too.
    pub trace: bool,
}

/// How often an open wait is looked at if nothing happens.
const TICK: Nanos = 2_000_000;
/// The first process id of operations of steps.
const PROCESSES_FROM: u64 = 1;
/// The first session of operations that can be repeated; those of clients are counted from 1.
const SESSIONS_FROM: u64 = 1 << 32;

/// A choreography that is being played.
pub struct Player {
    program: Program,
    within_ns: Nanos,
    op_timeout_ns: Nanos,
    scene: Scene,
    threads: Vec<Thread>,
    tickets: u64,
    /// Orders in the background, by the numbers of their deeds.
    orders: BTreeMap<u64, BegunOrder>,
    operations: BTreeMap<u64, Operation>,
    clients: BTreeMap<String, NamedClient>,
    first_process: u64,
    missed: Option<Missed>,
}

/// A client that several operations belong to.
struct NamedClient {
    /// Under which process it calls; a new one is due where there is none.
    process: Option<ProcessId>,
    /// Its open operation.
    open: Option<u64>,
    /// The session of its writes.
    session: u64,
    /// How many of them there were.
    written: u64,
}

/// What is known of an operation beside its outcome.
struct Operation {
    name: Option<String>,
    op: Op,
    process: ProcessId,
    client: Option<String>,
    attempt: Attempt,
    /// Under which number it is sent.
    place: Option<Place>,
    write_mode: WriteMode,
    timeout_ns: Nanos,
    /// How it ended.
    outcome: Option<Outcome>,
    /// An attempt got no definite answer.
    unanswered: bool,
}

impl Player {
    /// A choreography on so many nodes and spare hosts. Processes of operations are counted from `first_process`.
    pub fn new(script: &Script, nodes: u16, spares: u16, first_process: u64) -> Self {
        let mut scene = Scene { members: (1..=nodes).map(NodeId).collect(), ..Scene::default() };
        for number in 1..=nodes + spares {
            let process = if number <= nodes { ProcessState::Running } else { ProcessState::Down };
            scene.nodes.insert(NodeId(number), Seen { process, ..Seen::default() });
        }
        Self {
            program: Program::of(script),
            within_ns: script.within_ns,
            op_timeout_ns: script.op_timeout_ns,
            scene,
            threads: vec![Thread::at(0, None)],
            tickets: 0,
            orders: BTreeMap::new(),
            operations: BTreeMap::new(),
            clients: BTreeMap::new(),
            first_process: first_process.max(PROCESSES_FROM),
            missed: None,
        }
    }

    /// Begins, or goes on because a time has come.
    pub fn tick(&mut self, now: Nanos, out: &mut Vec<Todo>) {
        self.go_on(now, out);
    }

    /// Takes note of something and goes on.
    pub fn hear(&mut self, now: Nanos, news: News, out: &mut Vec<Todo>) {
        self.note(now, news, out);
        self.go_on(now, out);
    }

    /// Takes note of something, and of no step: what is told before the first one begins.
    pub fn note(&mut self, now: Nanos, news: News, out: &mut Vec<Todo>) {
        match news {
            News::Seen { node, asked, view, process } => {
                if let Some(seen) = self.scene.nodes.get_mut(&node) {
                    seen.view = view.map(|view| *view);
                    seen.asked = Some(asked);
                    // A change that was told since then is newer.
                    if seen.process_at <= asked {
                        seen.process = process;
                        seen.process_at = asked;
                    }
                }
            }
            News::Process { node, process } => {
                if let Some(seen) = self.scene.nodes.get_mut(&node) {
                    seen.process = process;
                    seen.process_at = now;
                }
            }
            News::Taken { ticket, taken } => self.taken(now, ticket, taken, out),
            News::Ended { number, outcome } => self.ended(number, outcome),
            News::Traced { lines } => {
                for (node, line) in lines {
                    self.scene.trace.entry(node).or_default().push(line);
                }
                self.scene.trace_read = now;
            }
        }
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        match (&self.missed, self.threads.first()) {
            (Some(_), _) => Progress::Missed,
            (None, Some(thread)) if !thread.is_over() => Progress::Going,
            _ => Progress::Done,
        }
    }

    /// Why it did not come about, if it did not.
    pub fn missed(&self) -> Option<&Missed> {
        self.missed.as_ref()
    }

    /// What an open wait depends on.
    pub fn wants(&self) -> Wants {
        let mut wants = Wants::default();
        if self.progress() == Progress::Going {
            self.threads.iter().for_each(|thread| self.wants_of(thread, &mut wants));
        }
        wants
    }

    /// All nodes of the beginning.
    pub fn everybody(&self) -> Wants {
        Wants { nodes: self.scene.members.clone(), trace: false }
    }

    /// When to come back if nothing happens.
    pub fn next_due(&self, now: Nanos) -> Option<Nanos> {
        let open = self.progress() == Progress::Going && self.threads.iter().any(Thread::is_looking);
        open.then_some(now.saturating_add(TICK))
    }

    /// The reads that show everything that the operations ever touched.
    pub fn final_reads(&self) -> Vec<Op> {
        let mut reads: Vec<Op> = Vec::new();
        let of_lock = self.operations.values().filter(|operation| matches!(operation.op, Op::Other { .. }));
        let locks: BTreeSet<Key> = of_lock.map(|operation| operation.op.key().clone()).collect();
        for operation in self.operations.values() {
            let key = operation.op.key().clone();
            let read = match &operation.op {
                Op::Add { .. } | Op::Members { .. } => Op::Members { key },
                _ => Op::Read { key },
            };
            // Who has a lock in the end is nothing that anybody wrote.
            let is_lock = locks.contains(operation.op.key());
            if !is_lock && !reads.contains(&read) {
                reads.push(read);
            }
        }
        reads
    }

    fn ended(&mut self, number: u64, outcome: Outcome) {
        let Some(operation) = self.operations.get_mut(&number) else { return };
        let ends = match operation.attempt {
            Attempt::Only => true,
            Attempt::First => !matches!(outcome, Outcome::Unknown(_)),
            Attempt::Later => matches!(outcome, Outcome::Ok(_)),
        };
        if ends {
            operation.outcome = Some(outcome.clone());
        }
        operation.unanswered = !ends;
        let known = crate::script::scene::Operation { outcome: operation.outcome.clone(), unanswered: !ends };
        let (name, client) = (operation.name.clone(), operation.client.clone());
        if let Some(name) = name {
            self.scene.operations.insert(name, known);
        }
        // Who may still send an operation again has it open: a session takes its writes one after another.
        if let Some(client) = client.filter(|_| ends).and_then(|client| self.clients.get_mut(&client)) {
            client.open = None;
            if matches!(outcome, Outcome::Unknown(_)) {
                // The old process may still be at it: its client goes on as a new one.
                client.process = None;
            }
        }
    }

    /// What every node looks like, as far as it is known.
    fn views(&self) -> Vec<String> {
        let asked = |seen: &Seen| match seen.asked {
            // A node that no step has looked at lately may have changed since.
            Some(asked) => format!(" (asked at {:.1} ms)", asked as f64 / 1e6),
            None => String::new(),
        };
        let nodes = self.scene.nodes.iter();
        nodes.map(|(node, seen)| format!("{node}: {}{}", in_words(seen), asked(seen))).collect()
    }
}

/// What a node looked like last.
fn in_words(seen: &Seen) -> String {
    let process = match seen.process {
        ProcessState::Down => return "down".to_owned(),
        ProcessState::Paused => "paused; ",
        ProcessState::Running => "",
    };
    let Some(view) = &seen.view else { return format!("{process}no answer") };
    let number = |value: Option<u64>| value.map_or_else(|| "?".to_owned(), |value| value.to_string());
    let role = match view.role {
        Some(Role::Follower) => "follower",
        Some(Role::PreCandidate) => "pre_candidate",
        Some(Role::Candidate) => "candidate",
        Some(Role::Leader) => "leader",
        None => "?",
    };
    let mut text = format!("{process}{role}@{}", number(view.term));
    match view.voted_for {
        Some(Vote::For(node)) => text.push_str(&format!(", voted for {node}")),
        Some(Vote::Nobody) => text.push_str(", voted for none"),
        None => {}
    }
    if let Some(index) = view.last_log_index {
        text.push_str(&format!(", last log {index}/{}", number(view.last_log_term)));
    }
    text.push_str(&format!(", commit {}, applied {}", number(view.commit_index), number(view.last_applied)));
    for held in view.held.iter().flatten() {
        text.push_str(&format!(", held at {}", held.point));
    }
    if let Some(config) = view.config.as_ref().filter(|config| config.index > 0) {
        let voters: Vec<String> = config.voters.iter().map(NodeId::to_string).collect();
        text.push_str(&format!(", voters {} of entry {}", voters.join(" "), config.index));
    }
    text
}

#[cfg(test)]
mod tests;

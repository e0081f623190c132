//! Histories of list-append transactions of which the verdict is known.
//!
//! Every transaction takes effect at one instant between its invocation and its completion (or, if its outcome is unknown,
//! perhaps never), so the history is strictly serializable by construction. A violation is woven in on a list of its own,
//! with transactions that run one after the other:
//!
//! * stale: an append, a read of the list without it, a read with it: the first read comes before the append in every
//!   order of the transactions, and after it in time.
//! * lost: an append, and a read of the list without it, which is never seen.
//! * reordered: two appends, and a read that shows them in the opposite order.
//!
//! A list takes a number of appends and is then followed by a new one, as in Jepsen's workload, so that reads stay short.

use std::fmt::Write;

use super::{Impossible, Random, Settings, Truth, Violation};

/// A list is full with so many elements.
const LIST_MAX: usize = 32;
/// A transaction has at most so many steps.
const STEPS_MAX: u64 = 4;
/// The transactions that a violation adds, at most.
const WOVEN: u64 = 3;

/// Generates a history and hands out its lines one by one, in EDN, each with its line feed. Of the settings the model and the
/// values mean nothing here; `operations` counts transactions, `keys` the lists that are in use at a time.
pub fn transactions(settings: &Settings, sink: &mut dyn FnMut(&str)) -> Result<Truth, Impossible> {
    settings.check()?;
    let mut simulation = Simulation::new(settings, sink);
    let plain = settings.operations - if settings.violation.is_some() { WOVEN } else { 0 };
    let at = simulation.random.below(plain + 1);
    simulation.run_until(at);
    let violation = settings.violation.map(|violation| simulation.weave(violation));
    simulation.run_until(settings.operations);
    for client in 0..simulation.clients.len() {
        while simulation.clients[client].open.is_some() {
            simulation.advance(client);
        }
    }
    Ok(Truth { violation, operations: simulation.begun, unknown: simulation.unknown })
}

#[derive(Clone, Copy)]
enum Step {
    Append(u64, u64),
    Read(u64),
}

/// A transaction that has not ended.
struct Open {
    steps: Vec<Step>,
    /// What its reads saw, one after the other, once it took effect.
    seen: Option<Vec<Vec<u64>>>,
    unknown: bool,
}

struct Client {
    process: u64,
    open: Option<Open>,
}

struct Simulation<'s> {
    settings: &'s Settings,
    sink: &'s mut dyn FnMut(&str),
    random: Random,
    clients: Vec<Client>,
    /// The lists in use: their names and contents, and how many appends to them were begun.
    lists: Vec<(u64, Vec<u64>, usize)>,
    /// Full lists that open transactions may still touch.
    full: Vec<(u64, Vec<u64>)>,
    next_list: u64,
    next_element: u64,
    next_process: u64,
    time: u64,
    index: u64,
    begun: u64,
    unknown: u64,
    line: String,
}

impl<'s> Simulation<'s> {
    fn new(settings: &'s Settings, sink: &'s mut dyn FnMut(&str)) -> Self {
        let clients = u64::from(settings.clients);
        let lists = u64::from(settings.keys);
        Self {
            settings,
            sink,
            random: Random::new(settings.seed),
            clients: (0..clients).map(|process| Client { process, open: None }).collect(),
            lists: (0..lists).map(|name| (name, Vec::new(), 0)).collect(),
            full: Vec::new(),
            next_list: lists,
            next_element: 1,
            next_process: clients,
            time: 0,
            index: 0,
            begun: 0,
            unknown: 0,
            line: String::new(),
        }
    }

    fn run_until(&mut self, begun: u64) {
        while self.begun < begun {
            let client = self.random.below(self.clients.len() as u64) as usize;
            match self.clients[client].open {
                None => self.begin(client),
                Some(_) => self.advance(client),
            }
        }
    }

    fn begin(&mut self, client: usize) {
        let count = 1 + self.random.below(STEPS_MAX);
        let steps: Vec<Step> = (0..count).map(|_| self.step()).collect();
        self.begun += 1;
        let process = self.clients[client].process;
        self.line(process, "invoke", &steps, None);
        self.clients[client].open = Some(Open { steps, seen: None, unknown: false });
    }

    fn step(&mut self) -> Step {
        let at = self.random.below(self.lists.len() as u64) as usize;
        if self.random.chance(0.5) {
            return Step::Read(self.lists[at].0);
        }
        if self.lists[at].2 == LIST_MAX {
            let (name, contents, _) = std::mem::replace(&mut self.lists[at], (self.next_list, Vec::new(), 0));
            self.full.push((name, contents));
            // No transaction stays open for as long as that many lists take to fill.
            if self.full.len() > 64 + 4 * self.clients.len() {
                self.full.remove(0);
            }
            self.next_list += 1;
        }
        self.lists[at].2 += 1;
        self.next_element += 1;
        Step::Append(self.lists[at].0, self.next_element)
    }

    fn contents(&mut self, list: u64) -> Option<&mut Vec<u64>> {
        let used = self.lists.iter_mut().find(|(name, ..)| *name == list).map(|(_, contents, _)| contents);
        used.or_else(|| self.full.iter_mut().find(|(name, _)| *name == list).map(|(_, contents)| contents))
    }

    /// Takes the open transaction of a client to its effect, or to its end.
    fn advance(&mut self, client: usize) {
        let Some(mut open) = self.clients[client].open.take() else { return };
        if open.seen.is_none() && !open.unknown {
            open.unknown = self.random.chance(self.settings.unknown);
            if !open.unknown || self.random.chance(0.5) {
                open.seen = Some(self.apply(&open.steps));
            }
            self.clients[client].open = Some(open);
            return;
        }
        let process = self.clients[client].process;
        if open.unknown {
            self.unknown += 1;
            self.line(process, "info", &open.steps, None);
            self.clients[client].process = self.next_process;
            self.next_process += 1;
        } else {
            self.line(process, "ok", &open.steps, open.seen.as_deref());
        }
    }

    fn apply(&mut self, steps: &[Step]) -> Vec<Vec<u64>> {
        let mut seen = Vec::new();
        for step in steps {
            match *step {
                Step::Append(list, element) => {
                    if let Some(contents) = self.contents(list) {
                        contents.push(element);
                    }
                }
                Step::Read(list) => {
                    let contents = self.contents(list).cloned().unwrap_or_default();
                    seen.push(contents);
                }
            }
        }
        seen
    }

    fn line(&mut self, process: u64, kind: &str, steps: &[Step], seen: Option<&[Vec<u64>]>) {
        self.time += 1 + self.random.below(100_000);
        let mut line = std::mem::take(&mut self.line);
        line.clear();
        let mut seen = seen.map(<[Vec<u64>]>::iter);
        // Writing to a String cannot fail.
        let _ = write!(line, "{{:type :{kind}, :f :txn, :value [");
        for (position, step) in steps.iter().enumerate() {
            let space = if position == 0 { "" } else { " " };
            let _ = match *step {
                Step::Append(list, element) => write!(line, "{space}[:append {list} {element}]"),
                Step::Read(list) => match seen.as_mut().and_then(Iterator::next) {
                    None => write!(line, "{space}[:r {list} nil]"),
                    Some(contents) => {
                        let words: Vec<String> = contents.iter().map(u64::to_string).collect();
                        write!(line, "{space}[:r {list} [{}]]", words.join(" "))
                    }
                },
            };
        }
        let _ = writeln!(line, "], :time {}, :process {process}, :index {}}}", self.time, self.index);
        self.index += 1;
        (self.sink)(&line);
        self.line = line;
    }

    /// Runs the transactions of the violation, each in a process of its own, and says what proves it.
    fn weave(&mut self, violation: Violation) -> String {
        let list = self.next_list;
        self.next_list += 1;
        let (first, second) = (self.next_element + 1, self.next_element + 2);
        self.next_element += 2;
        match violation {
            Violation::Stale => {
                self.run(Step::Append(list, first), &[]);
                self.run(Step::Read(list), &[]);
                self.run(Step::Read(list), &[first]);
                format!("list {list} was read without {first} after its append had completed")
            }
            Violation::Lost => {
                self.run(Step::Append(list, first), &[]);
                self.run(Step::Read(list), &[]);
                format!("the append of {first} to list {list} had completed and is never seen")
            }
            Violation::Reordered => {
                self.run(Step::Append(list, first), &[]);
                self.run(Step::Append(list, second), &[]);
                self.run(Step::Read(list), &[second, first]);
                format!("list {list} shows {second} before {first}, which was appended before it was begun")
            }
        }
    }

    fn run(&mut self, step: Step, seen: &[u64]) {
        let process = self.next_process;
        self.next_process += 1;
        self.begun += 1;
        self.line(process, "invoke", &[step], None);
        self.line(process, "ok", &[step], Some(&[seen.to_vec()]));
    }
}

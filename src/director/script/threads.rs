//! The threads of a choreography: where each stands, what it waits for, and what it does next.

use std::collections::{BTreeSet, VecDeque};

use cluster::system::NodeId;

use super::deed::Maker;
use super::program::{Instruction, Pc, Title, What};
use super::{Came, Missed, Player, StoryLine, Todo, Wants};
use crate::director::Nanos;
use crate::script::eval::{Bindings, Context, Value};
use crate::script::expr::{Expr, Function, Kind, Text};
use crate::script::model::{Ground, Verb};

/// The most instructions of one thread between two looks at the world.
const INSTRUCTIONS_MAX: usize = 100_000;

/// One thread.
#[derive(Debug)]
pub(super) struct Thread {
    pub(super) pc: Pc,
    pub(super) state: State,
    pub(super) bindings: Bindings,
    /// What was bound outside of the procedures that it is in.
    saved: Vec<Bindings>,
    loops: Vec<Loop>,
    parent: Option<usize>,
    /// When the present step began.
    pub(super) began: Nanos,
    /// Since when the condition of the present wait has held.
    holds_since: Option<Nanos>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Its instruction has not been looked at.
    Fresh,
    /// Its instruction waits for what is known to change.
    Looking,
    /// A deed is being done.
    Doing(u64),
    /// An operation is open.
    Calling(u64),
    /// So many threads that it started are left.
    Joining(usize),
    /// It has ended.
    Over,
}

#[derive(Debug)]
enum Loop {
    Turns(u64),
    Nodes(VecDeque<NodeId>),
}

/// What came of an instruction.
pub(super) enum Step {
    /// Go there at once; the step is done if there is something to tell.
    Go(Pc, Option<(Came, String)>),
    /// Nothing yet.
    Stay,
    /// Wait in this state.
    Enter(State),
    /// The choreography has not come about.
    Miss(String),
}

impl Thread {
    pub(super) fn at(pc: Pc, parent: Option<usize>) -> Self {
        Self {
            pc,
            state: State::Fresh,
            bindings: Bindings::new(),
            saved: Vec::new(),
            loops: Vec::new(),
            parent,
            began: 0,
            holds_since: None,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// Whether time alone can let it go on.
    pub(super) fn is_looking(&self) -> bool {
        matches!(self.state, State::Looking | State::Calling(_))
    }
}

impl Player {
    /// Lets every thread go as far as it can.
    pub(super) fn go_on(&mut self, now: Nanos, out: &mut Vec<Todo>) {
        let mut left = INSTRUCTIONS_MAX;
        let mut moved = true;
        while moved && self.missed.is_none() {
            moved = false;
            for index in 0..self.threads.len() {
                while self.advance(index, now, out) {
                    moved = true;
                    left -= 1;
                    if left == 0 {
                        return self.miss(index, now, "it goes round without ever waiting".to_owned(), out);
                    }
                }
                if self.missed.is_some() {
                    return;
                }
            }
        }
    }

    /// Looks at the instruction of a thread once; whether it went on.
    fn advance(&mut self, index: usize, now: Nanos, out: &mut Vec<Todo>) -> bool {
        let thread = &self.threads[index];
        let instruction = self.program.instructions[thread.pc].clone();
        let step = match thread.state {
            State::Fresh => {
                let thread = &mut self.threads[index];
                thread.began = now;
                thread.holds_since = None;
                thread.state = State::Looking;
                self.attempt(index, &instruction, now, out)
            }
            State::Looking => self.attempt(index, &instruction, now, out),
            State::Calling(number) => self.look_at_call(index, &instruction, number, now),
            State::Joining(0) => match &instruction.what {
                What::Fork { join, .. } => Step::Go(*join, None),
                _ => Step::Stay,
            },
            State::Doing(_) | State::Joining(_) | State::Over => return false,
        };
        match step {
            Step::Stay => false,
            Step::Enter(state) => {
                self.threads[index].state = state;
                matches!(state, State::Over | State::Joining(_))
            }
            Step::Go(pc, told) => {
                if let Some((came, seen)) = told {
                    self.tell(index, instruction.step, now, came, seen, out);
                }
                let thread = &mut self.threads[index];
                thread.pc = pc;
                thread.state = State::Fresh;
                true
            }
            Step::Miss(why) => {
                self.miss(index, now, why, out);
                false
            }
        }
    }

    pub(super) fn title(&self, step: usize) -> &Title {
        &self.program.titles[step]
    }

    pub(super) fn tell(
        &mut self,
        index: usize,
        step: usize,
        now: Nanos,
        came: Came,
        seen: String,
        out: &mut Vec<Todo>,
    ) {
        let from = self.threads[index].began;
        let bindings = &self.threads[index].bindings;
        let mut title = self.title(step).clone();
        title.text = filled_in(&title.text, bindings);
        let seen = filled_in(&seen, bindings);
        if let Some(label) = title.label.as_ref().filter(|_| came == Came::Done) {
            self.scene.labels.insert(label.clone(), now);
        }
        let (line, step, label, note) = (title.line, title.text, title.label, title.note);
        out.push(Todo::Tell(StoryLine { from, t: now, line, step, label, note, seen, came }));
    }

    pub(super) fn miss(&mut self, index: usize, now: Nanos, why: String, out: &mut Vec<Todo>) {
        let step = self.program.instructions[self.threads[index].pc].step;
        self.tell(index, step, now, Came::Missed, why.clone(), out);
        let (title, bindings) = (self.title(step), &self.threads[index].bindings);
        let (line, text, why) = (title.line, filled_in(&title.text, bindings), filled_in(&why, bindings));
        self.missed = Some(Missed { line, step: text, why, views: self.views() });
    }

    pub(super) fn context(&self, index: usize, now: Nanos) -> Context<'_> {
        let thread = &self.threads[index];
        Context { scene: &self.scene, bindings: &thread.bindings, now, since: thread.began }
    }

    fn is_late(&self, index: usize, step: usize, now: Nanos) -> bool {
        let limit = self.title(step).within_ns.unwrap_or(self.within_ns);
        now.saturating_sub(self.threads[index].began) >= limit
    }

    fn within(&self, step: usize) -> String {
        crate::suite::duration_text(self.title(step).within_ns.unwrap_or(self.within_ns))
    }

    fn attempt(&mut self, index: usize, instruction: &Instruction, now: Nanos, out: &mut Vec<Todo>) -> Step {
        let next = self.threads[index].pc + 1;
        let (number, late) = (instruction.step, self.is_late(index, instruction.step, now));
        let not_known = |player: &Self, what: &str| {
            let why = format!("within {} it was not known {what}", player.within(number));
            if late { Step::Miss(why) } else { Step::Stay }
        };
        match &instruction.what {
            What::Do(verb) => self.take(index, number, verb, now, out, &not_known),
            What::Wait { until, hold_ns, then, otherwise } => {
                self.wait(index, instruction, (until, *hold_ns), (*then, *otherwise), now)
            }
            What::Demand(condition) => match self.context(index, now).holds(&condition.expr) {
                Some(true) => Step::Go(next, Some((Came::Done, self.observed(index, condition, now)))),
                Some(false) => {
                    Step::Miss(format!("it does not hold: {}", self.observed(index, condition, now)))
                }
                None => not_known(self, &format!("whether {condition}")),
            },
            What::Decide { condition, then, otherwise } => {
                match self.context(index, now).holds(&condition.expr) {
                    Some(truth) => {
                        let seen = self.observed(index, condition, now);
                        let (pc, came) =
                            if truth { (*then, Came::Done) } else { (*otherwise, Came::Otherwise) };
                        Step::Go(pc, Some((came, seen)))
                    }
                    None => not_known(self, &format!("whether {condition}")),
                }
            }
            What::Let(bindings) => match self.bind(index, bindings, now) {
                Ok(seen) => Step::Go(next, Some((Came::Done, seen))),
                Err(None) => not_known(self, "what to bind"),
                Err(Some(why)) => Step::Miss(why),
            },
            What::Repeat { times } => {
                self.threads[index].loops.push(Loop::Turns(*times));
                Step::Go(next, None)
            }
            What::Again { until, body } => self.again(index, until.as_ref(), *body, now, &not_known),
            What::Each { nodes } => match self.maker(index, number, now).nodes(nodes) {
                Some(nodes) => {
                    self.threads[index].loops.push(Loop::Nodes(nodes.into()));
                    Step::Go(next, None)
                }
                None => not_known(self, "which nodes there are"),
            },
            What::Next { name, end } => self.next_node(index, name, next, *end),
            What::Fork { branches, .. } => {
                for branch in branches {
                    let mut thread = Thread::at(*branch, Some(index));
                    thread.bindings = self.threads[index].bindings.clone();
                    self.threads.push(thread);
                }
                Step::Enter(State::Joining(branches.len()))
            }
            What::End => {
                if let Some(parent) = self.threads[index].parent
                    && let State::Joining(left) = &mut self.threads[parent].state
                {
                    *left -= 1;
                }
                Step::Enter(State::Over)
            }
            What::Enter { with } => self.enter(index, with, next, now, &not_known),
            What::Leave => {
                let thread = &mut self.threads[index];
                thread.bindings = thread.saved.pop().unwrap_or_default();
                Step::Go(next, None)
            }
            What::Jump(to) => Step::Go(*to, None),
            What::Mark => Step::Go(next, Some((Came::Done, String::new()))),
        }
    }

    /// Makes a deed or a call of a verb.
    fn take(
        &mut self,
        index: usize,
        number: usize,
        verb: &Verb,
        now: Nanos,
        out: &mut Vec<Todo>,
        not_known: &dyn Fn(&Self, &str) -> Step,
    ) -> Step {
        match verb {
            Verb::Operation(called) => return self.call(index, number, called, now, out, not_known),
            Verb::Retry { op, at, .. } => {
                return self.call_again(index, op, at.as_ref(), now, out, not_known);
            }
            _ => {}
        }
        let maker = self.maker(index, number, now);
        let (deed, filter) = (maker.deed(verb), maker.filter(verb));
        let (Some(deed), label) = (deed, self.title(number).label.clone()) else {
            return not_known(self, "which nodes this step is about");
        };
        if let (Verb::Messages { to, .. }, Some(filter), Some(label)) = (verb, filter, label)
            && let Some(node) = self.context(index, now).node(&to.expr)
        {
            self.scene.messages.insert(label, (node, filter));
        }
        self.tickets += 1;
        out.push(Todo::Take { ticket: self.tickets, deed });
        match verb {
            Verb::Order { ground: Ground::Background, name, .. } => {
                self.begin_order(index, number, name.clone(), now)
            }
            _ => Step::Enter(State::Doing(self.tickets)),
        }
    }

    pub(super) fn maker(&self, index: usize, step: usize, now: Nanos) -> Maker<'_> {
        let all = self.scene.nodes.keys().copied().collect();
        let label = self.title(step).label.as_deref();
        Maker { context: self.context(index, now), all, step, label }
    }

    fn wait(
        &mut self,
        index: usize,
        instruction: &Instruction,
        (until, hold_ns): (&Text, Nanos),
        (then, otherwise): (Pc, Option<Pc>),
        now: Nanos,
    ) -> Step {
        let holds = self.context(index, now).holds(&until.expr) == Some(true);
        let thread = &mut self.threads[index];
        thread.holds_since = if holds { thread.holds_since.or(Some(now)) } else { None };
        let since = thread.holds_since;
        if since.is_some_and(|since| now - since >= hold_ns) {
            return Step::Go(then, Some((Came::Done, self.observed(index, until, now))));
        }
        // What began to hold in time may take its time.
        if since.is_some() || !self.is_late(index, instruction.step, now) {
            return Step::Stay;
        }
        let seen = self.observed(index, until, now);
        match otherwise {
            Some(otherwise) => Step::Go(otherwise, Some((Came::Otherwise, seen))),
            None => {
                Step::Miss(format!("it did not come about within {}: {seen}", self.within(instruction.step)))
            }
        }
    }

    /// The parts of a condition with what they are worth now.
    fn observed(&self, index: usize, condition: &Text, now: Nanos) -> String {
        let context = self.context(index, now);
        let mut seen: Vec<String> = Vec::new();
        condition.expr.walk(&mut |expr| {
            let told = match &expr.kind {
                Kind::Compare(left, _, right) => [left, right].into_iter().find(|side| asks(side)),
                Kind::Call { function, .. } if function.gives() == crate::script::expr::Type::Truth => {
                    return seen.push(shown(condition, expr, &context));
                }
                _ => None,
            };
            if let Some(side) = told {
                seen.push(shown(condition, side, &context));
            }
        });
        seen.dedup();
        seen.join(", ")
    }

    fn bind(
        &mut self,
        index: usize,
        bindings: &[(Vec<String>, Text)],
        now: Nanos,
    ) -> Result<String, Option<String>> {
        let before = self.threads[index].bindings.clone();
        let mut seen = Vec::new();
        for (names, text) in bindings {
            let Some(value) = self.context(index, now).value(&text.expr) else {
                self.threads[index].bindings = before;
                return Err(None);
            };
            let values: Vec<Value> = match (&value, names.len()) {
                (_, 1) => vec![value],
                (Value::Nodes(nodes), count) if nodes.len() == count => {
                    nodes.iter().map(|node| Value::Node(*node)).collect()
                }
                (other, count) => return Err(Some(format!("{text} is {other}, which is not {count} nodes"))),
            };
            for (name, value) in names.iter().zip(values) {
                seen.push(format!("{name} is {value}"));
                self.threads[index].bindings.insert(name.clone(), value);
            }
        }
        Ok(seen.join(", "))
    }

    fn again(
        &mut self,
        index: usize,
        until: Option<&Text>,
        body: Pc,
        now: Nanos,
        not_known: &dyn Fn(&Self, &str) -> Step,
    ) -> Step {
        let next = self.threads[index].pc + 1;
        let done = match until {
            None => false,
            Some(until) => match self.context(index, now).holds(&until.expr) {
                Some(holds) => holds,
                None => return not_known(self, &format!("whether {until}")),
            },
        };
        let thread = &mut self.threads[index];
        let Some(Loop::Turns(left)) = thread.loops.last_mut() else { return Step::Go(next, None) };
        *left = left.saturating_sub(1);
        if !done && *left > 0 {
            return Step::Go(body, None);
        }
        thread.loops.pop();
        match until {
            Some(until) if !done => {
                Step::Miss(format!("it did not come about: {}", self.observed(index, until, now)))
            }
            _ => Step::Go(next, None),
        }
    }

    fn next_node(&mut self, index: usize, name: &str, body: Pc, end: Pc) -> Step {
        let thread = &mut self.threads[index];
        let next = match thread.loops.last_mut() {
            Some(Loop::Nodes(nodes)) => nodes.pop_front(),
            _ => None,
        };
        match next {
            Some(node) => {
                thread.bindings.insert(name.to_owned(), Value::Node(node));
                Step::Go(body, None)
            }
            None => {
                thread.loops.pop();
                Step::Go(end, None)
            }
        }
    }

    fn enter(
        &mut self,
        index: usize,
        with: &[(String, Text)],
        next: Pc,
        now: Nanos,
        not_known: &dyn Fn(&Self, &str) -> Step,
    ) -> Step {
        let mut bound = Vec::new();
        for (name, text) in with {
            match self.context(index, now).value(&text.expr) {
                Some(value) => bound.push((name.clone(), value)),
                None => return not_known(self, &format!("what {text} is")),
            }
        }
        let thread = &mut self.threads[index];
        thread.saved.push(thread.bindings.clone());
        thread.bindings.extend(bound);
        Step::Go(next, None)
    }

    /// What a thread waits for.
    pub(super) fn wants_of(&self, thread: &Thread, wants: &mut Wants) {
        if thread.state != State::Looking {
            return;
        }
        let context = Context { scene: &self.scene, bindings: &thread.bindings, now: 0, since: thread.began };
        let all = || self.scene.nodes.keys().copied().collect::<BTreeSet<_>>();
        let mut look = |text: &Text| {
            text.expr.walk(&mut |expr| {
                let Kind::Call { function, args, .. } = &expr.kind else { return };
                wants.trace |= function.reads_trace();
                if function.asks_nodes() {
                    match about(*function, args, &context) {
                        Some(node) => drop(wants.nodes.insert(node)),
                        None => wants.nodes.extend(all()),
                    }
                }
            });
        };
        match &self.program.instructions[thread.pc].what {
            What::Wait { until, .. } => look(until),
            What::Demand(condition) | What::Decide { condition, .. } => look(condition),
            What::Again { until, .. } => until.iter().for_each(look),
            What::Let(bindings) => bindings.iter().for_each(|(_, text)| look(text)),
            What::Enter { with } => with.iter().for_each(|(_, text)| look(text)),
            // The nodes of a verb: rarely more than names, which are known at once.
            What::Do(_) | What::Each { .. } => wants.nodes.extend(all()),
            _ => {}
        }
    }
}

/// The one node that has to be asked for this, where it is one.
fn about(function: Function, args: &[Expr], context: &Context<'_>) -> Option<NodeId> {
    if function == Function::HeldBack {
        let Kind::Name(label) = &args.first()?.kind else { return None };
        return context.scene.messages.get(label).map(|(node, _)| *node);
    }
    context.node(args.first()?)
}

/// A text in which bindings are replaced by what they are bound to: `campaign: node` -> `campaign: n1`.
pub(super) fn filled_in(text: &str, bindings: &Bindings) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let (mut filled, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(start) = rest.find(is_word) {
        let end = rest[start..].find(|c| !is_word(c)).map_or(rest.len(), |length| start + length);
        let word = &rest[start..end];
        filled.push_str(&rest[..start]);
        // The key of a map is no use of a name.
        match bindings.get(word).filter(|_| !rest[end..].starts_with(':')) {
            Some(value) => filled.push_str(&value.to_string()),
            None => filled.push_str(word),
        }
        rest = &rest[end..];
    }
    filled + rest
}

fn asks(expr: &Expr) -> bool {
    let mut asks = false;
    expr.walk(&mut |expr| asks |= matches!(expr.kind, Kind::Call { .. }));
    asks
}

fn shown(whole: &Text, expr: &Expr, context: &Context<'_>) -> String {
    let text = whole.text.get(expr.range.clone()).unwrap_or_default();
    match context.value(expr) {
        Some(value) => format!("{text} is {value}"),
        None => format!("{text} is not known"),
    }
}

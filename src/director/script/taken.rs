//! Deeds that have ended: whose step goes on, or which order in the background is over.
//!
//! Invariant: an order in the background is refused only where the node said that it did nothing; without an answer its outcome
//! is unknown, as that of an operation. Deliberately absent: doing anything.

use checker::history::{Outcome, Reply};

use super::deed::{Deed, Taken, TakenOutcome};
use super::program::What;
use super::threads::{State, Step, filled_in};
use super::{Came, Player, StoryLine, Todo};
use crate::director::Nanos;
use crate::script::model::{OrderExpect, StartExpect, Verb};
use crate::script::scene;

/// An order whose step has ended before it did.
pub(super) struct BegunOrder {
    name: Option<String>,
    step: usize,
    /// The step in short, bindings filled in.
    text: String,
    from: Nanos,
}

impl Player {
    /// Goes on beside the order that was taken last.
    pub(super) fn begin_order(
        &mut self,
        index: usize,
        step: usize,
        name: Option<String>,
        now: Nanos,
    ) -> Step {
        if let Some(name) = &name {
            self.scene.operations.insert(name.clone(), scene::Operation::default());
        }
        let text = filled_in(&self.title(step).text, &self.threads[index].bindings);
        self.orders.insert(self.tickets, BegunOrder { name, step, text, from: now });
        Step::Go(self.threads[index].pc + 1, Some((Came::Done, "has begun".to_owned())))
    }

    /// An order in the background has ended. Only a refusal says that nothing was done.
    fn order_ended(&mut self, now: Nanos, order: BegunOrder, taken: Taken, out: &mut Vec<Todo>) {
        let (outcome, how) = match taken.outcome {
            TakenOutcome::Done => (Outcome::Ok(Reply::Done), "done"),
            TakenOutcome::Refused => (Outcome::Failed(taken.said.clone()), "refused"),
            TakenOutcome::Failed => (Outcome::Unknown(taken.said.clone()), "unknown"),
        };
        if let Some(name) = order.name {
            let ended = scene::Operation { outcome: Some(outcome), unanswered: false };
            self.scene.operations.insert(name, ended);
        }
        let line = self.title(order.step).line;
        let seen = format!("{how}: {}", taken.said);
        let (step, came) = (order.text, Came::Done);
        out.push(Todo::Tell(StoryLine {
            from: order.from,
            t: now,
            line,
            step,
            label: None,
            note: None,
            seen,
            came,
        }));
    }

    /// A deed has ended.
    pub(super) fn taken(&mut self, now: Nanos, ticket: u64, taken: Taken, out: &mut Vec<Todo>) {
        if let Some(order) = self.orders.remove(&ticket) {
            return self.order_ended(now, order, taken, out);
        }
        let Some(index) = self.threads.iter().position(|thread| thread.state == State::Doing(ticket)) else {
            return;
        };
        let instruction = self.program.instructions[self.threads[index].pc].clone();
        let What::Do(verb) = &instruction.what else { return };
        if let Verb::Start { .. } = verb.as_ref() {
            let nodes = self.maker(index, instruction.step, now).deed(verb);
            if let Some(Deed::Start { nodes, .. }) = nodes {
                for node in nodes {
                    if let Some(seen) = self.scene.nodes.get_mut(&node) {
                        seen.refused = taken.refused.contains(&node);
                    }
                }
            }
        }
        let wanted = match verb.as_ref() {
            Verb::Start { expect: StartExpect::Refused, .. } => Some(TakenOutcome::Refused),
            Verb::Start { expect: StartExpect::Any, .. } => None,
            Verb::Order { expect: OrderExpect::Refused, .. } => Some(TakenOutcome::Refused),
            Verb::Order { expect: OrderExpect::Any, .. } => None,
            _ => Some(TakenOutcome::Done),
        };
        match wanted {
            Some(wanted) if wanted != taken.outcome => {
                let why = match wanted {
                    TakenOutcome::Refused => format!("it was expected to be refused: {}", taken.said),
                    _ => taken.said,
                };
                self.miss(index, now, why, out);
            }
            _ => {
                self.tell(index, instruction.step, now, Came::Done, taken.said, out);
                let thread = &mut self.threads[index];
                thread.pc += 1;
                thread.state = State::Fresh;
            }
        }
    }
}

//! The operations of a choreography: how they begin, who sends them again, and when their steps go on.

use checker::history::{Op, Outcome, ProcessId, Reply, Value as Datum};
use cluster::client::Place;
use cluster::system::ReadMode;

use super::deed::{Attempt, Invocation};
use super::program::{Instruction, What};
use super::threads::{State, Step};
use super::{Came, NamedClient, Operation, Player, SESSIONS_FROM, Todo};
use crate::director::Nanos;
use crate::script::eval::Value;
use crate::script::expr::Text;
use crate::script::model::{Ground, OpExpect, Operation as Called, Retries, Verb};
use crate::script::scene;

impl Player {
    pub(super) fn call(
        &mut self,
        index: usize,
        step: usize,
        called: &Called,
        now: Nanos,
        out: &mut Vec<Todo>,
        not_known: impl Fn(&Self, &str) -> Step,
    ) -> Step {
        let maker = self.maker(index, step, now);
        let at = called.at.as_ref().map(|at| maker.context.node(&at.expr));
        let (op, write_mode) =
            (maker.call(&called.call, called.client.as_deref()), maker.write_mode(&called.write_mode));
        let (Some(op), Some(write_mode), false) = (op, write_mode, at == Some(None)) else {
            return not_known(self, "what to call, or where");
        };
        let number = self.operations.len() as u64 + 1;
        let process = match self.process_of(called.client.as_deref(), number) {
            Some(process) => process,
            None => return not_known(self, "how the last operation of this client ends"),
        };
        let attempt = if called.retries == Retries::ByHand { Attempt::First } else { Attempt::Only };
        let place = self.place(called.client.as_deref(), number, attempt, &op);
        let timeout_ns = called.timeout_ns.unwrap_or(self.op_timeout_ns);
        let (client, name) = (called.client.clone(), called.name.clone());
        if let Some(name) = &name {
            self.scene.operations.insert(name.clone(), scene::Operation::default());
        }
        out.push(Todo::Invoke(Invocation {
            number,
            process,
            op: op.clone(),
            at: at.flatten(),
            timeout_ns,
            mode: called.mode.unwrap_or(ReadMode::ByRules),
            write_mode: write_mode.clone(),
            place,
            client: client.clone(),
            attempt,
        }));
        let (outcome, unanswered) = (None, false);
        let operation = Operation {
            name,
            op,
            process,
            client,
            attempt,
            place,
            write_mode,
            timeout_ns,
            outcome,
            unanswered,
        };
        self.operations.insert(number, operation);
        match called.ground {
            Ground::Foreground => Step::Enter(State::Calling(number)),
            Ground::Background => {
                Step::Go(self.threads[index].pc + 1, Some((Came::Done, "has begun".to_owned())))
            }
        }
    }

    /// The process of an operation; `None` while its client has another one open.
    fn process_of(&mut self, client: Option<&str>, number: u64) -> Option<ProcessId> {
        let fresh = ProcessId(self.first_process + number - 1);
        let Some(client) = client else { return Some(fresh) };
        let new =
            NamedClient { process: Some(fresh), open: None, session: SESSIONS_FROM + number, written: 0 };
        let client = self.clients.entry(client.to_owned()).or_insert(new);
        if client.open.is_some() {
            return None;
        }
        client.open = Some(number);
        Some(*client.process.get_or_insert(fresh))
    }

    /// Under which number an operation is sent: each write of a client with a name under the next one of its session, whatever
    /// node it turns to; any other only if it can be repeated.
    fn place(&mut self, client: Option<&str>, number: u64, attempt: Attempt, op: &Op) -> Option<Place> {
        let named = client.and_then(|client| self.clients.get_mut(client));
        match named.filter(|_| !op.is_read()) {
            Some(client) => {
                client.written += 1;
                Some(Place { session: client.session, sequence: client.written })
            }
            None => {
                (attempt != Attempt::Only).then_some(Place { session: SESSIONS_FROM + number, sequence: 1 })
            }
        }
    }

    pub(super) fn call_again(
        &mut self,
        index: usize,
        op: &str,
        at: Option<&Text>,
        now: Nanos,
        out: &mut Vec<Todo>,
        not_known: impl Fn(&Self, &str) -> Step,
    ) -> Step {
        let to = at.map(|at| self.context(index, now).node(&at.expr));
        if to == Some(None) {
            return not_known(self, "whom to ask again");
        }
        let found = self.operations.iter_mut().rev().find(|(_, one)| one.name.as_deref() == Some(op));
        let Some((number, operation)) = found else {
            return Step::Miss(format!("the operation {op} has not begun"));
        };
        if operation.attempt == Attempt::Only {
            return Step::Miss(format!(
                "the operation {op} is not one to be repeated: it needs `retries: by-hand`"
            ));
        }
        if operation.outcome.is_some() {
            return Step::Miss(format!("the operation {op} has ended, so that nobody repeats it"));
        }
        if !operation.unanswered {
            return not_known(self, &format!("whether the attempt of {op} before would be answered"));
        }
        operation.attempt = Attempt::Later;
        operation.unanswered = false;
        let number = *number;
        out.push(Todo::Invoke(Invocation {
            number,
            process: operation.process,
            op: operation.op.clone(),
            at: to.flatten(),
            timeout_ns: operation.timeout_ns,
            mode: ReadMode::ByRules,
            write_mode: operation.write_mode.clone(),
            place: operation.place,
            client: None,
            attempt: Attempt::Later,
        }));
        self.scene.operations.insert(op.to_owned(), scene::Operation::default());
        Step::Enter(State::Calling(number))
    }

    /// Whether an open operation lets its step go on.
    pub(super) fn look_at_call(
        &self,
        index: usize,
        instruction: &Instruction,
        number: u64,
        now: Nanos,
    ) -> Step {
        let next = self.threads[index].pc + 1;
        let What::Do(verb) = &instruction.what else { return Step::Stay };
        let (expect, sees, pending_ns) = match verb.as_ref() {
            Verb::Operation(called) => (&called.expect, called.sees.as_ref(), called.pending_ns),
            Verb::Retry { expect, .. } => (expect, None, 0),
            _ => return Step::Stay,
        };
        let Some(operation) = self.operations.get(&number) else { return Step::Stay };
        let seen = operation.outcome.as_ref().map(in_words);
        let wanted = || expect.iter().map(|one| expected(*one)).collect::<Vec<_>>().join(" or ");
        let (class, seen) = match (&operation.outcome, seen) {
            (Some(outcome), Some(seen)) => (class_of(outcome), seen),
            _ if operation.unanswered => (OpExpect::Unknown, "no definite answer".to_owned()),
            _ => {
                let open = now.saturating_sub(self.threads[index].began);
                if expect.contains(&OpExpect::Pending) && open >= pending_ns {
                    return Step::Go(next, Some((Came::Done, "still open".to_owned())));
                }
                return Step::Stay;
            }
        };
        if !expect.is_empty() && !expect.contains(&class) {
            return Step::Miss(format!("expected {}, but it was {seen}", wanted()));
        }
        if let Some(sees) = sees {
            let value = self.context(index, now).value(&sees.expr);
            let wanted = match value {
                Some(Value::Number(number)) => i64::try_from(number).ok().map(Datum::Int),
                Some(Value::Reply(datum)) => Some(datum),
                Some(Value::Numbers(items)) => Some(Datum::List(items)),
                Some(Value::Vote(None, None)) => Some(Datum::Nil),
                _ => None,
            };
            let found = match &operation.outcome {
                Some(Outcome::Ok(Reply::Value(value))) => Some(value.clone()),
                _ => None,
            };
            if found.is_none() || found != wanted {
                return Step::Miss(format!("expected to see {sees}, but it was {seen}"));
            }
        }
        Step::Go(next, Some((Came::Done, seen)))
    }
}

fn class_of(outcome: &Outcome) -> OpExpect {
    match outcome {
        Outcome::Ok(_) => OpExpect::Ok,
        Outcome::Failed(_) => OpExpect::Failed,
        Outcome::Unknown(_) => OpExpect::Unknown,
    }
}

fn expected(one: OpExpect) -> &'static str {
    match one {
        OpExpect::Ok => "ok",
        OpExpect::Failed => "failed",
        OpExpect::Unknown => "unknown",
        OpExpect::Pending => "pending",
    }
}

fn in_words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Ok(Reply::Done) => "ok".to_owned(),
        Outcome::Ok(Reply::Value(value)) => format!("ok: {}", in_short(value)),
        Outcome::Ok(Reply::Mismatch(Some(value))) => format!("ok: found {} instead", in_short(value)),
        Outcome::Ok(Reply::Mismatch(None)) => "ok: found another value".to_owned(),
        Outcome::Failed(why) => format!("failed: {why}"),
        Outcome::Unknown(why) => format!("unknown: {why}"),
    }
}

/// A value for people, who need no more than the beginning of a long one.
fn in_short(value: &Datum) -> String {
    const SHOWN: usize = 80;
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        None => text,
        Some((end, _)) => format!("{}... ({} bytes)", &text[..end], text.len()),
    }
}

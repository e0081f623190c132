//! One operation of one key, reduced to what a judgement needs, and its name in a sentence.

use std::fmt;

use crate::history::{Op, Reply, Value};

/// The return of a call that never returned, or not with a certain outcome: after every instant.
pub(crate) const OPEN: u32 = u32::MAX;

/// A call and its interval, which is closed: calls whose intervals touch are concurrent. Call `a` is before call `b`
/// if and only if `a.ret < b.call`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Call<'h> {
    pub(crate) op: &'h Op,
    /// `None` exactly if `ret` is [`OPEN`].
    pub(crate) reply: Option<&'h Reply>,
    pub(crate) call: u32,
    pub(crate) ret: u32,
    /// The position of its operation.
    pub(crate) origin: u32,
}

impl<'h> Call<'h> {
    /// The value that it proves the key to have held just before or at its effect, if it took effect.
    pub(crate) fn observes(&self) -> Option<&'h Value> {
        match (self.op, self.reply) {
            (Op::Read { .. } | Op::Members { .. }, Some(Reply::Value(seen))) => Some(seen),
            // One that says it found what it expected contradicts itself, and proves nothing of the key.
            (Op::Cas { expected, .. }, Some(Reply::Mismatch(told))) => {
                told.as_ref().filter(|told| *told != expected)
            }
            (Op::Cas { expected, .. }, _) => Some(expected),
            _ => None,
        }
    }

    /// A failed CAS that does not say what it found.
    pub(crate) fn differs_from(&self) -> Option<&'h Value> {
        match (self.op, self.reply) {
            (Op::Cas { expected, .. }, Some(Reply::Mismatch(None))) => Some(expected),
            _ => None,
        }
    }

    /// Whether it cannot have changed anything.
    pub(crate) fn is_read_only(&self) -> bool {
        self.op.is_read() || matches!(self.reply, Some(Reply::Mismatch(_)))
    }

    /// What it puts there, if it takes effect: a value, an element.
    pub(crate) fn puts(&self) -> Option<&'h Value> {
        const NIL: &Value = &Value::Nil;
        match self.op {
            _ if self.is_read_only() => None,
            Op::Write { value, .. } | Op::Append { value, .. } | Op::Add { value, .. } => Some(value),
            Op::Cas { new, .. } => Some(new),
            Op::Delete { .. } => Some(NIL),
            Op::Read { .. } | Op::Members { .. } | Op::Other { .. } => None,
        }
    }
}

impl fmt::Display for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&describe(self.op, self.reply))
    }
}

/// An operation in words: "read r3 -> 17".
pub fn describe(op: &Op, reply: Option<&Reply>) -> String {
    let key = op.key();
    match (op, reply) {
        (Op::Read { .. }, Some(Reply::Value(seen))) => format!("read {key} -> {}", short(seen)),
        (Op::Members { .. }, Some(Reply::Value(seen))) => format!("members {key} -> {}", short(seen)),
        (Op::Read { .. }, _) => format!("read {key}"),
        (Op::Members { .. }, _) => format!("members {key}"),
        (Op::Write { value, .. }, _) => format!("write {key} = {}", short(value)),
        (Op::Append { value, .. }, _) => format!("append {key} += {}", short(value)),
        (Op::Add { value, .. }, _) => format!("add {key} += {}", short(value)),
        (Op::Delete { .. }, _) => format!("delete {key}"),
        (Op::Other { function, argument, .. }, reply) => {
            let argument = match argument {
                Value::Nil => String::new(),
                told => format!(" {}", short(told)),
            };
            match reply {
                Some(Reply::Value(told)) => format!("{function} {key}{argument} -> {}", short(told)),
                _ => format!("{function} {key}{argument}"),
            }
        }
        (Op::Cas { expected, new, .. }, reply) => {
            let call = format!("cas {key} {} -> {}", short(expected), short(new));
            match reply {
                Some(Reply::Mismatch(Some(told))) => format!("{call} refused, found {}", short(told)),
                Some(Reply::Mismatch(None)) => format!("{call} refused"),
                _ => call,
            }
        }
    }
}

/// A value; of a long list only both ends and the length.
fn short(value: &Value) -> String {
    const SHOWN: usize = 12;
    match value {
        Value::List(items) if items.len() > SHOWN => {
            let part = |items: &[Value]| items.iter().map(Value::to_string).collect::<Vec<_>>().join(", ");
            let (head, tail) = (&items[..SHOWN / 2], &items[items.len() - SHOWN / 2..]);
            format!("[{}, ... {} items ..., {}]", part(head), items.len(), part(tail))
        }
        other => other.to_string(),
    }
}

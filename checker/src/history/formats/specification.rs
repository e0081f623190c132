//! What a history is judged against, by name, and whether its functions fit.
//!
//! Invariant: a history and a specification that do not fit are an error that names both, never a verdict.

use std::fmt;

use super::jepsen::LOCKED;
use super::{Function, Recorded};
use crate::history::{EventBody, Op, Outcome, Reply, Value};

/// What the store is supposed to be, per key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Specification {
    /// Read and write.
    Register,
    /// Read, write and compare-and-swap.
    CasRegister,
    /// A key-value store: get, put, compare-and-swap, delete, append.
    Kv,
    /// A list: append, and read of the whole.
    Append,
    /// A grow-only set: add, and read of the whole.
    Set,
    /// A mutex: acquire and release, by whomever.
    Mutex,
}

/// A function that the specification does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this history has :{} at line {}, and {against}", function.name, function.line)]
pub struct Misfit {
    /// The function.
    pub function: Function,
    /// What it does not go with.
    pub against: String,
}

impl Specification {
    /// All of them, the narrower before the wider, which is the order in which they are tried.
    pub const ALL: [Specification; 6] = [
        Specification::Register,
        Specification::CasRegister,
        Specification::Mutex,
        Specification::Set,
        Specification::Append,
        Specification::Kv,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Specification::Register => "register",
            Specification::CasRegister => "cas-register",
            Specification::Kv => "kv",
            Specification::Append => "append",
            Specification::Set => "set",
            Specification::Mutex => "mutex",
        }
    }

    /// The functions that it knows.
    fn knows(self) -> &'static [&'static str] {
        match self {
            Specification::Register => &["read", "get", "write", "put"],
            Specification::CasRegister => &["read", "get", "write", "put", "cas"],
            Specification::Kv => &["read", "get", "write", "put", "cas", "delete", "append"],
            Specification::Append => &["read", "get", "append"],
            Specification::Set => &["read", "get", "members", "add"],
            Specification::Mutex => &["acquire", "release"],
        }
    }

    /// Whether it knows all functions.
    pub fn fits(self, functions: &[Function]) -> Result<(), Misfit> {
        match functions.iter().find(|function| !self.knows().contains(&function.name.as_str())) {
            None => Ok(()),
            Some(function) => {
                Err(Misfit { function: function.clone(), against: format!("the model is {self}") })
            }
        }
    }

    /// The narrowest one that knows all functions.
    pub fn detect(functions: &[Function]) -> Result<Specification, Misfit> {
        if let Some(found) = Self::ALL.into_iter().find(|spec| spec.fits(functions).is_ok()) {
            return Ok(found);
        }
        // Of the functions before it one exists that no model knows together with it.
        let mut upto = 1;
        while Self::ALL.iter().any(|spec| spec.fits(&functions[..upto]).is_ok()) {
            upto += 1;
        }
        let before: Vec<String> = functions[..upto - 1]
            .iter()
            .map(|function| format!(":{} (line {})", function.name, function.line))
            .collect();
        let against = match before.is_empty() {
            true => "no model knows it".to_owned(),
            false => format!("no model knows it together with {}", before.join(", ")),
        };
        Err(Misfit { function: functions[upto - 1].clone(), against })
    }

    /// Whether the values of keys are lists here.
    fn holds_lists(self, functions: &[Function]) -> bool {
        match self {
            Specification::Append => true,
            Specification::Kv => functions.iter().any(|function| function.name == "append"),
            _ => false,
        }
    }

    /// Spells a history in the words that the specification is decided in: a `read` of a set is one of its members, and
    /// an empty list is what an absent one reads as.
    pub fn settle(self, recorded: &mut Recorded) {
        if self == Specification::Set {
            for event in &mut recorded.history.events {
                if let EventBody::Invoke(op) = &mut event.body
                    && let Op::Read { key } = op
                {
                    *op = Op::Members { key: key.clone() };
                }
            }
        }
        if self.holds_lists(&recorded.functions) {
            for event in &mut recorded.history.events {
                match &mut event.body {
                    EventBody::Invoke(Op::Write { value, .. })
                    | EventBody::Complete(Outcome::Ok(Reply::Value(value) | Reply::Mismatch(Some(value)))) => {
                        absent_if_empty(value);
                    }
                    EventBody::Invoke(Op::Cas { expected, new, .. }) => {
                        absent_if_empty(expected);
                        absent_if_empty(new);
                    }
                    _ => {}
                }
            }
        }
    }

    /// The value that every key holds before the history, as asked for. Or why it cannot hold that.
    pub fn initial(self, value: Value, functions: &[Function]) -> Result<Value, String> {
        let refuse = |what: &str| Err(format!("{value} is no initial value of {self}: {what}"));
        match (self, &value) {
            (Specification::Set, Value::Nil) => Ok(value),
            (Specification::Set, _) => refuse("a set starts empty"),
            (Specification::Mutex, Value::Nil) => Ok(value),
            (Specification::Mutex, Value::Text(text)) if &**text == LOCKED => Ok(value),
            (Specification::Mutex, _) => refuse("a mutex starts as nil or as locked"),
            (_, Value::List(items)) if self.holds_lists(functions) && items.is_empty() => Ok(Value::Nil),
            (_, Value::List(_) | Value::Nil) => Ok(value),
            _ if self.holds_lists(functions) => refuse("its keys hold lists, such as [1 2]"),
            _ => Ok(value),
        }
    }
}

impl fmt::Display for Specification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn absent_if_empty(value: &mut Value) {
    if matches!(value, Value::List(items) if items.is_empty()) {
        *value = Value::Nil;
    }
}

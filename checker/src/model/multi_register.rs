//! Several registers that are read and written together: a transaction of steps on registers, all at one instant. The
//! registers are coupled, so they are one key to the judge. Initially all nil.
//!
//! | function | value | legal | then |
//! |---|---|---|---|
//! | `txn` | `[[r x 1] [w y 2]]` | while each `r`, in turn, sees what is there | each `w` is done |
//! | `read` | `{x 1, y 2}`, or steps | while all of them are there | - |
//! | `write` | `{x 1, y 2}`, or steps | always | they are there |
//! | `cas` | `[{x 1} {x 2}]` | while the first are there | the second are |
//!
//! All of them are a `txn` once a history is read, `:read` and `:write` may be spelled out, and a CAS is a transaction
//! of steps `is` and `w`. A read of nil says that the register was never written, or nothing, as
//! [`NilReads`](crate::history::formats::NilReads) has it. A `:fail` had no effect; a transaction of unknown outcome may
//! have done all of its writes or none.
//! Reference: `knossos.model/multi-register`.

use std::collections::BTreeMap;

use super::{Class, Model};
use crate::history::formats::Specification;
use crate::history::{Op, Reply, Value};

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct MultiRegister;

/// One step of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step<'o> {
    /// It sees this value of this register; before the answer is known, `None`.
    Read(&'o Value, Option<&'o Value>),
    /// It goes on only if the register holds the value.
    Is(&'o Value, &'o Value),
    /// It writes.
    Write(&'o Value, &'o Value),
}

/// The steps of an operation with as much of their answers as there is; `None` if it is no transaction.
pub(crate) fn steps<'o>(op: &'o Op, reply: Option<&'o Reply>) -> Option<Vec<Step<'o>>> {
    let Op::Other { function, argument, .. } = op else { return None };
    if &**function != "txn" {
        return None;
    }
    let (told, answered) = match reply {
        Some(Reply::Value(told @ Value::List(_))) => (told, true),
        None | Some(Reply::Done) => (argument, false),
        Some(_) => return None,
    };
    let Value::List(steps) = told else { return None };
    steps.iter().map(|step| self::step(step, answered)).collect()
}

fn step(step: &Value, answered: bool) -> Option<Step<'_>> {
    let Value::List(parts) = step else { return None };
    let [Value::Text(function), register, value] = parts.as_slice() else { return None };
    match &**function {
        "r" => Some(Step::Read(register, answered.then_some(value))),
        "is" => Some(Step::Is(register, value)),
        "w" => Some(Step::Write(register, value)),
        _ => None,
    }
}

impl Model for MultiRegister {
    /// The registers that are not nil.
    type State = BTreeMap<Value, Value>;

    fn initial(&self) -> BTreeMap<Value, Value> {
        BTreeMap::new()
    }

    fn class(&self, op: &Op) -> Option<Class> {
        let steps = steps(op, None)?;
        match steps.iter().any(|step| matches!(step, Step::Write(..))) {
            true => Some(Class::Conditional),
            false => Some(Class::ReadOnly),
        }
    }

    fn step(
        &self,
        state: &BTreeMap<Value, Value>,
        op: &Op,
        reply: Option<&Reply>,
    ) -> Option<BTreeMap<Value, Value>> {
        let mut next = state.clone();
        for step in steps(op, reply)? {
            match step {
                Step::Read(_, None) => {}
                Step::Read(register, Some(seen)) | Step::Is(register, seen) => {
                    if next.get(register).unwrap_or(&Value::Nil) != seen {
                        return None;
                    }
                }
                Step::Write(register, Value::Nil) => drop(next.remove(register)),
                Step::Write(register, value) => drop(next.insert(register.clone(), value.clone())),
            }
        }
        Some(next)
    }

    fn specification(&self) -> Option<Specification> {
        Some(Specification::MultiRegister)
    }
}

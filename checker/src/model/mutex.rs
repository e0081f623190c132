//! A mutex that anybody may release: `acquire` and `release`, as in Knossos' `mutex`. Initially free.
//!
//! | function | legal | then |
//! |---|---|---|
//! | `acquire` | while it is free | it is held |
//! | `release` | while it is held, by whomever | it is free |
//!
//! Arguments and answers mean nothing. A `:fail` (`:not-held`, a try that found it held) had no effect and says nothing;
//! an operation of unknown outcome may have taken effect. Who holds it is a question for [`super::OwnerMutex`].
//! Reference: `knossos.model/mutex`.

use super::{Class, Model};
use crate::history::formats::Specification;
use crate::history::{Op, Reply};

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mutex;

/// What an operation on a lock wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// To have it.
    Acquire,
    /// To give it back.
    Release,
}

impl Turn {
    /// `None` if it is no operation on a lock.
    pub(crate) fn of(op: &Op) -> Option<Turn> {
        match op {
            Op::Other { function, .. } => match &**function {
                "acquire" => Some(Turn::Acquire),
                "release" => Some(Turn::Release),
                _ => None,
            },
            _ => None,
        }
    }
}

impl Model for Mutex {
    /// Whether it is held.
    type State = bool;

    fn initial(&self) -> bool {
        false
    }

    fn class(&self, op: &Op) -> Option<Class> {
        Turn::of(op).map(|_| Class::Conditional)
    }

    fn step(&self, held: &bool, op: &Op, _reply: Option<&Reply>) -> Option<bool> {
        match (Turn::of(op)?, held) {
            (Turn::Acquire, false) => Some(true),
            (Turn::Release, true) => Some(false),
            _ => None,
        }
    }

    fn specification(&self) -> Option<Specification> {
        Some(Specification::Mutex)
    }
}

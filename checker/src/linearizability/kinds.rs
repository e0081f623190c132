//! Which rule and which search decide the calls of one key.
//!
//! Invariant: every judge answers for one sequential specification only, and `replays` asks its model and nothing else.
//! Of a key-value store the operations tell what a key is; of everything else the model was named.

use super::search::{self, Found};
use super::{
    Call, Contradiction, Ruling, counters, lists, locks, projections, queues, register, sets, turns, unique,
    witness,
};
use crate::history::formats::Specification;
use crate::history::{Op, Value};
use crate::model::{
    Counter, FencedLock, FifoQueue, GrowSet, List, Model, MultiRegister, Mutex, OwnerMutex, Register,
    UnorderedQueue,
};
use crate::verdict::Budget;

/// How the calls of one key are decided.
pub(super) trait Judge: Sync {
    /// The exact rule.
    fn rule(&self, calls: &[Call<'_>], budget: &Budget<'_>) -> Ruling;

    /// The search, for what the rule does not cover.
    fn search(&self, calls: &[Call<'_>], budget: &Budget<'_>) -> Found;

    /// Whether this order is one that the model allows.
    fn replays(&self, calls: &[Call<'_>], order: &[usize]) -> bool;

    /// See [`Model::part`].
    fn part(&self, call: &Call<'_>) -> Option<Value>;

    /// See [`Model::is_read_only`].
    fn is_read_only(&self, call: &Call<'_>) -> bool;

    /// Why calls that the search found violated are, where there is a better way to tell than to leave out what one can.
    fn explain(&self, calls: &[Call<'_>], budget: &Budget<'_>) -> Option<Contradiction>;

    /// Whether what a call put is there until it is replaced, and seen as such, as in registers, lists and sets: then the
    /// values tell what may be left out of a violation.
    fn shows_values(&self) -> bool;
}

/// Makes judges of models of this crate: the name of each, its model, its exact rule.
macro_rules! kinds {
    ($($kind:ident: $model:ident, $rule:expr;)*) => {
        /// The specifications that have a judge here.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Kind {
            $($kind,)*
        }

        impl Kind {
            fn as_judge(self) -> &'static dyn Judge {
                match self {
                    $(Kind::$kind => &Kind::$kind,)*
                }
            }
        }

        impl Judge for Kind {
            fn rule(&self, calls: &[Call<'_>], budget: &Budget<'_>) -> Ruling {
                let rule: fn(&[Call<'_>], &Budget<'_>) -> Ruling = match self {
                    $(Kind::$kind => $rule,)*
                };
                rule(calls, budget)
            }

            fn search(&self, calls: &[Call<'_>], budget: &Budget<'_>) -> Found {
                if *self == Kind::Register {
                    return register::decide(calls, budget);
                }
                match self {
                    $(Kind::$kind => search::search(calls, &$model, budget),)*
                }
            }

            fn replays(&self, calls: &[Call<'_>], order: &[usize]) -> bool {
                match self {
                    $(Kind::$kind => witness::replay(calls, &$model, order),)*
                }
            }

            fn part(&self, call: &Call<'_>) -> Option<Value> {
                match self {
                    $(Kind::$kind => $model.part(call.op, call.reply),)*
                }
            }

            fn is_read_only(&self, call: &Call<'_>) -> bool {
                match self {
                    $(Kind::$kind => $model.is_read_only(call.op, call.reply),)*
                }
            }

            fn explain(&self, calls: &[Call<'_>], budget: &Budget<'_>) -> Option<Contradiction> {
                match self {
                    Kind::Register => register::explain(calls, budget),
                    _ => None,
                }
            }

            fn shows_values(&self) -> bool {
                matches!(self, Kind::Register | Kind::List | Kind::Set)
            }
        }
    };
}

kinds! {
    Register: Register, unique::judge;
    List: List, |calls, _| lists::judge(calls);
    Set: GrowSet, |calls, _| sets::judge(calls);
    Counter: Counter, |calls, _| counters::judge(calls);
    FifoQueue: FifoQueue, |calls, _| queues::fifo(calls);
    UnorderedQueue: UnorderedQueue, |calls, _| queues::unordered(calls);
    Mutex: Mutex, |calls, _| turns::judge(calls);
    OwnerMutex: OwnerMutex, |calls, _| locks::owned(calls);
    FencedLock: FencedLock, |calls, _| locks::fenced(calls);
    MultiRegister: MultiRegister, projections::judge;
}

impl Kind {
    /// `None` if what a key is depends on its operations.
    pub(super) fn of(specification: Specification) -> Option<Kind> {
        match specification {
            Specification::Register
            | Specification::CasRegister
            | Specification::Kv
            | Specification::Append => None,
            Specification::MultiRegister => Some(Kind::MultiRegister),
            Specification::Set => Some(Kind::Set),
            Specification::Counter => Some(Kind::Counter),
            Specification::FifoQueue => Some(Kind::FifoQueue),
            Specification::UnorderedQueue => Some(Kind::UnorderedQueue),
            Specification::Mutex => Some(Kind::Mutex),
            Specification::OwnerMutex => Some(Kind::OwnerMutex),
            Specification::FencedLock => Some(Kind::FencedLock),
        }
    }
}

/// A model that somebody brought along.
pub(super) struct OfModel<'m, M>(pub(super) &'m M);

impl<M: Model> OfModel<'_, M> {
    /// The kind that it is by its own word.
    fn kind(&self) -> Option<Kind> {
        match self.0.specification()? {
            Specification::Register | Specification::CasRegister => Some(Kind::Register),
            Specification::Append | Specification::Kv => Some(Kind::List),
            other => Kind::of(other),
        }
    }
}

impl<M: Model> Judge for OfModel<'_, M> {
    fn rule(&self, calls: &[Call<'_>], budget: &Budget<'_>) -> Ruling {
        self.kind().map_or(Ruling::NotCovered, |kind| kind.rule(calls, budget))
    }

    fn search(&self, calls: &[Call<'_>], budget: &Budget<'_>) -> Found {
        match self.kind() {
            Some(kind) => kind.search(calls, budget),
            None => search::search(calls, self.0, budget),
        }
    }

    fn replays(&self, calls: &[Call<'_>], order: &[usize]) -> bool {
        witness::replay(calls, self.0, order)
    }

    fn part(&self, call: &Call<'_>) -> Option<Value> {
        self.0.part(call.op, call.reply)
    }

    fn is_read_only(&self, call: &Call<'_>) -> bool {
        self.0.is_read_only(call.op, call.reply)
    }

    fn explain(&self, calls: &[Call<'_>], budget: &Budget<'_>) -> Option<Contradiction> {
        self.kind()?.explain(calls, budget)
    }

    fn shows_values(&self) -> bool {
        self.kind().is_some_and(|kind| kind.shows_values())
    }
}

/// What the keys of a history are judged against.
#[derive(Clone, Copy)]
pub(super) enum Against<'m> {
    /// Each against what its operations call for.
    Store,
    /// All against the same of ours.
    Kind(Kind),
    /// All against the same of somebody else's.
    Model(&'m dyn Judge),
}

impl<'m> Against<'m> {
    /// What keys of this specification are judged against.
    pub(super) fn of(specification: Specification) -> Self {
        Kind::of(specification).map_or(Against::Store, Against::Kind)
    }

    /// The judge of these calls, or why there is none.
    pub(super) fn judge(self, calls: &[Call<'_>]) -> Result<&'m dyn Judge, String> {
        match self {
            Against::Store => kind_of(calls).map(Kind::as_judge),
            Against::Kind(kind) => Ok(kind.as_judge()),
            Against::Model(judge) => Ok(judge),
        }
    }
}

fn kind_of(calls: &[Call<'_>]) -> Result<Kind, String> {
    let (mut list, mut set, mut scalar) = (None, None, None);
    for call in calls {
        match call.op {
            Op::Append { .. } => list = list.or(Some(call)),
            Op::Add { .. } | Op::Members { .. } => set = set.or(Some(call)),
            Op::Write { value: Value::Int(_) | Value::Text(_), .. } | Op::Cas { .. } => {
                scalar = scalar.or(Some(call))
            }
            Op::Write { .. } | Op::Delete { .. } | Op::Read { .. } => {}
            Op::Other { .. } => return Err(format!("{call} is no operation of a key-value store")),
        }
    }
    let mixed =
        |a: &Call<'_>, b: &Call<'_>| Err(format!("{} and {} share a key, and no model knows both", a, b));
    match (list, set, scalar) {
        (Some(a), Some(b), _) | (Some(a), None, Some(b)) | (None, Some(b), Some(a)) => mixed(a, b),
        (Some(_), None, None) => Ok(Kind::List),
        (None, Some(set), None) => {
            match calls.iter().find(|c| !matches!(c.op, Op::Add { .. } | Op::Members { .. })) {
                Some(other) => mixed(set, other),
                None => Ok(Kind::Set),
            }
        }
        // Of a key that was only read, the reads alone tell: an empty list is what a list holds at first.
        (None, None, None) if calls.iter().any(|c| matches!(c.observes(), Some(Value::List(_)))) => {
            Ok(Kind::List)
        }
        (None, None, _) => Ok(Kind::Register),
    }
}

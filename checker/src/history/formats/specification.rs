//! What a history is judged against, by name, and whether its functions fit.
//!
//! Invariant: a history and a specification that do not fit are an error that names both, never a verdict. Where functions
//! alone do not tell the model, the weakest one that they allow is taken, which accuses nobody falsely, and the output
//! says which stricter ones there are.

use std::fmt;

use super::settle;
use super::{Function, NilReads, Recorded};
use crate::history::{Key, Op, Outcome, Reply, Value};

/// What the store is supposed to be, per key. The models themselves are in [`crate::model`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Specification {
    /// Read and write.
    Register,
    /// Read, write and compare-and-swap.
    CasRegister,
    /// A key-value store: get, put, compare-and-swap, delete, append.
    Kv,
    /// Registers that are read and written together.
    MultiRegister,
    /// A list: append, and read of the whole.
    Append,
    /// A grow-only set: add, and read of the whole.
    Set,
    /// A counter: add an integer, and read the sum.
    Counter,
    /// Enqueue, and dequeue of what was enqueued first.
    FifoQueue,
    /// Enqueue, and dequeue of anything that is there.
    UnorderedQueue,
    /// A mutex: acquire and release, by whomever.
    Mutex,
    /// A mutex that only its holder releases.
    OwnerMutex,
    /// One that also answers larger and larger tokens.
    FencedLock,
}

/// A function that the specification does not know, or a value that it makes no sense of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this history has :{} at line {}, and {against}", function.name, function.line)]
pub struct Misfit {
    /// The function.
    pub function: Function,
    /// What it does not go with, and what may help.
    pub against: String,
}

impl Specification {
    /// All of them, in the order in which they are tried: the narrower before the wider, the weaker before the stricter.
    pub const ALL: [Specification; 12] = [
        Specification::Register,
        Specification::CasRegister,
        Specification::Mutex,
        Specification::OwnerMutex,
        Specification::FencedLock,
        Specification::Set,
        Specification::Counter,
        Specification::Append,
        Specification::UnorderedQueue,
        Specification::FifoQueue,
        Specification::Kv,
        Specification::MultiRegister,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Specification::Register => "register",
            Specification::CasRegister => "cas-register",
            Specification::Kv => "kv",
            Specification::MultiRegister => "multi-register",
            Specification::Append => "append",
            Specification::Set => "set",
            Specification::Counter => "counter",
            Specification::FifoQueue => "fifo-queue",
            Specification::UnorderedQueue => "unordered-queue",
            Specification::Mutex => "mutex",
            Specification::OwnerMutex => "owner-mutex",
            Specification::FencedLock => "fenced-lock",
        }
    }

    /// What its operations do, in a few words.
    pub fn about(self) -> &'static str {
        match self {
            Specification::Register => "Read and write",
            Specification::CasRegister => "Read, write and compare-and-swap",
            Specification::Kv => "Get, put, compare-and-swap, delete, append",
            Specification::MultiRegister => "Several registers that are read and written together",
            Specification::Append => "A list: append, and read of the whole",
            Specification::Set => "A grow-only set: add, and read of the whole",
            Specification::Counter => "Add an integer, and read the sum",
            Specification::FifoQueue => "Enqueue, and dequeue of what was enqueued first",
            Specification::UnorderedQueue => "Enqueue, and dequeue of anything that is there",
            Specification::Mutex => "Acquire and release, by whomever",
            Specification::OwnerMutex => "Acquire, and release by the holder",
            Specification::FencedLock => {
                "Acquire, which answers larger and larger tokens, and release by the holder"
            }
        }
    }

    /// The functions that it knows.
    pub fn functions(self) -> &'static [&'static str] {
        match self {
            Specification::Register => &["read", "get", "write", "put"],
            Specification::CasRegister => &["read", "get", "write", "put", "cas"],
            Specification::Kv => &["read", "get", "write", "put", "cas", "delete", "append"],
            Specification::MultiRegister => &["txn", "read", "get", "write", "put", "cas"],
            Specification::Append => &["read", "get", "append"],
            Specification::Set => &["read", "get", "members", "add"],
            Specification::Counter => {
                &["read", "get", "add", "inc", "increment", "incr", "dec", "decrement", "decr"]
            }
            Specification::FifoQueue | Specification::UnorderedQueue => &["enqueue", "dequeue", "drain"],
            Specification::Mutex | Specification::OwnerMutex | Specification::FencedLock => {
                &["acquire", "release", "lock", "unlock"]
            }
        }
    }

    fn knows(self, functions: &[Function]) -> bool {
        functions.iter().all(|function| self.functions().contains(&function.name.as_str()))
    }

    /// Whether it knows all functions.
    pub fn fits(self, functions: &[Function]) -> Result<(), Misfit> {
        let strange = functions.iter().find(|function| !self.functions().contains(&function.name.as_str()));
        let Some(function) = strange else { return Ok(()) };
        let against = format!("the model is {self}{}", advice(functions));
        Err(Misfit { function: function.clone(), against })
    }

    /// The narrowest one that knows all functions, and of several such the weakest that the values allow.
    pub fn detect(recorded: &Recorded) -> Result<Specification, Misfit> {
        let functions = &recorded.functions;
        match Self::ALL.into_iter().find(|spec| spec.knows(functions)) {
            Some(Specification::Set) if adds_up(recorded) => Ok(Specification::Counter),
            Some(Specification::Register | Specification::CasRegister) if has_steps(recorded) => {
                Ok(Specification::MultiRegister)
            }
            Some(found) => Ok(found),
            None => Err(Self::strangers(functions)),
        }
    }

    /// Why no model knows these functions.
    fn strangers(functions: &[Function]) -> Misfit {
        // Of the functions before it one exists that no model knows together with it.
        let known = |upto: usize| Self::ALL.iter().any(|spec| spec.knows(&functions[..upto]));
        let upto = (1..functions.len()).find(|&upto| !known(upto)).unwrap_or(functions.len());
        let before: Vec<String> = functions[..upto - 1]
            .iter()
            .map(|function| format!(":{} (line {})", function.name, function.line))
            .collect();
        let against = match before.is_empty() {
            true => "no model knows it".to_owned(),
            false => format!("no model knows it together with {}", before.join(", ")),
        };
        Misfit { function: functions[upto - 1].clone(), against }
    }

    /// What somebody should know who did not name the model: the stricter ones that this history could be judged by.
    pub fn stricter(self) -> Option<&'static str> {
        match self {
            Specification::Mutex => Some(
                "judged as a mutex that anybody may release; --model owner-mutex or fenced-lock ask for more",
            ),
            Specification::UnorderedQueue => {
                Some("judged as a queue without an order; --model fifo-queue asks for more")
            }
            _ => None,
        }
    }

    /// Whether the values of keys are lists here.
    pub(super) fn holds_lists(self, functions: &[Function]) -> bool {
        match self {
            Specification::Append => true,
            Specification::Kv => functions.iter().any(|function| function.name == "append"),
            _ => false,
        }
    }

    /// Spells a history in the words that the specification is decided in: a `read` of a set is one of its members, an
    /// empty list is what an absent one reads as, `inc` is an add of 1, whoever acquires is the owner.
    pub fn settle(self, recorded: &mut Recorded, nil_reads: NilReads) -> Result<(), Misfit> {
        settle::settle(self, recorded, nil_reads).map_err(|strange| {
            let first = recorded.functions.iter().find(|function| function.name == strange.function);
            let function = first.cloned().unwrap_or(Function { name: strange.function, line: 1, column: 1 });
            Misfit { function, against: strange.why }
        })
    }

    /// Whether there is only one thing, or hardly another, that a key can be at first.
    pub fn starts_empty(self) -> bool {
        use Specification as S;
        !matches!(self, S::Register | S::CasRegister | S::Kv | S::MultiRegister | S::Append | S::Counter)
    }

    /// The value that every key holds before the history, as asked for. Or why it cannot hold that.
    pub fn initial(self, value: Value, functions: &[Function]) -> Result<Value, String> {
        let refuse = |what: &str| Err(format!("{value} is no initial value of {self}: {what}"));
        match (self, &value) {
            (_, Value::Nil) => Ok(value),
            (Specification::Set, _) => refuse("a set starts empty"),
            (Specification::Mutex, Value::Text(text)) if &**text == "locked" => Ok(value),
            (Specification::Mutex, _) => refuse("a mutex starts as nil or as locked"),
            (Specification::OwnerMutex | Specification::FencedLock, _) => refuse("the lock starts free"),
            (Specification::FifoQueue | Specification::UnorderedQueue, _) => refuse("a queue starts empty"),
            (Specification::Counter, Value::Int(_)) => Ok(value),
            (Specification::Counter, _) => refuse("a counter starts as an integer"),
            (Specification::MultiRegister, _) if settle::entries(&value).is_some() => Ok(value),
            (Specification::MultiRegister, _) => refuse("it is a map of registers, such as {x 0, y 0}"),
            (_, Value::List(items)) if self.holds_lists(functions) && items.is_empty() => Ok(Value::Nil),
            (_, Value::List(_)) => Ok(value),
            _ if self.holds_lists(functions) => refuse("its keys hold lists, such as [1 2]"),
            _ => Ok(value),
        }
    }

    /// The operation that brings a key from what it is at first to this initial value.
    pub fn before(self, key: &Key, initial: &Value) -> Op {
        let key = key.clone();
        match self {
            Specification::Mutex => Op::Other { key, function: "acquire".into(), argument: Value::Nil },
            Specification::Counter => settle::adding(key, if let Value::Int(by) = initial { *by } else { 0 }),
            Specification::MultiRegister => {
                settle::writing(key, settle::entries(initial).unwrap_or_default())
            }
            _ => Op::Write { key, value: initial.clone() },
        }
    }
}

/// The models that know all of these functions.
fn advice(functions: &[Function]) -> String {
    let mut names: Vec<&str> = Specification::ALL
        .into_iter()
        .filter(|spec| spec.knows(functions))
        .map(Specification::name)
        .collect();
    if functions.iter().any(|function| function.name == "txn") {
        names.insert(0, "list-append");
    }
    match names.split_last() {
        None => String::new(),
        Some((last, [])) => format!("; try --model {last}"),
        Some((last, others)) => format!("; try --model {} or {last}", others.join(", ")),
    }
}

/// Whether the reads see numbers, as those of a counter do, and not collections.
fn adds_up(recorded: &Recorded) -> bool {
    let saw = |outcome| matches!(outcome, Some(&Outcome::Ok(Reply::Value(Value::Int(_)))));
    recorded.recording.operations().any(|operation| saw(operation.outcome))
}

/// Whether the first thing that is written or read is a list of steps `[w x 1]`.
fn has_steps(recorded: &Recorded) -> bool {
    let mut first: Option<(usize, &Value)> = None;
    for operation in recorded.recording.operations() {
        // They stand in the order of their calls: nothing that follows was written or read earlier.
        if first.is_some_and(|(index, _)| index < operation.invoked.index) {
            break;
        }
        let told = match (operation.op, operation.completed, operation.outcome) {
            (Op::Write { value, .. }, ..) => Some((operation.invoked.index, value)),
            (_, Some(end), Some(Outcome::Ok(Reply::Value(value @ Value::List(_))))) => {
                Some((end.index, value))
            }
            _ => None,
        };
        first = first.into_iter().chain(told).min_by_key(|(index, _)| *index);
    }
    first.is_some_and(|(_, value)| settle::are_steps(value))
}

impl fmt::Display for Specification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

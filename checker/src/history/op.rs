//! The vocabulary of calls and replies, shared by the workloads, the clients of every system, and the models.

use std::fmt;
use std::sync::Arc;

/// A key of the store. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub Arc<str>);

/// A value of the store. The bundled workloads write integers only; recorded histories of others hold the rest.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Value {
    /// The key is absent.
    #[default]
    Nil,
    /// An integer.
    Int(i64),
    /// Any other scalar, as text.
    Text(Arc<str>),
    /// The content of a list or of a set, in the order in which the store returned it.
    List(Vec<Value>),
}

/// One call, as a client makes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// Read one register.
    Read {
        /// Which.
        key: Key,
    },
    /// Write one register blindly.
    Write {
        /// Which.
        key: Key,
        /// What it holds afterwards.
        value: Value,
    },
    /// Write `new` if the register holds `expected`.
    Cas {
        /// Which.
        key: Key,
        /// What it must hold before.
        expected: Value,
        /// What it holds afterwards.
        new: Value,
    },
    /// Remove the key.
    Delete {
        /// Which.
        key: Key,
    },
    /// Append one element to the list at `key`. The result of a read of that key is a [`Value::List`].
    Append {
        /// Which list.
        key: Key,
        /// The new last element.
        value: Value,
    },
    /// Add one element to the grow-only set `key`.
    Add {
        /// Which set.
        key: Key,
        /// The element.
        value: Value,
    },
    /// Read the whole set `key`. The reply is a [`Value::List`] in no particular order.
    Members {
        /// Which set.
        key: Key,
    },
    /// Any other function, which a model knows by its name: `enqueue`, `acquire`, one of a model of your own. The reply is
    /// [`Reply::Value`] where there is something to tell, and [`Reply::Done`] otherwise.
    Other {
        /// Which queue, lock...
        key: Key,
        /// The name of the function.
        function: Arc<str>,
        /// What it was called with; [`Value::Nil`] if with nothing.
        argument: Value,
    },
}

/// What a call that took effect answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reply {
    /// The call took effect and has nothing to say (write, append, add, delete, a CAS that swapped).
    Done,
    /// What a read saw.
    Value(Value),
    /// A CAS found another value than the expected one; that value where the system tells it.
    Mismatch(Option<Value>),
}

impl Key {
    /// A key of this name.
    pub fn new(name: impl AsRef<str>) -> Self {
        Self(Arc::from(name.as_ref()))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Op {
    /// The key that this call touches.
    pub fn key(&self) -> &Key {
        match self {
            Op::Read { key }
            | Op::Write { key, .. }
            | Op::Cas { key, .. }
            | Op::Delete { key }
            | Op::Append { key, .. }
            | Op::Add { key, .. }
            | Op::Members { key }
            | Op::Other { key, .. } => key,
        }
    }

    /// The name of the function, as the history file spells it.
    pub fn name(&self) -> &str {
        match self {
            Op::Read { .. } => "read",
            Op::Write { .. } => "write",
            Op::Cas { .. } => "cas",
            Op::Delete { .. } => "delete",
            Op::Append { .. } => "append",
            Op::Add { .. } => "add",
            Op::Members { .. } => "members",
            Op::Other { function, .. } => function,
        }
    }

    /// Whether the call can only observe. A read whose outcome is unknown had no effect all the same.
    pub fn is_read(&self) -> bool {
        matches!(self, Op::Read { .. } | Op::Members { .. })
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Nil => f.write_str("nil"),
            Value::Int(n) => write!(f, "{n}"),
            Value::Text(text) => write!(f, "{text:?}"),
            Value::List(items) => f.debug_list().entries(items).finish(),
        }
    }
}

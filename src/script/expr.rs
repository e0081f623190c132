//! Conditions and values of a choreography: the tree of an expression, its words and its functions.
//!
//! Invariant: a [`Text`] is written down as the text that the author wrote, and read back by the same parser, so that a plan
//! shows conditions as they stand in the suite. Deliberately absent: types, which `check.rs` has, and values, which `eval.rs`
//! has.

use std::fmt;
use std::ops::Range;

use cluster::system::NodeId;
use serde::{Deserialize, Serialize};

use super::parse;

/// An expression with the text that it was read from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Text {
    /// As it was written.
    pub text: String,
    /// What it says.
    pub expr: Expr,
}

impl TryFrom<String> for Text {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let expr = parse::parse(&text).map_err(|error| format!("`{text}`: {}", error.message))?;
        Ok(Self { text, expr })
    }
}

impl From<Text> for String {
    fn from(text: Text) -> String {
        text.text
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// Which bytes of the text it is.
    pub range: Range<usize>,
    /// What it is.
    pub kind: Kind,
}

/// The kinds of expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// `7`
    Number(i128),
    /// `300ms`, in nanoseconds.
    Duration(u64),
    /// `'two words'`
    Quoted(String),
    /// `n1`
    Node(NodeId),
    /// A binding, or a word such as `leader`.
    Name(String),
    /// `commit(n1)`
    Call {
        /// Which function.
        function: Function,
        /// Its arguments.
        args: Vec<Expr>,
        /// `to = n2`: what an event has to say.
        filters: Vec<Filter>,
    },
    /// `leader@3`
    At(Box<Expr>, Box<Expr>),
    /// `1/n2`, `3/2`
    Slash(Box<Expr>, Box<Expr>),
    /// `[1, 1, 4]`
    List(Vec<Expr>),
    /// `{n1, n2}`
    Set(Vec<Expr>),
    /// `+` or `-`
    Sum(Box<Expr>, Sign, Box<Expr>),
    /// `a >= b`
    Compare(Box<Expr>, Comparison, Box<Expr>),
    /// All of these.
    And(Vec<Expr>),
    /// Any of these.
    Or(Vec<Expr>),
    /// Not this.
    Not(Box<Expr>),
}

/// What an event has to say: `to = n2`.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    /// The field.
    pub field: String,
    /// Where its name stands.
    pub range: Range<usize>,
    /// How it compares.
    pub comparison: Comparison,
    /// With what.
    pub value: Expr,
}

/// Plus or minus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// `+`
    Plus,
    /// `-`
    Minus,
}

/// How two values compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `!=`
    Unequal,
    /// `<`
    Below,
    /// `<=`
    AtMost,
    /// `>`
    Above,
    /// `>=`
    AtLeast,
}

impl Comparison {
    /// Whether only things with an order compare so.
    pub fn is_order(self) -> bool {
        !matches!(self, Comparison::Equal | Comparison::Unequal)
    }
}

/// What a function takes in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// A node.
    Node,
    /// A node or several.
    Nodes,
    /// A node, or `any`.
    NodeOrAny,
    /// The name of an operation.
    Operation,
    /// The name of an operation, or of an order in the background.
    Begun,
    /// The name of a moment.
    Label,
    /// The name of messages that are held back.
    Messages,
    /// A failpoint; may be left out.
    Point,
    /// The kind of an event in a trace.
    Event,
}

/// What an expression is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// True or not.
    Truth,
    /// A number.
    Number,
    /// A duration.
    Duration,
    /// A node.
    Node,
    /// Several nodes.
    Nodes,
    /// A role, perhaps with its term.
    Role,
    /// A vote with its term.
    Vote,
    /// An index with its term.
    Position,
    /// A list of numbers.
    Numbers,
    /// What an operation returned.
    Reply,
    /// Not known before it is used: the argument of a procedure that nobody calls.
    Anything,
}

impl Type {
    /// As a noun.
    pub fn noun(self) -> &'static str {
        match self {
            Type::Truth => "a condition",
            Type::Number => "a number",
            Type::Duration => "a duration",
            Type::Node => "a node",
            Type::Nodes => "a set of nodes",
            Type::Role => "a role",
            Type::Vote => "a vote",
            Type::Position => "an index with its term",
            Type::Numbers => "a list of numbers",
            Type::Reply => "what an operation returned",
            Type::Anything => "anything",
        }
    }
}

/// Defines the functions, their names and what they take and give, in one table.
macro_rules! functions {
    ($($variant:ident = $name:literal ($($takes:ident),*) -> $gives:ident, $doc:literal;)+) => {
        /// The functions of conditions.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Function {
            $(#[doc = $doc] $variant,)+
        }

        impl Function {
            /// All of them.
            pub const ALL: &[Function] = &[$(Function::$variant),+];

            /// The name in conditions.
            pub fn name(self) -> &'static str {
                match self { $(Function::$variant => $name,)+ }
            }

            /// What it takes.
            pub fn takes(self) -> &'static [Takes] {
                match self { $(Function::$variant => &[$(Takes::$takes),*],)+ }
            }

            /// What it gives.
            pub fn gives(self) -> Type {
                match self { $(Function::$variant => Type::$gives,)+ }
            }

            /// One sentence.
            pub fn summary(self) -> &'static str {
                match self { $(Function::$variant => $doc,)+ }
            }
        }
    };
}

functions! {
    Role = "role"(Node) -> Role, "The role of a node, with `@` also its term.";
    Term = "term"(Node) -> Number, "Its term.";
    Commit = "commit"(Node) -> Number, "The highest index that it knows to be committed.";
    Applied = "applied"(Node) -> Number, "The highest index that it has applied.";
    LastIndex = "last_index"(Node) -> Number, "The last index of its log.";
    LastTerm = "last_term"(Node) -> Number, "The term of its last entry.";
    LastLog = "last_log"(Node) -> Position, "Index and term of its last entry: 3/2.";
    Durable = "durable"(Node) -> Number, "How far its log is on its disk.";
    Log = "log"(Node) -> Numbers, "The terms of the entries of its log.";
    VotedFor = "voted_for"(Node) -> Vote, "Its vote and the term of that: 1/n2, 1/none.";
    Snapshot = "snapshot"(Node) -> Number, "The last index of its newest snapshot, 0 without one.";
    Boots = "boots"(Node) -> Number, "How often it was started on its data.";
    Leader = "leader"() -> Node, "The node that leads the highest term, by its own word.";
    Leaders = "leaders"() -> Nodes, "All nodes that say that they lead.";
    Followers = "followers"() -> Nodes, "All nodes that say that they follow.";
    Nodes = "nodes"() -> Nodes, "All nodes of the beginning.";
    Others = "others"(Nodes) -> Nodes, "All nodes of the beginning but these.";
    NoLeader = "no_leader"() -> Truth, "Every running node answers, and none leads.";
    Match = "match"(Node, Node) -> Number, "The last entry that a leader knows a follower to have.";
    Next = "next"(Node, Node) -> Number, "The next entry that a leader sends to a follower.";
    Config = "config"(Node) -> Nodes, "The voters of its configuration.";
    Learners = "learners"(Node) -> Nodes, "The learners of its configuration.";
    Outgoing = "outgoing"(Node) -> Nodes, "The voters of C-old in a joint configuration.";
    ConfigIndex = "config_index"(Node) -> Number, "Where its configuration stands in the log.";
    ConfigCommitted = "config_committed"(Node) -> Truth, "Whether that is committed, as far as it knows.";
    Lease = "lease"(Node) -> Truth, "Whether its lease as a leader lasts.";
    Held = "held"(Node, Point) -> Truth, "Whether it stands at a failpoint.";
    HeldBack = "held_back"(Messages) -> Number, "How many messages are held under this label.";
    Running = "running"(Node) -> Truth, "Its process runs.";
    Paused = "paused"(Node) -> Truth, "Its process is stopped.";
    Exited = "exited"(Node) -> Truth, "It has no process.";
    RefusedStart = "refused_start"(Node) -> Truth, "It ended instead of answering when it was started last.";
    Converged = "converged"() -> Truth, "All running nodes have the same log, committed and applied.";
    Acked = "acked"(Begun) -> Truth, "The operation took effect, or the order was carried out.";
    Failed = "failed"(Begun) -> Truth, "The operation provably had no effect, or the order was refused.";
    Unknown = "unknown"(Begun) -> Truth, "Its outcome is unknown for good.";
    Pending = "pending"(Begun) -> Truth, "It has not ended.";
    Unanswered = "unanswered"(Operation) -> Truth, "It has not ended, and its last attempt got no definite answer.";
    Reply = "reply"(Operation) -> Reply, "What it returned.";
    Event = "event"(NodeOrAny, Event) -> Truth, "Whether the trace of a node has such an event.";
    Events = "events"(NodeOrAny, Event) -> Number, "How many such events it has.";
    Elapsed = "elapsed"(Label) -> Duration, "The time since a label.";
}

impl Function {
    /// The function of this name.
    pub fn named(name: &str) -> Option<Self> {
        Function::ALL.iter().copied().find(|function| function.name() == name)
    }

    /// Whether it asks for the trace.
    pub fn reads_trace(self) -> bool {
        matches!(self, Function::Event | Function::Events)
    }

    /// Whether a node has to tell of itself for it.
    pub fn asks_nodes(self) -> bool {
        !matches!(
            self,
            Function::Nodes
                | Function::Others
                | Function::Acked
                | Function::Failed
                | Function::Unknown
                | Function::Pending
                | Function::Unanswered
                | Function::Reply
                | Function::Event
                | Function::Events
                | Function::Elapsed
        )
    }
}

/// Words that stand for themselves, and can therefore be no names.
pub const WORDS: [&str; 10] =
    ["leader", "follower", "candidate", "pre_candidate", "down", "none", "any", "and", "or", "not"];

impl Expr {
    /// Calls `visit` with this and everything in it.
    pub fn walk(&self, visit: &mut dyn FnMut(&Expr)) {
        visit(self);
        match &self.kind {
            Kind::Number(_) | Kind::Duration(_) | Kind::Quoted(_) | Kind::Node(_) | Kind::Name(_) => {}
            Kind::Call { args, filters, .. } => {
                args.iter().chain(filters.iter().map(|filter| &filter.value)).for_each(|e| e.walk(visit));
            }
            Kind::At(a, b) | Kind::Slash(a, b) | Kind::Sum(a, _, b) | Kind::Compare(a, _, b) => {
                a.walk(visit);
                b.walk(visit);
            }
            Kind::List(items) | Kind::Set(items) | Kind::And(items) | Kind::Or(items) => {
                items.iter().for_each(|item| item.walk(visit));
            }
            Kind::Not(inner) => inner.walk(visit),
        }
    }

    /// Whether it asks for the trace of a node.
    pub fn reads_trace(&self) -> bool {
        let mut reads = false;
        self.walk(&mut |e| reads |= matches!(&e.kind, Kind::Call { function, .. } if function.reads_trace()));
        reads
    }
}

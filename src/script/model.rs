//! The steps of a choreography, as they were read.
//!
//! Invariant: every name is known and every type fits, so that a step that cannot be taken is one that the cluster refuses.
//! Nodes are still expressions: who leads is known only when it is needed. A step keeps the line that it stands on, because a
//! run that stops there has to say so.

use cluster::messages::{MessageAction, MessageKind};
use cluster::order::{Elections, FailpointAction, Fsync, Part};
use cluster::start::TwinData;
use cluster::system::Bootstrap;
use serde::{Deserialize, Serialize};

use super::expr::Text;
pub use super::operation::{Call, OpExpect, OpFunction, Operation, Retries, WriteUse};
use crate::suite::FaultUse;

/// A choreography.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Script {
    /// The steps, procedures put in their places.
    pub steps: Vec<Step>,
    /// How it ends.
    pub finish: Finish,
    /// How long a wait may take that says nothing else, in nanoseconds.
    pub within_ns: u64,
    /// How long an operation of a step may take until its outcome is unknown, in nanoseconds.
    pub op_timeout_ns: u64,
}

/// What follows the last step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finish {
    /// Everything is healed, and the final state is read.
    #[default]
    Heal,
    /// Nothing.
    AsIs,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Step {
    /// The line of the suite file.
    pub line: usize,
    /// The step in short: `campaign: n1`.
    pub text: String,
    /// The name of the moment at which it was done.
    pub label: Option<String>,
    /// What it is for, in the words of the author.
    pub note: Option<String>,
    /// The longest that it may take, in nanoseconds, where it says so.
    pub within_ns: Option<u64>,
    /// What it does.
    pub verb: Verb,
}

/// Nodes: one expression or several.
pub type Nodes = Vec<Text>;

/// What a step does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(clippy::large_enum_variant, reason = "a choreography has few steps, and they are read once")]
pub enum Verb {
    /// Sends a signal to processes.
    Signal {
        /// To whom.
        nodes: Nodes,
        /// Which.
        signal: Signal,
    },
    /// Starts nodes.
    Start {
        /// Which.
        nodes: Nodes,
        /// Kills them first where they run.
        first: First,
        /// What is particular about it.
        how: StartUse,
        /// What has to come of it.
        expect: StartExpect,
    },
    /// Kills nodes, and everything that they had not synced is gone.
    PowerLoss {
        /// Which.
        nodes: Nodes,
    },
    /// Arms a failpoint.
    Failpoint {
        /// Where.
        node: Text,
        /// Which.
        point: String,
        /// What happens there.
        action: FailpointAction,
        /// So many hits pass.
        skip: u64,
        /// Only this index.
        index: Option<Text>,
        /// Only this key.
        key: Option<String>,
        /// Only this peer.
        to: Option<Text>,
    },
    /// Disarms failpoints, and lets go on who stands there.
    Release {
        /// Where.
        node: Text,
        /// Which; all of them if absent.
        point: Option<String>,
    },
    /// Cuts links.
    Cut(Vec<Ends>),
    /// Cuts nodes from all others.
    Isolate(Nodes),
    /// Cuts nodes that stand in no common group.
    Partition(Vec<Nodes>),
    /// Heals.
    Heal(Heal),
    /// A fault of the registry.
    Fault {
        /// Which, with its settings.
        used: FaultUse,
        /// Settings that are nodes which only the run knows, by name.
        bound: Vec<(String, Text)>,
    },
    /// Does something to messages that arrive.
    Messages {
        /// What.
        action: MessageAction,
        /// Of which types; of any if empty.
        kinds: Vec<MessageKind>,
        /// From whom; from anybody if absent.
        from: Option<Text>,
        /// At whom.
        to: Text,
        /// Only of this term.
        term: Option<Text>,
        /// Only with the entry of this index.
        index: Option<Text>,
        /// So many pass first.
        skip: u64,
        /// Then it is done to so many.
        count: Option<u64>,
    },
    /// Does something with what is held or recorded under a label.
    Held {
        /// The label.
        held: String,
        /// What.
        action: HeldAction,
        /// The first so many; all if absent.
        count: Option<u64>,
    },
    /// Asks nodes for something.
    Order {
        /// Which nodes.
        nodes: Nodes,
        /// For what.
        order: OrderUse,
        /// What has to come of it.
        expect: OrderExpect,
        /// Whether the step ends when the order does.
        ground: Ground,
        /// Its name in conditions, where it goes on in the background.
        name: Option<String>,
    },
    /// Edits what nodes that are down have stored.
    Edit {
        /// Which nodes.
        nodes: Nodes,
        /// How.
        edit: EditUse,
    },
    /// An operation.
    Operation(Operation),
    /// An operation that has begun before is sent again.
    Retry {
        /// Which.
        op: String,
        /// To whom; to any node if absent.
        at: Option<Text>,
        /// What has to come of it.
        expect: Vec<OpExpect>,
    },
    /// Waits for something.
    Wait {
        /// For what.
        until: Text,
        /// For how long it has to hold, in nanoseconds.
        hold_ns: u64,
        /// What follows if it comes about.
        then: Vec<Step>,
        /// What follows if it does not; the run ends if absent.
        otherwise: Option<Vec<Step>>,
    },
    /// Demands something.
    Assert(Text),
    /// Does one or the other.
    If {
        /// If this holds.
        condition: Text,
        /// Then this.
        then: Vec<Step>,
        /// Else this.
        otherwise: Vec<Step>,
    },
    /// Binds names, one after another; several of one set in the order of their numbers.
    Let(Vec<(Vec<String>, Text)>),
    /// Does something again.
    Repeat {
        /// At most so often.
        times: u64,
        /// Until this holds.
        until: Option<Text>,
        /// What.
        steps: Vec<Step>,
    },
    /// Does something for each node.
    ForEach {
        /// The name that it is bound to.
        name: String,
        /// Of which.
        nodes: Nodes,
        /// What.
        steps: Vec<Step>,
    },
    /// Does lists of steps side by side.
    Parallel(Vec<Vec<Step>>),
    /// The steps of a procedure, with its arguments.
    Call {
        /// Its parameters and what they are bound to.
        with: Vec<(String, Text)>,
        /// Its steps.
        steps: Vec<Step>,
    },
}

/// A signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signal {
    /// SIGKILL.
    Kill,
    /// SIGTERM.
    Stop,
    /// SIGSTOP.
    Pause,
    /// SIGCONT.
    Resume,
}

/// What happens before a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum First {
    /// Nothing: the node is down.
    Nothing,
    /// It is killed.
    Kill,
}

/// What is particular about a start. What is absent stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct StartUse {
    /// Rules of these nodes alone.
    pub rules: Option<Vec<(String, String)>>,
    /// Whether they are told that an empty data directory is no loss.
    pub bootstrap: Bootstrap,
    /// The name of their cluster.
    pub cluster: Option<String>,
    /// The first members of their cluster, as they are told.
    pub members: Option<Nodes>,
    /// For whom they take themselves.
    pub twin: Option<TwinUse>,
}

/// A second process that takes itself for a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TwinUse {
    /// For which.
    pub of: Text,
    /// On which data.
    pub data: TwinData,
}

/// What has to come of a start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StartExpect {
    /// It answers.
    #[default]
    Up,
    /// It ends by itself.
    Refused,
    /// Either.
    Any,
}

/// One end of a link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// The host of the clients.
    Clients,
    /// Nodes.
    Nodes(Text),
}

/// Links between these and those.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Ends {
    /// From these.
    pub from: Vec<End>,
    /// To those.
    pub to: Vec<End>,
    /// In which directions.
    pub way: Way,
}

/// The directions of links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// `->`
    There,
    /// `<->`
    Both,
}

/// What is healed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Heal {
    /// All links.
    All,
    /// These links.
    Links(Vec<Ends>),
    /// All links of these nodes.
    Nodes(Nodes),
    /// The fault of this label.
    Fault(String),
}

/// What is done with messages that are held or recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeldAction {
    /// They go on, and later ones pass.
    Release,
    /// They vanish.
    Discard,
    /// They come once more.
    Replay,
}

/// An order with nodes that are still expressions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(clippy::large_enum_variant, reason = "as in `Verb`")]
pub enum OrderUse {
    /// Stand for election.
    Campaign,
    /// Hand leadership over.
    Transfer(Option<Text>),
    /// Take a snapshot.
    Snapshot,
    /// Whether elections begin by themselves.
    Elections(Elections),
    /// Whether syncs wait.
    Fsync(Fsync),
    /// Believe something of a follower.
    Poke {
        /// Of whom.
        of: Text,
        /// The next index, if that.
        next: Option<Text>,
        /// The index that matches, if that.
        matched: Option<Text>,
    },
    /// Add a member.
    Add(Text, Part),
    /// Make a learner a voter.
    Promote(Text),
    /// Remove a member.
    Remove(Text),
    /// Make these the voters.
    Replace(Nodes),
}

/// What has to come of an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrderExpect {
    /// It is carried out, or begun.
    #[default]
    Done,
    /// The node refuses it.
    Refused,
    /// Anything.
    Any,
}

/// An edit with values that are still expressions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EditUse {
    /// Forget the vote.
    LoseVote,
    /// Forget the term.
    LoseTerm,
    /// Set term and vote.
    HardState {
        /// The term.
        term: Option<Text>,
        /// The vote: a node, or `none`.
        voted_for: Option<Text>,
    },
    /// Remove the last entries.
    TruncateLog(u64),
    /// Replace the log by entries of these terms.
    SeedLog(Vec<u64>),
    /// Flip a bit in the record of an entry.
    CorruptRecord(Text),
    /// Leave so many bytes of the last write.
    TornWrite(u64),
    /// Remove everything.
    Wipe,
    /// Keep a copy.
    Save(String),
    /// Put a copy in its place.
    Restore {
        /// Which.
        from: String,
        /// Of whom; its own if absent.
        of: Option<Text>,
    },
    /// Exchange data with another node.
    Swap(Text),
    /// Flip bits of a file.
    FlipBits {
        /// Which file.
        file: String,
        /// How many bits.
        bits: u32,
    },
    /// Remove a file.
    DeleteFile(String),
}

/// Whether steps go on beside an operation or an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ground {
    /// The step ends when it does.
    Foreground,
    /// The step ends when it has begun.
    Background,
}

impl Step {
    /// The steps inside of it.
    pub fn inner(&self) -> Vec<&[Step]> {
        match &self.verb {
            Verb::Wait { then, otherwise, .. } => {
                vec![then.as_slice(), otherwise.as_deref().unwrap_or_default()]
            }
            Verb::If { then, otherwise, .. } => vec![then, otherwise],
            Verb::Repeat { steps, .. } | Verb::ForEach { steps, .. } | Verb::Call { steps, .. } => {
                vec![steps]
            }
            Verb::Parallel(branches) => branches.iter().map(Vec::as_slice).collect(),
            _ => Vec::new(),
        }
    }

    fn inner_mut(&mut self) -> Vec<&mut [Step]> {
        match &mut self.verb {
            Verb::Wait { then, otherwise, .. } => {
                vec![then.as_mut_slice(), otherwise.as_deref_mut().unwrap_or_default()]
            }
            Verb::If { then, otherwise, .. } => vec![then, otherwise],
            Verb::Repeat { steps, .. } | Verb::ForEach { steps, .. } | Verb::Call { steps, .. } => {
                vec![steps]
            }
            Verb::Parallel(branches) => branches.iter_mut().map(Vec::as_mut_slice).collect(),
            _ => Vec::new(),
        }
    }

    /// The expressions that stand in it alone.
    fn conditions(&self) -> Vec<&Text> {
        match &self.verb {
            Verb::Wait { until, .. } => vec![until],
            Verb::Assert(condition) | Verb::If { condition, .. } => vec![condition],
            Verb::Repeat { until, .. } => until.iter().collect(),
            Verb::Let(bindings) => bindings.iter().map(|(_, text)| text).collect(),
            _ => Vec::new(),
        }
    }
}

impl Script {
    /// Calls `visit` with every step, outer ones first.
    pub fn walk<'s>(&'s self, visit: &mut dyn FnMut(&'s Step)) {
        fn all<'s>(steps: &'s [Step], visit: &mut dyn FnMut(&'s Step)) {
            for step in steps {
                visit(step);
                step.inner().into_iter().for_each(|steps| all(steps, visit));
            }
        }
        all(&self.steps, visit);
    }

    /// The same, to change them.
    pub fn walk_mut(&mut self, visit: &mut dyn FnMut(&mut Step)) {
        fn all(steps: &mut [Step], visit: &mut dyn FnMut(&mut Step)) {
            for step in steps {
                visit(step);
                step.inner_mut().into_iter().for_each(|steps| all(steps, visit));
            }
        }
        all(&mut self.steps, visit);
    }

    /// Whether any condition asks for the traces of the nodes.
    pub fn reads_trace(&self) -> bool {
        let mut reads = false;
        self.walk(&mut |step| reads |= step.conditions().iter().any(|text| text.expr.reads_trace()));
        reads
    }

    /// Whether a step takes what only a disk that fails can do.
    pub fn loses_power(&self) -> bool {
        let mut loses = false;
        self.walk(&mut |step| loses |= matches!(step.verb, Verb::PowerLoss { .. }));
        loses
    }

    /// Whether what an operation has written ends by itself.
    pub fn expires(&self) -> bool {
        self.calls(|one| {
            one.call.function == OpFunction::Put && matches!(one.write_mode, WriteUse::Expiring(_))
        })
    }

    /// Whether an operation is one of a lock.
    pub fn locks(&self) -> bool {
        self.calls(|one| matches!(one.call.function, OpFunction::Lock | OpFunction::Unlock))
    }

    /// Whether there is such an operation.
    fn calls(&self, such: impl Fn(&Operation) -> bool) -> bool {
        let mut found = false;
        self.walk(&mut |step| found |= matches!(&step.verb, Verb::Operation(one) if such(one)));
        found
    }

    /// The faults of the registry that it uses.
    pub fn faults(&self) -> Vec<&FaultUse> {
        let mut faults = Vec::new();
        self.walk(&mut |step| {
            if let Verb::Fault { used, .. } = &step.verb {
                faults.push(used);
            }
        });
        faults
    }
}

//! What a step comes to once it is known which nodes it is about.
//!
//! Invariant: a deed names nodes and links and holds no expression, so that whoever does it decides nothing.

use std::collections::BTreeSet;

use checker::history::{Key, Op, ProcessId, Reply, Value as Datum};
use checker::params::Param;
use cluster::client::Place;
use cluster::edit::{DataEdit, FileEdit, SeedEntry};
use cluster::levers::{Endpoint, Link};
use cluster::messages::{MessageFilter, MessageOrder, MessagePick, MessageRule};
use cluster::order::{Belief, Failpoint, FailpointAction, MemberChange, Order};
use cluster::start::{StartAs, Twin};
use cluster::system::{NodeId, ReadMode, WriteMode};
use cluster::view::Vote;

use crate::script::eval::{Context, Value};
use crate::script::expr::Text;
use crate::script::model::{
    Call, EditUse, End, Ends, First, Heal, HeldAction, Nodes, OpFunction, OrderUse, Signal, StartUse, Verb,
    Way, WriteUse,
};
use crate::suite::FaultUse;

/// Something to be done to the cluster.
#[derive(Clone, Debug, PartialEq)]
pub enum Deed {
    /// Send a signal.
    Signal {
        /// To whom.
        nodes: Vec<NodeId>,
        /// Which.
        signal: Signal,
    },
    /// Start nodes.
    Start {
        /// Which.
        nodes: Vec<NodeId>,
        /// What comes before.
        first: First,
        /// With what, apart from what comes before.
        how: StartAs,
    },
    /// Kill nodes, and what was not synced is gone.
    PowerLoss {
        /// Which.
        nodes: Vec<NodeId>,
    },
    /// Cut links, all at one instant.
    Cut {
        /// Which.
        links: Vec<Link>,
        /// What it is, for people.
        what: String,
    },
    /// The same, in the place of the partition before.
    Partition {
        /// Which.
        links: Vec<Link>,
        /// What it is, for people.
        what: String,
    },
    /// Let links pass again.
    Heal {
        /// Which; all of them if absent.
        links: Option<Vec<Link>>,
    },
    /// End the fault of a label.
    EndFault {
        /// Which.
        label: String,
    },
    /// Begin a fault of the registry.
    Fault {
        /// The label.
        label: String,
        /// The fault and its settings.
        used: FaultUse,
    },
    /// Ask nodes for things, one after another.
    Order {
        /// Whom, and for what.
        orders: Vec<(NodeId, Order)>,
    },
    /// Edit what nodes have stored.
    Edit {
        /// Which.
        nodes: Vec<NodeId>,
        /// How.
        edit: Edit,
    },
}

/// An edit of what is stored.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// In the system's own terms.
    File(FileEdit),
    /// By its files alone.
    Data(DataEdit),
}

/// What became of a deed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// How it ended.
    pub outcome: TakenOutcome,
    /// What shows that.
    pub said: String,
    /// Nodes that ended instead of answering.
    pub refused: Vec<NodeId>,
}

/// How a deed ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakenOutcome {
    /// It was done.
    Done,
    /// It was refused, and nothing was done.
    Refused,
    /// It failed, or nobody knows.
    Failed,
}

/// A call of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Invocation {
    /// The number of the operation in the choreography.
    pub number: u64,
    /// Under which process to record it.
    pub process: ProcessId,
    /// What is called.
    pub op: Op,
    /// This node alone; any if absent.
    pub at: Option<NodeId>,
    /// How long the attempt may take, in nanoseconds.
    pub timeout_ns: u64,
    /// How a read is answered.
    pub mode: ReadMode,
    /// What a write is beside what it writes.
    pub write_mode: WriteMode,
    /// Under which number it is sent, if it can be repeated or its client has a name.
    pub place: Option<Place>,
    /// Whose connection it uses; one of its own if absent.
    pub client: Option<String>,
    /// Which attempt it is.
    pub attempt: Attempt,
}

/// Which attempt of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The only one: however it ends, the operation does.
    Only,
    /// The first of several: without a definite answer, the operation stays open.
    First,
    /// A later one: an earlier one may have taken effect, so that only an acknowledgement ends the operation.
    Later,
}

/// What is needed to make a deed of a verb.
pub(super) struct Maker<'m> {
    pub(super) context: Context<'m>,
    /// Every node, spare ones included.
    pub(super) all: Vec<NodeId>,
    /// The number of the step, for what is random in it.
    pub(super) step: usize,
    pub(super) label: Option<&'m str>,
}

impl Maker<'_> {
    fn node(&self, text: &Text) -> Option<NodeId> {
        self.context.node(&text.expr)
    }

    pub(super) fn nodes(&self, nodes: &Nodes) -> Option<Vec<NodeId>> {
        let mut all: Vec<NodeId> = Vec::new();
        for text in nodes {
            for node in self.context.nodes(&text.expr)? {
                if !all.contains(&node) {
                    all.push(node);
                }
            }
        }
        Some(all)
    }

    fn number(&self, text: &Text) -> Option<u64> {
        match self.context.value(&text.expr)? {
            Value::Number(number) => u64::try_from(number).ok(),
            _ => None,
        }
    }

    /// What the outer `None` is for what is not known, and the inner one for what is absent.
    fn maybe<T>(&self, text: Option<&Text>, read: impl Fn(&Self, &Text) -> Option<T>) -> Option<Option<T>> {
        text.map_or(Some(None), |text| read(self, text).map(Some))
    }

    /// The deed of a verb; `None` while a node that it names is not known.
    pub(super) fn deed(&self, verb: &Verb) -> Option<Deed> {
        Some(match verb {
            Verb::Signal { nodes, signal } => Deed::Signal { nodes: self.nodes(nodes)?, signal: *signal },
            Verb::Start { nodes, first, how, .. } => {
                Deed::Start { nodes: self.nodes(nodes)?, first: *first, how: self.start(how)? }
            }
            Verb::PowerLoss { nodes } => Deed::PowerLoss { nodes: self.nodes(nodes)? },
            Verb::Failpoint { node, point, action, skip, index, key, to } => {
                let failpoint = Failpoint {
                    skip: *skip,
                    index: self.maybe(index.as_ref(), Self::number)?,
                    key: key.clone(),
                    to: self.maybe(to.as_ref(), Self::node)?,
                    ..Failpoint::new(point.clone(), *action)
                };
                Deed::Order { orders: vec![(self.node(node)?, Order::Failpoint(failpoint))] }
            }
            Verb::Release { node, point } => {
                let order = Order::ReleaseFailpoint { point: point.clone() };
                Deed::Order { orders: vec![(self.node(node)?, order)] }
            }
            Verb::Cut(ends) => Deed::Cut { links: self.links(ends)?, what: self.in_words(ends)? },
            Verb::Isolate(nodes) => {
                let nodes = self.nodes(nodes)?;
                let groups: Vec<Vec<NodeId>> = nodes.iter().map(|node| vec![*node]).collect();
                let rest = self.all.iter().filter(|node| !nodes.contains(node)).copied().collect();
                let links = self.between(&[groups, vec![rest]].concat());
                Deed::Cut { links, what: format!("{} alone", list(&nodes)) }
            }
            Verb::Partition(groups) => {
                let groups: Vec<Vec<NodeId>> =
                    groups.iter().map(|group| self.nodes(group)).collect::<Option<_>>()?;
                let what = groups.iter().map(|group| list(group)).collect::<Vec<_>>().join(" | ");
                Deed::Partition { links: self.between(&groups), what }
            }
            Verb::Heal(Heal::All) => Deed::Heal { links: None },
            Verb::Heal(Heal::Fault(label)) => Deed::EndFault { label: label.clone() },
            Verb::Heal(Heal::Links(ends)) => Deed::Heal { links: Some(self.links(ends)?) },
            Verb::Heal(Heal::Nodes(nodes)) => {
                let nodes: BTreeSet<NodeId> = self.nodes(nodes)?.into_iter().collect();
                let touches = |end| matches!(end, Endpoint::Node(node) if nodes.contains(&node));
                let links = self.all_links().into_iter();
                let links = links.filter(|link| touches(link.from) || touches(link.to)).collect();
                Deed::Heal { links: Some(links) }
            }
            Verb::Fault { used, bound } => {
                let mut used = used.clone();
                for (setting, text) in bound {
                    let node = Param::Text(self.node(text)?.to_string());
                    used.settings.0.insert(setting.clone(), node);
                }
                Deed::Fault { label: self.label.unwrap_or_default().to_owned(), used }
            }
            Verb::Messages { action, skip, count, to, .. } => {
                let rule = MessageRule {
                    skip: *skip,
                    count: *count,
                    ..MessageRule::new(*action, self.filter(verb)?)
                };
                Deed::Order { orders: vec![(self.node(to)?, Order::Messages(MessageOrder::Arm(rule)))] }
            }
            Verb::Held { held, action, count } => self.held(held, *action, *count)?,
            Verb::Order { nodes, order, .. } => {
                let order = self.order(order)?;
                let nodes = self.nodes(nodes)?;
                Deed::Order { orders: nodes.into_iter().map(|node| (node, order.clone())).collect() }
            }
            Verb::Edit { nodes, edit } => Deed::Edit { nodes: self.nodes(nodes)?, edit: self.edit(edit)? },
            _ => return None,
        })
    }

    fn start(&self, used: &StartUse) -> Option<StartAs> {
        let twin = match &used.twin {
            Some(twin) => Some(Twin { of: self.node(&twin.of)?, data: twin.data }),
            None => None,
        };
        let members = match &used.members {
            Some(members) => Some(self.nodes(members)?),
            None => None,
        };
        let (rules, cluster) = (used.rules.clone(), used.cluster.clone());
        Some(StartAs { rules, bootstrap: used.bootstrap, cluster, members, twin, ..StartAs::default() })
    }

    /// Which messages a step is about.
    pub(super) fn filter(&self, verb: &Verb) -> Option<MessageFilter> {
        let Verb::Messages { kinds, from, term, index, .. } = verb else { return None };
        Some(MessageFilter {
            kinds: kinds.clone(),
            from: self.maybe(from.as_ref(), Self::node)?,
            term: self.maybe(term.as_ref(), Self::number)?,
            index: self.maybe(index.as_ref(), Self::number)?,
        })
    }

    fn held(&self, label: &str, action: HeldAction, count: Option<u64>) -> Option<Deed> {
        let (node, filter) = self.context.scene.messages.get(label)?.clone();
        let pick = MessagePick { filter: filter.clone(), count };
        let disarm = MessageOrder::Disarm { filter: Some(filter) };
        let orders = match action {
            // A part of them goes on; what comes later is still held.
            HeldAction::Release if count.is_some() => vec![MessageOrder::Release(pick)],
            HeldAction::Release => vec![disarm, MessageOrder::Release(pick)],
            HeldAction::Discard if count.is_some() => vec![MessageOrder::Discard(pick)],
            HeldAction::Discard => vec![disarm, MessageOrder::Discard(pick)],
            HeldAction::Replay => vec![MessageOrder::Replay(pick)],
        };
        Some(Deed::Order { orders: orders.into_iter().map(|order| (node, Order::Messages(order))).collect() })
    }

    fn order(&self, order: &OrderUse) -> Option<Order> {
        Some(match order {
            OrderUse::Campaign => Order::Campaign,
            OrderUse::Transfer(to) => Order::Transfer { to: self.maybe(to.as_ref(), Self::node)? },
            OrderUse::Snapshot => Order::Snapshot,
            OrderUse::Elections(elections) => Order::Elections(*elections),
            OrderUse::Fsync(fsync) => Order::Fsync(*fsync),
            OrderUse::Poke { of, next, matched } => {
                let next = self.maybe(next.as_ref(), Self::number)?;
                let matched = self.maybe(matched.as_ref(), Self::number)?;
                let belief = next.map(Belief::NextIndex).or(matched.map(Belief::MatchIndex))?;
                Order::Poke { of: self.node(of)?, belief }
            }
            OrderUse::Add(node, part) => {
                Order::Members(MemberChange::Add { node: self.node(node)?, part: *part })
            }
            OrderUse::Promote(node) => Order::Members(MemberChange::Promote { node: self.node(node)? }),
            OrderUse::Remove(node) => Order::Members(MemberChange::Remove { node: self.node(node)? }),
            OrderUse::Replace(voters) => {
                Order::Members(MemberChange::Replace { voters: self.nodes(voters)? })
            }
        })
    }

    fn edit(&self, edit: &EditUse) -> Option<Edit> {
        Some(match edit {
            EditUse::LoseVote => Edit::File(FileEdit::LoseVote),
            EditUse::LoseTerm => Edit::File(FileEdit::LoseTerm),
            EditUse::HardState { term, voted_for } => {
                let vote = match voted_for {
                    None => None,
                    Some(text) => Some(match self.context.value(&text.expr)? {
                        Value::Node(node) | Value::Vote(Some(node), _) => Vote::For(node),
                        _ => Vote::Nobody,
                    }),
                };
                let term = self.maybe(term.as_ref(), Self::number)?;
                Edit::File(FileEdit::EditHardState { term, vote })
            }
            EditUse::TruncateLog(entries) => Edit::File(FileEdit::TruncateLog { entries: *entries }),
            EditUse::SeedLog(terms) => {
                let entries = terms.iter().map(|term| SeedEntry { term: *term, put: None }).collect();
                Edit::File(FileEdit::SeedLog { entries })
            }
            EditUse::CorruptRecord(index) => {
                Edit::File(FileEdit::CorruptRecord { index: self.number(index)? })
            }
            EditUse::TornWrite(keep) => Edit::File(FileEdit::TornWrite { keep: *keep }),
            EditUse::Wipe => Edit::Data(DataEdit::Wipe),
            EditUse::Save(name) => Edit::Data(DataEdit::Save { name: name.clone() }),
            EditUse::Restore { from, of } => {
                let of = self.maybe(of.as_ref(), Self::node)?;
                Edit::Data(DataEdit::Restore { name: from.clone(), of })
            }
            EditUse::Swap(with) => Edit::Data(DataEdit::Swap { with: self.node(with)? }),
            EditUse::FlipBits { file, bits } => {
                Edit::Data(DataEdit::FlipBits { file: file.clone(), bits: *bits, seed: self.step as u64 })
            }
            EditUse::DeleteFile(file) => Edit::Data(DataEdit::DeleteFile { file: file.clone() }),
        })
    }

    /// The call of an operation of this client.
    pub(super) fn call(&self, call: &Call, client: Option<&str>) -> Option<Op> {
        let key = Key::new(&call.key);
        let datum = |text: Option<&Text>| match self.context.value(&text?.expr)? {
            Value::Number(number) => i64::try_from(number).ok().map(Datum::Int),
            Value::Reply(datum) => Some(datum),
            _ => None,
        };
        let value = || Some(padded(datum(call.value.as_ref())?, call.bytes));
        Some(match call.function {
            OpFunction::Put => Op::Write { key, value: value()? },
            OpFunction::Get => Op::Read { key },
            OpFunction::Delete => Op::Delete { key },
            OpFunction::Cas => Op::Cas { key, expected: datum(call.expected.as_ref())?, new: value()? },
            OpFunction::Append => Op::Append { key, value: value()? },
            OpFunction::Add => Op::Add { key, value: value()? },
            OpFunction::Members => Op::Members { key },
            OpFunction::Lock | OpFunction::Unlock => {
                let argument = Datum::Text(client?.into());
                Op::Other { key, function: call.function.name().into(), argument }
            }
        })
    }

    /// What a write is beside what it writes.
    pub(super) fn write_mode(&self, used: &WriteUse) -> Option<WriteMode> {
        Some(match used {
            WriteUse::Plain => WriteMode::Plain,
            WriteUse::Expiring(ttl_ms) => WriteMode::Expiring { ttl_ms: *ttl_ms },
            WriteUse::Fenced { lock, by } => {
                let granted = self.context.scene.operations.get(by)?.reply()?;
                let Reply::Value(Datum::Int(token)) = granted else { return None };
                WriteMode::Fenced { lock: lock.clone(), token: u64::try_from(*token).ok()? }
            }
            WriteUse::Poison(only) => WriteMode::Poison { only: self.maybe(only.as_ref(), Self::node)? },
        })
    }

    fn ends(&self, ends: &[End]) -> Option<Vec<Endpoint>> {
        let mut all = Vec::new();
        for end in ends {
            match end {
                End::Clients => all.push(Endpoint::Clients),
                End::Nodes(text) => {
                    all.extend(self.context.nodes(&text.expr)?.into_iter().map(Endpoint::Node));
                }
            }
        }
        Some(all)
    }

    fn links(&self, ends: &[Ends]) -> Option<Vec<Link>> {
        let mut links = Vec::new();
        for Ends { from, to, way } in ends {
            let (from, to) = (self.ends(from)?, self.ends(to)?);
            for (a, b) in from.iter().flat_map(|a| to.iter().map(move |b| (*a, *b))) {
                let there = Link { from: a, to: b };
                let back = Link { from: b, to: a };
                let both = [Some(there), (*way == Way::Both).then_some(back)];
                links.extend(both.into_iter().flatten().filter(|link| link.from != link.to));
            }
        }
        links.sort_unstable();
        links.dedup();
        Some(links)
    }

    fn in_words(&self, ends: &[Ends]) -> Option<String> {
        let name = |end: &Endpoint| match end {
            Endpoint::Clients => "clients".to_owned(),
            Endpoint::Node(node) => node.to_string(),
        };
        let side = |ends: &[End]| Some(self.ends(ends)?.iter().map(name).collect::<Vec<_>>().join(" "));
        let one = |ends: &Ends| {
            let arrow = if ends.way == Way::Both { "<->" } else { "->" };
            Some(format!("{} {arrow} {}", side(&ends.from)?, side(&ends.to)?))
        };
        Some(ends.iter().map(one).collect::<Option<Vec<_>>>()?.join(", "))
    }

    /// The links between nodes that stand in no common group. Nodes in no group at all see only one another.
    fn between(&self, groups: &[Vec<NodeId>]) -> Vec<Link> {
        let grouped = |node: &NodeId| groups.iter().any(|group| group.contains(node));
        let rest: Vec<NodeId> = self.all.iter().filter(|node| !grouped(node)).copied().collect();
        let together = |a: NodeId, b: NodeId| {
            groups.iter().chain([&rest]).any(|group| group.contains(&a) && group.contains(&b))
        };
        let pairs = self.all.iter().flat_map(|a| self.all.iter().map(move |b| (*a, *b)));
        let apart = pairs.filter(|(a, b)| a != b && !together(*a, *b));
        apart.map(|(a, b)| Link { from: Endpoint::Node(a), to: Endpoint::Node(b) }).collect()
    }

    fn all_links(&self) -> Vec<Link> {
        nemesis::baseline::all_links(&self.all)
    }
}

impl Deed {
    /// Nodes that may end by themselves from now on, because a step wants so.
    pub fn dooms(&self) -> Vec<NodeId> {
        let doom = |(node, order): &(NodeId, Order)| match order {
            Order::Failpoint(Failpoint { action: FailpointAction::Crash, .. }) => Some(*node),
            _ => None,
        };
        match self {
            Deed::Order { orders } => orders.iter().filter_map(doom).collect(),
            _ => Vec::new(),
        }
    }
}

/// The same value, made so many bytes long.
fn padded(value: Datum, bytes: Option<usize>) -> Datum {
    let Some(bytes) = bytes else { return value };
    let mut text = match value {
        Datum::Text(text) => text.to_string(),
        other => other.to_string(),
    };
    let missing = bytes.saturating_sub(text.len());
    text.extend(std::iter::repeat_n('.', missing));
    Datum::Text(text.into())
}

fn list(nodes: &[NodeId]) -> String {
    nodes.iter().map(NodeId::to_string).collect::<Vec<_>>().join(" ")
}

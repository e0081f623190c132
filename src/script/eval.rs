//! What an expression is worth, as far as it is known.
//!
//! Three values: what is true, what is false, and what is not known, because a node did not answer or was not asked since the
//! step began. Invariant: what is not known never becomes true or false by `not`, `and` or `or`, except where the other side
//! alone decides (Kleene's logic). Reference: Kleene, Introduction to Metamathematics, section 64.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use checker::history::{Outcome, Reply, Value as Datum};
use cluster::levers::ProcessState;
use cluster::system::{NodeId, Role as Played, View};
use cluster::view::{Lease, Vote};
use serde_json::Value as Json;

use super::expr::{Comparison, Expr, Filter, Function, Kind, Sign};
use super::scene::{Scene, Seen, TraceLine};
use crate::director::Nanos;

/// A role in a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It follows, or learns.
    Follower,
    /// It rehearses an election.
    PreCandidate,
    /// It stands for election.
    Candidate,
    /// It leads.
    Leader,
    /// It has no process.
    Down,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// True or not.
    Truth(bool),
    /// A number.
    Number(i128),
    /// A duration in nanoseconds.
    Duration(u64),
    /// A node.
    Node(NodeId),
    /// Several.
    Nodes(BTreeSet<NodeId>),
    /// A role, perhaps with a term.
    Role(Role, Option<i128>),
    /// A vote, perhaps with its term.
    Vote(Option<NodeId>, Option<i128>),
    /// An index with its term.
    Position(i128, i128),
    /// A list.
    Numbers(Vec<Datum>),
    /// What an operation returned.
    Reply(Datum),
}

/// Bindings with their values.
pub type Bindings = BTreeMap<String, Value>;

/// What an expression is evaluated in.
#[derive(Clone, Copy, Debug)]
pub struct Context<'c> {
    /// What is known.
    pub scene: &'c Scene,
    /// The bindings.
    pub bindings: &'c Bindings,
    /// Now.
    pub now: Nanos,
    /// What was asked for before this does not count.
    pub since: Nanos,
}

impl Context<'_> {
    /// Whether a condition holds; `None` if that is not known.
    pub fn holds(&self, expr: &Expr) -> Option<bool> {
        match self.value(expr)? {
            Value::Truth(truth) => Some(truth),
            _ => None,
        }
    }

    /// The value of an expression.
    pub fn value(&self, expr: &Expr) -> Option<Value> {
        Some(match &expr.kind {
            Kind::Number(number) => Value::Number(*number),
            Kind::Duration(ns) => Value::Duration(*ns),
            Kind::Quoted(text) => Value::Reply(Datum::Text(text.as_str().into())),
            Kind::Node(node) => Value::Node(*node),
            Kind::Name(name) => return self.named(name),
            Kind::Call { function, args, filters } => return self.call(*function, args, filters),
            Kind::At(role, term) => match (self.value(role)?, self.value(term)?) {
                (Value::Role(role, _), Value::Number(term)) => Value::Role(role, Some(term)),
                _ => return None,
            },
            Kind::Slash(left, right) => match (self.value(left)?, self.value(right)?) {
                (Value::Number(index), Value::Number(term)) => Value::Position(index, term),
                (Value::Number(term), Value::Node(node)) => Value::Vote(Some(node), Some(term)),
                (Value::Number(term), Value::Vote(node, _)) => Value::Vote(node, Some(term)),
                _ => return None,
            },
            Kind::List(items) => {
                Value::Numbers(items.iter().map(|item| self.datum(item)).collect::<Option<_>>()?)
            }
            Kind::Set(items) => {
                Value::Nodes(items.iter().map(|item| self.node(item)).collect::<Option<_>>()?)
            }
            Kind::Sum(left, sign, right) => match (self.value(left)?, self.value(right)?, sign) {
                (Value::Number(a), Value::Number(b), Sign::Plus) => Value::Number(a.saturating_add(b)),
                (Value::Number(a), Value::Number(b), Sign::Minus) => Value::Number(a.saturating_sub(b)),
                _ => return None,
            },
            Kind::Compare(left, comparison, right) => {
                Value::Truth(compare(&self.value(left)?, *comparison, &self.value(right)?)?)
            }
            Kind::And(parts) => return self.all(parts, false).map(Value::Truth),
            Kind::Or(parts) => return self.all(parts, true).map(Value::Truth),
            Kind::Not(inner) => Value::Truth(!self.holds(inner)?),
        })
    }

    /// `and` with `decisive` false, `or` with true.
    fn all(&self, parts: &[Expr], decisive: bool) -> Option<bool> {
        let values: Vec<Option<bool>> = parts.iter().map(|part| self.holds(part)).collect();
        if values.contains(&Some(decisive)) {
            return Some(decisive);
        }
        (!values.contains(&None)).then_some(!decisive)
    }

    /// The node that an expression names.
    pub fn node(&self, expr: &Expr) -> Option<NodeId> {
        match self.value(expr)? {
            Value::Node(node) => Some(node),
            _ => None,
        }
    }

    /// The nodes that an expression names, in the order of their numbers.
    pub fn nodes(&self, expr: &Expr) -> Option<BTreeSet<NodeId>> {
        match self.value(expr)? {
            Value::Node(node) => Some(BTreeSet::from([node])),
            Value::Nodes(nodes) => Some(nodes),
            _ => None,
        }
    }

    fn datum(&self, expr: &Expr) -> Option<Datum> {
        match self.value(expr)? {
            Value::Number(number) => i64::try_from(number).ok().map(Datum::Int),
            Value::Reply(datum) => Some(datum),
            _ => None,
        }
    }

    fn named(&self, name: &str) -> Option<Value> {
        if let Some(value) = self.bindings.get(name) {
            return Some(value.clone());
        }
        let role = match name {
            "leader" => Role::Leader,
            "follower" => Role::Follower,
            "candidate" => Role::Candidate,
            "pre_candidate" => Role::PreCandidate,
            "down" => Role::Down,
            "none" => return Some(Value::Vote(None, None)),
            _ => return None,
        };
        Some(Value::Role(role, None))
    }

    /// What is known of a node's process since the step began.
    fn process(&self, node: NodeId) -> Option<(&Seen, ProcessState)> {
        let seen = self.scene.nodes.get(&node)?;
        (seen.process_at >= self.since).then_some((seen, seen.process))
    }

    /// What a node said since the step began.
    fn view(&self, node: NodeId) -> Option<&View> {
        let seen = self.scene.nodes.get(&node)?;
        seen.asked.filter(|asked| *asked >= self.since)?;
        seen.view.as_ref()
    }

    fn role_of(&self, node: NodeId) -> Option<Value> {
        if let Some((_, ProcessState::Down)) = self.process(node) {
            return Some(Value::Role(Role::Down, None));
        }
        let view = self.view(node)?;
        let role = match view.role? {
            Played::Follower => Role::Follower,
            Played::PreCandidate => Role::PreCandidate,
            Played::Candidate => Role::Candidate,
            Played::Leader => Role::Leader,
        };
        Some(Value::Role(role, view.term.map(i128::from)))
    }

    /// All nodes that play this role, by their own word. Not known while a running one has not been asked.
    fn playing(&self, wanted: Role) -> Option<Vec<(Option<i128>, NodeId)>> {
        let mut playing = Vec::new();
        for (node, seen) in &self.scene.nodes {
            match self.role_of(*node) {
                Some(Value::Role(role, term)) if role == wanted => playing.push((term, *node)),
                Some(_) => {}
                // Asked, and no answer: it may be paused or held. What the others say is all that there is.
                None if seen.asked.is_some_and(|asked| asked >= self.since) => {}
                None => return None,
            }
        }
        Some(playing)
    }

    fn call(&self, function: Function, args: &[Expr], filters: &[Filter]) -> Option<Value> {
        let node = |index: usize| args.get(index).and_then(|arg| self.node(arg));
        let number = |value: Option<u64>| Some(Value::Number(i128::from(value?)));
        let view = || self.view(node(0)?);
        let set = |nodes: &[NodeId]| Value::Nodes(nodes.iter().copied().collect());
        let state = |wanted| Some(Value::Truth(self.process(node(0)?)?.1 == wanted));
        match function {
            Function::Role => self.role_of(node(0)?),
            Function::Term => number(view()?.term),
            Function::Commit => number(view()?.commit_index),
            Function::Applied => number(view()?.last_applied),
            Function::LastIndex => number(view()?.last_log_index),
            Function::LastTerm => number(view()?.last_log_term),
            Function::Durable => number(view()?.durable_index),
            Function::Snapshot => number(view()?.snapshot_index),
            Function::Boots => number(view()?.boot),
            Function::LastLog => position(view()?),
            Function::Log => log(view()?),
            Function::VotedFor => voted_for(view()?),
            Function::Leader => {
                self.playing(Role::Leader)?.into_iter().max().map(|(_, node)| Value::Node(node))
            }
            Function::Leaders => Some(only_nodes(self.playing(Role::Leader)?)),
            Function::Followers => Some(only_nodes(self.playing(Role::Follower)?)),
            Function::NoLeader => self.no_leader().map(Value::Truth),
            Function::Nodes => Some(Value::Nodes(self.scene.members.clone())),
            Function::Others => {
                let without = self.nodes(args.first()?)?;
                Some(Value::Nodes(self.scene.members.difference(&without).copied().collect()))
            }
            Function::Match | Function::Next => {
                let follower = node(1)?;
                let progress =
                    view()?.progress.as_ref()?.iter().find(|progress| progress.node == follower)?;
                let next = function == Function::Next;
                number(Some(if next { progress.next_index } else { progress.match_index }))
            }
            Function::Config => Some(set(&view()?.config.as_ref()?.voters)),
            Function::Learners => Some(set(&view()?.config.as_ref()?.learners)),
            Function::Outgoing => Some(set(&view()?.config.as_ref()?.outgoing)),
            Function::ConfigIndex => number(Some(view()?.config.as_ref()?.index)),
            Function::ConfigCommitted => Some(Value::Truth(view()?.config.as_ref()?.committed)),
            Function::Lease => Some(Value::Truth(matches!(view()?.lease?, Lease::Lasts { .. }))),
            Function::Held => {
                let held = view()?.held.as_ref()?;
                let point = args.get(1).and_then(word);
                Some(Value::Truth(held.iter().any(|held| point.is_none_or(|point| held.point == point))))
            }
            Function::HeldBack => {
                let (node, filter) = self.scene.messages.get(word(args.first()?)?)?;
                let messages = self.view(*node)?.messages.as_ref()?;
                number(Some(messages.held.iter().filter(|seen| filter.matches(seen)).count() as u64))
            }
            Function::Running => state(ProcessState::Running),
            Function::Paused => state(ProcessState::Paused),
            Function::Exited => state(ProcessState::Down),
            Function::RefusedStart => Some(Value::Truth(self.process(node(0)?)?.0.refused)),
            Function::Converged => self.converged().map(Value::Truth),
            Function::Elapsed => {
                let label = self.scene.labels.get(word(args.first()?)?)?;
                Some(Value::Duration(self.now.saturating_sub(*label)))
            }
            Function::Event => self.events(args, filters).map(|count| Value::Truth(count > 0)),
            Function::Events => self.events(args, filters).map(|count| Value::Number(count as i128)),
            _ => self.of_operation(function, word(args.first()?)?),
        }
    }

    fn of_operation(&self, function: Function, name: &str) -> Option<Value> {
        let operation = self.scene.operations.get(name)?;
        let ended = operation.outcome.as_ref();
        Some(Value::Truth(match function {
            Function::Acked => matches!(ended, Some(Outcome::Ok(_))),
            Function::Failed => matches!(ended, Some(Outcome::Failed(_))),
            Function::Unknown => matches!(ended, Some(Outcome::Unknown(_))),
            Function::Pending => ended.is_none(),
            Function::Unanswered => ended.is_none() && operation.unanswered,
            Function::Reply => {
                return Some(Value::Reply(match operation.reply()? {
                    Reply::Value(value) => value.clone(),
                    Reply::Mismatch(Some(value)) => value.clone(),
                    Reply::Done | Reply::Mismatch(None) => return None,
                }));
            }
            _ => return None,
        }))
    }

    fn no_leader(&self) -> Option<bool> {
        let mut open = false;
        for node in self.scene.nodes.keys() {
            match self.role_of(*node) {
                Some(Value::Role(Role::Leader, _)) => return Some(false),
                Some(_) => {}
                None => open = true,
            }
        }
        (!open).then_some(true)
    }

    fn converged(&self) -> Option<bool> {
        let mut first: Option<(Option<u64>, Option<u64>)> = None;
        for (node, _) in self.scene.nodes.iter().filter(|(node, _)| self.scene.members.contains(node)) {
            if let Some((_, ProcessState::Down)) = self.process(*node) {
                continue;
            }
            let view = self.view(*node)?;
            let log = (view.last_log_index, view.last_log_term);
            let applied = view.last_applied == view.commit_index && view.commit_index == view.last_log_index;
            if !applied || *first.get_or_insert(log) != log {
                return Some(false);
            }
        }
        Some(true)
    }

    fn events(&self, args: &[Expr], filters: &[Filter]) -> Option<usize> {
        if self.scene.trace_read < self.since {
            return None;
        }
        let event = word(args.get(1)?)?;
        let nodes: Vec<NodeId> = match word(args.first()?) {
            Some("any") => self.scene.trace.keys().copied().collect(),
            _ => vec![self.node(args.first()?)?],
        };
        let lines = nodes.iter().filter_map(|node| self.scene.trace.get(node)).flatten();
        let mut count = 0;
        for line in lines.filter(|line| line.event == event) {
            let matches: Option<Vec<bool>> =
                filters.iter().map(|filter| self.event_matches(line, filter)).collect();
            count += usize::from(matches?.into_iter().all(|matches| matches));
        }
        Some(count)
    }

    fn event_matches(&self, line: &TraceLine, filter: &Filter) -> Option<bool> {
        if filter.field == "since" {
            let label = self.scene.labels.get(word(&filter.value)?)?;
            return Some(line.at >= i128::from(*label));
        }
        let Some(found) = line.fields.get(&filter.field) else { return Some(false) };
        // A word of the trace, such as `leader` or `taken`, unless it is bound to something.
        let wanted = match (&filter.value.kind, word(&filter.value)) {
            (Kind::Name(name), Some(text)) if !self.bindings.contains_key(name) => text.to_owned(),
            _ => match self.value(&filter.value)? {
                Value::Node(node) => node.to_string(),
                Value::Number(number) => number.to_string(),
                Value::Reply(Datum::Text(text)) => text.to_string(),
                _ => return None,
            },
        };
        let found = match found {
            Json::String(text) => text.clone(),
            Json::Null => "none".to_owned(),
            other => other.to_string(),
        };
        Some(match (found.parse::<i128>(), wanted.parse::<i128>()) {
            (Ok(found), Ok(wanted)) => ordered(found, filter.comparison, wanted),
            _ => match filter.comparison {
                Comparison::Equal => found == wanted,
                Comparison::Unequal => found != wanted,
                _ => false,
            },
        })
    }
}

/// The name that stands there.
fn word(expr: &Expr) -> Option<&str> {
    match &expr.kind {
        Kind::Name(name) | Kind::Quoted(name) => Some(name),
        _ => None,
    }
}

fn only_nodes(playing: Vec<(Option<i128>, NodeId)>) -> Value {
    Value::Nodes(playing.into_iter().map(|(_, node)| node).collect())
}

fn position(view: &View) -> Option<Value> {
    Some(Value::Position(view.last_log_index?.into(), view.last_log_term?.into()))
}

fn log(view: &View) -> Option<Value> {
    let log = view.log.as_ref()?;
    // A tail alone says nothing of what is before it.
    if log.len() >= cluster::view::LOG_TAIL_MAX {
        return None;
    }
    Some(Value::Numbers(log.iter().map(|entry| Datum::Int(entry.term as i64)).collect()))
}

fn voted_for(view: &View) -> Option<Value> {
    let node = match view.voted_for? {
        Vote::Nobody => None,
        Vote::For(node) => Some(node),
    };
    Some(Value::Vote(node, Some(view.term?.into())))
}

fn ordered<T: Ord>(a: T, comparison: Comparison, b: T) -> bool {
    match comparison {
        Comparison::Equal => a == b,
        Comparison::Unequal => a != b,
        Comparison::Below => a < b,
        Comparison::AtMost => a <= b,
        Comparison::Above => a > b,
        Comparison::AtLeast => a >= b,
    }
}

/// Whether two values compare so; `None` if they are of kinds that do not.
fn compare(a: &Value, comparison: Comparison, b: &Value) -> Option<bool> {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => return Some(ordered(a, comparison, b)),
        (Value::Duration(a), Value::Duration(b)) => return Some(ordered(a, comparison, b)),
        (Value::Reply(Datum::Int(a)), Value::Number(b)) => {
            return Some(ordered(&i128::from(*a), comparison, b));
        }
        (Value::Number(a), Value::Reply(Datum::Int(b))) => {
            return Some(ordered(a, comparison, &i128::from(*b)));
        }
        (Value::Reply(Datum::Int(a)), Value::Reply(Datum::Int(b))) => {
            return Some(ordered(a, comparison, b));
        }
        _ => {}
    }
    let equal = match (a, b) {
        (Value::Role(a, a_term), Value::Role(b, b_term)) => {
            a == b && a_term.zip(*b_term).is_none_or(|(a, b)| a == b)
        }
        (Value::Vote(a, a_term), Value::Vote(b, b_term)) => {
            a == b && a_term.zip(*b_term).is_none_or(|(a, b)| a == b)
        }
        (Value::Vote(vote, _), Value::Node(node)) | (Value::Node(node), Value::Vote(vote, _)) => {
            *vote == Some(*node)
        }
        (Value::Reply(Datum::Nil), Value::Vote(None, None))
        | (Value::Vote(None, None), Value::Reply(Datum::Nil)) => true,
        (Value::Reply(Datum::List(list)), Value::Numbers(items))
        | (Value::Numbers(items), Value::Reply(Datum::List(list))) => list == items,
        (Value::Reply(_), _) | (_, Value::Reply(_)) => a == b,
        _ if std::mem::discriminant(a) == std::mem::discriminant(b) => a == b,
        _ => return None,
    };
    match comparison {
        Comparison::Equal => Some(equal),
        Comparison::Unequal => Some(!equal),
        _ => None,
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Truth(truth) => write!(f, "{truth}"),
            Value::Number(number) => write!(f, "{number}"),
            Value::Duration(ns) => f.write_str(&crate::suite::duration_text(*ns)),
            Value::Node(node) => write!(f, "{node}"),
            Value::Nodes(nodes) => {
                let nodes: Vec<String> = nodes.iter().map(NodeId::to_string).collect();
                write!(f, "{{{}}}", nodes.join(", "))
            }
            Value::Role(role, term) => {
                write!(f, "{}", format!("{role:?}").to_lowercase())?;
                term.iter().try_for_each(|term| write!(f, "@{term}"))
            }
            Value::Vote(node, term) => {
                term.iter().try_for_each(|term| write!(f, "{term}/"))?;
                match node {
                    Some(node) => write!(f, "{node}"),
                    None => f.write_str("none"),
                }
            }
            Value::Position(index, term) => write!(f, "{index}/{term}"),
            Value::Numbers(items) => f.debug_list().entries(items).finish(),
            Value::Reply(datum) => write!(f, "{datum}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::super::scene::Operation;
    use super::*;

    fn scene() -> Scene {
        let mut scene = Scene { members: [1, 2, 3].map(NodeId).into(), ..Scene::default() };
        let view = |role, term, vote| View {
            role: Some(role),
            term: Some(term),
            voted_for: Some(vote),
            last_log_index: Some(3),
            last_log_term: Some(2),
            ..View::default()
        };
        let seen = |view, asked, process| Seen { view, asked, process, process_at: 10, refused: false };
        let leads = view(Played::Leader, 2, Vote::For(NodeId(1)));
        scene.nodes.insert(NodeId(1), seen(Some(leads), Some(10), ProcessState::Running));
        let follows = view(Played::Follower, 2, Vote::Nobody);
        scene.nodes.insert(NodeId(2), seen(Some(follows), Some(5), ProcessState::Running));
        scene.nodes.insert(NodeId(3), seen(None, Some(10), ProcessState::Down));
        let acked = Operation { outcome: Some(Outcome::Ok(Reply::Value(Datum::Int(7)))), unanswered: false };
        scene.operations.insert("r".to_owned(), acked);
        scene.operations.insert("w".to_owned(), Operation::default());
        scene.labels.insert("cut".to_owned(), 4);
        let fields = |text: &str| serde_json::from_str(text).unwrap();
        let line = |at, event: &str, text| TraceLine { at, event: event.to_owned(), fields: fields(text) };
        scene.trace.insert(
            NodeId(1),
            vec![
                line(3, "vote", r#"{"to":"n1","term":1}"#),
                line(5, "role", r#"{"role":"leader","term":2}"#),
            ],
        );
        scene.trace_read = 10;
        scene
    }

    fn holds(text: &str, since: Nanos) -> Option<bool> {
        let (scene, bindings) = (scene(), Bindings::from([("L".to_owned(), Value::Node(NodeId(1)))]));
        Context { scene: &scene, bindings: &bindings, now: 20, since }.holds(&parse(text).unwrap())
    }

    #[test]
    fn what_is_known_is_decided() {
        for text in [
            "role(L) = leader@2 and role(L) = leader and role(L) != leader@3",
            "voted_for(n1) = n1 and voted_for(n1) = 2/n1 and voted_for(n2) = none and voted_for(n2) = 2/none",
            "last_log(n1) = 3/2 and last_index(n1) - 1 = 2",
            "term(n1) < 18446744073709551615 and 9223372036854775807 + 1 = 9223372036854775808",
            "leader() = n1 and leaders() = {n1} and others(L) = {n2, n3}",
            "role(n3) = down and exited(n3) and not running(n3)",
            "acked(r) and reply(r) = 7 and reply(r) > 6 and reply(r) >= reply(r) and not reply(r) > reply(r) and pending(w) and not acked(w)",
            "elapsed(cut) = 16ns",
            "event(n1, vote, to = L) and event(any, role, role = leader, term >= 2)",
            "events(n1, vote, since = cut) = 0",
        ] {
            assert_eq!(holds(text, 0), Some(true), "{text}");
        }
    }

    #[test]
    fn what_is_not_known_is_neither_true_nor_false() {
        // n2 was asked before the step began.
        for text in
            ["role(n2) = follower", "not role(n2) = leader", "leader() = n1", "no_leader() and acked(r)"]
        {
            assert_eq!(holds(text, 8), if text.contains("no_leader") { Some(false) } else { None }, "{text}");
        }
        assert_eq!(holds("term(n3) = 0", 0), None);
        assert_eq!(holds("role(n2) = leader or acked(r)", 8), Some(true), "one side decides");
        assert_eq!(holds("role(n2) = follower and acked(w)", 8), Some(false), "one side decides");
        assert_eq!(holds("event(n1, vote)", 11), None, "the trace was read before");
    }
}

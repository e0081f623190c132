//! Rules for the messages that nodes get from their peers: put up, taken down, and what they did meanwhile.
//!
//! Invariant: taking down moves towards a gate without this rule and without what it holds; a node that is down has neither.

use std::time::Duration;

use cluster::levers::{LeverError, Levers, ProcessState};
use cluster::messages::{MessageAction, MessageOrder, MessagePick, MessageRule};
use cluster::order::Order;
use cluster::system::NodeId;
use serde::{Deserialize, Serialize};

use crate::claims::Claims;
use crate::fault::Injection;
use crate::moves::{list, together};
use crate::target::{Effect, Target, Undone};

/// How long a node may take over an answer about itself.
const LOOK_LIMIT: Duration = Duration::from_millis(500);

/// A rule for arriving messages at some nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gated {
    /// The nodes at which the messages arrive.
    pub nodes: Vec<NodeId>,
    /// The rule.
    pub rule: MessageRule,
}

impl Gated {
    /// One line for the status and the report.
    pub(crate) fn describe(&self) -> String {
        format!("{} told to {}", list(&self.nodes), MessageOrder::Arm(self.rule.clone()))
    }

    /// Why this cannot be put up beside what is active. A gate knows its rules by their filters, and only the first one that
    /// matches a message counts: of two faults with a type in common, the second would do nothing, and end with the first.
    pub(crate) fn conflict(&self, active: &Claims) -> Option<String> {
        active.0.iter().find_map(|(id, target)| {
            let Target::Gated(other) = target else { return None };
            let node = self.nodes.iter().find(|node| other.nodes.contains(node))?;
            let (mine, theirs) = (&self.rule.filter.kinds, &other.rule.filter.kinds);
            let common = match (mine.is_empty(), theirs.is_empty()) {
                (true, true) => "all messages".to_owned(),
                (true, false) => theirs.first()?.name().to_owned(),
                (false, true) => mine.first()?.name().to_owned(),
                (false, false) => mine.iter().find(|kind| theirs.contains(kind))?.name().to_owned(),
            };
            Some(format!("{common} at {node} is under {id}"))
        })
    }
}

/// Puts the rule up.
pub(crate) async fn install(gated: &Gated, levers: &dyn Levers) -> Injection {
    let order = Order::Messages(MessageOrder::Arm(gated.rule.clone()));
    let asked = gated.nodes.iter().map(|node| levers.order(*node, order.clone())).collect();
    let results = together(asked).await;
    let untouched = |result: &Result<String, LeverError>| {
        matches!(result, Err(LeverError::WrongState(_) | LeverError::Unsupported(_)))
    };
    let (nothing, all) = (results.iter().all(untouched), results.iter().all(Result::is_ok));
    let errors: Vec<String> = (gated.nodes.iter().zip(results))
        .filter_map(|(node, result)| Some(format!("{node}: {}", result.err()?)))
        .collect();
    match (all, nothing) {
        (true, _) => Injection::installed(format!("{} obey", list(&gated.nodes))),
        (false, true) => Injection::Skipped(errors.join("; ")),
        (false, false) => Injection::Indeterminate(errors.join("; ")),
    }
}

/// Takes the rule down and lets go what it holds.
pub(crate) async fn undo(gated: &Gated, levers: &dyn Levers) -> Result<Undone, String> {
    let (mut done, mut failed, mut touched) = (Vec::new(), Vec::new(), 0);
    for node in &gated.nodes {
        if levers.process(*node) == ProcessState::Down {
            done.push(format!("{node} is down, and its rules with it"));
            continue;
        }
        touched += done_by(gated, *node, levers).await;
        match release(gated, *node, levers).await {
            Ok(()) => done.push(format!("{node} lets messages through")),
            Err(error) => failed.push(format!("{node}: {error}")),
        }
    }
    if !failed.is_empty() {
        return Err(failed.join("; "));
    }
    let filter = &gated.rule.filter;
    let effect = match (touched, gated.rule.count) {
        // A rule that is over is forgotten, and its count with it.
        (0, Some(count)) => Effect::None(format!(
            "nobody tells: no rule for {filter} is left, so that it was done {count} times, or its nodes were started again"
        )),
        (0, None) => Effect::None(format!("no message matched {filter}, as far as its nodes tell")),
        (count, _) => Effect::Seen(format!("{count} messages ({filter})")),
    };
    Ok(Undone { effect: Some(effect), ..Undone::new(done.join(", ")) })
}

/// To how many messages the rule was done at this node.
async fn done_by(gated: &Gated, node: NodeId, levers: &dyn Levers) -> u64 {
    let view = levers.look(node, LOOK_LIMIT).await;
    let rules = view.and_then(|view| view.messages).map(|messages| messages.rules).unwrap_or_default();
    rules.iter().filter(|rule| rule.filter == gated.rule.filter).map(|rule| rule.done).sum()
}

async fn release(gated: &Gated, node: NodeId, levers: &dyn Levers) -> Result<(), LeverError> {
    let filter = gated.rule.filter.clone();
    let pick = MessagePick { filter: filter.clone(), count: None };
    let last = match gated.rule.action {
        MessageAction::Record => MessageOrder::Replay(pick),
        _ => MessageOrder::Release(pick),
    };
    for order in [MessageOrder::Disarm { filter: Some(filter) }, last] {
        match levers.order(node, Order::Messages(order)).await {
            // Nothing of it is left: it was undone before, or the node was started again.
            Ok(_) | Err(LeverError::WrongState(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

//! How the bundled node is told an order: the request of its control interface for each.
//!
//! Invariant: names and values are those of the node's own table (its documentation, "Control"); what cannot be said there
//! is refused here.

use std::net::IpAddr;

use reqwest::Method;
use serde_json::{Value as Json, json};

use crate::levers::LeverError;
use crate::order::{
    Belief, Elections, Failpoint, FailpointAction, Fsync, MemberChange, Order, OrderKind, Part,
};
use crate::system::{NodeId, NodeSpec};

/// All that it knows.
pub(super) const ORDERS: &[OrderKind] = &[
    OrderKind::Campaign,
    OrderKind::Transfer,
    OrderKind::Snapshot,
    OrderKind::Elections,
    OrderKind::Fsync,
    OrderKind::Members,
    OrderKind::Poke,
    OrderKind::Failpoint,
    OrderKind::Messages,
];

/// A request below `/control/`.
pub(super) struct Control {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) body: Json,
}

/// The request for an order. Members are named with the addresses that `node` knows.
pub(super) fn control(node: &NodeSpec, order: &Order) -> Result<Control, LeverError> {
    let post = |path: &str, body: Json| Ok(Control { method: Method::POST, path: path.into(), body });
    match order {
        Order::Campaign => post("campaign", json!({})),
        Order::Transfer { to } => post("transfer", json!({ "to": to.map(|to| to.to_string()) })),
        Order::Snapshot => post("snapshot", json!({})),
        Order::Elections(Elections::Manual) => post("timer", json!({ "elections": "manual" })),
        Order::Elections(Elections::Armed) => post("timer", json!({ "elections": "armed" })),
        Order::Fsync(Fsync::Hold) => post("fsync", json!({ "action": "hold" })),
        Order::Fsync(Fsync::Release) => post("fsync", json!({ "action": "release" })),
        Order::Members(change) => post("members", members(node, change)?),
        Order::Poke { of, belief: Belief::NextIndex(index) } => {
            post("poke", json!({ "node": of.to_string(), "next_index": index }))
        }
        Order::Poke { of, belief: Belief::MatchIndex(index) } => {
            post("poke", json!({ "node": of.to_string(), "match_index": index }))
        }
        Order::Failpoint(failpoint) => {
            Ok(Control { method: Method::PUT, path: "failpoints".into(), body: armed(failpoint) })
        }
        Order::ReleaseFailpoint { point } => {
            let path = point.as_ref().map_or("failpoints".into(), |point| format!("failpoints/{point}"));
            Ok(Control { method: Method::DELETE, path, body: Json::Null })
        }
        Order::Messages(order) => {
            Ok(Control { method: Method::POST, path: "messages".into(), body: super::messages::body(order) })
        }
    }
}

/// A failpoint as an argument of the node.
pub(super) fn argument(failpoint: &Failpoint) -> String {
    let Failpoint { point, action, skip, index, key, to } = failpoint;
    let mut text = format!("{point}={}", action_name(*action));
    if *skip > 0 {
        text.push_str(&format!(":skip={skip}"));
    }
    text.extend(index.map(|index| format!(":index={index}")));
    text.extend(key.as_ref().map(|key| format!(":key={key}")));
    text.extend(to.map(|to| format!(":to={to}")));
    text
}

fn armed(failpoint: &Failpoint) -> Json {
    let Failpoint { point, action, skip, index, key, to } = failpoint;
    let action = action_name(*action);
    let to = to.map(|to| to.to_string());
    json!({ "point": point, "action": action, "skip": skip, "index": index, "key": key, "to": to })
}

fn action_name(action: FailpointAction) -> &'static str {
    match action {
        FailpointAction::Crash => "crash",
        FailpointAction::Hold => "hold",
    }
}

fn members(node: &NodeSpec, change: &MemberChange) -> Result<Json, LeverError> {
    let address = |wanted: NodeId| -> Result<IpAddr, LeverError> {
        let host = node.hosts.iter().find(|(id, _)| *id == wanted);
        let unknown = || LeverError::WrongState(format!("there is no host {wanted} that could be a member"));
        host.map(|(_, address)| *address).ok_or_else(unknown)
    };
    Ok(match change {
        MemberChange::Add { node, part } => {
            let part = match part {
                Part::Voter => "voter",
                Part::Learner => "learner",
                Part::Witness => "witness",
            };
            json!({ "add": { "node": node.to_string(), "address": address(*node)?, "part": part } })
        }
        MemberChange::Promote { node } => json!({ "promote": node.to_string() }),
        MemberChange::Remove { node } => json!({ "remove": node.to_string() }),
        MemberChange::Replace { voters } => {
            let voter = |node: &NodeId| Ok(json!({ "node": node.to_string(), "address": address(*node)? }));
            json!({ "replace": voters.iter().map(voter).collect::<Result<Vec<_>, LeverError>>()? })
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::spec;
    use super::*;

    fn said(order: &Order) -> String {
        let Control { method, path, body } = control(&spec(), order).unwrap();
        format!("{method} {path} {body}")
    }

    #[test]
    fn orders_are_said_as_the_node_understands_them() {
        let failpoint =
            Failpoint { skip: 2, to: Some(NodeId(2)), ..Failpoint::new("mid_apply", FailpointAction::Hold) };
        assert_eq!(argument(&failpoint), "mid_apply=hold:skip=2:to=n2");
        for (order, expected) in [
            (Order::Campaign, "POST campaign {}"),
            (Order::Transfer { to: None }, r#"POST transfer {"to":null}"#),
            (Order::Elections(Elections::Manual), r#"POST timer {"elections":"manual"}"#),
            (
                Order::Members(MemberChange::Add { node: NodeId(4), part: Part::Learner }),
                r#"POST members {"add":{"address":"10.77.0.4","node":"n4","part":"learner"}}"#,
            ),
            (
                Order::Poke { of: NodeId(2), belief: Belief::NextIndex(5) },
                r#"POST poke {"next_index":5,"node":"n2"}"#,
            ),
            (
                Order::Failpoint(failpoint.clone()),
                r#"PUT failpoints {"action":"hold","index":null,"key":null,"point":"mid_apply","skip":2,"to":"n2"}"#,
            ),
            (Order::ReleaseFailpoint { point: Some("mid_apply".into()) }, "DELETE failpoints/mid_apply null"),
            (Order::ReleaseFailpoint { point: None }, "DELETE failpoints null"),
        ] {
            assert_eq!(said(&order), expected);
        }
        let nowhere = Order::Members(MemberChange::Replace { voters: vec![NodeId(1), NodeId(9)] });
        assert!(matches!(control(&spec(), &nowhere), Err(LeverError::WrongState(_))));
    }
}

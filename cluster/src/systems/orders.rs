//! Orders over HTTP, as both systems of this crate take them: where they go, and what an answer means.
//!
//! Invariant: "did nothing" is said only where the node said so, or the request never left.

use crate::levers::LeverError;
use crate::order::Order;
use crate::system::NodeSpec;

use super::http::{Answer, Trouble};

/// The root of a node's own HTTP interface at this port.
pub(super) fn own_url(node: &NodeSpec, port: u16) -> String {
    format!("http://{}:{port}", node.address)
}

/// What became of an order.
pub(super) fn told(order: &Order, answer: Result<Answer, Trouble>) -> Result<String, LeverError> {
    match answer {
        Ok(answer) if answer.status == 200 => {
            Ok(format!("told to {order}, which it has begun{}", details(&answer)))
        }
        // 403: it takes no orders; 409: it refuses this one; 412: etcd's word for a target that cannot lead.
        Ok(answer) if matches!(answer.status, 400 | 403 | 404 | 409 | 412) => {
            Err(LeverError::WrongState(format!("told to {order}, it refused: {}", said(&answer))))
        }
        Ok(answer) => Err(LeverError::Failed(format!(
            "told to {order}, it answered with status {}: {}",
            answer.status,
            said(&answer)
        ))),
        Err(Trouble::NotSent(why)) => {
            Err(LeverError::WrongState(format!("it could not be told to {order}: {why}")))
        }
        Err(Trouble::Unclear(why)) => {
            Err(LeverError::Failed(format!("told to {order}, it gave no answer: {why}")))
        }
    }
}

/// What an answer says beside yes.
fn details(answer: &Answer) -> String {
    match serde_json::from_slice(&answer.body) {
        Ok(serde_json::Value::Object(details)) if details.values().any(serde_json::Value::is_number) => {
            let details = details.iter().filter(|(_, value)| value.is_number());
            let details: Vec<String> = details.map(|(name, value)| format!("{name} {value}")).collect();
            format!(" ({})", details.join(", "))
        }
        _ => String::new(),
    }
}

/// The reason in an answer, as far as it gives one.
fn said(answer: &Answer) -> String {
    let body = String::from_utf8_lossy(&answer.body);
    let json: Option<serde_json::Value> = serde_json::from_str(&body).ok();
    let reason = json.as_ref().and_then(|json| json.get("reason").or(json.get("error"))?.as_str());
    reason.map_or_else(|| body.trim().chars().take(200).collect(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::NodeId;

    fn answer(status: u16, body: &str) -> Result<Answer, Trouble> {
        Ok(Answer { status, headers: Default::default(), body: body.as_bytes().to_vec() })
    }

    #[test]
    fn only_a_refusal_and_a_lost_request_did_nothing() {
        let order = &Order::Transfer { to: Some(NodeId(2)) };
        assert!(told(order, answer(200, "{}")).unwrap().ends_with("begun"));
        assert!(told(order, answer(200, r#"{"index":7}"#)).unwrap().ends_with("begun (index 7)"));
        let refused = told(order, answer(409, r#"{"error":"refused","reason":"n2 lags"}"#));
        assert!(
            matches!(&refused, Err(LeverError::WrongState(why)) if why.contains("n2 lags")),
            "{refused:?}"
        );
        assert!(matches!(told(order, Err(Trouble::NotSent("x".into()))), Err(LeverError::WrongState(_))));
        assert!(matches!(told(order, Err(Trouble::Unclear("x".into()))), Err(LeverError::Failed(_))));
        assert!(matches!(told(order, answer(504, "timeout")), Err(LeverError::Failed(_))));
    }
}

//! Orders about messages of the peers: the body of `POST /control/messages`, and the gate's part of `/status`.
//!
//! | body | what it does |
//! |---|---|
//! | `{"arm":{"action":"hold","kinds":["append_entries"],"from":"n1","term":3,"index":7,"skip":0,"count":2}}` | from now on; `action` is `hold`, `drop`, `duplicate`, `record` or `{"delay":50}` in milliseconds |
//! | `{"disarm":{"kinds":["append_entries"]}}`, `{"disarm":null}` | forgets the rules with exactly this filter, or all; what is held stays |
//! | `{"release":{"from":"n1","count":1}}` | lets held messages through, in order; they count as recorded |
//! | `{"discard":{}}` | loses them |
//! | `{"replay":{}}` | lets copies of recorded ones arrive again |
//! | `{"clear":{}}` | forgets rules and records, and lets through what is held |

use std::time::Duration;

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::control::Name;
use super::request::Refused;
use super::respond::{Whole, object};
use crate::peers::gate::{Action, Filter, Gate, Kind, Order, Rule, Seen};

/// The longest delay of a message: longer is a hold.
const DELAY_MAX_MS: u32 = 60_000;

/// The order in a body.
pub(super) fn read(body: &[u8]) -> Result<Order, Refused> {
    let body: Body = super::control::json(body)?;
    Ok(match body {
        Body::Arm(arm) => Order::Arm(arm.rule()?),
        Body::Disarm(filter) => Order::Disarm(filter.map(|filter| filter.filter())),
        Body::Release(pick) => Order::Release(pick.filter(), pick.count),
        Body::Discard(pick) => Order::Discard(pick.filter(), pick.count),
        Body::Replay(pick) => Order::Replay(pick.filter(), pick.count),
        Body::Clear(Nothing {}) => Order::Clear,
    })
}

/// Carries an order out.
pub(super) fn carry_out(gate: &Gate, order: Order) -> Whole {
    match gate.order(order) {
        Ok(concerned) => object(StatusCode::OK, &json!({ "messages": concerned })),
        Err(reason) => object(StatusCode::CONFLICT, &json!({ "error": "refused", "reason": reason })),
    }
}

/// What the gate has and did.
pub(super) fn status(gate: &Gate) -> Json {
    let state = gate.state();
    let seen = |all: &[Seen]| all.iter().map(message).collect::<Vec<_>>();
    json!({
        "held": seen(&state.held),
        "recorded": seen(&state.recorded),
        "late": state.late,
        "rules": state.rules.iter().map(rule).collect::<Vec<_>>(),
        "total_held": state.totals.held,
        "total_dropped": state.totals.dropped,
        "total_repeated": state.totals.repeated,
        "total_delayed": state.totals.delayed,
        "total_overflowed": state.totals.overflowed,
    })
}

/// A rule in force: its filter, and to how many messages it was done.
fn rule((rule, done): &(Rule, u64)) -> Json {
    let Filter { kinds, from, term, index } = &rule.filter;
    let from = from.map(|from| from.to_string());
    json!({ "kinds": kinds, "from": from, "term": term, "index": index, "done": done })
}

fn message(seen: &Seen) -> Json {
    json!({ "kind": seen.kind, "from": seen.from.to_string(), "term": seen.term, "entries": seen.entries })
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Body {
    Arm(Arm),
    Disarm(Option<FilterBody>),
    Release(Pick),
    Discard(Pick),
    Replay(Pick),
    Clear(Nothing),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FilterBody {
    #[serde(default)]
    kinds: Vec<Kind>,
    from: Option<Name>,
    term: Option<u64>,
    index: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pick {
    #[serde(default)]
    kinds: Vec<Kind>,
    from: Option<Name>,
    term: Option<u64>,
    index: Option<u64>,
    count: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arm {
    action: ActionBody,
    #[serde(default)]
    kinds: Vec<Kind>,
    from: Option<Name>,
    term: Option<u64>,
    index: Option<u64>,
    #[serde(default)]
    skip: u64,
    count: Option<u64>,
    #[serde(default = "all_of_them")]
    share_ppm: u32,
}

fn all_of_them() -> u32 {
    1_000_000
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ActionBody {
    Hold,
    Drop,
    Duplicate,
    Delay(u32),
    Record,
}

impl FilterBody {
    fn filter(self) -> Filter {
        let Self { kinds, from, term, index } = self;
        Filter { kinds, from: from.map(|Name(from)| from), term, index }
    }
}

impl Pick {
    fn filter(&self) -> Filter {
        let from = self.from.map(|Name(from)| from);
        Filter { kinds: self.kinds.clone(), from, term: self.term, index: self.index }
    }
}

impl Arm {
    fn rule(self) -> Result<Rule, Refused> {
        if self.count == Some(0) || self.share_ppm == 0 {
            return Err(Refused::bad("a rule for no message at all"));
        }
        if self.share_ppm > all_of_them() {
            return Err(Refused::bad("share_ppm is at most 1000000"));
        }
        let action = match self.action {
            ActionBody::Hold => Action::Hold,
            ActionBody::Drop => Action::Drop,
            ActionBody::Duplicate => Action::Duplicate,
            ActionBody::Delay(ms) if ms > DELAY_MAX_MS => {
                return Err(Refused::bad(format!("a delay is at most {DELAY_MAX_MS} ms; use hold")));
            }
            ActionBody::Delay(ms) => Action::Delay(Duration::from_millis(ms.into())),
            ActionBody::Record => Action::Record,
        };
        let from = self.from.map(|Name(from)| from);
        let filter = Filter { kinds: self.kinds, from, term: self.term, index: self.index };
        Ok(Rule { action, filter, skip: self.skip, count: self.count, share_ppm: self.share_ppm })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::io::NodeId;

    fn order(body: &str) -> Result<Order, u16> {
        read(body.as_bytes()).map_err(|refused| refused.status.as_u16())
    }

    #[test]
    fn orders_are_read() {
        let filter = Filter { kinds: vec![Kind::AppendEntries], from: Some(NodeId(1)), ..Filter::default() };
        let rule = Rule {
            action: Action::Delay(Duration::from_millis(50)),
            filter: filter.clone(),
            skip: 0,
            count: Some(2),
            share_ppm: 1_000_000,
        };
        let arm = r#"{"arm":{"action":{"delay":50},"kinds":["append_entries"],"from":"n1","count":2}}"#;
        assert_eq!(order(arm), Ok(Order::Arm(rule)));
        let disarm = r#"{"disarm":{"kinds":["append_entries"],"from":"n1"}}"#;
        assert_eq!(order(disarm), Ok(Order::Disarm(Some(filter))));
        assert_eq!(order(r#"{"disarm":null}"#), Ok(Order::Disarm(None)));
        assert_eq!(order(r#"{"release":{"count":1}}"#), Ok(Order::Release(Filter::default(), Some(1))));
        assert_eq!(order(r#"{"clear":{}}"#), Ok(Order::Clear));
    }

    #[test]
    fn nonsense_is_refused_whole() {
        for body in [
            "",
            "{}",
            r#"{"arm":{}}"#,
            r#"{"arm":{"action":"hold","kinds":["append"]}}"#,
            r#"{"arm":{"action":"hold","kind":["heartbeat"]}}"#,
            r#"{"arm":{"action":"hold","count":0}}"#,
            r#"{"arm":{"action":"hold","share_ppm":1000001}}"#,
            r#"{"arm":{"action":{"delay":60001}}}"#,
            r#"{"arm":{"action":"hold","from":"1x"}}"#,
            r#"{"release":{"cuont":1}}"#,
            r#"{"clear":{"all":true}}"#,
        ] {
            assert_eq!(order(body), Err(400), "{body}");
        }
    }
}

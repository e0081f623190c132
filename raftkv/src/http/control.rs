//! What an experiment or an operator asks of one node: orders to the core, and failpoints.
//!
//! | request | body | what it does |
//! |---|---|---|
//! | `POST /control/campaign` | | start an election |
//! | `POST /control/transfer` | `{"to":"n2"}` or nothing | hand leadership over |
//! | `POST /control/snapshot` | | take a snapshot |
//! | `POST /control/members` | `{"add":{"node":"n4","address":"10.0.0.4","part":"learner"}}`, `{"promote":"n4"}`, `{"remove":"n2"}`, `{"replace":[{"node":"n1"},{"node":"n4","address":"10.0.0.4"}]}` | change who counts |
//! | `POST /control/poke` | `{"node":"n2","next_index":5}` or `match_index` | overwrite what a leader believes |
//! | `POST /control/timer` | `{"elections":"manual"}` or `"armed"` | whether elections start by themselves |
//! | `POST /control/fsync` | `{"action":"hold"}` or `"release"` | hold every sync of the log |
//! | `POST /control/messages` | see [`messages`] | hold, drop, delay or repeat messages of peers |
//! | `GET /control/failpoints` | | `{"armed":[...],"held":[...],"points":{...}}` |
//! | `PUT /control/failpoints` | `{"point":"mid_apply","action":"hold","skip":2,"index":7,"key":"x","to":"n2"}` | arm one |
//! | `DELETE /control/failpoints[/{point}]` | | disarm and release one, or all |
//!
//! Invariant: an answer of `200` means that the order was carried out, or begun where the table of the core says so; `409`
//! that nothing was done; `504` that nobody knows. A body is checked as a whole before anything is done.
//! What it lacks on purpose: permissions. A node that was not started with `--control` refuses all of this.

use std::net::IpAddr;
use std::time::Duration;

use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json, json};
use tokio::time::sleep;

use super::messages;
use super::request::Refused;
use super::respond::{Whole, object, unknown};
use crate::failpoints::{self, Action, Plan, Point};
use crate::node::DISK_THREADS;
use crate::peers::gate;
use crate::raft::control::{Change, Order, OrderOutcome, Part, Poke, Timer};
use crate::raft::io::NodeId;

/// Whether a node takes orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    /// It was started with `--control`.
    On,
    /// It was not.
    Off,
}

/// What is asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// Something for the core.
    Order(Order),
    /// Arm a failpoint.
    Arm(Plan),
    /// Disarm one, or all.
    Disarm(Option<Point>),
    /// What is armed and who is held.
    List,
    /// Something for the gate of the messages.
    Messages(gate::Order),
}

/// The request to a path below `/control/`.
pub(super) fn read(method: &Method, path: &str, body: &[u8]) -> Result<Request, Refused> {
    if let Some(point) = path.strip_prefix("failpoints") {
        return failpoints(method, point, body);
    }
    let order = match path {
        "campaign" => empty(body).map(|()| Order::Campaign),
        "snapshot" => empty(body).map(|()| Order::Snapshot),
        "transfer" => {
            json::<Transfer>(body).map(|transfer| Order::Transfer(transfer.to.map(|Name(node)| node)))
        }
        "members" => json::<Members>(body)?.change().map(Order::Change),
        "poke" => json::<PokeBody>(body)?.poke().map(Order::Poke),
        "timer" => json::<TimerBody>(body).map(|timer| Order::Timer(timer.elections.into())),
        "messages" if method == Method::POST => return messages::read(body).map(Request::Messages),
        "messages" => return Err(Refused::method("POST")),
        "fsync" => return fsync(method, json::<Fsync>(body)),
        _ => return Err(Refused::not_found()),
    };
    if method == Method::POST { order.map(Request::Order) } else { Err(Refused::method("POST")) }
}

fn failpoints(method: &Method, point: &str, body: &[u8]) -> Result<Request, Refused> {
    let point = match point.strip_prefix('/') {
        Some(name) => Some(name.parse::<Point>().map_err(Refused::bad)?),
        None if point.is_empty() => None,
        None => return Err(Refused::not_found()),
    };
    match (method, point) {
        (&Method::GET, None) => Ok(Request::List),
        (&Method::PUT, None) => json(body).map(Request::Arm),
        (&Method::DELETE, point) => Ok(Request::Disarm(point)),
        (_, None) => Err(Refused::method("GET, PUT and DELETE")),
        (_, Some(_)) => Err(Refused::method("DELETE")),
    }
}

/// A held disk is a hold where its writes wait.
fn fsync(method: &Method, body: Result<Fsync, Refused>) -> Result<Request, Refused> {
    const POINT: Point = Point::BeforeFsync;
    let plan = || Plan { point: POINT, action: Action::Hold, skip: 0, index: None, key: None, to: None };
    match (method, body?.action) {
        (&Method::POST, FsyncAction::Hold) => Ok(Request::Arm(plan())),
        (&Method::POST, FsyncAction::Release) => Ok(Request::Disarm(Some(POINT))),
        _ => Err(Refused::method("POST")),
    }
}

/// Carries out what concerns the failpoints.
pub(super) fn list() -> Whole {
    let registry = failpoints::registry();
    let points: Map<String, Json> =
        Point::ALL.iter().map(|point| (point.name().to_owned(), Json::from(point.place()))).collect();
    object(StatusCode::OK, &json!({ "armed": registry.plans(), "held": registry.held(), "points": points }))
}

/// The response of a node whose core says nothing.
pub(super) fn held(gate: &gate::Gate) -> Whole {
    let (held, messages) = (failpoints::registry().held(), messages::status(gate));
    let reason = "the core is held or busy";
    object(
        StatusCode::SERVICE_UNAVAILABLE,
        &json!({ "error": "busy", "reason": reason, "held": held, "messages": messages }),
    )
}

/// Waits until the thread of the core stands at a failpoint, from where it answers nobody.
pub(super) async fn core_is_held() {
    /// Between two looks. A core that is not held answers long before the second.
    const INTERVAL: Duration = Duration::from_millis(5);
    while failpoints::registry().held().iter().all(|held| DISK_THREADS.contains(&held.thread.as_str())) {
        sleep(INTERVAL).await;
    }
}

/// Arms a point.
pub(super) fn arm(plan: Plan) -> Whole {
    failpoints::registry().arm(plan);
    object(StatusCode::OK, &json!({}))
}

/// Disarms a point, or all.
pub(super) fn disarm(point: Option<Point>) -> Whole {
    object(StatusCode::OK, &json!({ "disarmed": failpoints::registry().disarm(point) }))
}

/// The response to an order.
pub(super) fn ordered(outcome: OrderOutcome) -> Whole {
    match outcome {
        OrderOutcome::Done(Some(index)) => object(StatusCode::OK, &json!({ "index": index })),
        OrderOutcome::Done(None) => object(StatusCode::OK, &json!({})),
        OrderOutcome::Refused(reason) => {
            object(StatusCode::CONFLICT, &json!({ "error": "refused", "reason": reason }))
        }
        OrderOutcome::Unknown(reason) => unknown(&reason),
    }
}

/// The response of a node that takes no orders.
pub(super) fn off() -> Refused {
    Refused {
        status: StatusCode::FORBIDDEN,
        error: "control_off",
        reason: "this node was started without --control and takes no orders".into(),
    }
}

/// A node by its name.
#[derive(Clone, Copy)]
pub(super) struct Name(pub(super) NodeId);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        name.parse().map(Name).map_err(serde::de::Error::custom)
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Transfer {
    to: Option<Name>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Members {
    Add(AddBody),
    Promote(Name),
    Remove(Name),
    Replace(Vec<MemberBody>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddBody {
    node: Name,
    address: IpAddr,
    #[serde(default)]
    part: PartBody,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PartBody {
    #[default]
    Voter,
    Learner,
    Witness,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MemberBody {
    node: Name,
    address: Option<IpAddr>,
}

impl Members {
    fn change(self) -> Result<Change, Refused> {
        Ok(match self {
            Members::Add(AddBody { node: Name(node), address, part }) => Change::Add {
                node,
                address: address.to_string(),
                part: match part {
                    PartBody::Voter => Part::Voter,
                    PartBody::Learner => Part::Learner,
                    PartBody::Witness => Part::Witness,
                },
            },
            Members::Promote(Name(node)) => Change::Promote(node),
            Members::Remove(Name(node)) => Change::Remove(node),
            Members::Replace(members) if members.is_empty() => {
                return Err(Refused::bad("a cluster has at least one voter"));
            }
            Members::Replace(members) => {
                let member = |MemberBody { node: Name(node), address }: MemberBody| {
                    (node, address.map(|address| address.to_string()))
                };
                Change::Replace(members.into_iter().map(member).collect())
            }
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PokeBody {
    node: Name,
    next_index: Option<u64>,
    match_index: Option<u64>,
}

impl PokeBody {
    fn poke(self) -> Result<Poke, Refused> {
        match (self.next_index, self.match_index) {
            (Some(index), None) => Ok(Poke::NextIndex(self.node.0, index)),
            (None, Some(index)) => Ok(Poke::MatchIndex(self.node.0, index)),
            _ => Err(Refused::bad("expected either next_index or match_index")),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TimerBody {
    elections: Elections,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Elections {
    Armed,
    Manual,
}

impl From<Elections> for Timer {
    fn from(elections: Elections) -> Self {
        match elections {
            Elections::Armed => Timer::Armed,
            Elections::Manual => Timer::Manual,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fsync {
    action: FsyncAction,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FsyncAction {
    Hold,
    Release,
}

/// A body in JSON; no body is an empty object.
pub(super) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| Refused::bad(format!("the body: {error}")))
}

fn empty(body: &[u8]) -> Result<(), Refused> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}
    json::<Nothing>(body).map(|Nothing {}| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(path: &str, body: &str) -> Result<Request, u16> {
        read(&Method::POST, path, body.as_bytes()).map_err(|refused| refused.status.as_u16())
    }

    #[test]
    fn orders_are_read() {
        let order = |path: &str, body: &str| match post(path, body) {
            Ok(Request::Order(order)) => order,
            other => panic!("{path} {body}: {other:?}"),
        };
        assert_eq!(order("campaign", ""), Order::Campaign);
        assert_eq!(order("snapshot", "{}"), Order::Snapshot);
        assert_eq!(order("transfer", ""), Order::Transfer(None));
        assert_eq!(order("transfer", r#"{"to":"n2"}"#), Order::Transfer(Some(NodeId(2))));
        assert_eq!(order("timer", r#"{"elections":"manual"}"#), Order::Timer(Timer::Manual));
        assert_eq!(
            order("poke", r#"{"node":"n2","match_index":9}"#),
            Order::Poke(Poke::MatchIndex(NodeId(2), 9))
        );
        let change = |body: &str| match order("members", body) {
            Order::Change(change) => change,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            change(r#"{"add":{"node":"n4","address":"10.0.0.4","part":"learner"}}"#),
            Change::Add { node: NodeId(4), address: "10.0.0.4".into(), part: Part::Learner }
        );
        assert_eq!(change(r#"{"remove":"n1"}"#), Change::Remove(NodeId(1)));
        assert_eq!(change(r#"{"promote":"n4"}"#), Change::Promote(NodeId(4)));
        assert_eq!(
            change(r#"{"replace":[{"node":"n1"},{"node":"n4","address":"10.0.0.4"}]}"#),
            Change::Replace(vec![(NodeId(1), None), (NodeId(4), Some("10.0.0.4".into()))])
        );
    }

    #[test]
    fn nonsense_is_refused_whole() {
        for (path, body) in [
            ("campaign", "x"),
            ("campaign", r#"{"to":"n2"}"#),
            ("transfer", r#"{"to":"2x"}"#),
            ("transfer", r#"{"target":"n2"}"#),
            ("members", ""),
            ("members", r#"{"add":{"node":"n4"}}"#),
            ("members", r#"{"add":{"node":"n0","address":"10.0.0.4"}}"#),
            ("members", r#"{"add":{"node":"n4","address":"nowhere"}}"#),
            ("members", r#"{"remove":"n1","promote":"n2"}"#),
            ("members", r#"{"replace":[]}"#),
            ("poke", r#"{"node":"n2"}"#),
            ("poke", r#"{"node":"n2","next_index":1,"match_index":1}"#),
            ("poke", r#"{"node":"n2","next_index":-1}"#),
            ("timer", r#"{"elections":"never"}"#),
            ("fsync", ""),
            ("fsync", r#"{"action":"drop"}"#),
        ] {
            assert_eq!(post(path, body), Err(400), "{path} {body}");
        }
        for (path, status) in [("", 404), ("x", 404), ("failpointsx", 404), ("failpoints", 405)] {
            assert_eq!(post(path, ""), Err(status), "{path}");
        }
        assert_eq!(read(&Method::GET, "campaign", b"").unwrap_err().status, 405);
    }

    #[test]
    fn failpoints_and_the_disk_are_the_same_thing() {
        let put = |body: &str| read(&Method::PUT, "failpoints", body.as_bytes());
        let Ok(Request::Arm(plan)) = put(r#"{"point":"before_fsync","action":"hold"}"#) else { panic!() };
        assert_eq!(post("fsync", r#"{"action":"hold"}"#), Ok(Request::Arm(plan)));
        let release = read(&Method::DELETE, "failpoints/before_fsync", b"");
        assert_eq!(release.unwrap(), post("fsync", r#"{"action":"release"}"#).unwrap());
        assert_eq!(read(&Method::DELETE, "failpoints", b"").unwrap(), Request::Disarm(None));
        assert_eq!(read(&Method::GET, "failpoints", b"").unwrap(), Request::List);
        let error = put(r#"{"point":"nowhere","action":"hold"}"#).unwrap_err();
        assert!(error.reason.contains("no failpoint `nowhere`"), "{}", error.reason);
        assert_eq!(read(&Method::DELETE, "failpoints/nowhere", b"").unwrap_err().status, 400);
    }
}

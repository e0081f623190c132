//! The bundled node's words for holding messages: the body of `POST /control/messages`, and its state in `/status`.

use serde_json::{Map, Value as Json, json};

use crate::messages::{
    MessageAction, MessageFilter, MessageOrder, MessagePick, MessageRule, MessageSeen, MessageState,
    RuleState,
};

use super::view::node_named;

/// The body that says this.
pub(super) fn body(order: &MessageOrder) -> Json {
    match order {
        MessageOrder::Arm(rule) => json!({ "arm": arm(rule) }),
        MessageOrder::Disarm { filter: None } => json!({ "disarm": null }),
        MessageOrder::Disarm { filter: Some(wanted) } => json!({ "disarm": filter(wanted) }),
        MessageOrder::Release(picked) => json!({ "release": pick(picked) }),
        MessageOrder::Discard(picked) => json!({ "discard": pick(picked) }),
        MessageOrder::Replay(picked) => json!({ "replay": pick(picked) }),
        MessageOrder::Clear => json!({ "clear": {} }),
    }
}

/// What the node says of its messages; `None` if it says nothing of them.
pub(super) fn state(messages: &Json) -> Option<MessageState> {
    let number = |name: &str| messages.get(name).and_then(Json::as_u64);
    let seen = |name: &str| messages.get(name)?.as_array()?.iter().map(seen).collect::<Option<Vec<_>>>();
    Some(MessageState {
        held: seen("held")?,
        recorded: seen("recorded")?,
        late: number("late")?,
        rules: messages.get("rules")?.as_array()?.iter().map(rule).collect::<Option<Vec<_>>>()?,
        total_held: number("total_held")?,
        total_dropped: number("total_dropped")?,
        total_repeated: number("total_repeated")?,
        total_delayed: number("total_delayed")?,
        total_overflowed: number("total_overflowed")?,
    })
}

fn rule(rule: &Json) -> Option<RuleState> {
    let number = |name: &str| rule.get(name).and_then(Json::as_u64);
    let kinds = rule.get("kinds")?.as_array()?.iter();
    let kinds = kinds.map(|kind| kind.as_str()?.parse().ok()).collect::<Option<Vec<_>>>()?;
    let from = rule.get("from").and_then(node_named);
    let filter = MessageFilter { kinds, from, term: number("term"), index: number("index") };
    Some(RuleState { filter, done: number("done")? })
}

fn seen(message: &Json) -> Option<MessageSeen> {
    let entries = message.get("entries").and_then(Json::as_array);
    let bounds = entries.map(|bounds| Some((bounds.first()?.as_u64()?, bounds.get(1)?.as_u64()?)));
    Some(MessageSeen {
        kind: message.get("kind")?.as_str()?.parse().ok()?,
        from: node_named(message.get("from")?)?,
        term: message.get("term")?.as_u64()?,
        entries: bounds.flatten(),
    })
}

fn arm(rule: &MessageRule) -> Json {
    let mut body = filter(&rule.filter);
    let action = match rule.action {
        MessageAction::Hold => json!("hold"),
        MessageAction::Drop => json!("drop"),
        MessageAction::Duplicate => json!("duplicate"),
        MessageAction::Delay { ms } => json!({ "delay": ms }),
        MessageAction::Record => json!("record"),
    };
    body.insert("action".into(), action);
    body.insert("skip".into(), rule.skip.into());
    body.insert("share_ppm".into(), rule.share_ppm.into());
    body.extend(rule.count.map(|count| ("count".to_owned(), count.into())));
    Json::Object(body)
}

fn pick(pick: &MessagePick) -> Json {
    let mut body = filter(&pick.filter);
    body.extend(pick.count.map(|count| ("count".to_owned(), count.into())));
    Json::Object(body)
}

fn filter(filter: &MessageFilter) -> Map<String, Json> {
    let mut body = Map::new();
    if !filter.kinds.is_empty() {
        let kinds: Vec<&str> = filter.kinds.iter().map(|kind| kind.name()).collect();
        body.insert("kinds".into(), kinds.into());
    }
    body.extend(filter.from.map(|from| ("from".to_owned(), from.to_string().into())));
    body.extend(filter.term.map(|term| ("term".to_owned(), term.into())));
    body.extend(filter.index.map(|index| ("index".to_owned(), index.into())));
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::MessageKind;
    use crate::system::NodeId;

    #[test]
    fn a_rule_is_said_as_the_node_understands_it() {
        let filter = MessageFilter {
            kinds: vec![MessageKind::AppendEntries, MessageKind::Heartbeat],
            from: Some(NodeId(1)),
            ..MessageFilter::default()
        };
        let rule = MessageRule {
            count: Some(2),
            ..MessageRule::new(MessageAction::Delay { ms: 5 }, filter.clone())
        };
        assert_eq!(
            body(&MessageOrder::Arm(rule)),
            json!({ "arm": {
                "action": { "delay": 5 }, "kinds": ["append_entries", "heartbeat"], "from": "n1",
                "skip": 0, "count": 2, "share_ppm": 1_000_000
            }})
        );
        let picked = MessagePick { filter, count: None };
        let said = json!({ "release": { "kinds": ["append_entries", "heartbeat"], "from": "n1" } });
        assert_eq!(body(&MessageOrder::Release(picked)), said);
        assert_eq!(body(&MessageOrder::Disarm { filter: None }), json!({ "disarm": null }));
    }

    #[test]
    fn a_state_is_read() {
        let said = json!({
            "held": [{ "kind": "append_entries", "from": "n1", "term": 3, "entries": [4, 6] },
                     { "kind": "vote_reply", "from": "n2", "term": 2, "entries": null }],
            "recorded": [], "late": 0,
            "rules": [{ "kinds": ["vote_reply"], "from": null, "term": 2, "index": null, "done": 4 }], "total_held": 2, "total_dropped": 0, "total_repeated": 0,
            "total_delayed": 0, "total_overflowed": 0,
        });
        let state = state(&said).unwrap();
        assert_eq!((state.held.len(), state.total_held), (2, 2));
        let filter = MessageFilter {
            kinds: vec![crate::messages::MessageKind::VoteReply],
            term: Some(2),
            ..MessageFilter::default()
        };
        assert_eq!(state.rules, [RuleState { filter, done: 4 }]);
        assert_eq!((state.held[0].entries, state.held[1].entries), (Some((4, 6)), None));
        assert_eq!(super::state(&json!({})), None);
    }
}

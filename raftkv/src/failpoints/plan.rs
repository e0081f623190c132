//! What an armed point does, and at which of its hits.
//!
//! The text form is `point=action[:skip=n][:index=i][:key=k][:to=n2]`, the JSON form an object with the same names.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Point;
use crate::raft::io::NodeId;

/// What happens at an armed point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The process kills itself with SIGKILL: no buffer is flushed, no destructor runs, nobody is told.
    Crash,
    /// The thread stays there until the point is released. What other threads do goes on.
    Hold,
}

impl Action {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Crash => "crash",
            Action::Hold => "hold",
        }
    }
}

impl FromStr for Action {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "crash" => Ok(Action::Crash),
            "hold" => Ok(Action::Hold),
            _ => Err(format!("`{text}` is not what a failpoint does: expected crash or hold")),
        }
    }
}

/// An order to a point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Where.
    #[serde(with = "by_name")]
    pub point: Point,
    /// What.
    pub action: Action,
    /// So many matching hits pass first.
    #[serde(default)]
    pub skip: u64,
    /// Only hits that concern the entry with this index, or the chunk with this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// Only hits that concern a command on this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Only hits that concern this peer.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "node_by_name")]
    pub to: Option<NodeId>,
}

/// What a hit concerns, as far as it is known there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct At {
    /// The index of the entry, or the number of the chunk.
    pub index: Option<u64>,
    /// The key of the command.
    pub key: Option<String>,
    /// The peer.
    pub to: Option<NodeId>,
}

impl Plan {
    /// Whether a hit is meant. A filter on what the place does not know matches nothing.
    pub(super) fn matches(&self, point: Point, at: &At) -> bool {
        self.point == point
            && (self.index.is_none() || self.index == at.index)
            && (self.key.is_none() || self.key == at.key)
            && (self.to.is_none() || self.to == at.to)
    }
}

impl FromStr for Plan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("`{text}`: expected POINT=ACTION[:skip=N][:index=I][:key=K][:to=NODE]");
        let (point, rest) = text.split_once('=').ok_or_else(expected)?;
        let mut words = rest.split(':');
        let action = words.next().unwrap_or_default().parse()?;
        let mut plan = Plan { point: point.parse()?, action, skip: 0, index: None, key: None, to: None };
        for word in words {
            let (name, value) = word.split_once('=').ok_or_else(expected)?;
            let number = || value.parse().map_err(|_| format!("`{word}`: expected a number"));
            match name {
                "skip" => plan.skip = number()?,
                "index" => plan.index = Some(number()?),
                "key" => plan.key = Some(value.to_owned()),
                "to" => plan.to = Some(value.parse()?),
                _ => return Err(expected()),
            }
        }
        Ok(plan)
    }
}

/// A point as its name.
mod by_name {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Point;

    pub(super) fn serialize<S: Serializer>(point: &Point, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(point.name())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Point, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// A node as `n2`.
mod node_by_name {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::NodeId;

    pub(super) fn serialize<S: Serializer>(node: &Option<NodeId>, serializer: S) -> Result<S::Ok, S::Error> {
        match node {
            Some(node) => serializer.collect_str(node),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<NodeId>, D::Error> {
        let name = Option::<String>::deserialize(deserializer)?;
        name.map(|name| name.parse().map_err(D::Error::custom)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_say_the_same() {
        let text: Plan = "after_send_to_k=crash:skip=1:key=x:to=n2".parse().unwrap();
        let json = r#"{"point":"after_send_to_k","action":"crash","skip":1,"key":"x","to":"n2"}"#;
        assert_eq!(serde_json::from_str::<Plan>(json).unwrap(), text);
        assert_eq!(serde_json::to_string(&text).unwrap(), json);
        let short: Plan = "mid_apply=hold".parse().unwrap();
        assert_eq!(serde_json::from_str::<Plan>(r#"{"point":"mid_apply","action":"hold"}"#).unwrap(), short);
    }

    #[test]
    fn nonsense_is_refused_with_what_would_do() {
        for (text, expected) in [
            ("mid_apply", "expected POINT=ACTION"),
            ("mid_apply=explode", "expected crash or hold"),
            ("middle=crash", "no failpoint `middle`"),
            ("mid_apply=crash:skip=-1", "expected a number"),
            ("mid_apply=crash:to=x", "not a node"),
            ("mid_apply=crash:after=1", "expected POINT=ACTION"),
        ] {
            let error = text.parse::<Plan>().unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        for json in [r#"{"point":"mid_apply"}"#, r#"{"point":"mid_apply","action":"hold","sikp":1}"#] {
            assert!(serde_json::from_str::<Plan>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn every_filter_has_to_match() {
        let plan: Plan = "mid_apply=hold:index=3:key=x".parse().unwrap();
        let at = |index, key: &str| At { index: Some(index), key: Some(key.into()), to: None };
        assert!(plan.matches(Point::MidApply, &at(3, "x")));
        for (point, at) in [
            (Point::BeforeAppend, at(3, "x")),
            (Point::MidApply, at(4, "x")),
            (Point::MidApply, at(3, "y")),
            (Point::MidApply, At { index: Some(3), ..At::default() }),
        ] {
            assert!(!plan.matches(point, &at), "{point} {at:?}");
        }
    }
}

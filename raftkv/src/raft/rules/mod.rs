//! The rules of the protocol, each of which an experiment can switch off on its own.
//!
//! Invariant: every field is consulted in exactly one place of this crate, inside the guard that it weakens,
//! where a comment states the honest law and its source; the test `every_rule_is_consulted_once` counts the
//! places. The defaults are the honest laws (preset `production`). The node asserts only what holds under
//! every value of every rule.
//! Each group has a file, where a rule, its values and what they break stand together.
//! Deliberately without behaviour: these files say what can be chosen and what the choice breaks, nothing
//! else.

use serde::de::Error as _;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Defines a group of rules: what each governs, its values, the honest one, and what the others break.
macro_rules! group {
    ($(#[doc = $gdoc:literal])* $Group:ident {
        $( #[doc = $doc:literal] $name:ident : $ty:ty = $default:expr, $breaks:literal; )*
    }) => {
        $(#[doc = $gdoc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $Group { $( #[doc = $doc] pub $name: $ty, )* }

        impl Default for $Group {
            fn default() -> Self {
                Self { $( $name: $default, )* }
            }
        }

        impl $Group {
            /// Changes one rule by name, if it is in this group.
            pub(super) fn set(&mut self, name: &str, value: &str) -> Option<Result<(), super::RuleError>> {
                match name {
                    $( stringify!($name) => Some(super::error::read(name, value).map(|value| self.$name = value)), )*
                    _ => None,
                }
            }

            /// Its rules by name, in the order of the reference page.
            pub(super) fn list(&self) -> Vec<(&'static str, String)> {
                vec![ $( (stringify!($name), self.$name.text()), )* ]
            }

            /// Its part of the reference page.
            pub(super) fn describe(group: &'static str) -> Vec<super::RuleDescription> {
                let defaults = Self::default();
                vec![ $( super::RuleDescription {
                    group,
                    name: stringify!($name),
                    values: <$ty as Switch>::values(),
                    default: defaults.$name.text(),
                    governs: $doc.trim_ascii(),
                    breaks: $breaks,
                }, )* ]
            }
        }
    };
}

mod client;
mod commit;
mod error;
mod log;
mod membership;
mod preset;
mod read;
mod snapshot;
mod storage;
mod vote;

pub use client::*;
pub use commit::*;
pub use error::RuleError;
pub use log::*;
pub use membership::*;
pub use preset::{MAX_ENTRY_BYTES_MAX, PRESETS};
pub use read::*;
pub use snapshot::*;
pub use storage::*;
pub use vote::*;

pub use super::switch::{Count, Millis, MillisRange, Switch, Toggle};

/// One row of the reference page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleDescription {
    /// The group of the rule.
    pub group: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What may be written.
    pub values: Vec<&'static str>,
    /// The honest value.
    pub default: String,
    /// What it governs.
    pub governs: &'static str,
    /// What the other values break.
    pub breaks: &'static str,
}

/// Defines `Rules` and the access to all groups.
macro_rules! rules {
    ($( $(#[doc = $doc:literal])* $group:ident : $Group:ident, )*) => {
        /// The rules of one node.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Rules { $( $(#[doc = $doc])* pub $group: $Group, )* }

        impl Rules {
            /// Changes one rule by name.
            pub fn set(&mut self, name: &str, value: &str) -> Result<(), RuleError> {
                let changed = None $( .or_else(|| self.$group.set(name, value)) )*;
                changed.unwrap_or_else(|| Err(RuleError::name(name)))
            }

            /// All rules by name, in the order of the reference page.
            pub fn list(&self) -> Vec<(&'static str, String)> {
                [ $( self.$group.list(), )* ].concat()
            }

            /// The reference page.
            pub fn describe() -> Vec<RuleDescription> {
                [ $( $Group::describe(stringify!($group)), )* ].concat()
            }
        }
    };
}

rules! {
    /// Terms, votes and elections.
    vote: VoteRules,
    /// Replication of the log.
    log: LogRules,
    /// Commitment.
    commit: CommitRules,
    /// Reads.
    read: ReadRules,
    /// What is on disk when, and what a node believes of it.
    storage: StorageRules,
    /// Clients, their sessions, and what is applied when.
    client: ClientRules,
    /// Who counts, and how that changes.
    membership: MembershipRules,
    /// Snapshots and compaction.
    snapshot: SnapshotRules,
}

impl Rules {
    /// The rules as a JSON object, in the order of the reference page.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a map of strings is always JSON")
    }
}

impl Serialize for Rules {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let list = self.list();
        let mut map = serializer.serialize_map(Some(list.len()))?;
        for (name, value) in &list {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Rules {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = std::collections::BTreeMap::<String, String>::deserialize(deserializer)?;
        let mut rules = Self::default();
        for (name, value) in &map {
            rules.set(name, value).map_err(D::Error::custom)?;
        }
        Ok(rules)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_can_be_written_and_read_back() {
        let mut rules = Rules::default();
        for rule in Rules::describe() {
            rules.set(rule.name, &rule.default).unwrap_or_else(|e| panic!("{e}"));
            assert!(rule.breaks.len() > 20 && !rule.governs.is_empty(), "{}", rule.name);
        }
        assert_eq!(rules, Rules::default());
        assert_eq!(rules, Rules::preset("production").unwrap());
    }

    #[test]
    fn rules_survive_json() {
        let mut rules = Rules::preset("paper").unwrap();
        rules.set("election_timer", "fixed:120ms").unwrap();
        rules.set("read_mode", "local").unwrap();
        let json = rules.to_json();
        assert!(json.contains(r#""read_mode":"local""#), "{json}");
        assert_eq!(serde_json::from_str::<Rules>(&json).unwrap(), rules);
        assert!(serde_json::from_str::<Rules>(r#"{"read_mode":"loca"}"#).is_err());
    }

    #[test]
    fn mistakes_name_what_would_be_right() {
        let mut rules = Rules::default();
        let message = rules.set("read_mod", "local").unwrap_err().to_string();
        assert!(message.contains("did you mean `read_mode`?"), "{message}");
        let message = rules.set("read_mode", "lokal").unwrap_err().to_string();
        assert!(message.contains("expected log, read_index, lease, local, follower_read_index, follower_local; did you mean `local`?"), "{message}");
        let message = rules.set("read_mode", "xyzzy").unwrap_err().to_string();
        assert!(!message.contains("did you mean"), "{message}");
        let message = Rules::preset("papper").unwrap_err().to_string();
        assert!(message.contains("did you mean `paper`?"), "{message}");
        assert_eq!(rules, Rules::default());
    }

    #[test]
    fn every_preset_exists_and_is_valid() {
        for (name, what) in PRESETS {
            let rules = Rules::preset(name).unwrap_or_else(|e| panic!("{e}"));
            rules.validate().unwrap_or_else(|e| panic!("{name}: {e}"));
            assert!(!what.is_empty());
        }
    }

    #[test]
    fn a_heartbeat_that_cannot_keep_followers_is_refused() {
        let mut rules = Rules::default();
        rules.set("heartbeat_interval", "300ms").unwrap();
        assert!(rules.validate().unwrap_err().to_string().contains("at most 300ms"));
        rules.set("election_timer", "manual").unwrap();
        rules.validate().unwrap();
    }
}

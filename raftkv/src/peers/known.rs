//! Who the other members were when they were last heard: how a wiped, cloned or restored node is told from the one that made
//! the promises.
//!
//! Invariants:
//! * A data directory draws a number of its own when it is made ([`Incarnation::directory`]), and counts its starts. Both
//!   come with the first frame of a connection, and the highest that was seen is kept on disk before the connection is used.
//! * A member that comes back with another directory has lost its votes and its log; one that counts fewer starts, or the
//!   same start a second time, is a copy. What it says is not listened to, so it votes and acknowledges nothing here.
//!
//! What it cannot do: tell two copies apart that never speak to the same member, nor a copy that was started oftener than
//! the original.
//! Reference: KIP-853 of Apache Kafka (directory ids of voters); section 4.4 of the thesis on identities.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::datadir::{self, DataDirError};
use crate::raft::io::NodeId;
use crate::raft::recovery::Standing;
use crate::raft::rules::{NodeIdentity, Rules};

/// One start of one data directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incarnation {
    /// The number that the directory drew.
    pub directory: String,
    /// How often it was started.
    pub boot: u64,
    /// A number that this start drew.
    pub start: u64,
    /// Whether the node speaks for the promises made under its name.
    pub standing: Standing,
}

/// The members that this node has heard of.
#[derive(Clone, Debug, Default)]
pub struct Acquaintances {
    rules: Rules,
    /// Where they are kept; nowhere in tests.
    path: Option<PathBuf>,
    known: Arc<Mutex<BTreeMap<NodeId, Incarnation>>>,
}

/// Whether a member is listened to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing new.
    Known,
    /// It has to be remembered first.
    New,
    /// It is not the one it says it is.
    Refused(String),
}

impl Acquaintances {
    /// Those that are kept in this file.
    pub fn open(rules: &Rules, path: PathBuf) -> Result<Self, DataDirError> {
        let known = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| DataDirError::Damaged {
                path: path.clone(),
                what: format!("cannot be read ({error})"),
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(source) => return Err(DataDirError::Io { what: "read", path, source }),
        };
        Ok(Self { rules: rules.clone(), path: Some(path), known: Arc::new(Mutex::new(known)) })
    }

    /// Whether `node` in this incarnation is listened to.
    pub(super) fn judge(&self, node: NodeId, now: &Incarnation) -> Verdict {
        // The honest law: a member's word is worth something because it remembers what it said before ("each server
        // persists its current term and vote", thesis, section 3.8). A name in a configuration does not prove that.
        if self.rules.storage.node_identity == NodeIdentity::Configured {
            return Verdict::Known;
        }
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(before) = known.get(&node) else { return Verdict::New };
        let is_other = before.directory != now.directory;
        if is_other && now.standing == Standing::Voter {
            return Verdict::Refused(format!(
                "{node} comes with another data directory than before: it has lost its votes and its log, or another \
                 cluster's node has its address; remove it from the cluster and add a new member under another id"
            ));
        }
        if !is_other && (now.boot, now.start) == (before.boot, before.start) {
            return Verdict::Known;
        }
        if !is_other && now.boot <= before.boot {
            return Verdict::Refused(format!(
                "{node} comes with start {} of its data directory, but start {} was heard before: it runs twice, or on an \
                 older copy; stop the copy, remove {node} from the cluster and add a new member under another id",
                now.boot, before.boot
            ));
        }
        Verdict::New
    }

    /// Keeps what was judged to be new. Blocks for the disk.
    pub(super) fn remember(&self, node: NodeId, now: Incarnation) -> Result<(), String> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // Another connection may have come first.
        if known.get(&node).is_some_and(|before| before.directory == now.directory && before.boot > now.boot)
        {
            return Err(format!("{node} has been started again since"));
        }
        known.insert(node, now);
        let Some(path) = &self.path else { return Ok(()) };
        let text = serde_json::to_vec(&*known).expect("a map is always JSON");
        datadir::replace_file(path, &text).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(directory: &str, boot: u64, start: u64) -> Incarnation {
        Incarnation { directory: directory.into(), boot, start, standing: Standing::Voter }
    }

    fn refusal(verdict: Verdict) -> String {
        match verdict {
            Verdict::Refused(reason) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn wiped_cloned_and_restored_nodes_are_told_from_the_one_that_was_heard() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("peers.json");
        let n2 = NodeId(2);
        let open = |rules: &Rules| Acquaintances::open(rules, path.clone()).unwrap();
        let known = open(&Rules::default());
        assert_eq!(known.judge(n2, &at("a", 4, 11)), Verdict::New);
        known.remember(n2, at("a", 4, 11)).unwrap();
        // What follows holds after a restart of this node too.
        let known = open(&Rules::default());
        assert_eq!(known.judge(n2, &at("a", 4, 11)), Verdict::Known, "another connection of the same start");
        assert_eq!(known.judge(n2, &at("a", 5, 12)), Verdict::New, "an ordinary restart");
        assert!(refusal(known.judge(n2, &at("b", 1, 13))).contains("another data directory"), "wiped");
        assert!(refusal(known.judge(n2, &at("a", 4, 14))).contains("runs twice"), "cloned");
        assert!(refusal(known.judge(n2, &at("a", 3, 15))).contains("older copy"), "restored");
        let learner = Incarnation { standing: Standing::Learner, ..at("b", 1, 16) };
        assert_eq!(known.judge(n2, &learner), Verdict::New, "it says that it has lost its promises");
        assert_eq!(known.judge(NodeId(3), &at("c", 1, 17)), Verdict::New);

        let mut rules = Rules::default();
        rules.set("node_identity", "configured").unwrap();
        assert_eq!(open(&rules).judge(n2, &at("b", 1, 13)), Verdict::Known, "its name is enough");
    }
}

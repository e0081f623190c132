//! What a hit concerns, read from an entry of the log. Only called where a point is armed.

use super::At;
use crate::raft::log::{Entry, Payload};
use crate::store::Proposal;

impl From<&Entry> for At {
    fn from(entry: &Entry) -> Self {
        let key = match &entry.payload {
            Payload::Command(command) => postcard::from_bytes::<Proposal>(command.as_bytes())
                .ok()
                .map(|proposal| proposal.command.key().to_owned()),
            Payload::Noop | Payload::Configuration(_) | Payload::Digest(_) => None,
        };
        At { index: Some(entry.index), key, to: None }
    }
}

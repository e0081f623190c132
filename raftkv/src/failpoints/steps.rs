//! Where in the effects of a step the points of the protocol lie.
//!
//! The core does no IO, so it cannot be stopped between two of its thoughts; nor would anybody notice. What others can
//! notice is the order in which the fields of [`Effects`] are carried out: the points lie between those.
//! Invariant: nothing here is looked at unless a point is armed.

use super::{At, Point, armed, hit_at};
use crate::raft::io::{Effects, NodeId};
use crate::raft::log::{Entry, Payload};
use crate::raft::message::Message;
use crate::raft::trace::Role;

/// The points before anything of a step is done.
#[inline]
pub(crate) fn before_step(role: Role, effects: &Effects) {
    if role == Role::Leader {
        let own = effects.persist.as_ref().map_or(&[][..], |persist| &persist.entries);
        commands(Point::BeforeAppend, own);
        commands(Point::AfterMajorityAckBeforeCommit, &effects.apply);
    }
    configurations(Point::ConfigCommit, &effects.apply);
}

/// Whether what may usually be said at once has to wait for the disk, so that a point behind a write is before every word
/// about it.
#[inline]
pub(crate) fn sends_wait_for_the_disk() -> bool {
    armed(Point::AfterLocalAppend) || armed(Point::ConfigAppend)
}

/// The points behind a write, when it is durable and nothing that depends on it was said.
#[inline]
pub(crate) fn durable(entries: &[Entry]) {
    commands(Point::AfterLocalAppend, entries);
    configurations(Point::ConfigAppend, entries);
}

/// Passes `point` once for each command.
#[inline]
pub(crate) fn commands(point: Point, entries: &[Entry]) {
    if armed(point) {
        for entry in entries.iter().filter(|entry| matches!(entry.payload, Payload::Command(_))) {
            hit_at(point, || entry.into());
        }
    }
}

/// Passes `point` once for each configuration.
#[inline]
pub(crate) fn configurations(point: Point, entries: &[Entry]) {
    if armed(point) {
        for entry in entries.iter().filter(|entry| matches!(entry.payload, Payload::Configuration(_))) {
            hit_at(point, || entry.into());
        }
    }
}

/// The points behind the work of the state machine on one entry, before it counts as applied.
#[inline]
pub(crate) fn applying(entry: &Entry) {
    commands(Point::MidApply, std::slice::from_ref(entry));
    configurations(Point::ConfigApply, std::slice::from_ref(entry));
}

/// How often the runtime gets the chance to run other tasks before the point behind an answer: a few more than the one
/// that writes it.
pub(crate) const TASKS_BETWEEN: usize = 8;

/// The point before the answer to whoever waits for the entry at `index`. Returns the command, if the point behind the
/// answer is armed.
#[inline]
pub(crate) fn answering(applied: &[Entry], index: u64) -> Option<At> {
    if !armed(Point::AfterApplyBeforeReply) && !armed(Point::AfterReplyBeforeCommitBroadcast) {
        return None;
    }
    let entry = applied.iter().find(|entry| entry.index == index)?;
    commands(Point::AfterApplyBeforeReply, std::slice::from_ref(entry));
    armed(Point::AfterReplyBeforeCommitBroadcast).then(|| entry.into())
}

/// What the commands in a message to `to` are, if the point behind its sending is armed.
#[inline]
pub(crate) fn sending(to: NodeId, message: &Message, commands: &mut Vec<At>) {
    if armed(Point::AfterSend)
        && let Message::AppendEntries(append) = message
    {
        let carried = append.entries.iter().filter(|entry| matches!(entry.payload, Payload::Command(_)));
        commands.extend(carried.map(|entry| At { to: Some(to), ..entry.into() }));
    }
}

/// The point behind the sending of commands.
#[inline]
pub(crate) fn sent(commands: &mut Vec<At>) {
    for at in commands.drain(..) {
        hit_at(Point::AfterSend, || at);
    }
}

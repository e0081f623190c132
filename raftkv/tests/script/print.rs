//! Short forms of everything that a script shows. An entry is `index/term`.

use raftkv::raft::Raft;
use raftkv::raft::io::{HardState, NodeId, Persist, Refusal};
use raftkv::raft::log::{Entry, Payload};
use raftkv::raft::message::{AppendOutcome, Ballot, InstallOutcome, Message, Occasion};
use raftkv::raft::quorum::Configuration;
use raftkv::raft::trace::{ConfigState, EntryMark, Event, EventKind, Handover, Role, SnapshotState};

use super::Files;

fn nodes(nodes: &[NodeId]) -> String {
    nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// `n1 n2 n3`, behind them C-old, learners and witnesses as far as there are any.
pub(super) fn configuration(configuration: &Configuration) -> String {
    let mut text = nodes(configuration.voters());
    let lists = [
        ("and", configuration.outgoing()),
        ("learners", configuration.learners()),
        ("witnesses", configuration.witnesses()),
    ];
    for (name, members) in lists.into_iter().filter(|(_, members)| !members.is_empty()) {
        text += &format!(" {name} {}", nodes(members));
    }
    text
}

fn marks(marks: &[EntryMark]) -> String {
    marks.iter().map(|EntryMark(index, term, _)| format!("{index}/{term}")).collect::<Vec<_>>().join(" ")
}

fn entries(entries: &[Entry]) -> String {
    marks(&entries.iter().map(EntryMark::from).collect::<Vec<_>>())
}

pub(super) fn terms(log: &[Entry]) -> String {
    let terms: Vec<String> = log.iter().map(|entry| entry.term.to_string()).collect();
    format!("[{}]", terms.join(" "))
}

pub(super) fn hard_state(state: HardState) -> String {
    let vote = state.voted_for.map_or("nobody".to_owned(), |node| node.to_string());
    format!("term {} vote {vote}", state.term)
}

pub(super) fn persist(persist: &Persist) -> String {
    let parts = [
        persist.hard_state.map(hard_state),
        persist.reset.map(|base| format!("a log behind {base}")),
        persist.truncate_from.map(|from| format!("truncation from {from}")),
        (!persist.entries.is_empty()).then(|| format!("entries {}", entries(&persist.entries))),
        persist.commit.map(|index| format!("commit index {index}")),
        persist.compact.map(|index| format!("compaction up to {index}")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// What a power failure took from the files.
pub(super) fn loss(written: &Files, synced: &Files) -> String {
    let state = (written.hard_state != synced.hard_state)
        .then(|| format!("{} becomes {}", hard_state(written.hard_state), hard_state(synced.hard_state)));
    let log = (written.log != synced.log)
        .then(|| format!("log {} becomes {}", terms(&written.log), terms(&synced.log)));
    let lost: Vec<String> = [state, log].into_iter().flatten().collect();
    if lost.is_empty() { ", nothing was only cached".to_owned() } else { format!(": {}", lost.join(", ")) }
}

pub(super) fn refusal(refusal: &Refusal) -> String {
    match refusal {
        Refusal::NotLeader { leader: Some(leader) } => format!("{leader} leads"),
        Refusal::NotLeader { leader: None } => "no leader is known".to_owned(),
        Refusal::Busy(why) => (*why).to_owned(),
        Refusal::TooLarge { bytes, max } => format!("{bytes} bytes are more than {max}"),
    }
}

pub(super) fn event(event: &Event) -> String {
    match &event.kind {
        EventKind::Boot(boot) => format!("boots for the {}. time", boot.boot),
        EventKind::Role(Role::Leader, votes) => {
            format!("becomes leader of term {} by {}", event.term, nodes(votes))
        }
        EventKind::Role(role, _) => format!("becomes {role} in term {}", event.term),
        EventKind::Term => format!("enters term {}", event.term),
        EventKind::Vote(vote) => format!("votes for {} in term {}", vote.to, event.term),
        EventKind::Append(entries) => format!("appends {}", marks(entries)),
        EventKind::Truncate(from) => format!("truncates from {from}"),
        EventKind::Fsync(fsync) => format!("is durable up to {}", fsync.index),
        EventKind::Ack(to, index) => format!("vouches to {to} for {index}"),
        EventKind::Commit(commit) => {
            let acks = commit.acks.as_ref().map(|acks| format!(" on {}", nodes(acks))).unwrap_or_default();
            format!("commits {}/{}{acks}", commit.index, commit.entry_term)
        }
        EventKind::Apply(entries) => format!("applies {}", marks(entries)),
        EventKind::Transfer(to, Handover::Begun) => format!("begins to hand over to {to}"),
        EventKind::Transfer(to, Handover::Told) => format!("has told {to} to take over"),
        EventKind::Transfer(to, Handover::Done) => format!("has handed over to {to}"),
        EventKind::Transfer(to, Handover::GivenUp) => format!("gives up handing over to {to}"),
        EventKind::State(index, hash) => format!("has the state {hash:016x} at {index}"),
        EventKind::Snapshot(SnapshotState::Taken, last) => format!("has taken a snapshot up to {last}"),
        EventKind::Snapshot(SnapshotState::Installed, last) => format!("installs the snapshot up to {last}"),
        EventKind::Snapshot(SnapshotState::Compacted, base) => format!("removes its log up to {base}"),
        EventKind::Read(mode, index) => format!("reads by {mode} at {index}"),
        EventKind::Config(config) => {
            let what = match config.state {
                ConfigState::Append => "counts by",
                ConfigState::Commit => "knows as agreed upon",
                ConfigState::Rollback => "goes back to",
            };
            format!("{what} configuration {}: {}", config.index, configuration(&config.configuration))
        }
    }
}

pub(super) fn message(message: &Message) -> String {
    match message {
        Message::RequestPreVote(m) => {
            format!("RequestPreVote term {} last {}/{}", m.term, m.last_index, m.last_term)
        }
        Message::RequestVote(m) => {
            let handed = if m.occasion == Occasion::Transfer { " by handover" } else { "" };
            format!("RequestVote term {} last {}/{}{handed}", m.term, m.last_index, m.last_term)
        }
        Message::VoteReply(m) => {
            let name = if m.ballot == Ballot::PreVote { "PreVoteReply" } else { "VoteReply" };
            let told = match m.committed.index {
                0 => String::new(),
                _ => format!(", {} is committed", m.committed),
            };
            format!("{name} term {} {}{told}", m.term, if m.granted { "granted" } else { "refused" })
        }
        Message::AppendEntries(m) => {
            let (prev, new) = (format!("{}/{}", m.prev_index, m.prev_term), entries(&m.entries));
            format!("AppendEntries term {} prev {prev} entries [{new}] commit {}", m.term, m.commit)
        }
        Message::AppendReply(m) => match &m.outcome {
            AppendOutcome::Matched(index) => format!("AppendReply term {} matched {index}", m.term),
            AppendOutcome::Rejected(r) => {
                format!(
                    "AppendReply term {} rejected {} hint {}/{}",
                    m.term, r.prev_index, r.hint_index, r.hint_term
                )
            }
            AppendOutcome::StaleTerm => format!("AppendReply term {} stale", m.term),
        },
        Message::Heartbeat(m) => format!("Heartbeat term {} commit {} round {}", m.term, m.commit, m.round),
        Message::InstallSnapshot(m) => {
            let (last, end) = (m.id.last, m.offset + m.data.len() as u64);
            format!("InstallSnapshot term {} up to {last} bytes {}..{end} of {}", m.term, m.offset, m.total)
        }
        Message::InstallReply(m) => match m.outcome {
            InstallOutcome::Wanted(id, offset) => {
                format!("InstallReply term {} wants up to {} from byte {offset}", m.term, id.last)
            }
            InstallOutcome::Covered(index) => format!("InstallReply term {} has up to {index}", m.term),
            InstallOutcome::StaleTerm => format!("InstallReply term {} stale", m.term),
        },
        Message::ReadIndex(m) => format!("ReadIndex term {}", m.term),
        Message::ReadIndexReply(m) => format!("ReadIndexReply term {} index {}", m.term, m.index),
        Message::TimeoutNow(m) => format!("TimeoutNow term {}", m.term),
        Message::StateHash(m) => {
            let agreed = if m.is_agreed { ", as a majority" } else { "" };
            format!("StateHash term {} {:016x} at {}{agreed}", m.term, m.hash, m.index)
        }
        Message::StateHashReply(m) => {
            format!("StateHashReply term {} {:016x} at {}", m.term, m.hash, m.index)
        }
        Message::HeartbeatReply(m) => {
            format!("HeartbeatReply term {} round {} last {}", m.term, m.round, m.last_index)
        }
    }
}

pub(super) fn state(raft: &Raft) -> String {
    let status = raft.status();
    let vote = status.voted_for.map_or("nobody".to_owned(), |node| node.to_string());
    // Who the members are is told once it is in the log.
    let members = match status.config_index {
        0 => String::new(),
        index => format!(" members of {index}: {}", configuration(raft.configuration())),
    };
    let base = raft.log().base();
    format!(
        "{} {} term {} vote {vote} commit {} log {}{}{members}",
        status.id,
        status.role,
        status.term,
        status.commit,
        if base.index > 0 { format!("behind {base} ") } else { String::new() },
        terms(raft.log().range(1, status.last_index))
    )
}

pub(super) fn log(raft: &Raft) -> String {
    let entry = |entry: &Entry| match &entry.payload {
        Payload::Command(command) => {
            format!(" {}/{}={}", entry.index, entry.term, command.as_bytes().escape_ascii())
        }
        _ => format!(" {}/{}", entry.index, entry.term),
    };
    let status = raft.status();
    format!("{}:{}", status.id, raft.log().range(1, status.last_index).iter().map(entry).collect::<String>())
}

//! The disks of a script's nodes: what they hold, lose, and finish when, and nodes that start and crash on them.

use raftkv::machine::Machine;
use raftkv::raft::io::HardState;
use raftkv::raft::io::{DiskSpace, Flush, Input, Micros, NodeId, Persist, PersistId};
use raftkv::raft::log::{Entry, Payload};
use raftkv::raft::recovery::Standing;
use raftkv::raft::trace::{Event, EventKind};
use raftkv::raft::{Config, Raft};
use raftkv::sessions::LeaderMemory;

use super::{Files, Outcome, Script, print};

impl Script {
    pub(super) fn seed_log(&mut self, arguments: &[&str]) -> Outcome {
        let (id, terms) = arguments.split_first().ok_or("log: whose?")?;
        let node = self.node(id.parse()?)?;
        for term in terms {
            let term = term.parse().map_err(|e| format!("{term}: {e}"))?;
            let index = node.written.log.len() as u64 + 1;
            node.written.log.push(Entry { index, term, payload: Payload::Noop });
            node.written.hard_state.term = term;
        }
        node.synced = node.written.clone();
        Ok(())
    }

    pub(super) fn seed_term(&mut self, arguments: &[&str]) -> Outcome {
        let (state, nodes) = arguments.split_first().ok_or("term: which?")?;
        let (term, vote) = state.split_once('/').map_or((*state, None), |(term, vote)| (term, Some(vote)));
        let term = term.parse().map_err(|e| format!("{term}: {e}"))?;
        let voted_for = vote.map(str::parse).transpose()?;
        for id in self.targets(nodes)? {
            let node = self.node(id)?;
            node.written.hard_state = HardState { term, voted_for };
            node.synced = node.written.clone();
        }
        Ok(())
    }

    pub(super) fn lose_tail(&mut self, arguments: &[&str]) -> Outcome {
        let (count, nodes) = arguments.split_first().ok_or("lose: how many entries?")?;
        let count: usize = count.parse().map_err(|e| format!("{count}: {e}"))?;
        for id in self.targets(nodes)? {
            let node = self.node(id)?;
            node.written.log.truncate(node.written.log.len().saturating_sub(count));
            node.synced = node.written.clone();
        }
        Ok(())
    }

    pub(super) fn start(&mut self, id: NodeId) -> Outcome {
        self.node(id)?;
        let members = self.initial(id);
        let (now, rules) = (Micros(self.now), self.rules.clone());
        let chunk_bytes = if self.chunk == 0 { 1 << 20 } else { self.chunk };
        let node = self.node(id)?;
        if node.raft.is_none() {
            node.machine = Some(Machine::new(&rules));
            node.memory = LeaderMemory::default();
            // A start is counted on disk, which syncs what was written before.
            node.synced = node.written.clone();
            let Files { hard_state, log, commit } = node.written.clone();
            let learner = if node.standing == Standing::Learner { " as a learner" } else { "" };
            let (state, terms) = (print::hard_state(hard_state), print::terms(&log));
            let snapshot = node.shelf.start();
            let from = snapshot.as_ref().map(|meta| format!("snapshot up to {}, ", meta.id.last));
            let from = from.unwrap_or_default();
            let (standing, seed) = (node.standing, u64::from(id.0));
            let config =
                Config { id, members, rules, hard_state, snapshot, log, chunk_bytes, commit, standing, seed };
            match Raft::new(config, node.clocks.monotonic(now)) {
                Ok(raft) => node.raft = Some(raft),
                Err(reason) => {
                    self.say(format!("{id} does not start: {reason}"));
                    return Ok(());
                }
            }
            self.say(format!("{id} starts{learner}: {state}, {from}log {terms}"));
        }
        Ok(())
    }

    pub(super) fn crash(&mut self, id: NodeId) -> Outcome {
        let node = self.node(id)?;
        node.raft = None;
        node.machine = None;
        node.held = false;
        let mut lost: Vec<String> =
            node.open.drain(..).filter_map(|write| write.persist.as_ref().map(print::persist)).collect();
        lost.extend(node.shelf.crash());
        self.say(format!(
            "{id} crashes{}",
            if lost.is_empty() { String::new() } else { format!(", never written: {}", lost.join("; ")) }
        ));
        Ok(())
    }

    pub(super) fn power_failure(&mut self, id: NodeId) -> Outcome {
        self.crash(id)?;
        let now = self.now;
        let node = self.node(id)?;
        node.sync_late(now);
        let lost = print::loss(&node.written, &node.synced);
        node.written = node.synced.clone();
        self.say(format!("{id} loses power{lost}"));
        Ok(())
    }

    pub(super) fn wipe(&mut self, arguments: &[&str]) -> Outcome {
        let (id, standing) = match arguments {
            [id] => (id.parse()?, Standing::Voter),
            [id, "learner"] => (id.parse()?, Standing::Learner),
            _ => return Err("wipe: whose disk?".into()),
        };
        let node = self.node(id)?;
        (node.written, node.synced, node.standing) = (Files::default(), Files::default(), standing);
        Ok(())
    }

    pub(super) fn disk(&mut self, arguments: &[&str], space: DiskSpace) -> Outcome {
        for id in self.targets(arguments)? {
            self.node(id)?.held = space == DiskSpace::Full;
            self.step(id, Input::Disk(space))?;
        }
        Ok(())
    }

    pub(super) fn hold(&mut self, id: NodeId) -> Outcome {
        self.node(id)?.held = true;
        Ok(())
    }

    pub(super) fn release(&mut self, id: NodeId) -> Outcome {
        self.node(id)?.held = false;
        self.complete_writes(id)
    }

    pub(super) fn complete_writes(&mut self, id: NodeId) -> Outcome {
        while !self.node(id)?.held {
            let Some(write) = self.node(id)?.open.pop_front() else { break };
            let synced = write.persist.as_ref().is_none_or(Persist::must_be_synced);
            let persisted = write.persist.map(|persist| self.write(id, persist)).transpose()?;
            let said = |event: &&Event| synced || !matches!(event.kind, EventKind::Fsync(_));
            for event in write.events.iter().filter(said) {
                self.say(format!("{id} {}", print::event(event)));
            }
            for (to, message) in write.messages {
                self.post(id, to, message);
            }
            if let Some(persisted) = persisted {
                self.step(id, Input::Persisted(persisted))?;
            }
        }
        Ok(())
    }

    pub(super) fn write(&mut self, id: NodeId, persist: Persist) -> Outcome<PersistId> {
        if persist.writes() || persist.compact.is_some() {
            self.say(format!("{id} writes {}", print::persist(&persist)));
        }
        let now = self.now;
        let node = self.node(id)?;
        node.sync_late(now);
        if let Flush::Within(millis) = persist.flush {
            node.late.get_or_insert(now + 1_000 * millis);
        }
        let (written, must_be_synced, cached) = (persist.id, persist.must_be_synced(), persist.cached);
        node.written.hard_state = persist.hard_state.unwrap_or(node.written.hard_state);
        node.written.commit = persist.commit.unwrap_or(node.written.commit);
        persist.write_to(&mut node.written.log);
        if must_be_synced {
            (node.synced, node.late) = (node.written.clone(), None);
        }
        if let Some(cached) = cached {
            node.written.hard_state = cached;
            self.say(format!("{id} writes, without waiting for the disk, {}", print::hard_state(cached)));
        }
        Ok(written)
    }
}

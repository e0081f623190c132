//! The commands of a script that concern clients, their sessions and the state machine.
//!
//! A call is a command of a client, as `7/1` in its session (client 7, number 1) or `-` outside of any: `incr c`, `put x 1`,
//! `get x`.

use std::sync::Arc;

use raftkv::raft::io::{Input, NodeId, RequestId};
use raftkv::raft::log::{Entry, Payload};
use raftkv::sessions::SessionCall;
use raftkv::store::{Applied, Command, Proposal, Reply, Value};

use super::{Outcome, Script};

fn session(text: &str) -> Outcome<Option<SessionCall>> {
    if text == "-" {
        return Ok(None);
    }
    let (client, sequence) =
        text.split_once('/').ok_or(format!("`{text}`: expected a session such as 7/1"))?;
    let number = |text: &str| text.parse().map_err(|e| format!("{text}: {e}"));
    Ok(Some(SessionCall { client: number(client)?, sequence: number(sequence)? }))
}

fn command(words: &[&str]) -> Outcome<Command> {
    Ok(match *words {
        ["incr", key] => Command::Increment(key.into(), 1),
        ["put", key, value] => Command::Put(key.into(), Arc::from(value)),
        ["get", key] => Command::Get(key.into()),
        _ => return Err(format!("call: `{}` is no command", words.join(" "))),
    })
}

fn text(value: Option<&Value>) -> String {
    match value {
        None => "nothing".into(),
        Some(Value::Text(text)) => text.to_string(),
        Some(other) => other.kind().into(),
    }
}

fn reply(reply: &Reply) -> String {
    match reply {
        Reply::Done => "done".into(),
        Reply::Number(number) => number.to_string(),
        Reply::Value(value) => text(value.as_ref()),
        other => format!("{other:?}"),
    }
}

impl Script {
    pub(super) fn call(&mut self, arguments: &[&str]) -> Outcome {
        let [id, place, words @ ..] = arguments else {
            return Err("call: to whom, in which session?".into());
        };
        let (id, session): (NodeId, _) = (id.parse()?, session(place)?);
        let proposal = Proposal { stamp_ms: self.now / 1_000, session, command: command(words)? };
        let name = format!("{} of {place}", words.join(" "));
        let node = self.node(id)?;
        let term = node.raft.as_ref().map_or(0, |raft| raft.term());
        if let Some(known) = session.and_then(|session| node.memory.answer(term, session)) {
            self.say(format!("{id} answers {name} from its memory: {}", reply(&known)));
            return Ok(());
        }
        let request = self.request(&name);
        self.calls.insert(request, name);
        self.step(id, Input::Propose { request, command: proposal.encode() })
    }

    pub(super) fn value(&mut self, arguments: &[&str]) -> Outcome {
        let [key, nodes @ ..] = arguments else { return Err("value: of what?".into()) };
        for id in self.targets(nodes)? {
            let line = match &self.node(id)?.machine {
                Some(machine) => format!("{id} has {key} = {}", text(machine.store().get(key))),
                None => format!("{id} is down"),
            };
            self.say(line);
        }
        Ok(())
    }

    /// Says which writes are answered before they are committed. A write whose result is not known yet waits.
    pub(super) fn acknowledge_early(&mut self, id: NodeId, early: &[(RequestId, u64)]) -> Outcome {
        for &(request, index) in early {
            let entry = self.node(id)?.raft.as_ref().and_then(|raft| raft.log().get(index));
            let Some(Entry { payload: Payload::Command(command), .. }) = entry else { continue };
            let decoded = Proposal::decode(command.as_bytes());
            if decoded.is_none_or(|proposal| proposal.command.is_blind()) {
                let name = self.names.remove(&request).unwrap_or_default();
                let name = self.calls.remove(&request).unwrap_or(name);
                self.say(format!("{id} answers {name} before it is committed: done, entry {index}"));
            }
        }
        Ok(())
    }

    pub(super) fn apply(&mut self, id: NodeId, entries: &[Entry], commit: u64) -> Outcome {
        let now = self.now / 1_000;
        let Some(machine) = self.node(id)?.machine.as_mut() else { return Ok(()) };
        machine.observe(raftkv::store::Local { clock_ms: now, seed: u64::from(id.0), node: id.0 });
        machine.apply(entries, commit)?;
        let states = machine.states().to_vec();
        if let Some(raft) = self.node(id)?.raft.as_mut() {
            raft.note_states(&states);
        }
        Ok(())
    }

    /// Changes the state of one node behind the back of its log: what bad memory does.
    pub(super) fn corrupt(&mut self, arguments: &[&str]) -> Outcome {
        let [id, key, value] = arguments else {
            return Err("corrupt: expected a node, a key and a value".into());
        };
        let machine = self.node(id.parse()?)?.machine.as_mut().ok_or(format!("{id} is down"))?;
        let (applied, mut store) = (machine.applied(), machine.store().clone());
        let command = Command::Put((*key).into(), Arc::from(*value));
        store.apply(applied, &Proposal { stamp_ms: 0, session: None, command }.encode());
        machine.restore(applied, store)?;
        Ok(())
    }

    pub(super) fn answer(&mut self, id: NodeId, request: RequestId, index: u64) -> Outcome {
        let Some(name) = self.calls.remove(&request) else {
            if let Some(name) = self.names.get(&request) {
                self.say(format!("{id} answers {name}: done, entry {index}"));
            }
            return Ok(());
        };
        let node = self.node(id)?;
        let result = node.machine.as_mut().and_then(|machine| machine.take_result(index));
        let Applied { reply: result, remember } = result.ok_or(format!("{id} has no result of {index}"))?;
        if let (Some(call), Some(raft)) = (remember, &node.raft) {
            node.memory.record(raft.term(), call, &result);
        }
        self.say(format!("{id} answers {name}: {}, entry {index}", reply(&result)));
        Ok(())
    }
}

//! The network of a script's nodes: messages that are under way, arrive, are lost, repeated or made up.

use std::collections::{BTreeMap, BTreeSet};

use raftkv::raft::io::{Input, NodeId};
use raftkv::raft::log::{Entry, Payload};
use raftkv::raft::message::{AppendEntries, Message};

use super::{InFlight, Outcome, Script, micros, print};

impl Script {
    pub(super) fn run_for(&mut self, arguments: &[&str]) -> Outcome {
        let [time, delay @ ..] = arguments else { return Err("run: how long?".into()) };
        let delay = delay.first().and_then(|text| text.strip_prefix("delay=")).unwrap_or("1ms");
        let (end, delay) = (self.now + micros(time)?, micros(delay)?);
        loop {
            let message = self.messages.front().map_or(u64::MAX, |message| message.sent + delay);
            let timer = self.next_timer().unwrap_or((u64::MAX, NodeId(0)));
            if message.min(timer.0) > end {
                break;
            }
            self.now = self.now.max(message.min(timer.0));
            match self.messages.pop_front() {
                Some(front) if message <= timer.0 => self.arrive(front)?,
                Some(front) => {
                    self.messages.push_front(front);
                    self.step(timer.1, Input::Tick)?;
                }
                None => self.step(timer.1, Input::Tick)?,
            }
        }
        self.now = end;
        Ok(())
    }

    pub(super) fn count(&mut self, filters: &[&str]) -> Outcome {
        let mut counts: BTreeMap<(NodeId, NodeId), usize> = BTreeMap::new();
        for (from, to, text) in std::mem::take(&mut self.sent) {
            let matches = |filter: &&str| match filter.split_once('=') {
                Some(("from", node)) => from.to_string() == node,
                Some(("to", node)) => to.to_string() == node,
                Some((_, part)) => text.contains(part),
                None => false,
            };
            if filters.iter().all(matches) {
                *counts.entry((from, to)).or_default() += 1;
            }
        }
        for ((from, to), count) in counts {
            self.say(format!("{from} -> {to}: {count}"));
        }
        Ok(())
    }

    pub(super) fn post(&mut self, from: NodeId, to: NodeId, message: Message) {
        let is_cut = !self.passes(from, to);
        let (lost, text) = (if is_cut { " lost" } else { "" }, print::message(&message));
        self.say(format!("{from} -> {to}{lost}: {text}"));
        self.sent.push((from, to, text));
        if !is_cut {
            self.messages.push_back(InFlight { from, to, sent: self.now, message });
        }
    }

    pub(super) fn arrive(&mut self, InFlight { from, to, message, .. }: InFlight) -> Outcome {
        self.step(to, Input::Message { from, message })
    }

    /// Takes the messages that match the filters off the network.
    pub(super) fn take(&mut self, filters: &[&str]) -> Outcome<Vec<InFlight>> {
        let mut parsed = Vec::new();
        for filter in filters {
            parsed.push(filter.split_once('=').ok_or(format!("`{filter}`: expected from=, to= or is="))?);
        }
        let matches = |m: &InFlight| {
            parsed.iter().all(|&(key, value)| match key {
                "from" => m.from.to_string() == value,
                "to" => m.to.to_string() == value,
                _ => print::message(&m.message).starts_with(value),
            })
        };
        let (taken, kept) = std::mem::take(&mut self.messages).into_iter().partition(matches);
        self.messages = kept;
        Ok(Vec::from(taken))
    }

    pub(super) fn stabilize(&mut self, arguments: &[&str]) -> Outcome {
        let among: BTreeSet<NodeId> = self.targets(arguments)?.into_iter().collect();
        for _ in 0..10_000 {
            let inside = |m: &InFlight| among.contains(&m.from) && among.contains(&m.to);
            let Some(position) = self.messages.iter().position(inside) else { return Ok(()) };
            let Some(message) = self.messages.remove(position) else { return Ok(()) };
            self.arrive(message)?;
        }
        Err("messages never end".into())
    }

    /// Puts a message on the network that its sender did not send.
    pub(super) fn forge(&mut self, arguments: &[&str]) -> Outcome {
        let [from, to, "AppendEntries", fields @ ..] = arguments else {
            return Err("send: expected two nodes, then AppendEntries".into());
        };
        let mut append =
            AppendEntries { term: 0, prev_index: 0, prev_term: 0, entries: Vec::new(), commit: 0 };
        for field in fields {
            let (key, value) = field.split_once('=').ok_or(format!("`{field}`: expected key=value"))?;
            let number = |text: &str| text.parse::<u64>().map_err(|e| format!("{text}: {e}"));
            match key {
                "term" => append.term = number(value)?,
                "commit" => append.commit = number(value)?,
                "prev" => {
                    let (index, term) = value.split_once('/').ok_or("prev: expected index/term")?;
                    (append.prev_index, append.prev_term) = (number(index)?, number(term)?);
                }
                _ => {
                    for term in value.split(',') {
                        let index = append.prev_index + append.entries.len() as u64 + 1;
                        append.entries.push(Entry { index, term: number(term)?, payload: Payload::Noop });
                    }
                }
            }
        }
        self.post(from.parse()?, to.parse()?, Message::AppendEntries(append));
        Ok(())
    }
}

/// `n1-n2`, or `n1` for all links of n1.
pub(super) fn link(name: &str) -> Outcome<(NodeId, NodeId)> {
    let (one, other) = name.split_once('-').unwrap_or((name, name));
    let (one, other) = (one.parse()?, other.parse()?);
    Ok(if one <= other { (one, other) } else { (other, one) })
}

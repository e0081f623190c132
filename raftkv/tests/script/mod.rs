//! A cluster that does only what a script says, and tells everything that it does.
//!
//! | command | what happens |
//! |---|---|
//! | `cluster 3 rule=value...` | three nodes, not started; elections only by order unless a rule says otherwise |
//! | `spare n4 n5` | nodes that are not among the members and know nobody |
//! | `witness n3` | n3 is one of the members and keeps no state machine, if the rule `witness` says so |
//! | `log n1 1 1 2` | n1's disk holds entries of these terms, and the last as its term |
//! | `term 3 n1 n2`, `term 3/n2 n1` | these disks hold this term, without a vote or with one |
//! | `lose 3 n1` | n1's disk has lost its last three entries |
//! | `start`, `start n1` | nodes start with what their disks hold |
//! | `crash n1` | n1 loses what its disk has not finished, as by kill -9 |
//! | `power n1` | n1 also loses what was written and not synced |
//! | `wipe n1`, `wipe n1 learner` | n1's disk is empty; when it starts, it knows (learner) that it has lost what it promised |
//! | `full n1`, `room n1` | n1's disk takes nothing, or takes writes again |
//! | `hold n1`, `release n1` | n1's disk finishes nothing, or everything from now on |
//! | `campaign n1` | n1 starts an election |
//! | `transfer n1 n2`, `transfer n1` | n1 is to hand leadership to n2, or to whom it chooses |
//! | `poke n1 next n2 7`, `poke n1 match n2 7` | n1 is made to believe this of n2 |
//! | `change n1 add n4` | an operator asks n1: `add [learner|witness] n4`, `promote n4`, `remove n4`, `replace n1 n4 n5` |
//! | `propose n1 x`, `read n1` | a client asks n1 |
//! | `call n1 7/1 incr c` | client 7's first command, or `-` outside of any session: `incr c`, `put x 1`, `get x` |
//! | `corrupt n1 x 7` | the state machine of n1 has 7 under x, whatever the log says |
//! | `value x n1` | what the state machine of n1 binds x to |
//! | `read n1 mode=follower_local seen=4` | a client chooses how, or tells which index it has seen |
//! | `clock n1 rate=0.5`, `clock n1 set=-10s` | n1's clocks run at this speed from now on; its time of day is set |
//! | `suspend n1 400ms` | n1's machine is suspended, and only afterwards goes on: time passes for everybody else |
//! | `wait 60ms` | time passes for everybody |
//! | `deliver`, `deliver from=n1 to=n2 is=Heartbeat` | the messages that are under way now, and match, arrive |
//! | `drop`, with the same filters | they are lost |
//! | `deliver-one`, `drop-one`, with the same filters | the oldest of them arrives, or is lost |
//! | `repeat`, with the same filters | each will arrive twice |
//! | `send n1 n2 AppendEntries term=2 prev=3/2 entries=3 commit=1` | a message that no node sent |
//! | `stabilize`, `stabilize n1 n2` | messages arrive, among these nodes alone, until none is left; others are kept |
//! | `cut n1`, `cut n1-n2`, `mend` | messages from and to n1, or between the two, are lost from now on; or no longer (`mend n1-n2`) |
//! | `run 1s delay=20ms` | time passes, and every message takes so long |
//! | `count from=n1 has=rejected` | how many messages with this in them were sent since the last `count`, by sender and receiver |
//! | `partition n1 n4 \| n2 n3` | messages between the groups are lost from now on |
//! | `quiet`, `loud` | the output of the commands between is left out |
//! | `snapshot n1` | n1 is ordered to take a snapshot |
//! | `freeze n1`, `thaw n1` | n1 does nothing about snapshots, or everything from now on |
//! | `spoil n3`, `unspoil n3` | n3's disk keeps every part of a snapshot that it receives wrongly, or rightly from now on |
//! | `lose-snapshot n1` | n1's disk has lost its snapshot |
//! | `forge-snapshot n1 n3` | the message arrives late with which n1 sent its whole snapshot to n3 |
//! | `machines` | what the state machine of every node has applied |
//! | `state` | what every node is and has |
//! | `logs` | every node's log with the commands in it |

mod clients;
mod clocks;
mod disks;
mod members;
mod network;
mod print;
mod snapshots;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use network::link;
use raftkv::machine::Machine;
use raftkv::raft::Raft;
use raftkv::raft::control::{Order, OrderOutcome, Poke};
use raftkv::raft::io::{DiskSpace, Effects, HardState, Input, Micros, NodeId, Persist, RequestId};
use raftkv::raft::log::Entry;
use raftkv::raft::message::Message;
use raftkv::raft::recovery::Standing;
use raftkv::raft::rules::Rules;
use raftkv::raft::snapshot::SnapshotMeta;
use raftkv::raft::trace::Event;
use raftkv::sessions::LeaderMemory;
use raftkv::sim::clock::Clocks;
use snapshots::Shelf;

struct Write {
    persist: Option<Persist>,
    events: Vec<Event>,
    messages: Vec<(NodeId, Message)>,
}

/// What the files of a node hold.
#[derive(Clone, Default)]
struct Files {
    hard_state: HardState,
    log: Vec<Entry>,
    commit: u64,
}

#[derive(Default)]
struct Node {
    raft: Option<Raft>,
    /// What a starting process finds.
    written: Files,
    /// What is left after a power failure.
    synced: Files,
    /// When the latter becomes the former by itself.
    late: Option<u64>,
    standing: Standing,
    open: VecDeque<Write>,
    held: bool,
    /// It is not among the initial members and knows nobody.
    spare: bool,
    machine: Option<Machine>,
    memory: LeaderMemory,
    shelf: Shelf,
    clocks: Clocks,
}

impl Node {
    fn sync_late(&mut self, now: u64) {
        if self.late.is_some_and(|due| due <= now) {
            (self.synced, self.late) = (self.written.clone(), None);
        }
    }
}

struct InFlight {
    from: NodeId,
    to: NodeId,
    sent: u64,
    message: Message,
}

/// The state between two commands.
#[derive(Default)]
pub(crate) struct Script {
    now: u64,
    rules: Rules,
    nodes: BTreeMap<NodeId, Node>,
    messages: VecDeque<InFlight>,
    /// Pairs of nodes; a node with itself stands for all its links.
    cut: BTreeSet<(NodeId, NodeId)>,
    sent: Vec<(NodeId, NodeId, String)>,
    /// Which side of a partition each node is on, while there is one.
    sides: Option<BTreeMap<NodeId, usize>>,
    witnesses: BTreeSet<NodeId>,
    /// What the snapshots of all nodes say of themselves.
    headers: Vec<SnapshotMeta>,
    /// How many bytes of a snapshot a message carries.
    chunk: usize,
    requests: u64,
    names: BTreeMap<RequestId, String>,
    /// Those of `names` that are calls.
    calls: BTreeMap<RequestId, String>,
    quiet: bool,
    out: Vec<String>,
}

type Outcome<T = ()> = Result<T, String>;

impl Script {
    /// Runs one command; what it caused.
    pub(crate) fn run(&mut self, command: &str) -> Outcome<Vec<String>> {
        let words: Vec<&str> = command.split_whitespace().collect();
        let (&verb, arguments) = words.split_first().ok_or("an empty command")?;
        self.command(verb, arguments)?;
        let out = std::mem::take(&mut self.out);
        let is_asked = matches!(verb, "state" | "logs" | "count");
        Ok(if self.quiet && !is_asked { Vec::new() } else { out })
    }

    fn command(&mut self, verb: &str, arguments: &[&str]) -> Outcome {
        match verb {
            "cluster" => self.cluster(arguments),
            "log" => self.seed_log(arguments),
            "term" => self.seed_term(arguments),
            "lose" => self.lose_tail(arguments),
            "start" => self.targets(arguments)?.into_iter().try_for_each(|id| self.start(id)),
            "power" => self.targets(arguments)?.into_iter().try_for_each(|id| self.power_failure(id)),
            "wipe" => self.wipe(arguments),
            "full" => self.disk(arguments, DiskSpace::Full),
            "room" => self.disk(arguments, DiskSpace::Free),
            "crash" => self.targets(arguments)?.into_iter().try_for_each(|id| self.crash(id)),
            "hold" => self.targets(arguments)?.into_iter().try_for_each(|id| self.hold(id)),
            "release" => self.targets(arguments)?.into_iter().try_for_each(|id| self.release(id)),
            "campaign" => self
                .targets(arguments)?
                .into_iter()
                .try_for_each(|id| self.order(id, "campaign", Order::Campaign)),
            "transfer" => self.transfer(arguments),
            "poke" => self.poke(arguments),
            "propose" => self.propose(arguments),
            "call" => self.call(arguments),
            "value" => self.value(arguments),
            "corrupt" => self.corrupt(arguments),
            "read" => self.read(arguments),
            "clock" => self.set_clocks(arguments),
            "suspend" => self.suspend(arguments),
            "wait" => self.wait(arguments),
            "deliver" => self.take(arguments)?.into_iter().try_for_each(|message| self.arrive(message)),
            "repeat" => {
                for InFlight { from, to, sent, message } in self.take(arguments)? {
                    self.messages.push_back(InFlight { from, to, sent, message: message.clone() });
                    self.messages.push_back(InFlight { from, to, sent, message });
                }
                Ok(())
            }
            "drop" => {
                for InFlight { from, to, message, .. } in self.take(arguments)? {
                    self.say(format!("{from} -> {to} lost: {}", print::message(&message)));
                }
                Ok(())
            }
            "send" => self.forge(arguments),
            "stabilize" => self.stabilize(arguments),
            "cut" => {
                for name in arguments {
                    self.cut.insert(link(name)?);
                }
                Ok(())
            }
            "spare" => self.spare(arguments),
            "change" => self.change(arguments),
            "partition" => self.partition(arguments),
            "witness" => {
                self.witnesses.extend(self.targets(arguments)?);
                Ok(())
            }
            "mend" => {
                let mended: BTreeSet<_> = arguments.iter().map(|name| link(name)).collect::<Outcome<_>>()?;
                self.cut.retain(|pair| !mended.is_empty() && !mended.contains(pair));
                self.sides = None;
                Ok(())
            }
            "run" => self.run_for(arguments),
            "count" => self.count(arguments),
            "snapshot" => self.order_snapshots(arguments),
            "lose-snapshot" => self.lose_snapshots(arguments),
            "freeze" => self.freeze(arguments, true),
            "thaw" => self.freeze(arguments, false),
            "spoil" => self.spoil(arguments, true),
            "unspoil" => self.spoil(arguments, false),
            "deliver-one" => {
                let mut taken = self.take(arguments)?.into_iter();
                let first = taken.next();
                self.messages.extend(taken);
                first.map_or(Ok(()), |message| self.arrive(message))
            }
            "drop-one" => {
                let mut taken = self.take(arguments)?.into_iter();
                if let Some(InFlight { from, to, message, .. }) = taken.next() {
                    self.say(format!("{from} -> {to} lost: {}", print::message(&message)));
                }
                self.messages.extend(taken);
                Ok(())
            }
            "forge-snapshot" => self.forge_snapshot(arguments),
            "machines" => {
                self.machines();
                Ok(())
            }
            "quiet" => {
                self.quiet = true;
                Ok(())
            }
            "loud" => {
                self.quiet = false;
                Ok(())
            }
            "state" => {
                self.state();
                Ok(())
            }
            "logs" => {
                let running = self.nodes.values().filter_map(|node| node.raft.as_ref());
                self.out.extend(running.map(print::log));
                Ok(())
            }
            _ => Err(format!("there is no command `{verb}`")),
        }
    }

    fn say(&mut self, line: String) {
        self.out.push(line);
    }

    /// The nodes that a command names; all of them if it names none.
    fn targets(&self, arguments: &[&str]) -> Outcome<Vec<NodeId>> {
        if arguments.is_empty() {
            return Ok(self.nodes.keys().copied().collect());
        }
        arguments.iter().map(|name| name.parse()).collect()
    }

    fn node(&mut self, id: NodeId) -> Outcome<&mut Node> {
        self.nodes.get_mut(&id).ok_or_else(|| format!("there is no {id}"))
    }

    fn request(&mut self, kind: &str) -> RequestId {
        self.requests += 1;
        let request = RequestId(self.requests);
        self.names.insert(request, format!("{kind} {}", request.0));
        request
    }

    /// Orders are not counted among the requests of clients.
    fn order(&mut self, id: NodeId, name: &str, order: Order) -> Outcome {
        let request = RequestId(u64::MAX - self.names.len() as u64);
        self.names.insert(request, name.to_owned());
        self.step(id, Input::Order { request, order })
    }

    fn cluster(&mut self, arguments: &[&str]) -> Outcome {
        let (size, rules) = arguments.split_first().ok_or("cluster: how many nodes?")?;
        let size: u16 = size.parse().map_err(|e| format!("{size}: {e}"))?;
        *self = Self { now: 1_000_000, quiet: self.quiet, ..Self::default() };
        self.rules.set("election_timer", "manual").map_err(|e| e.to_string())?;
        for rule in rules {
            let (name, value) = rule.split_once('=').ok_or(format!("`{rule}`: expected name=value"))?;
            if name == "chunk" {
                self.chunk = value.parse().map_err(|e| format!("{value}: {e}"))?;
                continue;
            }
            self.rules.set(name, value).map_err(|e| e.to_string())?;
        }
        self.nodes = (1..=size).map(|id| (NodeId(id), Node::default())).collect();
        Ok(())
    }

    fn propose(&mut self, arguments: &[&str]) -> Outcome {
        let [id, commands @ ..] = arguments else { return Err("propose: to whom?".into()) };
        let id = id.parse()?;
        for command in commands {
            let request = self.request("propose");
            self.step(id, Input::Propose { request, command: command.as_bytes().to_vec() })?;
        }
        Ok(())
    }

    fn transfer(&mut self, arguments: &[&str]) -> Outcome {
        let (id, target) = arguments.split_first().ok_or("transfer: from whom?")?;
        let target = target.first().map(|name| name.parse()).transpose()?;
        self.order(id.parse()?, "transfer", Order::Transfer(target))
    }

    fn poke(&mut self, arguments: &[&str]) -> Outcome {
        let [id, what, peer, index] = arguments else { return Err("poke: expected n1 next n2 7".into()) };
        let (peer, index) = (peer.parse()?, index.parse().map_err(|e| format!("{index}: {e}"))?);
        let poke = match *what {
            "next" => Poke::NextIndex(peer, index),
            "match" => Poke::MatchIndex(peer, index),
            _ => return Err(format!("poke: `{what}` is neither next nor match")),
        };
        self.order(id.parse()?, "poke", Order::Poke(poke))
    }

    fn wait(&mut self, arguments: &[&str]) -> Outcome {
        let end = self.now + micros(arguments.first().ok_or("wait: how long?")?)?;
        while let Some((at, id)) = self.next_timer()
            && at <= end
        {
            self.now = self.now.max(at);
            self.step(id, Input::Tick)?;
        }
        self.now = end;
        Ok(())
    }

    fn next_timer(&self) -> Option<(u64, NodeId)> {
        let due = |node: &Node| Some(node.clocks.when(node.raft.as_ref().and_then(Raft::deadline)?));
        self.nodes.iter().filter_map(|(&id, node)| Some((due(node)?.0, id))).min()
    }

    fn step(&mut self, id: NodeId, input: Input) -> Outcome {
        let (now, lease_clock) = (Micros(self.now), self.rules.read.lease_clock);
        let node = self.node(id)?;
        let now = node.clocks.now(now, lease_clock);
        let Some(raft) = node.raft.as_mut() else { return Ok(()) };
        let effects = raft.step(now, input);
        self.carry_out(id, effects)
    }

    fn carry_out(&mut self, id: NodeId, mut effects: Effects) -> Outcome {
        for event in &effects.trace {
            self.say(format!("{id} {}", print::event(event)));
        }
        if let Some(reason) = effects.halt {
            self.say(format!("{id} stops: {reason}"));
            self.node(id)?.raft = None;
            return Ok(());
        }
        for (to, message) in std::mem::take(&mut effects.send) {
            self.post(id, to, message);
        }
        self.apply_to_shelf(id, &effects)?;
        self.begin_snapshot_work(id, std::mem::take(&mut effects.snapshots))?;
        let (events, messages) = (effects.trace_durable, effects.send_durable);
        if effects.persist.is_some() || !events.is_empty() || !messages.is_empty() {
            self.node(id)?.open.push_back(Write { persist: effects.persist, events, messages });
        }
        self.acknowledge_early(id, &effects.acknowledged)?;
        self.apply(id, &effects.apply, effects.commit)?;
        for (request, index) in effects.applied {
            self.answer(id, request, index)?;
        }
        for (request, index) in effects.reads {
            self.say(format!("{id} answers {}: the state at {index}", self.names[&request]));
        }
        for (request, outcome) in effects.ordered {
            let name = self.names[&request].clone();
            match outcome {
                OrderOutcome::Done(None) if name == "transfer" => self.say(format!("{id} has done {name}")),
                OrderOutcome::Done(None) => {}
                OrderOutcome::Done(Some(index)) => self.say(format!("{id} has done {name}, entry {index}")),
                OrderOutcome::Refused(reason) => self.say(format!("{id} refuses {name}: {reason}")),
                OrderOutcome::Unknown(reason) => {
                    self.say(format!("{id} cannot say what becomes of {name}: {reason}"));
                }
            }
        }
        for (request, refusal) in effects.refused {
            self.say(format!("{id} refuses {}: {}", self.names[&request], print::refusal(&refusal)));
        }
        for request in effects.dropped {
            let answered = "a write that is answered already".to_owned();
            let name = self.calls.remove(&request).or_else(|| self.names.get(&request).cloned());
            self.say(format!("{id} cannot say what becomes of {}", name.unwrap_or(answered)));
        }
        self.complete_writes(id)?;
        self.finish_snapshot_work(id)
    }

    fn state(&mut self) {
        let lines: Vec<String> = self
            .nodes
            .iter()
            .map(|(id, node)| match &node.raft {
                Some(raft) => print::state(raft),
                None => format!(
                    "{id} is down: {}, log {}",
                    print::hard_state(node.written.hard_state),
                    print::terms(&node.written.log)
                ),
            })
            .collect();
        self.out.extend(lines);
    }
}

/// A duration such as 60ms or 2s.
fn micros(text: &str) -> Outcome<u64> {
    let (digits, factor) = match text.strip_suffix("ms") {
        Some(digits) => (digits, 1_000),
        None => (text.strip_suffix('s').ok_or(format!("`{text}`: expected 60ms or 2s"))?, 1_000_000),
    };
    Ok(factor * digits.parse::<u64>().map_err(|e| format!("{text}: {e}"))?)
}

//! Does to the cluster what the steps of a choreography want, and undoes all of it at the end.
//!
//! Invariant: the ledger holds what is done before it is done, like any fault, so that healing knows it from there alone. A
//! node that a step takes down or may take down has one entry, whatever else is done to it, until a step has it running
//! again; links have an entry for each cut. It decides nothing: which nodes and links is settled before.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::cluster::Cluster;
use cluster::disk::{DiskEdit, Survival};
use cluster::levers::{LeverError, Levers, Link, LinkRule, NodeSignal, ProcessState};
use cluster::messages::MessageOrder;
use cluster::order::{Elections, Fsync, Order, OrderKind};
use cluster::start::{StartAs, StartOutcome};
use cluster::system::{BoxFuture, NodeId};
use nemesis::claims::FaultId;
use nemesis::fault::{Choice, Fault, Injection, Installed};
use nemesis::nemesis::{Healed, Nemesis, NemesisError};
use nemesis::picture::Picture;
use nemesis::target::{Cut, Effect, Target};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::faults::FaultEvent;
use crate::director::script::{Deed, Edit, Taken, TakenOutcome};
use crate::script::model::{First, Signal};
use crate::suite::FaultUse;

/// How long a node that is started may take until it answers or ends.
const START_PATIENCE: Duration = Duration::from_secs(5);
/// How long a node may take over SIGTERM.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// How long the nodes may take at the end until they answer and take orders.
const ARM_PATIENCE: Duration = Duration::from_secs(3);
/// How often they are asked meanwhile.
const ARM_INTERVAL: Duration = Duration::from_millis(2);
const ANSWER_LIMIT: Duration = Duration::from_millis(250);

/// What became of a fault that a step began or ended, for the record.
pub(super) struct Event {
    pub(super) id: u64,
    pub(super) fault: String,
    pub(super) what: String,
    /// When it was in force or over.
    pub(super) at: Instant,
    pub(super) event: FaultEvent,
}

/// The one who does it.
#[derive(Clone)]
pub(super) struct Stage {
    cluster: Arc<Cluster>,
    nemesis: Arc<Nemesis>,
    book: Arc<Mutex<Book>>,
    /// For what is random in a deed.
    seed: u64,
}

/// What is in force.
#[derive(Default)]
struct Book {
    last: u64,
    /// The entry of each node that is not left to itself.
    nodes: BTreeMap<NodeId, (FaultId, String)>,
    /// Cuts, oldest first.
    cuts: Vec<Standing>,
    /// Faults of the registry, by label.
    faults: BTreeMap<String, (FaultId, String, String)>,
    events: Vec<Event>,
}

/// A cut that is in force.
#[derive(Clone)]
struct Standing {
    id: FaultId,
    links: Vec<Link>,
    what: String,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Cut,
    Partition,
}

/// Why a deed was not done.
enum Trouble {
    Refused(String),
    Failed(String),
}

type Done<T = String> = Result<T, Trouble>;

impl From<LeverError> for Trouble {
    fn from(error: LeverError) -> Self {
        match error {
            LeverError::WrongState(why) => Trouble::Refused(why),
            LeverError::Unsupported(why) | LeverError::Failed(why) => Trouble::Failed(why),
        }
    }
}

impl From<NemesisError> for Trouble {
    fn from(error: NemesisError) -> Self {
        Trouble::Failed(error.to_string())
    }
}

impl Stage {
    pub(super) fn new(cluster: Arc<Cluster>, nemesis: Arc<Nemesis>, seed: u64) -> Self {
        Self { cluster, nemesis, book: Arc::default(), seed }
    }

    /// Does it, and says what came of it.
    pub(super) async fn take(&self, ticket: u64, deed: Deed, picture: Picture) -> (Taken, Vec<Event>) {
        let mut refused = Vec::new();
        let done = self.carry_out(ticket, deed, picture, &mut refused).await;
        let (outcome, said) = match done {
            Ok(said) => (TakenOutcome::Done, said),
            Err(Trouble::Refused(why)) => (TakenOutcome::Refused, why),
            Err(Trouble::Failed(why)) => (TakenOutcome::Failed, why),
        };
        let events = std::mem::take(&mut self.book.lock().await.events);
        (Taken { outcome, said, refused }, events)
    }

    async fn carry_out(&self, ticket: u64, deed: Deed, picture: Picture, refused: &mut Vec<NodeId>) -> Done {
        match deed {
            Deed::Signal { nodes, signal } => self.signal(&nodes, signal).await,
            Deed::Start { nodes, first, how } => self.start(&nodes, first, &how, refused).await,
            Deed::PowerLoss { nodes } => self.power_loss(&nodes, ticket).await,
            Deed::Cut { links, what } => {
                let mut book = self.book.lock().await;
                self.cut(&mut book, links, what, Kind::Cut).await
            }
            Deed::Partition { links, what } => {
                let mut book = self.book.lock().await;
                let old: Vec<Standing> =
                    book.cuts.iter().filter(|cut| cut.kind == Kind::Partition).cloned().collect();
                // The new one first, so that no link passes in between that both of them cut.
                let said = self.cut(&mut book, links, what, Kind::Partition).await?;
                for cut in old {
                    self.end_cut(&mut book, &cut).await?;
                }
                Ok(said)
            }
            Deed::Heal { links } => self.heal_links(links).await,
            Deed::Fault { label, used } => self.begin_fault(label, &used, ticket, &picture).await,
            Deed::EndFault { label } => self.end_fault(&label).await,
            Deed::Order { orders } => self.order(orders).await,
            Deed::Edit { nodes, edit } => self.edit(&nodes, edit).await,
        }
    }

    /// Gives a node an entry in the ledger, unless it has one.
    fn touch(&self, book: &mut Book, node: NodeId, fault: &str) -> Done<()> {
        if book.nodes.contains_key(&node) || self.nemesis.claims().holder(node).is_some() {
            return Ok(());
        }
        let id = book.next();
        self.nemesis.begin(id, fault, Target::Down(vec![node]))?;
        book.nodes.insert(node, (id, fault.to_owned()));
        let proof = "as the step wants".to_owned();
        book.event(id, fault, &node.to_string(), FaultEvent::Installed { requested: 0, effective: 0, proof });
        Ok(())
    }

    /// Takes the entry of a node from the ledger: it is as it should be.
    async fn leave(&self, book: &mut Book, node: NodeId) -> Done<()> {
        let Some((id, fault)) = book.nodes.remove(&node) else { return Ok(()) };
        let ended = self.nemesis.undo(id).await?;
        // What undoing finds is the work of the step that ended it.
        let effect = Effect::Seen("until a step had it running again".to_owned());
        book.event(id, &fault, &node.to_string(), FaultEvent::Undone { how: ended.undone.done, effect });
        Ok(())
    }

    async fn signal(&self, nodes: &[NodeId], signal: Signal) -> Done {
        let mut book = self.book.lock().await;
        for node in nodes {
            match signal {
                Signal::Kill => {
                    self.touch(&mut book, *node, "kill")?;
                    self.cluster.signal(*node, NodeSignal::Kill).await?;
                }
                Signal::Stop => {
                    self.touch(&mut book, *node, "stop")?;
                    self.cluster.signal(*node, NodeSignal::Terminate).await?;
                    if !self.cluster.wait_down(*node, STOP_PATIENCE).await {
                        return Err(Trouble::Failed(format!("{node} did not end within {STOP_PATIENCE:?}")));
                    }
                }
                Signal::Pause => {
                    self.touch(&mut book, *node, "pause")?;
                    self.cluster.signal(*node, NodeSignal::Pause).await?;
                }
                Signal::Resume => {
                    self.cluster.signal(*node, NodeSignal::Resume).await?;
                    self.leave(&mut book, *node).await?;
                }
            }
        }
        let word = match signal {
            Signal::Kill => "killed and reaped",
            Signal::Stop => "ended",
            Signal::Pause => "stopped by the kernel",
            Signal::Resume => "running again",
        };
        Ok(format!("{} {word}", list(nodes)))
    }

    async fn start(&self, nodes: &[NodeId], first: First, how: &StartAs, refused: &mut Vec<NodeId>) -> Done {
        let mut book = self.book.lock().await;
        let mut starts = JoinSet::new();
        for node in nodes.iter().copied() {
            self.touch(&mut book, node, "kill")?;
            if first == First::Kill && self.cluster.process(node) != ProcessState::Down {
                self.cluster.signal(node, NodeSignal::Kill).await?;
            }
            let (cluster, how) = (Arc::clone(&self.cluster), how.clone());
            starts.spawn(async move { (node, cluster.start_as(node, how, START_PATIENCE).await) });
        }
        let (mut up, mut ended) = (Vec::new(), Vec::new());
        while let Some(started) = starts.join_next().await {
            let (node, outcome) = started.map_err(|error| Trouble::Failed(error.to_string()))?;
            match outcome? {
                StartOutcome::Answers => {
                    self.leave(&mut book, node).await?;
                    up.push(node);
                }
                StartOutcome::Refused { status, said, .. } => {
                    refused.push(node);
                    let said = said.lines().last().unwrap_or_default().trim().to_owned();
                    ended.push(format!("{node} ended ({status}) before it answered: {said}"));
                }
                StartOutcome::Silent => {
                    return Err(Trouble::Failed(format!("{node} did not answer within {START_PATIENCE:?}")));
                }
            }
        }
        up.sort_unstable();
        if ended.is_empty() {
            Ok(format!("{} answers", list(&up)))
        } else {
            Err(Trouble::Refused(ended.join("; ")))
        }
    }

    async fn power_loss(&self, nodes: &[NodeId], ticket: u64) -> Done {
        let mut book = self.book.lock().await;
        for node in nodes {
            self.touch(&mut book, *node, "power-failure")?;
            if self.cluster.process(*node) != ProcessState::Down {
                self.cluster.signal(*node, NodeSignal::Kill).await?;
            }
        }
        let mut proofs = Vec::new();
        for node in nodes {
            let edit = DiskEdit::PowerFailure { survival: Survival::Nothing };
            let lost = self.cluster.edit_disk(*node, edit, self.seed ^ ticket).await;
            proofs.push(match lost {
                Ok(proof) => format!("{node}: {proof}"),
                // Everything was synced: the power is gone all the same.
                Err(LeverError::WrongState(why)) => format!("{node}: {why}"),
                Err(error) => return Err(error.into()),
            });
        }
        Ok(proofs.join("; "))
    }

    async fn cut(&self, book: &mut Book, links: Vec<Link>, what: String, kind: Kind) -> Done {
        if links.is_empty() {
            return Err(Trouble::Refused("this cuts no link".to_owned()));
        }
        let id = book.next();
        let rules = links.iter().map(|link| (*link, LinkRule::Drop)).collect();
        let fault = Links { target: Target::Links(Cut { rules, what: what.clone() }) };
        self.nemesis.begin(id, "partition", fault.target.clone())?;
        match self.nemesis.inject(id, &fault).await? {
            Injection::Installed(installed) => {
                let (requested, effective) = (0, 0);
                let proof = installed.proof.clone();
                book.event(id, "partition", &what, FaultEvent::Installed { requested, effective, proof });
                book.cuts.push(Standing { id, links, what, kind });
                Ok(installed.proof)
            }
            Injection::Skipped(why) => Err(Trouble::Refused(why)),
            Injection::Indeterminate(why) => Err(Trouble::Failed(why)),
        }
    }

    async fn end_cut(&self, book: &mut Book, cut: &Standing) -> Done<()> {
        let ended = self.nemesis.undo(cut.id).await?;
        book.cuts.retain(|other| other.id != cut.id);
        let event = FaultEvent::Undone { how: ended.undone.done, effect: ended.effect };
        book.event(cut.id, "partition", &cut.what, event);
        Ok(())
    }

    /// Ends the cuts of these links, or all. What is left of a cut stays one, and its links never pass in between.
    async fn heal_links(&self, links: Option<Vec<Link>>) -> Done {
        let mut book = self.book.lock().await;
        let mut healed = 0;
        for cut in book.cuts.clone() {
            let is_healed = |link: &Link| links.as_ref().is_none_or(|links| links.contains(link));
            let (gone, left): (Vec<Link>, Vec<Link>) = cut.links.iter().copied().partition(is_healed);
            if gone.is_empty() {
                continue;
            }
            healed += gone.len();
            if !left.is_empty() {
                self.cut(&mut book, left, format!("what is left of {}", cut.what), cut.kind).await?;
            }
            self.end_cut(&mut book, &cut).await?;
        }
        Ok(format!("{healed} links released"))
    }

    async fn begin_fault(&self, label: String, used: &FaultUse, ticket: u64, picture: &Picture) -> Done {
        let mut book = self.book.lock().await;
        let kind = nemesis::faults::find(&used.fault)
            .ok_or_else(|| Trouble::Failed(format!("no fault is called {}", used.fault)))?;
        let fault = (kind.build)(&used.settings, self.everybody().len()).map_err(Trouble::Failed)?;
        let mut rng = ChaCha12Rng::seed_from_u64(self.seed ^ ticket);
        let target = match fault.choose(picture, &mut rng) {
            Choice::Target(target) => target,
            Choice::Skipped(why) => return Err(Trouble::Refused(why)),
        };
        let id = book.next();
        let what = target.describe();
        self.nemesis.begin(id, &used.fault, target)?;
        let injection = self.nemesis.inject(id, fault.as_ref()).await?;
        let (event, done) = match injection {
            Injection::Installed(Installed { proof, .. }) => {
                (FaultEvent::Installed { requested: 0, effective: 0, proof: proof.clone() }, Ok(proof))
            }
            Injection::Skipped(why) => (FaultEvent::Skipped { why: why.clone() }, Err(Trouble::Refused(why))),
            Injection::Indeterminate(why) => {
                (FaultEvent::Indeterminate { why: why.clone() }, Err(Trouble::Failed(why)))
            }
        };
        book.event(id, &used.fault, &what, event);
        if done.is_ok() {
            book.faults.insert(label, (id, used.fault.clone(), what));
        }
        done
    }

    async fn end_fault(&self, label: &str) -> Done {
        let mut book = self.book.lock().await;
        let Some((id, fault, what)) = book.faults.remove(label) else {
            return Err(Trouble::Refused(format!("the fault {label} is not in force")));
        };
        let ended = self.nemesis.undo(id).await?;
        let how = ended.undone.done.clone();
        book.event(id, &fault, &what, FaultEvent::Undone { how: how.clone(), effect: ended.effect });
        Ok(how)
    }

    async fn order(&self, orders: Vec<(NodeId, Order)>) -> Done {
        let dooms = Deed::Order { orders: orders.clone() }.dooms();
        {
            let mut book = self.book.lock().await;
            for node in dooms {
                self.touch(&mut book, node, "kill")?;
            }
        }
        let mut said = Vec::new();
        for (node, order) in orders {
            let answer = self.cluster.order(node, order).await;
            said.push(format!("{node} {}", answer?));
        }
        Ok(said.join("; "))
    }

    async fn edit(&self, nodes: &[NodeId], edit: Edit) -> Done {
        let mut proofs = Vec::new();
        for node in nodes {
            let proof = match &edit {
                Edit::File(edit) => self.cluster.edit(*node, edit.clone()).await?,
                Edit::Data(edit) => self.cluster.edit_data(*node, edit.clone()).await?,
            };
            proofs.push(format!("{node}: {proof}"));
        }
        Ok(proofs.join("; "))
    }

    /// Undoes everything: what nodes were told, then what the ledger holds. Then elections begin by themselves again.
    pub(super) async fn finish(&self) -> Healed {
        let nodes = self.everybody();
        let told = [
            (OrderKind::Messages, Order::Messages(MessageOrder::Clear)),
            (OrderKind::Failpoint, Order::ReleaseFailpoint { point: None }),
            (OrderKind::Fsync, Order::Fsync(Fsync::Release)),
        ];
        let knows = |kind: &OrderKind| self.cluster.system().capabilities().orders.contains(kind);
        for (_, order) in told.into_iter().filter(|(kind, _)| knows(kind)) {
            self.tell_all(&nodes, &order).await;
        }
        let healed = self.nemesis.heal().await;
        if knows(&OrderKind::Elections) {
            self.arm(&nodes).await;
        }
        healed
    }

    /// All hosts on which a process runs or ran.
    fn everybody(&self) -> Vec<NodeId> {
        self.cluster.nodes().into_iter().chain(self.cluster.spares()).collect()
    }

    /// Tells every node that runs. One that is down or does not answer cannot be told, and healing sees to it.
    async fn tell_all(&self, nodes: &[NodeId], order: &Order) {
        let mut orders = JoinSet::new();
        let runs = |node: &&NodeId| self.cluster.process(**node) == ProcessState::Running;
        for node in nodes.iter().filter(runs).copied() {
            let (cluster, order) = (Arc::clone(&self.cluster), order.clone());
            orders.spawn(async move { (node, cluster.order(node, order).await) });
        }
        while let Some(told) = orders.join_next().await {
            if let Ok((node, Err(error))) = told {
                tracing::debug!("at the end, {node}: {error}");
            }
        }
    }

    /// Arms the election timers of all nodes that run, as soon as each answers: a manual one would stay without a leader.
    async fn arm(&self, nodes: &[NodeId]) {
        let mut arming = JoinSet::new();
        for node in nodes.iter().copied() {
            let cluster = Arc::clone(&self.cluster);
            arming.spawn(async move {
                let deadline = Instant::now() + ARM_PATIENCE;
                while Instant::now() < deadline && cluster.process(node) == ProcessState::Running {
                    if cluster.observe(node, ANSWER_LIMIT).await.is_some()
                        && cluster.order(node, Order::Elections(Elections::Armed)).await.is_ok()
                    {
                        return;
                    }
                    tokio::time::sleep(ARM_INTERVAL).await;
                }
            });
        }
        while arming.join_next().await.is_some() {}
    }
}

impl Book {
    fn next(&mut self) -> FaultId {
        self.last += 1;
        FaultId(self.last)
    }

    fn event(&mut self, id: FaultId, fault: &str, what: &str, event: FaultEvent) {
        let (fault, what) = (fault.to_owned(), what.to_owned());
        self.events.push(Event { id: id.0, fault, what, at: Instant::now(), event });
    }
}

/// Cuts links that were chosen before.
struct Links {
    target: Target,
}

impl Fault for Links {
    fn choose(&self, _: &Picture, _: &mut dyn Rng) -> Choice {
        Choice::Target(self.target.clone())
    }

    fn inject<'a>(&'a self, target: &'a Target, levers: &'a dyn Levers) -> BoxFuture<'a, Injection> {
        Box::pin(async move {
            let Target::Links(cut) = target else {
                return Injection::Skipped("these are no links".to_owned());
            };
            match levers.set_links(&cut.rules) {
                Ok(effective) => Injection::Installed(Installed {
                    proof: format!("{} links drop frames", cut.rules.len()),
                    effective: Some(effective),
                }),
                Err(LeverError::Failed(why)) => Injection::Indeterminate(why),
                Err(error) => Injection::Skipped(error.to_string()),
            }
        })
    }
}

fn list(nodes: &[NodeId]) -> String {
    nodes.iter().map(NodeId::to_string).collect::<Vec<_>>().join(" ")
}

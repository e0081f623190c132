//! Transactions of appends to lists and reads of whole lists, judged by the cycles of their dependencies.
//!
//! A list shows the order of the appends that made it, so the versions of a key have a known order, and from that follow
//! the dependencies of the transactions: who appended behind whom (ww), who read whose append (wr), and who read a list
//! before somebody appended to it (rw). A history is serializable if these have no cycle, strictly so if the order of
//! time adds none; which edges a cycle needs is the name of the anomaly.
//! Invariants: an anomaly that is named is proved by the transactions that come with it. Without one of those that a level
//! forbids, there is an order of the transactions that explains every read; where the budget ended first the answer
//! is inconclusive, unless what was found by then is forbidden. Nothing is concluded from a transaction of unknown outcome unless somebody saw what it appended.
//! References: Kingsbury and Alvaro, "Elle: Inferring Isolation Anomalies from Experimental Observations", VLDB 2020;
//! Adya, "Weak Consistency: A Generalized Theory and Optimistic Implementations for Distributed Transactions", 1999.

mod anomaly;
mod cycles;
mod direct;
mod explain;
mod graph;
mod level;
mod read;
#[cfg(test)]
mod tests;
mod versions;
mod watch;

pub use anomaly::Anomaly;
pub use explain::describe;
pub use level::Consistency;
pub use read::{Reader, Recorded, looks_like, read, read_from};

use std::collections::BTreeSet;

use crate::history::{ProcessId, Value};
use crate::verdict::{Budget, Cause, Counterexample, Coverage, Verdict};
use anomaly::Found;
use watch::Watch;

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It committed.
    Committed,
    /// It provably did not take effect.
    Aborted,
    /// Nobody knows.
    Unknown,
}

/// An element of a list: its number in [`Transactions::elements`]. It names its list, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Element(pub u32);

/// One step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Append the element to its list.
    Append(Element),
    /// Read a list.
    Read {
        /// Its number in [`Transactions::keys`].
        key: u32,
        /// What was seen; `None` where the transaction did not commit.
        seen: Option<Box<[Element]>>,
    },
}

/// A transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Who ran it.
    pub process: ProcessId,
    /// The position of its invocation in the history.
    pub invoked: usize,
    /// The position of its completion; `usize::MAX` if it has none.
    pub completed: usize,
    /// The times of both, in nanoseconds, or in lines where the history has no times.
    pub times: (u64, Option<u64>),
    /// What became of it.
    pub fate: Fate,
    /// What it did.
    pub steps: Vec<Step>,
}

/// A history of transactions, in the order of their invocations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transactions {
    /// The transactions.
    pub list: Vec<Transaction>,
    /// The names of the lists.
    pub keys: Vec<Value>,
    /// The list and the value of each element.
    pub elements: Vec<(u32, Value)>,
}

impl Transactions {
    fn key_of(&self, element: Element) -> u32 {
        self.elements[element.0 as usize].0
    }

    /// About how many bytes they hold.
    pub fn bytes(&self) -> usize {
        let all = self.list.iter().map(Transaction::bytes).sum::<usize>();
        all + self.elements.len() * size_of::<(u32, Value)>() + self.keys.len() * size_of::<Value>()
    }
}

impl Transaction {
    fn bytes(&self) -> usize {
        let seen = |step: &Step| match step {
            Step::Read { seen: Some(seen), .. } => size_of_val::<[Element]>(seen),
            Step::Read { seen: None, .. } | Step::Append(_) => 0,
        };
        size_of::<Self>() + self.steps.len() * size_of::<Step>() + self.steps.iter().map(seen).sum::<usize>()
    }
}

/// Judges the transactions at a level of consistency. The memory of the budget is what the judgement may hold beside
/// them.
pub fn check(transactions: &Transactions, level: Consistency, budget: &Budget<'_>) -> Verdict {
    let mut found = Vec::new();
    let looked = look(transactions, level, &mut Watch::new(budget), &mut found);
    // The plainest first: what needs the fewest assumptions is the easiest to believe.
    found.sort_by_key(|found| found.anomaly);
    found.retain(|found| level.forbids(found.anomaly));
    if let Some(first) = found.first() {
        let names: BTreeSet<Anomaly> = found.iter().map(|found| found.anomaly).collect();
        let others: Vec<String> =
            names.iter().filter(|&&name| name != first.anomaly).map(Anomaly::to_string).collect();
        let also =
            if others.is_empty() { String::new() } else { format!(" (also found: {})", others.join(", ")) };
        return Verdict::Violated(Counterexample {
            summary: format!("{}: {}{also}", first.anomaly, first.why),
            evidence: explain::evidence(transactions, first),
        });
    }
    match looked {
        Err(cause) => Verdict::Inconclusive(cause),
        Ok(()) => Verdict::Holds(Coverage {
            examined: transactions.list.iter().filter(|one| one.fate == Fate::Committed).count() as u64,
            unit: "committed transactions".to_owned(),
            power: None,
        }),
    }
}

/// Looks for everything that the level forbids. What was found is in `found`, also where the budget ends first.
fn look(
    transactions: &Transactions,
    level: Consistency,
    watch: &mut Watch<'_>,
    found: &mut Vec<Found>,
) -> Result<(), Cause> {
    watch.begin("the look at the order of the lists")?;
    let writers = versions::Writers::of(transactions, watch)?;
    let versions = versions::Versions::of(transactions, watch)?;
    direct::anomalies(transactions, (&writers, &versions), watch, found)?;
    let graph = graph::Graph::of(transactions, (&writers, &versions), watch)?;
    cycles::search(transactions, &graph, level, watch, found)
}

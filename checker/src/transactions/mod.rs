//! Transactions of appends to lists and reads of whole lists, judged by the cycles of their dependencies.
//!
//! A list shows the order of the appends that made it, so the versions of a key have a known order, and from that follow
//! the dependencies of the transactions: who appended behind whom (ww), who read whose append (wr), and who read a list
//! before somebody appended to it (rw). A history is serializable if these have no cycle, strictly so if the order of
//! time adds none; which edges a cycle needs is the name of the anomaly.
//! Invariants: an anomaly that is named is proved by the transactions that come with it. Without one of those that a level
//! forbids, there is an order of the transactions that explains every read; where the search was cut short the answer
//! is inconclusive. Nothing is concluded from a transaction of unknown outcome unless somebody saw what it appended.
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

pub use anomaly::Anomaly;
pub use explain::describe;
pub use level::Consistency;
pub use read::{Reader, Recorded, looks_like, read, read_from};

use crate::history::{ProcessId, Value};
use crate::verdict::{Budget, Cause, Counterexample, Coverage, Verdict};

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
}

/// Judges the transactions at a level of consistency.
pub fn check(transactions: &Transactions, level: Consistency, budget: &Budget<'_>) -> Verdict {
    let writers = match versions::Writers::of(transactions) {
        Ok(writers) => writers,
        Err(reason) => return Verdict::Inconclusive(Cause::Evidence { reason }),
    };
    let versions = versions::Versions::of(transactions);
    let mut found = direct::anomalies(transactions, &writers, &versions);
    let graph = graph::Graph::of(transactions, &writers, &versions);
    if graph.bytes() > budget.memory_bytes {
        let reached = format!("{} dependencies do not fit", graph.edges());
        return Verdict::Inconclusive(Cause::Memory { reached });
    }
    let search = cycles::search(&graph, level, budget);
    found.extend(search.found);
    // The plainest first: what needs the fewest assumptions is the easiest to believe.
    found.sort_by_key(|found| found.anomaly);
    let forbidden = found.iter().filter(|found| level.forbids(found.anomaly));
    let names: std::collections::BTreeSet<Anomaly> = forbidden.clone().map(|found| found.anomaly).collect();
    if let Some(first) = forbidden.into_iter().next() {
        let others: Vec<String> =
            names.iter().filter(|&&name| name != first.anomaly).map(Anomaly::to_string).collect();
        let also =
            if others.is_empty() { String::new() } else { format!(" (also found: {})", others.join(", ")) };
        return Verdict::Violated(Counterexample {
            summary: format!("{}: {}{also}", first.anomaly, explain::sentence(transactions, &graph, first)),
            evidence: explain::evidence(transactions, first),
        });
    }
    if let Some(reached) = search.cut_short {
        return Verdict::Inconclusive(Cause::Time { reached });
    }
    let examined = transactions.list.iter().filter(|transaction| transaction.fate == Fate::Committed).count();
    Verdict::Holds(Coverage {
        examined: examined as u64,
        unit: "committed transactions".to_owned(),
        power: None,
    })
}

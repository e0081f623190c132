//! The dependencies of the transactions.
//!
//! Nodes are the transactions, and behind them one *end* for each list: what was appended to it and never read lies behind
//! everything that was, in an order that nobody knows. A reader of the whole list comes before the end, and the end
//! before each of those appends, which keeps the number of dependencies linear.
//! Invariant: every dependency holds in each order of the transactions that explains the reads.

use super::versions::{Versions, Writers, reads};
use super::watch::Watch;
use super::{Fate, Step, Transactions};
use crate::verdict::Cause;

/// What a dependency follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// The second appended behind the first.
    Ww,
    /// The second read what the first appended.
    Wr,
    /// The first read the list before the second appended to it.
    Rw,
    /// One process ran the first before the second.
    Process,
    /// The first completed before the second was invoked.
    Realtime,
}

/// Some kinds of dependencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kinds(u8);

impl Kinds {
    /// These.
    pub(super) fn of(kinds: &[Kind]) -> Self {
        Self(kinds.iter().fold(0, |set, &kind| set | 1 << kind as u8))
    }

    pub(super) fn contain(self, kind: Kind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }

    pub(super) fn and(self, kind: Kind) -> Self {
        Self(self.0 | 1 << kind as u8)
    }
}

/// A dependency of one node on another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edge {
    pub(super) to: u32,
    pub(super) kind: Kind,
    /// The list that it is about, for the first three kinds.
    pub(super) key: u32,
}

/// All of them.
pub(super) struct Graph {
    /// Where the edges of each node begin in `edges`, with one more at the end.
    starts: Vec<u32>,
    edges: Vec<Edge>,
    transactions: u32,
}

impl Graph {
    /// Fails where the budget ends.
    pub(super) fn of(
        transactions: &Transactions,
        (writers, versions): (&Writers, &Versions),
        watch: &mut Watch<'_>,
    ) -> Result<Self, Cause> {
        watch.begin("the collection of the dependencies")?;
        let count = transactions.list.len() as u32;
        let mut list = Vec::new();
        let mut unread = Unread::of(transactions, versions, &mut list);
        append_order(writers, versions, &mut unread, &mut list);
        read_order(transactions, (writers, versions), &mut unread, &mut list, watch)?;
        process_order(transactions, versions, &mut list);
        watch.visit(list.len())?;
        time_order(transactions, versions, &mut list, watch)?;
        list.retain(|(from, edge)| *from != edge.to);
        let nodes = (count as usize) + transactions.keys.len();
        // The list and the table that is made of it exist at the same time.
        let table = list.len() * size_of::<Edge>() + 2 * (nodes + 1) * size_of::<u32>();
        watch.hold(list.len(), held(&list) + table)?;
        let mut starts = vec![0_u32; nodes + 1];
        for (from, _) in &list {
            starts[*from as usize + 1] += 1;
        }
        for node in 0..nodes {
            starts[node + 1] += starts[node];
        }
        let mut next = starts.clone();
        let mut edges = vec![Edge { to: 0, kind: Kind::Ww, key: 0 }; list.len()];
        for (from, edge) in list {
            edges[next[from as usize] as usize] = edge;
            next[from as usize] += 1;
        }
        Ok(Self { starts, edges, transactions: count })
    }

    /// The number of nodes.
    pub(super) fn nodes(&self) -> u32 {
        self.starts.len() as u32 - 1
    }

    /// Whether the node is the end of a list and no transaction.
    pub(super) fn is_end(&self, node: u32) -> bool {
        node >= self.transactions
    }

    /// The dependencies on `node`.
    pub(super) fn from(&self, node: u32) -> &[Edge] {
        &self.edges[self.starts[node as usize] as usize..self.starts[node as usize + 1] as usize]
    }
}

type Edges = Vec<(u32, Edge)>;

fn held(edges: &Edges) -> usize {
    edges.len() * size_of::<(u32, Edge)>()
}

/// Whether the transaction is known to have taken effect.
fn took_effect(transactions: &Transactions, versions: &Versions, number: u32) -> bool {
    let transaction = &transactions.list[number as usize];
    match transaction.fate {
        Fate::Committed => true,
        Fate::Aborted => false,
        Fate::Unknown => transaction
            .steps
            .iter()
            .any(|step| matches!(step, Step::Append(element) if versions.observed[element.0 as usize])),
    }
}

/// Who appended to a list what nobody read.
struct Unread {
    /// For each list, ascending.
    by: Vec<Vec<u32>>,
    /// Whether one of these is known to come before the others.
    first: Vec<bool>,
    end: u32,
}

impl Unread {
    fn of(transactions: &Transactions, versions: &Versions, edges: &mut Edges) -> Self {
        let mut by = vec![Vec::new(); transactions.keys.len()];
        let end = transactions.list.len() as u32;
        for (number, transaction) in transactions.list.iter().enumerate() {
            let number = number as u32;
            if !took_effect(transactions, versions, number) {
                continue;
            }
            for step in &transaction.steps {
                if let Step::Append(element) = step
                    && !versions.observed[element.0 as usize]
                {
                    let key = transactions.key_of(*element);
                    by[key as usize].push(number);
                    edges.push((end + key, Edge { to: number, kind: Kind::Ww, key }));
                }
            }
        }
        let first = vec![false; by.len()];
        Self { by, first, end }
    }

    /// `node` comes before everything that was appended behind what was read. If it is one of those who did, it comes
    /// before the others. A second one that did so read the same version as the first, which is a lost update and
    /// needs no dependencies to be found.
    fn come_behind(&mut self, node: u32, kind: Kind, key: u32, edges: &mut Edges) {
        let unread = &self.by[key as usize];
        if unread.binary_search(&node).is_err() {
            return edges.push((node, Edge { to: self.end + key, kind, key }));
        }
        if !std::mem::replace(&mut self.first[key as usize], true) {
            edges.extend(unread.iter().map(|&to| (node, Edge { to, kind, key })));
        }
    }
}

fn append_order(writers: &Writers, versions: &Versions, unread: &mut Unread, edges: &mut Edges) {
    for (key, (longest, _)) in versions.longest.iter().enumerate() {
        let key = key as u32;
        let order: Vec<u32> =
            longest.iter().filter_map(|element| Some(writers.of_element(*element)?.transaction)).collect();
        for pair in order.windows(2) {
            edges.push((pair[0], Edge { to: pair[1], kind: Kind::Ww, key }));
        }
        if let Some(&last) = order.last() {
            unread.come_behind(last, Kind::Ww, key, edges);
        }
    }
}

fn read_order(
    transactions: &Transactions,
    (writers, versions): (&Writers, &Versions),
    unread: &mut Unread,
    edges: &mut Edges,
    watch: &mut Watch<'_>,
) -> Result<(), Cause> {
    for (reader, key, seen) in reads(transactions) {
        watch.visit(1 + seen.len())?;
        if !versions.agrees(key, seen) {
            continue;
        }
        let longest = &versions.longest[key as usize].0;
        if let Some(writer) = seen.last().and_then(|last| writers.of_element(*last)) {
            edges.push((writer.transaction, Edge { to: reader, kind: Kind::Wr, key }));
        }
        // Its own appends behind what it read are no reason to come before itself.
        let next = longest[seen.len()..].iter().find_map(|element| {
            Some(writers.of_element(*element)?.transaction).filter(|&writer| writer != reader)
        });
        match next {
            Some(to) => edges.push((reader, Edge { to, kind: Kind::Rw, key })),
            None if longest.len() == seen.len() => unread.come_behind(reader, Kind::Rw, key, edges),
            None => {}
        }
    }
    Ok(())
}

fn process_order(transactions: &Transactions, versions: &Versions, edges: &mut Edges) {
    let mut last = rustc_hash::FxHashMap::default();
    for (number, transaction) in transactions.list.iter().enumerate() {
        let number = number as u32;
        if !took_effect(transactions, versions, number) {
            continue;
        }
        if let Some(before) = last.insert(transaction.process, number) {
            edges.push((before, Edge { to: number, kind: Kind::Process, key: 0 }));
        }
    }
}

/// The order of time, without what follows from the rest of it: an invocation comes behind the completions that no
/// transaction between them has passed on.
fn time_order(
    transactions: &Transactions,
    versions: &Versions,
    edges: &mut Edges,
    watch: &mut Watch<'_>,
) -> Result<(), Cause> {
    let mut events: Vec<(usize, u32)> = Vec::new();
    for (number, transaction) in transactions.list.iter().enumerate() {
        let number = number as u32;
        if took_effect(transactions, versions, number) {
            events.push((transaction.invoked, number));
            // One of unknown outcome may take effect at any time after its invocation.
            if transaction.fate == Fate::Committed {
                events.push((transaction.completed, number));
            }
        }
    }
    events.sort_unstable();
    let mut latest: Vec<u32> = Vec::new();
    for (position, number) in events {
        let transaction = &transactions.list[number as usize];
        watch.visit(1 + latest.len())?;
        if transaction.invoked == position {
            watch.hold(edges.len(), held(edges))?;
            for &before in &latest {
                edges.push((before, Edge { to: number, kind: Kind::Realtime, key: 0 }));
            }
        } else {
            latest.retain(|&before| transactions.list[before as usize].completed >= transaction.invoked);
            latest.push(number);
        }
    }
    Ok(())
}

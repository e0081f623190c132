//! `leader-completeness`: an entry that was committed in a term is in the log of every leader of a later term.
//!
//! ```yaml
//! checks: [leader-completeness]
//! ```
//!
//! Committed is what a leader says it committed, in its own term: the rise of its commit index, and all entries of its
//! log up to there. Each node's log is rebuilt from its trace up to the event at which it became leader. Terms, not
//! times, say which leader is later; so a commit that an old leader noted late counts too, as it must. A place of a log
//! of which the trace does not tell the content is not judged: what an installed snapshot covers, except for the term of its
//! last entry. The reader of a violation sees the commit and the
//! election. Reference: Ongaro & Ousterhout, section 5.4.

use std::collections::BTreeMap;

use super::{Needs, PropertyKind, Run, evidence};
use crate::params::Params;
use crate::trace::logs::{NodeLog, Place};
use crate::trace::{Entry, Role, Trace, What};
use crate::verdict::{Budget, Cause, Verdict};

pub(super) const KIND: PropertyKind = PropertyKind {
    name: "leader-completeness",
    summary: "An entry that was committed in a term is in the log of every leader of a later term.",
    example: "checks: [leader-completeness]",
    settings: &[],
    needs: Needs::Trace,
    judge,
};

/// The commit of an entry in the lowest term that is known.
#[derive(Clone, Copy)]
struct Committed {
    entry: Entry,
    term: u64,
    position: usize,
}

fn judge(run: &Run<'_>, _: &Params, budget: &Budget<'_>) -> Verdict {
    let trace = run.trace;
    let committed = commits(trace);
    let mut logs = vec![NodeLog::default(); trace.nodes.len()];
    let mut elections = 0;
    for (position, event) in trace.events.iter().enumerate() {
        if matches!(event.what, What::Role(Role::Leader, _)) {
            elections += 1;
            if (budget.expired)() {
                let reached = format!("after {elections} elections");
                return Verdict::Inconclusive(Cause::Time { reached });
            }
            if let Some(verdict) = elected(trace, &committed, &logs[event.node.0 as usize], position) {
                return verdict;
            }
        }
        logs[event.node.0 as usize].observe(trace, position, event);
    }
    evidence::holds(trace, elections, "elections")
}

/// What leaders committed, by index. Of several commits of one index the one in the lowest term is kept.
fn commits(trace: &Trace) -> BTreeMap<u64, Committed> {
    let mut committed: BTreeMap<u64, Committed> = BTreeMap::new();
    for node in trace.all_nodes() {
        let mut log = NodeLog::default();
        let mut leads = None;
        // All below was noted in the same term already.
        let mut noted = 0;
        for position in trace.of(node) {
            let event = &trace.events[position];
            log.observe(trace, position, event);
            match event.what {
                What::Boot(_) => leads = None,
                What::Role(role, _) => {
                    leads = (role == Role::Leader).then_some(event.term);
                    noted = 0;
                }
                What::Commit(commit) if leads == Some(event.term) => {
                    for index in noted + 1..=commit.index.min(log.last_index()) {
                        let Place::Holds(entry, _) = log.at(index) else { continue };
                        let new = Committed { entry, term: event.term, position };
                        let old = committed.entry(index).or_insert(new);
                        if new.term < old.term {
                            *old = new;
                        }
                    }
                    noted = noted.max(commit.index);
                }
                _ => {}
            }
        }
    }
    committed
}

fn elected(
    trace: &Trace,
    committed: &BTreeMap<u64, Committed>,
    log: &NodeLog,
    position: usize,
) -> Option<Verdict> {
    let event = &trace.events[position];
    for (&index, commit) in committed {
        if commit.term >= event.term {
            continue;
        }
        let found = match log.at(index) {
            Place::Holds(entry, _) if entry == commit.entry => continue,
            Place::Covered(term) if term == commit.entry.term => continue,
            Place::Unknown => continue,
            place => place,
        };
        let (who, term) = (trace.name(event.node), event.term);
        let mut items = vec![
            evidence::instant(
                trace,
                commit.position,
                format!("as leader of term {} commits {}", commit.term, evidence::name(commit.entry)),
            ),
            evidence::event(trace, position),
        ];
        let summary = match found {
            Place::Holds(entry, appended) => {
                items.push(evidence::entry(trace, appended, "appends", entry));
                format!(
                    "{who} leads term {term} with another entry at index {index} than the one committed in term {}",
                    commit.term
                )
            }
            Place::Covered(covered) => format!(
                "{who} leads term {term} with a snapshot that ends in entry {index} of term {covered}, another one than \
                 the one committed in term {}",
                commit.term
            ),
            Place::Unknown | Place::Beyond => format!(
                "{who} leads term {term} with a log that ends at index {}, and lacks entry {index}, committed in term {}",
                log.last_index(),
                commit.term
            ),
        };
        return Some(evidence::violated(trace, summary, items));
    }
    None
}

//! `monotonic-reads`: once a client saw a value, its later reads of that key never show an older one.
//!
//! ```yaml
//! checks: [monotonic-reads]
//! ```
//!
//! A client is a process of the history: after a call of unknown outcome it goes on as another one, of whom nothing is
//! asked. Older is only what certainly is, see `sessions`. The reader of a violation sees the two reads, and the two
//! updates whose values they show. Reference: Terry et al., Session Guarantees, 1994.

use rustc_hash::FxHashMap;

use super::sessions::{Sessions, saw, undecided};
use super::{Needs, PropertyKind, Run};
use crate::history::{Key, ProcessId, Value};
use crate::linearizability::describe;
use crate::params::Params;
use crate::verdict::{Budget, Coverage, Verdict};

pub(super) const KIND: PropertyKind = PropertyKind {
    name: "monotonic-reads",
    summary: "Once a client saw a value, its later reads of that key never show an older one.",
    example: "checks: [monotonic-reads]",
    settings: &[],
    needs: Needs::History,
    judge,
};

fn judge(run: &Run<'_>, _: &Params, _: &Budget<'_>) -> Verdict {
    let sessions = match Sessions::of(run.history) {
        Ok(sessions) => sessions,
        Err(malformed) => return undecided(&malformed),
    };
    // For each client and key the read that showed most.
    let mut newest: FxHashMap<(ProcessId, &Key), usize> = FxHashMap::default();
    let mut examined = 0;
    for (read, value) in sessions.reads() {
        let operation = sessions.operation(read);
        let key = operation.op.key();
        examined += 1;
        let Some(&before) = newest.get(&(operation.process, key)) else {
            newest.insert((operation.process, key), read);
            continue;
        };
        let updates = match sessions.grows(key) {
            true => shrunk(&sessions, before, value).then(Vec::new),
            false => sessions
                .writer(before)
                .filter(|writer| sessions.precedes(read, *writer))
                .map(|writer| vec![writer]),
        };
        if let Some(mut shown) = updates {
            let (first, second) = (sessions.operation(before), operation);
            let summary = format!(
                "process {} saw {} and later {}, which is older",
                operation.process.0,
                describe(first.op, first.reply()),
                describe(second.op, second.reply())
            );
            shown.extend([before, read]);
            shown.extend(sessions.writer(read));
            return sessions.violated(summary, &shown);
        }
        if moves_on(&sessions, before, read) {
            newest.insert((operation.process, key), read);
        }
    }
    Verdict::Holds(Coverage { examined, unit: "reads".to_owned(), power: None })
}

/// Whether an element that the earlier read showed is gone.
fn shrunk(sessions: &Sessions<'_>, before: usize, later: &Value) -> bool {
    let items = |value: &Value| match value {
        Value::List(items) => items.len(),
        _ => 0,
    };
    match (saw(sessions.operation(before)), later) {
        (Some(Value::List(earlier)), Value::List(now)) => {
            earlier.len() > now.len() || {
                let now: rustc_hash::FxHashSet<&Value> = now.iter().collect();
                earlier.iter().any(|item| !now.contains(item))
            }
        }
        (Some(earlier), now) => items(earlier) > items(now),
        (None, _) => false,
    }
}

/// Whether the later read is a better one to compare with: its update was made later.
fn moves_on(sessions: &Sessions<'_>, before: usize, read: usize) -> bool {
    match (sessions.writer(before), sessions.writer(read)) {
        (Some(old), Some(new)) => {
            sessions.operation(new).invoked.index >= sessions.operation(old).invoked.index
        }
        (Some(_), None) => sessions.grows(sessions.operation(read).op.key()),
        (None, _) => true,
    }
}

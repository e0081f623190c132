//! `read-your-writes`: a client never reads a value that is older than its own last acknowledged write of that key.
//!
//! ```yaml
//! checks: [read-your-writes]
//! ```
//!
//! A client is a process of the history: after a call of unknown outcome it goes on as another one, of whom nothing is
//! asked. Older is only what certainly is, see `sessions`. The reader of a violation sees the write, the read, and the
//! update whose value it shows. Reference: Terry et al., Session Guarantees, 1994.

use rustc_hash::FxHashMap;

use super::sessions::{Sessions, puts, saw, undecided};
use super::{Needs, PropertyKind, Run};
use crate::history::{Key, ProcessId};
use crate::linearizability::describe;
use crate::params::Params;
use crate::verdict::{Budget, Coverage, Verdict};

pub(super) const KIND: PropertyKind = PropertyKind {
    name: "read-your-writes",
    summary: "A client never reads a value that is older than its own last acknowledged write of that key.",
    example: "checks: [read-your-writes]",
    settings: &[],
    needs: Needs::History,
    judge,
};

fn judge(run: &Run<'_>, _: &Params, _: &Budget<'_>) -> Verdict {
    let sessions = match Sessions::of(run.history) {
        Ok(sessions) => sessions,
        Err(malformed) => return undecided(&malformed),
    };
    let mut own: FxHashMap<(ProcessId, &Key), usize> = FxHashMap::default();
    let mut examined = 0;
    for (at, operation) in sessions.operations.iter().enumerate() {
        let key = operation.op.key();
        if puts(operation).is_some() && operation.acknowledged().is_some() {
            own.insert((operation.process, key), at);
        }
        if saw(operation).is_none() {
            continue;
        }
        let Some(&write) = own.get(&(operation.process, key)) else { continue };
        examined += 1;
        if sessions.precedes(at, write) {
            let written = sessions.operation(write);
            let summary = format!(
                "process {} did {} and later {}, which is older",
                operation.process.0,
                describe(written.op, written.reply()),
                describe(operation.op, operation.reply())
            );
            let mut shown = vec![write, at];
            shown.extend(sessions.writer(at));
            return sessions.violated(summary, &shown);
        }
    }
    Verdict::Holds(Coverage {
        examined,
        unit: "reads of what the client had written".to_owned(),
        power: None,
    })
}

//! Who led, and when nobody did, as the traces tell it.
//!
//! A node leads from the line on that says so until its next change of role, or its next start; where its process was
//! killed, until the last line that it wrote before, so that an idle leader's last time may count as leaderless.
//! Several leaders of different terms at once are possible, and then somebody leads.

use checker::trace::{Node, Role, Trace, What};

use super::Window;

/// What a window of a run holds of leadership.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Leadership {
    /// Nodes that became leader.
    pub(super) elections: u64,
    /// Of these, those that another node won than the election before; that one may lie before the window.
    pub(super) changes: u64,
    /// Terms that began.
    pub(super) terms: u64,
    /// Stretches without a leader, in nanoseconds.
    pub(super) leaderless: Vec<u64>,
}

impl Leadership {
    /// Reads it from the traces; `None` if there are none.
    pub(super) fn of(trace: &Trace, window: Window) -> Option<Self> {
        if trace.events.is_empty() {
            return None;
        }
        let mut found = Self { leaderless: leaderless(trace, window), ..Self::default() };
        let mut last: Option<Node> = None;
        let (mut before, mut highest) = (0, 0);
        for event in &trace.events {
            let within = (window.from..=window.to).contains(&event.time);
            if event.time <= window.to {
                highest = highest.max(event.term);
            }
            if event.time < window.from {
                before = highest;
            }
            if !matches!(event.what, What::Role(Role::Leader, _)) {
                continue;
            }
            found.elections += u64::from(within);
            found.changes += u64::from(within && last.is_some_and(|last| last != event.node));
            last = Some(event.node);
        }
        found.terms = highest - before;
        Some(found)
    }
}

fn leaderless(trace: &Trace, window: Window) -> Vec<u64> {
    let mut reigns: Vec<(u64, u64)> = trace.all_nodes().flat_map(|node| reigns(trace, node)).collect();
    reigns.sort_unstable();
    let mut since = window.from;
    let mut gaps = Vec::new();
    for (from, to) in reigns {
        if from > since && since < window.to {
            gaps.push(from.min(window.to) - since);
        }
        since = since.max(to);
    }
    if since < window.to {
        gaps.push(window.to - since);
    }
    gaps
}

/// When this node led.
fn reigns(trace: &Trace, node: Node) -> Vec<(u64, u64)> {
    let mut reigns = Vec::new();
    let mut since = None;
    let mut last = 0;
    for position in trace.of(node) {
        let event = &trace.events[position];
        match event.what {
            What::Boot(_) => reigns.extend(since.take().map(|since| (since, last))),
            What::Role(Role::Leader, _) => since = since.or(Some(event.time)),
            What::Role(..) => reigns.extend(since.take().map(|since| (since, event.time))),
            _ => {}
        }
        last = event.time;
    }
    // The process may live on without anything to write down.
    reigns.extend(since.map(|since| (since, u64::MAX)));
    reigns
}

#[cfg(test)]
mod tests {
    use checker::trace::TraceBuilder;

    use super::*;

    #[test]
    fn elections_changes_terms_and_gaps() {
        let line =
            |t: u64, n: &str, term: u64, rest: &str| format!(r#"{{"t":{t},"n":"{n}","term":{term},{rest}}}"#);
        let role = |t, n, term, role: &str| line(t, n, term, &format!(r#""ev":"role","role":"{role}""#));
        let boot = r#""ev":"boot","boot":2"#;
        let lines = [
            role(10, "n1", 1, "leader"),
            role(110, "n1", 2, "follower"),
            role(130, "n2", 3, "leader"),
            line(150, "n2", 3, r#""ev":"commit","index":1"#),
            line(170, "n2", 3, boot),
            role(180, "n2", 4, "leader"),
        ];
        let mut builder = TraceBuilder::new(0);
        builder.read("trace", &lines).unwrap();
        let trace = builder.finish();
        let found = Leadership::of(&trace, Window { from: 100, to: 200 }).unwrap();
        assert_eq!(found, Leadership { elections: 2, changes: 1, terms: 3, leaderless: vec![20, 30] });
        let calm = Leadership::of(&trace, Window { from: 20, to: 100 }).unwrap();
        assert_eq!(calm, Leadership::default());
        assert_eq!(Leadership::of(&Trace::default(), Window { from: 0, to: 1 }), None);
    }
}

//! What the recording process tells the one outside: events as JSON lines on standard output.

use std::io::Write;

use super::faults::FaultLine;
use crate::events::RunEvent;

/// Tells of an event. If nobody listens any more, this process is about to be killed with its parent.
pub(super) fn event(event: &RunEvent) {
    if let Ok(mut line) = serde_json::to_string(event) {
        line.push('\n');
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(line.as_bytes());
        let _ = out.flush();
    }
}

/// Tells of a fault.
pub(super) fn fault(line: &FaultLine) {
    event(&RunEvent::Fault { at: line.t, text: line.text() });
}

//! The seam between a workload and whoever drives its clients.
//!
//! Invariant of the caller: one client has at most one call open, and every call that [`Workload::next`] returned is
//! reported to [`Workload::completed`] before the same client asks again. Deliberately absent: time as anything but a
//! number that the caller hands in.

use checker::history::{Op, Outcome, ProcessId};

/// Who asks, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// Which client, counted from 0. Stays the same for the whole run.
    pub client: usize,
    /// The process id that the client goes by now. It changes after every unknown outcome.
    pub process: ProcessId,
    /// Nanoseconds since the start of the run.
    pub now_ns: u64,
}

/// What a client does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make this call now.
    Call(Op),
    /// Do nothing, and ask again at this time (nanoseconds since the start of the run).
    WaitUntil(u64),
    /// Nothing any more: this client has finished.
    Done,
}

/// A source of calls for all clients of one run.
pub trait Workload: Send {
    /// The next step of the client `cx.client`.
    fn next(&mut self, cx: &Context) -> Step;

    /// Tells how a call ended, under the process id that made it.
    fn completed(&mut self, process: ProcessId, op: &Op, outcome: &Outcome);

    /// The reads that look at everything which the workload ever touched, for after the faults are healed. A value
    /// that was acknowledged and that none of these can see is lost.
    fn final_reads(&mut self) -> Vec<Op>;
}

impl<W: Workload + ?Sized> Workload for Box<W> {
    fn next(&mut self, cx: &Context) -> Step {
        (**self).next(cx)
    }

    fn completed(&mut self, process: ProcessId, op: &Op, outcome: &Outcome) {
        (**self).completed(process, op, outcome);
    }

    fn final_reads(&mut self) -> Vec<Op> {
        (**self).final_reads()
    }
}

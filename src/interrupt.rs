//! Ctrl-C and SIGTERM in the outer process: passed on to the runs in progress, which heal and are still judged.
//!
//! Runs live in process groups of their own, so that a terminal's Ctrl-C reaches this process alone and each run gets
//! it exactly once. A second signal stops waiting and ends the runs with SIGKILL; nothing survives that either.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

static SIGNALS: AtomicUsize = AtomicUsize::new(0);
static RUNS: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// Begins to watch for signals. Call before any other thread exists: the signals are blocked everywhere and taken by
/// one thread.
pub fn watch() -> nix::Result<()> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGHUP);
    signals.thread_block()?;
    std::thread::spawn(move || {
        while signals.wait().is_ok() {
            let earlier = SIGNALS.fetch_add(1, Ordering::SeqCst);
            let signal = if earlier == 0 { Signal::SIGINT } else { Signal::SIGKILL };
            for &run in runs().iter() {
                // A run that has just ended is no error.
                let _ = kill(Pid::from_raw(run), signal);
            }
        }
    });
    Ok(())
}

/// Whether the user has asked for the end.
pub fn interrupted() -> bool {
    SIGNALS.load(Ordering::SeqCst) > 0
}

/// A run that signals are passed on to while this value lives.
pub struct Registered(i32);

/// Passes signals on to the process `pid` from now on.
pub fn register(pid: u32) -> Registered {
    let pid = pid as i32;
    runs().insert(pid);
    if interrupted() {
        let _ = kill(Pid::from_raw(pid), Signal::SIGINT);
    }
    Registered(pid)
}

impl Drop for Registered {
    fn drop(&mut self) {
        runs().remove(&self.0);
    }
}

fn runs() -> MutexGuard<'static, BTreeSet<i32>> {
    RUNS.lock().unwrap_or_else(PoisonError::into_inner)
}

//! The tracer of a node: a process inside the sandbox that follows everything the node starts.
//!
//! It is forked before the node, seizes the node's first process before that executes its program, and gives every program
//! that is executed by it or by its descendants clocks of its own ([`super::patch`]). Nothing else is its business: signals,
//! stops and ends of the traced processes go on as without it.
//!
//! Invariants: no traced process outlives its tracer (PTRACE_O_EXITKILL), and the tracer ends with the last of them; it
//! allocates nothing and takes no lock, because the process that it was forked from has threads. A thread that is stopped
//! by SIGSTOP stays so until SIGCONT (PTRACE_LISTEN).
//! Reference: ptrace(2), "Group-stop" and "PTRACE_EVENT stops".

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};

use super::page::{Counter, Page, now};
use super::patch::{Kit, Refusal, errno, patch, trace};
use super::waits::{Hold, Waits};

/// A tracer that nobody has turned to yet, or that traces. Dropping it kills it, and with it whatever it traces.
#[derive(Debug)]
pub(crate) struct Tracer {
    pid: i32,
    /// The end of the socket that the node's first process turns to; closed once that has been started.
    door: Option<OwnedFd>,
    page: Arc<Page>,
    reaped: bool,
}

/// The socket by which a starting process asks to be traced.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Door(RawFd);

/// How many threads of a node a stop of their group holds, by its tracer. `/proc` cannot tell those from threads that the
/// tracer stops for a moment.
#[derive(Debug)]
pub(crate) struct StoppedThreads(Arc<Page>);

impl StoppedThreads {
    pub(crate) fn count(&self) -> usize {
        self.0.counter(Counter::Stopped).load(Ordering::SeqCst) as usize
    }
}

impl Tracer {
    pub(super) fn start(kit: &Kit, page: &Arc<Page>) -> io::Result<Self> {
        let (door, inner) = socket_pair()?;
        // Reserved before the fork: the tracer must not allocate.
        let waits = Waits::new();
        let mut before = SigSet::empty();
        // A handler of this process has no meaning in the tracer, which shares its pipes.
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before))?;
        // SAFETY: the child allocates nothing and takes no lock (see the head of this file).
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            run(kit, page, inner.as_raw_fd(), waits);
        }
        let forked = if pid < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
        forked?;
        Ok(Self { pid, door: Some(door), page: Arc::clone(page), reaped: false })
    }

    /// Tells how many threads a stop of their group holds.
    pub(crate) fn stopped(&self) -> StoppedThreads {
        StoppedThreads(Arc::clone(&self.page))
    }

    /// What the node's first process calls [`Door::enter`] on.
    pub(crate) fn door(&self) -> Option<Door> {
        self.door.as_ref().map(|door| Door(door.as_raw_fd()))
    }

    /// To be called once the first process has been started, or will never be.
    pub(crate) fn close_door(&mut self) {
        self.door = None;
    }

    /// Whether it has ended, as it does after the last process that it traces. Reaps it.
    pub(crate) fn has_ended(&mut self) -> bool {
        if !self.reaped {
            // SAFETY: a plain system call on a child that is not reaped yet.
            self.reaped = unsafe { libc::waitpid(self.pid, std::ptr::null_mut(), libc::WNOHANG) } != 0;
        }
        self.reaped
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        if !self.reaped {
            // SAFETY: plain system calls on a child that is not reaped yet.
            unsafe {
                libc::kill(self.pid, libc::SIGKILL);
                libc::waitpid(self.pid, std::ptr::null_mut(), 0);
            }
        }
    }
}

impl Door {
    /// Has the calling process traced from its next exec on. Called between fork and exec: async-signal-safe.
    pub(crate) fn enter(self) -> io::Result<()> {
        // SAFETY: getpid always succeeds; the buffers are as long as is said.
        unsafe {
            let own = libc::getpid().to_ne_bytes();
            let mut answer = [0u8; 4];
            if libc::send(self.0, own.as_ptr().cast(), 4, libc::MSG_NOSIGNAL) != 4
                || libc::recv(self.0, answer.as_mut_ptr().cast(), 4, 0) != 4
            {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            match i32::from_ne_bytes(answer) {
                0 => super::waits::install_filter(),
                error => Err(io::Error::from_raw_os_error(error)),
            }
        }
    }
}

fn socket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [0; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: the array has room for the two descriptors, which are new and belong to nobody else.
    unsafe {
        if libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok((OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])))
    }
}

/// The tracer's whole life.
fn run(kit: &Kit, page: &Page, door: RawFd, mut waits: Waits) -> ! {
    // Whatever else this process has open belongs to the harness: a socket or a pipe kept open here would never end.
    close_all_but(door, kit.page_fd);
    // SAFETY: the name is a C string.
    unsafe { libc::prctl(libc::PR_SET_NAME, c"clock-tracer".as_ptr()) };
    let mut caller = [0u8; 4];
    // SAFETY: the buffer is as long as is said.
    let asked = unsafe { libc::recv(door, caller.as_mut_ptr().cast(), 4, 0) } == 4;
    if asked {
        let seized = trace(libc::PTRACE_SEIZE, i32::from_ne_bytes(caller), 0, OPTIONS as u64);
        let answer = seized.map_or_else(|()| errno(), |()| 0).to_ne_bytes();
        // SAFETY: as above. One that does not listen any more has been killed.
        unsafe { libc::send(door, answer.as_ptr().cast(), 4, libc::MSG_NOSIGNAL) };
        follow(kit, page, &mut waits);
    }
    // SAFETY: ends this process without running anything of the harness.
    unsafe { libc::_exit(0) }
}

const OPTIONS: i32 = libc::PTRACE_O_TRACEEXEC
    | libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK
    | libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACESECCOMP
    | libc::PTRACE_O_TRACESYSGOOD
    | libc::PTRACE_O_EXITKILL;

fn close_all_but(one: RawFd, other: RawFd) {
    let (low, high) = (one.min(other) as u32, one.max(other) as u32);
    let close = |first: u32, last: u32| {
        if first <= last {
            // SAFETY: nothing in this process uses the descriptors any more.
            unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        }
    };
    if low > 0 {
        close(0, low - 1);
    }
    close(low + 1, high.saturating_sub(1));
    close(high + 1, u32::MAX);
}

/// Until no traced process is left.
fn follow(kit: &Kit, page: &Page, waits: &mut Waits) {
    loop {
        let mut status = 0;
        // SAFETY: the pointer is valid for the call.
        let thread = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL) };
        match thread {
            -1 if errno() == libc::EINTR => {}
            -1 => return,
            _ if libc::WIFSTOPPED(status) => {
                waits.set_stopped(thread, Hold::None, page);
                stopped(thread, status, kit, page, waits);
            }
            _ => {
                waits.set_stopped(thread, Hold::None, page);
                waits.forget(thread);
            }
        }
    }
}

fn stopped(thread: i32, status: i32, kit: &Kit, page: &Page, waits: &mut Waits) {
    let signal = libc::WSTOPSIG(status);
    let go_on = |with: i32| {
        // One that fails has been killed meanwhile, and is waited for next.
        let _ = trace(libc::PTRACE_CONT, thread, 0, with as u64);
    };
    match status >> 16 {
        libc::PTRACE_EVENT_STOP => match signal {
            libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU => {
                if trace(libc::PTRACE_LISTEN, thread, 0, 0).is_ok() {
                    waits.set_stopped(thread, Hold::Group, page);
                }
            }
            _ => go_on(0),
        },
        libc::PTRACE_EVENT_EXEC => {
            waits.forget(thread);
            let begun = now(libc::CLOCK_MONOTONIC);
            count(page, patch(thread, kit));
            let took = now(libc::CLOCK_MONOTONIC) - begun;
            page.counter(Counter::PatchNanos).fetch_max(took, Ordering::Relaxed);
            go_on(0);
        }
        libc::PTRACE_EVENT_SECCOMP => waits.begin(thread, page),
        0 if signal == super::patch::SYSCALL_STOP => waits.end(thread),
        0 => go_on(signal),
        _ => go_on(0),
    }
}

fn count(page: &Page, result: Result<(), Refusal>) {
    match result {
        Ok(()) => drop(page.counter(Counter::Patched).fetch_add(1, Ordering::Relaxed)),
        Err(Refusal::Gone) => {}
        Err(Refusal::Step(step, error)) => {
            let reason = (step as u64) << 32 | u64::from(error.unsigned_abs());
            page.counter(Counter::LastError).store(reason, Ordering::Relaxed);
            page.counter(Counter::Failed).fetch_add(1, Ordering::Relaxed);
        }
    }
}

//! The sandbox of a run: a process in namespaces of its own, out of which nothing leaks and which nothing survives.
//!
//! Invariant: the child of [`enter`] is pid 1 of a pid namespace and dies with its parent, and the kernel then kills
//! every process in it and frees its mounts and networks; nothing here relies on code that runs at the end. Works for
//! root and for an ordinary user alike. Deliberately lacks any cgroup, seccomp filter or change of root: the nodes are
//! not hostile, they only have to disappear.
//! Reference: user_namespaces(7), pid_namespaces(7), PR_SET_PDEATHSIG in prctl(2).

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{
    SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, kill, sigaction, sigprocmask,
};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getegid, geteuid, pipe2, setpgid};

/// Which side of the fork [`enter`] returned on.
#[derive(Debug)]
pub enum Entered {
    /// This process is pid 1 of the sandbox: go on with the run.
    Inside,
    /// This is the process that the user started; the run is over. Exit with this.
    Outer(Ended),
}

/// How the process inside the sandbox ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It exited with this code.
    Exited(u8),
    /// This signal killed it, which no run ever asks for.
    Killed(i32),
}

/// The exit code of a failure of the harness itself.
const HARNESS_FAILURE: u8 = 70;

impl Ended {
    /// The exit code to pass on: the child's own, or 70 if it did not get to choose one.
    pub fn code(self) -> u8 {
        match self {
            Ended::Exited(code) => code,
            Ended::Killed(_) => HARNESS_FAILURE,
        }
    }
}

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// `enter` was called too late.
    #[error("the sandbox must be entered before any thread is started, but this process has {0} threads")]
    Threads(usize),
    /// The kernel refuses the namespaces.
    #[error(
        "this host does not let {who} make the namespaces of a run ({step}: {source})\n  to fix it: {fix}"
    )]
    Forbidden {
        /// "an ordinary user" or "root".
        who: &'static str,
        /// What was tried.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
        /// The exact command or change.
        fix: String,
    },
    /// Something that always works did not.
    #[error("cannot set the sandbox up: {step}: {source}")]
    Setup {
        /// What was tried.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Moves the rest of the program into a sandbox. Called from `main` before any thread exists.
///
/// Returns twice, as `fork` does: at once as [`Entered::Inside`] in the new process, and in the calling process as
/// [`Entered::Outer`] after that one ended. While it waits, the outer process hands SIGINT and SIGTERM on.
pub fn enter() -> Result<Entered, SandboxError> {
    let threads = thread_count().map_err(|source| setup("reading /proc/self/status", source))?;
    if threads != 1 {
        return Err(SandboxError::Threads(threads));
    }
    let who = if geteuid().is_root() { "root" } else { "an ordinary user" };
    // What is buffered now would otherwise be printed by both processes.
    let _ = io::stdout().flush();
    // An inherited SIG_IGN would make the kernel reap our children before we can ask how they ended.
    default_disposition(Signal::SIGCHLD)?;
    unshare_namespaces(who)?;

    let (parent_lives, parent_end) = pipe2(OFlag::O_CLOEXEC).map_err(|e| setup("pipe", e.into()))?;
    let waited_for = waited_signals();
    let mut before = SigSet::empty();
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&waited_for), Some(&mut before))
        .map_err(|e| setup("sigprocmask", e.into()))?;
    // SAFETY: this process has one thread (checked above), so the child may do whatever the parent may.
    match unsafe { fork() }.map_err(|e| setup("fork", e.into()))? {
        ForkResult::Parent { child } => {
            drop(parent_lives);
            let ended =
                wait_and_forward(child, &waited_for).map_err(|e| setup("waiting for the run", e.into()));
            drop(parent_end);
            let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
            ended.map(Entered::Outer)
        }
        ForkResult::Child => {
            drop(parent_end);
            // Whoever started this may take these signals with sigwait and have them blocked. Blocked here as well, a
            // Ctrl-C would never arrive.
            waited_for.iter().for_each(|signal| before.remove(signal));
            become_init(&parent_lives, &before, who)?;
            Ok(Entered::Inside)
        }
    }
}

/// The signal that arrived inside the sandbox before the program installed handlers of its own, if any.
///
/// The kernel drops a signal to pid 1 of a pid namespace that has no handler, so that an early Ctrl-C would be lost.
/// Ask once, after your handlers are in place.
pub fn early_signal() -> Option<i32> {
    match EARLY_SIGNAL.load(Ordering::SeqCst) {
        0 => None,
        signal => Some(signal),
    }
}

static EARLY_SIGNAL: AtomicI32 = AtomicI32::new(0);

extern "C" fn note_early_signal(signal: libc::c_int) {
    EARLY_SIGNAL.store(signal, Ordering::SeqCst);
}

fn setup(step: &'static str, source: io::Error) -> SandboxError {
    SandboxError::Setup { step, source }
}

fn thread_count() -> io::Result<usize> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("Threads:"));
    line.and_then(|count| count.trim().parse().ok()).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "/proc/self/status has no line \"Threads:\"")
    })
}

// ---- namespaces ----------------------------------------------------------------------------------------------------

fn unshare_namespaces(who: &'static str) -> Result<(), SandboxError> {
    let spaces = CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    let (uid, gid) = (geteuid(), getegid());
    let mapper = if uid.is_root() { Some(Mapper::start()?) } else { None };
    match unshare(spaces | CloneFlags::CLONE_NEWUSER) {
        Ok(()) => {}
        // Root needs no user namespace for the others.
        Err(_) if uid.is_root() => {
            drop(mapper);
            return unshare(spaces).map_err(|e| forbidden(who, "unshare", e.into()));
        }
        Err(e) => return Err(forbidden(who, "unshare", e.into())),
    }
    if let Some(mapper) = mapper
        && mapper.map_everything()
    {
        return Ok(());
    }
    // The caller alone, as root: what it writes belongs to the caller outside.
    write_own_map(who, "setgroups", "deny")?;
    write_own_map(who, "uid_map", &format!("0 {uid} 1"))?;
    write_own_map(who, "gid_map", &format!("0 {gid} 1"))
}

fn write_own_map(who: &'static str, name: &str, content: &str) -> Result<(), SandboxError> {
    fs::write(format!("/proc/self/{name}"), content).map_err(|e| forbidden(who, "mapping the user", e))
}

/// A process that stays in the caller's user namespace, to map every user of it into the new one.
///
/// Only root may do that, and only from outside. Without it a run under `sudo` could not write into a directory that
/// belongs to anybody but root.
struct Mapper {
    pid: Pid,
    go: Option<OwnedFd>,
}

impl Mapper {
    fn start() -> Result<Self, SandboxError> {
        let target = std::process::id();
        let (wait, go) = pipe2(OFlag::O_CLOEXEC).map_err(|e| setup("pipe", e.into()))?;
        // SAFETY: this process has one thread, so the child may do whatever the parent may.
        match unsafe { fork() }.map_err(|e| setup("fork", e.into()))? {
            ForkResult::Parent { child } => Ok(Self { pid: child, go: Some(go) }),
            ForkResult::Child => {
                drop(go);
                let mut byte = [0];
                let told = fs::File::from(wait).read(&mut byte).is_ok_and(|n| n == 1);
                let mapped = told && ["uid_map", "gid_map"].iter().all(|map| copy_map(target, map).is_ok());
                // SAFETY: `_exit` only ends this process; no destructor or buffer of the parent's may run here.
                unsafe { libc::_exit(if mapped { 0 } else { 1 }) }
            }
        }
    }

    /// True if both maps are in place.
    fn map_everything(mut self) -> bool {
        let Some(go) = self.go.take() else { return false };
        let told = fs::File::from(go).write_all(b"x").is_ok();
        let ended = self.wait();
        told && matches!(ended, Ok(WaitStatus::Exited(_, 0)))
    }

    fn wait(&mut self) -> nix::Result<WaitStatus> {
        loop {
            match waitpid(self.pid, None) {
                Err(Errno::EINTR) => {}
                other => return other,
            }
        }
    }
}

impl Drop for Mapper {
    fn drop(&mut self) {
        // Closing the pipe ends it; after `map_everything` there is nothing left to wait for.
        if self.go.take().is_some() {
            let _ = self.wait();
        }
    }
}

/// Maps every id that exists in this user namespace onto itself in the namespace of `target`.
fn copy_map(target: u32, name: &str) -> io::Result<()> {
    let own = fs::read_to_string(format!("/proc/self/{name}"))?;
    let mut identity = String::new();
    for line in own.lines() {
        let mut fields = line.split_whitespace();
        if let (Some(inside), Some(_), Some(count)) = (fields.next(), fields.next(), fields.next()) {
            identity.push_str(&format!("{inside} {inside} {count}\n"));
        }
    }
    fs::write(format!("/proc/{target}/{name}"), identity)
}

/// The reason for a refusal, with the change that lifts it.
fn forbidden(who: &'static str, step: &'static str, source: io::Error) -> SandboxError {
    let fix = fix_for(|path| fs::read_to_string(path).ok());
    SandboxError::Forbidden { who, step, source, fix }
}

fn fix_for(read: impl Fn(&str) -> Option<String>) -> String {
    let is = |path: &str, value: &str| read(path).is_some_and(|content| content.trim() == value);
    if is("/proc/sys/user/max_user_namespaces", "0") {
        "sudo sysctl -w user.max_user_namespaces=15000".into()
    } else if is("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        "sudo sysctl -w kernel.unprivileged_userns_clone=1".into()
    } else if is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0".into()
    } else {
        "run as root; inside a container, start it with `--privileged`, or with `--security-opt seccomp=unconfined \
         --security-opt apparmor=unconfined --security-opt systempaths=unconfined`"
            .into()
    }
}

// ---- the process inside --------------------------------------------------------------------------------------------

fn become_init(parent_lives: &OwnedFd, mask: &SigSet, who: &'static str) -> Result<(), SandboxError> {
    die_with_parent(parent_lives)?;
    // A group of its own: the terminal's Ctrl-C then reaches the outer process alone, which hands it on, once.
    setpgid(Pid::from_raw(0), Pid::from_raw(0)).map_err(|e| setup("setpgid", e.into()))?;
    // That group is not the terminal's foreground group. Ignoring SIGTTOU lets it write there all the same; pid 1
    // would otherwise spin, because its default action can neither stop it nor end the write.
    set_disposition(Signal::SIGTTOU, SigHandler::SigIgn)?;
    set_disposition(Signal::SIGTTIN, SigHandler::SigIgn)?;
    set_disposition(Signal::SIGINT, SigHandler::Handler(note_early_signal))?;
    set_disposition(Signal::SIGTERM, SigHandler::Handler(note_early_signal))?;
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(mask), None).map_err(|e| setup("sigprocmask", e.into()))?;

    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .map_err(|e| forbidden(who, "making the mounts private", e.into()))?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), flags, none)
        .map_err(|e| forbidden(who, "mounting /proc", e.into()))
}

fn die_with_parent(parent_lives: &OwnedFd) -> Result<(), SandboxError> {
    // SAFETY: prctl with these arguments touches no memory of ours.
    if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } != 0 {
        return Err(setup("prctl(PR_SET_PDEATHSIG)", io::Error::last_os_error()));
    }
    // The parent may have died before that line. It never writes: an end of file says that it is gone.
    let mut fd = libc::pollfd { fd: parent_lives.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: `fd` is one valid pollfd that outlives the call.
    unsafe { libc::poll(&mut fd, 1, 0) };
    if fd.revents & libc::POLLHUP != 0 {
        // SAFETY: nobody is left to report to; `_exit` runs no code of ours.
        unsafe { libc::_exit(i32::from(HARNESS_FAILURE)) };
    }
    Ok(())
}

fn default_disposition(signal: Signal) -> Result<(), SandboxError> {
    set_disposition(signal, SigHandler::SigDfl)
}

fn set_disposition(signal: Signal, handler: SigHandler) -> Result<(), SandboxError> {
    let action = SigAction::new(handler, SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the only handler ever passed stores to an atomic, which is async-signal-safe.
    unsafe { sigaction(signal, &action) }.map(drop).map_err(|e| setup("sigaction", e.into()))
}

// ---- the process outside -------------------------------------------------------------------------------------------

fn waited_signals() -> SigSet {
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGCHLD].into_iter().collect()
}

/// The same signal twice within this time is one wish: `timeout` signals its child and then the child's whole group.
const SAME_WISH: Duration = Duration::from_millis(250);

fn wait_and_forward(child: Pid, signals: &SigSet) -> nix::Result<Ended> {
    let mut last: Option<(Signal, Instant)> = None;
    loop {
        match signals.wait() {
            Ok(Signal::SIGCHLD) => {
                if let Some(ended) = ended(child)? {
                    return Ok(ended);
                }
            }
            Ok(signal) => {
                let now = Instant::now();
                let repeated = last.is_some_and(|(s, at)| s == signal && now - at < SAME_WISH);
                last = Some((signal, now));
                if !repeated {
                    // It can only have ended, and then SIGCHLD is on its way.
                    let _ = kill(child, signal);
                }
            }
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e),
        }
    }
}

fn ended(child: Pid) -> nix::Result<Option<Ended>> {
    match waitpid(child, Some(WaitPidFlag::WNOHANG)) {
        Ok(WaitStatus::Exited(_, code)) => Ok(Some(Ended::Exited(code as u8))),
        Ok(WaitStatus::Signaled(_, signal, _)) => Ok(Some(Ended::Killed(signal as i32))),
        Ok(_) | Err(Errno::EINTR) => Ok(None),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threaded_process_is_refused() {
        // The test harness itself runs threads.
        match enter() {
            Err(SandboxError::Threads(n)) => assert!(n > 1, "{n}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_known_prohibition_has_its_own_fix() {
        let fix = |path: &'static str, value: &'static str| {
            fix_for(move |p| (p == path).then(|| format!("{value}\n")))
        };
        assert!(fix("/proc/sys/user/max_user_namespaces", "0").contains("user.max_user_namespaces=15000"));
        assert!(
            fix("/proc/sys/kernel/unprivileged_userns_clone", "0").contains("unprivileged_userns_clone=1")
        );
        assert!(
            fix("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1")
                .contains("apparmor_restrict_unprivileged_userns=0")
        );
        assert!(fix("/proc/sys/user/max_user_namespaces", "15000").contains("--privileged"));
    }

    #[test]
    fn a_death_by_signal_is_a_harness_failure() {
        assert_eq!(Ended::Killed(9).code(), 70);
        assert_eq!(Ended::Exited(3).code(), 3);
    }
}

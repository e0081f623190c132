//! The process of a node: started on its host, signalled as a group, reaped.
//!
//! Invariant: what a node is made of is its process group and whatever else runs on its host; when
//! [`NodeProcess::exited`] resolves, all of it is gone and reaped. The leader's process id is freed and used under one
//! lock, so no signal ever reaches a stranger. Deliberately lacks PR_SET_PDEATHSIG, which fires when the *thread* dies
//! that started the node; pid 1 of the sandbox takes the nodes with it anyway.
//! Reference: pidfd_open(2), waitid(2), setsid(2).

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

use crate::clock::{Door, NodeClock, StoppedThreads, Tracer};
use crate::cluster::Answered;
use crate::hosts::Netns;
use crate::levers::{NodeSignal, ProcessState};
use crate::limits::Limits;
use crate::procfs;
use crate::system::NodeCommand;

/// Between two looks at `/proc` while the kernel changes the state of a process.
const LOOK_INTERVAL: Duration = Duration::from_micros(200);

/// Where a node's process lives.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its working directory.
    pub directory: PathBuf,
    /// The file that its standard output is appended to.
    pub stdout: PathBuf,
    /// The file that its standard error is appended to.
    pub stderr: PathBuf,
}

/// A started node.
#[derive(Debug)]
pub struct NodeProcess {
    /// The leader; its session and its process group have the same number.
    leader: i32,
    network: u64,
    inner: Mutex<Inner>,
    /// If it runs under a tracer, which stops threads for moments: how many are stopped for longer.
    traced: Option<StoppedThreads>,
    exit: watch::Sender<Option<ExitStatus>>,
}

#[derive(Debug, Default)]
struct Inner {
    /// How the leader ended; its process id is free from then on.
    reaped: Option<ExitStatus>,
    /// The last signal that was asked for and that ends a process.
    asked: Option<NodeSignal>,
    /// Whether the last of `Pause` and `Resume` was a `Pause`.
    paused: bool,
    /// What a throttle asked for last.
    held: Hold,
    /// The limits that it is under; at its end, those that it was under.
    limits: Limits,
    /// How many failpoints it was told to crash at.
    crashes: u32,
    /// Whether it ever answered.
    answered: bool,
}

/// What a throttle asks of a process, beneath any pause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Hold {
    /// It runs, unless it is paused.
    #[default]
    Going,
    /// It stands still for a moment, and counts as running.
    Stopped,
}

impl NodeProcess {
    /// Starts `command` on the host `netns` and watches it. Called within a tokio runtime; blocks until the program is
    /// loaded.
    ///
    /// With `clock` it and whatever it starts go by these clocks, not by the host's.
    pub fn spawn(
        command: &NodeCommand,
        netns: &Netns,
        place: &Place,
        clock: Option<&NodeClock>,
    ) -> io::Result<Arc<Self>> {
        let network = File::from(netns.as_fd().try_clone_to_owned()?).metadata()?.ino();
        let mut tracer = clock.map(NodeClock::tracer).transpose()?;
        let door = tracer.as_ref().and_then(Tracer::door);
        let mut child = prepare(command, netns, place, door)?.spawn()?;
        tracer.iter_mut().for_each(Tracer::close_door);
        let leader = child.id() as i32;
        let pidfd = match open_pidfd(leader) {
            Ok(pidfd) => pidfd,
            Err(error) => {
                child.kill()?;
                child.wait()?;
                return Err(error);
            }
        };
        let (exit, _) = watch::channel(None);
        let traced = tracer.as_ref().map(Tracer::stopped);
        let process = Arc::new(Self { leader, network, inner: Mutex::default(), traced, exit });
        tokio::spawn(Arc::clone(&process).watch(pidfd, tracer));
        Ok(process)
    }

    /// The process id of the leader.
    pub fn id(&self) -> i32 {
        self.leader
    }

    /// Waits until all of the node is gone.
    pub async fn exited(&self) -> ExitStatus {
        let mut exit = self.exit.subscribe();
        loop {
            if let Some(status) = *exit.borrow_and_update() {
                return status;
            }
            // The sender lives in `self`, so this cannot fail while somebody waits.
            let _ = exit.changed().await;
        }
    }

    /// How it ended, if all of it is gone.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        *self.exit.borrow()
    }

    /// The lever that was asked to end it, if any. A SIGKILL that it may have sent itself, because it was told to, counts as
    /// asked for.
    pub fn asked(&self) -> Option<NodeSignal> {
        let inner = self.lock();
        let killed = inner.reaped.is_some_and(|status| status.signal() == Some(libc::SIGKILL));
        inner.asked.or((killed && inner.crashes > 0).then_some(NodeSignal::Kill))
    }

    /// It is about to be told to kill itself at some point.
    pub(crate) fn may_crash(&self) {
        self.lock().crashes += 1;
    }

    /// It was not told so after all.
    pub(crate) fn may_not_crash(&self) {
        let mut inner = self.lock();
        inner.crashes = inner.crashes.saturating_sub(1);
    }

    /// It has answered.
    pub(crate) fn has_answered(&self) {
        self.lock().answered = true;
    }

    /// It is under these limits from now on, unless it has ended.
    pub(crate) fn note_limits(&self, limits: Limits) {
        let mut inner = self.lock();
        if inner.reaped.is_none() && !has_ended(self.leader) {
            inner.limits = limits;
        }
    }

    /// The limits that it is under, or was under when it ended.
    pub fn limits(&self) -> Limits {
        self.lock().limits
    }

    /// Whether it ever answered.
    pub fn answered(&self) -> Answered {
        if self.lock().answered { Answered::Once } else { Answered::Never }
    }

    /// What the kernel says of its leader.
    pub fn state(&self) -> ProcessState {
        let inner = self.lock();
        if inner.reaped.is_some() {
            return ProcessState::Down;
        }
        match procfs::process(self.leader) {
            Some(stat) if inner.held == Hold::Stopped && !inner.paused && is_stopped(stat.state) => {
                ProcessState::Running
            }
            // A tracer stops a thread for moments, and a stopped one under a tracer looks the same.
            Some(stat)
                if is_stopped(stat.state) && (inner.paused || self.traced.is_none() || stat.state == 'T') =>
            {
                ProcessState::Paused
            }
            Some(stat) if inner.paused && is_held(stat.state) => ProcessState::Paused,
            Some(stat) if !is_dead(stat.state) => ProcessState::Running,
            _ => ProcessState::Down,
        }
    }

    /// Sends a signal to the whole group. False if the node has ended.
    pub fn signal(&self, signal: NodeSignal) -> io::Result<bool> {
        let mut inner = self.lock();
        // One that has crashed a moment ago and is not reaped yet must not look as if this signal had ended it.
        if inner.reaped.is_some() || has_ended(self.leader) {
            return Ok(false);
        }
        if matches!(signal, NodeSignal::Kill | NodeSignal::Terminate) {
            inner.asked = Some(signal);
        }
        match signal {
            NodeSignal::Pause => inner.paused = true,
            NodeSignal::Resume => inner.paused = false,
            NodeSignal::Kill | NodeSignal::Terminate => {}
        }
        // SAFETY: a plain system call; the leader is not reaped (the lock is held), so the group is its own.
        if unsafe { libc::kill(-self.leader, number(signal)) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(true)
    }

    /// Lets the whole group stand still for a moment, or go on. A pause stays a pause. False if the node has ended.
    pub(crate) fn hold(&self, hold: Hold) -> io::Result<bool> {
        let mut inner = self.lock();
        if inner.reaped.is_some() || has_ended(self.leader) {
            return Ok(false);
        }
        inner.held = hold;
        let signal = match hold {
            Hold::Stopped => libc::SIGSTOP,
            Hold::Going if inner.paused => return Ok(true),
            Hold::Going => libc::SIGCONT,
        };
        // SAFETY: a plain system call; the leader is not reaped (the lock is held), so the group is its own.
        match unsafe { libc::kill(-self.leader, signal) } {
            0 => Ok(true),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// The processes of the group that have not ended.
    pub(crate) fn members(&self) -> Vec<i32> {
        let inner = self.lock();
        if inner.reaped.is_some() {
            return Vec::new();
        }
        let members = procfs::processes().into_iter();
        members.filter(|stat| stat.group == self.leader && !is_dead(stat.state)).map(|stat| stat.id).collect()
    }

    /// How long the processes of the group that have not ended were on a processor, to 10 ms.
    pub(crate) fn processor_time(&self) -> Duration {
        self.members().into_iter().filter_map(procfs::processor_time).sum()
    }

    /// Waits until every thread of every process of the group is stopped (or held in the kernel, see `is_held`), or
    /// none is stopped. False if that did not happen
    /// within `limit`, or the node has ended.
    pub async fn settled(&self, wanted: ProcessState, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        loop {
            if self.lock().reaped.is_some() {
                return false;
            }
            let states = self.group_states();
            let there = match wanted {
                ProcessState::Paused => {
                    let stopped = states.iter().filter(|state| is_stopped(**state)).count();
                    let for_good = self.traced.as_ref().is_none_or(|threads| threads.count() >= stopped);
                    for_good && states.iter().all(|state| is_stopped(*state) || is_held(*state))
                }
                ProcessState::Running => !states.iter().any(|state| is_stopped(*state)),
                ProcessState::Down => false,
            };
            if there && !states.is_empty() {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// Reaps members of the group that lost their parent and ended, but never the leader.
    pub(crate) fn reap_orphans(&self) {
        let inner = self.lock();
        if inner.reaped.is_some() {
            return;
        }
        while let Some(ended) = next_zombie_of_group(self.leader).filter(|id| *id != self.leader) {
            reap(ended);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic cannot leave the two plain fields half changed.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The states of all living threads of the group.
    fn group_states(&self) -> Vec<char> {
        let members = procfs::processes().into_iter().filter(|stat| stat.group == self.leader);
        let threads = members.flat_map(|stat| procfs::threads(stat.id));
        threads.map(|thread| thread.state).filter(|state| !is_dead(*state)).collect()
    }

    async fn watch(self: Arc<Self>, pidfd: AsyncFd<OwnedFd>, mut tracer: Option<Tracer>) {
        let status = loop {
            // An error means that the runtime is going away, and the sandbox with it.
            let Ok(mut ready) = pidfd.readable().await else { return };
            match self.reap_leader() {
                Some(status) => break status,
                None => ready.clear_ready(),
            }
        };
        drop(pidfd);
        let mut killed = Vec::new();
        while !self.sweep(&mut killed) || !tracer.as_mut().is_none_or(Tracer::has_ended) {
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        self.exit.send_replace(Some(status));
    }

    fn reap_leader(&self) -> Option<ExitStatus> {
        let mut inner = self.lock();
        if inner.reaped.is_none() {
            inner.reaped = reap(self.leader);
        }
        inner.reaped
    }

    /// Kills and reaps what the leader left behind, so that a second start never meets the first one's children. True
    /// once nothing is left. `killed` remembers what was killed: a zombie is on no host any more.
    fn sweep(&self, killed: &mut Vec<i32>) -> bool {
        while let Some(ended) = next_zombie_of_group(self.leader) {
            reap(ended);
        }
        let own = std::process::id() as i32;
        for stat in procfs::processes() {
            let is_ours = stat.group == self.leader || procfs::network_of(stat.id) == Some(self.network);
            if is_ours && stat.id != own && !killed.contains(&stat.id) {
                // SAFETY: a plain system call on a process that was just seen to belong to this node.
                unsafe { libc::kill(stat.id, libc::SIGKILL) };
                killed.push(stat.id);
            }
        }
        killed.retain(|id| reap(*id).is_none() && procfs::process(*id).is_some());
        killed.is_empty()
    }
}

/// A descriptor that becomes readable when this unreaped child of ours ends.
fn open_pidfd(child: i32) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: a plain system call.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, child, libc::PIDFD_NONBLOCK) } as i32;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and belongs to nobody else, and an OwnedFd stays the same descriptor while it
    // lives.
    unsafe { AsyncFd::register_with_interest(OwnedFd::from_raw_fd(fd), Interest::READABLE) }
        .map_err(|error| error.into_parts().1)
}

fn is_dead(state: char) -> bool {
    matches!(state, 'Z' | 'X' | 'x')
}

fn is_stopped(state: char) -> bool {
    matches!(state, 'T' | 't')
}

/// In the kernel, and no signal gets it out: it waits for a disk, or in vfork for a child that is stopped itself. With
/// a stop pending it executes nothing more of its program, so that it counts as stopped.
fn is_held(state: char) -> bool {
    state == 'D'
}

fn number(signal: NodeSignal) -> i32 {
    match signal {
        NodeSignal::Kill => Signal::SIGKILL as i32,
        NodeSignal::Terminate => Signal::SIGTERM as i32,
        NodeSignal::Pause => Signal::SIGSTOP as i32,
        NodeSignal::Resume => Signal::SIGCONT as i32,
    }
}

/// A child of ours in this group that has ended, left unreaped.
fn next_zombie_of_group(group: i32) -> Option<i32> {
    next_zombie(libc::P_PGID, group)
}

/// Whether this child of ours has ended, all of its threads. Leaves it unreaped.
fn has_ended(child: i32) -> bool {
    next_zombie(libc::P_PID, child).is_some()
}

fn next_zombie(kind: libc::idtype_t, id: i32) -> Option<i32> {
    // SAFETY: all zeroes is a valid siginfo_t, and the pointer is valid for the call.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        let found = libc::waitid(kind, id as libc::id_t, &mut info, flags) == 0;
        (found && info.si_pid() != 0).then(|| info.si_pid())
    }
}

/// Reaps this child if it has ended.
fn reap(child: i32) -> Option<ExitStatus> {
    let mut status = 0;
    // SAFETY: the pointer is valid for the call.
    let reaped = unsafe { libc::waitpid(child, &mut status, libc::WNOHANG) };
    (reaped == child).then(|| ExitStatus::from_raw(status))
}

/// The command with nothing of the harness in it but its place.
fn prepare(command: &NodeCommand, netns: &Netns, place: &Place, tracer: Option<Door>) -> io::Result<Command> {
    let append = |path: &PathBuf| OpenOptions::new().create(true).append(true).open(path);
    let mut prepared = Command::new(&command.program);
    prepared
        .args(&command.args)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into()))
        .env("HOME", &place.directory)
        .env("LANG", "C.UTF-8")
        .envs(command.env.iter().map(|(name, value)| (name, value)))
        .current_dir(&place.directory)
        .stdin(Stdio::null())
        .stdout(append(&place.stdout)?)
        .stderr(append(&place.stderr)?);
    let host = netns.as_fd().as_raw_fd();
    let nothing_blocked = SigSet::empty();
    let enter_host = move || {
        // The harness takes some signals with sigwait and has them blocked; a blocked signal stays blocked across exec,
        // and a node would sleep through every SIGTERM.
        nothing_blocked.thread_set_mask()?;
        // SAFETY: all four are async-signal-safe system calls; `host` stays open in the parent until the child has
        // started its program.
        unsafe {
            if libc::setsid() < 0 || libc::setns(host, libc::CLONE_NEWNET) != 0 {
                return Err(io::Error::last_os_error());
            }
            // The harness ignores these; an ignored signal stays ignored across exec.
            libc::signal(libc::SIGTTOU, libc::SIG_DFL);
            libc::signal(libc::SIGTTIN, libc::SIG_DFL);
        }
        tracer.map_or(Ok(()), Door::enter)
    };
    // SAFETY: the closure allocates nothing and takes no lock.
    unsafe { prepared.pre_exec(enter_host) };
    Ok(prepared)
}

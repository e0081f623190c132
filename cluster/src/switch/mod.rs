//! The switch that all hosts hang on: the tool is the network.
//!
//! Invariant: a frame is judged and sent on under one lock, and rules change under the same lock. So all rules of one
//! change hold from one instant on, and when [`Switch::set_links`] returns, no frame that an older rule let through is
//! still on its way inside the switch. Changing a rule does not wait for the switch's thread to be scheduled.
//! Deliberately lacks address learning, broadcast and ARP: every host knows every other from the start.
//! Reference: packet(7).

mod matrix;
mod port;

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::levers::{LeverError, Link, LinkRule, LinkStats};

use matrix::{Frame, Matrix, Verdict, decide};
pub use port::Port;

/// Frames that one port may deliver before the others get their turn.
const BATCH: usize = 64;
/// The largest frame: 64 KiB of segmentation offload, the Ethernet header, the vnet header, and room.
const FRAME_MAX: usize = 1 << 17;

/// What the switch could not do; all zero in a sound run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SwitchTroubles {
    /// Times that the receiving host's queue was full and the frame was offered again.
    pub retries: u64,
    /// Frames lost because that queue stayed full.
    pub lost: u64,
    /// Frames that the kernel dropped because the switch came too late.
    pub overruns: u64,
}

struct Shared {
    state: Mutex<State>,
}

struct State {
    matrix: Matrix,
    troubles: SwitchTroubles,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is plain numbers, valid after a panic too.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running switch; stops when dropped.
pub struct Switch {
    shared: Arc<Shared>,
    stop: OwnedFd,
    thread: Option<JoinHandle<()>>,
}

impl Switch {
    /// Connects the ports (the clients' first) with every link passing.
    pub fn start(ports: Vec<Port>) -> io::Result<Self> {
        // SAFETY: a plain eventfd call.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and belongs to nobody else.
        let stop = unsafe { OwnedFd::from_raw_fd(fd) };
        let state = State { matrix: Matrix::new(ports.len()), troubles: SwitchTroubles::default() };
        let shared = Arc::new(Shared { state: Mutex::new(state) });
        let (for_thread, stop_for_thread) = (Arc::clone(&shared), stop.try_clone()?);
        let thread = std::thread::Builder::new()
            .name("switch".into())
            .spawn(move || forward(&ports, &stop_for_thread, &for_thread))?;
        Ok(Self { shared, stop, thread: Some(thread) })
    }

    /// Replaces the rules of these links at one instant, and returns it.
    pub fn set_links(&self, rules: &[(Link, LinkRule)]) -> Result<Instant, LeverError> {
        if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
            return Err(LeverError::Failed("the switch has stopped".into()));
        }
        let mut state = self.shared.lock();
        state.matrix.set(rules)?;
        Ok(Instant::now())
    }

    /// The rule and the counters of a link; of one that does not exist, the defaults.
    pub fn link(&self, link: Link) -> (LinkRule, LinkStats) {
        self.shared.lock().matrix.get(link)
    }

    /// What went wrong so far.
    pub fn troubles(&self) -> SwitchTroubles {
        self.shared.lock().troubles
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: the buffer is valid for its length.
        unsafe { libc::write(self.stop.as_raw_fd(), one.as_ptr().cast(), one.len()) };
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The switch's thread: until told to stop, takes frames up and passes them on.
fn forward(ports: &[Port], stop: &OwnedFd, shared: &Shared) {
    let readable = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let mut fds: Vec<libc::pollfd> = ports.iter().map(|port| readable(port.as_raw_fd())).collect();
    fds.push(readable(stop.as_raw_fd()));
    let mut buffer = vec![0; FRAME_MAX];
    loop {
        // SAFETY: `fds` is valid for its length during the call.
        if unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, -1) } < 0 {
            continue;
        }
        if fds[ports.len()].revents != 0 {
            return;
        }
        for (number, port) in ports.iter().enumerate() {
            if fds[number].revents != 0 {
                drain(number, port, ports, &mut buffer, shared);
            }
        }
    }
}

fn drain(number: usize, port: &Port, ports: &[Port], buffer: &mut [u8], shared: &Shared) {
    for _ in 0..BATCH {
        let Some(length) = port.receive(buffer) else { break };
        let bytes = &buffer[..length];
        let Some(frame) = Frame::parse(number, bytes) else { continue };
        let mut state = shared.lock();
        if let Verdict::Pass(to) = decide(&frame, &mut state.matrix)
            && let Some(target) = ports.get(to)
        {
            let sent = target.send(bytes);
            state.troubles.retries += u64::from(sent.retries);
            state.troubles.lost += u64::from(sent.lost);
        }
    }
    let overruns = port.overruns();
    if overruns > 0 {
        shared.lock().troubles.overruns += overruns;
    }
}

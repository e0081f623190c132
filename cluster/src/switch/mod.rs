//! The switch that all hosts hang on: the tool is the network.
//!
//! Invariant: a frame is judged and sent on under one lock, and rules change under the same lock. So all rules of one
//! change hold from one instant on, and when [`Switch::set_links`] returns, no frame that an older rule let through is
//! still on its way inside the switch: what waits on a link whose rule changes is sent at that instant, in order, or, if the
//! link is cut, gone. Changing a rule does not wait for the switch's thread to be scheduled.
//! Deliberately lacks address learning, broadcast and ARP: every host knows every other from the start.
//! Reference: packet(7).

mod capture;
mod connections;
mod matrix;
mod port;
mod shaping;
mod waiting;

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::levers::{LeverError, Link, LinkRule, LinkStats};
use crate::system::NodeId;

use capture::{Capture, Note};
use matrix::{Frame, Matrix, Verdict, decide};
pub use port::Port;
use port::VNET_HEADER;
use shaping::Going;
use waiting::Waiting;

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
    ports: Vec<Port>,
    state: Mutex<State>,
}

struct State {
    matrix: Matrix,
    waiting: Waiting,
    random: ChaCha8Rng,
    troubles: SwitchTroubles,
    capture: Option<Capture>,
}

impl State {
    /// Writes a frame down, if frames are captured.
    fn note(&mut self, frame: &[u8], note: Note) {
        if let Some(capture) = &mut self.capture {
            capture.record(frame, note);
        }
    }
}

impl Shared {
    /// Hands a frame to the host behind a port.
    fn send(&self, to: usize, bytes: &[u8], troubles: &mut SwitchTroubles) {
        let Some(target) = self.ports.get(to) else { return };
        let sent = target.send(bytes);
        troubles.retries += u64::from(sent.retries);
        troubles.lost += u64::from(sent.lost);
    }

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
    /// Connects the ports (the clients' first) with every link passing. What bad lines do is drawn from `seed`.
    pub fn start(ports: Vec<Port>, seed: u64) -> io::Result<Self> {
        // SAFETY: a plain eventfd call.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and belongs to nobody else.
        let stop = unsafe { OwnedFd::from_raw_fd(fd) };
        let state = State {
            matrix: Matrix::new(ports.len()),
            waiting: Waiting::default(),
            random: ChaCha8Rng::seed_from_u64(seed),
            troubles: SwitchTroubles::default(),
            capture: None,
        };
        let shared = Arc::new(Shared { ports, state: Mutex::new(state) });
        let (for_thread, stop_for_thread) = (Arc::clone(&shared), stop.try_clone()?);
        let thread = std::thread::Builder::new()
            .name("switch".into())
            .spawn(move || forward(&stop_for_thread, &for_thread))?;
        Ok(Self { shared, stop, thread: Some(thread) })
    }

    /// Writes all frames from now on to a new pcapng file, with what became of them; see `capture.rs`. What the harness itself
    /// asks nodes is left out.
    pub fn capture(&self, path: &Path) -> io::Result<()> {
        let capture = Capture::create(path, self.shared.ports.len())?;
        self.shared.lock().capture = Some(capture);
        Ok(())
    }

    /// Hands what was captured so far to the operating system.
    pub fn flush_capture(&self) -> io::Result<()> {
        self.shared.lock().capture.as_mut().map_or(Ok(()), Capture::flush)
    }

    /// Replaces the rules of these links at one instant, and returns it.
    pub fn set_links(&self, rules: &[(Link, LinkRule)]) -> Result<Instant, LeverError> {
        if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
            return Err(LeverError::Failed("the switch has stopped".into()));
        }
        let mut state = self.shared.lock();
        for (from, to) in state.matrix.set(rules)? {
            for bytes in state.waiting.take(from, to) {
                match state.matrix.rule(from, to) {
                    LinkRule::Drop => {
                        state.matrix.count_vanished(from, to);
                        state.note(&bytes, Note::LostOnTheWay);
                    }
                    LinkRule::Pass | LinkRule::Shape(_) => {
                        self.shared.send(to, &bytes, &mut state.troubles);
                        state.note(&bytes, Note::Late);
                    }
                }
            }
        }
        Ok(Instant::now())
    }

    /// From now on the host of this node sends nothing of the connections that it has, but resets: it has lost power, and its
    /// kernel's queues are gone.
    pub fn lost_power(&self, node: NodeId) {
        self.shared.lock().matrix.lost_power(node);
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
fn forward(stop: &OwnedFd, shared: &Shared) {
    let ports = &shared.ports;
    let readable = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let mut fds: Vec<libc::pollfd> = ports.iter().map(|port| readable(port.as_raw_fd())).collect();
    fds.push(readable(stop.as_raw_fd()));
    let mut buffer = vec![0; FRAME_MAX];
    loop {
        let patience = release(shared);
        let timeout = patience.map(|patience| libc::timespec {
            tv_sec: patience.as_secs() as libc::time_t,
            tv_nsec: patience.subsec_nanos().into(),
        });
        let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: `fds` is valid for its length and `timeout` null or valid during the call; no signal mask is given.
        if unsafe { libc::ppoll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, timeout, std::ptr::null()) } < 0
        {
            continue;
        }
        if fds[ports.len()].revents != 0 {
            return;
        }
        for (number, port) in ports.iter().enumerate() {
            if fds[number].revents != 0 {
                drain(number, port, &mut buffer, shared);
            }
        }
    }
}

/// Sends the frames whose time has come, and tells how long the next one has to wait.
fn release(shared: &Shared) -> Option<Duration> {
    let mut state = shared.lock();
    send_due(shared, &mut state);
    state.waiting.next().map(|due| due.saturating_duration_since(Instant::now()))
}

fn send_due(shared: &Shared, state: &mut State) {
    while let Some((to, bytes)) = state.waiting.due(Instant::now()) {
        shared.send(to, &bytes, &mut state.troubles);
        state.note(&bytes, Note::Late);
    }
}

fn drain(number: usize, port: &Port, buffer: &mut [u8], shared: &Shared) {
    for _ in 0..BATCH {
        let Some(length) = port.receive(buffer) else { break };
        let Some(frame) = Frame::parse(number, &buffer[..length]) else { continue };
        let mut state = shared.lock();
        let now = Instant::now();
        let State { matrix, random, .. } = &mut *state;
        match decide(&frame, matrix, now, random) {
            Verdict::Drop => state.note(&buffer[..length], Note::Lost),
            Verdict::Pass(to) => {
                shared.send(to, &buffer[..length], &mut state.troubles);
                state.note(&buffer[..length], Note::None);
            }
            Verdict::Reset(segment) => {
                state.note(&buffer[..length], Note::Reset);
                let told = connections::resets(&buffer[..length], &segment).into_iter().flatten();
                for (bytes, port) in told.zip([frame.to, frame.from]) {
                    shared.send(port, &bytes, &mut state.troubles);
                    state.note(&bytes, Note::MadeUp);
                }
            }
            Verdict::Shaped(to, going) => {
                let bytes = &mut buffer[..length];
                let changed = going.corrupted && shaping::corrupt(&mut bytes[VNET_HEADER..], random);
                if changed {
                    matrix.count_corrupted(frame.from, to);
                }
                let note = if changed { Note::Corrupt } else { Note::None };
                send_shaped(shared, &mut state, &frame, going, (&buffer[..length], note));
            }
        }
    }
    let overruns = port.overruns();
    if overruns > 0 {
        shared.lock().troubles.overruns += overruns;
    }
}

/// Sends a frame over a bad line: now or later, once or twice.
fn send_shaped(
    shared: &Shared,
    state: &mut State,
    frame: &Frame,
    going: Going,
    (bytes, note): (&[u8], Note),
) {
    for _ in 0..=usize::from(going.twice) {
        if going.due <= Instant::now() {
            // Those before it on the same line may be due and not sent yet.
            send_due(shared, state);
            shared.send(frame.to, bytes, &mut state.troubles);
            state.note(bytes, note);
        } else if !state.waiting.add(going.due, (frame.from, frame.to), bytes) {
            state.matrix.count_vanished(frame.from, frame.to);
            state.note(bytes, Note::Lost);
        }
    }
}

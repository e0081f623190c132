//! A mounted disk: `/dev/fuse`, the mount, and the thread that answers.
//!
//! Invariant: when [`Server::stop`] returns, the thread and the connection are gone, and whoever still waited for an answer
//! has been given an error; nobody is left in uninterruptible sleep. The thread never touches a file of a run, so that it
//! can never wait for itself. Should the harness be killed, the kernel closes the connection with its last descriptor, and
//! the sandbox takes the mount along.
//! Reference: fuse(4), mount(2).

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::pipe2;

use super::serve::Core;
use super::wire::REQUEST_MAX;

const DEVICE: &str = "/dev/fuse";

/// A disk that both the thread and the levers reach.
pub(super) type Shared = Arc<Mutex<Core>>;

/// Locks a disk.
pub(super) fn lock(core: &Shared) -> MutexGuard<'_, Core> {
    // A panic in the middle of a change ends the thread; what is left is still the best copy there is.
    core.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens the connection of a mount to be.
pub(super) fn open_device() -> io::Result<File> {
    let flags = libc::O_CLOEXEC | libc::O_NONBLOCK;
    OpenOptions::new().read(true).write(true).custom_flags(flags).open(DEVICE)
}

/// A mount and the thread that serves it.
pub(super) struct Server {
    place: PathBuf,
    /// The thread has the other one. Both are closed before the unmount.
    device: Option<Arc<File>>,
    /// The thread ends when this is closed.
    lifeline: Option<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Mounts the disk over a directory.
    pub(super) fn start(core: &Shared, place: &Path) -> io::Result<Self> {
        let device = Arc::new(open_device()?);
        let (end, lifeline) = pipe2(OFlag::O_CLOEXEC)?;
        let options = format!(
            "fd={},rootmode=40700,user_id=0,group_id=0,default_permissions,allow_other",
            device.as_raw_fd()
        );
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(Some("raftcheck"), place, Some("fuse"), flags, Some(options.as_str()))?;
        let mut server =
            Self { place: place.to_owned(), device: None, lifeline: Some(lifeline), thread: None };
        let (served, connection) = (Arc::clone(core), Arc::clone(&device));
        let thread = std::thread::Builder::new().name("disk".to_owned());
        server.thread = Some(thread.spawn(move || serve(&served, &connection, &end))?);
        server.device = Some(device);
        Ok(server)
    }

    /// Sends answers that were made elsewhere.
    pub(super) fn send(&self, answers: &[Vec<u8>]) {
        if let Some(device) = &self.device {
            answers.iter().for_each(|answer| send(device, answer));
        }
    }
}

impl Drop for Server {
    /// Unplugs the disk: the connection is closed first, which fails whatever still waits. An unmount before that would
    /// wait for data to be written back.
    fn drop(&mut self) {
        self.lifeline = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.device = None;
        let _ = umount2(&self.place, MntFlags::MNT_DETACH);
    }
}

fn send(device: &File, answer: &[u8]) {
    let mut device = device;
    // ENOENT: whoever asked is gone. ENODEV: the mount is.
    let _ = device.write(answer);
}

fn serve(core: &Shared, device: &File, end: &OwnedFd) {
    let mut buffer = vec![0; REQUEST_MAX];
    let mut connection = device;
    loop {
        match connection.read(&mut buffer) {
            Ok(length) => {
                let answer = lock(core).answer(&buffer[..length]);
                if let Some(answer) = answer {
                    send(device, &answer);
                }
            }
            Err(error) => match Errno::from_raw(error.raw_os_error().unwrap_or(0)) {
                Errno::EAGAIN => {
                    if wait(core, device, end) == Heard::End {
                        return;
                    }
                }
                // The request was taken back before it was read.
                Errno::EINTR | Errno::ENOENT => {}
                _ => return,
            },
        }
        let due = lock(core).due(Instant::now());
        due.iter().for_each(|answer| send(device, answer));
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Heard {
    Nothing,
    End,
}

/// Waits for a request, for the end, or until something is due.
fn wait(core: &Shared, device: &File, end: &OwnedFd) -> Heard {
    let due = lock(core).next_due();
    let timeout = due.map_or(PollTimeout::NONE, |due| {
        let left = due.saturating_duration_since(Instant::now());
        // Rounded up, or the last millisecond would be spent asking.
        let left = left + Duration::from_micros(999);
        PollTimeout::try_from(left.as_millis().min(60_000) as i32).unwrap_or(PollTimeout::ZERO)
    });
    let mut fds =
        [PollFd::new(device.as_fd(), PollFlags::POLLIN), PollFd::new(end.as_fd(), PollFlags::POLLIN)];
    let _ = poll(&mut fds, timeout);
    if fds[1].any().unwrap_or(true) { Heard::End } else { Heard::Nothing }
}

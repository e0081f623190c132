//! The threads of a node beside its own: the writer of the log, the thread of snapshots, and one for orders to a node that is held.
//!
//! Invariant: the data directory is free only when no thread writes to it any more.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::{NodeError, io_error};
use crate::datadir::DataDir;
use crate::failpoints;
use crate::http::{self, HttpConfig};
use crate::inbox::{Happening, Inbox};
use crate::snapshot;
use crate::writer::{Job, Writer};

/// The threads that can be held without the node's own: the writer of the log, and that of snapshots.
pub(crate) const DISK_THREADS: [&str; 2] = [WRITER, SNAPSHOTS];
const WRITER: &str = "wal";
const SNAPSHOTS: &str = "snapshots";

/// The runtime in which all of a node lives but its writer.
pub(super) fn new_runtime() -> Result<Runtime, NodeError> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_io().enable_time().build().map_err(io_error("start the runtime"))
}

/// Starts the writer's thread, and tells when it has ended.
pub(super) fn run_writer(
    writer: Writer,
    jobs: Receiver<Job>,
    inbox: Inbox,
    data_dir: Arc<DataDir>,
) -> Result<(JoinHandle<()>, oneshot::Receiver<()>), NodeError> {
    let (tell_end, ended) = oneshot::channel();
    let thread = spawn(WRITER, move || {
        writer.run(&jobs, |report| {
            // Nobody listens once the driver has ended.
            inbox.put(Happening::Writer(report));
        });
        // The directory is free only when nothing writes to it any more.
        drop(data_dir);
        // The node's thread may have ended by a panic.
        let _ = tell_end.send(());
    })?;
    Ok((thread, ended))
}

/// Starts the thread of snapshots. It ends when the driver has, and what it was asked for is done.
pub(super) fn run_snapshots(
    worker: snapshot::Worker,
    jobs: Receiver<snapshot::Job>,
    inbox: Inbox,
    data_dir: Arc<DataDir>,
) -> Result<JoinHandle<()>, NodeError> {
    spawn(SNAPSHOTS, move || {
        worker.run(&jobs, |done| {
            // Nobody listens once the driver has ended.
            inbox.put(Happening::Snapshots(done));
        });
        drop(data_dir);
    })
}

/// A thread that serves what the node's thread serves: while that is held, it would not hear the order to go on, nor a
/// signal.
#[derive(Debug)]
pub(super) struct ControlThread {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ControlThread {
    pub(super) fn start(config: HttpConfig, listener: TcpListener, inbox: Inbox) -> Result<Self, NodeError> {
        let runtime = new_runtime()?;
        let entered = runtime.enter();
        http::spawn(config, listener, inbox).map_err(io_error("serve orders"))?;
        let mut terminate = signal(SignalKind::terminate()).map_err(io_error("handle SIGTERM"))?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(io_error("handle SIGINT"))?;
        drop(entered);
        let (stop, stopped) = oneshot::channel::<()>();
        let serve = async move {
            tokio::pin!(stopped);
            loop {
                tokio::select! {
                    // The sender is never used: its end is the order to stop.
                    _ = &mut stopped => return,
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                // Whoever is held could not finish what it does.
                failpoints::registry().disarm(None);
            }
        };
        let thread = spawn("control", move || runtime.block_on(serve))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for ControlThread {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic of that thread was printed by its own hook.
            let _ = thread.join();
        }
    }
}

pub(super) fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, NodeError> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(work)
        .map_err(io_error(format!("start the thread {name}")))
}

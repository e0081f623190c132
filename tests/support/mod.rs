//! What the tests of the built program share: starting it, listening to it, reading what it left.
//!
//! Invariant: nothing here waits for a time to pass. Whatever is waited for is a condition with a deadline, and missing
//! the deadline is a failed test that shows what the program had said until then.

// Each test file is a crate of its own, uses a part of this, and exports nothing.
#![allow(dead_code, unreachable_pub)]

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

pub mod processes;

/// Longer than any run of these tests takes on a slow, busy machine.
pub const DEADLINE: Duration = Duration::from_secs(90);

/// How many clusters run at once in one test file. A machine has few cores, and a cluster that gets none is slow, not
/// wrong, but thresholds and deadlines notice.
const CLUSTERS: usize = 2;

static FREE: Mutex<usize> = Mutex::new(CLUSTERS);
static FREED: Condvar = Condvar::new();

/// The right to run one cluster.
pub struct Slot(());

/// Waits until fewer than two clusters run.
pub fn slot() -> Slot {
    let mut free = free();
    while *free == 0 {
        free = FREED.wait(free).unwrap_or_else(PoisonError::into_inner);
    }
    *free -= 1;
    Slot(())
}

fn free() -> MutexGuard<'static, usize> {
    FREE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Slot {
    fn drop(&mut self) {
        *free() += 1;
        FREED.notify_one();
    }
}

/// The program under test, with the environment of a script: no colours, no terminal.
pub fn raftcheck(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_raftcheck"));
    command.args(arguments).env("NO_COLOR", "1").env("CI", "1").stdin(Stdio::null());
    command
}

/// What a program that has ended left behind.
#[derive(Debug)]
pub struct Done {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Done {
    /// The exit code. A program that was ended by a signal has none, and that is never what a test wants here.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("ended by a signal: {self}"))
    }

    /// Fails unless the program exited with this code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code(), code, "{self}");
        assert!(!self.stderr.contains("panicked at"), "{self}");
        self
    }

    /// Fails unless standard output holds the text.
    #[track_caller]
    pub fn prints(self, text: &str) -> Self {
        assert!(self.stdout.contains(text), "standard output lacks {text:?}\n{self}");
        self
    }

    /// Fails unless standard error holds the text.
    #[track_caller]
    pub fn complains(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "standard error lacks {text:?}\n{self}");
        self
    }
}

impl std::fmt::Display for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\n--- stdout\n{}\n--- stderr\n{}", self.status, self.stdout, self.stderr)
    }
}

/// Runs a command to its end.
pub fn finish(command: &mut Command) -> Done {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stdout = drain(child.stdout.take().expect("piped"));
    let stderr = drain(child.stderr.take().expect("piped"));
    let status = ended(&mut child);
    Done { status, stdout: stdout.join().expect("reader"), stderr: stderr.join().expect("reader") }
}

fn drain(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came before an error is still worth showing.
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Waits for the end of a child; one that never ends is killed and fails the test.
pub fn ended(child: &mut Child) -> ExitStatus {
    let status = until(DEADLINE, || child.try_wait().expect("wait"));
    status.unwrap_or_else(|| {
        let _ = child.kill();
        let _ = child.wait();
        panic!("the program had not ended after {DEADLINE:?}")
    })
}

/// Asks until there is an answer; `None` if there was none in time.
pub fn until<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if begun.elapsed() > limit {
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A directory that is gone after the test, and unique: its path in a command line marks a process as ours.
pub struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    /// A new, empty one.
    pub fn new() -> Self {
        Self { directory: tempfile::Builder::new().prefix("raftcheck-test-").tempdir().expect("tempdir") }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, text).expect("write");
        path
    }

    /// Where runs of this place go.
    pub fn out(&self) -> PathBuf {
        self.path().join("runs")
    }

    /// `raftcheck run` of a suite with this text.
    pub fn command(&self, suite: &str, arguments: &[&str]) -> Command {
        let file = self.write("suite.yaml", suite);
        let mut command = raftcheck(&["run"]);
        command.arg(file).arg("--out").arg(self.out()).args(arguments);
        command
    }

    /// Runs a suite to its end.
    pub fn run(&self, suite: &str, arguments: &[&str]) -> Done {
        let _slot = slot();
        finish(&mut self.command(suite, arguments))
    }

    /// The run directories, oldest first.
    pub fn runs(&self) -> Vec<PathBuf> {
        run_dirs(&self.out())
    }

    /// The only run directory.
    #[track_caller]
    pub fn only_run(&self) -> PathBuf {
        let runs = self.runs();
        assert_eq!(runs.len(), 1, "{runs:?}");
        runs[0].clone()
    }
}

/// All run directories below a place that runs go to.
pub fn run_dirs(out: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for suite in entries(out) {
        found.extend(entries(&suite).into_iter().filter(|run| !run.is_symlink() && run.is_dir()));
    }
    found.sort();
    found
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

/// `raftcheck check` of a run directory.
pub fn check(run: &Path) -> Done {
    finish(raftcheck(&["check"]).arg(run))
}

/// A JSON file of a run directory.
#[track_caller]
pub fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A file of JSON lines, every one of which has to be whole.
#[track_caller]
pub fn json_lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let parse = |(number, line): (usize, &str)| -> Value {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{}:{number}: {error}", path.display()))
    };
    text.lines().enumerate().map(parse).collect()
}

/// The verdict on one property in a `verdict.json`: "holds", "violated" or "inconclusive".
#[track_caller]
pub fn verdict(judged: &Value, property: &str) -> String {
    let checks = judged["checks"].as_array().expect("checks");
    let check = checks.iter().find(|check| check["name"] == property);
    let check = check.unwrap_or_else(|| panic!("no check {property} in {judged:#}"));
    check["verdict"]["verdict"].as_str().expect("a verdict").to_owned()
}

/// Copies a program. Another process does it: a file that this one has open for writing may be inherited, for a moment,
/// by a child that another test is just starting, and the kernel starts no program that anybody may still write to.
pub fn install(from: &Path, to: &Path) {
    finish(Command::new("install").args(["-m", "755"]).arg(from).arg(to)).exits(0);
}

/// A run in progress, heard event by event.
pub struct Live {
    pub child: Child,
    events: Receiver<Value>,
    heard: Vec<Value>,
    stderr: JoinHandle<String>,
}

impl Live {
    /// Starts a command that was given `--format jsonl`.
    pub fn start(command: &mut Command) -> Self {
        command.args(["--format", "jsonl"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stderr = drain(child.stderr.take().expect("piped"));
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, events) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        Self { child, events, heard: Vec::new(), stderr }
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a process id")
    }

    /// Waits for an event; returns the first that fits.
    #[track_caller]
    pub fn wait_for(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            match self.events.recv_timeout(DEADLINE.saturating_sub(begun.elapsed())) {
                Ok(event) => {
                    self.heard.push(event.clone());
                    if fits(&event) {
                        return event;
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    let _ = self.child.kill();
                    panic!("waited in vain for {what}; heard {:#?}", self.heard);
                }
            }
        }
    }

    /// Waits until a fault is in force.
    #[track_caller]
    pub fn wait_for_fault(&mut self) {
        self.wait_for("a fault to be installed", |event| {
            event["event"] == "fault" && event["text"].as_str().is_some_and(|text| text.contains("installed"))
        });
    }

    /// Sends the outer process a signal.
    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid()), signal).expect("kill");
    }

    /// Waits for the end; returns what it left and all events.
    pub fn finish(mut self) -> (Done, Vec<Value>) {
        let status = ended(&mut self.child);
        self.heard.extend(self.events.iter());
        let stdout = self.heard.iter().map(|event| format!("{event}\n")).collect();
        (Done { status, stdout, stderr: self.stderr.join().expect("reader") }, self.heard)
    }
}

/// A copy of a run directory, for breaking.
pub fn copy_run(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("create");
    for entry in std::fs::read_dir(from).expect("read_dir") {
        let entry = entry.expect("entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("type").is_dir() {
            copy_run(&entry.path(), &target);
        } else if let Err(error) = std::fs::copy(entry.path(), &target) {
            // A run in progress makes its files under another name and moves them into place.
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{}", entry.path().display());
        }
    }
}

/// A seed that nobody chose. Tests print it.
pub fn fresh_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}

//! One run seen from outside: make its directory, start the process that carries it out, listen, judge.
//!
//! Invariant: judgement happens here, after the recording process is gone, from files only. So a harness that was
//! killed in the middle still leaves a verdict on what it had recorded, and a violation found is never lost to a
//! failure that came after it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use serde_json::json;

use crate::events::RunEvent;
use crate::interrupt;
use crate::judge::{self, Control, Judged};
use crate::plan::Plan;
use crate::report::{Reporter, html};
use crate::rundir::{RunDir, named};

/// What to run, and where to put it.
pub struct Session<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The suite file as the user wrote it.
    pub suite_text: &'a str,
    /// The version of the system, as its probe told it.
    pub system_version: &'a str,
    /// Where run directories go.
    pub out: &'a Path,
    /// Whether the nodes are left running at the end, for the user to look at.
    pub after: After,
    /// What the run measured that this one is compared with.
    pub control: Option<&'a Control>,
}

/// What to do with the nodes once the final reads are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Stop them.
    Stop,
    /// Keep them until Ctrl-C.
    Keep,
}

/// What the recording process said about itself.
#[derive(Debug, Default)]
struct Heard {
    failure: Option<String>,
    unavailable: Option<String>,
}

impl Session<'_> {
    /// Carries the run out and judges it.
    pub fn run(&self, reporter: &dyn Reporter) -> io::Result<Judged> {
        let dir = RunDir::create(self.out, &self.plan.suite.title(), self.plan.seed)?;
        self.write_inputs(&dir)?;
        let mut heard = Heard::default();
        let status = self.record(&dir, reporter, &mut heard)?;
        let failure = heard.failure.take().or_else(|| lost(status));
        let mut judgement = judge::judge(&dir, failure, heard.unavailable)?;
        let page = html::page_of_run(&dir, &judgement);
        if let Err(error) = html::write(&dir.file(html::FILE), &page) {
            judgement.judged.remarks.push(format!("the page could not be written: {error}"));
        }
        Ok(judgement.judged)
    }

    fn write_inputs(&self, dir: &RunDir) -> io::Result<()> {
        let suite = dir.file("suite.yaml");
        std::fs::write(&suite, self.suite_text).map_err(|error| named(&suite, error))?;
        // For people: what the suite came to mean, with every default filled in.
        let resolved = dir.file("resolved.yaml");
        let text = serde_yaml::to_string(&self.plan.suite).map_err(io::Error::other)?;
        std::fs::write(&resolved, text).map_err(|error| named(&resolved, error))?;
        if let Some(control) = self.control {
            dir.write_json(judge::CONTROL, control)?;
        }
        dir.write_json("plan.json", self.plan)?;
        dir.write_json("env.json", &environment(self.system_version))
    }

    /// Starts the recording process and passes its events on until it is gone.
    fn record(&self, dir: &RunDir, reporter: &dyn Reporter, heard: &mut Heard) -> io::Result<ExitStatus> {
        let log = dir.file("harness.log");
        let mut command = Command::new(executable()?);
        command
            .arg("inside")
            .arg(dir.path())
            .args(["--parent".to_owned(), std::process::id().to_string()])
            .args((self.after == After::Keep).then_some("--keep-running"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).map_err(|error| named(&log, error))?)
            .process_group(0);
        let mut child = command.spawn()?;
        let registered = interrupt::register(child.id());
        if let Some(events) = child.stdout.take() {
            self.listen(BufReader::new(events), reporter, heard);
        }
        // Signals are passed on until the process is known to be gone, and never to a process id that is free again.
        waitid(Id::Pid(Pid::from_raw(child.id() as i32)), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)?;
        drop(registered);
        child.wait()
    }

    fn listen(&self, events: impl BufRead, reporter: &dyn Reporter, heard: &mut Heard) {
        for line in events.lines() {
            let Ok(line) = line else { break };
            let Ok(event) = serde_json::from_str::<RunEvent>(&line) else {
                tracing::warn!("the recording process wrote a line that is no event: {line}");
                continue;
            };
            match &event {
                RunEvent::HarnessFailure { message } => heard.failure = Some(message.clone()),
                RunEvent::Unavailable { message } => heard.unavailable = Some(message.clone()),
                _ => {}
            }
            reporter.event(self.plan, &event);
        }
    }
}

/// The program that is running, for starting more of it. It still works if the file was replaced by a new build.
pub fn executable() -> io::Result<PathBuf> {
    std::env::current_exe()
}

fn lost(status: ExitStatus) -> Option<String> {
    use std::os::unix::process::ExitStatusExt;
    if let Some(signal) = status.signal() {
        return Some(format!("the recording process was ended by signal {signal}"));
    }
    match status.code() {
        Some(0) => None,
        code => Some(format!(
            "the recording process ended with code {} (see harness.log in the run directory)",
            code.map_or_else(|| "unknown".to_owned(), |code| code.to_string())
        )),
    }
}

/// What a reader of the run needs to know about the host.
fn environment(system_version: &str) -> serde_json::Value {
    let kernel = nix::sys::utsname::uname().ok();
    let text = |value: Option<OsString>| value.map(|value| value.to_string_lossy().into_owned());
    json!({
        "format": crate::rundir::FORMAT,
        "raftcheck": env!("CARGO_PKG_VERSION"),
        "system": system_version,
        "started": jiff::Timestamp::now().to_string(),
        "kernel": text(kernel.as_ref().map(|kernel| kernel.release().to_owned())),
        "machine": text(kernel.as_ref().map(|kernel| kernel.machine().to_owned())),
        "cpus": std::thread::available_parallelism().map(std::num::NonZero::get).ok(),
        "uid": nix::unistd::getuid().as_raw(),
        "arguments": std::env::args().collect::<Vec<_>>(),
    })
}

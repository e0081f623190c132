//! A program that watches its own clock, and how soon it sees a change of it.
//!
//! Invariant: when it saw the change is told by CLOCK_MONOTONIC_RAW, which nobody changes, on both sides.

use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cluster::clock::{ClockFamily, ClockSetting, ClockShift, NodeClock, TRUE_SPEED_PPM};
use cluster::hosts::Hosts;
use cluster::levers::NodeSignal;
use cluster::process::{NodeProcess, Place};
use cluster::system::{NodeCommand, NodeId};

use super::{SEEN_CLOCK, Sample};
use crate::exit::Exit;
use crate::inside::raw_now;
use crate::session;

/// Changes whose effect is looked for.
const CHANGES: usize = 40;
/// By how much the clock is moved each time, and from where on a difference is a change.
const STEP_NS: i64 = 1_000_000_000;
const CHANGE_NS: i128 = STEP_NS as i128 / 2;
/// How long the victim may take to say something.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two changes.
const APART: Duration = Duration::from_millis(30);
const LOOK_INTERVAL: Duration = Duration::from_millis(1);

/// The victim: prints a line when it begins and at each change, with the raw time at which it saw it. It never ends by itself.
pub(super) fn main() -> Exit {
    let difference = || {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let raw = raw_now();
        (wall.as_nanos() as i128 - i128::from(raw), raw)
    };
    let (mut known, begun) = difference();
    let mut seen = begun;
    loop {
        if writeln!(io::stdout(), "{seen}").is_err() {
            return Exit::Harness;
        }
        seen = loop {
            let (now, raw) = difference();
            if (now - known).abs() > CHANGE_NS {
                known = now;
                break raw;
            }
        };
    }
}

/// How long after each change was asked for the victim saw it.
pub(super) async fn figures() -> Result<Vec<Sample>, String> {
    let (hosts, _ports) = Hosts::build(1).map_err(|error| error.to_string())?;
    let netns = hosts.node(NodeId(1)).ok_or("the host is not there")?;
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let place = Place {
        directory: directory.path().to_owned(),
        stdout: directory.path().join("stdout"),
        stderr: directory.path().join("stderr"),
    };
    let program = session::executable().map_err(|error| error.to_string())?;
    let command = NodeCommand { program, args: vec!["bench".into(), "--victim".into()], env: Vec::new() };
    let clock = NodeClock::new().map_err(|error| error.to_string())?;
    let victim =
        NodeProcess::spawn(&command, netns, &place, Some(&clock)).map_err(|error| error.to_string())?;
    let changes = changes(&clock, &place.stdout).await;
    let _ = victim.signal(NodeSignal::Kill);
    victim.exited().await;
    let sample = |us| Sample { figure: SEEN_CLOCK.to_owned(), value: us };
    changes.map(|changes| changes.into_iter().map(sample).collect())
}

async fn changes(clock: &NodeClock, said: &Path) -> Result<Vec<f64>, String> {
    let shift = ClockShift::By(STEP_NS);
    let later = ClockSetting { shift, speed_ppm: TRUE_SPEED_PPM, strobe: None };
    line(said, 0).await?;
    let mut found = Vec::new();
    for change in 1..=CHANGES {
        // A clock changes again only after a tick of its coarse twin, and what is measured is one change.
        tokio::time::sleep(APART).await;
        let asked = raw_now();
        clock.set(ClockFamily::Wall, &later).map_err(|error| error.to_string())?;
        let seen = line(said, change).await?;
        found.push(seen.saturating_sub(asked) as f64 / 1e3);
    }
    Ok(found)
}

/// The victim's line of this number, as soon as it is there.
async fn line(said: &Path, number: usize) -> Result<u64, String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = std::fs::read_to_string(said).unwrap_or_default();
        // A line that is not whole yet does not end.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        if let Some(line) = whole.lines().nth(number) {
            return line.parse().map_err(|_| format!("the victim said {line:?}"));
        }
        if Instant::now() > deadline {
            return Err(format!("a program did not see change {number} of its clock within {PATIENCE:?}"));
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

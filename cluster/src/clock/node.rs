//! The clocks of one node: what they show, and changing it.
//!
//! Invariant: a change is whole or has not happened; its instant is exact, because it is chosen a moment ahead and written
//! down before it comes. The clocks stay as they are when the node is started again, like those of a machine.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::page::{CLOCKS, Counter, Page, Record, SPEED_ONE, now};
use super::patch::{Kit, Step};
use super::vdso::Vdso;
use super::{ClockFamily, ClockSetting, ClockShift, ClockState, TRUE_SPEED_PPM, Trial, code};
use crate::levers::LeverError;

pub(crate) use super::tracer::{Door, StoppedThreads, Tracer};

/// How far ahead the instant of a change is chosen, and how much of that must be left when it is published.
const LEAD: Duration = Duration::from_micros(300);
const MARGIN: Duration = Duration::from_micros(60);
/// The least distance of two changes of a family: a record knows one boundary, and the coarse clocks lag by up to a tick.
const COARSE_TICK: Duration = Duration::from_millis(20);
/// How often a change is prepared anew because this process was not on the processor for so long.
const TRIES: usize = 50;

/// The clocks of one node.
#[derive(Debug)]
pub struct NodeClock {
    page: Arc<Page>,
    book: Mutex<Book>,
}

#[derive(Debug)]
struct Book {
    records: [Record; CLOCKS.len()],
    /// The version that the last change of each family made, and its instant.
    versions: [u64; 2],
    instants: [Option<Instant>; 2],
}

impl NodeClock {
    /// True clocks, for a node that is about to be started.
    pub fn new() -> io::Result<Self> {
        let book = Book { records: [Record::TRUE; CLOCKS.len()], versions: [1; 2], instants: [None; 2] };
        Ok(Self { page: Arc::new(Page::new()?), book: Mutex::new(book) })
    }

    /// Starts the tracer of a process that is about to be started.
    pub(crate) fn tracer(&self) -> io::Result<Tracer> {
        let vdso = Vdso::own().map_err(io::Error::other)?;
        Tracer::start(&Kit { vdso, code: code::bytes(), page_fd: self.page.fd() }, &self.page)
    }

    /// Changes a family of clocks and returns the instant from which on all of the node's processes see the change.
    pub fn set(&self, family: ClockFamily, setting: &ClockSetting) -> Result<Instant, LeverError> {
        if let Some(objection) = setting.objection(family) {
            return Err(LeverError::Unsupported(objection.to_owned()));
        }
        // Making a clock true again is right whatever program goes by it.
        if *setting != ClockSetting::healed(family) {
            self.all_patched()?;
        }
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = book.instants[family as usize] {
            std::thread::sleep((last + COARSE_TICK).saturating_duration_since(Instant::now()));
        }
        for _ in 0..TRIES {
            let mut records = book.records;
            let instant = Instant::now() + LEAD;
            for clock in clocks(family) {
                let boundary = now(CLOCKS[clock]) + LEAD.as_nanos() as u64;
                records[clock] = changed(&book.records[clock], boundary, setting);
            }
            if instant.saturating_duration_since(Instant::now()) < MARGIN {
                continue;
            }
            let version = self.page.publish(&records);
            let late = Instant::now() > instant;
            book.records = records;
            book.versions[family as usize] = version;
            book.instants[family as usize] = Some(instant);
            if late {
                let message =
                    "the change was published after its instant; a clock may have gone back a little";
                return Err(LeverError::Failed(message.to_owned()));
            }
            return Ok(instant);
        }
        Err(LeverError::WrongState("the host is too busy to change a clock at an exact instant".to_owned()))
    }

    /// What a family of clocks does since the last change, which may be a fraction of a millisecond ahead: whoever has made
    /// it sees what he made.
    pub fn state(&self, family: ClockFamily) -> ClockState {
        let book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let first = clocks(family)[0];
        let record = &book.records[first];
        let real = now(CLOCKS[first]).max(record.boundary);
        let speed = record.speed_after;
        let version = book.versions[family as usize];
        ClockState {
            offset_ns: record.steady(real).wrapping_sub(real) as i64,
            speed_ppm: ((u128::from(speed) * u128::from(TRUE_SPEED_PPM) + u128::from(SPEED_ONE / 2)) >> 32)
                as u32,
            strobing: record.strobe_period != 0,
            read: clocks(family).iter().any(|clock| self.page.seen(*clock) >= version),
        }
    }

    /// The longest that any of its programs was held up at its start.
    pub fn patch_time(&self) -> Duration {
        Duration::from_nanos(self.page.counter(Counter::PatchNanos).load(Ordering::Relaxed))
    }

    pub(super) fn page(&self) -> &Arc<Page> {
        &self.page
    }

    /// How many programs of the node were given these clocks, over all its starts.
    pub fn programs(&self) -> u64 {
        self.page.counter(Counter::Patched).load(Ordering::Relaxed)
    }

    /// How many waits were translated, over all starts of the node.
    pub fn translated_waits(&self) -> u64 {
        self.page.counter(Counter::Waits).load(Ordering::Relaxed)
    }

    /// Gives a program of this host clocks of its own and takes it away again: whether the host lets us, and if not, why
    /// and what would.
    pub fn trial() -> Result<Trial, String> {
        let begun = Instant::now();
        let clock = Self::new().map_err(|error| error.to_string())?;
        let mut tracer = clock.tracer().map_err(|error| error.to_string())?;
        let mut command = std::process::Command::new("/bin/sh");
        command.args(["-c", ":"]).stdin(std::process::Stdio::null());
        if let Some(door) = tracer.door() {
            // SAFETY: entering allocates nothing and takes no lock.
            unsafe { std::os::unix::process::CommandExt::pre_exec(&mut command, move || door.enter()) };
        }
        let started = command.spawn();
        tracer.close_door();
        let mut child = started
            .map_err(|error| format!("a process may not be traced: {error}\n  to fix it: {}", fix()))?;
        child.wait().map_err(|error| error.to_string())?;
        clock.all_patched().map_err(|error| error.to_string())?;
        Ok(Trial { patch: clock.patch_time(), all: begun.elapsed() })
    }

    /// Says which program kept the host's clocks, if one did: then nothing that is set here is true of the whole node.
    fn all_patched(&self) -> Result<(), LeverError> {
        let count = |counter| self.page.counter(counter).load(Ordering::Relaxed);
        if count(Counter::Failed) > 0 {
            let (step, error) = (count(Counter::LastError) >> 32, count(Counter::LastError) as i32);
            return Err(LeverError::Unsupported(format!(
                "a program of the node kept the host's clocks: {}: {}",
                Step::in_words(step),
                io::Error::from_raw_os_error(error)
            )));
        }
        if count(Counter::Patched) == 0 {
            return Err(LeverError::WrongState(
                "no program of the node has clocks of its own yet".to_owned(),
            ));
        }
        Ok(())
    }
}

/// What lets one process of a sandbox trace another, as far as that can be told.
fn fix() -> &'static str {
    let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    if scope.trim() == "3" {
        "kernel.yama.ptrace_scope is 3, which only a restart with another value changes (1 suffices)"
    } else {
        "allow ptrace and seccomp; in a container, start it with `--cap-add SYS_PTRACE --security-opt seccomp=unconfined`"
    }
}

/// The records of a family, the best known clock first.
fn clocks(family: ClockFamily) -> [usize; 2] {
    match family {
        ClockFamily::Wall => [0, 3],
        ClockFamily::Monotonic => [1, 2],
    }
}

/// The record of a clock that changes at this true time.
fn changed(record: &Record, boundary: u64, setting: &ClockSetting) -> Record {
    let after = match setting.shift {
        ClockShift::None => record.steady(boundary),
        ClockShift::By(ns) => record.steady(boundary).saturating_add_signed(ns),
        ClockShift::ToTrue => boundary,
    };
    let speed = (u128::from(setting.speed_ppm) << 32) / u128::from(TRUE_SPEED_PPM);
    let (strobe_period, strobe_by) =
        setting.strobe.map_or((0, 0), |strobe| (strobe.period_ns, strobe.by_ns as u64));
    Record {
        boundary,
        origin: record.boundary,
        before: record.after,
        speed_before: record.speed_after,
        after,
        speed_after: speed as u64,
        strobe_period,
        strobe_by,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(shift: ClockShift, speed_ppm: u32) -> ClockSetting {
        ClockSetting { shift, speed_ppm, strobe: None }
    }

    #[test]
    fn changes_meet_at_their_boundaries() {
        let mut record = Record::TRUE;
        let speeds = [2_000_000, 0, 500_000, 1_000_000, 100_000_000, 1];
        let mut last = 0;
        for (step, speed) in speeds.into_iter().enumerate() {
            let boundary = 1_000_000 * (step as u64 + 1);
            record = changed(&record, boundary, &setting(ClockShift::None, speed));
            for real in (boundary - 500_000..boundary + 500_000).step_by(1_000) {
                assert!(record.shows(real) >= last, "{speed} at {real}");
                last = record.shows(real);
            }
        }
    }

    #[test]
    fn a_wall_clock_comes_back_to_the_true_time() {
        let fast = changed(&Record::TRUE, 1_000, &setting(ClockShift::By(-700), 3_000_000));
        assert_eq!(fast.shows(2_000), 3_300);
        let healed = changed(&fast, 5_000, &ClockSetting::healed(ClockFamily::Wall));
        assert_eq!((healed.shows(4_999), healed.shows(5_000), healed.shows(9_000)), (12_297, 5_000, 9_000));
    }

    #[test]
    fn a_monotonic_clock_refuses_to_go_back() {
        let strobe = Some(super::super::Strobe { period_ns: 1, by_ns: 1 });
        for wrong in [
            setting(ClockShift::By(-1), TRUE_SPEED_PPM),
            setting(ClockShift::ToTrue, TRUE_SPEED_PPM),
            ClockSetting { strobe, ..setting(ClockShift::None, TRUE_SPEED_PPM) },
        ] {
            assert!(wrong.objection(ClockFamily::Monotonic).is_some());
            assert!(wrong.objection(ClockFamily::Wall).is_none());
        }
        assert!(ClockSetting::healed(ClockFamily::Monotonic).objection(ClockFamily::Monotonic).is_none());
    }
}

//! The control page of a node's clocks: one page of memory, shared by the harness and every process of the node.
//!
//! Invariants: a reader sees the whole of one version or takes its reading again (two slots and a version number); a change
//! takes effect at a *boundary* that lies in the future when it is published, so that no reading mixes old and new speed and
//! a monotonic clock never goes back; what a clock showed at its boundary is where it goes on.
//! Lacks slewing: a change of the offset is a step.
//! Reference: the piecewise-linear clocks of libfaketime and of NTP's kernel model; seqlock in the kernel's vDSO data page.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

/// The clocks that have a record of their own, in the order of the records. The coarse clocks share those of the fine ones.
pub(super) const CLOCKS: [libc::clockid_t; 4] =
    [libc::CLOCK_REALTIME, libc::CLOCK_MONOTONIC, libc::CLOCK_BOOTTIME, libc::CLOCK_TAI];

/// A speed of 1 in the page: 32 bits before and 32 after the point.
pub(super) const SPEED_ONE: u64 = 1 << 32;

/// The page's layout in bytes; `code.rs` has the same numbers.
const RECORDS: usize = 64;
const SEEN: usize = 2048;
const TRACER: usize = 2048 + 64;
/// The size of the page.
pub(super) const BYTES: usize = 4096;

/// What one clock shows. All times in nanoseconds of the kernel's clock of the same id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// The true time from which on the second line holds, and at which it begins.
    pub(super) boundary: u64,
    /// The first line: a true time, what the clock shows then, and its speed. It is the second line of the record before, to
    /// the bit, so that no rounding shows at a change.
    pub(super) origin: u64,
    pub(super) before: u64,
    pub(super) speed_before: u64,
    /// The second line: what the clock shows at the boundary, and its speed.
    pub(super) after: u64,
    pub(super) speed_after: u64,
    /// In every second period since the boundary `strobe_by` is added; 0: never.
    pub(super) strobe_period: u64,
    pub(super) strobe_by: u64,
}

impl Record {
    /// A true clock.
    pub(super) const TRUE: Self = Self {
        boundary: 0,
        origin: 0,
        before: 0,
        speed_before: SPEED_ONE,
        after: 0,
        speed_after: SPEED_ONE,
        strobe_period: 0,
        strobe_by: 0,
    };

    /// What the clock shows at this true time: the same as the machine code computes.
    #[cfg(test)]
    pub(super) fn shows(&self, real: u64) -> u64 {
        let strobed = self.strobe_period != 0
            && real >= self.boundary
            && !((real - self.boundary) / self.strobe_period).is_multiple_of(2);
        let strobe = if strobed { self.strobe_by } else { 0 };
        self.steady(real).wrapping_add(strobe)
    }

    /// What it would show without the strobe.
    pub(super) fn steady(&self, real: u64) -> u64 {
        let is_before = (real.wrapping_sub(self.boundary) as i64) < 0;
        let (origin, base, speed) = if is_before {
            (self.origin, self.before, self.speed_before)
        } else {
            (self.boundary, self.after, self.speed_after)
        };
        let since = real.wrapping_sub(origin) as i64;
        base.wrapping_add(((i128::from(since) * i128::from(speed)) >> 32) as u64)
    }

    /// The earliest true time at which the clock, going on as it goes after its boundary, shows `shown`; `None` if never.
    pub(super) fn when(&self, shown: u64) -> Option<u64> {
        let ahead = i128::from(shown) - i128::from(self.after);
        if self.speed_after == 0 {
            return (ahead <= 0).then_some(self.boundary);
        }
        // Rounded up: a wait never ends before its time.
        let speed = i128::from(self.speed_after);
        let since = ((ahead << 32) + speed - 1).div_euclid(speed);
        u64::try_from(i128::from(self.boundary) + since).ok()
    }

    fn words(&self) -> [u64; 8] {
        [
            self.boundary,
            self.origin,
            self.before,
            self.speed_before,
            self.after,
            self.speed_after,
            self.strobe_period,
            self.strobe_by,
        ]
    }

    fn of_words(words: [u64; 8]) -> Self {
        let [boundary, origin, before, speed_before, after, speed_after, strobe_period, strobe_by] = words;
        Self { boundary, origin, before, speed_before, after, speed_after, strobe_period, strobe_by }
    }
}

/// What the tracer of a node counts.
#[derive(Clone, Copy, Debug)]
#[repr(usize)]
pub(super) enum Counter {
    /// Programs whose clock functions were replaced.
    Patched,
    /// Programs whose clock functions could not be.
    Failed,
    /// The last reason: the step in the upper half, the error number in the lower.
    LastError,
    /// Waits whose end was translated.
    Waits,
    /// Threads that a stop of their group holds now.
    Stopped,
    /// The longest time that a program was held up at its start.
    PatchNanos,
}

/// The mapped page.
#[derive(Debug)]
pub(super) struct Page {
    memory: *mut u8,
    fd: OwnedFd,
}

// SAFETY: the memory is only touched through atomics.
unsafe impl Send for Page {}
// SAFETY: as above.
unsafe impl Sync for Page {}

impl Page {
    /// A page with true clocks.
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: the name is a C string; the descriptor is new and belongs to nobody else.
        let fd = unsafe {
            let fd = libc::memfd_create(c"clocks".as_ptr(), libc::MFD_CLOEXEC);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(fd)
        };
        // SAFETY: a new shared mapping of a file of that size, at an address that the kernel chooses.
        let memory = unsafe {
            if libc::ftruncate(fd.as_raw_fd(), BYTES as libc::off_t) != 0 {
                return Err(io::Error::last_os_error());
            }
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            libc::mmap(std::ptr::null_mut(), BYTES, protection, libc::MAP_SHARED, fd.as_raw_fd(), 0)
        };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let page = Self { memory: memory.cast(), fd };
        page.publish(&[Record::TRUE; CLOCKS.len()]);
        Ok(page)
    }

    /// The descriptor of the memory, for mapping it elsewhere.
    pub(super) fn fd(&self) -> i32 {
        self.fd.as_raw_fd()
    }

    /// Makes these records the current ones and returns the number of the new version.
    pub(super) fn publish(&self, records: &[Record; CLOCKS.len()]) -> u64 {
        let version = self.word(0).load(Ordering::Relaxed) + 1;
        for (clock, record) in records.iter().enumerate() {
            for (index, word) in record.words().into_iter().enumerate() {
                self.word(record_at(version, clock) + 8 * index).store(word, Ordering::Relaxed);
            }
        }
        self.word(0).store(version, Ordering::SeqCst);
        version
    }

    /// The current record of a clock. Read by the tracer, which may meet a change.
    pub(super) fn record(&self, clock: usize) -> Record {
        loop {
            let version = self.word(0).load(Ordering::Acquire);
            let at = record_at(version, clock);
            let words = std::array::from_fn(|index| self.word(at + 8 * index).load(Ordering::Acquire));
            if self.word(0).load(Ordering::Acquire) == version {
                return Record::of_words(words);
            }
        }
    }

    /// The latest version by which a process of the node has read this clock, after its boundary.
    pub(super) fn seen(&self, clock: usize) -> u64 {
        self.word(SEEN + 8 * clock).load(Ordering::Relaxed)
    }

    /// A counter of the tracer.
    pub(super) fn counter(&self, counter: Counter) -> &AtomicU64 {
        self.word(TRACER + 8 * counter as usize)
    }

    fn word(&self, offset: usize) -> &AtomicU64 {
        debug_assert!(offset.is_multiple_of(8) && offset < BYTES);
        // SAFETY: inside the mapping, which lives as long as `self`, and aligned.
        unsafe { AtomicU64::from_ptr(self.memory.add(offset).cast()) }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new`, and no reference to it outlives `self`.
        unsafe { libc::munmap(self.memory.cast(), BYTES) };
    }
}

fn record_at(version: u64, clock: usize) -> usize {
    RECORDS + (version as usize % 2) * 64 * CLOCKS.len() + 64 * clock
}

/// The kernel's own clock, in nanoseconds.
pub(super) fn now(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live timespec, which is all that the call writes.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: Record = Record {
        boundary: 1_000,
        origin: 500,
        before: 4_500,
        speed_before: SPEED_ONE,
        after: 9_000,
        speed_after: 2 * SPEED_ONE,
        strobe_period: 0,
        strobe_by: 0,
    };

    #[test]
    fn a_record_is_two_lines_that_meet_at_the_boundary() {
        assert_eq!([0, 999, 1_000, 1_001].map(|real| FAST.shows(real)), [4_000, 4_999, 9_000, 9_002]);
        let strobe = Record { strobe_period: 10, strobe_by: 500u64.wrapping_neg(), ..FAST };
        assert_eq!([1_000, 1_010, 1_020].map(|real| strobe.shows(real)), [9_000, 8_520, 9_040]);
        assert_eq!(strobe.steady(1_010), 9_020);
    }

    #[test]
    fn waits_end_when_the_clock_shows_their_end_and_not_before() {
        for speed in [1, SPEED_ONE / 3, SPEED_ONE, SPEED_ONE * 7 / 5, 40 * SPEED_ONE] {
            let record = Record { speed_after: speed, ..FAST };
            for shown in [9_000, 9_001, 12_345, 99_999_999] {
                let real = record.when(shown).unwrap();
                assert!(record.steady(real) >= shown, "{speed} {shown}");
                assert!(real == 1_000 || record.steady(real - 1) < shown, "{speed} {shown}");
            }
        }
        let frozen = Record { speed_after: 0, ..FAST };
        assert_eq!((frozen.when(9_000), frozen.when(9_001)), (Some(1_000), None));
    }

    #[test]
    fn versions_alternate_between_the_slots() {
        let page = Page::new().unwrap();
        assert_eq!(page.record(1), Record::TRUE);
        for round in 1..5 {
            let record = Record { boundary: round, ..FAST };
            page.publish(&[record; 4]);
            assert_eq!(page.record(3), record);
        }
        assert_eq!(page.seen(0), 0);
    }
}

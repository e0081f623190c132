//! The machine code in this very process: for comparing it with its twin in Rust, and for timing it.
//!
//! Invariant: nothing of this process goes by it; it is called through a pointer by nobody but this file.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::page::{BYTES, CLOCKS, Page};
use super::{code, node::NodeClock};

type Gettime = extern "C" fn(libc::clockid_t, *mut libc::timespec) -> libc::c_int;

/// A copy of the code with its control page, mapped into this process.
struct Local {
    memory: *mut u8,
    _page: Arc<Page>,
}

impl Local {
    /// `original` stands in for the kernel's own function.
    fn new(page: &Arc<Page>, original: Gettime) -> io::Result<Self> {
        let (writable, private) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: the mappings are new, but for the control page, which replaces the second half of the first one; the
        // code fits a page (a test says so).
        unsafe {
            let memory = libc::mmap(std::ptr::null_mut(), 2 * BYTES, writable, private, -1, 0).cast::<u8>();
            if memory.cast() == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            let local = Self { memory, _page: Arc::clone(page) };
            let shared = libc::MAP_SHARED | libc::MAP_FIXED;
            let control = libc::mmap(memory.add(BYTES).cast(), BYTES, writable, shared, page.fd(), 0);
            if control == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            std::ptr::copy_nonoverlapping(code::bytes().as_ptr(), memory, code::bytes().len());
            memory.cast::<Gettime>().write(original);
            if libc::mprotect(memory.cast(), BYTES, libc::PROT_READ | libc::PROT_EXEC) != 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(local)
        }
    }

    fn gettime(&self, clock: libc::clockid_t) -> u64 {
        let entry = code::entry(b"clock_gettime").unwrap_or_default();
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: at the entry begins a function of this type, in executable memory that lives as long as `self`.
        let function: Gettime = unsafe { std::mem::transmute(self.memory.add(entry)) };
        function(clock, &raw mut time);
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        // SAFETY: both mappings were made by `new`.
        unsafe { libc::munmap(self.memory.cast(), 2 * BYTES) };
    }
}

extern "C" fn kernels(clock: libc::clockid_t, time: *mut libc::timespec) -> libc::c_int {
    // SAFETY: the pointer is the caller's.
    unsafe { libc::clock_gettime(clock, time) }
}

/// How long a reading of CLOCK_MONOTONIC takes, in nanoseconds: by the kernel's function, and through a moved clock. The
/// mean of many.
pub fn reading_cost_ns() -> io::Result<(f64, f64)> {
    const READINGS: u32 = 2_000_000;
    let clock = NodeClock::new()?;
    let local = Local::new(clock.page(), kernels)?;
    let mean = |read: &dyn Fn() -> u64| {
        let begun = Instant::now();
        for _ in 0..READINGS {
            std::hint::black_box(read());
        }
        begun.elapsed().as_nanos() as f64 / f64::from(READINGS)
    };
    let plain = || super::page::now(CLOCKS[1]);
    let moved = || local.gettime(CLOCKS[1]);
    // Once for nothing, so that both are warm.
    let _ = (mean(&plain), mean(&moved));
    Ok((mean(&plain), mean(&moved)))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::super::page::{Record, SPEED_ONE};
    use super::*;

    static TRUE_TIME: AtomicU64 = AtomicU64::new(0);

    extern "C" fn scripted(_: libc::clockid_t, time: *mut libc::timespec) -> libc::c_int {
        let now = TRUE_TIME.load(Ordering::Relaxed);
        let value =
            libc::timespec { tv_sec: (now / 1_000_000_000) as i64, tv_nsec: (now % 1_000_000_000) as i64 };
        // SAFETY: the caller is `Local::gettime`.
        unsafe { time.write(value) };
        0
    }

    #[test]
    fn the_code_shows_what_its_twin_computes() {
        let page = Arc::new(Page::new().unwrap());
        let local = Local::new(&page, scripted).unwrap();
        let hour = 3_600_000_000_000;
        let base = 1_700_000_000 * 1_000_000_000;
        let mut cases = 0;
        for speed in [0, 1, SPEED_ONE / 3, SPEED_ONE, SPEED_ONE * 6 / 5, 100 * SPEED_ONE] {
            for (strobe_period, strobe_by) in [(0, 0), (7_000, hour), (1, 5_000u64.wrapping_neg())] {
                let record = Record {
                    boundary: base,
                    origin: base - hour,
                    before: base - 12_345,
                    speed_before: SPEED_ONE * 2,
                    after: base + 3 * hour,
                    speed_after: speed,
                    strobe_period,
                    strobe_by,
                };
                page.publish(&[record, Record::TRUE, record, record]);
                for since in
                    [-5_000_000_000i64, -1, 0, 1, 6_999, 7_000, 14_001, 999_999_999, 40_000_000_000_000]
                {
                    let real = base.wrapping_add_signed(since);
                    TRUE_TIME.store(real, Ordering::Relaxed);
                    assert_eq!(local.gettime(libc::CLOCK_REALTIME), record.shows(real), "{record:?} {since}");
                    assert_eq!(local.gettime(libc::CLOCK_BOOTTIME), record.shows(real));
                    assert_eq!(local.gettime(libc::CLOCK_MONOTONIC_COARSE), real);
                    assert_eq!(local.gettime(libc::CLOCK_MONOTONIC_RAW), real);
                    cases += 1;
                }
            }
        }
        assert_eq!(cases, 6 * 3 * 9);
    }

    #[test]
    fn a_version_counts_as_seen_once_its_boundary_has_passed() {
        let page = Arc::new(Page::new().unwrap());
        let local = Local::new(&page, kernels).unwrap();
        let record = Record { boundary: u64::MAX / 2, ..Record::TRUE };
        let version = page.publish(&[record; 4]);
        local.gettime(libc::CLOCK_REALTIME);
        assert!(page.seen(0) < version);
        let version = page.publish(&[Record::TRUE; 4]);
        local.gettime(libc::CLOCK_REALTIME);
        assert_eq!((page.seen(0), page.seen(1)), (version, 0));
    }
}

//! Waits of a process whose clock goes at another speed: they end when its own clock says so.
//!
//! The kernel counts waits by its own clocks. A seccomp filter, which the node's first process installs and everything that
//! it starts inherits, hands the system calls that wait for a time to the tracer, and the tracer changes the time: an
//! instant becomes the true instant at which the process's clock will show it, a length becomes that length divided by the
//! clock's speed. The registers are put back when the call returns.
//!
//! Invariants: a call that does not wait for a time, or whose time the kernel would refuse, is left alone; a clock that is
//! true costs one stop and changes nothing; allocates nothing (see [`super::tracer`]).
//!
//! Lacks: waits that had begun before the clock changed, which end as they would have; `timer_settime`, `setitimer`,
//! `alarm` and socket timeouts; the time left that an interrupted `nanosleep` or `select` tells. A clock that stands still
//! counts as one of a hundredth of the true speed, so that a wait that begins meanwhile does end.
//! Reference: seccomp(2), "SECCOMP_RET_TRACE"; ptrace(2).

use std::io::{self, Write};
use std::sync::atomic::Ordering;

use super::page::{CLOCKS, Counter, Page, Record, SPEED_ONE};
use super::patch::{read, registers, set_registers, trace, write};

/// The most waits at one time; further ones are left alone.
const PENDING_MAX: usize = 4096;
const SECOND: u64 = 1_000_000_000;
/// The part of a stack that belongs to the function that is running, although it is below the stack pointer.
const RED_ZONE: u64 = 128;

/// The calls that are under way with changed registers.
#[derive(Debug)]
pub(super) struct Waits {
    pending: Vec<(i32, libc::user_regs_struct)>,
    /// The threads that a stop of their group holds.
    stopped: Vec<i32>,
}

/// What holds a thread.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// A stop of its group.
    Group,
    /// Nothing that lasts.
    None,
}

/// How a system call says until when it waits.
#[derive(Clone, Copy)]
enum Time {
    /// A length in milliseconds, in a register.
    Millis,
    /// A length, or an instant of the clock with this record, in a timespec.
    Length(usize),
    Instant(usize),
    /// A length in a timeval, whose fraction is in microseconds.
    Timeval,
    /// An itimerspec: lengths, or an instant and a length.
    Timer(usize, TimerStart),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TimerStart {
    Length,
    Instant,
}

impl Waits {
    /// Room for all there will be.
    pub(super) fn new() -> Self {
        Self { pending: Vec::with_capacity(PENDING_MAX), stopped: Vec::with_capacity(PENDING_MAX) }
    }

    /// Notes whether a stop of its group holds the thread, and publishes how many are held.
    pub(super) fn set_stopped(&mut self, thread: i32, hold: Hold, page: &Page) {
        if self.stopped.is_empty() && hold == Hold::None {
            return;
        }
        self.stopped.retain(|other| *other != thread);
        if hold == Hold::Group && self.stopped.len() < PENDING_MAX {
            self.stopped.push(thread);
        }
        page.counter(Counter::Stopped).store(self.stopped.len() as u64, Ordering::SeqCst);
    }

    /// The thread has ended or executes another program.
    pub(super) fn forget(&mut self, thread: i32) {
        self.pending.retain(|(waiting, _)| *waiting != thread);
    }

    /// A thread is about to make a call that the filter hands over.
    pub(super) fn begin(&mut self, thread: i32, page: &Page) {
        let request = match self.change(thread, page) {
            Some(()) => {
                page.counter(Counter::Waits).fetch_add(1, Ordering::Relaxed);
                libc::PTRACE_SYSCALL
            }
            None => libc::PTRACE_CONT,
        };
        let _ = trace(request, thread, 0, 0);
    }

    /// A call has returned: the registers that the kernel leaves alone are as the program left them.
    pub(super) fn end(&mut self, thread: i32) {
        if let Some(at) = self.pending.iter().position(|(waiting, _)| *waiting == thread) {
            let (_, before) = self.pending.swap_remove(at);
            if let Ok(mut now) = registers(thread) {
                (now.rsi, now.rdx, now.r10, now.r8) = (before.rsi, before.rdx, before.r10, before.r8);
                let _ = set_registers(thread, &now);
            }
        }
        let _ = trace(libc::PTRACE_CONT, thread, 0, 0);
    }

    fn change(&mut self, thread: i32, page: &Page) -> Option<()> {
        self.forget(thread);
        if self.pending.len() == PENDING_MAX {
            return None;
        }
        let before = registers(thread).ok()?;
        let (time, argument) = time_of(thread, &before)?;
        let mut changed = before;
        let value = match argument {
            Argument::Rdx => &mut changed.rdx,
            Argument::R10 => &mut changed.r10,
            Argument::R8 => &mut changed.r8,
        };
        *value = match time {
            Time::Millis => scaled_millis(*value, &page.record(MONOTONIC))?,
            _ => in_memory(thread, *value, before.rsp, time, page)?,
        };
        set_registers(thread, &changed).ok()?;
        self.pending.push((thread, before));
        Some(())
    }
}

/// The register that holds a time or points to it.
#[derive(Clone, Copy)]
enum Argument {
    Rdx,
    R10,
    R8,
}

const WALL: usize = 0;
const MONOTONIC: usize = 1;

fn time_of(thread: i32, call: &libc::user_regs_struct) -> Option<(Time, Argument)> {
    let length = Time::Length(MONOTONIC);
    Some(match call.orig_rax as libc::c_long {
        libc::SYS_futex => {
            let clock = if call.rsi & libc::FUTEX_CLOCK_REALTIME as u64 != 0 { WALL } else { MONOTONIC };
            let is_instant = call.rsi & 0x7f == libc::FUTEX_WAIT_BITSET as u64;
            (if is_instant { Time::Instant(clock) } else { Time::Length(clock) }, Argument::R10)
        }
        libc::SYS_epoll_wait | libc::SYS_epoll_pwait => (Time::Millis, Argument::R10),
        libc::SYS_poll => (Time::Millis, Argument::Rdx),
        libc::SYS_clock_nanosleep => {
            let clock = record_of(call.rdi as libc::clockid_t)?;
            let is_instant = call.rsi & libc::TIMER_ABSTIME as u64 != 0;
            (if is_instant { Time::Instant(clock) } else { Time::Length(clock) }, Argument::Rdx)
        }
        libc::SYS_timerfd_settime => {
            let clock = record_of(timer_clock(thread, call.rdi)?)?;
            let is_instant = call.rsi & libc::TFD_TIMER_ABSTIME as u64 != 0;
            let start = if is_instant { TimerStart::Instant } else { TimerStart::Length };
            (Time::Timer(clock, start), Argument::Rdx)
        }
        libc::SYS_ppoll | libc::SYS_rt_sigtimedwait => (length, Argument::Rdx),
        libc::SYS_pselect6 => (length, Argument::R8),
        libc::SYS_select => (Time::Timeval, Argument::R8),
        libc::SYS_epoll_pwait2 => (length, Argument::R10),
        _ => return None,
    })
}

/// The record of a clock id, also of the alarm clocks.
fn record_of(clock: libc::clockid_t) -> Option<usize> {
    let clock = match clock {
        libc::CLOCK_REALTIME_ALARM => libc::CLOCK_REALTIME,
        libc::CLOCK_BOOTTIME_ALARM => libc::CLOCK_BOOTTIME,
        other => other,
    };
    CLOCKS.iter().position(|id| *id == clock)
}

/// The clock of a timer descriptor, from what `/proc` tells of it.
fn timer_clock(thread: i32, fd: u64) -> Option<libc::clockid_t> {
    let mut path = [0u8; 64];
    write!(&mut path[..], "/proc/{thread}/fdinfo/{fd}\0").ok()?;
    let mut text = [0u8; 512];
    // SAFETY: the path ends with a zero byte, and the buffer is as long as is said.
    let bytes = unsafe {
        let file = libc::open(path.as_ptr().cast(), libc::O_RDONLY | libc::O_CLOEXEC);
        let bytes = libc::read(file, text.as_mut_ptr().cast(), text.len());
        libc::close(file);
        usize::try_from(bytes).ok()?
    };
    let mut lines = text[..bytes].split(|byte| *byte == b'\n');
    let line = lines.find_map(|line| line.strip_prefix(b"clockid:"))?;
    std::str::from_utf8(line).ok()?.trim().parse().ok()
}

/// A length by a clock of this speed, in true time, rounded up: a wait never ends early.
fn scaled(length: u64, record: &Record) -> u64 {
    let speed = u128::from(record.speed_after.max(SPEED_ONE / 100));
    u64::try_from((u128::from(length) << 32).div_ceil(speed)).unwrap_or(u64::MAX)
}

fn scaled_millis(millis: u64, record: &Record) -> Option<u64> {
    if record.speed_after == SPEED_ONE {
        return None;
    }
    let length = u64::from(u32::try_from(i32::try_from(millis as u32).ok()?).ok()?);
    Some(scaled(length, record).min(i32::MAX as u64))
}

/// Writes the changed time below the stack of the thread and returns its address; `None` if nothing is to be changed.
fn in_memory(thread: i32, address: u64, stack: u64, time: Time, page: &Page) -> Option<u64> {
    if address == 0 {
        return None;
    }
    let bytes = if matches!(time, Time::Timer(..)) { 32 } else { 16 };
    let mut words = [0u8; 32];
    if !read(thread, address, &mut words[..bytes]) {
        return None;
    }
    let (first, second) = words.split_at_mut(16);
    match time {
        Time::Millis => return None,
        Time::Length(clock) => rewrite(first, 1, |length| scaled_where(length, &page.record(clock)))?,
        Time::Timeval => rewrite(first, 1000, |length| scaled_where(length, &page.record(MONOTONIC)))?,
        Time::Instant(clock) => rewrite(first, 1, |instant| when(instant, &page.record(clock)))?,
        Time::Timer(clock, start) => {
            let record = page.record(clock);
            // An interval comes first; an end of zero disarms the timer and stays zero.
            let repeated = rewrite(first, 1, |length| scaled_where(length, &record));
            let began = rewrite(second, 1, |time| match (start, time) {
                (_, 0) => None,
                (TimerStart::Length, length) => scaled_where(length, &record),
                (TimerStart::Instant, instant) => when(instant, &record),
            });
            repeated.or(began)?;
        }
    }
    let place = stack.wrapping_sub(RED_ZONE + 64) & !15;
    write(thread, place, &words[..bytes]).then_some(place)
}

fn scaled_where(length: u64, record: &Record) -> Option<u64> {
    (record.speed_after != SPEED_ONE).then(|| scaled(length, record))
}

/// The true time at which the clock shows this; `None` if it is true itself.
fn when(shown: u64, record: &Record) -> Option<u64> {
    if record.speed_after == SPEED_ONE && record.after == record.boundary {
        return None;
    }
    let ahead = shown.saturating_sub(record.after);
    // One that stands still: see the head of this file.
    Some(record.when(shown).unwrap_or_else(|| record.boundary.saturating_add(scaled(ahead, record))).max(1))
}

/// Changes seconds and a fraction, in units of so many nanoseconds, in place.
fn rewrite(pair: &mut [u8], unit: u64, change: impl FnOnce(u64) -> Option<u64>) -> Option<()> {
    let word = |bytes: &[u8]| i64::from_le_bytes(bytes.try_into().unwrap_or_default());
    let (seconds, fraction) = (word(&pair[..8]), word(&pair[8..]));
    let (seconds, fraction) = (u64::try_from(seconds).ok()?, u64::try_from(fraction).ok()?);
    if fraction >= SECOND / unit {
        return None;
    }
    let time = change(seconds.saturating_mul(SECOND).saturating_add(fraction * unit))?;
    let time = time.min(i64::MAX as u64);
    pair[..8].copy_from_slice(&(time / SECOND).to_le_bytes());
    pair[8..].copy_from_slice(&(time % SECOND).div_ceil(unit).min(SECOND / unit - 1).to_le_bytes());
    Some(())
}

// ---- the filter -----------------------------------------------------------------------------------------------------

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const AND: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
/// AUDIT_ARCH_X86_64.
const X86_64: u32 = 0xc000_003e;

const fn op(code: u16, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt: 0, jf: 0, k }
}

const fn jump(code: u16, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

const ALLOW: u8 = 28;
const HAND_OVER: u8 = 27;

/// A jump from line `from` to line `to` where the system call is this one.
const fn call(from: u8, number: libc::c_long, to: u8) -> libc::sock_filter {
    jump(EQUAL, number as u32, to - from - 1, 0)
}

/// The lower half of an argument of the call.
const fn argument(index: u32) -> libc::sock_filter {
    op(LOAD, 16 + 8 * index)
}

static FILTER: [libc::sock_filter; 29] = [
    op(LOAD, 4),
    jump(EQUAL, X86_64, 0, ALLOW - 2),
    op(LOAD, 0),
    call(3, libc::SYS_futex, 15),
    call(4, libc::SYS_epoll_wait, 21),
    call(5, libc::SYS_epoll_pwait, 21),
    call(6, libc::SYS_poll, 24),
    call(7, libc::SYS_clock_nanosleep, HAND_OVER),
    call(8, libc::SYS_timerfd_settime, HAND_OVER),
    call(9, libc::SYS_ppoll, HAND_OVER),
    call(10, libc::SYS_pselect6, HAND_OVER),
    call(11, libc::SYS_select, HAND_OVER),
    call(12, libc::SYS_epoll_pwait2, HAND_OVER),
    call(13, libc::SYS_rt_sigtimedwait, HAND_OVER),
    op(RETURN, libc::SECCOMP_RET_ALLOW),
    // A futex: only one that waits, and for a time.
    argument(1),
    op(AND, 0x7f),
    jump(EQUAL, libc::FUTEX_WAIT as u32, 1, 0),
    jump(EQUAL, libc::FUTEX_WAIT_BITSET as u32, 0, ALLOW - 19),
    argument(3),
    jump(EQUAL, 0, ALLOW - 21, HAND_OVER - 21),
    // Milliseconds: only from 1 on; 0 does not wait, -1 waits for ever.
    argument(3),
    jump(EQUAL, 0, ALLOW - 23, 0),
    jump(AT_LEAST, 1 << 31, ALLOW - 24, HAND_OVER - 24),
    argument(2),
    jump(EQUAL, 0, ALLOW - 26, 0),
    jump(AT_LEAST, 1 << 31, ALLOW - 27, HAND_OVER - 27),
    op(RETURN, libc::SECCOMP_RET_TRACE),
    op(RETURN, libc::SECCOMP_RET_ALLOW),
];

/// Has the waits of this process, and of all that it starts, handed over. Called between fork and exec, once the process is
/// traced: without a tracer the calls would fail.
pub(super) fn install_filter() -> io::Result<()> {
    let program = libc::sock_fprog { len: FILTER.len() as u16, filter: FILTER.as_ptr().cast_mut() };
    let install = || {
        // SAFETY: the program is live, and the kernel copies it.
        unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0 }
    };
    // Root of the sandbox may; whoever else may once it has given up gaining rights by exec.
    // SAFETY: sets an attribute of this process.
    if install() || (unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } == 0 && install()) {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn record(speed_after: u64) -> Record {
        Record { boundary: 1_000, after: 2_000, speed_after, ..Record::TRUE }
    }

    #[test]
    fn lengths_are_divided_by_the_speed_and_rounded_up() {
        assert_eq!(scaled(1_000, &record(2 * SPEED_ONE)), 500);
        assert_eq!(scaled(1_001, &record(2 * SPEED_ONE)), 501);
        assert_eq!(scaled(1_000, &record(SPEED_ONE / 2)), 2_000);
        // One that stands still counts as a hundredth.
        assert!((99_999..=100_001).contains(&scaled(1_000, &record(0))));
        assert_eq!(scaled_millis(1, &record(2 * SPEED_ONE)), Some(1));
        assert_eq!(scaled_millis(u64::from(u32::MAX), &record(2 * SPEED_ONE)), None);
        assert_eq!(scaled_millis(7, &record(SPEED_ONE)), None);
    }

    #[test]
    fn a_timespec_is_changed_in_place_and_a_wrong_one_is_not() {
        let pair = |seconds: i64, nanos: i64| [seconds.to_le_bytes(), nanos.to_le_bytes()].concat();
        let mut time = pair(3, 500_000_000);
        rewrite(&mut time, 1, |ns| Some(ns / 2)).unwrap();
        assert_eq!(time, pair(1, 750_000_000));
        for (seconds, nanos) in [(-1, 0), (0, 1_000_000_000), (0, -1)] {
            let mut wrong = pair(seconds, nanos);
            assert_eq!(rewrite(&mut wrong, 1, |_| Some(1)), None);
            assert_eq!(wrong, pair(seconds, nanos));
        }
    }

    #[test]
    fn every_jump_of_the_filter_stays_inside() {
        assert_eq!(FILTER[usize::from(ALLOW)].k, libc::SECCOMP_RET_ALLOW);
        assert_eq!(FILTER[usize::from(HAND_OVER)].k, libc::SECCOMP_RET_TRACE);
        let targets = FILTER
            .iter()
            .enumerate()
            .flat_map(|(at, op)| [op.jt, op.jf].map(|jump| at + 1 + usize::from(jump)));
        assert!(targets.take(2 * 27).all(|to| to < FILTER.len()));
    }
}

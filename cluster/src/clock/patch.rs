//! Giving one program clocks of its own, at the moment when it has been loaded and has not executed anything yet.
//!
//! Invariant: the registers and the memory of the program are as the kernel made them, but for two new pages (code, and
//! the control page behind it) and the symbol table of its private copy of the vDSO. Runs in the tracer, which was forked
//! from a process with threads: it allocates nothing and takes no lock.
//! Reference: ptrace(2), vdso(7).

use std::io::Write;

use super::page::BYTES;
use super::vdso::Vdso;

/// What a tracer knows before it is forked.
pub(super) struct Kit {
    pub(super) vdso: Vdso,
    pub(super) code: &'static [u8],
    /// The descriptor of the control page, in the tracer.
    pub(super) page_fd: i32,
}

/// Why a program keeps the host's clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It was killed meanwhile.
    Gone,
    /// This step failed with this error number.
    Step(Step, i32),
}

/// What is done to a program, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Step {
    /// Waiting until it has left execve.
    Exec = 1,
    /// Finding its vDSO.
    Vdso,
    /// Mapping the pages.
    Map,
    /// Opening and mapping the control page.
    Page,
    /// Writing the code.
    Code,
    /// Changing the symbols.
    Symbols,
}

impl Step {
    /// What a number of a counter means, in words.
    pub(super) fn in_words(number: u64) -> &'static str {
        match number {
            1 => "waiting for the end of execve",
            2 => "finding its vDSO (is it a 32-bit program?)",
            3 => "mapping the code",
            4 => "mapping the control page",
            5 => "writing the code",
            _ => "changing the symbols of its vDSO",
        }
    }
}

type Outcome<T> = Result<T, Refusal>;

fn last(step: Step) -> Refusal {
    match errno() {
        libc::ESRCH => Refusal::Gone,
        error => Refusal::Step(step, error),
    }
}

pub(super) fn errno() -> i32 {
    // SAFETY: the location of this thread's errno is always valid.
    unsafe { *libc::__errno_location() }
}

/// Replaces the clock functions of `pid`, which is in the stop that follows an exec. Leaves it stopped.
pub(super) fn patch(pid: i32, kit: &Kit) -> Outcome<()> {
    let mut program = Stopped { pid, base: 0, held: 0 };
    program.leave_execve()?;
    let result = program.saved_registers().and_then(|saved| {
        let result = program.change(kit);
        set_registers(pid, &saved)?;
        result
    });
    program.send_held_signals();
    result
}

/// A program that executes only what it is told to.
struct Stopped {
    pid: i32,
    base: u64,
    /// Signals that arrived meanwhile, as a bit set.
    held: u64,
}

impl Stopped {
    /// From the exec event to the end of the system call: before that the kernel would overwrite a register.
    fn leave_execve(&mut self) -> Outcome<()> {
        loop {
            trace(libc::PTRACE_SYSCALL, self.pid, 0, 0).map_err(|()| last(Step::Exec))?;
            match self.stop()? {
                SYSCALL_STOP => return Ok(()),
                signal => self.hold(signal),
            }
        }
    }

    fn saved_registers(&self) -> Outcome<libc::user_regs_struct> {
        registers(self.pid).map_err(|()| last(Step::Exec))
    }

    fn change(&mut self, kit: &Kit) -> Outcome<()> {
        let pid = self.pid;
        self.base = vdso_address(pid).ok_or(Refusal::Step(Step::Vdso, libc::ENOENT))?;
        let mut head = [0u8; 512];
        if !read(pid, self.base, &mut head) || !kit.vdso.is_at_home(&head) {
            return Err(Refusal::Step(Step::Vdso, libc::ENOEXEC));
        }
        let call = |program: &mut Self, step, number, arguments| {
            program.call(self_syscall(program.base, kit), step, number, arguments)
        };
        let (writable, private) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let code = call(
            self,
            Step::Map,
            libc::SYS_mmap,
            [0, 2 * BYTES as u64, writable as u64, private as u64, NO_FD, 0],
        )?;
        let page = code + BYTES as u64;
        let mut path = [0u8; 64];
        // SAFETY: getpid always succeeds.
        let written = write!(&mut path[..], "/proc/{}/fd/{}\0", unsafe { libc::getpid() }, kit.page_fd);
        if written.is_err() || !write(pid, code, &path) {
            return Err(Refusal::Step(Step::Page, libc::EFAULT));
        }
        let open = (libc::O_RDWR | libc::O_CLOEXEC) as u64;
        let fd = call(self, Step::Page, libc::SYS_openat, [AT_FDCWD, code, open, 0, 0, 0])?;
        let shared = (libc::MAP_SHARED | libc::MAP_FIXED) as u64;
        call(self, Step::Page, libc::SYS_mmap, [page, BYTES as u64, writable as u64, shared, fd, 0])?;
        call(self, Step::Page, libc::SYS_close, [fd, 0, 0, 0, 0, 0])?;

        let original = (self.base + kit.vdso.clock_gettime).to_le_bytes();
        if !write(pid, code, kit.code) || !write(pid, code, &original) {
            return Err(Refusal::Step(Step::Code, libc::EFAULT));
        }
        let executable = (libc::PROT_READ | libc::PROT_EXEC) as u64;
        call(self, Step::Code, libc::SYS_mprotect, [code, BYTES as u64, executable, 0, 0, 0])?;
        for (value, entry) in &kit.vdso.symbols {
            let bias = self.base.wrapping_sub(kit.vdso.linked_at);
            let replaced = code.wrapping_add(*entry as u64).wrapping_sub(bias);
            trace(libc::PTRACE_POKEDATA, pid, self.base + value, replaced)
                .map_err(|()| last(Step::Symbols))?;
        }
        Ok(())
    }

    /// Has the program make a system call, at this `syscall` instruction.
    fn call(&mut self, at: u64, step: Step, number: libc::c_long, arguments: [u64; 6]) -> Outcome<u64> {
        let pid = self.pid;
        let mut registers = registers(pid).map_err(|()| last(step))?;
        let [a, b, c, d, e, f] = arguments;
        registers.rip = at;
        registers.rax = number as u64;
        registers.orig_rax = u64::MAX;
        (registers.rdi, registers.rsi, registers.rdx) = (a, b, c);
        (registers.r10, registers.r8, registers.r9) = (d, e, f);
        set_registers(pid, &registers)?;
        loop {
            trace(libc::PTRACE_SINGLESTEP, pid, 0, 0).map_err(|()| last(step))?;
            match self.stop()? {
                libc::SIGTRAP => break,
                signal => self.hold(signal),
            }
        }
        let result = self::registers(pid).map_err(|()| last(step))?.rax as i64;
        if (-4095..0).contains(&result) {
            Err(Refusal::Step(step, -result as i32))
        } else {
            Ok(result as u64)
        }
    }

    /// Waits for the next stop: a signal, or [`SYSCALL_STOP`], or 0 for a stop of the whole group.
    fn stop(&self) -> Outcome<i32> {
        let mut status = 0;
        loop {
            // SAFETY: the pointer is valid for the call.
            let waited = unsafe { libc::waitpid(self.pid, &raw mut status, libc::__WALL) };
            if waited == self.pid {
                break;
            }
            if errno() != libc::EINTR {
                return Err(Refusal::Gone);
            }
        }
        if !libc::WIFSTOPPED(status) {
            return Err(Refusal::Gone);
        }
        let is_group_stop = status >> 16 == libc::PTRACE_EVENT_STOP;
        Ok(if is_group_stop { 0 } else { libc::WSTOPSIG(status) })
    }

    fn hold(&mut self, signal: i32) {
        if (1..64).contains(&signal) {
            self.held |= 1 << signal;
        }
    }

    fn send_held_signals(&self) {
        for signal in (1..64).filter(|signal| self.held & (1 << signal) != 0) {
            // SAFETY: a plain system call on a process that is stopped, so that its number is its own.
            unsafe { libc::kill(self.pid, signal) };
        }
    }
}

fn self_syscall(base: u64, kit: &Kit) -> u64 {
    base + kit.vdso.syscall
}

const NO_FD: u64 = u64::MAX;
const AT_FDCWD: u64 = libc::AT_FDCWD as i64 as u64;
/// How a stop at the end of a system call shows (PTRACE_O_TRACESYSGOOD).
pub(super) const SYSCALL_STOP: i32 = libc::SIGTRAP | 0x80;

/// One ptrace request whose result is only success.
pub(super) fn trace(request: libc::c_uint, pid: i32, address: u64, data: u64) -> Result<(), ()> {
    // SAFETY: none of the requests that are made through this writes to memory of this process.
    let result = unsafe { libc::ptrace(request, pid, address, data) };
    if result < 0 { Err(()) } else { Ok(()) }
}

pub(super) fn registers(pid: i32) -> Result<libc::user_regs_struct, ()> {
    // SAFETY: all zeroes is a valid value, and the kernel fills in exactly this structure.
    unsafe {
        let mut registers: libc::user_regs_struct = std::mem::zeroed();
        let result = libc::ptrace(libc::PTRACE_GETREGS, pid, 0, &raw mut registers);
        if result < 0 { Err(()) } else { Ok(registers) }
    }
}

pub(super) fn set_registers(pid: i32, registers: &libc::user_regs_struct) -> Outcome<()> {
    // SAFETY: the kernel reads exactly this structure.
    let result = unsafe { libc::ptrace(libc::PTRACE_SETREGS, pid, 0, std::ptr::from_ref(registers)) };
    if result < 0 { Err(last(Step::Exec)) } else { Ok(()) }
}

/// Reads memory of a process; false if not all of it is there.
pub(super) fn read(pid: i32, address: u64, into: &mut [u8]) -> bool {
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let remote = libc::iovec { iov_base: address as *mut _, iov_len: into.len() };
    // SAFETY: the local vector covers `into`; the kernel checks the remote one.
    unsafe {
        libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0) == into.len() as isize
    }
}

/// Writes memory of a process; false if not all of it can be written.
pub(super) fn write(pid: i32, address: u64, from: &[u8]) -> bool {
    let local = libc::iovec { iov_base: from.as_ptr().cast_mut().cast(), iov_len: from.len() };
    let remote = libc::iovec { iov_base: address as *mut _, iov_len: from.len() };
    // SAFETY: the local vector covers `from` and is only read; the kernel checks the remote one.
    unsafe {
        libc::process_vm_writev(pid, &raw const local, 1, &raw const remote, 1, 0) == from.len() as isize
    }
}

/// Where the kernel mapped the vDSO of a process.
fn vdso_address(pid: i32) -> Option<u64> {
    let mut path = [0u8; 32];
    write!(&mut path[..], "/proc/{pid}/auxv\0").ok()?;
    let mut vector = [0u8; 1024];
    // SAFETY: the path ends with a zero byte, and the buffer is as long as is said.
    let bytes = unsafe {
        let fd = libc::open(path.as_ptr().cast(), libc::O_RDONLY | libc::O_CLOEXEC);
        let bytes = libc::read(fd, vector.as_mut_ptr().cast(), vector.len());
        libc::close(fd);
        usize::try_from(bytes).ok()?
    };
    let word = |pair: &[u8], at: usize| {
        let mut word = [0u8; 8];
        word.copy_from_slice(&pair[at..at + 8]);
        u64::from_le_bytes(word)
    };
    let pairs = vector[..bytes].chunks_exact(16);
    pairs
        .map(|pair| (word(pair, 0), word(pair, 8)))
        .find(|(key, _)| *key == libc::AT_SYSINFO_EHDR)
        .map(|p| p.1)
}

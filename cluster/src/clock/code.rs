//! The machine code that stands in for the clock functions of the vDSO in a node's process.
//!
//! Invariant: it is position independent, touches only its own page, the control page that is mapped right behind it and
//! what the caller hands in, and never makes a system call of its own: the true time comes from the kernel's own function,
//! whose address is written into the first word of each copy. A reading is a function of the true time and of one version
//! of the control page ([`super::page`]); where the version changed half-way it is taken again.
//! Lacks: CLOCK_MONOTONIC_RAW, CPU-time clocks and `clock_getres`, which stay the kernel's.
//! Reference: vdso(7), System V ABI for AMD64.

use std::arch::global_asm;

// Registers of the first function: r15 the clock id, r12 the caller's timespec, rsi the true time in nanoseconds, rdi the
// control page, r14 its version, r13 the record's offset, rcx the record, rbx the time since its boundary, rax the time
// since the origin of the line that holds, r10 what the clock shows at that origin, r11 its speed.
global_asm!(
    ".pushsection .rodata.raftcheck_clock, \"a\"",
    ".balign 64",
    ".globl raftcheck_clock_code",
    ".hidden raftcheck_clock_code",
    "raftcheck_clock_code:",
    ".Lraftcheck_clock_start:",
    "    .quad 0",                // the kernel's own clock_gettime
    ".Lraftcheck_clock_records:", // the record of each clock id, 255: left alone
    "    .byte 0, 1, 255, 255, 255, 0, 1, 2, 255, 255, 255, 3",
    ".balign 16",
    ".globl raftcheck_clock_gettime",
    ".hidden raftcheck_clock_gettime",
    "raftcheck_clock_gettime:",
    ".Lraftcheck_clock_gettime:",
    "    push rbx",
    "    push r12",
    "    push r13",
    "    push r14",
    "    push r15",
    "    mov r15d, edi",
    "    mov r12, rsi",
    // The true time is read between two looks at the version: whoever was off the processor for longer begins again.
    "2:  lea rdi, [rip + .Lraftcheck_clock_start + 4096]",
    "    mov r14, qword ptr [rdi]",
    "    mov edi, r15d",
    "    mov rsi, r12",
    "    call qword ptr [rip + .Lraftcheck_clock_start]",
    "    test eax, eax",
    "    jnz 9f",
    "    test r12, r12",
    "    jz 9f",
    "    cmp r15d, 11",
    "    ja 9f",
    "    lea rcx, [rip + .Lraftcheck_clock_records]",
    "    movzx r13d, byte ptr [rcx + r15]",
    "    cmp r13d, 255",
    "    je 9f",
    "    shl r13d, 6",
    "    imul rsi, qword ptr [r12], 1000000000",
    "    add rsi, qword ptr [r12 + 8]",
    "    lea rdi, [rip + .Lraftcheck_clock_start + 4096]",
    "    mov ecx, r14d",
    "    and ecx, 1",
    "    shl ecx, 8",
    "    lea rcx, [rdi + rcx + 64]",
    "    add rcx, r13",
    "    mov rbx, rsi",
    "    sub rbx, qword ptr [rcx]",
    "    js 4f",
    "    mov r10, qword ptr [rcx + 32]",
    "    mov r11, qword ptr [rcx + 40]",
    "    mov rax, rbx",
    "    mov r9, qword ptr [rcx + 48]",
    "    test r9, r9",
    "    jz 3f",
    "    xor edx, edx",
    "    div r9", // every other period of a strobe is elsewhere
    "    test al, 1",
    "    mov rax, rbx",
    "    jz 3f",
    "    add r10, qword ptr [rcx + 56]",
    "    jmp 3f",
    "4:  mov r10, qword ptr [rcx + 16]", // before the boundary: as it was
    "    mov r11, qword ptr [rcx + 24]",
    "    mov rax, rsi",
    "    sub rax, qword ptr [rcx + 8]",
    "3:  cmp r14, qword ptr [rdi]",
    "    jne 2b",
    "    imul r11",
    "    shrd rax, rdx, 32",
    "    add r10, rax",
    "    test rbx, rbx",
    "    js 5f",
    "    shr r13d, 3",
    "    cmp qword ptr [rdi + r13 + 2048], r14",
    "    je 5f",
    "    mov qword ptr [rdi + r13 + 2048], r14", // this version was read by
    "5:  mov rax, r10",                          // division by 10^9 as a multiplication
    "    shr rax, 9",
    "    movabs rdx, 19342813113834067",
    "    mul rdx",
    "    shr rdx, 11",
    "    mov qword ptr [r12], rdx",
    "    imul rdx, rdx, 1000000000",
    "    sub r10, rdx",
    "    mov qword ptr [r12 + 8], r10",
    "    xor eax, eax",
    "9:  pop r15",
    "    pop r14",
    "    pop r13",
    "    pop r12",
    "    pop rbx",
    "    ret",
    ".balign 16",
    ".globl raftcheck_clock_gettimeofday",
    ".hidden raftcheck_clock_gettimeofday",
    "raftcheck_clock_gettimeofday:",
    "    push rbx",
    "    push r12",
    "    sub rsp, 24",
    "    mov rbx, rdi",
    "    test rsi, rsi",
    "    jz 1f",
    "    mov qword ptr [rsi], 0", // the kernel's time zone, which nobody sets
    "1:  test rbx, rbx",
    "    jz 2f",
    "    xor edi, edi",
    "    mov rsi, rsp",
    "    call .Lraftcheck_clock_gettime",
    "    test eax, eax",
    "    jnz 3f",
    "    mov rax, qword ptr [rsp]",
    "    mov qword ptr [rbx], rax",
    "    mov eax, dword ptr [rsp + 8]",
    "    xor edx, edx",
    "    mov ecx, 1000",
    "    div ecx",
    "    mov qword ptr [rbx + 8], rax",
    "2:  xor eax, eax",
    "3:  add rsp, 24",
    "    pop r12",
    "    pop rbx",
    "    ret",
    ".balign 16",
    ".globl raftcheck_clock_time",
    ".hidden raftcheck_clock_time",
    "raftcheck_clock_time:",
    "    push rbx",
    "    sub rsp, 16",
    "    mov rbx, rdi",
    "    xor edi, edi",
    "    mov rsi, rsp",
    "    call .Lraftcheck_clock_gettime",
    "    mov rax, qword ptr [rsp]",
    "    test rbx, rbx",
    "    jz 1f",
    "    mov qword ptr [rbx], rax",
    "1:  add rsp, 16",
    "    pop rbx",
    "    ret",
    ".globl raftcheck_clock_end",
    ".hidden raftcheck_clock_end",
    "raftcheck_clock_end:",
    ".popsection",
);

unsafe extern "C" {
    static raftcheck_clock_code: u8;
    static raftcheck_clock_gettime: u8;
    static raftcheck_clock_gettimeofday: u8;
    static raftcheck_clock_time: u8;
    static raftcheck_clock_end: u8;
}

/// The code, with zero in its first word.
pub(super) fn bytes() -> &'static [u8] {
    let (start, end) = (&raw const raftcheck_clock_code, &raw const raftcheck_clock_end);
    // SAFETY: both are labels of one section of this program that is never written, in this order.
    unsafe { std::slice::from_raw_parts(start, end as usize - start as usize) }
}

/// Where in [`bytes`] the function begins that stands in for this symbol of the vDSO.
pub(super) fn entry(symbol: &[u8]) -> Option<usize> {
    let label = match symbol.strip_prefix(b"__vdso_").unwrap_or(symbol) {
        b"clock_gettime" => &raw const raftcheck_clock_gettime,
        b"gettimeofday" => &raw const raftcheck_clock_gettimeofday,
        b"time" => &raw const raftcheck_clock_time,
        _ => return None,
    };
    Some(label as usize - &raw const raftcheck_clock_code as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_fits_its_page_and_has_three_entries() {
        assert!(bytes().len() < 2048, "{}", bytes().len());
        assert_eq!(bytes()[..8], [0; 8]);
        let entries = ["__vdso_clock_gettime", "clock_gettime", "__vdso_gettimeofday", "time"]
            .map(|name| entry(name.as_bytes()).unwrap());
        assert_eq!(entries[0], entries[1]);
        assert!(entries[1] < entries[2] && entries[2] < entries[3], "{entries:?}");
        // Each begins with push rbx.
        assert!(entries.iter().all(|at| bytes()[*at] == 0x53));
        assert_eq!(entry(b"__vdso_getcpu"), None);
        assert_eq!(entry(b"__vdso_clock_getres"), None);
    }
}

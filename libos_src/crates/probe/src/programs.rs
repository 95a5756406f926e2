//! The probe's programs, in position-independent machine code.
//!
//! Each starts with RDI = a shared word, RSI = the host's number, RDX = the address that a patched
//! system call jumps to, RSP = a stack.

use core::arch::global_asm;

/// The code of the program with this name.
pub(crate) fn find(name: &[u8]) -> Option<&'static [u8]> {
    let all: [(&[u8], unsafe extern "C" fn(), unsafe extern "C" fn()); 19] = [
        (b"hello", probe_hello, probe_hello_end),
        (b"trap", probe_trap, probe_trap_end),
        (b"patched", probe_patched, probe_patched_end),
        (b"answered", probe_answered, probe_answered_end),
        (b"yields", probe_yields, probe_yields_end),
        (b"clock", probe_clock, probe_clock_end),
        (b"ocall", probe_ocall, probe_ocall_end),
        (b"faults", probe_faults, probe_faults_end),
        (b"protection", probe_protection, probe_protection_end),
        (b"pages", probe_pages, probe_pages_end),
        (b"lengths", probe_lengths, probe_lengths_end),
        (b"leaver", probe_leaver, probe_leaver_end),
        (b"threads", probe_threads, probe_threads_end),
        (b"vectors", probe_vectors, probe_vectors_end),
        (b"unused", probe_unused, probe_unused_end),
        (b"interrupts", probe_interrupts, probe_interrupts_end),
        (b"looks", probe_looks, probe_looks_end),
        (b"defect", probe_defect, probe_defect_end),
        (b"crash", probe_crash, probe_crash_end),
    ];
    let (_, start, end) = all.iter().find(|(known, _, _)| *known == name)?;
    let (start, end) = (*start as usize, *end as usize);
    // SAFETY: both labels are in this binary's text, in this order, with only code between them.
    Some(unsafe { core::slice::from_raw_parts(start as *const u8, end - start) })
}

unsafe extern "C" {
    fn probe_hello();
    fn probe_hello_end();
    fn probe_trap();
    fn probe_trap_end();
    fn probe_patched();
    fn probe_patched_end();
    fn probe_answered();
    fn probe_answered_end();
    fn probe_yields();
    fn probe_yields_end();
    fn probe_clock();
    fn probe_clock_end();
    fn probe_ocall();
    fn probe_ocall_end();
    fn probe_faults();
    fn probe_faults_end();
    fn probe_protection();
    fn probe_protection_end();
    fn probe_pages();
    fn probe_pages_end();
    fn probe_lengths();
    fn probe_lengths_end();
    fn probe_leaver();
    fn probe_leaver_end();
    fn probe_threads();
    fn probe_threads_end();
    fn probe_vectors();
    fn probe_vectors_end();
    fn probe_unused();
    fn probe_unused_end();
    fn probe_interrupts();
    fn probe_interrupts_end();
    fn probe_looks();
    fn probe_looks_end();
    fn probe_defect();
    fn probe_defect_end();
    fn probe_crash();
    fn probe_crash_end();
}

global_asm!(include_str!("programs.s"));

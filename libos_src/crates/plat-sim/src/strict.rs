//! CPUID and RDTSC in the enclave raise #UD, as on hardware with SGX1.
//!
//! Linux can make both fault, for a whole thread. Where the host uses them itself (the vDSO reads
//! the counter) they are then carried out for it.

use std::arch::x86_64::{__cpuid_count, __rdtscp, _rdtsc};

use libc::c_int;
use platform::Result;

use crate::{enclave::Shared, memory::host_error, signals::Frame};

/// `arch_prctl` (`asm/prctl.h`).
const ARCH_SET_CPUID: i32 = 0x1012;

const CPUID: [u8; 2] = [0x0f, 0xa2];
const RDTSC: [u8; 2] = [0x0f, 0x31];
const RDTSCP: [u8; 3] = [0x0f, 0x01, 0xf9];

/// Whether an instruction that raised #GP is one of those that SGX forbids.
pub(crate) fn is_illegal(bytes: [u8; 3]) -> bool {
    bytes.starts_with(&CPUID) || bytes.starts_with(&RDTSC) || bytes == RDTSCP
}

/// Makes both instructions fault on the calling thread.
pub(crate) fn arm() -> Result<()> {
    set_cpuid(false)?;
    set_counter(false)
}

/// Allows both again.
pub(crate) fn disarm() {
    // A thread that is about to end has nothing to do about a failure.
    let _ = set_cpuid(true);
    let _ = set_counter(true);
}

fn set_cpuid(allowed: bool) -> Result<()> {
    // SAFETY: only changes whether CPUID faults on this thread.
    let done = unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_SET_CPUID, i64::from(allowed)) };
    if done == 0 {
        Ok(())
    } else {
        Err(host_error("make CPUID fault (strict mode)"))
    }
}

fn set_counter(allowed: bool) -> Result<()> {
    let mode = if allowed {
        libc::PR_TSC_ENABLE
    } else {
        libc::PR_TSC_SIGSEGV
    };
    // SAFETY: only changes whether RDTSC faults on this thread.
    let done = unsafe { libc::prctl(libc::PR_SET_TSC, mode, 0, 0, 0) };
    if done == 0 {
        Ok(())
    } else {
        Err(host_error("make RDTSC fault (strict mode)"))
    }
}

/// Carries out CPUID or RDTSC for host code that met our trap. False if it was something else.
pub(crate) fn host_instruction(enclave: &Shared, frame: &mut Frame<'_>, signal: c_int) -> bool {
    let vector = frame.register(libc::REG_TRAPNO) as u8;
    let ours = abi::ssa::vector::GENERAL_PROTECTION;
    if !enclave.options.strict || signal != libc::SIGSEGV || vector != ours {
        return false;
    }
    let rip = frame.register(libc::REG_RIP) as *const [u8; 2];
    // SAFETY: the CPU has just decoded at least two bytes there: no shorter instruction of the host
    // raises #GP.
    let bytes = unsafe { rip.read_unaligned() };
    if bytes == CPUID {
        cpuid(frame);
        frame.advance(2);
        return true;
    }
    if bytes == RDTSC {
        read_counter(frame, false);
        frame.advance(2);
        return true;
    }
    // SAFETY: as above; 0F 01 is the start of an instruction of three bytes at least.
    let last = || unsafe { rip.cast::<u8>().wrapping_add(2).read() };
    if bytes == [0x0f, 0x01] && last() == RDTSCP[2] {
        read_counter(frame, true);
        frame.advance(3);
        return true;
    }
    false
}

fn cpuid(frame: &mut Frame<'_>) {
    let leaf = frame.register(libc::REG_RAX) as u32;
    let subleaf = frame.register(libc::REG_RCX) as u32;
    if set_cpuid(true).is_err() {
        return;
    }
    let answer = __cpuid_count(leaf, subleaf);
    let _ = set_cpuid(false);
    frame.set_register(libc::REG_RAX, u64::from(answer.eax));
    frame.set_register(libc::REG_RBX, u64::from(answer.ebx));
    frame.set_register(libc::REG_RCX, u64::from(answer.ecx));
    frame.set_register(libc::REG_RDX, u64::from(answer.edx));
}

fn read_counter(frame: &mut Frame<'_>, with_processor: bool) {
    if set_counter(true).is_err() {
        return;
    }
    let mut processor = 0;
    let counter = if with_processor {
        // SAFETY: the host executed RDTSCP itself.
        unsafe { __rdtscp(&raw mut processor) }
    } else {
        // SAFETY: the host executed RDTSC itself.
        unsafe { _rdtsc() }
    };
    let _ = set_counter(false);
    frame.set_register(libc::REG_RAX, counter & 0xffff_ffff);
    frame.set_register(libc::REG_RDX, counter >> 32);
    if with_processor {
        frame.set_register(libc::REG_RCX, u64::from(processor));
    }
}

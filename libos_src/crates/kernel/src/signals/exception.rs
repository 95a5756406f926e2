//! From a CPU exception to a signal.

use alloc::vec;
use alloc::vec::Vec;

use hal::{ExceptionInfo, Machine, Prot, UserRegs, Vector};

use super::{Signal, SignalInfo};
use crate::memory::AddressSpace;

/// Page-fault error code bits (Intel SDM vol. 3A, "Page-Fault Exceptions").
const PF_WRITE: u32 = 1 << 1;
const PF_INSTRUCTION: u32 = 1 << 4;

const ILL_ILLOPN: i32 = 2;
const FPE_INTDIV: i32 = 1;
const FPE_FLTDIV: i32 = 3;
const FPE_FLTOVF: i32 = 4;
const FPE_FLTUND: i32 = 5;
const FPE_FLTRES: i32 = 6;
const FPE_FLTINV: i32 = 7;
const SEGV_MAPERR: i32 = 1;
const SEGV_ACCERR: i32 = 2;
const SEGV_BNDERR: i32 = 3;
const BUS_ADRALN: i32 = 1;
const BUS_ADRERR: i32 = 2;
const TRAP_TRACE: i32 = 2;

/// What kind of access a page fault was.
pub(super) fn access_of(error: u32) -> Prot {
    if error & PF_INSTRUCTION != 0 {
        Prot::EXEC
    } else if error & PF_WRITE != 0 {
        Prot::WRITE
    } else {
        Prot::READ
    }
}

/// The signal for an access to a page that the program may use and that has nothing to show.
pub(super) fn absent_page(address: u64) -> (Signal, SignalInfo) {
    (
        Signal::BUS,
        SignalInfo::from_fault(Signal::BUS, BUS_ADRERR, address),
    )
}

/// The signal that Linux sends for an exception, and what it tells about it.
pub(super) fn signal_of(
    space: &AddressSpace,
    machine: &dyn Machine,
    regs: &UserRegs,
    info: &ExceptionInfo,
) -> (Signal, SignalInfo) {
    let fault = |signal, code, address| (signal, SignalInfo::from_fault(signal, code, address));
    let here = space.program_address(regs.rip);
    match info.vector {
        Vector::DIVIDE_ERROR => fault(Signal::FPE, FPE_INTDIV, here),
        Vector::DEBUG => fault(Signal::TRAP, TRAP_TRACE, here),
        Vector::BREAKPOINT => (Signal::TRAP, SignalInfo::from_kernel(Signal::TRAP)),
        Vector::BOUND_RANGE => fault(Signal::SEGV, SEGV_BNDERR, here),
        Vector::INVALID_OPCODE => fault(Signal::ILL, ILL_ILLOPN, here),
        Vector::PAGE_FAULT => {
            let is_mapped = space.with_area(info.address, |_, _| ()).is_some();
            let code = if is_mapped { SEGV_ACCERR } else { SEGV_MAPERR };
            fault(Signal::SEGV, code, info.address)
        }
        Vector::X87_ERROR => fault(Signal::FPE, x87_code(machine), here),
        Vector::SIMD_ERROR => fault(Signal::FPE, simd_code(machine), here),
        Vector::ALIGNMENT_CHECK => fault(Signal::BUS, BUS_ADRALN, 0),
        _ => (Signal::SEGV, SignalInfo::from_kernel(Signal::SEGV)),
    }
}

/// FCW and FSW are the first words of the legacy area (Intel SDM vol. 1, "x87 FPU Environment").
fn x87_code(machine: &dyn Machine) -> i32 {
    let state = machine_state(machine);
    let word = |at: usize| u16::from_le_bytes([state[at], state[at + 1]]);
    float_code(word(2) & !word(0))
}

/// MXCSR has its flags in bits 0 to 5 and its masks in bits 7 to 12.
fn simd_code(machine: &dyn Machine) -> i32 {
    let state = machine_state(machine);
    let mxcsr = u32::from_le_bytes([state[24], state[25], state[26], state[27]]);
    float_code((mxcsr & !(mxcsr >> 7)) as u16)
}

fn machine_state(machine: &dyn Machine) -> Vec<u8> {
    let mut state = vec![0; machine.xstate_size()];
    machine.save_xstate(&mut state);
    state
}

/// The first unmasked flag: invalid, divide by zero, overflow, underflow, precision.
const fn float_code(unmasked: u16) -> i32 {
    match unmasked {
        flags if flags & 1 != 0 => FPE_FLTINV,
        flags if flags & 4 != 0 => FPE_FLTDIV,
        flags if flags & 8 != 0 => FPE_FLTOVF,
        // A denormal operand counts as underflow.
        flags if flags & 0x12 != 0 => FPE_FLTUND,
        flags if flags & 0x20 != 0 => FPE_FLTRES,
        _ => 0,
    }
}

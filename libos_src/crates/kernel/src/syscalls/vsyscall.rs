//! Calls of functions at fixed addresses, which Linux once had there for speed: old programs still make
//! them. There is no memory, and the call is a fault in an enclave, from which it becomes a system call.

use hal::{ExceptionInfo, UserRegs, Vector};

use crate::memory::AddressSpace;

/// Where the functions are, and which system call each is: `asm/vsyscall.h`.
const FUNCTIONS: [(u64, u64); 3] = [
    (0xffff_ffff_ff60_0000, 96),
    (0xffff_ffff_ff60_0400, 201),
    (0xffff_ffff_ff60_0800, 309),
];

/// Whether a fault is such a call; then the registers are those of the system call, made where the
/// function would return to. A call with pointers to nothing stays a fault, as on Linux.
pub(crate) fn becomes_call(
    memory: &AddressSpace,
    regs: &mut UserRegs,
    info: &ExceptionInfo,
) -> bool {
    let is_jump = [Vector::GENERAL_PROTECTION, Vector::PAGE_FAULT].contains(&info.vector);
    let function = FUNCTIONS.iter().find(|(at, _)| *at == regs.rip);
    let Some(&(_, number)) = function.filter(|_| is_jump) else {
        return false;
    };
    let results: [(u64, u64); 2] = match number {
        96 => [(regs.rdi, 16), (regs.rsi, 8)],
        201 => [(regs.rdi, 8), (0, 0)],
        _ => [(regs.rdi, 4), (regs.rsi, 4)],
    };
    let is_good =
        |&(address, len): &(u64, u64)| address == 0 || memory.check_writable(address, len).is_ok();
    let Ok(back) = memory.read::<u64>(regs.rsp) else {
        return false;
    };
    if !results.iter().all(is_good) {
        return false;
    }
    regs.rip = back;
    regs.rsp = regs.rsp.wrapping_add(8);
    regs.rax = number;
    true
}

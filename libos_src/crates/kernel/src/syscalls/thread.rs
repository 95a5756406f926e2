//! What a thread says about itself.

use core::sync::atomic::Ordering;

use hal::Errno;

use super::argument::Address;
use super::call::{Call, Outcome};

/// The first address that is no user address of x86-64 Linux.
const ADDRESS_END: u64 = 1 << 47;

/// Whether a thread pointer may be set to `address`: the CPU takes canonical ones only.
pub(super) const fn is_thread_pointer(address: u64) -> bool {
    address < ADDRESS_END
}

/// `set_tid_address(2)`.
pub(super) fn set_tid_address(call: &mut Call<'_>, word: Address) -> Outcome {
    call.thread.clear_tid.store(word.0, Ordering::Relaxed);
    Ok(call.thread.tid().into())
}

/// `set_robust_list(2)`.
pub(super) fn set_robust_list(call: &mut Call<'_>, head: Address, len: u64) -> Outcome {
    const HEAD_BYTES: u64 = 24;
    if len != HEAD_BYTES {
        return Err(Errno::EINVAL.into());
    }
    call.thread.robust_list.store(head.0, Ordering::Relaxed);
    Ok(0)
}

/// `get_robust_list(2)`.
pub(super) fn get_robust_list(
    call: &mut Call<'_>,
    tid: i32,
    head: Address,
    len: Address,
) -> Outcome {
    let thread = match tid {
        0 => call.thread.clone(),
        tid => {
            let tid = tid.cast_unsigned();
            let process = call.libos.processes.of_thread(tid).ok_or(Errno::ESRCH)?;
            if !call.may_look_into(&process) {
                return Err(Errno::EPERM.into());
            }
            process.thread(tid).ok_or(Errno::ESRCH)?
        }
    };
    call.memory()
        .write(head.0, &thread.robust_list.load(Ordering::Relaxed))?;
    call.memory().write(len.0, &24u64)?;
    Ok(0)
}

/// `arch_prctl(2)`.
pub(super) fn arch_prctl(call: &mut Call<'_>, code: u32, address: u64) -> Outcome {
    const ARCH_SET_GS: u32 = 0x1001;
    const ARCH_SET_FS: u32 = 0x1002;
    const ARCH_GET_FS: u32 = 0x1003;
    const ARCH_GET_GS: u32 = 0x1004;
    const ARCH_GET_CPUID: u32 = 0x1011;
    const ARCH_SET_CPUID: u32 = 0x1012;
    match code {
        ARCH_SET_FS if is_thread_pointer(address) => call.regs.fs_base = address,
        ARCH_SET_FS => return Err(Errno::EPERM.into()),
        ARCH_GET_FS => call.memory().write(address, &call.regs.fs_base)?,
        ARCH_SET_GS | ARCH_GET_GS => {
            let reason = "the GS base belongs to the LibOS inside an enclave; EINVAL";
            call.libos.report_once(call.regs.rax, reason);
            return Err(Errno::EINVAL.into());
        }
        // No processor of ours makes the instruction fault, and programs may use it.
        ARCH_GET_CPUID => return Ok(1),
        ARCH_SET_CPUID => return Err(Errno::ENODEV.into()),
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(0)
}

/// `sched_yield(2)`.
pub(super) fn sched_yield(call: &mut Call<'_>) -> Outcome {
    // Who waits for memory that this process has cannot run otherwise.
    let gang = call.memory().gang();
    if gang.is_shared() {
        gang.prefer_others();
        call.libos.make_way(call.task);
    }
    call.libos.machine.yield_now();
    Ok(0)
}

//! The exception handler, which runs at CSSA = 1 on a stack of its own.
//!
//! It decides nothing about the program. It moves the program's registers from the SSA to the
//! kernel stack and points the SSA at `exception_entry`, so that ERESUME brings the thread there,
//! at CSSA = 0, where OCALLs and further exceptions are legal.
//!
//! The host may enter it at any time. Without an exception it looks at one thing: whether the LibOS
//! itself wants the thread to be interrupted. If the program runs, or is about to, the thread is
//! sent to the kernel; if the LibOS runs, it will see the wish on its own way out.

use core::sync::atomic::Ordering;

use abi::{
    ssa::{self, ExInfo, ExitInfo, GprSgx, vector},
    thread::{SSA_OFFSET, page},
};
use hal::UserRegs;

use crate::{
    boot,
    entry::{self, FIXUPS, VECTORS_SIZE},
    thread::{ThreadPage, boot_info},
};

/// Called by the entry code. The host may call it at any time, without an exception.
pub(crate) extern "C" fn handle() {
    while boot::is_over() {
        core::hint::spin_loop();
    }
    let thread = ThreadPage::current();
    let frame = thread.get(page::TCS) + SSA_OFFSET;
    let registers = (frame + ssa::GPRSGX_OFFSET) as *mut GprSgx;
    // SAFETY: at CSSA = 1 the first SSA frame is complete and belongs to this handler; ERESUME
    // reads it after the handler has left.
    let registers = unsafe { &mut *registers };
    let Some(vector) = registers.exit_info.vector() else {
        return interrupt(thread, registers);
    };
    // An exception is handled once: a host that enters again finds nothing to do.
    registers.exit_info = ExitInfo::default();
    let info = (frame + ssa::EXINFO_OFFSET) as *const ExInfo;
    // SAFETY: every enclave of this project has MISCSELECT.EXINFO, so the CPU wrote it.
    let info = unsafe { info.read() };
    let boot = boot_info();
    if !is_in_libos(registers.rip) {
        // The LibOS never jumps out of itself, so it is the program that did, even where there is
        // no program, such as at address 0.
        redirect(thread, registers, u64::from(vector), info);
    } else if let Some(landing) = landing(registers.rip) {
        registers.rip = landing;
    } else {
        let rip = registers.rip.wrapping_sub(boot.libos_start);
        let address = info.address;
        panic!("exception {vector} in the LibOS at offset {rip:#x}, address {address:#x}");
    }
}

/// In the place of a vector: nothing happened but that the thread is to look at something.
pub(crate) const INTERRUPTION: u64 = 0x100;

/// Sends the thread to the kernel if the LibOS asked for that. Done twice it does nothing more.
fn interrupt(thread: ThreadPage, registers: &mut GprSgx) {
    let rip = registers.rip;
    if thread.interruption().load(Ordering::SeqCst) == 0 {
        return;
    }
    if !is_in_libos(rip) {
        redirect(thread, registers, INTERRUPTION, ExInfo::default());
    } else if is_between(rip, entry::answer_window, entry::answer_window_end) {
        // It has looked, and was leaving with an answer: it asks again, and looks again. Its number
        // and flags are in the two words that end its stack.
        registers.rsp = thread.get(page::KERNEL_STACK_TOP) - 16;
        registers.rip = entry::syscall_unanswered as *const () as u64;
        registers.rflags = 2;
    } else if is_between(rip, entry::return_window, entry::return_window_end) {
        // It has looked, and was leaving. All that it was to load is still in memory.
        let frame = saved_registers(thread);
        registers.rsp = frame - VECTORS_SIZE as u64;
        registers.rip = entry::return_interrupted as *const () as u64;
        registers.rflags = 2;
    }
}

/// Whether an instruction is one of those from `first` on, before `end`.
fn is_between(rip: u64, first: unsafe extern "C" fn(), end: unsafe extern "C" fn()) -> bool {
    let address = |function: unsafe extern "C" fn()| function as usize as u64;
    (address(first)..address(end)).contains(&rip)
}

fn is_in_libos(rip: u64) -> bool {
    let boot = boot_info();
    rip.wrapping_sub(boot.libos_start) < boot.libos_size_bytes
}

/// Where the program's registers are while the LibOS works for it.
fn saved_registers(thread: ThreadPage) -> u64 {
    thread.get(page::KERNEL_STACK_TOP) - size_of::<UserRegs>() as u64
}

/// Where a LibOS instruction that may fault goes on.
fn landing(rip: u64) -> Option<u64> {
    FIXUPS.iter().find_map(|fixup| fixup.landing(rip))
}

/// Sends the thread to `exception_entry`. The program was running, so the kernel stack is empty.
fn redirect(thread: ThreadPage, registers: &mut GprSgx, vector: u64, info: ExInfo) {
    let with_info = [vector::PAGE_FAULT, vector::GENERAL_PROTECTION].map(u64::from);
    let has_info = with_info.contains(&vector);
    let info = if has_info { info } else { ExInfo::default() };
    thread.set(page::FAULT_VECTOR, vector);
    thread.set(page::FAULT_ERROR, u64::from(info.error_code));
    thread.set(page::FAULT_ADDRESS, info.address);
    let saved = saved_registers(thread);
    // SAFETY: the kernel stack is this thread's own and empty; its top is 16-byte aligned.
    unsafe { (saved as *mut UserRegs).write(user_registers(registers)) };
    registers.rsp = saved;
    registers.rip = entry::exception_entry as *const () as u64;
    // Bit 1 is always set; the LibOS starts with no other flag.
    registers.rflags = 2;
}

fn user_registers(registers: &GprSgx) -> UserRegs {
    UserRegs {
        rax: registers.rax,
        rbx: registers.rbx,
        rcx: registers.rcx,
        rdx: registers.rdx,
        rsi: registers.rsi,
        rdi: registers.rdi,
        rbp: registers.rbp,
        rsp: registers.rsp,
        r8: registers.r8,
        r9: registers.r9,
        r10: registers.r10,
        r11: registers.r11,
        r12: registers.r12,
        r13: registers.r13,
        r14: registers.r14,
        r15: registers.r15,
        rip: registers.rip,
        rflags: registers.rflags,
        fs_base: registers.fs_base,
    }
}

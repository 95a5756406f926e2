//! Asynchronous exits: the thread's state goes to its SSA frame, the thread to the host.

use abi::{
    GprSgx, PAGE_SIZE,
    ssa::{self, ExInfo, ExitInfo, vector},
};

use crate::{
    arch::{Outcome, sim_interrupted},
    signals::{Frame, die},
};

/// Offsets in the signal frame's FP state: Linux's own words, MXCSR, XSTATE_BV.
const SOFTWARE_START: usize = 464;
const SOFTWARE_END: usize = 512;
const MXCSR: usize = 24;
const XSTATE_BV: usize = 512;
/// `FP_XSTATE_MAGIC1`: an XSAVE image follows.
const XSTATE_MAGIC: u32 = 0x4650_5853;
const MXCSR_INITIAL: u32 = 0x1f80;
/// The x87 state in an image: control and status, then the registers; and how the first word begins.
const X87: u64 = 1;
const X87_CONTROL: std::ops::Range<usize> = 0..24;
const X87_REGISTERS: std::ops::Range<usize> = 32..160;
const X87_INITIAL: [u8; 2] = 0x37f_u16.to_le_bytes();
/// Always set in RFLAGS, and interrupts enabled.
const FLAGS_INITIAL: u64 = 0x202;

/// Leaves because of an exception at the instruction that the frame points to.
pub(crate) fn exception(frame: &mut Frame<'_>, vector: u8, error: u16, address: u64) {
    frame.block.counters.exceptions += 1;
    frame.block.vector = vector;
    frame.block.error = error;
    // What the kernel tells a host of a fault in an enclave is the page alone.
    frame.block.address = address & !(PAGE_SIZE - 1);
    let info = ExInfo {
        address,
        error_code: u32::from(error),
        reserved_12: 0,
    };
    exit(
        frame,
        ExitInfo::exception(vector),
        Some(info),
        Outcome::Exception,
    );
}

/// Leaves because of something that is not the enclave's business.
pub(crate) fn interrupt(frame: &mut Frame<'_>) {
    frame.block.counters.interrupts += 1;
    exit(frame, ExitInfo::default(), None, Outcome::Interrupt);
}

/// Leaves before ERESUME is over, as if the interrupt had come right after: the SSA frame already
/// holds what an exit would save.
pub(crate) fn interrupt_before(frame: &mut Frame<'_>) {
    clean_extended_state(frame);
    leave(frame, Outcome::Interrupt);
}

fn exit(frame: &mut Frame<'_>, info: ExitInfo, extra: Option<ExInfo>, outcome: Outcome) {
    let ssa = frame.block.ssa;
    frame.drop_step_flag();
    save_registers(frame, ssa, info);
    if let Some(extra) = extra
        && matches!(
            info.vector(),
            Some(vector::PAGE_FAULT | vector::GENERAL_PROTECTION)
        )
    {
        // SAFETY: EENTER checked that the SSA frame is writable enclave memory.
        unsafe { ((ssa + ssa::EXINFO_OFFSET) as *mut ExInfo).write(extra) };
    }
    save_extended_state(frame, ssa);
    clean_extended_state(frame);
    leave(frame, outcome);
}

/// Has the signal handler return to where the host entered from.
fn leave(frame: &mut Frame<'_>, outcome: Outcome) {
    frame.block.cssa += 1;
    frame.block.outcome = outcome;
    let block = std::ptr::from_mut(frame.block) as u64;
    frame.set_register(libc::REG_RIP, sim_interrupted as *const () as u64);
    frame.set_register(libc::REG_R10, block);
    frame.set_register(libc::REG_RSP, frame.block.host_rsp);
    frame.set_register(libc::REG_EFL, FLAGS_INITIAL);
    frame.return_to_host();
}

fn save_registers(frame: &Frame<'_>, ssa: u64, info: ExitInfo) {
    let register = |index| frame.register(index);
    let anchor = std::ptr::from_ref(&frame.block.anchor) as u64;
    let registers = GprSgx {
        rax: register(libc::REG_RAX),
        rcx: register(libc::REG_RCX),
        rdx: register(libc::REG_RDX),
        rbx: register(libc::REG_RBX),
        rsp: register(libc::REG_RSP),
        rbp: register(libc::REG_RBP),
        rsi: register(libc::REG_RSI),
        rdi: register(libc::REG_RDI),
        r8: register(libc::REG_R8),
        r9: register(libc::REG_R9),
        r10: register(libc::REG_R10),
        r11: register(libc::REG_R11),
        r12: register(libc::REG_R12),
        r13: register(libc::REG_R13),
        r14: register(libc::REG_R14),
        r15: register(libc::REG_R15),
        rflags: register(libc::REG_EFL),
        rip: register(libc::REG_RIP),
        host_rsp: anchor,
        host_rbp: 0,
        exit_info: info,
        reserved_164: [0; 3],
        aex_notify: 0,
        fs_base: frame.block.return_fs,
        gs_base: frame.block.return_gs,
    };
    // SAFETY: EENTER checked that the SSA frame is writable enclave memory; it is aligned.
    unsafe { ((ssa + ssa::GPRSGX_OFFSET) as *mut GprSgx).write(registers) };
}

/// Copies the extended state from the signal frame.
fn save_extended_state(frame: &Frame<'_>, ssa: u64) {
    let state = frame.context.uc_mcontext.fpregs.cast::<u8>();
    let word = |offset: usize| {
        // SAFETY: the kernel made the area, of 512 bytes at least.
        unsafe { state.wrapping_add(offset).cast::<u32>().read_unaligned() }
    };
    if word(SOFTWARE_START) != XSTATE_MAGIC {
        die("the kernel saved no XSAVE state", 0);
    }
    let saved = word(SOFTWARE_START + 16) as usize;
    let size = ssa::xsave_size(frame.block.xfrm).min(saved);
    let image = ssa as *mut u8;
    // SAFETY: both areas have `size` bytes, checked above and by the layout of the frame.
    unsafe { std::ptr::copy_nonoverlapping(state, image, size) };
    // SAFETY: inside the image; Linux's own words are none of the enclave's business.
    unsafe {
        image
            .wrapping_add(SOFTWARE_START)
            .write_bytes(0, SOFTWARE_END - SOFTWARE_START)
    };
    // SAFETY: inside the image, aligned: an SSA frame starts a page.
    let components = unsafe { &mut *image.wrapping_add(XSTATE_BV).cast::<u64>() };
    *components &= frame.block.xfrm;
    // Linux says of the x87 state that it is in use even if it is not, which XSAVE would not. Whoever
    // looks what there is to keep would keep it from then on.
    // SAFETY: the legacy region, which every image has; it is written by nobody else now.
    let legacy = unsafe { std::slice::from_raw_parts(image, X87_REGISTERS.end) };
    if is_x87_initial(legacy) {
        *components &= !X87;
    }
}

/// Whether an image's x87 state is the initial one (SDM volume 1, "XSAVE-Managed State": FCW alone is not 0).
fn is_x87_initial(legacy: &[u8]) -> bool {
    let (control, registers) = (&legacy[X87_CONTROL], &legacy[X87_REGISTERS]);
    let rest = control[X87_INITIAL.len()..].iter().chain(registers);
    control.starts_with(&X87_INITIAL) && rest.into_iter().all(|byte| *byte == 0)
}

/// Leaves the initial state for the host.
fn clean_extended_state(frame: &mut Frame<'_>) {
    let state = frame.context.uc_mcontext.fpregs.cast::<u8>();
    // SAFETY: inside the kernel's area. No component is set: all are in their initial state.
    unsafe {
        state
            .wrapping_add(XSTATE_BV)
            .cast::<u64>()
            .write_unaligned(0)
    };
    // SAFETY: as above; MXCSR is loaded even then.
    unsafe {
        state
            .wrapping_add(MXCSR)
            .cast::<u32>()
            .write_unaligned(MXCSR_INITIAL)
    };
}

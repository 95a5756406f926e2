//! The frame that a handler finds on its stack, and the way back from it.
//!
//! The layout is Linux's for x86-64: `struct rt_sigframe` (`arch/x86/include/asm/sigframe.h`),
//! `struct ucontext` and `struct sigcontext_64` (`uapi/asm/ucontext.h`, `uapi/asm/sigcontext.h`).
//! Unwinders, debuggers, Go and Java read it.

use alloc::vec;
use alloc::vec::Vec;

use hal::{Errno, ExceptionInfo, Machine, UserRegs};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{Action, AlternateStack, Signal, SignalInfo, SignalSet, StackRecord};
use crate::memory::AddressSpace;

/// What goes into a frame.
pub(super) struct FramePlan<'a> {
    pub(super) signal: Signal,
    pub(super) info: &'a SignalInfo,
    pub(super) action: &'a Action,
    /// The mask to restore afterwards.
    pub(super) mask: SignalSet,
    pub(super) alternate_stack: AlternateStack,
    /// The fault, when the signal is about one.
    pub(super) exception: Option<ExceptionInfo>,
}

/// What `rt_sigreturn` brings back besides the registers.
pub(crate) struct Restored {
    pub(crate) mask: SignalSet,
    pub(crate) stack: StackRecord,
}

/// `struct rt_sigframe`.
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Frame {
    return_address: u64,
    context: Context,
    info: SignalInfo,
}

/// `struct ucontext`.
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Context {
    flags: u64,
    link: u64,
    stack: StackRecord,
    registers: SavedRegisters,
    mask: u64,
}

/// `struct sigcontext_64`.
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct SavedRegisters {
    r8_to_r15: [u64; 8],
    rdi: u64,
    rsi: u64,
    rbp: u64,
    rbx: u64,
    rdx: u64,
    rax: u64,
    rcx: u64,
    rsp: u64,
    rip: u64,
    rflags: u64,
    /// `cs gs fs ss`.
    selectors: [u16; 4],
    error: u64,
    vector: u64,
    old_mask: u64,
    fault_address: u64,
    extended_state: u64,
    reserved: [u64; 8],
}

/// `struct _fpx_sw_bytes`, at byte 464 of the extended state.
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct SoftwareBytes {
    magic: u32,
    extended_size: u32,
    features: u64,
    area_size: u32,
    padding: [u32; 7],
}

const _: () = assert!(size_of::<Frame>() == 8 + 304 + 128);
const _: () = assert!(size_of::<SavedRegisters>() == 256);

const UC_FP_XSTATE: u64 = 1;
const UC_SIGCONTEXT_SS: u64 = 2;
const UC_STRICT_RESTORE_SS: u64 = 4;
/// Selectors of 64-bit user code on Linux: `__USER_CS`, 0, 0, `__USER_DS`.
const USER_SELECTORS: [u16; 4] = [0x33, 0, 0, 0x2b];
const FP_XSTATE_MAGIC1: u32 = 0x4650_5853;
const FP_XSTATE_MAGIC2: [u8; 4] = 0x4650_5845u32.to_le_bytes();
const SOFTWARE_BYTES_AT: usize = 464;
const LEGACY_BYTES: usize = 512;
const XSAVE_HEADER_END: usize = 576;
const MXCSR_AT: usize = 24;
const MXCSR_DEFAULT: u32 = 0x1f80;
/// Flags that a program may set: CF PF AF ZF SF TF DF OF RF AC.
const FLAGS_OF_PROGRAMS: u64 = 0x5_0dd5;
/// IF and the bit that is always one.
const FLAGS_ALWAYS: u64 = 0x202;
const FLAGS_CLEARED_FOR_HANDLERS: u64 = 0x1_0500; // RF DF TF
const RED_ZONE_BYTES: u64 = 128;
const STATE_ALIGN: u64 = 64;

/// The most that a frame takes of a stack of its own (`AT_MINSIGSTKSZ`), as Linux counts it: who derives
/// how often frames fit from it, and from what each took, must find the same.
pub(crate) fn frame_size_max(machine: &dyn Machine) -> u64 {
    let state = machine.xstate_size() + FP_XSTATE_MAGIC2.len();
    ((size_of::<Frame>() + state) as u64 + STATE_ALIGN - 1 + 15).next_multiple_of(16)
}

/// Builds the frame and makes `regs` enter the handler.
///
/// # Errors
/// `EFAULT` when the stack cannot hold it, or it would lead nowhere; `regs` are unchanged then.
pub(super) fn push(
    space: &AddressSpace,
    machine: &dyn Machine,
    regs: &mut UserRegs,
    plan: &FramePlan<'_>,
) -> Result<(), Errno> {
    let return_address = plan.action.restorer().ok_or(Errno::EFAULT)?;
    let state = extended_state(machine);
    let alternate = plan.alternate_stack.top_for(regs.rsp);
    let alternate = alternate.filter(|_| plan.action.wants_alternate_stack());
    let top = alternate.unwrap_or(regs.rsp.wrapping_sub(RED_ZONE_BYTES));
    let state_at = top.wrapping_sub(state.len() as u64) & !(STATE_ALIGN - 1);
    // As after a call: the stack pointer is 8 below a multiple of 16.
    let frame_at = (state_at.wrapping_sub(size_of::<Frame>() as u64) & !15).wrapping_sub(8);
    // Who falls off it does not start again at its top, nor goes on in what lies below.
    let is_alternate = alternate.is_some() || plan.alternate_stack.is_in_use(regs.rsp);
    if is_alternate && !plan.alternate_stack.holds(frame_at) {
        return Err(Errno::EFAULT);
    }
    let frame = Frame {
        return_address,
        context: Context {
            flags: UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS,
            link: 0,
            stack: plan.alternate_stack.as_given(),
            registers: saved(space, regs, plan, state_at),
            mask: plan.mask.bits(),
        },
        info: *plan.info,
    };
    space.copy_out(state_at, &state)?;
    space.write(frame_at, &frame)?;
    enter_handler(regs, plan, frame_at);
    // An area without components: everything is as at program start.
    let _ = machine.restore_xstate(&initial_state(machine));
    Ok(())
}

fn enter_handler(regs: &mut UserRegs, plan: &FramePlan<'_>, frame_at: u64) {
    regs.rdi = plan.signal.number().into();
    regs.rsi = frame_at + core::mem::offset_of!(Frame, info) as u64;
    regs.rdx = frame_at + core::mem::offset_of!(Frame, context) as u64;
    regs.rax = 0;
    regs.rsp = frame_at;
    regs.rip = plan.action.handler;
    regs.rflags &= !FLAGS_CLEARED_FOR_HANDLERS;
}

fn saved(
    space: &AddressSpace,
    regs: &UserRegs,
    plan: &FramePlan<'_>,
    state_at: u64,
) -> SavedRegisters {
    let exception = plan.exception;
    SavedRegisters {
        r8_to_r15: [
            regs.r8, regs.r9, regs.r10, regs.r11, regs.r12, regs.r13, regs.r14, regs.r15,
        ],
        rdi: regs.rdi,
        rsi: regs.rsi,
        rbp: regs.rbp,
        rbx: regs.rbx,
        rdx: regs.rdx,
        rax: regs.rax,
        rcx: regs.rcx,
        rsp: regs.rsp,
        rip: space.program_address(regs.rip),
        rflags: regs.rflags,
        selectors: USER_SELECTORS,
        error: exception.map_or(0, |exception| exception.error.into()),
        vector: exception.map_or(0, |exception| exception.vector.0.into()),
        old_mask: plan.mask.bits(),
        fault_address: exception.map_or(0, |exception| exception.address),
        extended_state: state_at,
        reserved: [0; 8],
    }
}

/// The extended state with Linux's marks, which tell a handler its size and features.
fn extended_state(machine: &dyn Machine) -> Vec<u8> {
    let mut state = vec![0; machine.xstate_size()];
    let size = machine.save_xstate(&mut state);
    state.truncate(size);
    let marks = SoftwareBytes {
        magic: FP_XSTATE_MAGIC1,
        extended_size: (size + FP_XSTATE_MAGIC2.len()) as u32,
        features: machine.xstate_features(),
        area_size: size as u32,
        padding: [0; 7],
    };
    state[SOFTWARE_BYTES_AT..LEGACY_BYTES].copy_from_slice(marks.as_bytes());
    state.extend_from_slice(&FP_XSTATE_MAGIC2);
    state
}

/// An extended state as at program start.
pub(crate) fn initial_state(machine: &dyn Machine) -> Vec<u8> {
    let mut state = vec![0; machine.xstate_size()];
    state[..2].copy_from_slice(&0x37fu16.to_le_bytes());
    state[MXCSR_AT..MXCSR_AT + 4].copy_from_slice(&MXCSR_DEFAULT.to_le_bytes());
    state
}

/// Undoes [`push`]: `rt_sigreturn`, with `rsp` just above the return address of the frame.
///
/// # Errors
/// `EFAULT` when there is no readable frame or its state is not valid.
pub(crate) fn restore(
    space: &AddressSpace,
    machine: &dyn Machine,
    regs: &mut UserRegs,
) -> Result<Restored, Errno> {
    let frame: Frame = space.read(regs.rsp.wrapping_sub(8))?;
    let saved = &frame.context.registers;
    restore_state(space, machine, saved.extended_state)?;
    let [r8, r9, r10, r11, r12, r13, r14, r15] = saved.r8_to_r15;
    *regs = UserRegs {
        rax: saved.rax,
        rbx: saved.rbx,
        rcx: saved.rcx,
        rdx: saved.rdx,
        rsi: saved.rsi,
        rdi: saved.rdi,
        rbp: saved.rbp,
        rsp: saved.rsp,
        r8,
        r9,
        r10,
        r11,
        r12,
        r13,
        r14,
        r15,
        rip: space.running_address(saved.rip),
        rflags: saved.rflags & FLAGS_OF_PROGRAMS | FLAGS_ALWAYS,
        fs_base: regs.fs_base,
    };
    Ok(Restored {
        mask: SignalSet::blockable(frame.context.mask),
        stack: frame.context.stack,
    })
}

fn restore_state(space: &AddressSpace, machine: &dyn Machine, at: u64) -> Result<(), Errno> {
    if at == 0 {
        return machine
            .restore_xstate(&initial_state(machine))
            .map_err(|_| Errno::EFAULT);
    }
    let legacy = space.read_bytes(at, LEGACY_BYTES)?;
    let marks = SoftwareBytes::read_from_bytes(&legacy[SOFTWARE_BYTES_AT..]);
    let marks = marks.map_err(|_| Errno::EFAULT)?;
    let size = marks.area_size as usize;
    let is_extended = marks.magic == FP_XSTATE_MAGIC1
        && (XSAVE_HEADER_END..=machine.xstate_size()).contains(&size)
        && space
            .read_bytes(at + size as u64, 4)
            .is_ok_and(|magic| magic == FP_XSTATE_MAGIC2);
    const X87_AND_SSE: u64 = 3;
    let components_at = LEGACY_BYTES..LEGACY_BYTES + size_of::<u64>();
    let (mut area, features) = if is_extended {
        (space.read_bytes(at, size)?, marks.features)
    } else {
        // As FXSAVE has them.
        (legacy, X87_AND_SSE)
    };
    // What the frame does not have is as at program start.
    area.resize(machine.xstate_size(), 0);
    let mut components = [0; size_of::<u64>()];
    components.copy_from_slice(&area[components_at.clone()]);
    let components = match is_extended {
        true => u64::from_le_bytes(components) & features,
        false => features,
    };
    area[components_at].copy_from_slice(&components.to_le_bytes());
    area[SOFTWARE_BYTES_AT..LEGACY_BYTES].fill(0);
    machine.restore_xstate(&area).map_err(|_| Errno::EFAULT)
}

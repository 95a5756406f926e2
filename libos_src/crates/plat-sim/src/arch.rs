//! The thread block that assembly and Rust share, and the signatures of the assembly.

use std::{arch::global_asm, mem::offset_of};

use abi::{GprSgx, ssa};

/// First word of every thread block.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"simblock");

/// Where the alternate signal stack starts behind the block.
pub(crate) const BLOCK_SIZE: usize = 4096;

/// Size of the alternate signal stack, of a value that nobody else chooses: the signal entry knows
/// an attached thread by it.
pub(crate) const ALTERNATE_SIZE: usize = 0x1_7000;

/// What one attached host thread keeps for the assembly. At the start of a page of its own.
#[repr(C)]
pub(crate) struct ThreadBlock {
    pub(crate) magic: u64,
    pub(crate) host_fs: u64,
    pub(crate) host_gs: u64,
    /// The host's real stack while the thread is in the enclave.
    pub(crate) host_rsp: u64,
    /// What FS and GS become when the signal handler returns.
    pub(crate) return_fs: u64,
    pub(crate) return_gs: u64,
    pub(crate) enclave_fs: u64,
    pub(crate) enclave_gs: u64,
    pub(crate) tcs: u64,
    pub(crate) entry: u64,
    pub(crate) cssa: u64,
    /// The SSA frame that ERESUME reads.
    pub(crate) ssa: u64,
    pub(crate) xfrm: u64,
    /// RDI, RSI, RDX, R8, R9 on the way in; RDI and RSI on the way out.
    pub(crate) registers: [u64; 5],
    pub(crate) outcome: Outcome,
    pub(crate) vector: u8,
    pub(crate) error: u16,
    pub(crate) address: u64,
    /// Somebody interrupted the thread, and [`platform::Exit::Interrupt`] has not yet said so.
    pub(crate) interrupted: bool,
    pub(crate) counters: platform::Counters,
    /// Each EEXIT is to fill in `left`.
    pub(crate) looks_at_exits: bool,
    /// Flags that the enclave has besides its own: TF while it is stepped through.
    pub(crate) step_flags: u64,
    /// The instruction that comes next, at the last step.
    pub(crate) step_rip: u64,
    /// The [`crate::enclave::Shared`] that the thread is attached to.
    pub(crate) enclave: *const (),
    /// What the entry pushes on the little stack that is `anchor`.
    pub(crate) pushed: u64,
    /// The stack pointer that the enclave sees as the host's: it points to the block's address.
    pub(crate) anchor: [*mut ThreadBlock; 2],
    pub(crate) left: Left,
}

/// What EEXIT left in registers, which were in their initial state at EENTER.
#[repr(C, align(64))]
pub(crate) struct Left {
    /// XSAVE's standard format, of which any byte may be of a component.
    image: [u8; ssa::xsave_size(!0)],
    /// RCX, RDX, R8, R9, R11 to R15.
    registers: [u64; 9],
    flags: u64,
}

impl Left {
    pub(crate) const NOTHING: Self = Self {
        image: [0; ssa::xsave_size(!0)],
        registers: [0; 9],
        flags: 0,
    };

    /// Whether it is nothing but what every exit leaves.
    pub(crate) fn is_nothing(&self) -> bool {
        /// DF, NT and AC. EEXIT is found by code that has changed the arithmetic ones.
        const FLAGS: u64 = 0x4_4400;
        /// Which bits MXCSR may have.
        const MXCSR_MASK: core::ops::Range<usize> = 28..32;
        const HEADER: core::ops::Range<usize> = 512..ssa::XSAVE_HEADER_END;
        let is_initial = |(at, byte): (usize, &u8)| match at {
            0 | 24 => *byte == [0x7f, 0x80][at / 24],
            1 => *byte == 0x03,
            25 => *byte == 0x1f,
            _ => *byte == 0 || MXCSR_MASK.contains(&at) || HEADER.contains(&at),
        };
        self.registers == [0; 9]
            && self.flags & FLAGS == 0
            && self.image.iter().enumerate().all(is_initial)
    }
}

/// How the thread last left the enclave. EEXIT does not say so: [`Outcome::Exit`] is set before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Outcome {
    Exit,
    Exception,
    Interrupt,
}

const _: () = {
    assert!(size_of::<ThreadBlock>() <= BLOCK_SIZE);
    assert!(offset_of!(ThreadBlock, magic) == 0);
    assert!(offset_of!(ThreadBlock, pushed) + 8 == offset_of!(ThreadBlock, anchor));
    assert!(offset_of!(GprSgx, rsp) == 32);
    assert!(offset_of!(GprSgx, r8) == 64);
    assert!(offset_of!(GprSgx, r15) == 120);
    // The kernel puts `uc_stack` after two words.
    assert!(offset_of!(libc::ucontext_t, uc_stack) == 16);
};

global_asm!(
    include_str!("arch.s"),
    signal = sym crate::signals::handle,
    leaf_gate = sym crate::gate::execute_leaf,
    HOST_FS = const offset_of!(ThreadBlock, host_fs),
    HOST_GS = const offset_of!(ThreadBlock, host_gs),
    HOST_RSP = const offset_of!(ThreadBlock, host_rsp),
    RETURN_FS = const offset_of!(ThreadBlock, return_fs),
    RETURN_GS = const offset_of!(ThreadBlock, return_gs),
    ENCLAVE_FS = const offset_of!(ThreadBlock, enclave_fs),
    ENCLAVE_GS = const offset_of!(ThreadBlock, enclave_gs),
    TCS = const offset_of!(ThreadBlock, tcs),
    ENTRY = const offset_of!(ThreadBlock, entry),
    CSSA = const offset_of!(ThreadBlock, cssa),
    SSA = const offset_of!(ThreadBlock, ssa),
    XFRM = const offset_of!(ThreadBlock, xfrm),
    REGISTERS = const offset_of!(ThreadBlock, registers),
    ANCHOR = const offset_of!(ThreadBlock, anchor),
    INTERRUPTED = const offset_of!(ThreadBlock, interrupted),
    OUTCOME = const offset_of!(ThreadBlock, outcome),
    LOOKS_AT_EXITS = const offset_of!(ThreadBlock, looks_at_exits),
    STEP_FLAGS = const offset_of!(ThreadBlock, step_flags),
    LEFT_IMAGE = const offset_of!(ThreadBlock, left) + offset_of!(Left, image),
    LEFT_REGISTERS = const offset_of!(ThreadBlock, left) + offset_of!(Left, registers),
    LEFT_FLAGS = const offset_of!(ThreadBlock, left) + offset_of!(Left, flags),
    COMPONENTS = const abi::Attributes::XFRM_ALLOWED,
    OUTCOME_INTERRUPT = const Outcome::Interrupt as u8,
    GPRSGX = const ssa::GPRSGX_OFFSET,
    GPR_RFLAGS = const offset_of!(GprSgx, rflags),
    GPR_RIP = const offset_of!(GprSgx, rip),
    GPR_FS = const offset_of!(GprSgx, fs_base),
    GPR_GS = const offset_of!(GprSgx, gs_base),
    MAGIC = const MAGIC,
    INTERRUPT_SIGNAL = const platform::INTERRUPT_SIGNAL,
    BLOCK_SIZE = const BLOCK_SIZE,
    ALTERNATE_SIZE = const ALTERNATE_SIZE,
    UC_STACK_START = const offset_of!(libc::ucontext_t, uc_stack) + offset_of!(libc::stack_t, ss_sp),
    UC_STACK_SIZE = const offset_of!(libc::ucontext_t, uc_stack)
        + offset_of!(libc::stack_t, ss_size),
);

unsafe extern "C" {
    /// EENTER: comes back when the thread has left, with the reason in the block.
    pub(crate) fn sim_enter(block: *mut ThreadBlock);
    /// ERESUME: as `sim_enter`.
    pub(crate) fn sim_resume(block: *mut ThreadBlock);
    /// ERESUME from where it no longer looks whether the thread was interrupted, to its end.
    pub(crate) fn sim_resume_window();
    pub(crate) fn sim_resume_window_end();
    /// Where an asynchronous exit lands.
    pub(crate) fn sim_interrupted();
    /// What a patched EEXIT site jumps to.
    pub(crate) fn sim_exit_gate();
    /// What a patched site of another leaf calls.
    pub(crate) fn sim_leaf_gate();
    /// The handler of signals.
    pub(crate) fn sim_signal();
}

//! The per-thread page that GS points to inside the enclave, and the block around it.

/// Offset of the TCS in a thread block.
pub const TCS_OFFSET: u64 = 0;
/// Offset of the first SSA frame.
pub const SSA_OFFSET: u64 = 0x1000;
/// Number of SSA frames: the program or LibOS, the exception handler, an interrupt in it.
pub const SSA_COUNT: u32 = 3;
/// Offset of the thread page.
pub const PAGE_OFFSET: u64 = 0x4000;
/// Offset of the kernel stack, after the guard page that follows the thread page.
pub const KERNEL_STACK_OFFSET: u64 = 0x6000;

/// Offsets in the thread page. The first six values are measured, the rest start as zero.
pub mod page {
    /// Address of the page itself.
    pub const SELF: usize = 0;
    /// Address of [`crate::BootInfo`].
    pub const BOOT_INFO: usize = 8;
    /// Address of the thread's TCS.
    pub const TCS: usize = 16;
    /// Number of the thread block, from 0.
    pub const INDEX: usize = 24;
    /// Top of the kernel stack.
    pub const KERNEL_STACK_TOP: usize = 32;
    /// Top of the exception stack.
    pub const EXCEPTION_STACK_TOP: usize = 40;

    /// The host's stack pointer at the last EENTER.
    pub const HOST_RSP: usize = 48;
    /// The host's frame pointer at the last EENTER.
    pub const HOST_RBP: usize = 56;
    /// The address that EEXIT goes to.
    pub const HOST_RETURN: usize = 64;
    /// The stack pointer of a thread that waits for an OCALL to return; 0 if none does.
    pub const OCALL_RSP: usize = 72;
    /// The program's stack pointer while the LibOS works for it.
    pub const USER_RSP: usize = 80;
    /// Where the program goes on.
    pub const USER_RIP: usize = 88;
    /// The host's OCALL block, checked.
    pub const OCALL_BLOCK: usize = 96;
    /// The host's OCALL buffer, checked.
    pub const OCALL_BUFFER: usize = 104;
    /// Length of the host's OCALL buffer.
    pub const OCALL_BUFFER_SIZE: usize = 112;
    /// Address of the registers that the program had when it entered the LibOS.
    pub const USER_REGISTERS: usize = 120;
    /// The XSAVE components that the enclave may use.
    pub const XFRM: usize = 128;
    /// The thread's parking word, 4 bytes: 0 running, 1 unparked before it parked, 2 parked.
    pub const PARKING: usize = 136;
    /// Vector of the exception that the program met.
    pub const FAULT_VECTOR: usize = 144;
    /// Error code of that exception.
    pub const FAULT_ERROR: usize = 152;
    /// Address of that exception.
    pub const FAULT_ADDRESS: usize = 160;
    /// System calls that came through the syscall entry, which patched sites jump to.
    pub const PATCHED_SYSCALLS: usize = 168;
    /// System calls that came by the trap.
    pub const TRAPPED_SYSCALLS: usize = 176;
    /// Other exceptions of the program.
    pub const EXCEPTIONS: usize = 184;
    /// OCALLs.
    pub const OCALLS: usize = 192;
    /// Not 0 once the thread belongs to the process.
    pub const RUNNING: usize = 200;
    /// 4 bytes: not 0 when the LibOS wants the thread to look at something before its program goes
    /// on.
    pub const INTERRUPTION: usize = 208;
    /// Ticks in which the thread looks out for a wake-up before it sleeps; 0 before the first time.
    pub const LOOKOUT: usize = 216;
    /// Of which version of all that they rest on the thread's answers are; see below.
    pub const ANSWERS_VERSION: usize = 224;
    /// The number of patched system calls when one was last left to the kernel to be looked at.
    pub const LOOKED_AT: usize = 232;
    /// What was kept of the program's extended state while the host runs: 0 the whole XSAVE area; else
    /// MXCSR, and of the vector and mask registers those whose components are named here, by their bits
    /// in XCR0, as only they were in use.
    pub const VECTORS_KEPT: usize = 240;
    /// How often the thread has yielded.
    pub const YIELDS: usize = 248;
    /// What system calls without arguments answer, 4 bytes for each number from 0 on: 1 more than the
    /// answer, or 0 where none is known.
    pub const ANSWERS: usize = 256;
    /// How many there are.
    pub const ANSWERS_COUNT: usize = 187;

    /// Extended state of the program while the host runs, aligned to 64.
    pub const XSAVE: usize = 0x400;
}

const _: () = assert!(page::XSAVE.is_multiple_of(64));
const _: () = assert!(page::ANSWERS + 4 * page::ANSWERS_COUNT <= page::XSAVE);
const _: () = assert!(page::XSAVE.wrapping_add(crate::ssa::xsave_size(!0)) <= 4096);

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
    /// 0 idle, 1 in use: see the runtime's `thread` module.
    pub const STATE: usize = 120;
    /// Address of the registers that the program had when it entered the LibOS.
    pub const USER_REGISTERS: usize = 128;
    /// The XSAVE components that the enclave may use.
    pub const XFRM: usize = 136;
    /// The thread's event: 1 if it was unparked and has not noticed.
    pub const EVENT: usize = 144;

    /// Registers of a program that met an exception, 19 words.
    pub const FAULT_REGISTERS: usize = 0x200;
    /// Vector, error code and address of that exception.
    pub const FAULT_INFO: usize = 0x300;
    /// Extended state of the program while the host runs, aligned to 64.
    pub const XSAVE: usize = 0x400;
}

const _: () = assert!(page::XSAVE % 64 == 0);
const _: () = assert!(page::XSAVE.wrapping_add(crate::ssa::xsave_size(!0)) <= 4096);

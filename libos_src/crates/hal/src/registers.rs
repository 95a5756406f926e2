//! The CPU as a program sees it, and why it stopped.

/// The integer registers of a user thread. Segment selectors are fixed; the extended state is kept
/// by the machine.
///
/// `repr(C)` and in this order, because the runtime's entry code writes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[allow(missing_docs, reason = "each field is the register of its name")]
pub struct UserRegs {
    pub rax: u64,
    pub rbx: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub rbp: u64,
    pub rsp: u64,
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    pub rip: u64,
    pub rflags: u64,
    pub fs_base: u64,
}

/// A fault as SGX reports it in SSA.EXITINFO and SSA.EXINFO (Intel SDM vol. 3D, "State Save Area
/// (SSA) Frame").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExceptionInfo {
    /// Which exception.
    pub vector: Vector,
    /// The page-fault or general-protection error code; 0 for others.
    pub error: u32,
    /// The address that a page fault is about; 0 for others.
    pub address: u64,
}

/// An exception vector (Intel SDM vol. 3A, "Protected-Mode Exceptions and Interrupts"). Any number
/// may occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vector(pub u8);

#[allow(missing_docs, reason = "each constant is the exception of its name")]
impl Vector {
    pub const DIVIDE_ERROR: Self = Self(0);
    pub const DEBUG: Self = Self(1);
    pub const BREAKPOINT: Self = Self(3);
    pub const BOUND_RANGE: Self = Self(5);
    pub const INVALID_OPCODE: Self = Self(6);
    pub const GENERAL_PROTECTION: Self = Self(13);
    pub const PAGE_FAULT: Self = Self(14);
    pub const X87_ERROR: Self = Self(16);
    pub const ALIGNMENT_CHECK: Self = Self(17);
    pub const SIMD_ERROR: Self = Self(19);
}

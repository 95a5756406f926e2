//! The state save area: where an asynchronous exit leaves the registers of a thread.
//!
//! A frame of one page holds, from its start, the XSAVE image; and from its end downwards GPRSGX
//! (184 bytes) and the MISC region (EXINFO, 16 bytes).

use core::mem::{offset_of, size_of};

use crate::PAGE_SIZE;

/// Offset of [`GprSgx`] in an SSA frame of one page.
pub const GPRSGX_OFFSET: u64 = PAGE_SIZE.wrapping_sub(size_of::<GprSgx>() as u64);

/// Offset of [`ExInfo`] in an SSA frame of one page, if MISCSELECT asks for it.
pub const EXINFO_OFFSET: u64 = GPRSGX_OFFSET.wrapping_sub(size_of::<ExInfo>() as u64);

/// GPRSGX, SDM table "Layout of GPRSGX Portion of the State Save Area".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[expect(missing_docs, reason = "registers bear their architectural names")]
pub struct GprSgx {
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rbx: u64,
    pub rsp: u64,
    pub rbp: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    pub rflags: u64,
    pub rip: u64,
    /// The host's RSP, which an asynchronous exit restores.
    pub host_rsp: u64,
    /// The host's RBP, which an asynchronous exit restores.
    pub host_rbp: u64,
    /// Why the thread left, if it was an exception that SGX reports.
    pub exit_info: ExitInfo,
    pub reserved_164: [u8; 3],
    pub aex_notify: u8,
    pub fs_base: u64,
    pub gs_base: u64,
}

/// EXITINFO, SDM table "Layout of EXITINFO Field".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct ExitInfo(pub u32);

impl ExitInfo {
    const VALID: u32 = 1 << 31;
    const HARDWARE: u32 = 3 << 8;
    const SOFTWARE: u32 = 6 << 8;

    /// The report of one exception. #BP is the software exception, all others are hardware's.
    #[must_use]
    pub const fn exception(vector: u8) -> Self {
        let kind = if vector == 3 {
            Self::SOFTWARE
        } else {
            Self::HARDWARE
        };
        Self(Self::VALID | kind | vector as u32)
    }

    /// The vector, if the exit was an exception that SGX reports. An interrupt gives `None`.
    #[must_use]
    pub const fn vector(self) -> Option<u8> {
        if self.0 & Self::VALID == 0 {
            None
        } else {
            Some(self.0 as u8)
        }
    }
}

/// EXINFO, SDM table "Layout of EXINFO Structure": where a #PF or #GP happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ExInfo {
    /// The faulting linear address of #PF; 0 for #GP.
    pub address: u64,
    /// The exception's error code.
    pub error_code: u32,
    /// Zero.
    pub reserved_12: u32,
}

/// Exception vectors that a thread in an enclave can meet.
pub mod vector {
    /// #DE, divide error.
    pub const DIVIDE_ERROR: u8 = 0;
    /// #DB, debug exception.
    pub const DEBUG: u8 = 1;
    /// #BP, breakpoint.
    pub const BREAKPOINT: u8 = 3;
    /// #BR, bound range exceeded.
    pub const BOUND_RANGE: u8 = 5;
    /// #UD, invalid opcode, which is also what `syscall` and `cpuid` raise in an enclave.
    pub const INVALID_OPCODE: u8 = 6;
    /// #GP, general protection.
    pub const GENERAL_PROTECTION: u8 = 13;
    /// #PF, page fault.
    pub const PAGE_FAULT: u8 = 14;
    /// #MF, x87 floating-point error.
    pub const X87_ERROR: u8 = 16;
    /// #AC, alignment check.
    pub const ALIGNMENT_CHECK: u8 = 17;
    /// #XM, SIMD floating-point exception.
    pub const SIMD_ERROR: u8 = 19;
}

/// Bytes of the legacy region and the header of an XSAVE image.
pub const XSAVE_HEADER_END: usize = 576;

/// Bytes of an XSAVE image in standard format for this set of state components.
///
/// The offsets of the components are those of every Intel CPU with AVX-512 (SDM volume 1,
/// "Processor tracking of XSAVE-managed state"); bits outside
/// [`crate::Attributes::XFRM_ALLOWED`] do not count.
#[must_use]
pub const fn xsave_size(xfrm: u64) -> usize {
    if xfrm & crate::Attributes::XFRM_AVX512 != 0 {
        2688
    } else if xfrm & crate::Attributes::XFRM_AVX != 0 {
        832
    } else {
        XSAVE_HEADER_END
    }
}

const _: () = {
    assert!(size_of::<GprSgx>() == 184);
    assert!(offset_of!(GprSgx, rflags) == 128);
    assert!(offset_of!(GprSgx, rip) == 136);
    assert!(offset_of!(GprSgx, host_rsp) == 144);
    assert!(offset_of!(GprSgx, exit_info) == 160);
    assert!(offset_of!(GprSgx, aex_notify) == 167);
    assert!(offset_of!(GprSgx, fs_base) == 168);
    assert!(offset_of!(GprSgx, gs_base) == 176);
    assert!(size_of::<ExInfo>() == 16);
    assert!(xsave_size(!0) as u64 <= EXINFO_OFFSET);
};

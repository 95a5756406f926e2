//! `siginfo_t`.

use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::Signal;

/// What a handler learns about a signal: `siginfo_t` of x86-64 (`asm-generic/siginfo.h`), 128
/// bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct SignalInfo {
    number: i32,
    errno: i32,
    code: i32,
    padding: u32,
    fields: [u64; 14],
}

/// Sent by `kill`.
const SI_USER: i32 = 0;
/// Sent by the kernel.
const SI_KERNEL: i32 = 0x80;
/// Sent by `tkill` or `tgkill`.
const SI_TKILL: i32 = -6;

impl SignalInfo {
    /// Sent by `kill` from this process and user.
    pub(crate) const fn from_kill(signal: Signal, pid: u32, user: u32) -> Self {
        Self::new(signal, SI_USER, pid as u64 | (user as u64) << 32)
    }

    /// Sent by `tgkill` or `tkill` from this process and user.
    pub(crate) const fn from_tgkill(signal: Signal, pid: u32, user: u32) -> Self {
        Self::new(signal, SI_TKILL, pid as u64 | (user as u64) << 32)
    }

    /// Raised by the kernel itself, about nothing in particular.
    pub(crate) const fn from_kernel(signal: Signal) -> Self {
        Self::new(signal, SI_KERNEL, 0)
    }

    /// Raised by a fault that is about `address`; `code` says which (`SEGV_*`, `FPE_*`, …).
    pub(crate) const fn from_fault(signal: Signal, code: i32, address: u64) -> Self {
        Self::new(signal, code, address)
    }

    /// The same for another number: `rt_sigqueueinfo` takes the number from its own argument.
    pub(crate) const fn with_signal(mut self, signal: Signal) -> Self {
        self.number = signal.number() as i32;
        self
    }

    const fn new(signal: Signal, code: i32, first: u64) -> Self {
        let mut fields = [0; 14];
        fields[0] = first;
        Self {
            number: signal.number() as i32,
            errno: 0,
            code,
            padding: 0,
            fields,
        }
    }
}

const _: () = assert!(size_of::<SignalInfo>() == 128);

//! `sigaltstack`.

use hal::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// `stack_t` of x86-64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct StackRecord {
    pointer: u64,
    flags: u32,
    padding: u32,
    size: u64,
}

const SS_ONSTACK: u32 = 1;
const SS_DISABLE: u32 = 2;
const SS_AUTODISARM: u32 = 1 << 31;
const MINSIGSTKSZ: u64 = 2048;

/// The stack that a thread set aside for handlers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AlternateStack {
    start: u64,
    size: u64,
    is_disarmed_by_use: bool,
}

impl AlternateStack {
    /// Decodes what a program passed, while its stack pointer is `rsp` and this one is set.
    pub(crate) fn replaced_by(self, record: &StackRecord, rsp: u64) -> Result<Self, Errno> {
        if self.is_in_use(rsp) {
            return Err(Errno::EPERM);
        }
        match record.flags & !SS_AUTODISARM {
            SS_DISABLE => return Ok(Self::default()),
            0 | SS_ONSTACK => {}
            _ => return Err(Errno::EINVAL),
        }
        if record.size < MINSIGSTKSZ {
            return Err(Errno::ENOMEM);
        }
        Ok(Self {
            start: record.pointer,
            size: record.size,
            is_disarmed_by_use: record.flags & SS_AUTODISARM != 0,
        })
    }

    /// As a program sees it while its stack pointer is `rsp`.
    pub(crate) fn record(self, rsp: u64) -> StackRecord {
        let mut flags = if self.size == 0 { SS_DISABLE } else { 0 };
        if self.is_in_use(rsp) {
            flags |= SS_ONSTACK;
        }
        if self.is_disarmed_by_use {
            flags |= SS_AUTODISARM;
        }
        StackRecord {
            pointer: self.start,
            flags,
            padding: 0,
            size: self.size,
        }
    }

    /// Where a handler's frame may begin, when one is set and `rsp` is not on it already.
    pub(crate) fn top_for(self, rsp: u64) -> Option<u64> {
        let is_free = self.size != 0 && !self.is_in_use(rsp);
        is_free.then(|| self.start.wrapping_add(self.size))
    }

    /// What is left of it once a handler was entered.
    pub(crate) fn after_use(self) -> Self {
        if self.is_disarmed_by_use {
            Self::default()
        } else {
            self
        }
    }

    /// Whether `rsp` is on it.
    pub(super) const fn holds(self, rsp: u64) -> bool {
        rsp > self.start && rsp.wrapping_sub(self.start) <= self.size
    }

    /// The same, while it is set.
    pub(super) const fn is_in_use(self, rsp: u64) -> bool {
        !self.is_disarmed_by_use && self.holds(rsp)
    }
}

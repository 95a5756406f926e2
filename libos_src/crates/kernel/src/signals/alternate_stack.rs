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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AlternateStack {
    start: u64,
    size: u64,
    /// As the program gave them.
    flags: u32,
}

impl Default for AlternateStack {
    fn default() -> Self {
        Self {
            start: 0,
            size: 0,
            flags: SS_DISABLE,
        }
    }
}

impl AlternateStack {
    /// Decodes what a program passed, while its stack pointer is `rsp` and this one is set.
    pub(crate) fn replaced_by(self, record: &StackRecord, rsp: u64) -> Result<Self, Errno> {
        if self.is_in_use(rsp) {
            return Err(Errno::EPERM);
        }
        let (start, size) = match record.flags & !SS_AUTODISARM {
            SS_DISABLE => (0, 0),
            0 | SS_ONSTACK => (record.pointer, record.size),
            _ => return Err(Errno::EINVAL),
        };
        let new = Self {
            start,
            size,
            flags: record.flags,
        };
        if new.size < MINSIGSTKSZ && !new.is_disabled() && new != self {
            return Err(Errno::ENOMEM);
        }
        Ok(new)
    }

    /// As a program sees it while its stack pointer is `rsp`.
    pub(crate) fn record(self, rsp: u64) -> StackRecord {
        let state = match self.size {
            0 => SS_DISABLE,
            _ if self.is_in_use(rsp) => SS_ONSTACK,
            _ => 0,
        };
        StackRecord {
            flags: state | self.flags & SS_AUTODISARM,
            ..self.as_given()
        }
    }

    /// As the program gave it, which is what a handler's frame keeps.
    pub(super) const fn as_given(self) -> StackRecord {
        StackRecord {
            pointer: self.start,
            flags: self.flags,
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
        if self.is_disarmed_by_use() {
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
        !self.is_disarmed_by_use() && self.holds(rsp)
    }

    const fn is_disarmed_by_use(self) -> bool {
        self.flags & SS_AUTODISARM != 0
    }

    const fn is_disabled(self) -> bool {
        self.flags & !SS_AUTODISARM == SS_DISABLE
    }
}

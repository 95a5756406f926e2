//! SECINFO: the type and the permissions of an enclave page.

use core::fmt;

/// The type of an enclave page (SDM table "PAGE_TYPE field").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PageType {
    /// The enclave's control structure.
    Secs = 0,
    /// A thread's control structure, where EENTER starts.
    Tcs = 1,
    /// A page that the enclave reads, writes or executes.
    Reg = 2,
    /// A version array of the paging leaves.
    Va = 3,
    /// A page on its way out of the enclave.
    Trim = 4,
    /// The first page of a shadow stack.
    SsFirst = 5,
    /// A later page of a shadow stack.
    SsRest = 6,
}

impl PageType {
    /// The type that this number stands for, if any.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Secs,
            1 => Self::Tcs,
            2 => Self::Reg,
            3 => Self::Va,
            4 => Self::Trim,
            5 => Self::SsFirst,
            6 => Self::SsRest,
            _ => return None,
        })
    }
}

/// What the enclave may do with a page: the low three bits of SECINFO.FLAGS.
///
/// Write without read can be expressed, but the CPU refuses it.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Permissions(u8);

impl Permissions {
    /// No access; what a TCS has.
    pub const NONE: Self = Self(0);
    /// Read only.
    pub const R: Self = Self(1);
    /// Read and write.
    pub const RW: Self = Self(3);
    /// Read and execute.
    pub const RX: Self = Self(5);
    /// Read, write and execute.
    pub const RWX: Self = Self(7);

    /// The permissions in the low three bits; higher bits are ignored.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self((bits & 7) as u8)
    }

    /// Bit 0 read, bit 1 write, bit 2 execute: the same bits as `PROT_*` of Linux.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether reading is allowed.
    #[must_use]
    pub const fn read(self) -> bool {
        self.0 & 1 != 0
    }

    /// Whether writing is allowed.
    #[must_use]
    pub const fn write(self) -> bool {
        self.0 & 2 != 0
    }

    /// Whether executing is allowed.
    #[must_use]
    pub const fn execute(self) -> bool {
        self.0 & 4 != 0
    }
}

impl fmt::Debug for Permissions {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = |set, letter| if set { letter } else { '-' };
        write!(
            out,
            "{}{}{}",
            letter(self.read(), 'r'),
            letter(self.write(), 'w'),
            letter(self.execute(), 'x')
        )
    }
}

/// SECINFO.FLAGS (SDM table "Layout of SECINFO.FLAGS Structure").
///
/// The 56 bytes after the flags are reserved and always zero, so the flags are the whole value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SecInfo(u64);

impl SecInfo {
    /// The page waits for EACCEPT or EACCEPTCOPY after EAUG.
    pub const PENDING: u64 = 1 << 3;
    /// The page waits for EACCEPT after EMODT.
    pub const MODIFIED: u64 = 1 << 4;
    /// The page waits for EACCEPT after EMODPR.
    pub const PR: u64 = 1 << 5;

    /// A thread control structure; it has no permissions of its own.
    pub const TCS: Self = Self::new(PageType::Tcs, Permissions::NONE);

    /// The SECINFO of a page that is not in transition.
    #[must_use]
    pub const fn new(page_type: PageType, permissions: Permissions) -> Self {
        Self((page_type as u64) << 8 | permissions.0 as u64)
    }

    /// A regular page.
    #[must_use]
    pub const fn regular(permissions: Permissions) -> Self {
        Self::new(PageType::Reg, permissions)
    }

    /// Any value of FLAGS, valid or not.
    #[must_use]
    pub const fn from_flags(flags: u64) -> Self {
        Self(flags)
    }

    /// FLAGS as stored.
    #[must_use]
    pub const fn flags(self) -> u64 {
        self.0
    }

    /// The page type, or nothing where the number stands for none.
    #[must_use]
    pub fn page_type(self) -> Option<PageType> {
        PageType::from_number((self.0 >> 8) as u8)
    }

    /// The permissions.
    #[must_use]
    pub const fn permissions(self) -> Permissions {
        Permissions::from_bits(self.0)
    }

    /// Whether EADD and the Linux driver take a page with this SECINFO: a TCS without permissions,
    /// or a regular page that is not writable without being readable; no other bit set.
    #[must_use]
    pub fn is_addable(self) -> bool {
        let permissions = self.permissions();
        match self.page_type() {
            Some(PageType::Tcs) => self == Self::TCS,
            Some(PageType::Reg) => {
                self == Self::regular(permissions) && (permissions.read() || !permissions.write())
            }
            _ => false,
        }
    }

    /// The 64-byte structure that ENCLS and ENCLU leaves take, which must lie on a 64-byte boundary.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes[..8].copy_from_slice(&self.0.to_le_bytes());
        bytes
    }
}

//! SECINFO: type and permissions of one enclave page.

use core::fmt;

/// SECINFO, 64 bytes, SDM table "Layout of SECINFO Structure". The bytes after FLAGS are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct SecInfo {
    /// Permissions in bits 0 to 2, state in bits 3 to 5, page type in bits 8 to 15.
    pub flags: u64,
    /// Must be zero.
    pub reserved_8: [u64; 7],
}

impl SecInfo {
    /// The page waits for EACCEPT after EAUG.
    pub const PENDING: u64 = 1 << 3;
    /// The page waits for EACCEPT after EMODT.
    pub const MODIFIED: u64 = 1 << 4;
    /// The page waits for EACCEPT after EMODPR.
    pub const PERMISSIONS_RESTRICTED: u64 = 1 << 5;

    /// A thread control page. Its permissions are none, as EADD sets them.
    pub const TCS: Self = Self::new(PageType::Tcs, Permissions::NONE);

    /// A page of this type with these permissions and no state bit.
    #[must_use]
    pub const fn new(page_type: PageType, permissions: Permissions) -> Self {
        Self::from_flags(((page_type as u64) << 8) | permissions.bits() as u64)
    }

    /// A regular page with these permissions.
    #[must_use]
    pub const fn regular(permissions: Permissions) -> Self {
        Self::new(PageType::Regular, permissions)
    }

    /// The structure with these flags. No bit is judged.
    #[must_use]
    pub const fn from_flags(flags: u64) -> Self {
        Self {
            flags,
            reserved_8: [0; 7],
        }
    }

    /// The same page in this state, one of the three state bits.
    #[must_use]
    pub const fn with_state(self, state: u64) -> Self {
        Self::from_flags(self.flags | state)
    }

    /// The permissions.
    #[must_use]
    pub const fn permissions(self) -> Permissions {
        Permissions::from_bits_truncated(self.flags as u8)
    }

    /// The page type, if the number is a known one.
    #[must_use]
    pub const fn page_type(self) -> Option<PageType> {
        PageType::from_number((self.flags >> 8) as u8)
    }
}

/// The kind of an enclave page, SDM table "Supported PAGE_TYPE".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PageType {
    /// The enclave's own control structure.
    Secs = 0,
    /// A thread control structure.
    Tcs = 1,
    /// Code and data.
    Regular = 2,
    /// A version array, of the kernel's paging.
    VersionArray = 3,
    /// A page on its way out.
    Trimmed = 4,
}

impl PageType {
    /// The type with this number; shadow-stack pages (5, 6) are not supported.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Secs),
            1 => Some(Self::Tcs),
            2 => Some(Self::Regular),
            3 => Some(Self::VersionArray),
            4 => Some(Self::Trimmed),
            _ => None,
        }
    }
}

/// A set of read, write and execute, in SGX's bit order: that of `PROT_*`, not that of ELF.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Permissions(u8);

impl Permissions {
    /// No access.
    pub const NONE: Self = Self(0);
    /// Read.
    pub const R: Self = Self(1);
    /// Read and write.
    pub const RW: Self = Self(3);
    /// Read and execute.
    pub const RX: Self = Self(5);
    /// Read, write and execute.
    pub const RWX: Self = Self(7);
    /// Write alone: of use in set operations only, no page can have it.
    pub const W: Self = Self(2);
    /// Execute alone: of use in set operations only.
    pub const X: Self = Self(4);

    /// The set in the low three bits; others are dropped.
    #[must_use]
    pub const fn from_bits_truncated(bits: u8) -> Self {
        Self(bits & 7)
    }

    /// Bit 0 read, bit 1 write, bit 2 execute.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether every permission of `other` is in this set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Permissions in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Permissions in both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl fmt::Debug for Permissions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (bit, name) in [(Self::R, "r"), (Self::W, "w"), (Self::X, "x")] {
            formatter.write_str(if self.contains(bit) { name } else { "-" })?;
        }
        Ok(())
    }
}

const _: () = {
    assert!(size_of::<SecInfo>() == 64);
    assert!(SecInfo::TCS.flags == 0x100);
    assert!(SecInfo::regular(Permissions::RX).flags == 0x205);
    assert!(SecInfo::regular(Permissions::RWX).flags == 0x207);
};

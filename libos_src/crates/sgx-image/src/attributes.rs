//! ATTRIBUTES and MISCSELECT: what an enclave may do and what it asks of the CPU.

/// SECS.ATTRIBUTES and SIGSTRUCT.ATTRIBUTES (SDM table "Layout of ATTRIBUTES Structure").
///
/// Also the type of SIGSTRUCT.ATTRIBUTEMASK, which says bit by bit what the signer insists on.
/// Every bit pattern can be held; which ones the CPU accepts is ECREATE's and EINIT's business.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Attributes {
    /// The flags in bits 0 to 63: see the constants of this type.
    pub flags: u64,
    /// XFRM, bits 64 to 127: the XCR0 bits that are set while the enclave runs.
    pub xfrm: u64,
}

impl Attributes {
    /// EINIT has succeeded. The CPU sets it; ECREATE refuses it.
    pub const INIT: u64 = 1 << 0;
    /// A debugger may read and write the enclave.
    pub const DEBUG: u64 = 1 << 1;
    /// The enclave runs in 64-bit mode.
    pub const MODE64BIT: u64 = 1 << 2;
    /// The provisioning key is available through EGETKEY.
    pub const PROVISIONKEY: u64 = 1 << 4;
    /// The EINITTOKEN key is available through EGETKEY.
    pub const EINITTOKEN_KEY: u64 = 1 << 5;
    /// CET is in use: the CET_ATTRIBUTES fields have a meaning.
    pub const CET: u64 = 1 << 6;
    /// Key separation and sharing: CONFIGID, CONFIGSVN, ISVFAMILYID and ISVEXTPRODID are usable.
    pub const KSS: u64 = 1 << 7;
    /// Threads may opt into AEX-Notify.
    pub const AEXNOTIFY: u64 = 1 << 10;

    /// x87 and SSE state, the two bits of XFRM that every enclave must set.
    pub const XFRM_LEGACY: u64 = 0b11;

    /// Reads the 16 bytes in which both halves are stored, little endian.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let both = u128::from_le_bytes(bytes);
        Self {
            flags: both as u64,
            xfrm: (both >> 64) as u64,
        }
    }

    /// The 16 bytes in which both halves are stored, little endian.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        (u128::from(self.xfrm) << 64 | u128::from(self.flags)).to_le_bytes()
    }

    /// The bits that are also set in `mask`.
    #[must_use]
    pub fn masked(self, mask: Self) -> Self {
        Self {
            flags: self.flags & mask.flags,
            xfrm: self.xfrm & mask.xfrm,
        }
    }

    /// Whether every flag of `flags` is set.
    #[must_use]
    pub fn has(self, flags: u64) -> bool {
        self.flags & flags == flags
    }
}

/// Bits of MISCSELECT (SDM table "Bit Vector Layout of MISCSELECT Field").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MiscSelect(pub u32);

impl MiscSelect {
    /// The SSA frame receives the address and error code of #PF and #GP.
    pub const EXINFO: Self = Self(1 << 0);
    /// The SSA frame receives control-protection information (CET).
    pub const CPINFO: Self = Self(1 << 1);
}

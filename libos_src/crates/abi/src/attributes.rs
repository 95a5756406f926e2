//! ATTRIBUTES and MISCSELECT: what an enclave may do and what its save area holds.

/// The 16-byte ATTRIBUTES of SECS and SIGSTRUCT, SDM table "Layout of ATTRIBUTES Structure".
///
/// It also serves as ATTRIBUTEMASK, which has the same layout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Attributes {
    /// Flag bits, named by the constants of this type.
    pub flags: u64,
    /// The extended state that the enclave may use, in the layout of XCR0.
    pub xfrm: u64,
}

impl Attributes {
    /// Set by EINIT; must be clear in SIGSTRUCT and at ECREATE.
    pub const INIT: u64 = 1 << 0;
    /// The host may read and write the enclave with EDBGRD and EDBGWR.
    pub const DEBUG: u64 = 1 << 1;
    /// The enclave runs in 64-bit mode.
    pub const MODE64BIT: u64 = 1 << 2;
    /// The provisioning key is available through EGETKEY.
    pub const PROVISION_KEY: u64 = 1 << 4;
    /// The EINIT token key is available through EGETKEY.
    pub const EINITTOKEN_KEY: u64 = 1 << 5;
    /// Control-flow enforcement attributes are in use.
    pub const CET: u64 = 1 << 6;
    /// Key separation and sharing: CONFIGID, ISVFAMILYID and ISVEXTPRODID are in use.
    pub const KSS: u64 = 1 << 7;
    /// Threads may ask to be told of asynchronous exits.
    pub const AEX_NOTIFY: u64 = 1 << 10;

    /// XFRM: x87 and SSE state, always set.
    pub const XFRM_LEGACY: u64 = 0x3;
    /// XFRM: the upper halves of YMM.
    pub const XFRM_AVX: u64 = 0x4;
    /// XFRM: opmask and ZMM state.
    pub const XFRM_AVX512: u64 = 0xe0;
    /// XFRM: everything that fits an SSA frame of one page. AMX tiles do not.
    pub const XFRM_ALLOWED: u64 = Self::XFRM_LEGACY | Self::XFRM_AVX | Self::XFRM_AVX512;

    /// The value as 16 little-endian bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        (u128::from(self.flags) | (u128::from(self.xfrm) << 64)).to_le_bytes()
    }

    /// The value of 16 little-endian bytes. No bit is judged.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let value = u128::from_le_bytes(bytes);
        Self {
            flags: value as u64,
            xfrm: (value >> 64) as u64,
        }
    }
}

/// MISCSELECT bit 0: the SSA records EXINFO, the address and error code of #PF and #GP.
pub const MISC_EXINFO: u32 = 1 << 0;

#[cfg(test)]
mod tests {
    use super::Attributes;

    #[test]
    fn attributes_survive_their_bytes() {
        let attributes = Attributes {
            flags: 0x0123_4567_89ab_cdef,
            xfrm: 0xe7,
        };
        assert_eq!(Attributes::from_bytes(attributes.to_bytes()), attributes);
        assert_eq!(attributes.to_bytes()[0], 0xef);
        assert_eq!(attributes.to_bytes()[8], 0xe7);
    }
}

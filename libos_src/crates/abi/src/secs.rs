//! SECS: the control structure of one enclave.

use core::mem::{offset_of, size_of};

use crate::Attributes;

/// SECS, 4096 bytes, SDM table "Layout of SGX Enclave Control Structure (SECS)".
///
/// A host fills `size_bytes` to `config_svn` for ECREATE; the identity fields are EINIT's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(4096))]
pub struct Secs {
    /// Size of the enclave's linear range, a power of two.
    pub size_bytes: u64,
    /// First address of the range, aligned to its size. Always 0 in this project.
    pub base_address: u64,
    /// Pages in one SSA frame.
    pub ssa_frame_pages: u32,
    /// Which extra state an SSA frame records.
    pub misc_select: u32,
    /// Offset of the CET legacy bitmap; 0 without CET.
    pub cet_legacy_bitmap_offset: u64,
    /// CET attributes; 0 without CET.
    pub cet_attributes: u8,
    /// Must be zero.
    pub reserved_33: [u8; 15],
    /// What the enclave may do.
    pub attributes: Attributes,
    /// The measurement, set by EINIT.
    pub mr_enclave: [u8; 32],
    /// Must be zero.
    pub reserved_96: [u8; 32],
    /// SHA-256 of the signer's modulus, set by EINIT.
    pub mr_signer: [u8; 32],
    /// Must be zero.
    pub reserved_160: [u8; 32],
    /// Configuration identity, with KSS.
    pub config_id: [u8; 64],
    /// Product number, set by EINIT.
    pub isv_prod_id: u16,
    /// Security version, set by EINIT.
    pub isv_svn: u16,
    /// Configuration version, with KSS.
    pub config_svn: u16,
    /// Must be zero.
    pub reserved_262: [u8; 3834],
}

impl Secs {
    /// All zero: a base for building one. It describes no enclave.
    pub const ZERO: Self = Self {
        size_bytes: 0,
        base_address: 0,
        ssa_frame_pages: 0,
        misc_select: 0,
        cet_legacy_bitmap_offset: 0,
        cet_attributes: 0,
        reserved_33: [0; 15],
        attributes: Attributes { flags: 0, xfrm: 0 },
        mr_enclave: [0; 32],
        reserved_96: [0; 32],
        mr_signer: [0; 32],
        reserved_160: [0; 32],
        config_id: [0; 64],
        isv_prod_id: 0,
        isv_svn: 0,
        config_svn: 0,
        reserved_262: [0; 3834],
    };
}

const _: () = {
    assert!(size_of::<Secs>() == 4096);
    assert!(offset_of!(Secs, ssa_frame_pages) == 16);
    assert!(offset_of!(Secs, misc_select) == 20);
    assert!(offset_of!(Secs, cet_attributes) == 32);
    assert!(offset_of!(Secs, attributes) == 48);
    assert!(offset_of!(Secs, mr_enclave) == 64);
    assert!(offset_of!(Secs, mr_signer) == 128);
    assert!(offset_of!(Secs, config_id) == 192);
    assert!(offset_of!(Secs, isv_prod_id) == 256);
    assert!(offset_of!(Secs, isv_svn) == 258);
    assert!(offset_of!(Secs, config_svn) == 260);
};

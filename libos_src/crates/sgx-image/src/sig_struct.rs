//! SIGSTRUCT: what a signer says about an enclave.

use core::fmt;
use std::error::Error;

use sha2::{Digest, Sha256};

use abi::Attributes;

/// Bytes in a SIGSTRUCT.
pub const SIG_STRUCT_BYTES: usize = abi::SIGSTRUCT_SIZE;

/// Bytes in an RSA-3072 number.
pub const RSA_BYTES: usize = 384;

/// Bytes that the signature covers.
pub const SIGNED_BYTES: usize = 256;

/// An enclave signature structure (SDM table "Layout of Enclave Signature Structure (SIGSTRUCT)").
///
/// It holds any 1808 bytes; the accessors read fields as the SDM names them, numbers little endian.
/// Whether the CPU would accept them is not decided here but by crate `einit`.
#[derive(Clone, PartialEq, Eq)]
pub struct SigStruct([u8; SIG_STRUCT_BYTES]);

impl SigStruct {
    /// The value that [`Self::header`] must have.
    pub const HEADER: [u8; 16] = [6, 0, 0, 0, 0xE1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0];
    /// The value that [`Self::header2`] must have.
    pub const HEADER2: [u8; 16] = [1, 1, 0, 0, 0x60, 0, 0, 0, 0x60, 0, 0, 0, 1, 0, 0, 0];

    /// Takes the bytes as they are.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; SIG_STRUCT_BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes as they are.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; SIG_STRUCT_BYTES] {
        &self.0
    }

    /// HEADER, offset 0.
    #[must_use]
    pub fn header(&self) -> [u8; 16] {
        self.field(0)
    }

    /// VENDOR, offset 16: 0x8086 for Intel's own enclaves, else zero.
    #[must_use]
    pub fn vendor(&self) -> u32 {
        u32::from_le_bytes(self.field(16))
    }

    /// DATE, offset 20, as `0xYYYYMMDD`. The CPU does not look at it.
    #[must_use]
    pub fn date(&self) -> u32 {
        u32::from_le_bytes(self.field(20))
    }

    /// HEADER2, offset 24.
    #[must_use]
    pub fn header2(&self) -> [u8; 16] {
        self.field(24)
    }

    /// SWDEFINED, offset 40. The CPU does not look at it.
    #[must_use]
    pub fn swdefined(&self) -> u32 {
        u32::from_le_bytes(self.field(40))
    }

    /// MODULUS, offset 128, little endian.
    #[must_use]
    pub fn modulus(&self) -> &[u8; RSA_BYTES] {
        self.slice(128)
    }

    /// EXPONENT, offset 512.
    #[must_use]
    pub fn exponent(&self) -> u32 {
        u32::from_le_bytes(self.field(512))
    }

    /// SIGNATURE, offset 516, little endian.
    #[must_use]
    pub fn signature(&self) -> &[u8; RSA_BYTES] {
        self.slice(516)
    }

    /// MISCSELECT, offset 900.
    #[must_use]
    pub fn miscselect(&self) -> u32 {
        u32::from_le_bytes(self.field(900))
    }

    /// MISCMASK, offset 904.
    #[must_use]
    pub fn miscmask(&self) -> u32 {
        u32::from_le_bytes(self.field(904))
    }

    /// CET_ATTRIBUTES, offset 908.
    #[must_use]
    pub fn cet_attributes(&self) -> u8 {
        self.0[908]
    }

    /// CET_ATTRIBUTES_MASK, offset 909.
    #[must_use]
    pub fn cet_attributes_mask(&self) -> u8 {
        self.0[909]
    }

    /// ISVFAMILYID, offset 912.
    #[must_use]
    pub fn isvfamilyid(&self) -> [u8; 16] {
        self.field(912)
    }

    /// ATTRIBUTES, offset 928.
    #[must_use]
    pub fn attributes(&self) -> Attributes {
        Attributes::from_bytes(self.field(928))
    }

    /// ATTRIBUTEMASK, offset 944.
    #[must_use]
    pub fn attributemask(&self) -> Attributes {
        Attributes::from_bytes(self.field(944))
    }

    /// ENCLAVEHASH, offset 960: the MRENCLAVE that was signed.
    #[must_use]
    pub fn enclavehash(&self) -> [u8; 32] {
        self.field(960)
    }

    /// ISVEXTPRODID, offset 1008.
    #[must_use]
    pub fn isvextprodid(&self) -> [u8; 16] {
        self.field(1008)
    }

    /// ISVPRODID, offset 1024.
    #[must_use]
    pub fn isvprodid(&self) -> u16 {
        u16::from_le_bytes(self.field(1024))
    }

    /// ISVSVN, offset 1026.
    #[must_use]
    pub fn isvsvn(&self) -> u16 {
        u16::from_le_bytes(self.field(1026))
    }

    /// Q1, offset 1040, little endian.
    #[must_use]
    pub fn q1(&self) -> &[u8; RSA_BYTES] {
        self.slice(1040)
    }

    /// Q2, offset 1424, little endian.
    #[must_use]
    pub fn q2(&self) -> &[u8; RSA_BYTES] {
        self.slice(1424)
    }

    /// Whether every reserved byte is zero: 44 to 127, 910 to 911, 992 to 1007 and 1028 to 1039.
    #[must_use]
    pub fn reserved_is_zero(&self) -> bool {
        [44..128, 910..912, 992..1008, 1028..1040]
            .into_iter()
            .all(|bytes| self.0[bytes].iter().all(|&byte| byte == 0))
    }

    /// What the signature covers: bytes 0 to 127 and 900 to 1027.
    #[must_use]
    pub fn signed_bytes(&self) -> [u8; SIGNED_BYTES] {
        let mut signed = [0; SIGNED_BYTES];
        signed[..128].copy_from_slice(&self.0[..128]);
        signed[128..].copy_from_slice(&self.0[900..1028]);
        signed
    }

    /// The MRSIGNER that this signer gives to an enclave: the SHA-256 of MODULUS.
    #[must_use]
    pub fn mrsigner(&self) -> [u8; 32] {
        Sha256::digest(self.modulus()).into()
    }

    fn field<const N: usize>(&self, offset: usize) -> [u8; N] {
        *self.slice(offset)
    }

    fn slice<const N: usize>(&self, offset: usize) -> &[u8; N] {
        self.0[offset..]
            .first_chunk()
            .expect("every offset here is a constant that lies inside the structure")
    }
}

impl TryFrom<&[u8]> for SigStruct {
    type Error = WrongLength;

    fn try_from(bytes: &[u8]) -> Result<Self, WrongLength> {
        match bytes.try_into() {
            Ok(bytes) => Ok(Self(bytes)),
            Err(_) => Err(WrongLength(bytes.len())),
        }
    }
}

impl fmt::Debug for SigStruct {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("SigStruct")
            .field("enclavehash", &Hex(&self.enclavehash()))
            .field("mrsigner", &Hex(&self.mrsigner()))
            .field("isvprodid", &self.isvprodid())
            .field("isvsvn", &self.isvsvn())
            .finish_non_exhaustive()
    }
}

/// Bytes that should be a SIGSTRUCT are of this length and not of [`SIG_STRUCT_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongLength(pub usize);

impl fmt::Display for WrongLength {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(length) = self;
        write!(out, "a SIGSTRUCT has 1808 bytes, not {length}")
    }
}

impl Error for WrongLength {}

struct Hex<'a>(&'a [u8]);

impl fmt::Debug for Hex<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

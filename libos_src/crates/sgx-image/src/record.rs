//! The 64-byte records that the CPU hashes (SDM operations of ECREATE, EADD and EEXTEND).

use abi::SecInfo;

use crate::{EnclaveGeometry, SgxsFault};

pub(crate) const RECORD_BYTES: usize = 64;

const CREATE: u64 = u64::from_le_bytes(*b"ECREATE\0");
const ADD: u64 = u64::from_le_bytes(*b"EADD\0\0\0\0");
const EXTEND: u64 = u64::from_le_bytes(*b"EEXTEND\0");
/// Tags of the extended format, for images that are not finished.
const UNSIZED: u64 = u64::from_le_bytes(*b"UNSIZED\0");
const UNMEASURED: u64 = u64::from_le_bytes(*b"UNMEASRD");

/// One record; the 256 bytes of data after an EEXTEND are not part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// `tag | u32 SSAFRAMESIZE | u64 SIZE | 44 zeros`.
    Create(EnclaveGeometry),
    /// `tag | u64 page offset | the first 48 bytes of SECINFO`.
    Add { page_offset: u64, sec_info: SecInfo },
    /// `tag | u64 chunk offset | 48 zeros`.
    Extend { chunk_offset: u64 },
}

pub(crate) fn create(enclave: EnclaveGeometry) -> [u8; RECORD_BYTES] {
    let mut record = tagged(CREATE);
    record[8..12].copy_from_slice(&enclave.ssa_frame_pages.to_le_bytes());
    record[12..20].copy_from_slice(&enclave.size_bytes.to_le_bytes());
    record
}

pub(crate) fn add(page_offset: u64, sec_info: SecInfo) -> [u8; RECORD_BYTES] {
    let mut record = tagged(ADD);
    record[8..16].copy_from_slice(&page_offset.to_le_bytes());
    record[16..24].copy_from_slice(&sec_info.flags.to_le_bytes());
    record
}

pub(crate) fn extend(chunk_offset: u64) -> [u8; RECORD_BYTES] {
    let mut record = tagged(EXTEND);
    record[8..16].copy_from_slice(&chunk_offset.to_le_bytes());
    record
}

/// Reads a record. On failure, also says which of its bytes is at fault.
pub(crate) fn parse(bytes: &[u8; RECORD_BYTES]) -> Result<Record, (usize, SgxsFault)> {
    let tag = u64::from_le_bytes(array(bytes, 0));
    let (record, end) = match tag {
        CREATE => {
            let enclave = EnclaveGeometry {
                ssa_frame_pages: u32::from_le_bytes(array(bytes, 8)),
                size_bytes: u64::from_le_bytes(array(bytes, 12)),
            };
            (Record::Create(enclave), 20)
        }
        ADD => {
            let page_offset = u64::from_le_bytes(array(bytes, 8));
            let sec_info = SecInfo::from_flags(u64::from_le_bytes(array(bytes, 16)));
            (
                Record::Add {
                    page_offset,
                    sec_info,
                },
                24,
            )
        }
        EXTEND => {
            let chunk_offset = u64::from_le_bytes(array(bytes, 8));
            (Record::Extend { chunk_offset }, 16)
        }
        UNSIZED => return Err((0, SgxsFault::Unsized)),
        UNMEASURED => return Err((0, SgxsFault::Unmeasured)),
        _ => return Err((0, SgxsFault::UnknownTag(tag.to_le_bytes()))),
    };
    // The CPU hashes zeros here whatever the file says, so anything else would not be measured.
    match bytes[end..].iter().position(|&byte| byte != 0) {
        Some(index) => Err((end + index, SgxsFault::ReservedByte)),
        None => Ok(record),
    }
}

fn tagged(tag: u64) -> [u8; RECORD_BYTES] {
    let mut record = [0; RECORD_BYTES];
    record[..8].copy_from_slice(&tag.to_le_bytes());
    record
}

fn array<const N: usize>(bytes: &[u8; RECORD_BYTES], start: usize) -> [u8; N] {
    core::array::from_fn(|index| bytes[start + index])
}

//! Why a stream is not an image.

use std::{error, fmt, io};

/// What is wrong with an SGXS stream, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SgxsError {
    /// The byte of the stream at which the fault was seen.
    pub at: u64,
    /// What is wrong there.
    pub fault: SgxsFault,
}

/// The ways in which a stream can be wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SgxsFault {
    /// Reading failed.
    Io(io::ErrorKind, String),
    /// The stream has no bytes.
    Empty,
    /// The stream ends inside a record or its data.
    Truncated,
    /// Eight bytes that begin no record.
    UnknownTag([u8; 8]),
    /// `UNSIZED`: an image whose size is not settled has no measurement.
    Unsized,
    /// `UNMEASRD`: data that is loaded without being measured, which this format does not allow.
    Unmeasured,
    /// A byte that the CPU measures as zero is not zero.
    ReservedByte,
    /// The first record is not ECREATE.
    MissingCreate,
    /// A second ECREATE.
    SecondCreate,
    /// SIZE is not a power of two of at least two pages.
    EnclaveSize(u64),
    /// SSAFRAMESIZE is zero.
    SsaFrameSize,
    /// An offset that is not a multiple of 4096.
    UnalignedPage(u64),
    /// A page that does not lie inside SIZE.
    PageOutsideEnclave(u64),
    /// A page at or below the one before it.
    PageOutOfOrder {
        /// The page in question.
        page_offset: u64,
        /// The lowest offset that would have been in order.
        expected_at_least: u64,
    },
    /// SECINFO.FLAGS that EADD or the Linux driver refuses.
    SecInfo(u64),
    /// An EEXTEND that is not the next one of the page before it.
    ChunkOutOfOrder {
        /// The offset in the record.
        chunk_offset: u64,
        /// The only offset that may stand here, if any may.
        expected: Option<u64>,
    },
    /// A page of which some chunks are measured and some are not; Linux loads all or none.
    PartlyMeasuredPage {
        /// The page.
        page_offset: u64,
        /// How many of its 16 chunks are measured.
        measured_chunks: usize,
    },
    /// A TCS that is not measured: the host would choose where the enclave is entered.
    UnmeasuredTcs(u64),
    /// A TCS field that EADD sets to zero is not zero, so the CPU would measure something else.
    TcsField {
        /// The TCS page.
        page_offset: u64,
        /// The name of the field in the SDM.
        field: &'static str,
    },
}

impl fmt::Display for SgxsError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} at byte {:#x}", self.fault, self.at)
    }
}

impl error::Error for SgxsError {}

impl fmt::Display for SgxsFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(_, message) => write!(out, "cannot read the stream: {message}"),
            Self::Empty => write!(out, "the stream is empty"),
            Self::Truncated => write!(out, "the stream ends inside a record"),
            Self::UnknownTag(tag) => write!(out, "`{}` begins no record", tag.escape_ascii()),
            Self::Unsized => write!(out, "`UNSIZED` image: it has no size and no measurement"),
            Self::Unmeasured => write!(out, "`UNMEASRD` data: it would escape the measurement"),
            Self::ReservedByte => write!(out, "a reserved byte is not zero"),
            Self::MissingCreate => write!(out, "the first record is not ECREATE"),
            Self::SecondCreate => write!(out, "a second ECREATE"),
            Self::EnclaveSize(size_bytes) => write!(
                out,
                "enclave size {size_bytes:#x} is not a power of two of at least 0x2000"
            ),
            Self::SsaFrameSize => write!(out, "the SSA frame size is zero"),
            Self::UnalignedPage(offset) => {
                write!(out, "page offset {offset:#x} is not a multiple of 0x1000")
            }
            Self::PageOutsideEnclave(offset) => {
                write!(out, "page {offset:#x} lies outside the enclave")
            }
            Self::PageOutOfOrder {
                page_offset,
                expected_at_least,
            } => write!(
                out,
                "page {page_offset:#x} is out of order: {expected_at_least:#x} or above expected"
            ),
            Self::SecInfo(flags) => write!(out, "SECINFO flags {flags:#x} cannot be added"),
            Self::ChunkOutOfOrder {
                chunk_offset,
                expected: Some(expected),
            } => write!(
                out,
                "chunk {chunk_offset:#x} is out of order: {expected:#x} expected"
            ),
            Self::ChunkOutOfOrder {
                chunk_offset,
                expected: None,
            } => write!(out, "chunk {chunk_offset:#x} belongs to no page"),
            Self::PartlyMeasuredPage {
                page_offset,
                measured_chunks,
            } => write!(
                out,
                "page {page_offset:#x} is measured in part: {measured_chunks} of 16 chunks"
            ),
            Self::UnmeasuredTcs(offset) => write!(out, "TCS {offset:#x} is not measured"),
            Self::TcsField { page_offset, field } => {
                write!(out, "TCS {page_offset:#x}: {field} must be zero")
            }
        }
    }
}

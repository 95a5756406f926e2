//! The enclave image as bytes: what is loaded, what is measured, what is signed.
//!
//! An image is two files. The first is an SGXS stream, the very bytes that the CPU hashes while
//! an enclave is built, so that its SHA-256 is the MRENCLAVE; [`SgxsReader`] reads it and
//! [`Measurement`] repeats the CPU's hash. The second is a [`SigStruct`], the signer's statement
//! about that hash.
//!
//! This crate knows byte formats. It does not load enclaves, and it does not judge signatures:
//! crate `einit` does. Chapter and table names are those of the Intel SDM, volume 3D.
#![forbid(unsafe_code)]

mod attributes;
mod error;
mod measurement;
mod reader;
mod record;
mod sec_info;
mod sig_struct;
mod tcs;

pub use attributes::{Attributes, MiscSelect};
pub use error::{SgxsError, SgxsFault};
pub use measurement::{Measurement, measure};
pub use reader::{EnclaveGeometry, PageRun, SgxsReader};
pub use sec_info::{PageType, Permissions, SecInfo};
pub use sig_struct::{RSA_BYTES, SIG_STRUCT_BYTES, SIGNED_BYTES, SigStruct, WrongLength};

/// Bytes in an enclave page.
pub const PAGE_BYTES: usize = 4096;

/// Bytes that one EEXTEND measures.
pub const CHUNK_BYTES: usize = 256;

/// The EEXTENDs that measure a whole page.
pub const CHUNKS_PER_PAGE: usize = PAGE_BYTES / CHUNK_BYTES;

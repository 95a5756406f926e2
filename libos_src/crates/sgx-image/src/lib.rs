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

mod error;
mod measurement;
mod reader;
mod record;
mod sig_struct;
mod tcs;

pub use abi::{Attributes, PageType, Permissions, SecInfo};
pub use error::{SgxsError, SgxsFault};
pub use measurement::{Measurement, measure};
pub use reader::{EnclaveGeometry, PageRun, SgxsReader};
pub use sig_struct::{RSA_BYTES, SIG_STRUCT_BYTES, SIGNED_BYTES, SigStruct, WrongLength};

/// Bytes in an enclave page.
pub const PAGE_BYTES: usize = abi::PAGE_SIZE as usize;

/// Bytes that one EEXTEND measures.
pub const CHUNK_BYTES: usize = 256;

/// The EEXTENDs that measure a whole page.
pub const CHUNKS_PER_PAGE: usize = PAGE_BYTES / CHUNK_BYTES;

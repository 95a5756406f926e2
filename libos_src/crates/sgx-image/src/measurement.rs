//! MRENCLAVE as the CPU computes it.

use std::io::Read;

use abi::SecInfo;
use sha2::{Digest, Sha256};

use crate::{CHUNK_BYTES, EnclaveGeometry, PAGE_BYTES, PageRun, SgxsError, SgxsReader, record};

/// The running SHA-256 that becomes MRENCLAVE (SDM, "MRENCLAVE" and the operations of ECREATE, EADD
/// and EEXTEND).
///
/// It hashes what it is told, in the order in which it is told. It does not check that offsets are
/// aligned, inside the enclave or used once: whoever builds the enclave checks that.
#[derive(Clone)]
pub struct Measurement(Sha256);

impl Measurement {
    /// Starts as ECREATE does.
    #[must_use]
    pub fn create(enclave: EnclaveGeometry) -> Self {
        Self(Sha256::new_with_prefix(record::create(enclave)))
    }

    /// Adds a page as EADD does: its place and SECINFO, not its contents.
    pub fn add(&mut self, page_offset: u64, sec_info: SecInfo) {
        self.0.update(record::add(page_offset, sec_info));
    }

    /// Adds a quarter of a kibibyte as EEXTEND does.
    pub fn extend(&mut self, chunk_offset: u64, chunk: &[u8; CHUNK_BYTES]) {
        self.0.update(record::extend(chunk_offset));
        self.0.update(chunk);
    }

    /// Adds a page with its contents: EADD and sixteen EEXTENDs in ascending order.
    pub fn add_measured(&mut self, page_offset: u64, sec_info: SecInfo, page: &[u8; PAGE_BYTES]) {
        self.add(page_offset, sec_info);
        let (chunks, _) = page.as_chunks::<CHUNK_BYTES>();
        for (chunk_offset, chunk) in (page_offset..).step_by(CHUNK_BYTES).zip(chunks) {
            self.extend(chunk_offset, chunk);
        }
    }

    /// Adds every page of a run.
    pub fn add_run(&mut self, run: &PageRun<'_>) {
        match run.data {
            Some(data) => {
                let (pages, _) = data.as_chunks::<PAGE_BYTES>();
                for (page_offset, page) in run.page_offsets().zip(pages) {
                    self.add_measured(page_offset, run.sec_info, page);
                }
            }
            None => self.add_unmeasured(run),
        }
    }

    /// Adds pages without contents. A heap has millions of them, so their records are hashed by the
    /// kilobyte.
    fn add_unmeasured(&mut self, run: &PageRun<'_>) {
        let mut records = [0; 64 * record::RECORD_BYTES];
        let mut filled = 0;
        for page_offset in run.page_offsets() {
            let next = filled + record::RECORD_BYTES;
            records[filled..next].copy_from_slice(&record::add(page_offset, run.sec_info));
            filled = next;
            if filled == records.len() {
                self.0.update(records);
                filled = 0;
            }
        }
        self.0.update(&records[..filled]);
    }

    /// The MRENCLAVE of what was added, as EINIT finishes it.
    #[must_use]
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// The MRENCLAVE of an SGXS stream.
///
/// # Errors
/// When the stream cannot be read or breaks a rule of [`SgxsReader`].
pub fn measure(stream: impl Read) -> Result<[u8; 32], SgxsError> {
    let mut reader = SgxsReader::new(stream)?;
    let mut measurement = Measurement::create(reader.enclave());
    while let Some(run) = reader.next_run()? {
        measurement.add_run(&run);
    }
    Ok(measurement.finish())
}

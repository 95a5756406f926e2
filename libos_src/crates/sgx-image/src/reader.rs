//! Reading an SGXS stream page by page.

use std::io::{BufReader, ErrorKind, Read};

use abi::{PageType, Permissions, SecInfo};

use crate::record::{self, RECORD_BYTES, Record};
use crate::{CHUNK_BYTES, CHUNKS_PER_PAGE, PAGE_BYTES, tcs};
use crate::{SgxsError, SgxsFault};

/// The most data that one run carries, and so the memory that a reader needs for it.
const RUN_BYTES: usize = 64 * PAGE_BYTES;

const INPUT_BUFFER_BYTES: usize = 64 * 1024;

/// What ECREATE measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EnclaveGeometry {
    /// SECS.SSAFRAMESIZE, in pages.
    pub ssa_frame_pages: u32,
    /// SECS.SIZE, a power of two.
    pub size_bytes: u64,
}

/// Pages that follow each other and are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRun<'a> {
    /// Where the first page lies in the enclave.
    pub offset: u64,
    /// How many pages there are, at least one.
    pub page_count: u64,
    /// The type and permissions of each.
    pub sec_info: SecInfo,
    /// The contents of pages that are measured. Pages without measurement have none: they are added
    /// as zeros, and the enclave must not trust that they are.
    pub data: Option<&'a [u8]>,
}

impl PageRun<'_> {
    /// Whether the contents are measured.
    #[must_use]
    pub fn is_measured(&self) -> bool {
        self.data.is_some()
    }

    /// How many bytes of the enclave the run covers.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.page_count * PAGE_BYTES as u64
    }

    /// The offset of each page.
    pub fn page_offsets(&self) -> impl Iterator<Item = u64> + use<> {
        let first = self.offset;
        (0..self.page_count).map(move |index| first + index * PAGE_BYTES as u64)
    }
}

/// A reader of SGXS streams that hold exactly what the CPU measures, in address order.
///
/// It accepts what Linux can load with the measurement that the stream says: one ECREATE; pages in
/// strictly ascending order inside the enclave; each page measured as a whole, or not at all; no
/// data outside the measurement. For such a stream the SHA-256 of its bytes is the MRENCLAVE.
/// The stream is not trusted, and memory use does not depend on it.
pub struct SgxsReader<R> {
    input: BufReader<R>,
    /// Bytes consumed so far.
    position: u64,
    enclave: EnclaveGeometry,
    /// The record after the last one that was used.
    lookahead: Option<Located>,
    /// The page after the last run.
    next_page: Option<Page>,
    /// The lowest offset that the next page may have.
    lowest_offset: u64,
    data: Vec<u8>,
    /// An error is final: what comes after it has no meaning.
    failure: Option<SgxsError>,
}

#[derive(Clone, Copy)]
struct Located {
    at: u64,
    record: Record,
}

#[derive(Clone, Copy)]
struct Page {
    at: u64,
    offset: u64,
    sec_info: SecInfo,
    measured: bool,
}

impl<R: Read> SgxsReader<R> {
    /// Reads up to the first page. The input is buffered here.
    ///
    /// # Errors
    /// When the stream does not begin with an ECREATE that the CPU would take, or the record after
    /// it is not a page.
    pub fn new(input: R) -> Result<Self, SgxsError> {
        let mut reader = Self {
            input: BufReader::with_capacity(INPUT_BUFFER_BYTES, input),
            position: 0,
            enclave: EnclaveGeometry {
                ssa_frame_pages: 0,
                size_bytes: 0,
            },
            lookahead: None,
            next_page: None,
            lowest_offset: 0,
            data: Vec::new(),
            failure: None,
        };
        reader.enclave = match reader.read_record()? {
            Some(Located {
                record: Record::Create(enclave),
                ..
            }) => checked(enclave)?,
            Some(Located { at, .. }) => return Err(fault(at, SgxsFault::MissingCreate)),
            None => return Err(fault(0, SgxsFault::Empty)),
        };
        reader.lookahead = reader.read_record()?;
        reader.next_page = reader.read_page_head()?;
        Ok(reader)
    }

    /// What ECREATE is to be given.
    pub fn enclave(&self) -> EnclaveGeometry {
        self.enclave
    }

    /// The next pages, or nothing at the end of a stream that was right to its end.
    ///
    /// # Errors
    /// When the stream cannot be read or breaks a rule. The same error is returned ever after.
    pub fn next_run(&mut self) -> Result<Option<PageRun<'_>>, SgxsError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let Some(first) = self.next_page else {
            return Ok(None);
        };
        match self.read_run(first) {
            Ok(page_count) => Ok(Some(PageRun {
                offset: first.offset,
                page_count,
                sec_info: first.sec_info,
                data: first.measured.then_some(&self.data[..]),
            })),
            Err(failure) => {
                self.failure = Some(failure.clone());
                Err(failure)
            }
        }
    }

    /// Reads `first` and the pages that continue it, and returns their number.
    fn read_run(&mut self, first: Page) -> Result<u64, SgxsError> {
        self.data.clear();
        let mut page = first;
        let mut page_count = 0;
        loop {
            if page.measured {
                self.read_page_data(page)?;
            }
            page_count += 1;
            self.next_page = self.read_page_head()?;
            match self.next_page {
                Some(next) if next.continues(page) && self.data.len() < RUN_BYTES => page = next,
                _ => return Ok(page_count),
            }
        }
    }

    /// Takes the EADD that must come next, and looks whether its data follows.
    fn read_page_head(&mut self) -> Result<Option<Page>, SgxsError> {
        let Some(Located { at, record }) = self.lookahead else {
            return Ok(None);
        };
        let (offset, sec_info) = match record {
            Record::Add {
                page_offset,
                sec_info,
            } => (page_offset, sec_info),
            Record::Create(_) => return Err(fault(at, SgxsFault::SecondCreate)),
            Record::Extend { chunk_offset } => {
                let expected = None;
                return Err(fault(
                    at,
                    SgxsFault::ChunkOutOfOrder {
                        chunk_offset,
                        expected,
                    },
                ));
            }
        };
        self.check_page(offset, sec_info)
            .map_err(|wrong| fault(at, wrong))?;
        self.lowest_offset = offset + PAGE_BYTES as u64;
        self.lookahead = self.read_record()?;
        let measured = matches!(
            self.lookahead,
            Some(Located {
                record: Record::Extend { .. },
                ..
            })
        );
        if !measured && sec_info.page_type() == Some(PageType::Tcs) {
            return Err(fault(at, SgxsFault::UnmeasuredTcs(offset)));
        }
        Ok(Some(Page {
            at,
            offset,
            sec_info,
            measured,
        }))
    }

    fn check_page(&self, page_offset: u64, sec_info: SecInfo) -> Result<(), SgxsFault> {
        let page_bytes = PAGE_BYTES as u64;
        if !page_offset.is_multiple_of(page_bytes) {
            Err(SgxsFault::UnalignedPage(page_offset))
        } else if page_offset >= self.enclave.size_bytes {
            Err(SgxsFault::PageOutsideEnclave(page_offset))
        } else if page_offset < self.lowest_offset {
            Err(SgxsFault::PageOutOfOrder {
                page_offset,
                expected_at_least: self.lowest_offset,
            })
        } else if !is_addable(sec_info) {
            Err(SgxsFault::SecInfo(sec_info.flags))
        } else {
            Ok(())
        }
    }

    /// Takes the sixteen EEXTENDs of a page and appends their data.
    fn read_page_data(&mut self, page: Page) -> Result<(), SgxsError> {
        let start = self.data.len();
        self.data.resize(start + PAGE_BYTES, 0);
        for index in 0..CHUNKS_PER_PAGE {
            let expected = page.offset + (index * CHUNK_BYTES) as u64;
            self.check_chunk(page, index, expected)?;
            let chunk = start + index * CHUNK_BYTES..start + (index + 1) * CHUNK_BYTES;
            self.input
                .read_exact(&mut self.data[chunk])
                .map_err(|error| read_error(self.position, &error))?;
            self.position += CHUNK_BYTES as u64;
            self.lookahead = self.read_record()?;
        }
        if page.sec_info.page_type() == Some(PageType::Tcs) {
            check_tcs(page, &self.data[start..])?;
        }
        Ok(())
    }

    /// The record ahead must be the EEXTEND of this chunk.
    fn check_chunk(&self, page: Page, index: usize, expected: u64) -> Result<(), SgxsError> {
        match self.lookahead {
            Some(Located {
                at,
                record: Record::Extend { chunk_offset },
            }) if chunk_offset != expected => Err(fault(
                at,
                SgxsFault::ChunkOutOfOrder {
                    chunk_offset,
                    expected: Some(expected),
                },
            )),
            Some(Located {
                record: Record::Extend { .. },
                ..
            }) => Ok(()),
            _ => Err(fault(
                page.at,
                SgxsFault::PartlyMeasuredPage {
                    page_offset: page.offset,
                    measured_chunks: index,
                },
            )),
        }
    }

    /// Reads a record, or nothing where the stream ends between two of them.
    fn read_record(&mut self) -> Result<Option<Located>, SgxsError> {
        let at = self.position;
        let mut bytes = [0; RECORD_BYTES];
        let mut filled = 0;
        while filled < RECORD_BYTES {
            match self.input.read(&mut bytes[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(fault(at + filled as u64, SgxsFault::Truncated)),
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(read_error(at + filled as u64, &error)),
            }
        }
        self.position += RECORD_BYTES as u64;
        let record =
            record::parse(&bytes).map_err(|(byte, wrong)| fault(at + byte as u64, wrong))?;
        Ok(Some(Located { at, record }))
    }
}

impl Page {
    fn continues(self, before: Self) -> bool {
        self.offset == before.offset + PAGE_BYTES as u64
            && self.sec_info == before.sec_info
            && self.measured == before.measured
    }
}

fn checked(enclave: EnclaveGeometry) -> Result<EnclaveGeometry, SgxsError> {
    if !enclave.size_bytes.is_power_of_two() || enclave.size_bytes < 2 * PAGE_BYTES as u64 {
        return Err(fault(12, SgxsFault::EnclaveSize(enclave.size_bytes)));
    }
    if enclave.ssa_frame_pages == 0 {
        return Err(fault(8, SgxsFault::SsaFrameSize));
    }
    Ok(enclave)
}

/// Whether EADD and the Linux driver take a page with this SECINFO: a TCS without permissions, or a
/// regular page that is not writable without being readable; no other bit set.
fn is_addable(sec_info: SecInfo) -> bool {
    let permissions = sec_info.permissions();
    match sec_info.page_type() {
        Some(PageType::Tcs) => sec_info == SecInfo::TCS,
        Some(PageType::Regular) => {
            sec_info == SecInfo::regular(permissions)
                && (permissions.contains(Permissions::R) || !permissions.contains(Permissions::W))
        }
        _ => false,
    }
}

fn check_tcs(page: Page, data: &[u8]) -> Result<(), SgxsError> {
    let field = data
        .first_chunk()
        .and_then(|page| tcs::field_that_must_be_zero(page));
    match field {
        Some(field) => Err(fault(
            page.at,
            SgxsFault::TcsField {
                page_offset: page.offset,
                field,
            },
        )),
        None => Ok(()),
    }
}

fn fault(at: u64, fault: SgxsFault) -> SgxsError {
    SgxsError { at, fault }
}

fn read_error(at: u64, error: &std::io::Error) -> SgxsError {
    match error.kind() {
        ErrorKind::UnexpectedEof => fault(at, SgxsFault::Truncated),
        kind => fault(at, SgxsFault::Io(kind, error.to_string())),
    }
}

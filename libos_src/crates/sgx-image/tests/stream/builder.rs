//! Streams for tests, written from the format's description and not by the code under test.

/// SECINFO flags of the pages that an enclave is made of.
pub(crate) const R: u64 = 0x201;
pub(crate) const RW: u64 = 0x203;
pub(crate) const RX: u64 = 0x205;
pub(crate) const RWX: u64 = 0x207;
pub(crate) const TCS: u64 = 0x100;

pub(crate) const PAGE: u64 = 0x1000;
pub(crate) const CREATE_BYTES: usize = 64;
pub(crate) const ADD_BYTES: usize = 64;
pub(crate) const EXTEND_BYTES: usize = 64 + 256;
pub(crate) const MEASURED_PAGE_BYTES: usize = ADD_BYTES + 16 * EXTEND_BYTES;

/// An SGXS stream under construction.
#[derive(Clone, Default)]
pub(crate) struct Stream(pub(crate) Vec<u8>);

impl Stream {
    pub(crate) fn create(ssa_frame_pages: u32, size_bytes: u64) -> Self {
        let mut stream = Self::default();
        stream.record(
            b"ECREATE\0",
            &[&ssa_frame_pages.to_le_bytes(), &size_bytes.to_le_bytes()],
        );
        stream
    }

    pub(crate) fn add(mut self, offset: u64, flags: u64) -> Self {
        self.record(
            b"EADD\0\0\0\0",
            &[&offset.to_le_bytes(), &flags.to_le_bytes()],
        );
        self
    }

    pub(crate) fn extend(mut self, offset: u64, chunk: &[u8]) -> Self {
        assert_eq!(chunk.len(), 256);
        self.record(b"EEXTEND\0", &[&offset.to_le_bytes()]);
        self.0.extend_from_slice(chunk);
        self
    }

    pub(crate) fn measured(mut self, offset: u64, flags: u64, page: &[u8; 4096]) -> Self {
        self = self.add(offset, flags);
        for (index, chunk) in page.chunks(256).enumerate() {
            self = self.extend(offset + 256 * index as u64, chunk);
        }
        self
    }

    pub(crate) fn record(&mut self, tag: &[u8; 8], fields: &[&[u8]]) {
        let end = self.0.len() + 64;
        self.0.extend_from_slice(tag);
        fields
            .iter()
            .for_each(|field| self.0.extend_from_slice(field));
        self.0.resize(end, 0);
    }
}

/// A page whose bytes differ from page to page and within the page.
pub(crate) fn page(seed: u8) -> [u8; 4096] {
    core::array::from_fn(|index| (index as u8).wrapping_mul(31) ^ (index >> 8) as u8 ^ seed)
}

/// A TCS as the layout makes it.
pub(crate) fn tcs() -> [u8; 4096] {
    let mut page = [0; 4096];
    page[16..24].copy_from_slice(&0x5000_u64.to_le_bytes());
    page[28..32].copy_from_slice(&3_u32.to_le_bytes());
    page[32..40].copy_from_slice(&0x2000_u64.to_le_bytes());
    page[64..72].copy_from_slice(&0x0000_0fff_0000_0fff_u64.to_le_bytes());
    page
}

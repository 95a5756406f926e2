//! The reader against the reference implementation of the format, crate `sgxs`.

use crate::builder;
use sgx_image::{SgxsReader, measure};
use sgx_isa::SecinfoFlags;
use sgxs::sgxs::{CanonicalSgxsWriter, MeasECreate, PageReader, SecinfoTruncated};
use sha2::{Digest, Sha256};

/// What a random enclave has at one place.
struct Region {
    offset: u64,
    flags: u64,
    measured: Option<u8>,
}

/// A generator with a fixed seed, so that a failure can be repeated by its number.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        (self.0 >> 33) % sides
    }

    fn regions(&mut self) -> Vec<Region> {
        let kinds = [builder::R, builder::RW, builder::RX, builder::RWX];
        let mut offset = 0;
        let mut regions = Vec::new();
        for _ in 0..self.roll(100) {
            if self.roll(4) == 0 {
                offset += self.roll(8) * builder::PAGE;
            }
            let flags = kinds[(self.roll(8) / 3) as usize];
            let measured = (self.roll(5) > 1).then(|| self.roll(256) as u8);
            regions.push(Region {
                offset,
                flags,
                measured,
            });
            offset += builder::PAGE;
        }
        regions
    }
}

fn written(regions: &[Region], size: u64) -> Vec<u8> {
    let mut stream = Vec::new();
    let create = MeasECreate {
        ssaframesize: 1,
        size,
    };
    let mut writer = CanonicalSgxsWriter::new(&mut stream, create, true).unwrap();
    for region in regions {
        let flags = SecinfoFlags::from_bits(region.flags).unwrap();
        let secinfo = SecinfoTruncated { flags };
        let contents = region.measured.map(builder::page);
        let mut data = contents.as_ref().map(|page| &page[..]);
        writer
            .write_page(data.as_mut(), Some(region.offset), secinfo)
            .unwrap();
    }
    stream
}

/// Every page as `(offset, flags, contents if measured)`.
type Pages = Vec<(u64, u64, Option<Vec<u8>>)>;

fn pages_read_here(stream: &[u8]) -> Pages {
    let mut reader = SgxsReader::new(stream).unwrap();
    let mut pages = Vec::new();
    while let Some(run) = reader.next_run().unwrap() {
        for (index, offset) in run.page_offsets().enumerate() {
            let data = run.data.map(|data| data[index * 4096..][..4096].to_vec());
            pages.push((offset, run.sec_info.flags, data));
        }
    }
    pages
}

fn pages_read_by_reference(mut stream: &[u8]) -> Pages {
    let (_, mut reader) = PageReader::new(&mut stream).unwrap();
    let mut pages = Vec::new();
    while let Some((add, chunks, data)) = reader.read_page().unwrap() {
        let data = (chunks.0 == 0xffff).then(|| data.to_vec());
        pages.push((add.offset, add.secinfo.flags.bits(), data));
    }
    pages
}

#[test]
fn both_readers_see_the_same_pages_in_300_random_enclaves() {
    for seed in 0..300 {
        let regions = Dice(seed).regions();
        let stream = written(&regions, 1 << 24);
        let expected: Pages = regions
            .iter()
            .map(|region| {
                let data = region.measured.map(|seed| builder::page(seed).to_vec());
                (region.offset, region.flags, data)
            })
            .collect();
        assert_eq!(pages_read_here(&stream), expected, "seed {seed}");
        assert_eq!(pages_read_by_reference(&stream), expected, "seed {seed}");
        assert_eq!(
            measure(&stream[..]).unwrap()[..],
            Sha256::digest(&stream)[..],
            "seed {seed}"
        );
    }
}

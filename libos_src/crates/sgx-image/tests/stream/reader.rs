//! What the reader accepts, what it refuses, and where it says the fault is.

use std::io::{self, Read};

use crate::builder::{ADD_BYTES, CREATE_BYTES, EXTEND_BYTES, MEASURED_PAGE_BYTES, PAGE, Stream};
use crate::builder::{R, RW, RWX, RX, TCS, page, tcs};
use sgx_image::{EnclaveGeometry, SecInfo, SgxsError, SgxsFault, SgxsReader, measure};
use sha2::{Digest, Sha256};

/// A small enclave with every kind of page: unmeasured, code, data, thread.
fn enclave() -> Stream {
    Stream::create(1, 0x10000)
        .add(0x1000, RWX)
        .add(0x2000, RWX)
        .measured(0x3000, RX, &page(1))
        .measured(0x4000, RX, &page(2))
        .measured(0x5000, RW, &page(3))
        .measured(0x8000, TCS, &tcs())
        .add(0xf000, RW)
}

#[derive(Debug, PartialEq)]
struct Run {
    offset: u64,
    page_count: u64,
    flags: u64,
    data: Option<Vec<u8>>,
}

fn runs(stream: impl Read) -> Result<Vec<Run>, SgxsError> {
    let mut reader = SgxsReader::new(stream)?;
    let mut runs = Vec::new();
    while let Some(run) = reader.next_run()? {
        runs.push(Run {
            offset: run.offset,
            page_count: run.page_count,
            flags: run.sec_info.flags,
            data: run.data.map(<[u8]>::to_vec),
        });
    }
    Ok(runs)
}

fn refusal(stream: &Stream) -> (SgxsFault, usize) {
    let error = runs(&stream.0[..]).unwrap_err();
    (error.fault, error.at as usize)
}

#[test]
fn alike_neighbours_come_as_one_run() {
    let run = |offset, page_count, flags, data| Run {
        offset,
        page_count,
        flags,
        data,
    };
    let code = [page(1), page(2)].concat();
    assert_eq!(
        runs(&enclave().0[..]).unwrap(),
        [
            run(0x1000, 2, RWX, None),
            run(0x3000, 2, RX, Some(code)),
            run(0x5000, 1, RW, Some(page(3).to_vec())),
            run(0x8000, 1, TCS, Some(tcs().to_vec())),
            run(0xf000, 1, RW, None),
        ]
    );
}

#[test]
fn the_geometry_is_that_of_ecreate() {
    let stream = enclave().0;
    let reader = SgxsReader::new(&stream[..]).unwrap();
    let expected = EnclaveGeometry {
        ssa_frame_pages: 1,
        size_bytes: 0x10000,
    };
    assert_eq!(reader.enclave(), expected);
}

#[test]
fn the_measurement_is_the_hash_of_the_file() {
    let stream = enclave();
    assert_eq!(
        measure(&stream.0[..]).unwrap()[..],
        Sha256::digest(&stream.0)[..]
    );
}

#[test]
fn an_enclave_without_pages_is_measured_too() {
    let stream = Stream::create(1, 0x2000);
    assert_eq!(runs(&stream.0[..]).unwrap(), []);
    assert_eq!(
        measure(&stream.0[..]).unwrap()[..],
        Sha256::digest(&stream.0)[..]
    );
}

#[test]
fn a_page_that_is_measured_never_joins_one_that_is_not() {
    let stream = Stream::create(1, 0x10000)
        .add(0x1000, RW)
        .measured(0x2000, RW, &page(1))
        .add(0x3000, RW);
    let shapes: Vec<_> = runs(&stream.0[..])
        .unwrap()
        .iter()
        .map(|run| (run.offset, run.data.is_some()))
        .collect();
    assert_eq!(shapes, [(0x1000, false), (0x2000, true), (0x3000, false)]);
}

#[test]
fn a_long_measured_region_comes_in_bounded_runs() {
    let stream = (0..200).fold(Stream::create(1, 0x10_0000), |stream, index| {
        stream.measured(index * PAGE, R, &page(index as u8))
    });
    let runs = runs(&stream.0[..]).unwrap();
    assert!(runs.len() > 1);
    assert!(runs.iter().all(|run| run.page_count <= 64));
    let joined: Vec<u8> = runs.into_iter().flat_map(|run| run.data.unwrap()).collect();
    let expected: Vec<u8> = (0..200).flat_map(page).collect();
    assert_eq!(joined, expected);
}

/// The EADDs of a heap, made as they are read, so that no test holds them.
struct Heap {
    page_count: u64,
    record: io::Cursor<Vec<u8>>,
    next: u64,
}

impl Read for Heap {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.record.position() == self.record.get_ref().len() as u64 {
            if self.next == self.page_count {
                return Ok(0);
            }
            self.record = io::Cursor::new(Stream::default().add(self.next * PAGE, RW).0);
            self.next += 1;
        }
        self.record.read(out)
    }
}

#[test]
fn a_gibibyte_of_heap_is_one_run_without_data() {
    let page_count = (1 << 30) / PAGE;
    let record = io::Cursor::new(Stream::create(1, 1 << 30).0);
    let heap = Heap {
        page_count,
        record,
        next: 0,
    };
    let expected = Run {
        offset: 0,
        page_count,
        flags: RW,
        data: None,
    };
    assert_eq!(runs(heap).unwrap(), [expected]);
}

#[test]
fn whatever_is_accepted_has_its_own_hash_as_its_measurement() {
    let stream = Stream::create(1, 0x10000)
        .add(0x1000, RWX)
        .measured(0x3000, RX, &page(1))
        .measured(0x8000, TCS, &tcs())
        .0;
    let mut accepted = 0;
    for index in 0..stream.len() {
        for flip in [0x01, 0xff] {
            let mut changed = stream.clone();
            changed[index] ^= flip;
            if let Ok(mrenclave) = measure(&changed[..]) {
                assert_eq!(
                    mrenclave[..],
                    Sha256::digest(&changed)[..],
                    "byte {index:#x}"
                );
                accepted += 1;
            }
        }
    }
    // The content of the regular page may be anything, and so may the TCS fields a builder sets.
    assert!(accepted > 2 * 4096, "only {accepted} changes were accepted");
}

#[test]
fn a_stream_cut_anywhere_is_refused_or_is_a_smaller_enclave() {
    let stream = enclave().0;
    let accepted: Vec<_> = (0..stream.len())
        .filter(|&length| match measure(&stream[..length]) {
            Ok(mrenclave) => {
                assert_eq!(mrenclave[..], Sha256::digest(&stream[..length])[..]);
                true
            }
            Err(error) => {
                assert!(error.at as usize <= length);
                false
            }
        })
        .collect();
    // After ECREATE, after each page, and after the EADD of a page whose data is cut off, except
    // that of the TCS: cut there, it is a page that is not measured.
    let code = CREATE_BYTES + 2 * ADD_BYTES;
    let after = |pages| code + pages * MEASURED_PAGE_BYTES;
    let expected = [
        CREATE_BYTES,
        CREATE_BYTES + ADD_BYTES,
        code,
        code + ADD_BYTES,
        after(1),
        after(1) + ADD_BYTES,
        after(2),
        after(2) + ADD_BYTES,
        after(3),
        after(4),
    ];
    assert_eq!(accepted, expected);
}

#[test]
fn an_error_is_final() {
    let mut stream = Stream::create(1, 0x10000).add(0x1000, RW).add(0x2000, RW);
    stream.record(b"EREMOVE\0", &[]);
    let stream = stream.add(0x3000, RW);
    let mut reader = SgxsReader::new(&stream.0[..]).unwrap();
    let first = reader.next_run().unwrap_err();
    assert_eq!(first.fault, SgxsFault::UnknownTag(*b"EREMOVE\0"));
    assert_eq!(reader.next_run().unwrap_err(), first);
}

#[test]
fn a_failing_read_is_reported_with_its_reason() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    let error = runs((&Stream::create(1, 0x2000).0[..]).chain(Broken)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot read the stream: the disk is gone at byte 0x40"
    );
}

#[test]
fn an_ecreate_that_the_cpu_would_refuse_is_refused() {
    for size_bytes in [0, 1, 0x1000, 0x3000, 0x10001, u64::MAX] {
        let stream = Stream::create(1, size_bytes);
        assert_eq!(refusal(&stream), (SgxsFault::EnclaveSize(size_bytes), 12));
    }
    assert_eq!(
        refusal(&Stream::create(0, 0x2000)),
        (SgxsFault::SsaFrameSize, 8)
    );
}

#[test]
fn ecreate_stands_first_and_alone() {
    assert_eq!(refusal(&Stream::default()), (SgxsFault::Empty, 0));
    assert_eq!(
        refusal(&Stream::default().add(0, RW)),
        (SgxsFault::MissingCreate, 0)
    );
    let mut twice = enclave();
    let end = twice.0.len();
    twice.0.extend(Stream::create(1, 0x10000).0);
    assert_eq!(refusal(&twice), (SgxsFault::SecondCreate, end));
}

#[test]
fn pages_lie_in_the_enclave_on_page_boundaries() {
    let create = Stream::create(1, 0x10000);
    for (offset, fault) in [
        (0x10000, SgxsFault::PageOutsideEnclave(0x10000)),
        (
            0u64.wrapping_sub(PAGE),
            SgxsFault::PageOutsideEnclave(0u64.wrapping_sub(PAGE)),
        ),
        (0x1001, SgxsFault::UnalignedPage(0x1001)),
        (0x0800, SgxsFault::UnalignedPage(0x0800)),
    ] {
        assert_eq!(
            refusal(&create.clone().add(offset, RW)),
            (fault, CREATE_BYTES)
        );
    }
}

#[test]
fn pages_ascend_and_never_repeat() {
    let create = Stream::create(1, 0x10000).add(0x4000, RW);
    for page_offset in [0x4000, 0x3000, 0] {
        let fault = SgxsFault::PageOutOfOrder {
            page_offset,
            expected_at_least: 0x5000,
        };
        let stream = create.clone().add(page_offset, RW);
        assert_eq!(refusal(&stream), (fault, CREATE_BYTES + ADD_BYTES));
    }
}

#[test]
fn only_secinfo_that_linux_adds_is_accepted() {
    let refused = [
        0,        // a SECS
        0x101,    // a TCS that can be read
        0x202,    // writable, not readable
        0x206,    // writable and executable, not readable
        0x20b,    // pending
        0x213,    // modified
        0x223,    // restricted
        0x243,    // reserved bit 6
        0x283,    // reserved bit 7
        0x303,    // a version array
        0x400,    // trimmed
        0x503,    // a shadow stack
        0x1_0203, // reserved bit 16
        u64::MAX,
    ];
    for flags in refused {
        let stream = Stream::create(1, 0x10000).add(0, flags);
        assert_eq!(
            refusal(&stream),
            (SgxsFault::SecInfo(flags), CREATE_BYTES),
            "{flags:#x}"
        );
    }
    for flags in [0x200, R, RW, 0x204, RX, RWX] {
        let stream = Stream::create(1, 0x10000).add(0, flags);
        assert_eq!(runs(&stream.0[..]).unwrap()[0].flags, flags);
    }
}

#[test]
fn chunks_follow_their_page_in_order_and_all_of_them() {
    let chunk = [7; 256];
    let page_at = CREATE_BYTES;
    let first_chunk_at = page_at + ADD_BYTES;
    let create = Stream::create(1, 0x10000);
    let out_of_order = |chunk_offset, expected| SgxsFault::ChunkOutOfOrder {
        chunk_offset,
        expected,
    };

    let orphan = create.clone().extend(0x1000, &chunk);
    assert_eq!(refusal(&orphan), (out_of_order(0x1000, None), page_at));

    let page = create.add(0x1000, RW);
    let foreign = page.clone().extend(0x2000, &chunk);
    assert_eq!(
        refusal(&foreign),
        (out_of_order(0x2000, Some(0x1000)), first_chunk_at)
    );

    let repeated = page.clone().extend(0x1000, &chunk).extend(0x1000, &chunk);
    let second_chunk_at = first_chunk_at + EXTEND_BYTES;
    assert_eq!(
        refusal(&repeated),
        (out_of_order(0x1000, Some(0x1100)), second_chunk_at)
    );

    let unaligned = page.clone().extend(0x1001, &chunk);
    assert_eq!(
        refusal(&unaligned),
        (out_of_order(0x1001, Some(0x1000)), first_chunk_at)
    );

    let fault = SgxsFault::PartlyMeasuredPage {
        page_offset: 0x1000,
        measured_chunks: 1,
    };
    let partial = page.clone().extend(0x1000, &chunk);
    assert_eq!(refusal(&partial), (fault.clone(), page_at));
    assert_eq!(refusal(&partial.add(0x2000, RW)), (fault, page_at));

    let seventeen = page.extend(0x1000, &chunk);
    let seventeen = (1..17).fold(seventeen, |stream, index| {
        stream.extend(0x1000 + 0x100 * index, &chunk)
    });
    let at = page_at + MEASURED_PAGE_BYTES;
    assert_eq!(refusal(&seventeen), (out_of_order(0x2000, None), at));
}

#[test]
fn data_outside_the_measurement_is_refused() {
    let mut unmeasured = Stream::create(1, 0x10000).add(0x1000, RW);
    let at = unmeasured.0.len();
    unmeasured.record(b"UNMEASRD", &[&0x1000_u64.to_le_bytes()]);
    unmeasured.0.extend([0; 256]);
    assert_eq!(refusal(&unmeasured), (SgxsFault::Unmeasured, at));

    let mut unsized_image = Stream::default();
    unsized_image.record(
        b"UNSIZED\0",
        &[&1_u32.to_le_bytes(), &0x10000_u64.to_le_bytes()],
    );
    assert_eq!(refusal(&unsized_image), (SgxsFault::Unsized, 0));

    let mut unknown = Stream::create(1, 0x10000);
    unknown.record(b"EREMOVE\0", &[]);
    assert_eq!(
        refusal(&unknown),
        (SgxsFault::UnknownTag(*b"EREMOVE\0"), CREATE_BYTES)
    );
}

#[test]
fn every_reserved_byte_of_every_record_is_zero() {
    let stream = enclave().0;
    let measured = CREATE_BYTES + 2 * ADD_BYTES;
    let records = [(0, 20), (CREATE_BYTES, 24), (measured + ADD_BYTES, 16)];
    for (start, reserved) in records {
        for byte in start + reserved..start + 64 {
            let mut changed = stream.clone();
            changed[byte] = 1;
            assert_eq!(refusal(&Stream(changed)), (SgxsFault::ReservedByte, byte));
        }
    }
}

#[test]
fn a_tcs_is_measured_as_eadd_leaves_it() {
    let create = Stream::create(1, 0x10000);
    let unmeasured = create.clone().add(0x1000, TCS);
    assert_eq!(
        refusal(&unmeasured),
        (SgxsFault::UnmeasuredTcs(0x1000), CREATE_BYTES)
    );
    for (byte, field) in [
        (0, "STATE"),
        (7, "STATE"),
        (8, "FLAGS.DBGOPTIN"),
        (24, "CSSA"),
        (40, "AEP"),
        (47, "AEP"),
        (72, "a reserved byte"),
        (4095, "a reserved byte"),
    ] {
        let mut page = tcs();
        page[byte] = 1;
        let fault = SgxsFault::TcsField {
            page_offset: 0x1000,
            field,
        };
        let stream = create.clone().measured(0x1000, TCS, &page);
        assert_eq!(refusal(&stream), (fault, CREATE_BYTES));
    }
}

#[test]
fn a_run_knows_where_its_pages_are() {
    let stream = enclave().0;
    let mut reader = SgxsReader::new(&stream[..]).unwrap();
    let run = reader.next_run().unwrap().unwrap();
    assert!(!run.is_measured());
    assert_eq!(
        (run.size_bytes(), run.sec_info),
        (0x2000, SecInfo::from_flags(RWX))
    );
    assert_eq!(run.page_offsets().collect::<Vec<_>>(), [0x1000, 0x2000]);
}

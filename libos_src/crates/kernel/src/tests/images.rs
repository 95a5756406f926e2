//! ELF images, good and hostile.

use elf::abi::{ET_DYN, ET_EXEC, PF_R, PF_W, PF_X, PT_INTERP, PT_LOAD};

use super::*;
use crate::program::{BadImage, Image, Source};

struct File(Vec<u8>);

impl Source for File {
    fn len_bytes(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_exact(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Errno> {
        let start = offset as usize;
        buffer.copy_from_slice(self.0.get(start..start + buffer.len()).ok_or(Errno::EIO)?);
        Ok(())
    }
}

/// A program header: type, flags, offset, address, bytes in the file, bytes in memory, alignment.
type Header = (u32, u32, u64, u64, u64, u64, u64);

const TEXT: Header = (PT_LOAD, PF_R | PF_X, 0, 0, 0x1000, 0x1000, 0x1000);
const DATA: Header = (PT_LOAD, PF_R | PF_W, 0x1000, 0x2000, 0x10, 0x2000, 0x1000);

/// A program that can be loaded.
pub(super) fn program() -> Vec<u8> {
    file(ET_DYN, &[TEXT, DATA]).0
}

/// An ELF file of 8 KiB with these headers, and its entry point at 0x100.
fn file(kind: u16, headers: &[Header]) -> File {
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    bytes.extend(kind.to_le_bytes());
    bytes.extend(62u16.to_le_bytes());
    bytes.extend(1u32.to_le_bytes());
    for word in [0x100u64, 64, 0] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(0u32.to_le_bytes());
    for half in [64, 56, headers.len() as u16, 0, 0, 0] {
        bytes.extend(half.to_le_bytes());
    }
    for &(kind, flags, offset, address, file_bytes, memory_bytes, align) in headers {
        bytes.extend(kind.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        for word in [offset, address, address, file_bytes, memory_bytes, align] {
            bytes.extend(word.to_le_bytes());
        }
    }
    bytes.resize(0x2000, 0);
    File(bytes)
}

fn refusal(file: &File) -> &'static str {
    match Image::read(file) {
        Err(BadImage::Refused(reason)) => reason,
        other => panic!("it was not refused: {other:?}"),
    }
}

#[test]
fn a_position_independent_program_is_understood() {
    let image = Image::read(&file(ET_DYN, &[TEXT, DATA])).expect("a good file");

    assert!(image.is_relocatable);
    assert_eq!(
        (image.entry, image.headers, image.header_count),
        (0x100, 64, 2)
    );
    assert_eq!(image.span(), 0..0x4000);
}

#[test]
fn an_interpreter_is_found() {
    let mut file = file(ET_EXEC, &[TEXT, (PT_INTERP, PF_R, 0x800, 0x800, 8, 8, 1)]);
    file.0[0x800..0x808].copy_from_slice(b"/lib/ld\0");

    let image = Image::read(&file).expect("a good file");

    assert_eq!(image.interpreter.as_deref(), Some(&b"/lib/ld"[..]));
    assert!(!image.is_relocatable);
}

#[test]
fn hostile_headers_are_refused_for_what_they_are() {
    let cases: [(&str, Header); 7] = [
        (
            "wraps",
            (PT_LOAD, PF_R, 0x1000, u64::MAX - 0xfff, 0, 0x1000, 1),
        ),
        (
            "larger in the file",
            (PT_LOAD, PF_R, 0x1000, 0x1000, 0x20, 0x10, 1),
        ),
        (
            "outside the file",
            (PT_LOAD, PF_R, 0x1000, 0x1000, 0x1001, 0x2000, 1),
        ),
        (
            "outside the file",
            (PT_LOAD, PF_R, u64::MAX - 0xfff, 0x1000, 0x1000, 0x1000, 1),
        ),
        (
            "differ within a page",
            (PT_LOAD, PF_R, 0x1000, 0x1010, 0x10, 0x10, 1),
        ),
        (
            "power of two",
            (PT_LOAD, PF_R, 0x1000, 0x1000, 0x10, 0x10, 3),
        ),
        ("share a page", (PT_LOAD, PF_R, 0xff0, 0xff0, 0x20, 0x20, 1)),
    ];
    for (reason, header) in cases {
        let refused = refusal(&file(ET_DYN, &[TEXT, header]));

        assert!(refused.contains(reason), "{refused}");
    }
}

#[test]
fn what_is_no_program_is_refused() {
    assert!(refusal(&File(vec![0; 100])).contains("no ELF file"));
    assert!(refusal(&File(vec![0; 10])).contains("too short"));
    assert!(refusal(&file(1, &[TEXT])).contains("neither a program"));
    assert!(refusal(&file(ET_DYN, &[])).contains("program headers"));
    assert!(refusal(&file(ET_DYN, &[DATA])).contains("entry point"));
    let interpreter = (PT_INTERP, PF_R, 0x800, 0x800, 8, 8, 1);
    assert!(refusal(&file(ET_DYN, &[TEXT, interpreter])).contains("interpreter"));
}

#[test]
fn any_single_wrong_byte_in_the_headers_is_harmless() {
    let good = file(ET_DYN, &[TEXT, DATA]);
    for at in 0..64 + 2 * 56 {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut bad = File(good.0.clone());
            bad.0[at] = value;

            if let Ok(image) = Image::read(&bad) {
                assert!(image.span().start <= image.span().end);
                assert!(
                    image
                        .segments
                        .iter()
                        .all(|segment| segment.file_bytes <= 0x2000)
                );
            }
        }
    }
}

/// How many damaged files the loader gets.
const EXECUTIONS: u64 = 200_000;

#[test]
fn a_damaged_file_is_refused_or_keeps_every_promise() {
    let good = file(
        ET_DYN,
        &[TEXT, DATA, (PT_INTERP, PF_R, 0x200, 0x200, 8, 8, 1)],
    )
    .0;
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    // What is worth writing: the edges of all that is checked.
    let words = [
        0,
        1,
        8,
        0xfff,
        0x1000,
        0x1001,
        0x2000,
        1 << 31,
        1 << 63,
        u64::MAX,
        !0xfff,
    ];
    let mut accepted = 0;
    for _ in 0..EXECUTIONS {
        let mut bytes = good.clone();
        for _ in 0..=next(4) {
            let at = next(64 + 3 * 56) as usize;
            if next(2) == 0 {
                bytes[at] = next(256) as u8;
            } else {
                let word = words[next(words.len() as u64) as usize]
                    .wrapping_add(next(3))
                    .wrapping_sub(1);
                bytes[at & !7..][..8].copy_from_slice(&word.to_le_bytes());
            }
        }
        bytes.truncate(if next(8) == 0 {
            next(0x2000) as usize
        } else {
            0x2000
        });
        let len = bytes.len() as u64;
        let Ok(image) = Image::read(&File(bytes)) else {
            continue;
        };
        accepted += 1;
        let mut end = 0;
        for segment in &image.segments {
            let pages = segment.pages();
            assert!(end <= pages.start && pages.start < pages.end);
            assert!(segment.file_bytes <= segment.memory.end - segment.memory.start);
            assert!(segment.file_offset.checked_add(segment.file_bytes) <= Some(len));
            assert!(segment.align.is_power_of_two());
            end = pages.end;
        }
        assert!(
            image
                .segments
                .iter()
                .any(|one| one.memory.contains(&image.entry))
        );
    }
    println!("{EXECUTIONS} executions, {accepted} accepted, no finding");
    assert!(
        accepted > EXECUTIONS / 100,
        "the mutations reach behind the first check"
    );
    assert!(accepted < EXECUTIONS, "something is refused");
}

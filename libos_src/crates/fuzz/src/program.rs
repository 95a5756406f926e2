//! The ELF loader's reader.

use hal::{Errno, PAGE_SIZE};
use kernel::{Image, Source};

struct File<'a>(&'a [u8]);

impl Source for File<'_> {
    fn len_bytes(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_exact(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Errno> {
        let start = usize::try_from(offset).map_err(|_| Errno::EIO)?;
        let end = start.checked_add(buffer.len()).ok_or(Errno::EIO)?;
        buffer.copy_from_slice(self.0.get(start..end).ok_or(Errno::EIO)?);
        Ok(())
    }
}

/// A file is refused, or everything that it asks for lies in it and does not overlap.
pub(crate) fn check(data: &[u8]) {
    let Ok(image) = Image::read(&File(data)) else {
        return;
    };
    assert!(image.align().is_power_of_two() && image.align() >= PAGE_SIZE);
    let mut before = 0;
    let mut has_entry = false;
    for segment in &image.segments {
        let (memory, pages) = (&segment.memory, segment.pages());
        assert!(memory.start <= memory.end);
        assert!(pages.start >= before, "two segments on one page");
        assert!(pages.start <= memory.start && memory.end <= pages.end);
        assert!(segment.file_bytes <= memory.end - memory.start);
        let end = segment.file_offset.checked_add(segment.file_bytes);
        assert!(end.is_some_and(|end| end <= data.len() as u64));
        assert_eq!(segment.file_offset % PAGE_SIZE, memory.start % PAGE_SIZE);
        has_entry |= memory.contains(&image.entry);
        before = pages.end;
    }
    assert!(has_entry, "it begins nowhere");
    assert_eq!(image.span().end, before);
    if let Some(path) = image.interpreter {
        assert!(!path.is_empty() && path.len() <= 4096 && !path.contains(&0));
    }
}

/// An executable of the psABI's shapes: text, data, an interpreter, a stack.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    // Kind, flags, offset, address, bytes in the file, bytes in memory, alignment.
    let text = [1, 5, 0, 0, 0x1f0, 0x1f0, 0x1000];
    let data = [1, 6, 0x1f0, 0x21f0, 0x10, 0x2000, 0x1000];
    let interpreter = [3, 4, 0x1e0, 0x1e0, 8, 8, 1];
    let stack = [0x6474_e551, 6, 0, 0, 0, 0, 16];
    [2, 3]
        .into_iter()
        .flat_map(|kind| {
            [
                file(kind, &[text]),
                file(kind, &[text, data]),
                file(kind, &[interpreter, text, data, stack]),
            ]
        })
        .collect()
}

fn file(kind: u16, headers: &[[u64; 7]]) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    bytes.extend(kind.to_le_bytes());
    bytes.extend(62_u16.to_le_bytes());
    bytes.extend(1_u32.to_le_bytes());
    for word in [0x100_u64, 64, 0] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(0_u32.to_le_bytes());
    for half in [64, 56, headers.len() as u16, 0, 0, 0] {
        bytes.extend(half.to_le_bytes());
    }
    for &[kind, flags, offset, address, in_file, in_memory, align] in headers {
        bytes.extend((kind as u32).to_le_bytes());
        bytes.extend((flags as u32).to_le_bytes());
        for word in [offset, address, address, in_file, in_memory, align] {
            bytes.extend(word.to_le_bytes());
        }
    }
    bytes.resize(0x200, 0);
    bytes[0x1e0..0x1e8].copy_from_slice(b"/lib/ld\0");
    bytes
}

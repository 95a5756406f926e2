//! Which parts of a program file are code, as its section headers say.
//!
//! Byte format: System V ABI, "Object Files". A linker may put constants into the segment of the code,
//! and those may look like instructions. The file may be hostile: what is wrong counts as not said.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use elf::abi::{EI_NIDENT, SHF_EXECINSTR, SHT_NOBITS};
use elf::endian::LittleEndian;
use elf::file::{Class, FileHeader, parse_ident};
use elf::section::SectionHeaderTable;
use vfs::Inode;

use super::content::read_whole;

const HEADER_BYTES: usize = 64;
const SECTION_HEADER_BYTES: usize = 64;
/// Programs have some forty; only objects that are not linked yet have thousands.
const SECTIONS_MAX: usize = 1024;

/// Where in a file there is code.
pub(super) enum Code {
    /// In these ranges.
    Within(Vec<Range<u64>>),
    /// It does not say.
    Unknown,
}

impl Code {
    /// Reads what a file says.
    pub(super) fn of(file: &dyn Inode) -> Self {
        sections(file).map_or(Self::Unknown, Self::Within)
    }

    /// Whether all bytes of a range may be code.
    pub(super) fn may_be(&self, bytes: &Range<u64>) -> bool {
        match self {
            Self::Within(sections) => sections
                .iter()
                .any(|section| section.start <= bytes.start && bytes.end <= section.end),
            Self::Unknown => true,
        }
    }
}

fn sections(file: &dyn Inode) -> Option<Vec<Range<u64>>> {
    let mut bytes = [0; HEADER_BYTES];
    read_whole(file, 0, &mut bytes).ok()?;
    let ident = parse_ident::<LittleEndian>(&bytes).ok()?;
    let header = FileHeader::parse_tail(ident, &bytes[EI_NIDENT..]).ok()?;
    let count = usize::from(header.e_shnum);
    let is_usable = header.class == Class::ELF64
        && usize::from(header.e_shentsize) == SECTION_HEADER_BYTES
        && (1..=SECTIONS_MAX).contains(&count);
    if !is_usable {
        return None;
    }
    let mut table = vec![0; count * SECTION_HEADER_BYTES];
    read_whole(file, header.e_shoff, &mut table).ok()?;
    let table = SectionHeaderTable::new(LittleEndian, Class::ELF64, &table);
    let code = table.iter().filter(|section| {
        let is_executable = section.sh_flags & u64::from(SHF_EXECINSTR) != 0;
        is_executable && section.sh_type != SHT_NOBITS
    });
    let ranges = code.map(|section| {
        let end = section.sh_offset.checked_add(section.sh_size)?;
        Some(section.sh_offset..end)
    });
    let ranges: Vec<Range<u64>> = ranges.collect::<Option<_>>()?;
    (!ranges.is_empty()).then_some(ranges)
}

//! What an ELF file asks to be mapped, checked.
//!
//! Byte formats: System V ABI, "Object Files" and "Program Loading"; x86-64 psABI. The file may be
//! hostile, so nothing is taken from it that was not checked for range and overlap here.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use elf::abi::{
    EM_X86_64, ET_DYN, ET_EXEC, EV_CURRENT, PF_R, PF_W, PF_X, PT_GNU_STACK, PT_INTERP, PT_LOAD,
    PT_PHDR,
};
use elf::endian::LittleEndian;
use elf::file::{Class, FileHeader};
use elf::segment::{ProgramHeader, SegmentTable};
use hal::{Errno, PAGE_SIZE, Prot};

use crate::memory::{page_ceiling, page_floor};

/// An executable or an interpreter, ready to be mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Whether its addresses count from wherever it is put.
    pub is_relocatable: bool,
    /// Where it begins to run.
    pub entry: u64,
    /// Where its program headers are once it is mapped.
    pub headers: u64,
    /// How many program headers there are.
    pub header_count: u16,
    /// What to map: ascending, no two on one page.
    pub segments: Vec<Segment>,
    /// The path in `PT_INTERP`: the program that must load it, if one must.
    pub interpreter: Option<Vec<u8>>,
    /// Whether it wants to execute its stack.
    pub needs_executable_stack: bool,
}

/// A `PT_LOAD`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where it lies in memory; the start is not page aligned.
    pub memory: Range<u64>,
    /// How much of it comes from the file; the rest is zero.
    pub file_bytes: u64,
    /// Where in the file; equal to the address modulo the page size.
    pub file_offset: u64,
    /// What the program may do with it.
    pub prot: Prot,
    /// The alignment it asks for: a power of two.
    pub align: u64,
}

/// Why a file cannot be run: `ENOEXEC` to a program, and the reason for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadImage {
    /// It is no such thing, or we cannot run it.
    Refused(&'static str),
    /// It cannot be read.
    Unreadable(Errno),
}

const HEADER_BYTES: usize = 64;
const PROGRAM_HEADER_BYTES: usize = 56;
/// Linux takes at most 64 KiB of program headers; real programs have about a dozen.
const PROGRAM_HEADERS_MAX: usize = 65536 / PROGRAM_HEADER_BYTES;
const PATH_MAX_BYTES: u64 = 4096;

/// A file that can be read at any offset, exactly.
pub trait Source {
    /// Its length.
    fn len_bytes(&self) -> u64;
    /// Fills `buffer` from `offset`; the end of the file is an error.
    fn read_exact(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Errno>;
}

impl Image {
    /// Reads and checks the headers of a file.
    pub fn read(file: &impl Source) -> Result<Self, BadImage> {
        let header = read_header(file)?;
        let table = read_table(file, &header)?;
        let table = SegmentTable::new(LittleEndian, Class::ELF64, &table);
        let headers: Vec<ProgramHeader> = table.iter().collect();
        let segments = read_segments(&headers, file.len_bytes())?;
        let entry = header.e_entry;
        if !segments
            .iter()
            .any(|segment| segment.memory.contains(&entry))
        {
            return Err(BadImage::Refused("its entry point is in no segment"));
        }
        let stack = headers.iter().find(|header| header.p_type == PT_GNU_STACK);
        Ok(Self {
            is_relocatable: header.e_type == ET_DYN,
            entry,
            headers: address_of_headers(&headers, &segments, header.e_phoff),
            header_count: header.e_phnum,
            interpreter: read_interpreter(file, &headers)?,
            needs_executable_stack: stack.is_some_and(|header| header.p_flags & PF_X != 0),
            segments,
        })
    }

    /// The pages from the first to the last segment.
    pub fn span(&self) -> Range<u64> {
        let first = self
            .segments
            .first()
            .map_or(0, |segment| page_floor(segment.memory.start));
        let last = self
            .segments
            .last()
            .map_or(0, |segment| segment.pages().end);
        first..last
    }

    /// The largest alignment that a segment asks for, at least a page.
    pub fn align(&self) -> u64 {
        self.segments
            .iter()
            .map(|segment| segment.align)
            .fold(PAGE_SIZE, u64::max)
    }
}

impl Segment {
    /// The pages it lies on.
    pub fn pages(&self) -> Range<u64> {
        // `read_segments` has checked that the end can be rounded up.
        page_floor(self.memory.start)..page_ceiling(self.memory.end).unwrap_or(u64::MAX)
    }
}

fn read_header(file: &impl Source) -> Result<FileHeader<LittleEndian>, BadImage> {
    let mut bytes = [0; HEADER_BYTES];
    if file.len_bytes() < HEADER_BYTES as u64 {
        return Err(BadImage::Refused("it is too short for an ELF file"));
    }
    file.read_exact(0, &mut bytes)
        .map_err(BadImage::Unreadable)?;
    let not_elf = |_| BadImage::Refused("it is no ELF file");
    let ident = elf::file::parse_ident::<LittleEndian>(&bytes).map_err(not_elf)?;
    if ident.1 != Class::ELF64 {
        return Err(BadImage::Refused("it is no 64-bit ELF file"));
    }
    let header = FileHeader::parse_tail(ident, &bytes[elf::abi::EI_NIDENT..]).map_err(not_elf)?;
    if header.e_machine != EM_X86_64 || header.version != u32::from(EV_CURRENT) {
        return Err(BadImage::Refused("it is not for x86-64"));
    }
    if header.e_type != ET_DYN && header.e_type != ET_EXEC {
        return Err(BadImage::Refused(
            "it is neither a program nor a shared object",
        ));
    }
    Ok(header)
}

fn read_table(file: &impl Source, header: &FileHeader<LittleEndian>) -> Result<Vec<u8>, BadImage> {
    let count = usize::from(header.e_phnum);
    if usize::from(header.e_phentsize) != PROGRAM_HEADER_BYTES || count == 0 {
        return Err(BadImage::Refused("it has no usable program headers"));
    }
    if count > PROGRAM_HEADERS_MAX {
        return Err(BadImage::Refused("it has too many program headers"));
    }
    let mut table = vec![0; count * PROGRAM_HEADER_BYTES];
    if !is_inside(header.e_phoff, table.len() as u64, file.len_bytes()) {
        return Err(BadImage::Refused(
            "its program headers lie outside the file",
        ));
    }
    file.read_exact(header.e_phoff, &mut table)
        .map_err(BadImage::Unreadable)?;
    Ok(table)
}

fn read_segments(headers: &[ProgramHeader], file_len: u64) -> Result<Vec<Segment>, BadImage> {
    let mut segments: Vec<Segment> = Vec::new();
    let loads = headers
        .iter()
        .filter(|header| header.p_type == PT_LOAD && header.p_memsz != 0);
    for header in loads {
        let segment = read_segment(header, file_len)?;
        let previous_end = segments.last().map_or(0, |previous| previous.pages().end);
        if page_floor(segment.memory.start) < previous_end {
            return Err(BadImage::Refused(
                "its segments overlap, share a page or are not in order",
            ));
        }
        segments.push(segment);
    }
    if segments.is_empty() {
        return Err(BadImage::Refused("it has nothing to load"));
    }
    Ok(segments)
}

fn read_segment(header: &ProgramHeader, file_len: u64) -> Result<Segment, BadImage> {
    let wraps = BadImage::Refused("a segment wraps around the address space");
    let end = header.p_vaddr.checked_add(header.p_memsz).ok_or(wraps)?;
    page_ceiling(end).ok_or(wraps)?;
    if header.p_filesz > header.p_memsz {
        return Err(BadImage::Refused(
            "a segment is larger in the file than in memory",
        ));
    }
    if !is_inside(header.p_offset, header.p_filesz, file_len) {
        return Err(BadImage::Refused("a segment lies outside the file"));
    }
    if header.p_vaddr % PAGE_SIZE != header.p_offset % PAGE_SIZE {
        return Err(BadImage::Refused(
            "a segment's address and offset differ within a page",
        ));
    }
    let align = header.p_align.max(1);
    if !align.is_power_of_two() {
        return Err(BadImage::Refused(
            "a segment's alignment is no power of two",
        ));
    }
    Ok(Segment {
        memory: header.p_vaddr..end,
        file_bytes: header.p_filesz,
        file_offset: header.p_offset,
        prot: prot_of(header.p_flags),
        align,
    })
}

fn read_interpreter(
    file: &impl Source,
    headers: &[ProgramHeader],
) -> Result<Option<Vec<u8>>, BadImage> {
    let Some(header) = headers.iter().find(|header| header.p_type == PT_INTERP) else {
        return Ok(None);
    };
    if header.p_filesz < 2 || header.p_filesz > PATH_MAX_BYTES {
        return Err(BadImage::Refused(
            "its interpreter's name is empty or too long",
        ));
    }
    if !is_inside(header.p_offset, header.p_filesz, file.len_bytes()) {
        return Err(BadImage::Refused(
            "its interpreter's name lies outside the file",
        ));
    }
    let mut path = vec![0; header.p_filesz as usize];
    file.read_exact(header.p_offset, &mut path)
        .map_err(BadImage::Unreadable)?;
    if path.pop() != Some(0) || path.contains(&0) {
        return Err(BadImage::Refused(
            "its interpreter's name does not end as a string",
        ));
    }
    Ok(Some(path))
}

/// Where the headers are in memory: as `PT_PHDR` says, or in the segment that holds them.
fn address_of_headers(headers: &[ProgramHeader], segments: &[Segment], offset: u64) -> u64 {
    if let Some(header) = headers.iter().find(|header| header.p_type == PT_PHDR) {
        return header.p_vaddr;
    }
    let holds = |segment: &&Segment| {
        (segment.file_offset..segment.file_offset + segment.file_bytes).contains(&offset)
    };
    let segment = segments.iter().find(holds);
    segment.map_or(0, |segment| {
        segment.memory.start + (offset - segment.file_offset)
    })
}

fn prot_of(flags: u32) -> Prot {
    let mut prot = Prot::empty();
    prot.set(Prot::READ, flags & PF_R != 0);
    prot.set(Prot::WRITE, flags & PF_W != 0);
    prot.set(Prot::EXEC, flags & PF_X != 0);
    prot
}

fn is_inside(offset: u64, len: u64, total: u64) -> bool {
    offset.checked_add(len).is_some_and(|end| end <= total)
}

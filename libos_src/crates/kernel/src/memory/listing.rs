//! The text of `/proc/self/maps`.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Write as _;
use core::ops::Range;

use hal::{Errno, LogLevel, Prot};

use super::area::{Area, Backing, Purpose};
use super::space::{AddressSpace, Books};
use crate::syscalls::room;

/// About the longest line without the name.
const LINE_BYTES: usize = 128;

/// Where calls are served that old programs make (`syscalls::vsyscall`); it is no memory.
const OLD_ENTRY_POINTS: &[u8] =
    b"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n";

impl AddressSpace {
    /// One line for each mapping, as proc(5) describes `/proc/pid/maps`.
    ///
    /// # Errors
    /// `ENOMEM` if the kernel's heap has no room for it.
    pub(crate) fn listing(&self) -> Result<Vec<u8>, Errno> {
        let books = self.books.read();
        let mut text = self.room_for(&books, 0)?;
        for (start, area) in books.areas.iter() {
            text.extend_from_slice(line(start, area).as_bytes());
            text.extend_from_slice(name(area));
            text.push(b'\n');
        }
        text.extend_from_slice(OLD_ENTRY_POINTS);
        Ok(text)
    }

    /// An empty text that can take a line for each area, and `bytes` more.
    pub(super) fn room_for(&self, books: &Books, bytes: usize) -> Result<Vec<u8>, Errno> {
        let names: usize = books.areas.iter().map(|(_, area)| name(area).len()).sum();
        let len = books.areas.len() * (LINE_BYTES + bytes) + names + OLD_ENTRY_POINTS.len();
        room::check_for(self.machine, len)?;
        let mut text = Vec::new();
        text.try_reserve_exact(len).map_err(|_| Errno::ENOMEM)?;
        Ok(text)
    }

    /// Tells the host what code of files is mapped in `range` now, if it wants to know: a line as in
    /// `/proc/self/maps`. What goes away is not told; what comes to its place is.
    pub(super) fn tell_code(&self, books: &Books, range: &Range<u64>) {
        if !self.machine.listens(LogLevel::Mapping) {
            return;
        }
        for (start, area) in books.areas.overlapping(range) {
            if area.prot.contains(Prot::EXEC) && is_of_file(area) {
                let name = name(area).escape_ascii();
                let line = format!("{}{name}", line(start, area));
                self.machine.log(LogLevel::Mapping, &line);
            }
        }
        code_was_told();
    }

    /// The file whose code is at `address`, and how far behind its first mapping that is: what
    /// `addr2line` wants of a position-independent file.
    pub(crate) fn file_at(&self, address: u64) -> Option<(Arc<[u8]>, u64)> {
        let books = self.books.read();
        let (_, area) = books.areas.find(address)?;
        let Backing::File(file) = &area.backing else {
            return None;
        };
        let is_code = area.prot.contains(Prot::EXEC);
        let is_first = |(_, one): &(u64, &Area)| matches!(&one.backing, Backing::File(other) if other.path == file.path);
        let (base, _) = books.areas.iter().find(is_first)?;
        is_code.then(|| (file.path.clone(), address - base))
    }

    /// Bytes of memory that all processes share, and those of them that nobody uses.
    pub(crate) fn region_sizes_bytes(&self) -> (u64, u64) {
        (self.region.memory_bytes(), self.region.free_bytes())
    }

    /// Bytes that are kept for pages that are not in their place, and hold none now.
    pub(crate) fn spare_bytes(&self) -> u64 {
        self.store.free_bytes()
    }

    /// Bytes of private memory that may be written, the stack aside.
    pub(crate) fn data_bytes(&self) -> u64 {
        let books = self.books.read();
        let data = books.areas.iter().filter(|(_, area)| {
            area.shared().is_none()
                && area.purpose != Purpose::Stack
                && area.prot.contains(Prot::WRITE)
        });
        data.map(|(start, area)| area.end - start).sum()
    }

    /// The most bytes that were mapped, and that had memory; what was unmapped in small pieces may not
    /// count.
    pub(crate) fn peak_bytes(&self) -> (u64, u64) {
        self.books.read().peak_bytes()
    }

    /// Bytes that are mapped, and bytes that have memory.
    pub(crate) fn sizes_bytes(&self) -> (u64, u64) {
        let books = self.books.read();
        let mapped = books.areas.mapped_bytes(&self.layout.user);
        (mapped, books.committed.size_bytes())
    }
}

/// Where a debugger waits that wants to read symbols, or set breakpoints, before the code runs.
#[inline(never)]
fn code_was_told() {
    core::hint::black_box(());
}

fn is_of_file(area: &Area) -> bool {
    match &area.backing {
        Backing::Zero => false,
        Backing::File(_) => true,
        Backing::Shared(place) => place.pages().file().is_some(),
    }
}

pub(super) fn line(start: u64, area: &Area) -> String {
    let flag = |prot, letter| {
        if area.prot.contains(prot) {
            letter
        } else {
            '-'
        }
    };
    let (offset, inode) = match &area.backing {
        Backing::Zero => (0, 0),
        Backing::File(file) => (
            file.offset,
            file.inode.metadata().map_or(0, |metadata| metadata.inode),
        ),
        Backing::Shared(place) => (
            place.offset_of(start),
            place.pages().file().map_or(0, |file| file.id.inode),
        ),
    };
    let (read, write, execute) = (
        flag(Prot::READ, 'r'),
        flag(Prot::WRITE, 'w'),
        flag(Prot::EXEC, 'x'),
    );
    let kind = if area.shared().is_some() { 's' } else { 'p' };
    // What is of no file is on no device.
    let device = u8::from(!matches!(area.backing, Backing::Zero));
    let mut line = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        line,
        "{start:08x}-{:08x} {read}{write}{execute}{kind} {offset:08x} 00:{device:02x} {inode} ",
        area.end
    );
    while line.len() < 73 && !name(area).is_empty() {
        line.push(' ');
    }
    line
}

pub(super) fn name(area: &Area) -> &[u8] {
    match (area.purpose, &area.backing) {
        (Purpose::Heap, _) => b"[heap]",
        (Purpose::Stack, _) => b"[stack]",
        (Purpose::Stubs(_), _) => b"[libos stubs]",
        (Purpose::Program | Purpose::Image, Backing::File(file)) => &file.path,
        (Purpose::Program | Purpose::Image, Backing::Zero) => b"",
        (Purpose::Program | Purpose::Image, Backing::Shared(place)) => match place.pages().file() {
            Some(file) => &file.path,
            None => b"/dev/zero (deleted)",
        },
    }
}

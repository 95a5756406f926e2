//! The program's pages under both memory models.
//!
//! SGX1: all pages were added before EINIT, readable, writable and executable. To commit is to
//! zero; permissions are the kernel's books and a hint to the host ([`hints`]). EDMM: a page is accepted when it is committed and
//! trimmed when it is given back, with the permissions that the program asked for.

use alloc::{boxed::Box, vec::Vec};
use core::ops::Range;

use abi::{BootInfo, PAGE_SIZE, PageType, Permissions, SecInfo};
use hal::{NoMemory, Prot};

use crate::{enclu, hints, lock::Lock, mailbox::HOST, thread::boot_info, user_memory};

/// What the enclave knows about each of its dynamic pages. It never asks the host.
static BOOKS: Lock<Option<Books>> = Lock::new(None);

/// One byte a page: 0 if it is not there, else its permissions and [`Books::PRESENT`]. Chunks of them
/// come to be when a page of theirs does: programs have far more addresses than pages.
struct Books {
    chunks: Box<[Option<Box<[u8; Books::CHUNK_PAGES]>>]>,
}

impl Books {
    const PRESENT: u8 = 0x80;
    const CHUNK_PAGES: usize = 4096;
    const CHUNK_BYTES: u64 = Self::CHUNK_PAGES as u64 * PAGE_SIZE;

    /// The parts of a range that lie in one chunk each. The kernel only asks for ranges in the
    /// user region; for any other there is no memory.
    fn parts(
        &self,
        address: u64,
        size: u64,
    ) -> Result<impl Iterator<Item = Part> + use<>, NoMemory> {
        let start = boot_info().user_start;
        let first = address.checked_sub(start).ok_or(NoMemory)?;
        let end = first.checked_add(size).ok_or(NoMemory)?;
        if end > self.chunks.len() as u64 * Self::CHUNK_BYTES {
            return Err(NoMemory);
        }
        let mut at = first;
        Ok(core::iter::from_fn(move || {
            let chunk = at / Self::CHUNK_BYTES;
            let until = end.min((chunk + 1) * Self::CHUNK_BYTES);
            let index = |offset: u64| ((offset - chunk * Self::CHUNK_BYTES) / PAGE_SIZE) as usize;
            let part = (at < until).then(|| Part {
                address: start + at,
                chunk: chunk as usize,
                pages: index(at)..index(until.next_multiple_of(PAGE_SIZE)),
            });
            at = until;
            part
        }))
    }

    /// The entries of a part, if any of its chunk's pages was ever there.
    fn known(&mut self, part: &Part) -> Option<&mut [u8]> {
        let chunk = self.chunks.get_mut(part.chunk)?.as_deref_mut()?;
        chunk.get_mut(part.pages.clone())
    }

    /// The entries of a part, whose pages are about to be there.
    fn entries(&mut self, part: &Part) -> Result<&mut [u8], NoMemory> {
        let chunk = self.chunks.get_mut(part.chunk).ok_or(NoMemory)?;
        if chunk.is_none() {
            let mut pages = Vec::new();
            pages
                .try_reserve_exact(Self::CHUNK_PAGES)
                .map_err(|_| NoMemory)?;
            pages.resize(Self::CHUNK_PAGES, 0);
            *chunk = pages.into_boxed_slice().try_into().ok();
        }
        let pages = chunk.as_deref_mut().ok_or(NoMemory)?;
        pages.get_mut(part.pages.clone()).ok_or(NoMemory)
    }

    /// Gives back the entries of a chunk of whose pages none is there.
    fn forget_if_empty(&mut self, chunk: usize) {
        if let Some(chunk) = self.chunks.get_mut(chunk)
            && chunk
                .as_deref()
                .is_some_and(|pages| pages.iter().all(|&page| page == 0))
        {
            *chunk = None;
        }
    }
}

/// Pages of one chunk.
struct Part {
    address: u64,
    chunk: usize,
    pages: Range<usize>,
}

/// Makes the books. Called once, after the heap is there.
pub(crate) fn init(boot: &BootInfo) {
    if boot.memory_model == BootInfo::MEMORY_EDMM {
        let count = boot.user_size_bytes.div_ceil(Books::CHUNK_BYTES);
        let mut chunks = Vec::new();
        chunks.resize_with(count as usize, || None);
        *BOOKS.lock() = Some(Books {
            chunks: chunks.into_boxed_slice(),
        });
    }
}

pub(crate) fn commit(address: u64, size: u64, prot: Prot) -> Result<(), NoMemory> {
    let mut books = BOOKS.lock();
    let Some(books) = books.as_mut() else {
        // Until it is zeroed it must be writable, also when another thread settles the hints.
        hints::want(address, size, Permissions::RW);
        hints::prepare(address, size);
        let zeroed = user_memory::fill(address, size, 0);
        hints::want(address, size, permissions(prot));
        return zeroed.map_err(|_| NoMemory);
    };
    let wanted = permissions(prot);
    for part in books.parts(address, size)? {
        let pages = books.entries(&part)?;
        let mut at = part.address;
        for page in &mut *pages {
            if *page == 0 {
                accept_new(at)?;
                *page = Books::PRESENT | Permissions::RW.bits();
            } else {
                extend(at, page, Permissions::RW);
                user_memory::fill(at, PAGE_SIZE, 0).map_err(|_| NoMemory)?;
            }
            extend(at, page, wanted);
            at += PAGE_SIZE;
        }
        restrict(part.address, pages, wanted)?;
    }
    Ok(())
}

/// Commits pages for reading and writing whose content the kernel writes itself. Under SGX1 they hold
/// what was there before; under EDMM there are only fresh ones.
pub(crate) fn commit_to_fill(address: u64, size: u64) -> Result<(), NoMemory> {
    if boot_info().memory_model == BootInfo::MEMORY_EDMM {
        return commit(address, size, Prot::READ | Prot::WRITE);
    }
    hints::want(address, size, Permissions::RW);
    hints::prepare(address, size);
    Ok(())
}

/// Commits pages that hold `bytes`, a whole number of pages. Under EDMM each is accepted together with
/// its content, so that another thread of the program finds that or nothing.
pub(crate) fn commit_with(address: u64, bytes: &[u8], prot: Prot) -> Result<(), NoMemory> {
    let size = bytes.len() as u64;
    let mut books = BOOKS.lock();
    let Some(books) = books.as_mut() else {
        hints::want(address, size, Permissions::RW);
        hints::prepare(address, size);
        let copied = user_memory::copy_out(address, bytes);
        hints::want(address, size, permissions(prot));
        return copied.map_err(|_| NoMemory);
    };
    let wanted = permissions(prot);
    // There is no page without access to copy to.
    let first = wanted.union(Permissions::R);
    let mut source = Box::new(Page([0; PAGE_SIZE as usize]));
    let mut contents = bytes.chunks_exact(PAGE_SIZE as usize);
    for part in books.parts(address, size)? {
        let pages = books.entries(&part)?;
        let mut at = part.address;
        for (page, content) in pages.iter_mut().zip(&mut contents) {
            if *page != 0 {
                return Err(NoMemory);
            }
            source.0.copy_from_slice(content);
            let copied = enclu::accept_copy(at, &source.0, &SecInfo::regular(first));
            copied.map_err(|_| NoMemory)?;
            *page = Books::PRESENT | first.bits();
            at += PAGE_SIZE;
        }
        restrict(part.address, pages, wanted)?;
    }
    Ok(())
}

/// What EACCEPTCOPY reads from.
#[repr(align(4096))]
struct Page([u8; PAGE_SIZE as usize]);

pub(crate) fn protect(address: u64, size: u64, prot: Prot) -> Result<(), NoMemory> {
    let mut books = BOOKS.lock();
    let Some(books) = books.as_mut() else {
        hints::want(address, size, permissions(prot));
        return Ok(());
    };
    let wanted = permissions(prot);
    for part in books.parts(address, size)? {
        let pages = books.known(&part).ok_or(NoMemory)?;
        let mut at = part.address;
        for page in &mut *pages {
            if *page == 0 {
                return Err(NoMemory);
            }
            extend(at, page, wanted);
            at += PAGE_SIZE;
        }
        restrict(part.address, pages, wanted)?;
    }
    Ok(())
}

pub(crate) fn decommit(address: u64, size: u64) {
    let mut books = BOOKS.lock();
    let Some(books) = books.as_mut() else {
        hints::want(address, size, Permissions::NONE);
        return;
    };
    let Ok(parts) = books.parts(address, size) else {
        return;
    };
    for part in parts {
        let mut run_start = part.address;
        let pages = books.known(&part).unwrap_or_default();
        for run in pages.chunk_by_mut(|a, b| (*a == 0) == (*b == 0)) {
            let run_size = run.len() as u64 * PAGE_SIZE;
            if run.first().is_some_and(|page| *page != 0) {
                trim(run_start, run_size);
                run.fill(0);
            }
            run_start += run_size;
        }
        books.forget_if_empty(part.chunk);
    }
}

/// Gives back pages of a program that is gone. Under SGX1 the host is not told: no thread runs there,
/// and the next program may want the same.
pub(crate) fn retire(address: u64, size: u64) {
    if boot_info().memory_model == BootInfo::MEMORY_EDMM {
        decommit(address, size);
    }
}

/// Whether retired pages still hold what they held. Under EDMM they are gone.
pub(crate) fn keeps_retired() -> bool {
    boot_info().memory_model == BootInfo::MEMORY_SGX1
}

/// Takes retired pages into use again as they are.
pub(crate) fn recommit(address: u64, size: u64, prot: Prot) -> Result<(), NoMemory> {
    if !keeps_retired() {
        return commit(address, size, prot);
    }
    hints::want(address, size, permissions(prot));
    Ok(())
}

/// Has the host told that pages that were retired are for nobody.
pub(crate) fn bar(address: u64, size: u64) {
    if boot_info().memory_model == BootInfo::MEMORY_SGX1 {
        hints::want(address, size, Permissions::NONE);
    }
}

/// Accepts a page that the kernel adds at the first touch. Anything but a fresh, zeroed page is an
/// attack or a defect of the host.
fn accept_new(address: u64) -> Result<(), NoMemory> {
    let fresh = SecInfo::regular(Permissions::RW).with_state(SecInfo::PENDING);
    enclu::accept(address, &fresh).map_err(|_| NoMemory)
}

/// Gives a page at least these permissions.
fn extend(address: u64, page: &mut u8, wanted: Permissions) {
    let held = Permissions::from_bits_truncated(*page);
    if !held.contains(wanted) {
        let both = held.union(wanted);
        enclu::extend_permissions(address, &SecInfo::regular(both));
        *page = Books::PRESENT | both.bits();
    }
}

/// Takes from each page what it has beyond `wanted`, one request for each run of pages.
fn restrict(address: u64, pages: &mut [u8], wanted: Permissions) -> Result<(), NoMemory> {
    let mut run_start = address;
    let target = Books::PRESENT | wanted.bits();
    for run in pages.chunk_by_mut(|a, b| (*a == target) == (*b == target)) {
        let run_size = run.len() as u64 * PAGE_SIZE;
        if run.first().is_some_and(|page| *page != target) {
            HOST.restrict_permissions(run_start, run_size, wanted.bits())
                .map_err(|_| NoMemory)?;
            let restricted = SecInfo::regular(wanted).with_state(SecInfo::PERMISSIONS_RESTRICTED);
            accept_run(run_start, run_size, &restricted);
            run.fill(target);
        }
        run_start += run_size;
    }
    Ok(())
}

fn trim(address: u64, size: u64) {
    let trimmed = SecInfo::new(PageType::Trimmed, Permissions::NONE).with_state(SecInfo::MODIFIED);
    if HOST.trim_pages(address, size).is_ok() {
        accept_run(address, size, &trimmed);
        // A host that keeps the pages only harms itself: they are no longer ours.
        let _ = HOST.remove_pages(address, size);
    } else {
        panic!("the host did not trim pages at {address:#x}");
    }
}

/// Accepts a change that was asked for. A host that did something else has broken the memory of the
/// program, so the enclave ends.
fn accept_run(address: u64, size: u64, expected: &SecInfo) {
    for at in (address..address + size).step_by(PAGE_SIZE as usize) {
        if let Err(code) = enclu::accept(at, expected) {
            panic!("EACCEPT of {at:#x} gave error {code}");
        }
    }
}

/// A page that may be used at all must be readable in SGX.
fn permissions(prot: Prot) -> Permissions {
    let mut permissions = Permissions::NONE;
    if !prot.is_empty() {
        permissions = Permissions::R;
    }
    if prot.contains(Prot::WRITE) {
        permissions = permissions.union(Permissions::W);
    }
    if prot.contains(Prot::EXEC) {
        permissions = permissions.union(Permissions::X);
    }
    permissions
}

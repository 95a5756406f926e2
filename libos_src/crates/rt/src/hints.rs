//! What the host's page tables are asked to allow of the program's pages under SGX1.
//!
//! SGX1 cannot change a page's own permissions after EADD, so the program's pages are readable,
//! writable and executable for good. An honest host makes guard pages fault and text read-only all
//! the same, by its page tables. It is asked to, and may refuse, lie or forget: nothing in the LibOS
//! depends on it. What the LibOS itself cannot reach it asks for again ([`open`]).
//!
//! Changes are noted first, and told when a thread goes back to the program ([`settle`]): what one
//! system call changes several times is told once, what it changes and changes back not at all.

use alloc::{boxed::Box, vec, vec::Vec};
use core::{
    ops::Range,
    sync::atomic::{AtomicBool, Ordering},
};

use abi::{BootInfo, PAGE_SIZE, Permissions};

use crate::{lock::Lock, mailbox::HOST};

/// Nothing under EDMM, where pages have permissions of their own.
static BOOKS: Lock<Option<Books>> = Lock::new(None);
/// Whether the host may have to be told something. Changes under the lock alone.
static UNTOLD: AtomicBool = AtomicBool::new(false);

struct Books {
    start: u64,
    pages: Box<[Hint]>,
    /// Ranges of indices where something was noted since the host was last told.
    changed: Vec<Range<usize>>,
}

/// One page: what it should allow (bits 0 to 2), and what the host was told (bits 4 to 6).
#[derive(Clone, Copy, PartialEq, Eq)]
struct Hint(u8);

impl Hint {
    fn new(wanted: Permissions, told: Permissions) -> Self {
        Self(wanted.bits() | told.bits() << 4)
    }

    fn wanted(self) -> Permissions {
        Permissions::from_bits_truncated(self.0)
    }

    fn told(self) -> Permissions {
        Permissions::from_bits_truncated(self.0 >> 4)
    }
}

impl Books {
    /// The indices of the pages that a range touches.
    fn indices(&self, address: u64, size: u64) -> Option<Range<usize>> {
        let first = address.checked_sub(self.start)? / PAGE_SIZE;
        let end = address.checked_add(size)? - self.start;
        let range = first as usize..end.div_ceil(PAGE_SIZE) as usize;
        (range.end <= self.pages.len()).then_some(range)
    }

    /// Notes that the pages in `range` may differ from what the host was told.
    fn note(&mut self, range: Range<usize>) {
        match self.changed.last_mut() {
            Some(last) if last.start <= range.end && range.start <= last.end => {
                *last = last.start.min(range.start)..last.end.max(range.end);
            }
            _ => self.changed.push(range),
        }
        UNTOLD.store(true, Ordering::Release);
    }

    /// Tells the host what the pages of `range` should allow, and `extra`: one call for each run of
    /// pages that want the same, unless `is_known` holds for all of it.
    fn tell(
        &mut self,
        range: Range<usize>,
        extra: Permissions,
        is_known: impl Fn(Hint, Permissions) -> bool,
    ) {
        let mut at = self.start + range.start as u64 * PAGE_SIZE;
        let pages = self.pages.get_mut(range).unwrap_or_default();
        for run in pages.chunk_by_mut(|a, b| a.wanted() == b.wanted()) {
            let size = run.len() as u64 * PAGE_SIZE;
            let wanted = run.first().map_or(Permissions::NONE, |page| page.wanted());
            let asked = wanted.union(extra);
            if !run.iter().all(|page| is_known(*page, asked)) {
                HOST.map_pages(at, size, asked.bits());
                run.fill(Hint::new(wanted, asked));
            }
            at += size;
        }
    }
}

/// Makes the books: the program has no page yet, and whoever loaded the enclave mapped all of them.
/// Called once, after the heap is there.
pub(crate) fn init(boot: &BootInfo) {
    if boot.memory_model == BootInfo::MEMORY_SGX1 {
        let count = (boot.user_added_bytes / PAGE_SIZE) as usize;
        let mut books = Books {
            start: boot.user_start,
            pages: vec![Hint::new(Permissions::NONE, Permissions::RWX); count].into_boxed_slice(),
            changed: Vec::new(),
        };
        books.note(0..count);
        *BOOKS.lock() = Some(books);
    }
}

/// Notes what the program may do with some pages from now on.
pub(crate) fn want(address: u64, size: u64, permissions: Permissions) {
    let mut books = BOOKS.lock();
    let Some(books) = books.as_mut() else { return };
    let Some(range) = books.indices(address, size) else {
        return;
    };
    for page in books.pages.get_mut(range.clone()).unwrap_or_default() {
        *page = Hint::new(permissions, page.told());
    }
    books.note(range);
}

/// Has pages that the LibOS is about to write opened, unless the host was told already.
pub(crate) fn prepare(address: u64, size: u64) {
    let mut books = BOOKS.lock();
    let Some(books) = books.as_mut() else { return };
    if let Some(range) = books.indices(address, size) {
        books.tell(range.clone(), Permissions::RW, |page, _| {
            page.told().contains(Permissions::RW)
        });
        books.note(range);
    }
}

/// Has pages opened that the LibOS could not reach, whatever the host was told before. Whether it
/// may try again; the pages close when a thread next goes back to the program.
pub(crate) fn open(address: u64, size: u64) -> bool {
    let mut books = BOOKS.lock();
    let Some(books) = books.as_mut() else {
        return false;
    };
    let Some(range) = books.indices(address, size) else {
        return false;
    };
    books.tell(range.clone(), Permissions::RW, |_, _| false);
    books.note(range);
    true
}

/// Tells the host what it has not been told. Called whenever a thread goes back to the program.
pub(crate) fn settle() {
    if !UNTOLD.load(Ordering::Acquire) {
        return;
    }
    let mut books = BOOKS.lock();
    let Some(books) = books.as_mut() else { return };
    for range in core::mem::take(&mut books.changed) {
        books.tell(range, Permissions::NONE, |page, asked| page.told() == asked);
    }
    // Only now: a thread that comes meanwhile waits for the lock, so that its own change is told
    // before its program goes on.
    UNTOLD.store(false, Ordering::Release);
}

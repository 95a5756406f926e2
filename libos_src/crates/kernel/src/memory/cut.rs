//! Private copies of files that become shorter: what is behind the end goes, changed or not.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, Ordering};

use locks::Mutex;
use vfs::FileId;

use super::area::{Area, Backing, Counted, FileBacking};
use super::space::{AddressSpace, Books};

/// The files that may change and of which address spaces have private copies.
#[derive(Default)]
pub(super) struct CopiedFiles(Mutex<BTreeMap<FileId, Weak<CopiedFile>>>);

/// One of them. It is known as long as it is mapped.
pub(crate) struct CopiedFile {
    id: FileId,
    all: Arc<CopiedFiles>,
}

/// Files that were cut and whose copies an address space has still to give up: what was the least that they
/// had meanwhile.
#[derive(Default)]
pub(super) struct Cuts {
    files: Mutex<BTreeMap<FileId, u64>>,
    are_there: AtomicBool,
}

impl CopiedFiles {
    /// A file that is mapped from now on.
    pub(super) fn add(self: &Arc<Self>, id: FileId) -> Arc<CopiedFile> {
        let mut all = self.0.lock();
        let known = all.get(&id).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let file = Arc::new(CopiedFile {
                id,
                all: self.clone(),
            });
            all.insert(id, Arc::downgrade(&file));
            file
        })
    }

    /// Whether there are copies of a file.
    pub(super) fn has(&self, id: FileId) -> bool {
        self.0.lock().contains_key(&id)
    }
}

impl Drop for CopiedFile {
    fn drop(&mut self) {
        let mut all = self.all.0.lock();
        // Others may have mapped it anew meanwhile.
        if (all.get(&self.id)).is_some_and(|known| known.strong_count() == 0) {
            all.remove(&self.id);
        }
    }
}

impl Cuts {
    /// The same for a copy of the address space.
    pub(super) fn twin(&self) -> Self {
        let files = self.files.lock().clone();
        Self {
            are_there: AtomicBool::new(!files.is_empty()),
            files: Mutex::new(files),
        }
    }

    fn add(&self, file: FileId, size_bytes: u64) {
        let mut files = self.files.lock();
        let least = files.entry(file).or_insert(size_bytes);
        *least = size_bytes.min(*least);
        drop(files);
        self.are_there.store(true, Ordering::Release);
    }

    fn take(&self) -> BTreeMap<FileId, u64> {
        if self.are_there.swap(false, Ordering::Acquire) {
            core::mem::take(&mut self.files.lock())
        } else {
            BTreeMap::new()
        }
    }
}

impl AddressSpace {
    /// A file was cut, by anybody. Where address spaces take turns, copies go once this one's threads
    /// look: [`give_up_cut`](Self::give_up_cut).
    pub(super) fn cut(&self, file: FileId, size_bytes: u64) {
        let mut books = self.books.write();
        if !self.gang.is_shared() {
            self.give_up_behind(&mut books, file, size_bytes);
        } else if books
            .areas
            .iter()
            .any(|(_, area)| copied_of(area, file).is_some())
        {
            // Only then, so that what waits is no more than what is mapped.
            self.cuts.add(file, size_bytes);
        }
    }

    /// Gives up what files do not have any more. The calling thread holds the memory.
    pub(crate) fn give_up_cut(&self) {
        for (file, size_bytes) in self.cuts.take() {
            self.give_up_behind(&mut self.books.write(), file, size_bytes);
        }
    }

    fn give_up_behind(&self, books: &mut Books, file: FileId, size_bytes: u64) {
        let first_gone = super::page_ceiling(size_bytes).unwrap_or(u64::MAX);
        let behind = |(start, area): (u64, &Area)| {
            let kept = first_gone.saturating_sub(copied_of(area, file)?.offset);
            let part = start.saturating_add(kept).min(area.end)..area.end;
            (!part.is_empty()).then_some((part, area.counted))
        };
        let parts: Vec<(Range<u64>, Counted)> = books.areas.iter().filter_map(behind).collect();
        for (part, counted) in parts {
            self.release_pages(books, &part);
            if counted == Counted::Touched {
                self.region.uncharge(&part);
            }
        }
    }
}

/// The part of a file that an area is a copy of.
fn copied_of(area: &Area, file: FileId) -> Option<&FileBacking> {
    match &area.backing {
        Backing::File(copy) if copy.copied.as_ref()?.id == file => Some(copy),
        _ => None,
    }
}

//! Large texts of which nobody knows yet whether they have system calls.
//!
//! To search a text is to read and hash all of it. Where pages get memory as they are touched, that is
//! most of what the start of a large program costs, and most have no system calls of their own: those are in
//! the C library. So a large text waits until the program comes to the first one.

use alloc::collections::BTreeMap;
use core::ops::Range;

use super::area::Backing;
use super::patch::is_text;
use super::space::{AddressSpace, Books};

/// Texts that are no longer than this are searched when they are mapped.
const SMALL_BYTES: u64 = 256 * 1024;

/// The texts that wait, from their start to their end.
#[derive(Clone, Default)]
pub(super) struct Unsearched {
    texts: BTreeMap<u64, u64>,
    /// Whether threads may be anywhere in a text that waits: what is mapped now is searched at once.
    is_closed: bool,
}

impl Unsearched {
    /// Whether some of a text waits.
    pub(super) fn has(&self, text: &Range<u64>) -> bool {
        let below = self.texts.range(..text.end).next_back();
        below.is_some_and(|(_, &end)| end > text.start)
    }

    /// What is in a range is something else from now on.
    pub(super) fn forget(&mut self, range: &Range<u64>) {
        self.texts
            .retain(|&start, &mut end| end <= range.start || range.end <= start);
    }

    /// Takes out the text that is exactly this range; whether it waited.
    fn take(&mut self, text: &Range<u64>) -> bool {
        let waits = self.texts.get(&text.start) == Some(&text.end);
        waits && self.texts.remove(&text.start).is_some()
    }
}

impl AddressSpace {
    /// Puts the search of a text off if it is worth it; whether it did. The text was just mapped, and shows a
    /// file that never changes.
    pub(super) fn put_off(&self, books: &mut Books, text: &Range<u64>) -> bool {
        let is_large = text.end - text.start > SMALL_BYTES;
        if !is_large || books.unsearched.is_closed || self.gang.is_shared() {
            return false;
        }
        let Some((_, area)) = books.areas.find(text.start) else {
            return false;
        };
        let is_known = matches!(&area.backing, Backing::File(file) if self.has_plan(file, text));
        if !is_known {
            books.unsearched.texts.insert(text.start, text.end);
        }
        !is_known
    }

    /// The program came to a system call at `rip` that is not patched: its text is searched if it waits for
    /// that. The calling thread is the only one of this address space, so that no other is
    /// between two instructions that move.
    pub(crate) fn search_at(&self, rip: u64) {
        if self.books.read().unsearched.texts.is_empty() || self.gang.is_shared() {
            return;
        }
        let mut books = self.books.write();
        let Some((start, area)) = books.areas.find(rip).filter(|(_, area)| is_text(area)) else {
            return;
        };
        let text = start..area.end;
        if books.unsearched.take(&text) && self.check_areas(&books, 1).is_ok() {
            self.patch_one(&mut books, &text, true);
        }
    }

    /// The program is about to have several threads.
    pub(crate) fn expect_threads(&self) {
        self.books.write().unsearched.is_closed = true;
    }
}

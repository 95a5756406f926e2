//! Which pages of the user region are backed by memory.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use hal::PAGE_SIZE;

/// A set of pages of one fixed region, one bit each.
#[derive(Debug)]
pub(crate) struct PageSet {
    region: Range<u64>,
    words: Vec<u64>,
}

impl PageSet {
    /// No page of `region`, which is page aligned.
    pub(crate) fn new(region: Range<u64>) -> Self {
        let pages = (region.end - region.start) / PAGE_SIZE;
        let words = vec![0; pages.div_ceil(64) as usize];
        Self { region, words }
    }

    /// Adds the pages of a page-aligned range inside the region.
    pub(crate) fn insert(&mut self, range: &Range<u64>) {
        for page in self.pages_of(range) {
            self.words[page / 64] |= 1 << (page % 64);
        }
    }

    /// Takes the pages of a range out.
    pub(crate) fn remove(&mut self, range: &Range<u64>) {
        for page in self.pages_of(range) {
            self.words[page / 64] &= !(1 << (page % 64));
        }
    }

    /// The parts of `range` that are in the set, as the longest runs, in order.
    pub(crate) fn present(&self, range: &Range<u64>) -> Vec<Range<u64>> {
        self.runs(range, true)
    }

    /// The parts of `range` that are not in the set, as the longest runs, in order.
    pub(crate) fn missing(&self, range: &Range<u64>) -> Vec<Range<u64>> {
        self.runs(range, false)
    }

    fn runs(&self, range: &Range<u64>, wanted: bool) -> Vec<Range<u64>> {
        let mut runs: Vec<Range<u64>> = Vec::new();
        for page in self.pages_of(range) {
            if (self.words[page / 64] >> (page % 64) & 1 == 1) != wanted {
                continue;
            }
            let start = self.region.start + page as u64 * PAGE_SIZE;
            match runs.last_mut() {
                Some(last) if last.end == start => last.end += PAGE_SIZE,
                _ => runs.push(start..start + PAGE_SIZE),
            }
        }
        runs
    }

    fn pages_of(&self, range: &Range<u64>) -> Range<usize> {
        debug_assert!(self.region.start <= range.start && range.end <= self.region.end);
        let index = |address: u64| ((address - self.region.start) / PAGE_SIZE) as usize;
        index(range.start)..index(range.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_cover_a_range_once_and_in_order() {
        let mut set = PageSet::new(0x10000..0x110000);
        set.insert(&(0x12000..0x14000));
        set.insert(&(0x50000..0x51000));

        let range = 0x11000..0x52000;

        assert_eq!(set.present(&range), [0x12000..0x14000, 0x50000..0x51000]);
        assert_eq!(
            set.missing(&range),
            [0x11000..0x12000, 0x14000..0x50000, 0x51000..0x52000]
        );
    }

    #[test]
    fn a_removed_page_is_missing_again() {
        let mut set = PageSet::new(0x10000..0x20000);
        set.insert(&(0x10000..0x20000));
        set.remove(&(0x1f000..0x20000));

        assert_eq!(
            set.missing(&(0x10000..0x20000)).first(),
            Some(&(0x1f000..0x20000))
        );
        assert_eq!(
            set.present(&(0x10000..0x20000)).first(),
            Some(&(0x10000..0x1f000))
        );
    }
}

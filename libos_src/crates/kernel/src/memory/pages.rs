//! Which pages are backed by memory.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Range;

/// A set of pages, as the longest runs of addresses: from each start to its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PageSet(BTreeMap<u64, u64>);

impl PageSet {
    /// Adds the pages of a page-aligned range.
    pub(crate) fn insert(&mut self, range: &Range<u64>) {
        if range.is_empty() {
            return;
        }
        let (mut start, mut end) = (range.start, range.end);
        // Runs that touch the range become part of it, from the last one down.
        while let Some((&at, &run_end)) = self.0.range(..=end).next_back() {
            if run_end < start {
                break;
            }
            start = start.min(at);
            end = end.max(run_end);
            self.0.remove(&at);
        }
        self.0.insert(start, end);
    }

    /// Takes the pages of a range out.
    pub(crate) fn remove(&mut self, range: &Range<u64>) {
        while let Some((&at, &run_end)) = self.0.range(..range.end).next_back() {
            if run_end <= range.start {
                return;
            }
            self.0.remove(&at);
            if run_end > range.end {
                self.0.insert(range.end, run_end);
            }
            if at < range.start {
                self.0.insert(at, range.start);
            }
        }
    }

    /// The parts of `range` that are in the set, as the longest runs, in order.
    pub(crate) fn present(&self, range: &Range<u64>) -> Vec<Range<u64>> {
        self.overlapping(range).collect()
    }

    /// The parts of `range` that are not in the set, as the longest runs, in order.
    pub(crate) fn missing(&self, range: &Range<u64>) -> Vec<Range<u64>> {
        let mut missing = Vec::new();
        let mut at = range.start;
        for run in self.overlapping(range) {
            if at < run.start {
                missing.push(at..run.start);
            }
            at = run.end;
        }
        if at < range.end {
            missing.push(at..range.end);
        }
        missing
    }

    /// Whether every page of `range` is in the set.
    pub(crate) fn contains(&self, range: &Range<u64>) -> bool {
        range.is_empty()
            || self
                .0
                .range(..=range.start)
                .next_back()
                .is_some_and(|(_, &end)| end >= range.end)
    }

    /// All runs, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.0.iter().map(|(&start, &end)| start..end)
    }

    /// How many runs there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bytes the pages have.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.iter().map(|run| run.end - run.start).sum()
    }

    fn overlapping(&self, range: &Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let range = range.clone();
        let first = self.0.range(..=range.start).next_back();
        let first = first.map_or(range.start, |(&start, _)| start);
        self.0
            .range(first..range.end.max(first))
            .map(move |(&start, &end)| start.max(range.start)..end.min(range.end))
            .filter(|run| run.start < run.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_cover_a_range_once_and_in_order() {
        let mut set = PageSet::default();
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
        let mut set = PageSet::default();
        set.insert(&(0x10000..0x20000));
        set.remove(&(0x14000..0x15000));
        set.remove(&(0x1f000..0x20000));

        assert_eq!(
            set.present(&(0x10000..0x20000)),
            [0x10000..0x14000, 0x15000..0x1f000]
        );
        assert!(set.contains(&(0x15000..0x1f000)));
        assert!(!set.contains(&(0x13000..0x15000)));
    }

    #[test]
    fn runs_that_touch_become_one() {
        let mut set = PageSet::default();
        for start in [0x10000, 0x14000, 0x12000] {
            set.insert(&(start..start + 0x1000));
        }
        set.insert(&(0x11000..0x14000));

        assert!(set.iter().eq(core::iter::once(0x10000..0x15000)));
        assert_eq!(set.size_bytes(), 0x5000);
    }
}

//! Which pages are not in their place, and where they are.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Range;

/// Pages of an address space that are in the store. Runs by their start.
#[derive(Default)]
pub(super) struct SavedPages(BTreeMap<u64, Run>);

struct Run {
    end: u64,
    /// Where the first page is kept; the others follow it.
    kept_at: u64,
}

/// A run of pages and where it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Saved {
    pub(super) place: Range<u64>,
    pub(super) kept: Range<u64>,
}

impl SavedPages {
    /// Notes pages that were not saved before. The runs of `kept` follow each other in `place`.
    pub(super) fn insert(&mut self, place: &Range<u64>, kept: &[Range<u64>]) {
        let mut start = place.start;
        for run in kept {
            let end = start + (run.end - run.start);
            let kept_at = run.start;
            self.0.insert(start, Run { end, kept_at });
            start = end;
        }
        debug_assert_eq!(start, place.end);
    }

    /// Where a page is kept, if it is saved.
    pub(super) fn find(&self, page: u64) -> Option<u64> {
        let (&start, run) = self.0.range(..=page).next_back()?;
        (page < run.end).then(|| run.kept_at + (page - start))
    }

    /// Takes out what is saved of a range.
    pub(super) fn remove(&mut self, range: &Range<u64>) -> Vec<Saved> {
        self.cut(range.start);
        self.cut(range.end);
        let starts: Vec<u64> = self.0.range(range.clone()).map(|(&at, _)| at).collect();
        let runs = starts.into_iter().filter_map(|start| {
            let run = self.0.remove(&start)?;
            Some(Saved::new(start, &run))
        });
        runs.collect()
    }

    /// Takes out everything.
    pub(super) fn take_all(&mut self) -> Vec<Saved> {
        let runs = core::mem::take(&mut self.0).into_iter();
        runs.map(|(start, run)| Saved::new(start, &run)).collect()
    }

    /// Whether nothing is saved.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn cut(&mut self, at: u64) {
        if let Some((&start, run)) = self.0.range_mut(..at).next_back()
            && run.end > at
        {
            let rest = Run {
                end: run.end,
                kept_at: run.kept_at + (at - start),
            };
            run.end = at;
            self.0.insert(at, rest);
        }
    }
}

impl Saved {
    fn new(start: u64, run: &Run) -> Self {
        Self {
            place: start..run.end,
            kept: run.kept_at..run.kept_at + (run.end - start),
        }
    }

    /// The part of it that is about `range`, which lies inside.
    pub(super) fn part(&self, range: &Range<u64>) -> Self {
        let offset = range.start - self.place.start;
        let kept_at = self.kept.start + offset;
        Self {
            place: range.clone(),
            kept: kept_at..kept_at + (range.end - range.start),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_run_is_taken_out_with_its_own_place_in_the_store() {
        let mut saved = SavedPages::default();
        saved.insert(&(0x1000..0x5000), &[0x9_0000..0x9_1000, 0xa_0000..0xa_3000]);

        let taken = saved.remove(&(0x3000..0x4000));

        assert_eq!(
            taken,
            [Saved {
                place: 0x3000..0x4000,
                kept: 0xa_1000..0xa_2000
            }]
        );
        let rest: Vec<u64> = saved.take_all().iter().map(|run| run.kept.start).collect();
        assert_eq!(rest, [0x9_0000, 0xa_0000, 0xa_2000]);
        assert!(saved.is_empty());
    }
}

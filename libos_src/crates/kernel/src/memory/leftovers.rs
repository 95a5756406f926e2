//! What free pages still hold of programs that have ended.
//!
//! The next process of a program mostly lands where the last one was, and most of its pages are those
//! of a verified file, which no program could change. Where such pages still are what they were, they
//! are used again as they are, with their system calls patched: nothing is copied, nothing is searched,
//! and the host need not be told.
//!
//! Under SGX1 alone: with EDMM a free page has no memory.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops::Range;

use locks::Mutex;
use patcher::Placed;
use vfs::{ContentId, Inode};

/// What is left, which nobody uses.
#[derive(Default)]
pub(crate) struct Leftovers(Mutex<All>);

#[derive(Default)]
struct All {
    /// By their start; no two overlap.
    runs: BTreeMap<u64, Leftover>,
    /// Where parts of files are.
    files: BTreeSet<(FilePlace, u64)>,
}

struct Leftover {
    end: u64,
    content: Content,
}

/// The most notes that are kept: some hundred programs with their libraries.
const COUNT_MAX: usize = 4096;

/// What a run of pages holds.
#[derive(Clone)]
pub(super) enum Content {
    /// A part of a file that never changes.
    File(FilePlace),
    /// The same as a text whose system calls are patched, and where the stubs are.
    Patched(FilePlace, Placed, Range<u64>),
    /// The stubs of the text that starts at this address.
    Stubs(u64),
}

/// Which byte of a file a run of pages begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FilePlace {
    pub(super) content: ContentId,
    pub(super) offset: u64,
}

impl FilePlace {
    /// A byte of a file. `None` for one that may change.
    pub(crate) fn of(inode: &dyn Inode, offset: u64) -> Option<Self> {
        let content = inode.content()?;
        Some(Self { content, offset })
    }

    /// Where the byte is that is `bytes` behind it.
    fn behind(self, bytes: u64) -> Option<Self> {
        let offset = self.offset.checked_add(bytes)?;
        Some(Self { offset, ..self })
    }
}

impl Content {
    const fn file(&self) -> Option<FilePlace> {
        match self {
            Self::File(place) | Self::Patched(place, ..) => Some(*place),
            Self::Stubs(_) => None,
        }
    }
}

impl Leftovers {
    /// Pages that are about to be nobody's hold this, unless it is forgotten.
    pub(super) fn leave(&self, range: &Range<u64>, content: Content) {
        let mut all = self.0.lock();
        if all.runs.len() >= COUNT_MAX {
            *all = All::default();
        }
        all.forget(range);
        if let Some(place) = content.file() {
            all.files.insert((place, range.start));
        }
        let end = range.end;
        all.runs.insert(range.start, Leftover { end, content });
    }

    /// Whether something is left in a range.
    pub(super) fn are_in(&self, range: &Range<u64>) -> bool {
        self.0.lock().overlapping(range).next().is_some()
    }

    /// Pages of a range are about to hold something else.
    pub(super) fn forget(&self, range: &Range<u64>) {
        self.0.lock().forget(range);
    }

    /// Where runs are that begin with a certain byte of a file.
    pub(super) fn starts_of(&self, place: FilePlace) -> Vec<u64> {
        let all = self.0.lock();
        let found = all.files.range((place, 0)..=(place, u64::MAX));
        found.map(|(_, start)| *start).collect()
    }

    /// Where in a range `len` bytes are, aligned, of which nothing is left: the highest such place.
    pub(super) fn fit_high(&self, range: &Range<u64>, len: u64, align: u64) -> Option<u64> {
        let all = self.0.lock();
        let fit = |floor: u64, ceiling: u64| {
            let start = ceiling.checked_sub(len)? & !(align - 1);
            (start >= floor).then_some(start)
        };
        let mut ceiling = range.end;
        for (&start, run) in all.runs.range(..range.end).rev() {
            if run.end <= range.start {
                break;
            }
            if let Some(found) = fit(run.end, ceiling) {
                return Some(found);
            }
            ceiling = start;
        }
        fit(range.start, ceiling)
    }

    /// The same for the lowest place.
    pub(super) fn fit_low(&self, range: &Range<u64>, len: u64, align: u64) -> Option<u64> {
        let all = self.0.lock();
        let fit = |floor: u64, ceiling: u64| {
            let start = floor.checked_next_multiple_of(align)?;
            (start.checked_add(len)? <= ceiling).then_some(start)
        };
        let mut floor = range.start;
        for run in all.overlapping(range) {
            if let Some(found) = fit(floor, run.start) {
                return Some(found);
            }
            floor = run.end;
        }
        fit(floor, range.end)
    }

    /// Takes out what is left of a file in `range`, which is to begin with `wanted`, and forgets
    /// what else there is. Text that was patched is there as a whole or not at all.
    pub(super) fn take(&self, range: &Range<u64>, wanted: FilePlace) -> Vec<(Range<u64>, Content)> {
        let mut all = self.0.lock();
        let mut taken = Vec::new();
        let found: Vec<Range<u64>> = all.overlapping(range).collect();
        for run in found {
            let Some(content) = all.remove(run.start) else {
                continue;
            };
            let part = run.start.max(range.start)..run.end.min(range.end);
            let place = wanted.behind(part.start - range.start);
            match &content {
                Content::File(found) if found.behind(part.start - run.start) == place => {
                    taken.push((part, content));
                }
                Content::Patched(found, ..) if part == run && Some(*found) == place => {
                    taken.push((part, content));
                }
                _ => {}
            }
        }
        taken
    }

    /// Takes out the stubs of a text; whether they are there.
    pub(super) fn take_stubs(&self, text: u64, stubs: &Range<u64>) -> bool {
        let mut all = self.0.lock();
        let found = all.runs.get(&stubs.start);
        let is_there = found.is_some_and(|found| {
            found.end == stubs.end && matches!(found.content, Content::Stubs(of) if of == text)
        });
        is_there && all.remove(stubs.start).is_some()
    }
}

impl All {
    fn overlapping(&self, range: &Range<u64>) -> impl Iterator<Item = Range<u64>> {
        let before = self.runs.range(..range.start).next_back();
        let first = before.filter(|(_, found)| found.end > range.start);
        let first = first.map_or(range.start, |(&start, _)| start);
        let inside = self.runs.range(first..range.end.max(first));
        inside.map(|(&start, found)| start..found.end)
    }

    fn forget(&mut self, range: &Range<u64>) {
        loop {
            let Some(run) = self.overlapping(range).next() else {
                return;
            };
            self.remove(run.start);
        }
    }

    fn remove(&mut self, start: u64) -> Option<Content> {
        let content = self.runs.remove(&start)?.content;
        if let Some(place) = content.file() {
            self.files.remove(&(place, start));
        }
        Some(content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(file: u64, offset: u64) -> FilePlace {
        FilePlace {
            content: ContentId { source: 0, file },
            offset,
        }
    }

    #[test]
    fn a_part_of_a_file_is_found_where_it_is_wanted_and_once() {
        let left = Leftovers::default();
        left.leave(&(0x4000..0x8000), Content::File(place(1, 0x1000)));
        let find = |range: Range<u64>, wanted| {
            let taken = left.take(&range, wanted);
            let found = taken.into_iter().next();
            found.map(|(part, _)| part)
        };

        let found = find(0x5000..0xa000, place(1, 0x2000));
        assert_eq!(found, Some(0x5000..0x8000));
        assert_eq!(find(0x5000..0xa000, place(1, 0x2000)), None);
    }

    #[test]
    fn another_file_or_another_part_of_it_is_not_found() {
        for wanted in [place(2, 0x1000), place(1, 0), place(1, 0x2000)] {
            let left = Leftovers::default();
            left.leave(&(0x4000..0x8000), Content::File(place(1, 0x1000)));

            assert!(left.take(&(0x4000..0x8000), wanted).is_empty());
            assert!(!left.are_in(&(0x4000..0x8000)), "it will be overwritten");
        }
    }

    #[test]
    fn what_is_used_in_part_is_not_there_any_more() {
        let left = Leftovers::default();
        left.leave(&(0x4000..0x8000), Content::File(place(1, 0)));
        left.leave(&(0x9000..0xa000), Content::Stubs(0x4000));

        left.forget(&(0x7000..0x9000));

        assert!(left.take(&(0x4000..0x8000), place(1, 0)).is_empty());
        assert!(!left.take_stubs(0x5000, &(0x9000..0xa000)));
        assert!(left.take_stubs(0x4000, &(0x9000..0xa000)));
        assert!(!left.take_stubs(0x4000, &(0x9000..0xa000)));
    }

    #[test]
    fn free_places_are_found_between_what_is_left() {
        let left = Leftovers::default();
        for start in [0x3000, 0x6000, 0x8000] {
            let content = Content::File(place(1, start));
            left.leave(&(start..start + 0x1000), content);
        }
        let all = 0x1000..0x9000;

        assert_eq!(left.fit_high(&all, 0x1000, 0x1000), Some(0x7000));
        assert_eq!(left.fit_high(&all, 0x2000, 0x1000), Some(0x4000));
        assert_eq!(left.fit_high(&all, 0x3000, 0x1000), None);
        assert_eq!(left.fit_low(&all, 0x2000, 0x1000), Some(0x1000));
        assert_eq!(left.fit_low(&all, 0x1000, 0x4000), Some(0x4000));
        assert_eq!(left.fit_low(&all, 0x3000, 0x1000), None);
    }

    #[test]
    fn every_run_that_begins_with_a_byte_is_told() {
        let left = Leftovers::default();
        left.leave(&(0x4000..0x5000), Content::File(place(1, 0)));
        left.leave(&(0x8000..0x9000), Content::File(place(1, 0)));
        left.leave(&(0x2000..0x3000), Content::File(place(1, 0x1000)));

        assert_eq!(left.starts_of(place(1, 0)), [0x4000, 0x8000]);
        left.forget(&(0x4000..0x5000));
        assert_eq!(left.starts_of(place(1, 0)), [0x8000]);
        assert!(left.starts_of(place(2, 0)).is_empty());
    }
}

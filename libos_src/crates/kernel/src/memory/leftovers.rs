//! What free pages still hold of programs that have ended.
//!
//! The next process of a program mostly lands where the last one was, and most of its pages are those
//! of a verified file, which no program could change. Where such pages still are what they were, they
//! are used again as they are, with their system calls patched: nothing is copied, nothing is searched,
//! and the host need not be told.
//!
//! Under SGX1 alone: with EDMM a free page has no memory.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Range;

use locks::Mutex;
use patcher::Placed;
use vfs::ContentId;

/// What is left, by its start; no two overlap, and nobody uses any of it.
#[derive(Default)]
pub(crate) struct Leftovers(Mutex<BTreeMap<u64, Leftover>>);

struct Leftover {
    end: u64,
    content: Content,
}

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FilePlace {
    pub(super) content: ContentId,
    pub(super) offset: u64,
}

impl FilePlace {
    /// Where the byte is that is `bytes` behind it.
    fn behind(self, bytes: u64) -> Option<Self> {
        let offset = self.offset.checked_add(bytes)?;
        Some(Self { offset, ..self })
    }
}

impl Leftovers {
    /// Pages that are about to be nobody's hold this, unless it is forgotten.
    pub(super) fn leave(&self, range: &Range<u64>, content: Content) {
        let mut all = self.0.lock();
        forget(&mut all, range);
        let end = range.end;
        all.insert(range.start, Leftover { end, content });
    }

    /// Whether something is left in a range.
    pub(super) fn are_in(&self, range: &Range<u64>) -> bool {
        overlapping(&self.0.lock(), range).next().is_some()
    }

    /// Pages of a range are about to hold something else.
    pub(super) fn forget(&self, range: &Range<u64>) {
        let mut all = self.0.lock();
        if !all.is_empty() {
            forget(&mut all, range);
        }
    }

    /// Takes out what is left of a file in `range`, which is to begin with `wanted`, and forgets
    /// what else there is. Text that was patched is there as a whole or not at all.
    pub(super) fn take(&self, range: &Range<u64>, wanted: FilePlace) -> Vec<(Range<u64>, Content)> {
        let mut all = self.0.lock();
        let mut taken = Vec::new();
        for start in overlapping(&all, range).collect::<Vec<u64>>() {
            let Some(Leftover { end, content }) = all.remove(&start) else {
                continue;
            };
            let part = start.max(range.start)..end.min(range.end);
            let is_whole = part == (start..end);
            let place = wanted.behind(part.start - range.start);
            match &content {
                Content::File(found) if found.behind(part.start - start) == place => {
                    taken.push((part, content));
                }
                Content::Patched(found, ..) if is_whole && Some(*found) == place => {
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
        let found = all.get(&stubs.start);
        let is_there = found.is_some_and(|found| {
            found.end == stubs.end && matches!(found.content, Content::Stubs(of) if of == text)
        });
        if is_there {
            all.remove(&stubs.start);
        }
        is_there
    }
}

fn overlapping<'a>(
    all: &'a BTreeMap<u64, Leftover>,
    range: &Range<u64>,
) -> impl Iterator<Item = u64> + use<'a> {
    let before = all.range(..range.start).next_back();
    let first = before.filter(|(_, found)| found.end > range.start);
    let first = first.map_or(range.start, |(&start, _)| start);
    let inside = all.range(first..range.end.max(first));
    inside.map(|(&start, _)| start)
}

fn forget(all: &mut BTreeMap<u64, Leftover>, range: &Range<u64>) {
    for start in overlapping(all, range).collect::<Vec<u64>>() {
        all.remove(&start);
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
}

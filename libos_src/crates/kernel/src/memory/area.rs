//! The mappings of an address space, as `/proc/self/maps` would list them.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use hal::{PAGE_SIZE, Prot};
use vfs::Inode;

use super::cut::CopiedFile;
use super::place::Place;

/// One mapping: a run of pages with one permission and one origin. Its start is its key in
/// [`Areas`].
#[derive(Clone)]
pub(crate) struct Area {
    /// The address after its last byte.
    pub(crate) end: u64,
    /// What the program may do with it.
    pub(crate) prot: Prot,
    /// What its pages hold when they are first touched.
    pub(crate) backing: Backing,
    /// What it is for.
    pub(crate) purpose: Purpose,
    /// What of it counts as memory.
    pub(crate) counted: Counted,
    /// What a child has of it.
    pub(crate) on_fork: OnFork,
    /// The most that the program may ever do with it: of a file, what it was opened for.
    pub(crate) most: Prot,
    /// Whether the program wants it to stay in memory.
    pub(crate) is_locked: bool,
    /// Whether a touch below it makes it larger.
    pub(crate) grows_down: bool,
    /// Which `shmat` it is a part of, if of any: `shmdt` takes no parts of others.
    pub(super) attachment: Option<u64>,
}

/// What `fork` does with an area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OnFork {
    /// The child has nothing there (`MADV_DONTFORK`).
    pub(crate) leaves: bool,
    /// The child has zeros there, if it has something (`MADV_WIPEONFORK`).
    pub(crate) wipes: bool,
}

impl OnFork {
    /// The child has it, too.
    pub(crate) const COPY: Self = Self {
        leaves: false,
        wipes: false,
    };
}

/// What of an area counts as memory in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    /// All of it, so that no touch can fail.
    Whole,
    /// Nothing: it was never accessible. It is counted once it becomes so.
    Nothing,
    /// The pages that were touched: the program said that it takes the risk (`MAP_NORESERVE`).
    Touched,
}

/// Where the first content of a page comes from.
#[derive(Clone)]
pub(crate) enum Backing {
    /// Zeros.
    Zero,
    /// A private copy of a file, from this offset at the start of the area; zeros behind its end.
    File(FileBacking),
    /// Pages that other mappings may show, too, at this place or another.
    Shared(Arc<Place>),
}

/// A stretch of a file.
#[derive(Clone)]
pub(crate) struct FileBacking {
    /// The file.
    pub(crate) inode: Arc<dyn Inode>,
    /// Its name when it was mapped, for people only.
    pub(crate) path: Arc<[u8]>,
    /// Page aligned.
    pub(crate) offset: u64,
    /// Whether the program never had the right to write to its pages.
    pub(crate) is_untouched: bool,
    /// Whether a loader mapped it (`MAP_DENYWRITE`), to map its segments over it.
    pub(crate) is_for_loader: bool,
    /// Which it is, if it may become shorter.
    pub(crate) copied: Option<Arc<CopiedFile>>,
}

/// What an area is for; decides its name in `/proc/self/maps` and who may unmap it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The program asked for it, or an interpreter's image needs it.
    Program,
    /// The program's own image.
    Image,
    /// The `brk` heap.
    Heap,
    /// The first thread's stack.
    Stack,
    /// System call stubs of the text that starts at this address.
    Stubs(u64),
}

impl Area {
    /// The place of the pages that it shares with others, if it does.
    pub(super) const fn shared(&self) -> Option<&Arc<Place>> {
        match &self.backing {
            Backing::Shared(place) => Some(place),
            _ => None,
        }
    }

    /// The address behind its last page, which starts at `start`, that shows something: a file may
    /// be shorter than its mapping.
    pub(super) fn content_end(&self, start: u64) -> u64 {
        let Backing::File(file) = &self.backing else {
            return self.end;
        };
        // A file of which nothing is known will say at the read what is wrong.
        let size_bytes = file.inode.metadata().map_or(u64::MAX, |is| is.size_bytes);
        let pages = super::page_ceiling(size_bytes.saturating_sub(file.offset));
        let end = pages.and_then(|len| start.checked_add(len));
        end.map_or(self.end, |end| end.min(self.end))
    }

    /// Whether it counts for the limit of `mmap`.
    pub(super) fn is_limited(&self) -> bool {
        self.purpose == Purpose::Program && self.counted == Counted::Whole
    }

    /// Gives the program other rights. A copy of a file may differ from the file from then on.
    pub(super) fn allow(&mut self, prot: Prot) {
        self.prot = prot;
        if prot.contains(Prot::WRITE) {
            self.mark_touched();
        }
    }

    /// Its pages need not be those of the file any more.
    pub(super) const fn mark_touched(&mut self) {
        if let Backing::File(file) = &mut self.backing {
            file.is_untouched = false;
        }
    }

    /// Whether two neighbours could be one area. Files stay apart: what was patched in their text
    /// is known by where the area starts.
    fn is_like(&self, other: &Self) -> bool {
        let is_one = match (&self.backing, &other.backing) {
            (Backing::Zero, Backing::Zero) => !matches!(self.purpose, Purpose::Stubs(_)),
            // Where they are says what they show.
            (Backing::Shared(one), Backing::Shared(other)) => Arc::ptr_eq(one, other),
            _ => false,
        };
        is_one
            && self.prot == other.prot
            && self.purpose == other.purpose
            && self.counted == other.counted
            && self.on_fork == other.on_fork
            && self.most == other.most
            && self.is_locked == other.is_locked
            && self.grows_down == other.grows_down
            && self.attachment == other.attachment
    }
}

impl Backing {
    /// Whether two begin as private copies of the same.
    pub(super) fn is_private_copy_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Zero, Self::Zero) => true,
            (Self::File(one), Self::File(other)) => {
                Arc::ptr_eq(&one.inode, &other.inode) && one.offset == other.offset
            }
            _ => false,
        }
    }

    /// The backing of a part that starts `bytes` later.
    pub(super) fn advanced(&self, bytes: u64) -> Self {
        match self {
            Self::Zero => Self::Zero,
            Self::Shared(place) => Self::Shared(place.clone()),
            Self::File(file) => Self::File(FileBacking {
                offset: file.offset + bytes,
                ..file.clone()
            }),
        }
    }
}

/// All areas, which never overlap.
#[derive(Clone, Default)]
pub(crate) struct Areas(BTreeMap<u64, Area>);

impl Areas {
    /// The area that holds `address`, with its start.
    pub(crate) fn find(&self, address: u64) -> Option<(u64, &Area)> {
        let (&start, area) = self.0.range(..=address).next_back()?;
        (address < area.end).then_some((start, area))
    }

    /// All areas in order, each with its start.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &Area)> {
        self.0.iter().map(|(&start, area)| (start, area))
    }

    /// The areas that `range` touches, in order.
    pub(crate) fn overlapping(&self, range: &Range<u64>) -> impl Iterator<Item = (u64, &Area)> {
        let first = self
            .find(range.start)
            .map_or(range.start, |(start, _)| start);
        self.0
            .range(first..range.end.max(first))
            .map(|(&start, area)| (start, area))
    }

    /// The first area that is not below `address`, and the last one that is.
    pub(crate) fn neighbours(&self, address: u64) -> [Option<(u64, &Area)>; 2] {
        let above = self.0.range(address..).next();
        let below = self.0.range(..address).next_back();
        [above, below].map(|found| found.map(|(&start, area)| (start, area)))
    }

    /// Whether every byte of `range` is mapped with at least `prot`.
    pub(crate) fn allows(&self, range: &Range<u64>, prot: Prot) -> bool {
        let mut next = range.start;
        for (start, area) in self.overlapping(range) {
            if start > next || !area.prot.contains(prot) {
                return false;
            }
            next = area.end;
        }
        next >= range.end
    }

    /// Where in `range` the first byte is that is not mapped, or its end.
    pub(crate) fn first_gap(&self, range: &Range<u64>) -> u64 {
        let mut next = range.start;
        for (start, area) in self.overlapping(range) {
            if start > next {
                break;
            }
            next = area.end;
        }
        next.min(range.end)
    }

    /// Adds an area where there is none.
    pub(crate) fn insert(&mut self, start: u64, area: Area) {
        debug_assert!(self.overlapping(&(start..area.end)).next().is_none());
        self.0.insert(start, area);
    }

    /// Takes out what lies in `range`, cutting the areas at its ends.
    pub(crate) fn remove(&mut self, range: &Range<u64>) -> Vec<(u64, Area)> {
        self.cut(range.start);
        self.cut(range.end);
        let starts: Vec<u64> = self
            .0
            .range(range.clone())
            .map(|(&start, _)| start)
            .collect();
        starts
            .into_iter()
            .filter_map(|start| Some((start, self.0.remove(&start)?)))
            .collect()
    }

    /// The areas of `range`, after cutting them at its ends, to be changed.
    pub(crate) fn isolate(&mut self, range: &Range<u64>) -> impl Iterator<Item = (u64, &mut Area)> {
        self.cut(range.start);
        self.cut(range.end);
        self.0
            .range_mut(range.clone())
            .map(|(&start, area)| (start, area))
    }

    /// Joins the areas that touch `range` with their neighbours where nothing tells them apart, as
    /// Linux does: a program may resize or move memory that it mapped or protected in parts.
    pub(crate) fn join(&mut self, range: &Range<u64>) {
        let before = range.start.saturating_sub(1);
        let first = self.find(before).map_or(range.start, |(start, _)| start);
        // From the top, so that what was joined can be joined again.
        let mut last = range.end;
        while let Some((&upper, area)) = self.0.range(first..=last).next_back()
            && let Some((&lower, below)) = self.0.range(first..upper).next_back()
        {
            let end = area.end;
            if below.end == upper && below.is_like(area) {
                self.0.remove(&upper);
                if let Some(below) = self.0.get_mut(&lower) {
                    below.end = end;
                }
            }
            last = lower;
        }
    }

    /// The end of the first part of `range` that has no more than so many areas.
    pub(crate) fn end_of_first(&self, count: usize, range: &Range<u64>) -> u64 {
        let next = self.overlapping(range).nth(count);
        next.map_or(range.end, |(start, _)| start)
    }

    /// Takes all areas out.
    pub(crate) fn take_all(&mut self) -> BTreeMap<u64, Area> {
        core::mem::take(&mut self.0)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// How many more there are once they are cut at the ends of `range`.
    pub(crate) fn cuts(&self, range: &Range<u64>) -> usize {
        let is_inside = |address| {
            self.find(address)
                .is_some_and(|(start, _)| start != address)
        };
        [range.start, range.end]
            .into_iter()
            .filter(|&at| is_inside(at))
            .count()
    }

    /// Whether nothing of `range` is mapped.
    pub(crate) fn is_free(&self, range: &Range<u64>) -> bool {
        self.overlapping(range).next().is_none()
    }

    /// Bytes that are mapped in `range`.
    pub(crate) fn mapped_bytes(&self, range: &Range<u64>) -> u64 {
        self.overlapping(range)
            .map(|(start, area)| area.end.min(range.end) - start.max(range.start))
            .sum()
    }

    fn cut(&mut self, address: u64) {
        debug_assert!(address.is_multiple_of(PAGE_SIZE));
        let Some((start, _)) = self.find(address).filter(|(start, _)| *start != address) else {
            return;
        };
        if let Some(area) = self.0.get_mut(&start) {
            let mut rest = area.clone();
            rest.backing = area.backing.advanced(address - start);
            area.end = address;
            self.0.insert(address, rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn area(end: u64, prot: Prot) -> Area {
        Area {
            end,
            prot,
            backing: Backing::Zero,
            purpose: Purpose::Program,
            counted: Counted::Whole,
            on_fork: OnFork::COPY,
            most: Prot::all(),
            is_locked: false,
            grows_down: false,
            attachment: None,
        }
    }

    fn three() -> Areas {
        let mut areas = Areas::default();
        areas.insert(0x10000, area(0x20000, Prot::READ));
        areas.insert(0x20000, area(0x30000, Prot::READ | Prot::WRITE));
        areas.insert(0x40000, area(0x50000, Prot::READ));
        areas
    }

    #[test]
    fn removing_the_middle_of_an_area_leaves_both_ends() {
        let mut areas = three();

        areas.remove(&(0x14000..0x15000));

        assert!(areas.find(0x13fff).is_some());
        assert!(areas.find(0x14000).is_none());
        assert!(areas.find(0x15000).is_some());
    }

    #[test]
    fn neighbours_that_differ_in_nothing_become_one() {
        let mut areas = three();
        areas.insert(0x30000, area(0x40000, Prot::READ));
        for (_, area) in areas.isolate(&(0x20000..0x30000)) {
            area.prot = Prot::READ;
        }

        areas.join(&(0x20000..0x30000));

        let all: Vec<_> = areas.iter().map(|(start, area)| start..area.end).collect();
        assert_eq!(all, [0x10000..0x40000, 0x40000..0x50000]);
        areas.join(&(0x30000..0x40000));
        assert_eq!(areas.find(0x4ffff).map(|(start, _)| start), Some(0x10000));
    }

    #[test]
    fn access_needs_every_byte_mapped_with_the_permission() {
        let areas = three();

        assert!(areas.allows(&(0x1f000..0x21000), Prot::READ));
        assert!(!areas.allows(&(0x1f000..0x21000), Prot::WRITE));
        assert!(!areas.allows(&(0x2f000..0x41000), Prot::READ));
        assert!(!areas.allows(&(0x0..0x11000), Prot::READ));
        assert!(
            areas.allows(&(0x5..0x5), Prot::WRITE),
            "no byte needs no permission"
        );
    }
}

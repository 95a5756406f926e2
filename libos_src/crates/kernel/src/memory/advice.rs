//! `madvise` and `mincore`'s questions about memory.

use core::ops::Range;

use hal::{Errno, Prot};

use super::area::{Area, Backing, Counted, OnFork, Purpose};
use super::space::{AddressSpace, Books};

/// The advice that changes something; all other known advice is accepted and ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Advice {
    /// The content is not needed: the next access reads zeros, or the file again.
    DontNeed {
        /// Of memory that is to stay, too.
        locked: bool,
    },
    /// The content may go; it is kept, which is allowed. Of private memory without a file.
    Free,
    /// The pages are not used soon.
    Cold,
    /// The content is gone, in the file, too.
    Remove,
    /// Back the pages now.
    Populate(Prot),
    /// Whether children have nothing there.
    Leave(bool),
    /// Whether they have zeros there.
    Wipe(bool),
    /// Nothing that we act on.
    Ignored,
}

impl Advice {
    /// Which memory it is not for.
    fn refuses(self) -> Option<fn(&Area) -> bool> {
        match self {
            Self::DontNeed { locked: false } | Self::Cold | Self::Remove => {
                Some(|area| area.is_locked)
            }
            Self::Free => Some(|area| area.is_locked || !matches!(area.backing, Backing::Zero)),
            _ => None,
        }
    }

    /// Decodes `madvise`'s argument (`linux/mman.h`, `MADV_*`).
    pub(crate) const fn from_argument(argument: i32) -> Option<Self> {
        match argument {
            4 => Some(Self::DontNeed { locked: false }),
            24 => Some(Self::DontNeed { locked: true }),
            8 => Some(Self::Free),
            20 | 21 => Some(Self::Cold),
            9 => Some(Self::Remove),
            10 | 11 => Some(Self::Leave(argument == 10)),
            18 | 19 => Some(Self::Wipe(argument == 18)),
            22 => Some(Self::Populate(Prot::READ)),
            23 => Some(Self::Populate(Prot::WRITE)),
            // NORMAL RANDOM SEQUENTIAL WILLNEED HUGEPAGE NOHUGEPAGE DONTDUMP DODUMP
            0..=3 | 14..=17 => Some(Self::Ignored),
            _ => None,
        }
    }
}

impl AddressSpace {
    /// Takes advice about a range. `EINVAL` when it is not about such memory, `ENOMEM` when part of it is not mapped.
    pub(crate) fn advise(&self, address: u64, len: u64, advice: Advice) -> Result<(), Errno> {
        if super::page_floor(address) != address {
            return Err(Errno::EINVAL);
        }
        if len == 0 {
            return Ok(());
        }
        super::page_range(address, len).ok_or(Errno::EINVAL)?;
        let range = self
            .checked_range(address, len)
            .map_err(|_| Errno::ENOMEM)?;
        let mut books = self.books.write();
        let is_stub = |(_, area): (u64, &Area)| matches!(area.purpose, Purpose::Stubs(_));
        let changes = matches!(
            advice,
            Advice::DontNeed { .. } | Advice::Leave(_) | Advice::Wipe(_)
        );
        if changes && books.areas.overlapping(&range).any(is_stub) {
            // Jumps lead there from all the text that was patched.
            return Err(Errno::EINVAL);
        }
        if let Some(is_refused) = advice.refuses()
            && books
                .areas
                .overlapping(&range)
                .any(|(_, area)| is_refused(area))
        {
            return Err(Errno::EINVAL);
        }
        match advice {
            Advice::DontNeed { .. } => self.forget(&mut books, &range)?,
            Advice::Remove => remove(&books, &range)?,
            Advice::Populate(prot) if !books.areas.allows(&range, prot) => {
                return Err(if books.areas.allows(&range, Prot::empty()) {
                    Errno::EINVAL
                } else {
                    Errno::ENOMEM
                });
            }
            Advice::Populate(_) => {
                self.populate(&mut books, &range)
                    .map_err(|_| Errno::ENOMEM)?;
            }
            Advice::Leave(leaves) => {
                self.check_areas(&books, books.areas.cuts(&range))?;
                set_on_fork(&mut books, &range, |on_fork| on_fork.leaves = leaves);
            }
            Advice::Wipe(wipes) => {
                self.check_areas(&books, books.areas.cuts(&range))?;
                // Only private memory without a file can be wiped.
                let is_refused = |area: &Area| wipes && !matches!(area.backing, Backing::Zero);
                let refused = (books.areas.overlapping(&range))
                    .find(|(_, area)| is_refused(area))
                    .map(|(start, _)| start.max(range.start));
                // What is before that is changed.
                let changed = range.start..refused.unwrap_or(range.end);
                set_on_fork(&mut books, &changed, |on_fork| on_fork.wipes = wipes);
                if refused.is_some() {
                    return Err(Errno::EINVAL);
                }
            }
            Advice::Free | Advice::Cold | Advice::Ignored => {}
        }
        if books.areas.allows(&range, Prot::empty()) {
            Ok(())
        } else {
            Err(Errno::ENOMEM)
        }
    }

    fn forget(&self, books: &mut Books, range: &Range<u64>) -> Result<(), Errno> {
        self.release_pages(books, range);
        let areas = books.areas.overlapping(range);
        for (start, area) in areas.filter(|(_, area)| area.counted == Counted::Touched) {
            self.region
                .uncharge(&(start.max(range.start)..area.end.min(range.end)));
        }
        self.settle(books, range).map_err(|_| Errno::ENOMEM)?;
        self.patch_text(books, range, false);
        Ok(())
    }
}

/// Notes what children will have.
fn set_on_fork(books: &mut Books, range: &Range<u64>, set: impl Fn(&mut OnFork)) {
    for (_, area) in books.areas.isolate(range) {
        set(&mut area.on_fork);
    }
    books.areas.join(range);
}

/// Makes holes in shared memory, which must be all that is mapped of `range`.
fn remove(books: &Books, range: &Range<u64>) -> Result<(), Errno> {
    for (start, area) in books.areas.overlapping(range) {
        let place = match &area.backing {
            Backing::Zero => return Err(Errno::EINVAL),
            Backing::Shared(place) if area.most.contains(Prot::WRITE) => place,
            _ => return Err(Errno::EACCES),
        };
        let part = start.max(range.start)..area.end.min(range.end);
        place.pages().punch(place, &part)?;
    }
    Ok(())
}

//! Where pages are kept that belong to a place that somebody else has.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use hal::{Errno, Machine, NoMemory, PAGE_SIZE};
use locks::Mutex;

use super::pages::PageSet;
use super::region::{GangId, Region, Use};
use super::space::Paging;

/// Pages of the user region that no address space has.
pub(crate) struct Store {
    machine: &'static dyn Machine,
    region: Arc<Region>,
    gang: GangId,
    paging: Paging,
    free: Mutex<PageSet>,
    /// Where the pages were that were given to the region last. Pages for the next fork are best there
    /// again: what programs left behind elsewhere stays.
    former: Mutex<Vec<Range<u64>>>,
}

/// The least that is taken from the region at a time.
const GROWTH_BYTES: u64 = 64 * PAGE_SIZE;
/// How many places of former pages are known.
const FORMER_MAX: usize = 64;
/// The most that is kept without being needed.
const FREE_MAX_BYTES: u64 = 8 << 20;

impl Store {
    /// A store that has nothing yet.
    pub(super) fn new(
        machine: &'static dyn Machine,
        region: Arc<Region>,
        paging: Paging,
    ) -> Arc<Self> {
        Arc::new(Self {
            machine,
            paging,
            gang: region.new_gang(),
            region,
            free: Mutex::default(),
            former: Mutex::default(),
        })
    }

    /// Takes pages for `len` bytes, as few runs as there are.
    pub(super) fn take(&self, len: u64) -> Result<Vec<Range<u64>>, NoMemory> {
        let mut free = self.free.lock();
        while free.size_bytes() < len {
            let lacking = len - free.size_bytes();
            let range = self.grow(lacking)?;
            free.insert(&range);
        }
        let mut taken = Vec::new();
        let mut left = len;
        while left > 0 {
            let first = free.iter().next();
            let run = first.ok_or(NoMemory)?;
            let part = run.start..run.end.min(run.start + left);
            free.remove(&part);
            left -= part.end - part.start;
            taken.push(part);
        }
        Ok(taken)
    }

    /// Gives pages back.
    pub(super) fn give(&self, range: &Range<u64>) {
        let mut free = self.free.lock();
        free.insert(range);
        if free.size_bytes() > FREE_MAX_BYTES {
            self.release(&mut free);
        }
    }

    /// Pages of a member of a gang are about to hold something else than what is left there.
    pub(super) fn forget(&self, range: &Range<u64>) {
        self.region.leftovers.forget(range);
    }

    /// How much of it holds nothing.
    pub(super) fn free_bytes(&self) -> u64 {
        self.free.lock().size_bytes()
    }

    /// Gives to the region what is not needed; whether there was any.
    pub(super) fn shrink(&self) -> bool {
        let mut free = self.free.lock();
        let had_some = free.size_bytes() > 0;
        self.release(&mut free);
        had_some
    }

    /// Who had pages here needs them no more. Where memory costs nothing, none is kept for the next fork: it
    /// would divide the addresses. The host is not told, as the next fork likely has the same.
    pub(super) fn rest(&self) {
        if self.paging == Paging::Eager {
            let mut free = self.free.lock();
            self.give_back(&mut free, |run| {
                self.machine.retire(run.start, run.end - run.start)
            });
        }
    }

    /// What `find` finds; a second time, if there is no room and some was kept that is not needed.
    pub(super) fn or_shrunk<T>(
        &self,
        mut find: impl FnMut() -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        match find() {
            Err(Errno::ENOMEM) if self.shrink() => find(),
            found => found,
        }
    }

    fn grow(&self, lacking: u64) -> Result<Range<u64>, NoMemory> {
        let user = self.region.range();
        let claim = |len, within: &Range<u64>| {
            self.region
                .claim_high(self.gang, len, PAGE_SIZE, within, Use::Memory)
        };
        let wanted = lacking.max(GROWTH_BYTES);
        let is_claimed = |range: &Range<u64>| self.region.claim_again(self.gang, range);
        let former = core::mem::take(&mut *self.former.lock());
        let (again, rest) = take_first(former, is_claimed);
        *self.former.lock() = rest;
        let unknown = || self.region.claim_unknown(self.gang, wanted);
        let range = again.or_else(unknown).or_else(|| claim(wanted, user));
        let range = range.or_else(|| claim(lacking, user));
        let range = range.ok_or(NoMemory)?;
        self.region.leftovers.forget(&range);
        // Whoever takes pages writes to all of them.
        self.machine
            .commit_to_fill(range.start, range.end - range.start)
            .inspect_err(|_| self.region.release(&range))?;
        Ok(range)
    }

    fn release(&self, free: &mut PageSet) {
        self.give_back(free, |run| {
            self.machine.decommit(run.start, run.end - run.start)
        });
    }

    fn give_back(&self, free: &mut PageSet, close: impl Fn(&Range<u64>)) {
        *self.former.lock() = free.iter().take(FORMER_MAX).collect();
        for run in core::mem::take(free).iter() {
            close(&run);
            self.region.release(&run);
        }
    }
}

/// The first range that is good, and those behind it.
fn take_first(
    ranges: Vec<Range<u64>>,
    is_good: impl Fn(&Range<u64>) -> bool,
) -> (Option<Range<u64>>, Vec<Range<u64>>) {
    let mut ranges = ranges.into_iter();
    (ranges.find(is_good), ranges.collect())
}

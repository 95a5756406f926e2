//! The descriptor table of a process.

use alloc::sync::Arc;
use alloc::vec::Vec;

use hal::Errno;
use vfs::OpenFile;

/// One descriptor.
#[derive(Clone)]
pub(crate) struct Descriptor {
    /// What it refers to.
    pub(crate) file: Arc<OpenFile>,
    /// Whether `execve` closes it.
    pub(crate) is_closed_on_exec: bool,
}

/// The descriptors of a process, by number.
pub(crate) struct Descriptors {
    slots: Vec<Option<Descriptor>>,
    /// All below are in use.
    first_free: usize,
    /// How many processes have them, and threads that share them with no other thread of their own.
    pub(crate) user_count: u32,
    /// No new number is as high as this.
    limit: usize,
}

/// The highest limit of descriptor numbers (`RLIMIT_NOFILE`).
pub(crate) const DESCRIPTORS_MAX: usize = 65536;
/// How many are taken out at a time: a list of all would take more than is kept in reserve.
const TAKEN_MAX: usize = 256;
/// By how many slots a table grows at least.
const GROWTH: usize = 256;
/// What it is at first.
pub(crate) const DESCRIPTORS_USUAL: usize = 4096;

impl Default for Descriptors {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            first_free: 0,
            user_count: 1,
            limit: DESCRIPTORS_USUAL,
        }
    }
}

impl Descriptors {
    /// The same descriptors for one more user, who shares them with nobody.
    pub(crate) fn copy(&self) -> Self {
        Self {
            slots: self.slots.clone(),
            first_free: self.first_free,
            user_count: 1,
            limit: self.limit,
        }
    }

    /// What a copy of the table takes, or a table in which `number` has a place, in bytes.
    pub(crate) fn size_bytes(&self, number: i32) -> usize {
        let number = usize::try_from(number).unwrap_or_default();
        let len = self.slots.len().max(number.min(self.limit));
        len * size_of::<Option<Descriptor>>()
    }

    /// The number behind the highest one in use.
    pub(crate) fn end(&self) -> usize {
        let last = self.slots.iter().rposition(Option::is_some);
        last.map_or(0, |last| last + 1)
    }

    /// Whether the table must become larger for `number`.
    pub(crate) fn must_grow_for(&self, number: i32) -> bool {
        usize::try_from(number).is_ok_and(|index| index >= self.slots.len() && index < self.limit)
    }

    /// Sets the limit of new numbers.
    pub(crate) fn set_limit(&mut self, limit: u64) {
        self.limit = usize::try_from(limit).map_or(DESCRIPTORS_MAX, |new| new.min(DESCRIPTORS_MAX));
    }

    /// Takes out some of what `execve` closes, none if there is no more; the caller drops it unlocked.
    pub(crate) fn take_closed_on_exec(&mut self) -> Vec<Descriptor> {
        self.first_free = 0;
        let closes =
            |slot: &&mut Option<Descriptor>| slot.as_ref().is_some_and(|at| at.is_closed_on_exec);
        let closed = self.slots.iter_mut().filter(closes);
        closed.filter_map(Option::take).take(TAKEN_MAX).collect()
    }

    /// Takes out some of the descriptors of a range, none if there is no more; the caller drops them unlocked.
    pub(crate) fn take_some(&mut self, first: u32, last: u32) -> Vec<Descriptor> {
        self.first_free = self.first_free.min(first as usize);
        let taken = self.slots_in(first, last).filter_map(Option::take);
        taken.take(TAKEN_MAX).collect()
    }

    /// Has `execve` close all of a range.
    pub(crate) fn mark_closed_on_exec(&mut self, first: u32, last: u32) {
        for descriptor in self.slots_in(first, last).flatten() {
            descriptor.is_closed_on_exec = true;
        }
    }

    fn slots_in(&mut self, first: u32, last: u32) -> impl Iterator<Item = &mut Option<Descriptor>> {
        let end = self.slots.len().min(last as usize + 1);
        let start = end.min(first as usize);
        self.slots[start..end].iter_mut()
    }

    /// The open file behind a number; `EBADF` if there is none.
    pub(crate) fn file(&self, number: i32) -> Result<&Arc<OpenFile>, Errno> {
        self.get(number).map(|descriptor| &descriptor.file)
    }

    /// A descriptor.
    pub(crate) fn get(&self, number: i32) -> Result<&Descriptor, Errno> {
        let index = usize::try_from(number).map_err(|_| Errno::EBADF)?;
        self.slots
            .get(index)
            .and_then(Option::as_ref)
            .ok_or(Errno::EBADF)
    }

    /// A descriptor, to be changed.
    pub(crate) fn get_mut(&mut self, number: i32) -> Result<&mut Descriptor, Errno> {
        let index = usize::try_from(number).map_err(|_| Errno::EBADF)?;
        self.slots
            .get_mut(index)
            .and_then(Option::as_mut)
            .ok_or(Errno::EBADF)
    }

    /// Checks that there is a number for one more.
    ///
    /// # Errors
    /// `EMFILE`.
    pub(crate) fn check_free(&self) -> Result<(), Errno> {
        self.free_from(0).map(|_| ())
    }

    fn free_from(&self, floor: usize) -> Result<usize, Errno> {
        let start = floor.max(self.first_free);
        let free = (start..self.slots.len()).find(|&index| self.slots[index].is_none());
        let index = free.unwrap_or_else(|| self.slots.len().max(start));
        if index < self.limit {
            Ok(index)
        } else {
            Err(Errno::EMFILE)
        }
    }

    /// Puts a descriptor at the lowest free number that is not below `floor`.
    pub(crate) fn add(&mut self, floor: i32, descriptor: Descriptor) -> Result<i32, Errno> {
        let floor = usize::try_from(floor).map_err(|_| Errno::EINVAL)?;
        // Who leaves the number to us has not asked for one that is too high.
        if floor > 0 && floor >= self.limit {
            return Err(Errno::EINVAL);
        }
        let index = self.free_from(floor)?;
        let is_lowest = floor <= self.first_free;
        self.put(index, Some(descriptor))?;
        if is_lowest {
            self.first_free = index + 1;
        }
        Ok(index as i32)
    }

    /// Puts a descriptor at a number; returns what was there, which the caller drops unlocked.
    pub(crate) fn replace(
        &mut self,
        number: i32,
        descriptor: Descriptor,
    ) -> Result<Option<Descriptor>, Errno> {
        match usize::try_from(number) {
            Ok(index) if index < self.limit => self.put(index, Some(descriptor)),
            _ => Err(Errno::EBADF),
        }
    }

    /// Takes a descriptor out.
    pub(crate) fn remove(&mut self, number: i32) -> Result<Descriptor, Errno> {
        self.get(number)?;
        self.put(number as usize, None)?.ok_or(Errno::EBADF)
    }

    /// The numbers in use, in order.
    pub(crate) fn numbers(&self) -> impl DoubleEndedIterator<Item = i32> + '_ {
        let used =
            |(number, slot): (usize, &Option<Descriptor>)| slot.as_ref().map(|_| number as i32);
        self.slots.iter().enumerate().filter_map(used)
    }

    /// `ENOMEM` if the table cannot become large enough.
    fn put(
        &mut self,
        index: usize,
        descriptor: Option<Descriptor>,
    ) -> Result<Option<Descriptor>, Errno> {
        let needed = (index + 1).saturating_sub(self.slots.capacity());
        if needed > 0 {
            // Not twice as large each time: a large table would take more than is kept in reserve.
            let more = (index + 1 - self.slots.len()).next_multiple_of(GROWTH);
            let grown = self.slots.try_reserve_exact(more);
            grown.map_err(|_| Errno::ENOMEM)?;
        }
        if index >= self.slots.len() {
            self.slots.resize(index + 1, None);
        }
        if descriptor.is_none() {
            self.first_free = self.first_free.min(index);
        } else if index == self.first_free {
            self.first_free += 1;
        }
        Ok(core::mem::replace(&mut self.slots[index], descriptor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_looked_for_behind_those_that_are_known_to_be_in_use() {
        let mut descriptors = Descriptors::default();
        let descriptor = crate::tests::descriptor();
        for number in 0..100 {
            assert_eq!(descriptors.add(0, descriptor.clone()), Ok(number));
        }
        descriptors.remove(3).expect("it is open");

        assert_eq!(descriptors.add(50, descriptor.clone()), Ok(100));
        assert_eq!(descriptors.add(0, descriptor.clone()), Ok(3));
        assert_eq!(descriptors.add(0, descriptor), Ok(101));
        assert_eq!(descriptors.first_free, 102);
    }
}

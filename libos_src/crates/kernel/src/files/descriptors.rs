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
#[derive(Clone, Default)]
pub(crate) struct Descriptors(Vec<Option<Descriptor>>);

/// The limit of descriptor numbers (`RLIMIT_NOFILE`).
pub(crate) const DESCRIPTORS_MAX: usize = 4096;

impl Descriptors {
    /// The open file behind a number; `EBADF` if there is none.
    pub(crate) fn file(&self, number: i32) -> Result<&Arc<OpenFile>, Errno> {
        self.get(number).map(|descriptor| &descriptor.file)
    }

    /// A descriptor.
    pub(crate) fn get(&self, number: i32) -> Result<&Descriptor, Errno> {
        let index = usize::try_from(number).map_err(|_| Errno::EBADF)?;
        self.0
            .get(index)
            .and_then(Option::as_ref)
            .ok_or(Errno::EBADF)
    }

    /// A descriptor, to be changed.
    pub(crate) fn get_mut(&mut self, number: i32) -> Result<&mut Descriptor, Errno> {
        let index = usize::try_from(number).map_err(|_| Errno::EBADF)?;
        self.0
            .get_mut(index)
            .and_then(Option::as_mut)
            .ok_or(Errno::EBADF)
    }

    /// Puts a descriptor at the lowest free number that is not below `floor`.
    pub(crate) fn add(&mut self, floor: i32, descriptor: Descriptor) -> Result<i32, Errno> {
        let floor = usize::try_from(floor).map_err(|_| Errno::EINVAL)?;
        if floor >= DESCRIPTORS_MAX {
            return Err(Errno::EINVAL);
        }
        let free = (floor..self.0.len()).find(|&index| self.0[index].is_none());
        let index = free.unwrap_or_else(|| self.0.len().max(floor));
        if index >= DESCRIPTORS_MAX {
            return Err(Errno::EMFILE);
        }
        self.put(index, Some(descriptor));
        Ok(index as i32)
    }

    /// Puts a descriptor at a number; returns what was there, which the caller drops unlocked.
    pub(crate) fn replace(
        &mut self,
        number: i32,
        descriptor: Descriptor,
    ) -> Result<Option<Descriptor>, Errno> {
        match usize::try_from(number) {
            Ok(index) if index < DESCRIPTORS_MAX => Ok(self.put(index, Some(descriptor))),
            _ => Err(Errno::EBADF),
        }
    }

    /// Takes a descriptor out.
    pub(crate) fn remove(&mut self, number: i32) -> Result<Descriptor, Errno> {
        self.get(number)?;
        self.put(number as usize, None).ok_or(Errno::EBADF)
    }

    /// The numbers in use, in order.
    pub(crate) fn numbers(&self) -> impl DoubleEndedIterator<Item = i32> + '_ {
        let used =
            |(number, slot): (usize, &Option<Descriptor>)| slot.as_ref().map(|_| number as i32);
        self.0.iter().enumerate().filter_map(used)
    }

    fn put(&mut self, index: usize, descriptor: Option<Descriptor>) -> Option<Descriptor> {
        if index >= self.0.len() {
            self.0.resize(index + 1, None);
        }
        core::mem::replace(&mut self.0[index], descriptor)
    }
}

//! `eventfd`.

use alloc::format;
use alloc::string::String;

use hal::Errno;
use locks::Mutex;
use vfs::{FileType, Inode, Metadata, Mode, Readiness, Watchers};

/// A counter to wait on (eventfd(2)).
pub(crate) struct EventCounter {
    count: Mutex<u64>,
    is_semaphore: bool,
    watchers: Watchers,
}

/// The highest count; one more would not be writable.
const COUNT_MAX: u64 = u64::MAX - 1;

impl EventCounter {
    /// A counter that starts at `count`. A semaphore gives 1 to each read, others give all.
    pub(crate) const fn new(count: u64, is_semaphore: bool) -> Self {
        Self {
            count: Mutex::new(count),
            is_semaphore,
            watchers: Watchers::new(),
        }
    }

    /// What `fdinfo` says of it.
    pub(super) fn details(&self) -> String {
        let (count, is_semaphore) = (*self.count.lock(), u8::from(self.is_semaphore));
        format!("eventfd-count: {count:16x}\neventfd-semaphore: {is_semaphore}\n")
    }
}

impl Inode for EventCounter {
    fn kind(&self) -> FileType {
        FileType::Unnamed
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(Metadata::fixed(
            1,
            FileType::Unnamed,
            Mode::from_low_bits(0o600),
        ))
    }

    fn is_seekable(&self) -> bool {
        false
    }

    fn read_at(&self, _offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        let out = buffer.first_chunk_mut::<8>().ok_or(Errno::EINVAL)?;
        let mut count = self.count.lock();
        if *count == 0 {
            return Err(Errno::EAGAIN);
        }
        let taken = if self.is_semaphore { 1 } else { *count };
        *count -= taken;
        *out = taken.to_le_bytes();
        drop(count);
        self.watchers.notify(Readiness::WRITABLE);
        Ok(8)
    }

    fn write_at(&self, _offset: u64, data: &[u8]) -> Result<usize, Errno> {
        let added = u64::from_le_bytes(data.try_into().map_err(|_| Errno::EINVAL)?);
        if added == u64::MAX {
            return Err(Errno::EINVAL);
        }
        let mut count = self.count.lock();
        let sum = count.checked_add(added).filter(|&sum| sum <= COUNT_MAX);
        *count = sum.ok_or(Errno::EAGAIN)?;
        drop(count);
        self.watchers.notify(Readiness::READABLE);
        Ok(8)
    }

    fn watchers(&self) -> Option<&Watchers> {
        Some(&self.watchers)
    }

    fn readiness(&self) -> Readiness {
        let count = *self.count.lock();
        let mut readiness = Readiness::empty();
        readiness.set(Readiness::READABLE, count != 0);
        readiness.set(Readiness::WRITABLE, count < COUNT_MAX);
        readiness
    }
}

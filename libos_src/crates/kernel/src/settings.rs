//! Limits that the superuser changes by `/proc/sys`.

use core::sync::atomic::{AtomicU64, Ordering};

use hal::Errno;
use procfs::Number;

use crate::files::{DESCRIPTORS_MAX, PIPE_BYTES_MAX};

/// What each number is now.
pub(crate) struct Settings([AtomicU64; Number::ALL.len()]);

impl Default for Settings {
    fn default() -> Self {
        Self(Number::ALL.map(|number| AtomicU64::new(bounds(number).0)))
    }
}

impl Settings {
    /// What a number is now.
    pub(crate) fn get(&self, number: Number) -> u64 {
        self.0[number as usize].load(Ordering::Relaxed)
    }

    /// The same for a record that has fewer bits for it.
    pub(crate) fn get_i32(&self, number: Number) -> i32 {
        i32::try_from(self.get(number)).unwrap_or(i32::MAX)
    }

    /// What the next object is to be called, which is said once.
    pub(crate) fn take_next(&self, number: Number) -> Option<i32> {
        let next = self.0[number as usize].swap(Number::NONE, Ordering::Relaxed);
        i32::try_from(next).ok()
    }

    /// Sets numbers, all of them or none.
    ///
    /// # Errors
    /// `EINVAL` if one of them cannot be that.
    pub(crate) fn set(&self, new: &[(Number, u64)]) -> Result<(), Errno> {
        let is_legal = |&(number, value): &(Number, u64)| {
            let (_, least, most) = bounds(number);
            (least..=most).contains(&value) || value == Number::NONE && number.may_be_none()
        };
        if !new.iter().all(is_legal) {
            return Err(Errno::EINVAL);
        }
        for &(number, value) in new {
            let value = match number {
                Number::PipeBytes => value.next_power_of_two(),
                _ => value,
            };
            self.0[number as usize].store(value, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// What a number is in the beginning, and the least and most that it can be: as Linux has it (proc(5)),
/// unless the LibOS has a bound of its own.
const fn bounds(number: Number) -> (u64, u64, u64) {
    /// What a C program takes for an `int`.
    const INT_MAX: u64 = i32::MAX as u64;
    /// `IPCMNI`
    const OBJECTS_MAX: u64 = 1 << 15;
    /// How many objects of System V there are of a kind unless somebody wants more.
    const OBJECTS: u64 = 4096;
    /// Linux leaves room for sums.
    const UNLIMITED: u64 = u64::MAX - (1 << 24);
    const SET_MAX: u64 = 32000;
    match number {
        Number::Descriptors => (DESCRIPTORS_MAX as u64, 64, DESCRIPTORS_MAX as u64),
        Number::WatchEvents => (16384, 0, INT_MAX),
        Number::WatchInstances => (128, 0, INT_MAX),
        // As far as our heap goes.
        Number::Watches => (8192, 0, 8192),
        Number::LeaseSeconds => (45, 0, INT_MAX),
        Number::NextQueue | Number::NextSemaphoreSet | Number::NextSegment => {
            (Number::NONE, 0, INT_MAX)
        }
        Number::LastProcess => (0, 0, 1 << 22),
        Number::PosixMessages | Number::PosixMessagesMax => (10, 1, 65536),
        Number::PosixMessageBytes | Number::PosixMessageBytesMax => (8192, 128, 16 << 20),
        Number::PosixQueues => (256, 0, INT_MAX),
        Number::PipeBytes => (PIPE_BYTES_MAX as u64, 4096, PIPE_BYTES_MAX as u64),
        Number::MessageBytes => (8192, 0, INT_MAX),
        Number::QueueBytes => (16384, 0, INT_MAX),
        Number::Queues | Number::Segments | Number::SemaphoreSets => (OBJECTS, 0, OBJECTS_MAX),
        Number::ProcessIds => (32768, 301, 1 << 22),
        Number::SetSemaphores => (SET_MAX, 0, SET_MAX),
        Number::Semaphores => (1_024_000_000, 0, INT_MAX),
        Number::SemaphoreOperations => (500, 0, INT_MAX),
        Number::SegmentPages | Number::SegmentBytes => (UNLIMITED, 0, u64::MAX),
    }
}

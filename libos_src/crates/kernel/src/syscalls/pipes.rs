//! Pipes and event counters.

use alloc::sync::Arc;

use hal::Errno;
use vfs::{Inode, OpenFile, OpenFlags};

use super::argument::Address;
use super::call::{Call, Outcome};
use crate::files::{Descriptor, EventCounter, Ownership, Pipe};

/// `pipe2(2)`.
pub(super) fn pipe2(call: &mut Call<'_>, fds: Address, flags: u32) -> Outcome {
    let known = OpenFlags::CLOSE_ON_EXEC | OpenFlags::NON_BLOCKING | OpenFlags::DIRECT;
    let flags = OpenFlags::from_bits(flags).filter(|&flags| known.contains(flags));
    let flags = flags.ok_or(Errno::EINVAL)?;
    let view = call.viewpoint();
    let owner = Ownership::new(view.credentials.user, view.credentials.group, 0o600);
    drop(view);
    let pipe = Pipe::new(call.libos.machine, call.libos.next_inode(), owner);
    let name = pipe.name();
    let reader = call.open_anonymous(pipe.clone(), name.as_bytes(), flags)?;
    let writer = call.open_anonymous(pipe, name.as_bytes(), flags | OpenFlags::WRITE_ONLY)?;
    call.add_pair([reader, writer], fds)
}

/// `pipe(2)`.
pub(super) fn pipe(call: &mut Call<'_>, fds: Address) -> Outcome {
    pipe2(call, fds, 0)
}

/// `eventfd2(2)`.
pub(super) fn eventfd2(call: &mut Call<'_>, count: u32, flags: u32) -> Outcome {
    const EFD_SEMAPHORE: u32 = 1;
    let known = OpenFlags::CLOSE_ON_EXEC | OpenFlags::NON_BLOCKING;
    let open_flags = OpenFlags::from_bits(flags & !EFD_SEMAPHORE);
    let open_flags = open_flags
        .filter(|&flags| known.contains(flags))
        .ok_or(Errno::EINVAL)?;
    let is_semaphore = flags & EFD_SEMAPHORE != 0;
    let counter = EventCounter::new(count.into(), is_semaphore);
    let flags = open_flags | OpenFlags::READ_WRITE;
    call.add_anonymous(Arc::new(counter), b"anon_inode:[eventfd]", flags)
}

/// `eventfd(2)`.
pub(super) fn eventfd(call: &mut Call<'_>, count: u32) -> Outcome {
    eventfd2(call, count, 0)
}

impl Call<'_> {
    /// Opens something that has no path; its descriptor.
    pub(super) fn add_anonymous(
        &self,
        inode: Arc<dyn Inode>,
        name: &[u8],
        flags: OpenFlags,
    ) -> Outcome {
        let descriptor = self.open_anonymous(inode, name, flags)?;
        Ok(self.task.places.files.write().add(0, descriptor)? as u64)
    }

    /// Gives two descriptors their numbers, and writes these to the program's `int [2]`.
    pub(super) fn add_pair(&self, pair: [Descriptor; 2], place: Address) -> Outcome {
        let [first, second] = pair;
        let mut descriptors = self.task.places.files.write();
        let first = descriptors.add(0, first)?;
        let second = descriptors.add(0, second);
        let undone = second.is_err().then(|| descriptors.remove(first));
        drop(descriptors);
        drop(undone);
        let numbers = [first, second?];
        if let Err(errno) = self.memory().write(place.0, &numbers) {
            for number in numbers {
                let closed = self.task.places.files.write().remove(number);
                drop(closed);
            }
            return Err(errno.into());
        }
        Ok(0)
    }

    /// Opens something that has no path.
    pub(super) fn open_anonymous(
        &self,
        inode: Arc<dyn Inode>,
        name: &[u8],
        flags: OpenFlags,
    ) -> Result<Descriptor, Errno> {
        let namespace = self.viewpoint().namespace.clone();
        let location = namespace.anonymous(inode, name);
        Ok(Descriptor {
            file: OpenFile::new(location, flags)?,
            is_closed_on_exec: flags.contains(OpenFlags::CLOSE_ON_EXEC),
        })
    }
}

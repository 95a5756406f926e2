//! The inodes: handles of the host.

use alloc::sync::Arc;
use alloc::vec::Vec;

use hal::{HostChange, HostSizes, HostStatus};
use locks::Mutex;
use vfs::{
    AttributeChange, DirectoryEntry, DirectorySink, Errno, FileType, Inode, Metadata, Mode, Name,
    NewNode, OpenFlags, RenameFlags, Result, SinkState, Timestamp,
};

use crate::{Shared, judge, new_handle};

/// More pieces than the listing of any directory has that fits into one call of a program.
const BARREN_LISTINGS_MAX: u32 = 4096;

/// A file of the host. Its handle lives as long as it does.
pub(crate) struct HostInode {
    shared: Arc<Shared>,
    handle: u32,
    kind: FileType,
    number: u64,
    writing: Mutex<()>,
}

impl HostInode {
    /// Takes over a handle with what the host said about it; a lie gives it back.
    pub(crate) fn new(shared: &Arc<Shared>, handle: u32, status: &HostStatus) -> Result<Arc<Self>> {
        let metadata =
            judge::metadata(status, shared.device).inspect_err(|_| shared.host.close(handle))?;
        Ok(Arc::new(Self {
            shared: shared.clone(),
            handle,
            kind: metadata.kind,
            number: metadata.inode,
            writing: Mutex::new(()),
        }))
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(crate) fn sizes(&self) -> Result<HostSizes> {
        self.shared.host.sizes(self.handle)
    }

    fn of<'a>(&self, inode: &'a Arc<dyn Inode>) -> Result<&'a Self> {
        let inode = inode.downcast::<Self>().ok_or(Errno::EXDEV)?;
        if Arc::ptr_eq(&self.shared, &inode.shared) {
            Ok(inode)
        } else {
            Err(Errno::EXDEV)
        }
    }

    fn check_regular(&self) -> Result<()> {
        match self.kind {
            FileType::Regular => Ok(()),
            FileType::Directory => Err(Errno::EISDIR),
            _ => Err(Errno::EINVAL),
        }
    }
}

impl Drop for HostInode {
    fn drop(&mut self) {
        self.shared.host.close(self.handle);
    }
}

impl Inode for HostInode {
    fn writing(&self) -> Option<&Mutex<()>> {
        Some(&self.writing)
    }

    fn kind(&self) -> FileType {
        self.kind
    }

    fn metadata(&self) -> Result<Metadata> {
        let status = self.shared.host.status(self.handle)?;
        let metadata = judge::metadata(&status, self.shared.device)?;
        // A handle stands for one file, and a file does not change its kind.
        if metadata.kind != self.kind || metadata.inode != self.number {
            return Err(Errno::EIO);
        }
        Ok(metadata)
    }

    fn set_attributes(&self, change: &AttributeChange) -> Result<()> {
        let gives_away = |id: Option<u32>| id.is_some_and(|id| id != 0);
        if gives_away(change.user) || gives_away(change.group) {
            return Err(Errno::EPERM);
        }
        if self.kind == FileType::Symlink {
            return Err(Errno::EOPNOTSUPP);
        }
        let words = |time: Timestamp| [time.seconds.cast_unsigned(), time.nanoseconds.into()];
        let change = HostChange {
            mode: change.mode.map(|mode| u32::from(mode.bits()) & 0o777),
            accessed: change.accessed.map(words),
            modified: change.modified.map(words),
        };
        self.shared.host.change(self.handle, &change)
    }

    fn open(&self, flags: OpenFlags) -> Result<Option<Arc<dyn Inode>>> {
        match self.kind {
            FileType::Regular => {
                let is_written = flags.is_writable() || flags.contains(OpenFlags::TRUNCATE);
                self.shared.host.open(self.handle, is_written)?;
                Ok(None)
            }
            FileType::Directory => Ok(None),
            _ => Err(Errno::ENXIO),
        }
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        self.check_regular()?;
        let mut done = 0;
        // A host gives what fits into its buffer.
        while done < buffer.len() {
            match self
                .shared
                .host
                .read(self.handle, offset + done as u64, &mut buffer[done..])
            {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<usize> {
        self.check_regular()?;
        let mut done = 0;
        while done < data.len() {
            match self
                .shared
                .host
                .write(self.handle, offset + done as u64, &data[done..])
            {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            }
        }
        if done == 0 && !data.is_empty() {
            return Err(Errno::EIO);
        }
        Ok(done)
    }

    fn append(&self, data: &[u8]) -> Result<(u64, usize)> {
        let _end = self.shared.end.lock();
        let end = self.metadata()?.size_bytes;
        let length = self.write_at(end, data)?;
        Ok((end + length as u64, length))
    }

    fn truncate(&self, size_bytes: u64) -> Result<()> {
        self.check_regular()?;
        self.shared.host.open(self.handle, true)?;
        self.shared.host.truncate(self.handle, size_bytes)
    }

    fn synchronize(&self) -> Result<()> {
        match self.kind {
            FileType::Regular | FileType::Directory => self.shared.host.synchronize(self.handle),
            _ => Ok(()),
        }
    }

    /// The host does what it likes.
    fn has_foreign_changes(&self) -> bool {
        true
    }

    fn lookup(&self, name: Name<'_>) -> Result<Arc<dyn Inode>> {
        let handle = new_handle();
        let status = self.shared.host.look_up(self.handle, &name, handle)?;
        Ok(Self::new(&self.shared, handle, &status)?)
    }

    fn read_directory(&self, cookie: u64, sink: &mut DirectorySink<'_>) -> Result<()> {
        let mut cookie = cookie;
        // A host that only ever says `.` would keep us here for good.
        for _ in 0..BARREN_LISTINGS_MAX {
            let listing = self.shared.host.list(self.handle, cookie)?;
            if listing.is_empty() {
                return Ok(());
            }
            let mut rest = &listing[..];
            while !rest.is_empty() {
                let (entry, behind) = judge::entry(rest)?;
                rest = behind;
                cookie = entry.cookie;
                let Some(name) = entry.name else {
                    continue;
                };
                let kind = match entry.kind {
                    Some(kind) => kind,
                    None => match self.lookup(name) {
                        Ok(found) => found.kind(),
                        Err(Errno::ENOENT) => continue,
                        Err(error) => return Err(error),
                    },
                };
                let entry = DirectoryEntry {
                    inode: entry.inode,
                    kind,
                    name: &name,
                    next_cookie: entry.cookie,
                };
                if sink(&entry) == SinkState::Full {
                    return Ok(());
                }
            }
        }
        Err(Errno::EIO)
    }

    fn create(&self, name: Name<'_>, node: &NewNode<'_>) -> Result<Arc<dyn Inode>> {
        if !matches!(
            node.kind,
            FileType::Regular | FileType::Directory | FileType::Symlink
        ) {
            return Err(Errno::EPERM);
        }
        let handle = new_handle();
        let permissions = node
            .mode
            .difference(Mode::SET_USER | Mode::SET_GROUP | Mode::STICKY);
        let mode = node.kind.mode_bits() | u32::from(permissions.bits());
        let target = node.link_target;
        let status = self
            .shared
            .host
            .create(self.handle, &name, mode, target, handle)?;
        let made = Self::new(&self.shared, handle, &status)?;
        if made.kind != node.kind {
            return Err(Errno::EIO);
        }
        Ok(made)
    }

    fn link(&self, name: Name<'_>, target: &Arc<dyn Inode>) -> Result<()> {
        let target = self.of(target)?;
        self.shared.host.link(self.handle, &name, target.handle)
    }

    fn unlink(&self, name: Name<'_>) -> Result<()> {
        self.shared.host.remove(self.handle, &name, false)
    }

    fn remove_directory(&self, name: Name<'_>) -> Result<()> {
        self.shared.host.remove(self.handle, &name, true)
    }

    fn rename(
        &self,
        from: Name<'_>,
        target: &Arc<dyn Inode>,
        to: Name<'_>,
        flags: RenameFlags,
    ) -> Result<()> {
        if flags.contains(RenameFlags::WHITEOUT) {
            return Err(Errno::EINVAL);
        }
        let target = self.of(target)?;
        self.shared
            .host
            .rename((self.handle, &from), (target.handle, &to), flags.bits())
    }

    fn read_link(&self) -> Result<Vec<u8>> {
        if self.kind != FileType::Symlink {
            return Err(Errno::EINVAL);
        }
        let target = self.shared.host.read_link(self.handle)?;
        judge::link_target(&target)?;
        Ok(target)
    }
}

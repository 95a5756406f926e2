//! What a file descriptor refers to.

use alloc::sync::Arc;
use core::any::Any;
use core::sync::atomic::{AtomicU32, Ordering};

use abi::errno::Errno;
use locks::{Mutex, Once};

use crate::inode::SinkState;
use crate::{
    Allocation, DirectoryEntry, DirectorySink, Event, FileType, Inode, InodeFlags, Location,
    Metadata, OpenFlags, Readiness, Result, Sink, Source, Watchers, read_through, write_through,
};

/// Largest offset and file size (`loff_t`).
const OFFSET_MAX: u64 = i64::MAX as u64;
/// Cookies below this stand for `.` and `..`; those of the file system come after them.
const DOT_ENTRIES: u64 = 2;

/// An open file description: flags and an offset, shared by all descriptors made with `dup` or
/// inherited from it.
pub struct OpenFile {
    location: Location,
    /// Who does the input and output: the inode, or what its `open` put in its place.
    object: Arc<dyn Inode>,
    flags: AtomicU32,
    /// What lives as long as it does.
    attachment: Once<Arc<dyn Any + Send + Sync>>,
    /// What the kernel keeps for it.
    companion: Once<Arc<dyn Any + Send + Sync>>,
    /// Held during a read or write that moves it, as Linux does, so that two threads that share
    /// the description never get the same bytes.
    offset: Mutex<u64>,
    /// Counts it among those who have the file open.
    _opener: Option<Opener>,
}

/// Counts an open file among those who have its inode open.
struct Opener {
    location: Location,
    writes: bool,
}

impl Opener {
    fn new(location: &Location, writes: bool) -> Result<Self> {
        let uses = location.uses();
        if writes {
            uses.writers.begin()?;
        } else {
            uses.readers.fetch_add(1, Ordering::SeqCst);
        }
        Ok(Self {
            location: location.clone(),
            writes,
        })
    }
}

impl Drop for Opener {
    fn drop(&mut self) {
        let uses = self.location.uses();
        if self.writes {
            uses.writers.end();
        } else {
            uses.readers.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// A new offset for [`OpenFile::seek`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeekFrom {
    /// From the start (`SEEK_SET`).
    Start(i64),
    /// From the present offset (`SEEK_CUR`).
    Current(i64),
    /// From the end of the file (`SEEK_END`).
    End(i64),
    /// The first data at or after an offset (`SEEK_DATA`).
    Data(i64),
    /// The first hole at or after an offset (`SEEK_HOLE`); the end of the file is one.
    Hole(i64),
}

impl OpenFile {
    /// Opens the inode at `location`, without any check of rights: a
    /// [`Viewpoint`](crate::Viewpoint) does these.
    ///
    /// # Errors
    /// What the inode says.
    pub fn new(location: Location, flags: OpenFlags) -> Result<Arc<Self>> {
        if flags.contains(OpenFlags::PATH) {
            let object = location.inode().clone();
            return Ok(Self::through(location, object, flags));
        }
        let opener = if location.kind() == FileType::Regular {
            Some(Opener::new(&location, flags.is_writable())?)
        } else {
            None
        };
        let replaced = location.inode().open(flags)?;
        let object = replaced.unwrap_or_else(|| location.inode().clone());
        Ok(Self::open(location, object, flags, opener))
    }

    /// Opens the inode at `location`, for which `object` does the input and output.
    #[must_use]
    pub fn through(location: Location, object: Arc<dyn Inode>, flags: OpenFlags) -> Arc<Self> {
        Self::open(location, object, flags, None)
    }

    fn open(
        location: Location,
        object: Arc<dyn Inode>,
        flags: OpenFlags,
        opener: Option<Opener>,
    ) -> Arc<Self> {
        let kept = flags.difference(
            OpenFlags::CREATE
                | OpenFlags::EXCLUSIVE
                | OpenFlags::NO_CONTROLLING_TERMINAL
                | OpenFlags::TRUNCATE
                | OpenFlags::CLOSE_ON_EXEC,
        );
        Arc::new(Self {
            location,
            object,
            flags: AtomicU32::new(kept.bits()),
            attachment: Once::new(),
            companion: Once::new(),
            offset: Mutex::new(0),
            _opener: opener,
        })
    }

    /// Where it was opened. For a pipe and the like, a place without a path.
    #[must_use]
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// What does the input and output.
    #[must_use]
    pub fn object(&self) -> &Arc<dyn Inode> {
        &self.object
    }

    /// The flags as `fcntl(F_GETFL)` reports them.
    #[must_use]
    pub fn flags(&self) -> OpenFlags {
        OpenFlags::from_bits_truncate(self.flags.load(Ordering::Relaxed))
    }

    /// Changes the flags that can be changed, see [`OpenFlags::CHANGEABLE`].
    pub fn set_flags(&self, flags: OpenFlags) {
        let kept = self.flags().difference(OpenFlags::CHANGEABLE);
        let flags = kept | flags.intersection(OpenFlags::CHANGEABLE);
        self.flags.store(flags.bits(), Ordering::Relaxed);
    }

    /// Lets something live as long as this open file; the first call counts.
    pub fn attach<T: Any + Send + Sync>(&self, make: impl FnOnce() -> Arc<T>) {
        self.attachment.call_once(|| make());
    }

    /// What its user keeps for it, which the first call makes. `None` if that was of another type.
    pub fn companion<T: Any + Send + Sync>(&self, make: impl FnOnce() -> Arc<T>) -> Option<Arc<T>> {
        let companion = self.companion.call_once(|| make());
        companion.clone().downcast().ok()
    }

    /// The present offset.
    #[must_use]
    pub fn offset(&self) -> u64 {
        *self.offset.lock()
    }

    /// The attributes of the inode.
    ///
    /// # Errors
    /// What the file system says.
    pub fn metadata(&self) -> Result<Metadata> {
        self.location.metadata()
    }

    /// Reads at the offset and moves it.
    ///
    /// # Errors
    /// As [`read_to`](Self::read_to).
    pub fn read(&self, mut buffer: &mut [u8]) -> Result<usize> {
        self.read_to(&mut buffer)
    }

    /// Reads at the offset and moves it. It may stop before the sink is full.
    ///
    /// # Errors
    /// `EBADF` if it is not open for reading, `EISDIR`, `EAGAIN`, `EIO`, `EFAULT`.
    pub fn read_to(&self, sink: &mut dyn Sink) -> Result<usize> {
        self.check_readable()?;
        if !self.object.is_seekable() {
            let length = self.object.read_to(0, sink)?;
            return Ok(self.told(Event::ACCESS, length));
        }
        let mut offset = self.offset.lock();
        let read = self.read_clamped(*offset, sink);
        self.after_read(read, |length| *offset += length as u64)
    }

    /// Reads at `offset` and leaves the file's own offset alone.
    ///
    /// # Errors
    /// As [`read_to_at`](Self::read_to_at).
    pub fn read_at(&self, offset: u64, mut buffer: &mut [u8]) -> Result<usize> {
        self.read_to_at(offset, &mut buffer)
    }

    /// Reads at `offset` and leaves the file's own offset alone.
    ///
    /// # Errors
    /// As [`read_to`](Self::read_to); `ESPIPE` without a position.
    pub fn read_to_at(&self, offset: u64, sink: &mut dyn Sink) -> Result<usize> {
        self.check_seekable()?;
        self.check_readable()?;
        check_offset(offset)?;
        let read = self.read_clamped(offset, sink);
        self.after_read(read, |_| {})
    }

    /// Notes what a read came to, of which also one counts that found no buffer for its bytes.
    fn after_read(&self, read: Result<usize>, moves: impl FnOnce(usize)) -> Result<usize> {
        if matches!(read, Ok(_) | Err(Errno::EFAULT)) {
            self.note_access();
        }
        let length = read?;
        moves(length);
        Ok(self.told(Event::ACCESS, length))
    }

    /// Notes a read, unless it was opened for reads that are not (`O_NOATIME`).
    pub fn note_access(&self) {
        if !self.flags().contains(OpenFlags::NO_ACCESS_TIME) {
            self.location.note_access();
        }
    }

    /// Writes at the offset, or at the end with `O_APPEND`, and moves it.
    ///
    /// # Errors
    /// As [`write_from`](Self::write_from).
    pub fn write(&self, mut data: &[u8]) -> Result<usize> {
        self.write_from(&mut data)
    }

    /// Writes at the offset, or at the end with `O_APPEND`, and moves it. It may stop before the
    /// source is empty.
    ///
    /// # Errors
    /// `EBADF` if it is not open for writing, `EFBIG`, `ENOSPC`, `EAGAIN`, `EPIPE`, `EFAULT`.
    pub fn write_from(&self, source: &mut dyn Source) -> Result<usize> {
        self.check_writable()?;
        if !self.object.is_seekable() {
            let length = self.object.write_from(0, source)?;
            return Ok(self.told(Event::MODIFY, length));
        }
        if self.is_no_write(source) {
            return Ok(0);
        }
        let mut offset = self.offset.lock();
        let _writing = self.object.writing().map(Mutex::lock);
        if self.flags().contains(OpenFlags::APPEND) {
            return self.append_and_move(source, Some(&mut *offset));
        }
        let length = self.write_clamped(*offset, source)?;
        *offset += length as u64;
        Ok(length)
    }

    /// Writes at `offset`; with `O_APPEND` at the end all the same, as Linux does.
    ///
    /// # Errors
    /// As [`write_from_at`](Self::write_from_at).
    pub fn write_at(&self, offset: u64, mut data: &[u8]) -> Result<usize> {
        self.write_from_at(offset, &mut data)
    }

    /// Writes at `offset`; with `O_APPEND` at the end all the same, as Linux does.
    ///
    /// # Errors
    /// As [`write_from`](Self::write_from); `ESPIPE` without a position.
    pub fn write_from_at(&self, offset: u64, source: &mut dyn Source) -> Result<usize> {
        self.check_seekable()?;
        self.check_writable()?;
        check_offset(offset)?;
        if self.is_no_write(source) {
            return Ok(0);
        }
        let _writing = self.object.writing().map(Mutex::lock);
        if self.flags().contains(OpenFlags::APPEND) {
            return self.append_and_move(source, None);
        }
        self.write_clamped(offset, source)
    }

    /// Writes at the end whatever the flags say, and moves the offset there if it `moves`.
    ///
    /// # Errors
    /// As [`write_from`](Self::write_from).
    pub fn append_from(&self, moves: bool, source: &mut dyn Source) -> Result<usize> {
        if !self.object.is_seekable() {
            return self.write_from(source);
        }
        self.check_writable()?;
        if self.is_no_write(source) {
            return Ok(0);
        }
        let mut offset = moves.then(|| self.offset.lock());
        let _writing = self.object.writing().map(Mutex::lock);
        self.append_and_move(source, offset.as_deref_mut())
    }

    /// Whether a write would leave a file as it is, its dates and the offset too: there is nothing to
    /// write.
    fn is_no_write(&self, source: &dyn Source) -> bool {
        source.left_bytes() == 0 && self.object.kind() == FileType::Regular
    }

    /// Reads what lies before the largest offset.
    fn read_clamped(&self, offset: u64, sink: &mut dyn Sink) -> Result<usize> {
        self.location.before_read(offset, sink.room_bytes() as u64);
        if room_after(offset) >= sink.room_bytes() {
            return self.object.read_to(offset, sink);
        }
        read_through(sink, |buffer| {
            let length = room_after(offset).min(buffer.len());
            self.object.read_at(offset, &mut buffer[..length])
        })
    }

    /// Writes what lies before the largest offset.
    fn write_clamped(&self, offset: u64, source: &mut dyn Source) -> Result<usize> {
        let part = offset..offset.saturating_add(source.left_bytes() as u64);
        let length = self.location.watched_write(Some(part), || {
            let length = self.write_before_limit(offset, source)?;
            Ok((length, offset..offset + length as u64))
        })?;
        Ok(self.told(Event::MODIFY, length))
    }

    /// Writes at the end, to which `offset` moves.
    fn append_and_move(&self, source: &mut dyn Source, offset: Option<&mut u64>) -> Result<usize> {
        let (end, length) = self.location.watched_write(None, || {
            let (end, length) = self.object.append_from(source)?;
            Ok(((end, length), end.saturating_sub(length as u64)..end))
        })?;
        if let Some(offset) = offset {
            *offset = end;
        }
        Ok(self.told(Event::MODIFY, length))
    }

    /// Tells of an event if any bytes were moved; returns how many.
    fn told(&self, event: Event, length: usize) -> usize {
        if length > 0 {
            self.location.tell(event);
        }
        length
    }

    fn write_before_limit(&self, offset: u64, source: &mut dyn Source) -> Result<usize> {
        let room = room_after(offset);
        if room >= source.left_bytes() {
            return self.object.write_from(offset, source);
        }
        if room == 0 {
            return Err(Errno::EFBIG);
        }
        let written = write_through(source, |data| {
            let length = room.min(data.len());
            Ok(((), self.object.write_at(offset, &data[..length])?))
        });
        written.map(|((), length)| length)
    }

    /// Moves the offset and returns the new one.
    ///
    /// # Errors
    /// `ESPIPE` without a position, `EINVAL` for an offset below zero or one that is too large,
    /// `ENXIO` for data or a hole beyond the end.
    pub fn seek(&self, to: SeekFrom) -> Result<u64> {
        if self.flags().contains(OpenFlags::PATH) {
            return Err(Errno::EBADF);
        }
        self.check_seekable()?;
        let mut offset = self.offset.lock();
        // Devices like `/dev/null` agree to every position and have one.
        if self.object.kind() == FileType::CharacterDevice {
            *offset = 0;
            return Ok(0);
        }
        let (origin, distance) = match to {
            SeekFrom::Start(distance) => (0, distance),
            SeekFrom::Current(distance) => (*offset, distance),
            _ if !self.object.has_end() => return Err(Errno::EINVAL),
            // As the file systems of Linux that have numbers for entries.
            SeekFrom::End(distance) if self.location.kind() == FileType::Directory => {
                (OFFSET_MAX, distance)
            }
            SeekFrom::End(distance) => (self.object.metadata()?.size_bytes, distance),
            SeekFrom::Data(from) | SeekFrom::Hole(from) => {
                let size_bytes = self.object.metadata()?.size_bytes;
                let from = u64::try_from(from).map_err(|_| Errno::ENXIO)?;
                if from >= size_bytes {
                    return Err(Errno::ENXIO);
                }
                *offset = match to {
                    SeekFrom::Data(_) => self.object.next_data(from)?,
                    _ => self.object.next_hole(from)?,
                };
                return Ok(*offset);
            }
        };
        let target = i128::from(origin) + i128::from(distance);
        let target = u64::try_from(target).map_err(|_| Errno::EINVAL)?;
        if target > OFFSET_MAX {
            return Err(Errno::EINVAL);
        }
        *offset = target;
        Ok(target)
    }

    /// Gives directory entries, `.` and `..` first, from the offset on until `sink` is full, and
    /// moves the offset behind the last one taken.
    ///
    /// # Errors
    /// `ENOTDIR`; `ENOENT` if the directory was removed.
    pub fn read_directory(&self, sink: &mut DirectorySink<'_>) -> Result<()> {
        self.check_readable()?;
        if self.location.kind() != FileType::Directory {
            return Err(Errno::ENOTDIR);
        }
        if self.location.is_deleted() {
            return Err(Errno::ENOENT);
        }
        self.location.tell(Event::ACCESS);
        self.note_access();
        let mut offset = self.offset.lock();
        let own_inode = self.metadata()?.inode;
        let parent_inode = self.location.parent_inode()?.unwrap_or(own_inode);
        for (cookie, name, inode) in [(0, &b"."[..], own_inode), (1, &b".."[..], parent_inode)] {
            if *offset > cookie {
                continue;
            }
            let next_cookie = cookie + 1;
            let entry = DirectoryEntry {
                inode,
                kind: FileType::Directory,
                name,
                next_cookie,
            };
            if sink(&entry) == SinkState::Full {
                return Ok(());
            }
            *offset = next_cookie;
        }
        let start = *offset - DOT_ENTRIES;
        self.object.read_directory(start, &mut |entry| {
            let Some(next_cookie) = entry.next_cookie.checked_add(DOT_ENTRIES) else {
                return SinkState::Full;
            };
            let state = sink(&DirectoryEntry {
                next_cookie,
                ..*entry
            });
            if state == SinkState::Taken {
                *offset = next_cookie;
            }
            state
        })
    }

    /// Sets the size of the file.
    ///
    /// # Errors
    /// `EINVAL` if it is not open for writing or no regular file, as `ftruncate` says.
    pub fn truncate(&self, size_bytes: u64) -> Result<()> {
        if self.flags().contains(OpenFlags::PATH) {
            return Err(Errno::EBADF);
        }
        if !self.flags().is_writable() || self.location.kind() != FileType::Regular {
            return Err(Errno::EINVAL);
        }
        if size_bytes > OFFSET_MAX {
            return Err(Errno::EFBIG);
        }
        if self.metadata()?.has(InodeFlags::APPEND_ONLY) {
            return Err(Errno::EPERM);
        }
        let _writing = self.object.writing().map(Mutex::lock);
        self.object.truncate(size_bytes)?;
        self.location.after_truncate(size_bytes);
        self.location.tell_of_inode(Event::MODIFY);
        Ok(())
    }

    /// Gives storage to a stretch of the file, or takes it away.
    ///
    /// # Errors
    /// As `fallocate(2)`; `None` stands for what no file system here has.
    pub fn allocate(&self, what: Option<Allocation>, offset: u64, length: u64) -> Result<()> {
        self.check_writable()?;
        match self.location.kind() {
            FileType::Regular => {}
            FileType::Fifo => return Err(Errno::ESPIPE),
            FileType::Directory => return Err(Errno::EISDIR),
            _ => return Err(Errno::ENODEV),
        }
        if length == 0 {
            return Err(Errno::EINVAL);
        }
        let metadata = self.metadata()?;
        let is_hole = what == Some(Allocation::PunchHole);
        if metadata.has(InodeFlags::IMMUTABLE) || (is_hole && metadata.has(InodeFlags::APPEND_ONLY))
        {
            return Err(Errno::EPERM);
        }
        let end = offset.checked_add(length);
        if end.is_none_or(|end| end > OFFSET_MAX) {
            return Err(Errno::EFBIG);
        }
        let what = what.ok_or(Errno::EOPNOTSUPP)?;
        if is_hole {
            let part = offset..offset + length;
            (self.location).watched_write(Some(part.clone()), || {
                self.object.allocate(what, offset, length)?;
                Ok(((), part))
            })?;
        } else {
            self.object.allocate(what, offset, length)?;
        }
        self.location.tell(Event::MODIFY);
        Ok(())
    }

    /// Makes content and attributes durable, with what is in memory of the content.
    ///
    /// # Errors
    /// What the file system says.
    pub fn synchronize(&self) -> Result<()> {
        self.location.before_read(0, u64::MAX);
        self.object.synchronize()
    }

    /// What would not have to wait now.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        self.object.readiness()
    }

    /// Who is told when that changes, see [`Inode::watchers`].
    #[must_use]
    pub fn watchers(&self) -> Option<&Watchers> {
        self.object.watchers()
    }

    fn check_readable(&self) -> Result<()> {
        if self.flags().is_readable() {
            Ok(())
        } else {
            Err(Errno::EBADF)
        }
    }

    fn check_writable(&self) -> Result<()> {
        if self.flags().is_writable() {
            Ok(())
        } else {
            Err(Errno::EBADF)
        }
    }

    fn check_seekable(&self) -> Result<()> {
        if self.object.is_seekable() {
            Ok(())
        } else {
            Err(Errno::ESPIPE)
        }
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        let flags = self.flags();
        if !flags.contains(OpenFlags::PATH) {
            self.location.tell(if flags.is_writable() {
                Event::CLOSE_WRITE
            } else {
                Event::CLOSE_NO_WRITE
            });
        }
    }
}

fn check_offset(offset: u64) -> Result<()> {
    if offset > OFFSET_MAX {
        Err(Errno::EINVAL)
    } else {
        Ok(())
    }
}

fn room_after(offset: u64) -> usize {
    usize::try_from(OFFSET_MAX.saturating_sub(offset)).unwrap_or(usize::MAX)
}

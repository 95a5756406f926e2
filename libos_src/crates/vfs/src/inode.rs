//! The object behind a name.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;

use abi::errno::Errno;
use bitflags::bitflags;
use locks::Mutex;

use crate::{
    AttributeChange, ContentId, DeviceNumber, FileType, Location, Metadata, Mode, Name, OpenFlags,
    Result, Sink, Source, Uses, Watchers, read_through, write_through,
};

/// A file of any kind, apart from its names and from who has it open.
///
/// Every operation that a kind of file does not have keeps its default, which refuses as Linux does.
/// An operation never waits: one that cannot go on yet fails with `EAGAIN`.
///
/// Callers (this crate) have checked types, permissions and read-only mounts. An implementation
/// keeps its own data consistent, but need not know about mounts or paths.
pub trait Inode: Any + Send + Sync {
    /// The kind of file, fixed for the life of the inode.
    fn kind(&self) -> FileType;

    /// The present attributes.
    fn metadata(&self) -> Result<Metadata>;

    /// Which content it has, if that has a name. A file that is about to change has none before it does,
    /// and never again one that it had.
    fn content(&self) -> Option<ContentId> {
        None
    }

    /// Changes attributes.
    fn set_attributes(&self, _change: &AttributeChange) -> Result<()> {
        Err(Errno::EPERM)
    }

    /// Called by each `open`. What it returns takes the place of this inode for reads, writes,
    /// readiness and control of that open file: a snapshot of generated text, one end of a FIFO,
    /// a new terminal. `None` means the inode itself.
    fn open(&self, _flags: OpenFlags) -> Result<Option<Arc<dyn Inode>>> {
        Ok(None)
    }

    /// Whether there is a position: `pread`, `pwrite` and `lseek` work. Without one, the offset of
    /// `read_at` and `write_at` is always zero and means nothing.
    fn is_seekable(&self) -> bool {
        matches!(
            self.kind(),
            FileType::Regular | FileType::Directory | FileType::BlockDevice
        )
    }

    /// Whether positions may be told from the end, or from what is stored: a text that is made while it
    /// is read has no end to start at.
    fn has_end(&self) -> bool {
        true
    }

    /// Reads at `offset` into `buffer`. Fewer bytes than asked mean the end of the file, or that a
    /// stream has no more for now; zero means the end.
    fn read_at(&self, _offset: u64, _buffer: &mut [u8]) -> Result<usize> {
        Err(wrong_kind(self.kind()))
    }

    /// Notes that it was read, where times of that are kept; no read does so by itself.
    fn note_access(&self) {}

    /// Writes `data` at `offset`, extending the file, and returns how much was written.
    fn write_at(&self, _offset: u64, _data: &[u8]) -> Result<usize> {
        Err(wrong_kind(self.kind()))
    }

    /// Writes `data` at the end of the file as one step, and returns the offset after it.
    fn append(&self, _data: &[u8]) -> Result<(u64, usize)> {
        Err(wrong_kind(self.kind()))
    }

    /// Held during each write and change of size through an open file, so that a write that is made
    /// of many pieces is one step for other writers. `None` where a write is one piece anyway.
    fn writing(&self) -> Option<&Mutex<()>> {
        None
    }

    /// Who uses the file, if there is one inode for each file: then all its names agree on that.
    fn uses(&self) -> Option<&Uses> {
        None
    }

    /// As [`read_at`](Self::read_at) with the room of `sink`. What is not more than a copy away goes
    /// there without a stop; by default at most [`CHUNK_BYTES`](crate::CHUNK_BYTES) go there through
    /// a buffer.
    fn read_to(&self, offset: u64, sink: &mut dyn Sink) -> Result<usize> {
        whole(self.kind(), sink.room_bytes(), |done| {
            read_through(sink, |buffer| self.read_at(offset + done, buffer))
        })
    }

    /// As [`write_at`](Self::write_at) with what `source` has left, or a first part of it.
    fn write_from(&self, offset: u64, source: &mut dyn Source) -> Result<usize> {
        whole(self.kind(), source.left_bytes(), |done| {
            let write = |data: &[u8]| Ok(((), self.write_at(offset + done, data)?));
            write_through(source, write).map(|((), count)| count)
        })
    }

    /// As [`append`](Self::append) with what `source` has left, or a first part of it.
    fn append_from(&self, source: &mut dyn Source) -> Result<(u64, usize)> {
        let mut end = 0;
        let length = whole(self.kind(), source.left_bytes(), |_| {
            let (after, count) = write_through(source, |data| self.append(data))?;
            end = after;
            Ok(count)
        })?;
        Ok((end, length))
    }

    /// Sets the size; new bytes read as zero.
    fn truncate(&self, _size_bytes: u64) -> Result<()> {
        Err(wrong_kind(self.kind()))
    }

    /// Gives storage to a stretch of the file, or takes it away, as `fallocate` does. The stretch is
    /// not empty and ends at or before the largest offset.
    fn allocate(&self, _what: Allocation, _offset: u64, _length: u64) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }

    /// The first byte at or after `offset`, which is inside the file, that is stored; `ENXIO` if
    /// only a hole follows.
    fn next_data(&self, offset: u64) -> Result<u64> {
        Ok(offset)
    }

    /// The first hole at or after `offset`, which is inside the file. Its end counts as one.
    fn next_hole(&self, _offset: u64) -> Result<u64> {
        Ok(self.metadata()?.size_bytes)
    }

    /// The value of an extended attribute: `ENODATA` if there is none of this name.
    fn extended_attribute(&self, _name: &[u8]) -> Result<Vec<u8>> {
        Err(Errno::EOPNOTSUPP)
    }

    /// The names of all extended attributes.
    fn extended_attributes(&self) -> Result<Vec<Vec<u8>>> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Sets an extended attribute.
    fn set_extended_attribute(
        &self,
        _name: &[u8],
        _value: &[u8],
        _set: AttributeSet,
    ) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Removes an extended attribute: `ENODATA` if there is none of this name.
    fn remove_extended_attribute(&self, _name: &[u8]) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Makes content and attributes durable, where the file system has durability.
    fn synchronize(&self) -> Result<()> {
        Ok(())
    }

    /// What a reader or writer would not have to wait for.
    fn readiness(&self) -> Readiness {
        Readiness::READABLE | Readiness::WRITABLE
    }

    /// Who is told when [`readiness`](Self::readiness) changes. `None` if it never does, or if only
    /// the host knows.
    fn watchers(&self) -> Option<&Watchers> {
        None
    }

    /// A device's `ioctl`, with the request's argument already copied in: `argument` is as long as
    /// [`control_size_bytes`](Self::control_size_bytes) said and is copied out afterwards.
    fn control(&self, _request: u32, _argument: &mut [u8]) -> Result<u64> {
        Err(Errno::ENOTTY)
    }

    /// How many bytes `control` reads or writes for a request; `None` refuses it with `ENOTTY`.
    fn control_size_bytes(&self, _request: u32) -> Option<usize> {
        None
    }

    /// Whether entries of this directory come and go by themselves, so that a name that was looked
    /// up once must be looked up again.
    fn has_volatile_entries(&self) -> bool {
        false
    }

    /// Whether entries of this directory may be changed by somebody else, so that what is known of a
    /// name is looked up again and given up if it has come to mean another inode number.
    fn has_foreign_changes(&self) -> bool {
        false
    }

    /// The entry `name` of this directory.
    fn lookup(&self, _name: Name<'_>) -> Result<Arc<dyn Inode>> {
        Err(Errno::ENOTDIR)
    }

    /// Gives the entries after `cookie` to `sink`, without `.` and `..`, until it is full.
    ///
    /// Zero is before the first entry; each entry carries the cookie to go on after it. Cookies stay
    /// valid while the directory changes: an entry that is present throughout comes exactly once.
    /// `sink` must not use the file system: the directory may be locked while it runs.
    fn read_directory(&self, _cookie: u64, _sink: &mut DirectorySink<'_>) -> Result<()> {
        Err(Errno::ENOTDIR)
    }

    /// Makes a file of any kind under a name that is free (`EEXIST` otherwise).
    fn create(&self, _name: Name<'_>, _node: &NewNode<'_>) -> Result<Arc<dyn Inode>> {
        Err(Errno::EPERM)
    }

    /// Makes a regular file that has no name (`O_TMPFILE`), and whether it may ever get one.
    fn create_unnamed(&self, _node: &NewNode<'_>, _may_get_name: bool) -> Result<Arc<dyn Inode>> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Adds a name for `target`, an inode of the same file system that is no directory.
    fn link(&self, _name: Name<'_>, _target: &Arc<dyn Inode>) -> Result<()> {
        Err(Errno::EPERM)
    }

    /// Removes the name of something that is no directory. The content lives while it is open.
    fn unlink(&self, _name: Name<'_>) -> Result<()> {
        Err(Errno::EPERM)
    }

    /// Removes an empty directory.
    fn remove_directory(&self, _name: Name<'_>) -> Result<()> {
        Err(Errno::EPERM)
    }

    /// Moves the entry `from` to the name `to` of `target`, a directory of the same file system, as
    /// one step, replacing what is there unless `flags` say otherwise.
    fn rename(
        &self,
        _from: Name<'_>,
        _target: &Arc<dyn Inode>,
        _to: Name<'_>,
        _flags: RenameFlags,
    ) -> Result<()> {
        Err(Errno::EPERM)
    }

    /// The target of a symbolic link.
    fn read_link(&self) -> Result<Vec<u8>> {
        Err(Errno::EINVAL)
    }

    /// Where following this link leads without reading a path, as `/proc/self/fd/1` does.
    fn magic_link(&self) -> Result<Option<Location>> {
        Ok(None)
    }
}

impl dyn Inode {
    /// The implementation behind the trait object, if it is a `T`.
    #[must_use]
    pub fn downcast<T: Inode>(&self) -> Option<&T> {
        (self as &dyn Any).downcast_ref()
    }
}

/// Moves `wanted` bytes piece by piece, given how many were moved before: all of them if the file is
/// regular, whose transfers no program expects to be cut; else the first piece alone.
fn whole(
    kind: FileType,
    wanted: usize,
    mut piece: impl FnMut(u64) -> Result<usize>,
) -> Result<usize> {
    let mut done = 0;
    loop {
        match piece(done as u64) {
            Ok(count) => {
                done += count;
                if kind != FileType::Regular || count == 0 || done >= wanted {
                    return Ok(done);
                }
            }
            Err(_) if done > 0 => return Ok(done),
            Err(error) => return Err(error),
        }
    }
}

/// The error of a content operation on a file that has no content of that sort.
const fn wrong_kind(kind: FileType) -> Errno {
    match kind {
        FileType::Directory => Errno::EISDIR,
        _ => Errno::EINVAL,
    }
}

/// What to make in a directory, and for whom.
#[derive(Clone, Copy, Debug)]
pub struct NewNode<'a> {
    /// The kind of file.
    pub kind: FileType,
    /// Its permission bits, the caller's umask already taken away.
    pub mode: Mode,
    /// Its owner.
    pub user: u32,
    /// Its group.
    pub group: u32,
    /// The device of a character or block node.
    pub represents: DeviceNumber,
    /// The target of a symbolic link, empty for other kinds.
    pub link_target: &'a [u8],
}

impl RenameFlags {
    /// Checks that they do not exclude each other.
    ///
    /// # Errors
    /// `EINVAL`.
    pub fn check(self) -> Result<()> {
        if self.contains(Self::EXCHANGE) && self.intersects(Self::NO_REPLACE | Self::WHITEOUT) {
            Err(Errno::EINVAL)
        } else {
            Ok(())
        }
    }
}

impl NewNode<'_> {
    /// What stands for a removed name in the upper part of a union: nothing that could be opened, so
    /// everybody may make it.
    pub const WHITEOUT: NewNode<'static> = NewNode {
        kind: FileType::CharacterDevice,
        mode: Mode::empty(),
        user: 0,
        group: 0,
        represents: DeviceNumber::new(0, 0),
        link_target: b"",
    };

    /// Whether it is a whiteout.
    #[must_use]
    pub fn is_whiteout(&self) -> bool {
        self.kind == Self::WHITEOUT.kind && self.represents == Self::WHITEOUT.represents
    }
}

/// What `fallocate` does to a stretch of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocation {
    /// Reserve storage, and extend the file to its end.
    Extend,
    /// Reserve storage, also beyond the end of the file, which stays (`FALLOC_FL_KEEP_SIZE`).
    Reserve,
    /// Make a hole (`FALLOC_FL_PUNCH_HOLE`).
    PunchHole,
}

/// When an extended attribute may be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttributeSet {
    /// In any case.
    Always,
    /// Only if there is none (`XATTR_CREATE`): `EEXIST` otherwise.
    Create,
    /// Only if there is one (`XATTR_REPLACE`): `ENODATA` otherwise.
    Replace,
    /// Only if there is none and one: `EEXIST` or `ENODATA`.
    Never,
}

/// One entry as `getdents64` reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectoryEntry<'a> {
    /// Inode number.
    pub inode: u64,
    /// Kind of file.
    pub kind: FileType,
    /// Name; any bytes but `/` and NUL.
    pub name: &'a [u8],
    /// Where to go on after this entry (`d_off`).
    pub next_cookie: u64,
}

/// Whether a [`DirectorySink`] wants more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkState {
    /// The entry was taken.
    Taken,
    /// The entry was not taken and no more fit.
    Full,
}

/// Takes directory entries until it is full.
pub type DirectorySink<'a> = dyn FnMut(&DirectoryEntry<'_>) -> SinkState + 'a;

bitflags! {
    /// What an open file can do at once, in the bits of `poll`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Readiness: u32 {
        /// A read gives data or the end of the file (`POLLIN`).
        const READABLE = 0x1;
        /// Urgent data (`POLLPRI`).
        const PRIORITY = 0x2;
        /// A write takes data (`POLLOUT`).
        const WRITABLE = 0x4;
        /// An error is pending (`POLLERR`).
        const ERROR = 0x8;
        /// The other side is gone (`POLLHUP`).
        const HANG_UP = 0x10;
        /// A write takes data of any priority, which only sockets say (`POLLWRBAND`).
        const WRITABLE_BAND = 0x200;
        /// The other side writes no more (`POLLRDHUP`).
        const READ_HANG_UP = 0x2000;
        /// Said beside others to who watches, no state: something else has changed, and who watches for those
        /// others looks whatever it wants. `poll` has no name for it.
        const ANEW = 0x0100_0000;
    }

    /// How `renameat2` treats an existing target.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct RenameFlags: u32 {
        /// Fail with `EEXIST` if the target exists.
        const NO_REPLACE = 0x1;
        /// Swap source and target, which must both exist.
        const EXCHANGE = 0x2;
        /// Leave a whiteout where the source was. `EINVAL` on what is no upper part of a union.
        const WHITEOUT = 0x4;
    }
}

//! Directories that the host lends an enclave.
//!
//! A file is reached from its directory by one name at a time, and never through a symbolic link, so
//! that no name leads out of what was lent.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use abi::host_files::{HostChange, HostEntry, HostSizes, HostStatus};
use rustix::fs::{
    self, AtFlags, FileType, Mode, OFlags, RawDir, RenameFlags, ResolveFlags, SeekFrom, Timespec,
    Timestamps, UTIME_OMIT,
};
use rustix::io::Errno;

/// A reply: a value, or the positive error number.
type Reply<T = ()> = Result<T, i32>;

/// Longest target of a symbolic link.
const TARGET_MAX_BYTES: usize = 4096;

/// The files that an enclave has handles of.
#[derive(Debug, Default)]
pub struct HostFiles {
    /// Where relative sources start.
    base: PathBuf,
    files: Mutex<HashMap<u32, Arc<Lent>>>,
}

#[derive(Debug)]
struct Lent {
    /// Only a place, so that it can be had of any kind of file.
    place: OwnedFd,
    /// The same for input and output, and whether that may write.
    content: Mutex<Option<(Arc<OwnedFd>, bool)>>,
}

impl HostFiles {
    /// No files; relative sources start at `base`.
    #[must_use]
    pub fn new(base: PathBuf) -> Self {
        Self {
            base,
            files: Mutex::default(),
        }
    }

    /// Lends the directory at `source`.
    ///
    /// # Errors
    /// Linux's.
    pub fn root(&self, source: &[u8], new: u32) -> Reply<HostStatus> {
        let path = self.base.join(Path::new(OsStr::from_bytes(source)));
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let place = fs::open(path, flags, Mode::empty()).map_err(number)?;
        self.keep(place, new)
    }

    /// An entry of a directory.
    ///
    /// # Errors
    /// Linux's.
    pub fn look_up(&self, directory: u32, name: &[u8], new: u32) -> Reply<HostStatus> {
        let directory = self.file(directory)?;
        self.keep(entry(directory.place.as_fd(), name)?, new)
    }

    /// Lets go of a file.
    pub fn close(&self, handle: u32) {
        let closed = self.locked().remove(&handle);
        drop(closed);
    }

    /// The attributes of a file.
    ///
    /// # Errors
    /// Linux's.
    pub fn status(&self, handle: u32) -> Reply<HostStatus> {
        status_of(self.file(handle)?.place.as_fd())
    }

    /// Makes a regular file ready.
    ///
    /// # Errors
    /// Linux's.
    pub fn open(&self, handle: u32, is_written: bool) -> Reply {
        self.content(handle, is_written).map(drop)
    }

    /// Reads at an offset.
    ///
    /// # Errors
    /// Linux's.
    pub fn read(&self, handle: u32, offset: u64, bytes: &mut [u8]) -> Reply<usize> {
        let content = self.content(handle, false)?;
        rustix::io::pread(&*content, bytes, offset).map_err(number)
    }

    /// Writes at an offset.
    ///
    /// # Errors
    /// Linux's.
    pub fn write(&self, handle: u32, offset: u64, bytes: &[u8]) -> Reply<usize> {
        let content = self.content(handle, true)?;
        rustix::io::pwrite(&*content, bytes, offset).map_err(number)
    }

    /// Sets the size.
    ///
    /// # Errors
    /// Linux's.
    pub fn truncate(&self, handle: u32, size_bytes: u64) -> Reply {
        let content = self.content(handle, true)?;
        fs::ftruncate(&*content, size_bytes).map_err(number)
    }

    /// Makes it durable.
    ///
    /// # Errors
    /// Linux's.
    pub fn synchronize(&self, handle: u32) -> Reply {
        let content = self.content(handle, false)?;
        fs::fsync(&*content).map_err(number)
    }

    /// Puts entries of a directory after `cookie` into `room`; how many bytes these are.
    ///
    /// # Errors
    /// Linux's.
    pub fn list(&self, directory: u32, cookie: u64, room: &mut [u8]) -> Reply<usize> {
        let file = self.file(directory)?;
        let content = self.content(directory, false)?;
        // The position belongs to the descriptor.
        let _position = file.content.lock().unwrap_or_else(PoisonError::into_inner);
        fs::seek(&*content, SeekFrom::Start(cookie)).map_err(number)?;
        let mut buffer = Vec::with_capacity(32 * 1024);
        let mut entries = RawDir::new(&*content, buffer.spare_capacity_mut());
        let whole = room.len();
        let mut rest = room;
        while let Some(found) = entries.next() {
            let found = found.map_err(number)?;
            let kind = match found.file_type() {
                FileType::Unknown => 0,
                kind => (kind.as_raw_mode() >> 12) as u8,
            };
            let entry = HostEntry {
                inode: found.ino(),
                cookie: found.next_entry_cookie(),
                kind,
                name: found.file_name().to_bytes(),
            };
            let before = rest.len();
            match entry.put(rest) {
                Some(behind) => rest = behind,
                None => return Ok(whole - before),
            }
            // One buffer of the kernel's is a whole step: what comes later would read the next.
            if entries.is_buffer_empty() {
                break;
            }
        }
        Ok(whole - rest.len())
    }

    /// Makes an entry of a directory.
    ///
    /// # Errors
    /// Linux's.
    pub fn create(
        &self,
        directory: u32,
        name: &[u8],
        mode: u32,
        link_target: &[u8],
        new: u32,
    ) -> Reply<HostStatus> {
        let directory = self.file(directory)?;
        let at = directory.place.as_fd();
        check_name(name)?;
        let permissions = Mode::from_raw_mode(mode & 0o777);
        match FileType::from_raw_mode(mode) {
            FileType::RegularFile => {
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
                let made = fs::openat(at, name, flags, permissions).map_err(number)?;
                fs::fchmod(&made, permissions).map_err(number)?;
            }
            FileType::Directory => {
                fs::mkdirat(at, name, permissions).map_err(number)?;
                set_directory_mode(at, name, permissions).map_err(number)?;
            }
            FileType::Symlink => fs::symlinkat(link_target, at, name).map_err(number)?,
            _ => return Err(number(Errno::PERM)),
        }
        self.keep(entry(at, name)?, new)
    }

    /// Adds a name.
    ///
    /// # Errors
    /// Linux's.
    pub fn link(&self, directory: u32, name: &[u8], target: u32) -> Reply {
        check_name(name)?;
        let (directory, target) = (self.file(directory)?, self.file(target)?);
        let path = own_path(target.place.as_fd());
        let follow = AtFlags::SYMLINK_FOLLOW;
        fs::linkat(fs::CWD, path, &directory.place, name, follow).map_err(number)
    }

    /// Removes a name.
    ///
    /// # Errors
    /// Linux's.
    pub fn remove(&self, directory: u32, name: &[u8], is_directory: bool) -> Reply {
        check_name(name)?;
        let flags = if is_directory {
            AtFlags::REMOVEDIR
        } else {
            AtFlags::empty()
        };
        let directory = self.file(directory)?;
        fs::unlinkat(&directory.place, name, flags).map_err(number)
    }

    /// Moves a name.
    ///
    /// # Errors
    /// Linux's.
    pub fn rename(&self, from: (u32, &[u8]), to: (u32, &[u8]), flags: u32) -> Reply {
        check_name(from.1)?;
        check_name(to.1)?;
        let (old, new) = (self.file(from.0)?, self.file(to.0)?);
        let flags = RenameFlags::from_bits(flags).ok_or(number(Errno::INVAL))?;
        fs::renameat_with(&old.place, from.1, &new.place, to.1, flags).map_err(number)
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// Linux's.
    pub fn read_link(&self, handle: u32) -> Reply<Vec<u8>> {
        let file = self.file(handle)?;
        let target = fs::readlinkat(&file.place, "", Vec::with_capacity(256)).map_err(number)?;
        let target = target.into_bytes();
        if target.len() > TARGET_MAX_BYTES {
            return Err(number(Errno::NAMETOOLONG));
        }
        Ok(target)
    }

    /// Changes attributes of anything but a symbolic link.
    ///
    /// # Errors
    /// Linux's.
    pub fn change(&self, handle: u32, change: &HostChange) -> Reply {
        let file = self.file(handle)?;
        let status = fs::fstat(&file.place).map_err(number)?;
        if FileType::from_raw_mode(status.st_mode) == FileType::Symlink {
            return Err(number(Errno::OPNOTSUPP));
        }
        let path = own_path(file.place.as_fd());
        if let Some(mode) = change.mode {
            let mode = Mode::from_raw_mode(mode & 0o777);
            fs::chmodat(fs::CWD, &path, mode, AtFlags::empty()).map_err(number)?;
        }
        if change.accessed.is_none() && change.modified.is_none() {
            return Ok(());
        }
        let times = Timestamps {
            last_access: timespec(change.accessed),
            last_modification: timespec(change.modified),
        };
        fs::utimensat(fs::CWD, &path, &times, AtFlags::empty()).map_err(number)
    }

    /// Sizes of the file system.
    ///
    /// # Errors
    /// Linux's.
    pub fn sizes(&self, handle: u32) -> Reply<HostSizes> {
        let file = self.file(handle)?;
        let sizes = fs::fstatfs(&file.place).map_err(number)?;
        Ok(HostSizes {
            block_size_bytes: sizes.f_bsize.cast_unsigned(),
            blocks: sizes.f_blocks,
            blocks_free: sizes.f_bavail,
            inodes: sizes.f_files,
            inodes_free: sizes.f_ffree,
        })
    }

    fn keep(&self, place: OwnedFd, new: u32) -> Reply<HostStatus> {
        let status = status_of(place.as_fd())?;
        let lent = Arc::new(Lent {
            place,
            content: Mutex::new(None),
        });
        let replaced = self.locked().insert(new, lent);
        drop(replaced);
        Ok(status)
    }

    fn file(&self, handle: u32) -> Reply<Arc<Lent>> {
        let file = self.locked().get(&handle).cloned();
        file.ok_or(number(Errno::BADF))
    }

    /// The file itself, opened for input, and for output if that is wanted.
    fn content(&self, handle: u32, is_written: bool) -> Reply<Arc<OwnedFd>> {
        let file = self.file(handle)?;
        let mut content = file.content.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((opened, may_write)) = &*content
            && (*may_write || !is_written)
        {
            return Ok(opened.clone());
        }
        let status = fs::fstat(&file.place).map_err(number)?;
        let flags = match FileType::from_raw_mode(status.st_mode) {
            FileType::RegularFile if is_written => OFlags::RDWR,
            FileType::RegularFile | FileType::Directory => OFlags::RDONLY,
            _ => return Err(number(Errno::NXIO)),
        };
        let path = own_path(file.place.as_fd());
        let opened = fs::open(
            path,
            flags | OFlags::CLOEXEC | OFlags::NOCTTY,
            Mode::empty(),
        );
        let opened = Arc::new(opened.map_err(number)?);
        *content = Some((opened.clone(), is_written));
        Ok(opened)
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Arc<Lent>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place: the entry `name` of a directory, symbolic links themselves.
fn entry(directory: BorrowedFd<'_>, name: &[u8]) -> Reply<OwnedFd> {
    check_name(name)?;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    match fs::openat2(directory, name, flags, Mode::empty(), resolve) {
        // A kernel before 5.6: the name has been checked, so this does the same.
        Err(Errno::NOSYS) => fs::openat(directory, name, flags, Mode::empty()).map_err(number),
        place => place.map_err(number),
    }
}

fn status_of(place: BorrowedFd<'_>) -> Reply<HostStatus> {
    let status = fs::fstat(place).map_err(number)?;
    let words = |seconds: i64, nanoseconds: u64| [seconds.cast_unsigned(), nanoseconds];
    Ok(HostStatus {
        device: status.st_dev,
        inode: status.st_ino,
        mode: status.st_mode.into(),
        link_count: status.st_nlink,
        size_bytes: status.st_size.cast_unsigned(),
        blocks_512: status.st_blocks.cast_unsigned(),
        times: [
            words(status.st_atime, status.st_atime_nsec),
            words(status.st_mtime, status.st_mtime_nsec),
            words(status.st_ctime, status.st_ctime_nsec),
        ],
    })
}

fn timespec(time: Option<[u64; 2]>) -> Timespec {
    match time {
        Some([seconds, nanoseconds]) => Timespec {
            tv_sec: seconds.cast_signed(),
            tv_nsec: nanoseconds.cast_signed(),
        },
        None => Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
    }
}

/// A path to what a descriptor of ours refers to.
fn own_path(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// Sets the mode of a directory that was just made, whatever the creation mask took. Another user of the
/// host may have put something else in its place: no link is followed, and no other file changed.
fn set_directory_mode(at: BorrowedFd<'_>, name: &[u8], mode: Mode) -> Result<(), Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = fs::openat(at, name, flags, Mode::empty())?;
    fs::chmodat(fs::CWD, own_path(made.as_fd()), mode, AtFlags::empty())
}

/// One component that stays in its directory.
fn check_name(name: &[u8]) -> Reply {
    let leads_on = name.is_empty() || matches!(name, b"." | b"..");
    if leads_on || name.iter().any(|byte| matches!(byte, b'/' | 0)) {
        return Err(number(Errno::INVAL));
    }
    Ok(())
}

fn number(errno: Errno) -> i32 {
    errno.raw_os_error()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn what_took_the_place_of_a_new_directory_keeps_its_mode() {
        let place = std::env::temp_dir().join(format!("occlum-modes-{}", std::process::id()));
        let victim = place.join("victim");
        std::fs::create_dir_all(&victim).expect("a directory");
        let mode_of =
            |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
        std::fs::set_permissions(&victim, std::fs::Permissions::from_mode(0o700)).expect("ours");
        symlink(&victim, place.join("link")).expect("a link");
        std::fs::write(place.join("file"), "").expect("a file");
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let at = fs::open(&place, flags, Mode::empty()).expect("open");
        let set = |name: &[u8]| set_directory_mode(at.as_fd(), name, Mode::from_raw_mode(0o777));

        let outcomes = [set(b"link"), set(b"file"), set(b"victim")];
        let kept = mode_of(&place.join("file"));
        let changed = mode_of(&victim);
        std::fs::remove_dir_all(&place).expect("ours");

        assert_eq!(outcomes, [Err(Errno::NOTDIR), Err(Errno::NOTDIR), Ok(())]);
        assert_ne!(kept, 0o777);
        assert_eq!(changed, 0o777);
    }
}

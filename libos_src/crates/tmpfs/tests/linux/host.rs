//! The operations on a directory of the host.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    self as linux, AtFlags, FallocateFlags, FileType, Mode, OFlags, RenameFlags, SeekFrom,
    XattrFlags,
};
use rustix::io::Errno;

use crate::operation::{NESTING, Operation, Side, links};

/// A fresh directory on a tmpfs, if there is one.
pub(crate) struct Host {
    /// Deleted at the end.
    _root: tempfile::TempDir,
    path: PathBuf,
    directory: OwnedFd,
    counts_directories: bool,
}

impl Host {
    pub(crate) fn new(counts_directories: bool) -> Self {
        rustix::process::umask(Mode::from_raw_mode(0o022));
        let shared_memory = Path::new("/dev/shm");
        let root = if shared_memory.is_dir() {
            tempfile::tempdir_in(shared_memory)
        } else {
            tempfile::tempdir()
        }
        .expect("directory");
        let path = root.path().join("nest/".repeat(NESTING));
        fs::create_dir_all(&path).expect("directory");
        let flags = OFlags::DIRECTORY | OFlags::RDONLY;
        let directory = linux::open(&path, flags, Mode::empty()).expect("directory");
        Self {
            _root: root,
            path,
            directory,
            counts_directories,
        }
    }

    fn run(&self, operation: &Operation) -> Result<String, Errno> {
        let at = self.directory.as_fd();
        let done = |()| "done".to_string();
        match operation {
            Operation::Open { path, flags, data } => self.open(path, *flags, data),
            Operation::MakeDirectory(path) => {
                linux::mkdirat(at, path, Mode::from_raw_mode(0o777)).map(done)
            }
            Operation::RemoveDirectory(path) => {
                linux::unlinkat(at, path, AtFlags::REMOVEDIR).map(done)
            }
            Operation::Unlink(path) => linux::unlinkat(at, path, AtFlags::empty()).map(done),
            Operation::Symlink { target, path } => linux::symlinkat(target, at, path).map(done),
            Operation::Link { from, to, follow } => {
                let flags = if *follow {
                    AtFlags::SYMLINK_FOLLOW
                } else {
                    AtFlags::empty()
                };
                linux::linkat(at, from, at, to, flags).map(done)
            }
            Operation::Rename { from, to, flags } => {
                let flags = RenameFlags::from_bits_retain(*flags);
                linux::renameat_with(at, from, at, to, flags).map(done)
            }
            Operation::Status { path, follow } => {
                let flags = if *follow {
                    AtFlags::empty()
                } else {
                    AtFlags::SYMLINK_NOFOLLOW
                };
                let status = linux::statat(at, path, flags)?;
                let is_directory = FileType::from_raw_mode(status.st_mode).is_dir();
                let links = links(is_directory, status.st_nlink, self.counts_directories);
                Ok(format!("{:o} {links}", status.st_mode))
            }
            Operation::ReadLink(path) => {
                let target = linux::readlinkat(at, path, Vec::new())?;
                Ok(target.to_string_lossy().into_owned())
            }
            Operation::Truncate { path, size } => {
                // `truncate` takes no directory; the nested one is short enough for a path.
                let path = if path.is_empty() {
                    PathBuf::new()
                } else {
                    self.path.join(path)
                };
                let path = std::ffi::CString::new(path.as_os_str().as_encoded_bytes());
                let path = path.map_err(|_| Errno::INVAL)?;
                if path.as_bytes().len() >= 4096 - NESTING * 8 {
                    return Ok("not comparable".to_string());
                }
                let file = linux::open(path.as_c_str(), OFlags::PATH, Mode::empty())?;
                let link = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
                let result = fs::OpenOptions::new().write(true).open(link);
                let file = result.map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
                linux::ftruncate(file, u64::from(*size)).map(done)
            }
            Operation::ChangeMode { path, mode } => {
                linux::chmodat(at, path, Mode::from_raw_mode(*mode), AtFlags::empty()).map(done)
            }
            Operation::Allocate {
                path,
                mode,
                offset,
                length,
            } => {
                let file = linux::openat(at, path, OFlags::RDWR, Mode::empty())?;
                let mode = FallocateFlags::from_bits_retain(*mode);
                linux::fallocate(&file, mode, u64::from(*offset), u64::from(*length))?;
                let mut content = vec![0; 20_000];
                let count = rustix::io::read(&file, &mut content)?;
                let sum: u64 = content.iter().map(|byte| u64::from(*byte)).sum();
                Ok(format!("{count} {sum}"))
            }
            Operation::Attribute {
                path,
                name,
                value,
                flags,
            } => {
                let file = linux::openat(at, path, OFlags::RDONLY, Mode::empty())?;
                let mut room = [0; 256];
                if *value == 0 {
                    linux::fremovexattr(&file, *name)?;
                } else {
                    let flags = XattrFlags::from_bits_retain(*flags);
                    linux::fsetxattr(&file, *name, &vec![*value; usize::from(*value)], flags)?;
                }
                let len = linux::fgetxattr(&file, *name, &mut room);
                let len = len.map_err(Errno::raw_os_error);
                let list = linux::flistxattr(&file, &mut room)?;
                let mut names: Vec<_> = room[..list].split(|byte| *byte == 0).collect();
                names.sort_unstable();
                Ok(format!("{len:?} {names:?}"))
            }
            Operation::List(path) => {
                let flags = OFlags::DIRECTORY | OFlags::RDONLY;
                let directory = linux::openat(at, path, flags, Mode::empty())?;
                let mut names = Vec::new();
                for entry in linux::Dir::read_from(directory)? {
                    let entry = entry?;
                    let name = entry.file_name().to_string_lossy().into_owned();
                    names.push(format!("{name} {:?}", entry.file_type()));
                }
                names.sort();
                Ok(names.join(", "))
            }
        }
    }

    fn open(&self, path: &str, flags: u32, data: &[u8]) -> Result<String, Errno> {
        let flags = OFlags::from_bits_retain(flags);
        let file = linux::openat(&self.directory, path, flags, Mode::from_raw_mode(0o666))?;
        let written = rustix::io::write(&file, data);
        let seek = linux::seek(&file, SeekFrom::Start(0));
        let mut content = vec![0; 20_000];
        let read = rustix::io::read(&file, &mut content);
        let sum: u64 = content.iter().map(|byte| u64::from(*byte)).sum();
        let number = |result: Result<usize, Errno>| result.map_err(Errno::raw_os_error);
        let seek = seek.map_err(Errno::raw_os_error);
        Ok(format!(
            "{:?} {seek:?} {:?} {sum}",
            number(written),
            number(read)
        ))
    }
}

impl Side for Host {
    fn apply(&mut self, operation: &Operation) -> Result<String, i32> {
        self.run(operation).map_err(Errno::raw_os_error)
    }

    fn tree(&self) -> Vec<String> {
        let mut lines = Vec::new();
        list(&self.path, "", self.counts_directories, &mut lines);
        lines
    }
}

fn list(directory: &Path, prefix: &str, counts_directories: bool, lines: &mut Vec<String>) {
    let mut entries: Vec<_> = fs::read_dir(directory)
        .expect("directory")
        .map(|entry| entry.expect("entry"))
        .collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = format!("{prefix}/{}", entry.file_name().to_string_lossy());
        let metadata = fs::symlink_metadata(entry.path()).expect("metadata");
        let content = if metadata.is_symlink() {
            fs::read_link(entry.path())
                .expect("target")
                .to_string_lossy()
                .into_owned()
        } else if metadata.is_file() {
            let content = fs::read(entry.path()).expect("content");
            format!(
                "{} {}",
                content.len(),
                content.iter().map(|b| u64::from(*b)).sum::<u64>()
            )
        } else {
            String::new()
        };
        lines.push(format!(
            "{name} {:o} {} {content}",
            metadata.mode(),
            links(metadata.is_dir(), metadata.nlink(), counts_directories)
        ));
        if metadata.is_dir() {
            list(&entry.path(), &name, counts_directories, lines);
        }
    }
}

//! The operations on a file system of the LibOS behind a `Viewpoint`.

use std::sync::Arc;

use tmpfs::TmpFs;
use vfs::{
    Allocation, AttributeChange, AttributeSet, Clock, Errno, FileSystem, FileType, Follow,
    Location, Metadata, Mode, MountFlags, Namespace, OpenFlags, RenameFlags, SeekFrom, SinkState,
    Timestamp, Viewpoint,
};

use crate::operation::{NESTING, Operation, Side, links};

/// An empty file system.
#[allow(dead_code, reason = "shared with the tests of other file systems")]
pub(crate) fn tmpfs() -> Arc<TmpFs> {
    let mode = Mode::from_low_bits(0o755);
    TmpFs::new(64 << 20, mode, Arc::new(Noon)).expect("root")
}

/// A namespace of one file system.
pub(crate) struct LibOs {
    view: Viewpoint,
    counts_directories: bool,
}

struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp {
            seconds: 43_200,
            nanoseconds: 0,
        }
    }
}

impl LibOs {
    /// Works at the root of a file system.
    pub(crate) fn new(root: Arc<dyn FileSystem>, counts_directories: bool) -> Self {
        let namespace = Namespace::new(root, MountFlags::default()).expect("namespace");
        Self {
            view: Viewpoint::new(namespace),
            counts_directories,
        }
    }

    /// Makes the nested directories.
    pub(crate) fn nest(&mut self) {
        for _ in 0..NESTING {
            let mode = Mode::from_low_bits(0o777);
            let directory = self.view.make_directory(None, b"nest", mode);
            self.view
                .change_directory(&directory.expect("directory"))
                .expect("directory");
        }
    }

    /// Works in the nested directories, which are there.
    #[allow(dead_code, reason = "shared with the tests of other file systems")]
    pub(crate) fn enter_nest(&mut self) {
        let path = "nest/".repeat(NESTING);
        let directory = self.view.resolve(None, path.as_bytes(), Follow::Yes);
        self.view
            .change_directory(&directory.expect("directory"))
            .expect("directory");
    }

    fn run(&self, operation: &Operation) -> Result<String, Errno> {
        let view = &self.view;
        let done = |()| "done".to_string();
        let follow = |follow: bool| if follow { Follow::Yes } else { Follow::No };
        match operation {
            Operation::Open { path, flags, data } => self.open(path, *flags, data),
            Operation::MakeDirectory(path) => {
                let mode = Mode::from_low_bits(0o777);
                view.make_directory(None, path.as_bytes(), mode)
                    .map(|_| done(()))
            }
            Operation::RemoveDirectory(path) => {
                view.remove_directory(None, path.as_bytes()).map(done)
            }
            Operation::Unlink(path) => view.unlink(None, path.as_bytes()).map(done),
            Operation::Symlink { target, path } => view
                .make_symlink(target.as_bytes(), None, path.as_bytes())
                .map(|_| done(())),
            Operation::Link {
                from,
                to,
                follow: follows,
            } => {
                let source = view.resolve(None, from.as_bytes(), follow(*follows))?;
                view.link(&source, None, to.as_bytes()).map(done)
            }
            Operation::Rename { from, to, flags } => {
                let flags = RenameFlags::from_bits(*flags).ok_or(Errno::EINVAL)?;
                view.rename(None, from.as_bytes(), None, to.as_bytes(), flags)
                    .map(done)
            }
            Operation::Status {
                path,
                follow: follows,
            } => {
                let metadata = view
                    .resolve(None, path.as_bytes(), follow(*follows))?
                    .metadata()?;
                Ok(format!(
                    "{:o} {}",
                    metadata.st_mode(),
                    self.links(&metadata)
                ))
            }
            Operation::ReadLink(path) => {
                let location = view.resolve(None, path.as_bytes(), Follow::No)?;
                let target = location.inode().read_link()?;
                Ok(String::from_utf8_lossy(&target).into_owned())
            }
            Operation::Truncate { path, size } => {
                let location = view.resolve(None, path.as_bytes(), Follow::Yes);
                if path.len() > 1000 {
                    return Ok("not comparable".to_string());
                }
                view.truncate(&location?, u64::from(*size)).map(done)
            }
            Operation::ChangeMode { path, mode } => {
                let location = view.resolve(None, path.as_bytes(), Follow::Yes)?;
                let mode = Some(Mode::from_low_bits(*mode));
                let change = AttributeChange {
                    mode,
                    ..Default::default()
                };
                view.set_attributes(&location, &change).map(done)
            }
            Operation::Allocate {
                path,
                mode,
                offset,
                length,
            } => self.allocate(path, *mode, u64::from(*offset), u64::from(*length)),
            Operation::Attribute {
                path,
                name,
                value,
                flags,
            } => self.attribute(path, name, *value, *flags),
            Operation::List(path) => {
                let flags = OpenFlags::DIRECTORY;
                let file = view.open(None, path.as_bytes(), flags, Mode::empty())?;
                let mut names = Vec::new();
                file.read_directory(&mut |entry| {
                    let name = String::from_utf8_lossy(entry.name);
                    names.push(format!("{name} {}", kind_name(entry.kind)));
                    SinkState::Taken
                })?;
                names.sort();
                Ok(names.join(", "))
            }
        }
    }

    fn links(&self, metadata: &Metadata) -> String {
        let is_directory = metadata.kind == FileType::Directory;
        links(
            is_directory,
            metadata.link_count.into(),
            self.counts_directories,
        )
    }

    fn allocate(&self, path: &str, mode: u32, offset: u64, length: u64) -> Result<String, Errno> {
        let flags = OpenFlags::READ_WRITE;
        let file = self
            .view
            .open(None, path.as_bytes(), flags, Mode::empty())?;
        let what = match mode {
            0 => Allocation::Extend,
            1 => Allocation::Reserve,
            _ => Allocation::PunchHole,
        };
        file.allocate(Some(what), offset, length)?;
        let mut content = vec![0; 20_000];
        let count = file.read(&mut content)?;
        let sum: u64 = content.iter().map(|byte| u64::from(*byte)).sum();
        Ok(format!("{count} {sum}"))
    }

    fn attribute(&self, path: &str, name: &str, value: u8, flags: u32) -> Result<String, Errno> {
        let (view, name) = (&self.view, name.as_bytes());
        let file = view.open(None, path.as_bytes(), OpenFlags::empty(), Mode::empty())?;
        let place = file.location();
        let set = match flags {
            0 => AttributeSet::Always,
            1 => AttributeSet::Create,
            _ => AttributeSet::Replace,
        };
        if value == 0 {
            view.remove_extended_attribute(place, name)?;
        } else {
            let bytes = vec![value; usize::from(value)];
            view.set_extended_attribute(place, name, &bytes, set)?;
        }
        let len = view
            .extended_attribute(place, name)
            .map(|value| value.len());
        let list = view.extended_attributes(place)?;
        let mut names: Vec<_> = list.split(|byte| *byte == 0).collect();
        names.sort_unstable();
        Ok(format!("{:?} {names:?}", len.map_err(Errno::code)))
    }

    fn open(&self, path: &str, flags: u32, data: &[u8]) -> Result<String, Errno> {
        let flags = OpenFlags::from_argument(flags);
        let mode = Mode::from_low_bits(0o666);
        let file = self.view.open(None, path.as_bytes(), flags, mode)?;
        let written = file.write(data).map_err(Errno::code);
        let seek = file.seek(SeekFrom::Start(0)).map_err(Errno::code);
        let mut content = vec![0; 20_000];
        let read = file.read(&mut content).map_err(Errno::code);
        let sum: u64 = content.iter().map(|byte| u64::from(*byte)).sum();
        Ok(format!("{written:?} {seek:?} {read:?} {sum}"))
    }

    fn list(&self, directory: &Location, prefix: &str, lines: &mut Vec<String>) {
        let mut entries = Vec::new();
        directory
            .inode()
            .read_directory(0, &mut |entry| {
                entries.push(entry.name.to_vec());
                SinkState::Taken
            })
            .expect("entries");
        entries.sort();
        for entry in entries {
            let name = format!("{prefix}/{}", String::from_utf8_lossy(&entry));
            let location = self
                .view
                .resolve(Some(directory), &entry, Follow::No)
                .expect("entry");
            let metadata = location.metadata().expect("metadata");
            let content = match metadata.kind {
                FileType::Symlink => {
                    let target = location.inode().read_link().expect("target");
                    String::from_utf8_lossy(&target).into_owned()
                }
                FileType::Regular => {
                    let mut content = vec![0; metadata.size_bytes as usize + 10];
                    let length = location.inode().read_at(0, &mut content).expect("content");
                    let sum = content.iter().map(|byte| u64::from(*byte)).sum::<u64>();
                    format!("{length} {sum}")
                }
                _ => String::new(),
            };
            let (mode, links) = (metadata.st_mode(), self.links(&metadata));
            lines.push(format!("{name} {mode:o} {links} {content}"));
            if metadata.kind == FileType::Directory {
                self.list(&location, &name, lines);
            }
        }
    }
}

/// What `rustix` calls a kind of file.
fn kind_name(kind: FileType) -> &'static str {
    match kind {
        FileType::Regular => "RegularFile",
        FileType::Directory => "Directory",
        FileType::Symlink => "Symlink",
        _ => "other",
    }
}

impl Side for LibOs {
    fn apply(&mut self, operation: &Operation) -> Result<String, i32> {
        self.run(operation).map_err(Errno::code)
    }

    fn tree(&self) -> Vec<String> {
        let mut lines = Vec::new();
        self.list(&self.view.working_directory, "", &mut lines);
        lines
    }
}

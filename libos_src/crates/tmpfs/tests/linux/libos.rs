//! The operations on a `TmpFs` behind a `Viewpoint`.

use std::sync::Arc;

use tmpfs::TmpFs;
use vfs::{
    AttributeChange, Clock, Errno, FileType, Follow, Location, Mode, MountFlags, Namespace,
    OpenFlags, RenameFlags, SeekFrom, SinkState, Timestamp, Viewpoint,
};

use crate::operation::Operation;
use crate::{NESTING, Side};

/// A fresh namespace.
pub(crate) struct LibOs {
    view: Viewpoint,
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
    pub(crate) fn new() -> Self {
        let mode = Mode::from_low_bits(0o755);
        let root = TmpFs::new(64 << 20, mode, Arc::new(Noon)).expect("root");
        let namespace = Namespace::new(root, MountFlags::default()).expect("namespace");
        let mut view = Viewpoint::new(namespace);
        for _ in 0..NESTING {
            let directory = view.make_directory(None, b"nest", Mode::from_low_bits(0o777));
            view.change_directory(&directory.expect("directory"))
                .expect("directory");
        }
        Self { view }
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
                Ok(format!("{:o} {}", metadata.st_mode(), metadata.link_count))
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
            let (mode, links) = (metadata.st_mode(), metadata.link_count);
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

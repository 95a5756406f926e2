//! Images from the tools that make them, and a walk that compares a mounted image with a directory.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use erofs::Erofs;
use verity::{BlockSource, Reporter};
use vfs::{Errno, FileSystem, FileType, Inode, Name, SinkState};

/// Size of a block.
pub(crate) const BLOCK: usize = 4096;

/// An image that nothing verifies.
pub(crate) struct Unverified(pub(crate) Vec<u8>);

impl BlockSource for Unverified {
    fn block_count(&self) -> u64 {
        (self.0.len() / BLOCK) as u64
    }

    fn read_blocks(&self, first: u64, buffer: &mut [u8]) -> Result<(), Errno> {
        let start = usize::try_from(first)
            .ok()
            .and_then(|first| first.checked_mul(BLOCK));
        let start = start.ok_or(Errno::EIO)?;
        let end = start.checked_add(buffer.len()).ok_or(Errno::EIO)?;
        buffer.copy_from_slice(self.0.get(start..end).ok_or(Errno::EIO)?);
        Ok(())
    }
}

/// A reporter that says nothing.
pub(crate) fn silent() -> Reporter {
    Box::new(|_| ())
}

/// Mounts an image whose blocks are as they are.
pub(crate) fn mount(image: Vec<u8>) -> Arc<Erofs> {
    Erofs::mount(Box::new(Unverified(image)), 1 << 20, silent()).expect("mounts")
}

/// What makes images.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Maker {
    /// `mkfs.erofs` of erofs-utils with these options.
    Mkfs(&'static [&'static str]),
    /// The project's own writer.
    Own,
}

impl Maker {
    /// An image of a directory; `None`, and a line that says so, if the tool is missing.
    pub(crate) fn pack(self, tree: &Path) -> Option<Vec<u8>> {
        let output = tempfile::tempdir().expect("directory");
        let image = output.path().join("image.erofs");
        let mut command = match self {
            Self::Mkfs(options) => {
                let mut command = Command::new("mkfs.erofs");
                command.args(options).arg(&image).arg(tree);
                command
            }
            Self::Own => {
                let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../..");
                let mut command = Command::new("python3");
                command
                    .current_dir(root)
                    .args(["-m", "occlum_build.fs", "erofs", "--tree"]);
                command.arg(tree).arg("--output").arg(&image);
                command
            }
        };
        match command.output() {
            Ok(output) if output.status.success() => Some(fs::read(&image).expect("image")),
            Ok(output) if is_missing_module(&output) => self.skip("occlum_build"),
            Ok(output) => panic!("{self:?}: {}", String::from_utf8_lossy(&output.stderr)),
            Err(_) => self.skip("program"),
        }
    }

    fn skip(self, what: &str) -> Option<Vec<u8>> {
        println!("skipped: {self:?}: {what} missing");
        None
    }
}

fn is_missing_module(output: &Output) -> bool {
    String::from_utf8_lossy(&output.stderr).contains("No module named")
}

/// All entries of a directory: name and kind.
pub(crate) fn list(directory: &Arc<dyn Inode>) -> vfs::Result<Vec<(Vec<u8>, FileType)>> {
    let mut entries = Vec::new();
    directory.read_directory(0, &mut |entry| {
        entries.push((entry.name.to_vec(), entry.kind));
        SinkState::Taken
    })?;
    Ok(entries)
}

/// Reads a whole file, in pieces of `step` bytes: each in both ways, which must agree.
pub(crate) fn read(file: &Arc<dyn Inode>, step: usize) -> vfs::Result<Vec<u8>> {
    let mut content = Vec::new();
    let (mut piece, mut same) = (vec![0; step], vec![0; step]);
    loop {
        let offset = content.len() as u64;
        let length = file.read_at(offset, &mut piece)?;
        assert_eq!(file.read_to(offset, &mut same.as_mut_slice())?, length);
        assert_eq!(same[..length], piece[..length]);
        match length {
            0 => return Ok(content),
            length => content.extend_from_slice(&piece[..length]),
        }
    }
}

/// Fails unless the mounted image and the directory hold the same tree.
pub(crate) fn assert_same(image: &Erofs, tree: &Path) {
    compare(&image.root(), tree);
}

fn compare(inode: &Arc<dyn Inode>, path: &Path) {
    let ours = inode.metadata().expect("metadata");
    let theirs = fs::symlink_metadata(path).expect("metadata");
    let at = path.display();
    assert_eq!(ours.st_mode(), theirs.mode(), "mode of {at}");
    assert_eq!(u64::from(ours.link_count), theirs.nlink(), "links of {at}");
    let kind = theirs.file_type();
    if kind.is_dir() {
        compare_entries(inode, path);
    } else if kind.is_symlink() {
        let target = fs::read_link(path).expect("target");
        assert_eq!(
            inode.read_link().expect("target"),
            target.as_os_str().as_bytes(),
            "{at}"
        );
        assert_eq!(ours.size_bytes, theirs.len(), "size of {at}");
    } else if kind.is_file() {
        let content = fs::read(path).expect("content");
        assert_eq!(ours.size_bytes, content.len() as u64, "size of {at}");
        for step in [1 << 20, 4096, 1000] {
            assert!(
                read(inode, step).expect("content") == content,
                "content of {at}"
            );
        }
    } else if kind.is_char_device() || kind.is_block_device() {
        assert_eq!(ours.represents.to_u64(), theirs.rdev(), "device {at}");
    }
}

fn compare_entries(directory: &Arc<dyn Inode>, path: &Path) {
    let entries = list(directory).expect("entries");
    let names: Vec<Vec<u8>> = entries.iter().map(|(name, _)| name.clone()).collect();
    let mut expected: Vec<Vec<u8>> = fs::read_dir(path)
        .expect("directory")
        .map(|entry| entry.expect("entry").file_name().as_bytes().to_vec())
        .collect();
    expected.sort();
    let mut sorted = names;
    sorted.sort();
    assert_eq!(sorted, expected, "entries of {}", path.display());
    for (name, kind) in entries {
        let inode = directory
            .lookup(Name::new(&name).expect("name"))
            .expect("entry");
        assert_eq!(inode.kind(), kind);
        compare(&inode, &path.join(OsStr::from_bytes(&name)));
    }
}

/// Sets permission bits whatever the umask.
pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("mode");
}

//! Files whose text never changes, and trees of them.

use alloc::borrow::{Cow, ToOwned};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use vfs::{Errno, FileType, Inode, Metadata, Mode, OpenFlags, Result, StaticDirectory};

/// A file that can be read.
pub(crate) struct FixedText {
    inode: u64,
    text: Vec<u8>,
}

impl FixedText {
    /// A file with this inode number and text, and a line end behind it.
    pub(crate) fn new(inode: u64, text: &str) -> Self {
        let mut text = text.as_bytes().to_vec();
        text.push(b'\n');
        Self { inode, text }
    }
}

impl Inode for FixedText {
    fn kind(&self) -> FileType {
        FileType::Regular
    }

    fn metadata(&self) -> Result<Metadata> {
        let mode = Mode::from_low_bits(0o444);
        Ok(Metadata::fixed(self.inode, FileType::Regular, mode))
    }

    /// Not even the superuser can write there, whatever the permission bits let them try.
    fn open(&self, flags: OpenFlags) -> Result<Option<Arc<dyn Inode>>> {
        if flags.is_writable() {
            return Err(Errno::EACCES);
        }
        Ok(None)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let text = self.text.get(start..).unwrap_or_default();
        let length = text.len().min(buffer.len());
        buffer[..length].copy_from_slice(&text[..length]);
        Ok(length)
    }
}

/// Files by path, from which a tree of directories is made.
pub(crate) struct Tree {
    inode: u64,
    nodes: BTreeMap<Cow<'static, str>, Node>,
}

enum Node {
    File(Arc<dyn Inode>),
    Directory(Tree),
}

impl Tree {
    /// An empty directory. Inode numbers begin with this one.
    pub(crate) fn new(inode: u64) -> Self {
        Self {
            inode,
            nodes: BTreeMap::new(),
        }
    }

    /// A tree of files with these paths and texts.
    pub(crate) fn of<P: Into<Cow<'static, str>>>(
        first_inode: u64,
        files: Vec<(P, String)>,
    ) -> Self {
        let mut tree = Self::new(first_inode);
        let mut next = first_inode + 1;
        for (path, text) in files {
            let file = FixedText::new(next, &text);
            next += 1;
            tree.put(path, Arc::new(file), &mut next);
        }
        tree
    }

    /// Puts a file at a path, whose directories are made.
    pub(crate) fn put(
        &mut self,
        path: impl Into<Cow<'static, str>>,
        file: Arc<dyn Inode>,
        next_inode: &mut u64,
    ) {
        let (name, rest) = split(path.into());
        let Some(rest) = rest else {
            self.nodes.insert(name, Node::File(file));
            return;
        };
        let node = self.nodes.entry(name).or_insert_with(|| {
            *next_inode += 1;
            Node::Directory(Self::new(*next_inode - 1))
        });
        if let Node::Directory(directory) = node {
            directory.put(rest, file, next_inode);
        }
    }

    /// The directory.
    pub(crate) fn into_directory(self) -> Arc<dyn Inode> {
        let entries = self.nodes.into_iter().map(|(name, node)| {
            let inode = match node {
                Node::File(file) => file,
                Node::Directory(tree) => tree.into_directory(),
            };
            (name, inode)
        });
        StaticDirectory::new(self.inode, entries.collect())
    }
}

/// The first name of a path and what follows it, if anything does.
fn split(path: Cow<'static, str>) -> (Cow<'static, str>, Option<Cow<'static, str>>) {
    let Some(end) = path.find('/') else {
        return (path, None);
    };
    match path {
        Cow::Borrowed(path) => (path[..end].into(), Some(path[end + 1..].into())),
        Cow::Owned(path) => {
            let rest = path[end + 1..].to_owned();
            (path[..end].to_owned().into(), Some(rest.into()))
        }
    }
}

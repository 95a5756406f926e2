//! The entries of a directory.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use core::ops::Bound;

use vfs::{DirectoryEntry, DirectorySink, Inode, SinkState};

use crate::node::Node;

/// The first cookie that is given away. Later entries get smaller ones: a scan goes upwards and never
/// meets what was added after it began, so it ends even if each step adds an entry.
/// A file system above may use the higher bits.
const FIRST_COOKIE: u64 = 1 << 61;

/// Names in the order of their cookies.
pub(crate) struct Directory {
    /// The directory above; dangling for the root.
    pub(crate) parent: Weak<Node>,
    cookies: BTreeMap<Box<[u8]>, u64>,
    entries: BTreeMap<u64, (Box<[u8]>, Arc<Node>)>,
    next_cookie: u64,
}

impl Directory {
    pub(crate) fn new() -> Self {
        Self {
            parent: Weak::new(),
            cookies: BTreeMap::new(),
            entries: BTreeMap::new(),
            next_cookie: FIRST_COOKIE,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn get(&self, name: &[u8]) -> Option<&Arc<Node>> {
        let cookie = self.cookies.get(name)?;
        self.entries.get(cookie).map(|(_, node)| node)
    }

    /// Binds `name` to `node` and returns what it was bound to.
    pub(crate) fn insert(&mut self, name: &[u8], node: Arc<Node>) -> Option<Arc<Node>> {
        if let Some(cookie) = self.cookies.get(name) {
            let (_, old) = self.entries.get_mut(cookie)?;
            return Some(core::mem::replace(old, node));
        }
        let cookie = self.next_cookie;
        self.next_cookie -= 1;
        self.insert_at(cookie, name, node);
        None
    }

    pub(crate) fn remove(&mut self, name: &[u8]) -> Option<Arc<Node>> {
        let cookie = self.cookies.remove(name)?;
        self.entries.remove(&cookie).map(|(_, node)| node)
    }

    /// Gives an entry another name, in the place that it has in a scan, and returns what had that
    /// name.
    pub(crate) fn rename(&mut self, from: &[u8], to: &[u8]) -> Option<Arc<Node>> {
        let cookie = self.cookies.remove(from)?;
        let (_, node) = self.entries.remove(&cookie)?;
        let replaced = self.remove(to);
        self.insert_at(cookie, to, node);
        replaced
    }

    fn insert_at(&mut self, cookie: u64, name: &[u8], node: Arc<Node>) {
        self.cookies.insert(name.into(), cookie);
        self.entries.insert(cookie, (name.into(), node));
    }

    /// Gives the entries after `cookie` to `sink`.
    pub(crate) fn read(&self, cookie: u64, sink: &mut DirectorySink<'_>) {
        for (cookie, (name, node)) in self
            .entries
            .range((Bound::Excluded(cookie), Bound::Unbounded))
        {
            let (inode, kind) = (node.number(), node.kind());
            let entry = DirectoryEntry {
                inode,
                kind,
                name,
                next_cookie: *cookie,
            };
            if sink(&entry) == SinkState::Full {
                return;
            }
        }
    }

    /// All entries.
    pub(crate) fn into_entries(self) -> impl Iterator<Item = (Box<[u8]>, Arc<Node>)> {
        self.entries.into_values()
    }
}

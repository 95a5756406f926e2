//! Reading a directory of the union.
//!
//! First come the entries that have a lower name, whatever is in the upper file system under it, and
//! then the others: where an entry comes does not depend on whether it was copied up meanwhile.

use alloc::vec::Vec;

use vfs::{DirectoryEntry, DirectorySink, Errno, FileType, Inode, Name, Result, SinkState};

use crate::marks;
use crate::node::Node;

/// Cookies from here on are those of the upper directory, plus this.
const UPPER_COOKIES: u64 = 1 << 62;
/// Entries taken from a layer at a time: nothing else may be asked while it gives them, and there may be
/// more than there is memory for.
pub(crate) const BATCH: usize = 64;

struct Listed {
    inode: u64,
    kind: FileType,
    name: Vec<u8>,
    next_cookie: u64,
}

impl Node {
    /// Gives the entries after `cookie` to `sink`. The caller holds the tree lock.
    pub(crate) fn list(&self, cookie: u64, sink: &mut DirectorySink<'_>) -> Result<()> {
        if !self.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        if cookie < UPPER_COOKIES
            && let Some(lower) = &self.lower
            && self.list_layer(&*lower.inode, cookie, 0, sink)? == SinkState::Full
        {
            return Ok(());
        }
        if let Some(upper) = self.upper() {
            let cookie = cookie.saturating_sub(UPPER_COOKIES);
            self.list_layer(&*upper, cookie, UPPER_COOKIES, sink)?;
        }
        Ok(())
    }

    /// Checks that the directory has no entry. The caller holds the tree lock.
    pub(crate) fn check_empty(&self) -> Result<()> {
        let mut is_empty = true;
        self.list(0, &mut |_| {
            is_empty = false;
            SinkState::Full
        })?;
        if is_empty {
            Ok(())
        } else {
            Err(Errno::ENOTEMPTY)
        }
    }

    fn list_layer(
        &self,
        layer: &dyn Inode,
        cookie: u64,
        base: u64,
        sink: &mut DirectorySink<'_>,
    ) -> Result<SinkState> {
        let mut cookie = cookie;
        loop {
            let batch = read_batch(layer, cookie)?;
            let Some(last) = batch.last() else {
                return Ok(SinkState::Taken);
            };
            cookie = last.next_cookie;
            for entry in batch {
                let shown = if base == 0 {
                    self.shown_of_lower(&entry)?
                } else {
                    self.shown_of_upper(&entry)?
                };
                let Some((inode, kind)) = shown else {
                    continue;
                };
                let next_cookie = entry.next_cookie.checked_add(base);
                let next_cookie = next_cookie.filter(|next| base != 0 || *next < UPPER_COOKIES);
                let entry = DirectoryEntry {
                    inode,
                    kind,
                    name: &entry.name,
                    next_cookie: next_cookie.ok_or(Errno::EIO)?,
                };
                if sink(&entry) == SinkState::Full {
                    return Ok(SinkState::Full);
                }
            }
        }
    }

    /// What a lower entry is in the union, unless it is removed.
    fn shown_of_lower(&self, entry: &Listed) -> Result<Option<(u64, FileType)>> {
        let name = Name::new(&entry.name)?;
        match self.find_upper(name)? {
            None => Ok(Some((entry.inode, entry.kind))),
            Some(upper) if marks::is_whiteout(&*upper)? => Ok(None),
            Some(upper) => Ok(Some((self.identify(name, &*upper)?.0, upper.kind()))),
        }
    }

    /// What an upper entry is in the union, unless it came already.
    fn shown_of_upper(&self, entry: &Listed) -> Result<Option<(u64, FileType)>> {
        let name = Name::new(&entry.name)?;
        if self.find_lower(name)?.is_some() {
            return Ok(None);
        }
        match self.find_upper(name)? {
            Some(upper) if !marks::is_whiteout(&*upper)? => {
                Ok(Some((self.identify(name, &*upper)?.0, upper.kind())))
            }
            _ => Ok(None),
        }
    }
}

fn read_batch(layer: &dyn Inode, cookie: u64) -> Result<Vec<Listed>> {
    let mut batch = Vec::new();
    layer.read_directory(cookie, &mut |entry: &DirectoryEntry<'_>| {
        if batch.len() == BATCH {
            return SinkState::Full;
        }
        batch.push(Listed {
            inode: entry.inode,
            kind: entry.kind,
            name: entry.name.to_vec(),
            next_cookie: entry.next_cookie,
        });
        SinkState::Taken
    })?;
    Ok(batch)
}

//! Directories: blocks of `struct erofs_dirent` with the names behind them, sorted bytewise.
//!
//! A block starts with its entries of 12 bytes: inode number, offset of the name in the block, type.
//! The first name starts where the entries end; each name ends where the next one starts, the last
//! one at a zero or at the end of the block.

use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Ordering;

use verity::BLOCK_SIZE_BYTES;
use vfs::{DirectoryEntry, DirectorySink, Errno, FileType, NAME_MAX_BYTES, Result, SinkState};

use crate::inode::ErofsInode;
use crate::layout::{u8_at, u16_at, u64_at};

const ENTRY_BYTES: usize = 12;
const BLOCK: u64 = BLOCK_SIZE_BYTES as u64;

/// The inode number of the entry `name`.
pub(crate) fn find(directory: &ErofsInode, name: &[u8]) -> Result<u64> {
    let mut low = 0;
    let mut high = directory.size_bytes().div_ceil(BLOCK);
    // The block that holds the name is the last one whose first name is not behind it.
    while low < high {
        let middle = low + (high - low) / 2;
        let block = Block::read(directory, middle)?;
        match block.entry(0)?.name.cmp(name) {
            Ordering::Equal => return Ok(block.entry(0)?.inode),
            Ordering::Greater => high = middle,
            Ordering::Less => {
                if let Some(inode) = block.find(name)? {
                    return Ok(inode);
                }
                low = middle + 1;
            }
        }
    }
    Err(Errno::ENOENT)
}

/// Gives the entries after `cookie` to `sink`. A cookie is the place of the next entry: the number
/// of the block times its size, plus the index in the block.
pub(crate) fn read(
    directory: &ErofsInode,
    cookie: u64,
    sink: &mut DirectorySink<'_>,
) -> Result<()> {
    let blocks = directory.size_bytes().div_ceil(BLOCK);
    let mut index = (cookie % BLOCK) as usize;
    for number in cookie / BLOCK..blocks {
        let block = Block::read(directory, number)?;
        while index < block.count {
            let entry = block.entry(index)?;
            index += 1;
            if matches!(entry.name, b"." | b"..") {
                continue;
            }
            let next_cookie = number * BLOCK + index as u64;
            let Entry { inode, kind, name } = entry;
            if sink(&DirectoryEntry {
                inode,
                kind,
                name,
                next_cookie,
            }) == SinkState::Full
            {
                return Ok(());
            }
        }
        index = 0;
    }
    Ok(())
}

/// One block of a directory, the last one cut at the directory's size.
struct Block {
    bytes: Vec<u8>,
    count: usize,
}

struct Entry<'a> {
    inode: u64,
    kind: FileType,
    name: &'a [u8],
}

impl Block {
    fn read(directory: &ErofsInode, number: u64) -> Result<Self> {
        let offset = number.checked_mul(BLOCK).ok_or(Errno::EIO)?;
        let size = directory.size_bytes().saturating_sub(offset).min(BLOCK) as usize;
        let mut bytes = vec![0; size];
        directory.read_exact(offset, &mut bytes)?;
        let names_at = usize::from(u16_at(&bytes, 8)?);
        let is_sound =
            names_at >= ENTRY_BYTES && names_at.is_multiple_of(ENTRY_BYTES) && names_at < size;
        if !is_sound {
            return Err(Errno::EIO);
        }
        Ok(Self {
            bytes,
            count: names_at / ENTRY_BYTES,
        })
    }

    fn entry(&self, index: usize) -> Result<Entry<'_>> {
        let at = index * ENTRY_BYTES;
        let start = usize::from(u16_at(&self.bytes, at + 8)?);
        let is_last = index + 1 == self.count;
        let end = match is_last {
            true => self.bytes.len(),
            false => usize::from(u16_at(&self.bytes, at + ENTRY_BYTES + 8)?),
        };
        if start < self.count * ENTRY_BYTES {
            return Err(Errno::EIO);
        }
        let mut name = self.bytes.get(start..end).ok_or(Errno::EIO)?;
        if is_last && let Some(length) = name.iter().position(|byte| *byte == 0) {
            name = &name[..length];
        }
        if name.is_empty() || name.len() > NAME_MAX_BYTES || name.iter().any(is_illegal) {
            return Err(Errno::EIO);
        }
        let kind = kind_of(u8_at(&self.bytes, at + 10)?)?;
        Ok(Entry {
            inode: u64_at(&self.bytes, at)?,
            kind,
            name,
        })
    }

    fn find(&self, name: &[u8]) -> Result<Option<u64>> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            let entry = self.entry(middle)?;
            match entry.name.cmp(name) {
                Ordering::Equal => return Ok(Some(entry.inode)),
                Ordering::Greater => high = middle,
                Ordering::Less => low = middle + 1,
            }
        }
        Ok(None)
    }
}

const fn is_illegal(byte: &u8) -> bool {
    matches!(*byte, b'/' | 0)
}

/// The `EROFS_FT_` constants, which are Linux's `FT_` constants.
const fn kind_of(file_type: u8) -> Result<FileType> {
    Ok(match file_type {
        1 => FileType::Regular,
        2 => FileType::Directory,
        3 => FileType::CharacterDevice,
        4 => FileType::BlockDevice,
        5 => FileType::Fifo,
        6 => FileType::Socket,
        7 => FileType::Symlink,
        _ => return Err(Errno::EIO),
    })
}

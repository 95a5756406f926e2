//! Inodes: `struct erofs_inode_compact` and `struct erofs_inode_extended`.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use verity::BLOCK_SIZE_BYTES;
use vfs::{
    ContentId, DeviceNumber, DirectorySink, Errno, FileType, Inode, Metadata, Mode, Name,
    OpenFlags, PATH_MAX_BYTES, Result, Sink, Timestamp,
};

use crate::directory;
use crate::file_system::Shared;
use crate::layout::{device_number, u16_at, u32_at, u64_at};

const BLOCK: u64 = BLOCK_SIZE_BYTES as u64;
/// The unit in which inodes are numbered.
const SLOT_BYTES: u64 = 32;
const COMPACT_BYTES: usize = 32;
const EXTENDED_BYTES: usize = 64;
/// Largest file (`loff_t`).
const SIZE_MAX_BYTES: u64 = i64::MAX as u64;

/// One file of an image.
pub(crate) struct ErofsInode {
    shared: Arc<Shared>,
    metadata: Metadata,
    content: Content,
}

/// Where the bytes of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Content {
    /// The first of the full blocks, a byte offset in the image.
    blocks_offset: u64,
    /// How many bytes are there; the rest is the tail.
    blocks_size: u64,
    /// The end of a `FLAT_INLINE` file, behind its inode.
    tail_offset: u64,
}

/// Fields that the two forms of inode have in different places.
struct Fields {
    size_bytes: u64,
    link_count: u32,
    user: u32,
    group: u32,
    modified: Timestamp,
    inode_size: u64,
}

impl ErofsInode {
    /// Reads and checks the inode with a number.
    pub(crate) fn read(shared: &Arc<Shared>, number: u64) -> Result<Self> {
        let offset = number
            .checked_mul(SLOT_BYTES)
            .and_then(|offset| offset.checked_add(shared.super_block.metadata_offset))
            .ok_or(Errno::EIO)?;
        let mut raw = [0; EXTENDED_BYTES];
        shared.read(offset, &mut raw[..COMPACT_BYTES])?;
        let format = u16_at(&raw, 0)?;
        let fields = if format & 1 == 0 {
            Self::compact_fields(shared, &raw)?
        } else {
            let rest = offset.checked_add(COMPACT_BYTES as u64).ok_or(Errno::EIO)?;
            shared.read(rest, &mut raw[COMPACT_BYTES..])?;
            Self::extended_fields(&raw)?
        };
        let attribute_count = u64::from(u16_at(&raw, 2)?);
        let attributes_size = match attribute_count {
            0 => 0,
            count => 12 + 4 * (count - 1),
        };
        let st_mode = u32::from(u16_at(&raw, 4)?);
        let kind = FileType::from_mode_bits(st_mode).ok_or(Errno::EIO)?;
        let position = u32_at(&raw, 16)?;
        let has_content = matches!(
            kind,
            FileType::Regular | FileType::Directory | FileType::Symlink
        );
        let content = if has_content {
            let after_inode = offset + fields.inode_size + attributes_size;
            Content::check(
                format,
                fields.size_bytes,
                position,
                after_inode,
                shared.block_count(),
            )?
        } else {
            Content {
                blocks_offset: 0,
                blocks_size: 0,
                tail_offset: 0,
            }
        };
        let is_device = matches!(kind, FileType::CharacterDevice | FileType::BlockDevice);
        let size_bytes = if has_content { fields.size_bytes } else { 0 };
        let metadata = Metadata {
            inode: number,
            kind,
            mode: Mode::from_low_bits(st_mode),
            link_count: fields.link_count,
            user: fields.user,
            group: fields.group,
            represents: if is_device {
                device_number(position)
            } else {
                DeviceNumber::default()
            },
            size_bytes,
            block_size_bytes: BLOCK_SIZE_BYTES as u32,
            blocks_512: size_bytes.div_ceil(BLOCK) * (BLOCK / 512),
            accessed: fields.modified,
            modified: fields.modified,
            changed: fields.modified,
            born: None,
            flags: None,
        };
        Ok(Self {
            shared: shared.clone(),
            metadata,
            content,
        })
    }

    fn compact_fields(shared: &Shared, raw: &[u8]) -> Result<Fields> {
        let super_block = &shared.super_block;
        Ok(Fields {
            size_bytes: u64::from(u32_at(raw, 8)?),
            link_count: u32::from(u16_at(raw, 6)?),
            user: u32::from(u16_at(raw, 24)?),
            group: u32::from(u16_at(raw, 26)?),
            modified: timestamp(super_block.build_seconds, super_block.build_nanoseconds)?,
            inode_size: COMPACT_BYTES as u64,
        })
    }

    fn extended_fields(raw: &[u8]) -> Result<Fields> {
        Ok(Fields {
            size_bytes: u64_at(raw, 8)?,
            link_count: u32_at(raw, 44)?,
            user: u32_at(raw, 24)?,
            group: u32_at(raw, 28)?,
            modified: timestamp(u64_at(raw, 32)?, u32_at(raw, 40)?)?,
            inode_size: EXTENDED_BYTES as u64,
        })
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.metadata.size_bytes
    }

    /// Fills `buffer` from `offset` of the content; all of it must be inside.
    pub(crate) fn read_exact(&self, offset: u64, mut buffer: &mut [u8]) -> Result<()> {
        self.read_parts(offset, buffer.len(), |parts| {
            buffer.put_all(parts).map(drop)
        })
    }

    /// Gives `take` the `length` bytes from `offset` of the content on, in parts, some at a time; all
    /// must be inside.
    fn read_parts(
        &self,
        offset: u64,
        length: usize,
        mut take: impl FnMut(&[&[u8]]) -> Result<()>,
    ) -> Result<()> {
        let Content {
            blocks_offset,
            blocks_size,
            tail_offset,
        } = self.content;
        let in_blocks = blocks_size.saturating_sub(offset).min(length as u64);
        let in_tail = length - in_blocks as usize;
        if in_blocks > 0 {
            let limit = (blocks_offset + blocks_size).div_ceil(BLOCK);
            let position = blocks_offset + offset;
            self.shared
                .blocks
                .read(position, in_blocks as usize, limit, &mut take)?;
        }
        if in_tail > 0 {
            let tail = tail_offset + (offset + in_blocks - blocks_size);
            self.shared.read_parts(tail, in_tail, take)?;
        }
        Ok(())
    }

    /// How much of `wanted` bytes there is at `offset`, if it can be read.
    fn readable(&self, offset: u64, wanted: usize) -> Result<usize> {
        match self.metadata.kind {
            FileType::Regular => {}
            FileType::Directory => return Err(Errno::EISDIR),
            _ => return Err(Errno::EINVAL),
        }
        let left = self.size_bytes().saturating_sub(offset);
        Ok(wanted.min(usize::try_from(left).unwrap_or(usize::MAX)))
    }

    fn as_directory(&self) -> Result<&Self> {
        match self.metadata.kind {
            FileType::Directory => Ok(self),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// Reports damage that was found in this inode.
    fn noted<T>(&self, result: Result<T>) -> Result<T> {
        if matches!(result, Err(Errno::EIO)) {
            self.shared.report_damage(self.metadata.inode);
        }
        result
    }
}

impl Content {
    /// Checks that all the content of an inode lies inside the image.
    fn check(
        format: u16,
        size_bytes: u64,
        position: u32,
        after_inode: u64,
        image_blocks: u64,
    ) -> Result<Self> {
        const FLAT_PLAIN: u16 = 0;
        const FLAT_INLINE: u16 = 2;
        let layout = format >> 1;
        if size_bytes > SIZE_MAX_BYTES || !matches!(layout, FLAT_PLAIN | FLAT_INLINE) {
            return Err(Errno::EIO);
        }
        let full_blocks_size = size_bytes.saturating_sub(1) / BLOCK * BLOCK;
        let blocks_size = if layout == FLAT_INLINE {
            full_blocks_size
        } else {
            size_bytes
        };
        let blocks_offset = u64::from(position) * BLOCK;
        let image_size = image_blocks * BLOCK;
        if blocks_size > 0
            && blocks_offset
                .checked_add(blocks_size)
                .is_none_or(|end| end > image_size)
        {
            return Err(Errno::EIO);
        }
        let tail_size = size_bytes - blocks_size;
        // The tail shares a block with (the end of) its inode and ends in it.
        if tail_size > 0 && after_inode % BLOCK + tail_size > BLOCK {
            return Err(Errno::EIO);
        }
        Ok(Self {
            blocks_offset,
            blocks_size,
            tail_offset: after_inode,
        })
    }
}

fn timestamp(seconds: u64, nanoseconds: u32) -> Result<Timestamp> {
    let seconds = i64::try_from(seconds).map_err(|_| Errno::EIO)?;
    if nanoseconds >= 1_000_000_000 {
        return Err(Errno::EIO);
    }
    Ok(Timestamp {
        seconds,
        nanoseconds,
    })
}

impl Inode for ErofsInode {
    fn kind(&self) -> FileType {
        self.metadata.kind
    }

    fn metadata(&self) -> Result<Metadata> {
        Ok(self.metadata)
    }

    fn content(&self) -> Option<ContentId> {
        Some(ContentId {
            source: self.shared.content,
            file: self.metadata.inode,
        })
    }

    /// FIFOs, sockets and devices have no driver here.
    fn open(&self, _flags: OpenFlags) -> Result<Option<Arc<dyn Inode>>> {
        match self.metadata.kind {
            FileType::Regular | FileType::Directory | FileType::Symlink => Ok(None),
            _ => Err(Errno::ENXIO),
        }
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let length = self.readable(offset, buffer.len())?;
        self.read_exact(offset, &mut buffer[..length])?;
        Ok(length)
    }

    fn read_to(&self, offset: u64, sink: &mut dyn Sink) -> Result<usize> {
        let length = self.readable(offset, sink.room_bytes())?;
        let mut done = 0;
        let outcome = self.read_parts(offset, length, |parts| {
            let taken = sink.put_all(parts)?;
            done += taken;
            // What it refused behind the first part is not to be followed by more.
            if taken < parts.iter().map(|part| part.len()).sum() {
                return Err(Errno::EFAULT);
            }
            Ok(())
        });
        match outcome {
            Err(error) if done == 0 => Err(error),
            _ => Ok(done),
        }
    }

    fn lookup(&self, name: Name<'_>) -> Result<Arc<dyn Inode>> {
        let number = self.noted(directory::find(self.as_directory()?, &name))?;
        let inode = Self::read(&self.shared, number).inspect_err(|error| {
            if *error == Errno::EIO {
                self.shared.report_damage(number);
            }
        })?;
        Ok(Arc::new(inode))
    }

    fn read_directory(&self, cookie: u64, sink: &mut DirectorySink<'_>) -> Result<()> {
        self.noted(directory::read(self.as_directory()?, cookie, sink))
    }

    fn read_link(&self) -> Result<Vec<u8>> {
        if self.metadata.kind != FileType::Symlink {
            return Err(Errno::EINVAL);
        }
        let length = usize::try_from(self.size_bytes()).map_err(|_| Errno::EIO)?;
        if length >= PATH_MAX_BYTES {
            return self.noted(Err(Errno::EIO));
        }
        let mut target = vec![0; length];
        self.read_exact(0, &mut target)?;
        Ok(target)
    }
}

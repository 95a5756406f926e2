//! Files whose text the kernel makes.

use alloc::sync::Arc;
use alloc::vec::Vec;

use vfs::{Errno, FileType, Inode, Metadata, Mode, OpenFlags, Result};

use crate::{ProcessText, Source, SystemText, owner};

/// A file of `/proc`.
pub(crate) struct Text {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) inode: u64,
    pub(crate) subject: Subject,
}

/// What a text is about.
#[derive(Clone, Copy)]
pub(crate) enum Subject {
    System(SystemText),
    /// A process, or a thread of it.
    Process(u32, Option<u32>, ProcessText),
    /// An open file of a process.
    Descriptor(u32, u32),
}

/// The text as it was when the file was opened.
struct Snapshot {
    metadata: Metadata,
    text: Vec<u8>,
    source: Arc<dyn Source>,
    subject: Subject,
}

impl Inode for Text {
    fn kind(&self) -> FileType {
        FileType::Regular
    }

    fn metadata(&self) -> Result<Metadata> {
        let (kind, source) = (FileType::Regular, &*self.source);
        let (process, mode) = match self.subject {
            Subject::System(_) => {
                return Ok(Metadata::fixed(
                    self.inode,
                    kind,
                    Mode::from_low_bits(0o444),
                ));
            }
            Subject::Process(process, _, text) => (process, text.mode()),
            Subject::Descriptor(process, _) => (process, 0o444),
        };
        owner::metadata(source, process, self.inode, kind, mode)
    }

    fn open(&self, _flags: OpenFlags) -> Result<Option<Arc<dyn Inode>>> {
        let text = match self.subject {
            Subject::System(text) => self.source.system_text(text)?,
            Subject::Process(process, thread, text) => {
                if text.is_guarded() {
                    self.source.check_look_into(process)?;
                }
                self.source.process_text(process, thread, text)?
            }
            Subject::Descriptor(process, descriptor) => {
                self.source.check_look_into(process)?;
                self.source.descriptor_text(process, descriptor)?
            }
        };
        Ok(Some(Arc::new(Snapshot {
            metadata: self.metadata()?,
            text,
            source: self.source.clone(),
            subject: self.subject,
        })))
    }

    /// A text is made anew each time it is opened, so there is nothing to take away.
    fn truncate(&self, _size_bytes: u64) -> Result<()> {
        Ok(())
    }
}

impl Inode for Snapshot {
    fn kind(&self) -> FileType {
        FileType::Regular
    }

    fn metadata(&self) -> Result<Metadata> {
        Ok(self.metadata)
    }

    fn has_end(&self) -> bool {
        matches!(self.subject, Subject::Process(_, _, text) if text.has_end())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let start = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(self.text.len());
        let text = &self.text[start..];
        let length = text.len().min(buffer.len());
        buffer[..length].copy_from_slice(&text[..length]);
        Ok(length)
    }

    fn write_at(&self, _offset: u64, data: &[u8]) -> Result<usize> {
        let Subject::Process(process, thread, text) = self.subject else {
            return Err(Errno::EINVAL);
        };
        self.source.set_process_text(process, thread, text, data)?;
        Ok(data.len())
    }

    fn append(&self, data: &[u8]) -> Result<(u64, usize)> {
        Ok((0, self.write_at(0, data)?))
    }
}

//! Files whose text the kernel makes.

use alloc::sync::Arc;
use alloc::vec::Vec;

use locks::Mutex;
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

/// One open file: a read from the beginning has the text made, and those behind it go on in that one.
struct Opened {
    metadata: Metadata,
    /// What there is to read behind the beginning.
    text: Mutex<Option<Arc<Vec<u8>>>>,
    source: Arc<dyn Source>,
    subject: Subject,
}

impl Subject {
    /// Whether only those may read it who may look into its process.
    const fn is_guarded(self) -> bool {
        match self {
            Self::System(_) => false,
            Self::Process(.., text) => text.is_guarded(),
            Self::Descriptor(..) => true,
        }
    }

    fn text(self, source: &dyn Source) -> Result<Vec<u8>> {
        match self {
            Self::System(text) => source.system_text(text),
            Self::Process(process, thread, text) => source.process_text(process, thread, text),
            Self::Descriptor(process, descriptor) => source.descriptor_text(process, descriptor),
        }
    }
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
        let mut text = None;
        if self.subject.is_guarded() {
            if let Subject::Process(process, ..) | Subject::Descriptor(process, _) = self.subject {
                self.source.check_look_into(process)?;
            }
            // Who gets the open file from somebody who may see this sees it, too.
            text = Some(Arc::new(self.subject.text(&*self.source)?));
        }
        Ok(Some(Arc::new(Opened {
            metadata: self.metadata()?,
            text: Mutex::new(text),
            source: self.source.clone(),
            subject: self.subject,
        })))
    }

    /// A text is made anew each time it is read, so there is nothing to take away.
    fn truncate(&self, _size_bytes: u64) -> Result<()> {
        Ok(())
    }
}

impl Opened {
    /// The text to read at `offset`.
    fn text(&self, offset: u64) -> Result<Arc<Vec<u8>>> {
        let kept = self.text.lock().clone();
        if let Some(kept) = kept
            && (offset > 0 || !self.may_make())
        {
            return Ok(kept);
        }
        // Not locked meanwhile: what makes it may wait, for memory or for a lock.
        let text = Arc::new(self.subject.text(&*self.source)?);
        *self.text.lock() = Some(text.clone());
        Ok(text)
    }

    /// Whether a text may be made for who reads now. Otherwise they see the one of who opened the file.
    fn may_make(&self) -> bool {
        match self.subject {
            // Its text tells an offset, which is locked while somebody reads by it: perhaps this one.
            Subject::Descriptor(..) => false,
            Subject::Process(process, _, text) if text.is_guarded() => {
                self.source.check_look_into(process).is_ok()
            }
            Subject::System(_) | Subject::Process(..) => true,
        }
    }
}

impl Inode for Opened {
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
        let text = self.text(offset)?;
        let start = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(text.len());
        let text = &text[start..];
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

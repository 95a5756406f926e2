//! What happens to files, for whoever watches them (inotify(7)).

use bitflags::bitflags;

use crate::dentry::Dentry;
use crate::{AttributeChange, FileId, FileType, Location};

bitflags! {
    /// What happened, in the bits of inotify.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Event: u32 {
        /// It was read.
        const ACCESS = 0x1;
        /// It was written to, or its size was set.
        const MODIFY = 0x2;
        /// Its attributes were changed.
        const ATTRIBUTES = 0x4;
        /// It was closed by somebody who could write.
        const CLOSE_WRITE = 0x8;
        /// It was closed by somebody who could not.
        const CLOSE_NO_WRITE = 0x10;
        /// It was opened.
        const OPEN = 0x20;
        /// A name was moved away from a directory.
        const MOVED_FROM = 0x40;
        /// A name was moved to a directory.
        const MOVED_TO = 0x80;
        /// A name was made in a directory.
        const CREATE = 0x100;
        /// A name was removed from a directory.
        const DELETE = 0x200;
        /// It is gone.
        const DELETE_SELF = 0x400;
        /// It has another name.
        const MOVE_SELF = 0x800;
        /// It is about a directory.
        const IS_DIRECTORY = 0x4000_0000;
    }
}

/// Something that happened to a file.
#[derive(Clone, Copy, Debug)]
pub struct Occurrence<'a> {
    /// The file, or the directory where it has a name.
    pub file: FileId,
    /// The name, where `file` is the directory.
    pub name: Option<&'a [u8]>,
    /// What happened.
    pub event: Event,
    /// What the two halves of a move have in common; 0 for all else.
    pub cookie: u32,
    /// Whether the name was removed before.
    pub is_unlinked: bool,
}

/// Somebody who is told what happens to the files of a file system.
///
/// It is called with no lock of a file held, and must not use the file system.
pub trait EventObserver: Send + Sync {
    /// Whether nobody wants to know anything.
    fn is_idle(&self) -> bool;

    /// Something happened.
    fn happened(&self, occurrence: &Occurrence<'_>);
}

impl Location {
    /// Has what happens to the files of this file system told. The first observer stays.
    pub fn watch_events(&self, observer: alloc::sync::Arc<dyn EventObserver>) {
        let place = &self.dentry.super_block.events;
        place.call_once(|| observer);
    }

    /// Something happened to the file: who watches it, or the directory of its name, is told.
    pub(crate) fn tell(&self, event: Event) {
        self.tell_as(event, || self.dentry.is_deleted());
    }

    /// Attributes or the size were changed: they are the file's, whatever became of its name.
    pub(crate) fn tell_of_inode(&self, event: Event) {
        self.tell_as(event, || false);
    }

    fn tell_as(&self, event: Event, is_unlinked: impl FnOnce() -> bool) {
        if let Some(observer) = self.dentry.observer() {
            let is_unlinked = is_unlinked();
            let event = event | about(self.kind());
            if let Some(directory) = self.dentry.parent() {
                let name = self.dentry.name();
                directory.tell_of(observer, &name, event, 0, is_unlinked);
            }
            self.dentry.tell_itself(observer, event, is_unlinked);
        }
    }

    /// Something happened to the file, which is no business of its directory.
    pub(crate) fn tell_alone(&self, event: Event) {
        if let Some(observer) = self.dentry.observer() {
            self.dentry.tell_self(observer, event | about(self.kind()));
        }
    }

    /// Something happened to a name in this directory.
    pub(crate) fn tell_name(&self, name: &[u8], kind: FileType, event: Event, cookie: u32) {
        if let Some(observer) = self.dentry.observer() {
            let event = event | about(kind);
            self.dentry.tell_of(observer, name, event, cookie, false);
        }
    }

    /// Attributes of the file were changed.
    pub(crate) fn tell_change(&self, change: &AttributeChange) {
        if *change == AttributeChange::default() {
            return;
        }
        let is_attribute = change.mode.is_some() || change.user.is_some() || change.group.is_some();
        let event = match (change.accessed, change.modified) {
            (Some(_), None) if !is_attribute => Event::ACCESS,
            (None, Some(_)) if !is_attribute => Event::MODIFY,
            _ => Event::ATTRIBUTES,
        };
        self.tell_of_inode(event);
    }
}

const fn about(kind: FileType) -> Event {
    if matches!(kind, FileType::Directory) {
        Event::IS_DIRECTORY
    } else {
        Event::empty()
    }
}

impl Dentry {
    /// Who wants to know of what happens in the file system, if anybody does.
    pub(crate) fn observer(&self) -> Option<&dyn EventObserver> {
        let observer = self.super_block.events.get()?;
        (!observer.is_idle()).then_some(&**observer)
    }

    pub(crate) fn tell_self(&self, observer: &dyn EventObserver, event: Event) {
        self.tell_itself(observer, event, false);
    }

    fn tell_itself(&self, observer: &dyn EventObserver, event: Event, is_unlinked: bool) {
        if let Some(file) = self.file_id() {
            observer.happened(&Occurrence {
                file,
                name: None,
                event,
                cookie: 0,
                is_unlinked,
            });
        }
    }

    fn tell_of(
        &self,
        observer: &dyn EventObserver,
        name: &[u8],
        event: Event,
        cookie: u32,
        is_unlinked: bool,
    ) {
        if let Some(file) = self.file_id() {
            observer.happened(&Occurrence {
                file,
                name: Some(name),
                event,
                cookie,
                is_unlinked,
            });
        }
    }

    fn file_id(&self) -> Option<FileId> {
        Some(FileId {
            device: self.super_block.device.to_u64(),
            inode: self.inode.metadata().ok()?.inode,
        })
    }
}

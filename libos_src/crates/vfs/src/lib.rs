//! The virtual file system of the LibOS.
//!
//! A [`FileSystem`] is a tree of [`Inode`]s. A [`Namespace`] mounts file systems on one another; a
//! [`Viewpoint`] (the root, working directory and credentials of a process) resolves paths in it and
//! performs the operations that take a path; an [`OpenFile`] is what a descriptor refers to.
//!
//! Nothing here waits: an operation that cannot go on says `EAGAIN`, and the kernel parks the thread
//! until the file's [`Watchers`] are told that [`Inode::readiness`] may have changed. Nothing here trusts a file system to check its caller: name
//! lengths, read-only mounts, file types, ancestors and permissions are checked before it is asked.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod anonymous;
mod capabilities;
mod content;
mod credentials;
mod dentry;
mod event;
mod extended;
mod file_system;
mod inode;
mod location;
mod metadata;
mod name;
mod namespace;
mod observer;
mod open_file;
mod open_flags;
mod pseudo;
mod rename;
mod transfer;
mod viewpoint;
mod walk;
mod watch;
mod writing;

pub use abi::errno::Errno;
pub use capabilities::Capabilities;
pub use content::ContentId;
pub use credentials::{Access, Credentials};
pub use event::{Event, EventObserver, Occurrence};
pub use extended::{
    ATTRIBUTE_LIST_MAX_BYTES, ATTRIBUTE_VALUE_MAX_BYTES, CAPABILITY_ATTRIBUTE, FileCapabilities,
};
pub use file_system::{FileSystem, SizeLimits, Statistics};
pub use inode::{
    Allocation, AttributeSet, DirectoryEntry, DirectorySink, Inode, NewNode, Readiness,
    RenameFlags, SinkState,
};
pub use location::Location;
pub use metadata::{
    AttributeChange, Clock, DeviceNumber, FileType, InodeFlags, Metadata, Mode, Timestamp,
};
pub use name::{NAME_MAX_BYTES, Name, PATH_MAX_BYTES};
pub use namespace::{MOUNTS_MAX, Mount, MountFlags, Namespace, SpecialFiles};
pub use observer::{ContentObserver, FileId};
pub use open_file::{OpenFile, SeekFrom};
pub use open_flags::OpenFlags;
pub use pseudo::{StaticDirectory, StaticLink};
pub use transfer::{CHUNK_BYTES, Sink, Source, put_each, read_through, write_through};
pub use viewpoint::Viewpoint;
pub use walk::{Follow, LastComponent, Parent, Restrictions, SYMLINK_FOLLOW_MAX};
pub use watch::{Watcher, Watchers};
pub use writing::{Openers, Unwritten, Uses};

/// What every operation of a file system gives: a value or a Linux error number.
pub type Result<T, E = Errno> = core::result::Result<T, E>;

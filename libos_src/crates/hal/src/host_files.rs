//! Files of the untrusted host.

use alloc::vec::Vec;

use abi::errno::Errno;
pub use abi::host_files::{HostChange, HostSizes, HostStatus};

/// Directories of the host, through the runner.
///
/// The caller chooses the handles: a handle stands for one file from the call that takes it as `new`
/// until [`HostFiles::close`]. Every reply is range-checked (a length is at most what was asked for,
/// an error is one that the call may give); what it *says* is the host's word, and for the caller to
/// judge.
pub trait HostFiles: Sync {
    /// The directory that a mount of the sealed configuration names.
    fn root(&self, source: &[u8], new: u32) -> Result<HostStatus, Errno>;
    /// An entry of a directory; a symbolic link itself.
    fn look_up(&self, directory: u32, name: &[u8], new: u32) -> Result<HostStatus, Errno>;
    /// Lets go of a handle.
    fn close(&self, handle: u32);
    /// The present attributes.
    fn status(&self, handle: u32) -> Result<HostStatus, Errno>;
    /// Makes a regular file ready for reading, and for writing if that is wanted.
    fn open(&self, handle: u32, is_written: bool) -> Result<(), Errno>;
    /// Reads. Fewer bytes than asked for mean the end of the file, or that the host gives no more.
    fn read(&self, handle: u32, offset: u64, bytes: &mut [u8]) -> Result<usize, Errno>;
    /// Writes; may write less than asked for.
    fn write(&self, handle: u32, offset: u64, bytes: &[u8]) -> Result<usize, Errno>;
    /// Sets the size.
    fn truncate(&self, handle: u32, size_bytes: u64) -> Result<(), Errno>;
    /// Makes a file durable, as far as one believes the host.
    fn synchronize(&self, handle: u32) -> Result<(), Errno>;
    /// Some entries of a directory after `cookie`, none at the end, in the form of
    /// [`abi::host_files::HostEntry`].
    fn list(&self, directory: u32, cookie: u64) -> Result<Vec<u8>, Errno>;
    /// Makes a regular file, directory or symbolic link: `mode` has the type and permission bits of
    /// `st_mode`, which count whatever the runner's umask.
    fn create(
        &self,
        directory: u32,
        name: &[u8],
        mode: u32,
        link_target: &[u8],
        new: u32,
    ) -> Result<HostStatus, Errno>;
    /// Adds a name.
    fn link(&self, directory: u32, name: &[u8], target: u32) -> Result<(), Errno>;
    /// Removes a name.
    fn remove(&self, directory: u32, name: &[u8], is_directory: bool) -> Result<(), Errno>;
    /// Moves a name, with the flags of `renameat2`.
    fn rename(&self, from: (u32, &[u8]), to: (u32, &[u8]), flags: u32) -> Result<(), Errno>;
    /// The target of a symbolic link.
    fn read_link(&self, handle: u32) -> Result<Vec<u8>, Errno>;
    /// Changes attributes.
    fn change(&self, handle: u32, change: &HostChange) -> Result<(), Errno>;
    /// Sizes of the file system.
    fn sizes(&self, handle: u32) -> Result<HostSizes, Errno>;
}

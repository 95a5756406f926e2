//! Files of the host. Their replies are judged here as far as their form goes: a length that was asked
//! for, an error that the call may give. What they say is judged by crate `hostfs`.

use alloc::vec;
use alloc::vec::Vec;

use abi::{
    Errno,
    host_files::{HostChange, HostSizes, HostStatus},
    ocall::Ocall,
};

use hal::HostFiles;

use crate::{Host, Post};

/// Errors that calls on files of the host may give.
const ERRORS: [Errno; 24] = [
    Errno::EACCES,
    Errno::EBUSY,
    Errno::EDQUOT,
    Errno::EEXIST,
    Errno::EFBIG,
    Errno::EINVAL,
    Errno::EIO,
    Errno::EISDIR,
    Errno::ELOOP,
    Errno::EMFILE,
    Errno::EMLINK,
    Errno::ENAMETOOLONG,
    Errno::ENFILE,
    Errno::ENOENT,
    Errno::ENOMEM,
    Errno::ENOSPC,
    Errno::ENOTDIR,
    Errno::ENOTEMPTY,
    Errno::ENXIO,
    Errno::EOPNOTSUPP,
    Errno::EPERM,
    Errno::EROFS,
    Errno::ETXTBSY,
    Errno::EXDEV,
];

/// Longest target of a symbolic link.
const TARGET_MAX_BYTES: usize = 4096;
/// Most bytes of a listing.
const LISTING_MAX_BYTES: usize = 32 * 1024;

impl<P: Post> Host<P> {
    /// Puts texts one behind the other into the buffer.
    fn put(&self, texts: &[&[u8]]) -> Result<(), Errno> {
        let bytes = texts.concat();
        if bytes.len() > self.post.capacity_bytes() {
            return Err(Errno::ENAMETOOLONG);
        }
        self.post.put(&bytes);
        Ok(())
    }

    fn file_command(&self, call: Ocall, arguments: &[u64]) -> Result<(), Errno> {
        self.command(call, arguments, &ERRORS)
    }

    fn take<const SIZE: usize>(&self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        self.post.take(&mut bytes);
        bytes
    }

    /// A call that leaves a status in the buffer.
    fn status_by(&self, call: Ocall, arguments: &[u64]) -> Result<HostStatus, Errno> {
        self.file_command(call, arguments)?;
        Ok(HostStatus::from_bytes(&self.take()))
    }

    /// A call that leaves at most `room` bytes in the buffer and replies how many.
    fn bytes_by(&self, call: Ocall, arguments: &[u64], room: usize) -> Result<Vec<u8>, Errno> {
        let length = self.call(call, arguments, room as u64, &ERRORS)?;
        let mut bytes = vec![0; length as usize];
        self.post.take(&mut bytes);
        Ok(bytes)
    }
}

impl<P: Post + Sync> HostFiles for Host<P> {
    fn root(&self, source: &[u8], new: u32) -> Result<HostStatus, Errno> {
        self.put(&[source])?;
        let arguments = [u64::from(new), source.len() as u64];
        self.status_by(Ocall::HostRoot, &arguments)
    }

    fn look_up(&self, directory: u32, name: &[u8], new: u32) -> Result<HostStatus, Errno> {
        self.put(&[name])?;
        let arguments = [directory.into(), name.len() as u64, new.into()];
        self.status_by(Ocall::HostLookUp, &arguments)
    }

    fn close(&self, handle: u32) {
        let _ = self.file_command(Ocall::HostClose, &[handle.into()]);
    }

    fn status(&self, handle: u32) -> Result<HostStatus, Errno> {
        self.status_by(Ocall::HostStatus, &[handle.into()])
    }

    fn open(&self, handle: u32, is_written: bool) -> Result<(), Errno> {
        let arguments = [handle.into(), is_written.into()];
        self.file_command(Ocall::HostOpen, &arguments)
    }

    fn read(&self, handle: u32, offset: u64, bytes: &mut [u8]) -> Result<usize, Errno> {
        let wanted = bytes.len().min(self.post.capacity_bytes());
        let arguments = [handle.into(), offset, wanted as u64];
        let got = self.call(Ocall::HostRead, &arguments, wanted as u64, &ERRORS)? as usize;
        self.post.take(bytes.get_mut(..got).ok_or(Errno::EIO)?);
        Ok(got)
    }

    fn write(&self, handle: u32, offset: u64, bytes: &[u8]) -> Result<usize, Errno> {
        let length = bytes.len().min(self.post.capacity_bytes());
        self.post.put(bytes.get(..length).ok_or(Errno::EIO)?);
        let arguments = [handle.into(), offset, length as u64];
        let done = self.call(Ocall::HostWrite, &arguments, length as u64, &ERRORS)?;
        Ok(done as usize)
    }

    fn truncate(&self, handle: u32, size_bytes: u64) -> Result<(), Errno> {
        self.file_command(Ocall::HostTruncate, &[handle.into(), size_bytes])
    }

    fn synchronize(&self, handle: u32) -> Result<(), Errno> {
        self.file_command(Ocall::HostSync, &[handle.into()])
    }

    fn list(&self, directory: u32, cookie: u64) -> Result<Vec<u8>, Errno> {
        let room = LISTING_MAX_BYTES.min(self.post.capacity_bytes());
        let arguments = [directory.into(), cookie, room as u64];
        self.bytes_by(Ocall::HostList, &arguments, room)
    }

    fn create(
        &self,
        directory: u32,
        name: &[u8],
        mode: u32,
        link_target: &[u8],
        new: u32,
    ) -> Result<HostStatus, Errno> {
        self.put(&[name, link_target])?;
        let arguments = [
            directory.into(),
            name.len() as u64,
            new.into(),
            mode.into(),
            link_target.len() as u64,
        ];
        self.status_by(Ocall::HostCreate, &arguments)
    }

    fn link(&self, directory: u32, name: &[u8], target: u32) -> Result<(), Errno> {
        self.put(&[name])?;
        let arguments = [directory.into(), name.len() as u64, target.into()];
        self.file_command(Ocall::HostLink, &arguments)
    }

    fn remove(&self, directory: u32, name: &[u8], is_directory: bool) -> Result<(), Errno> {
        self.put(&[name])?;
        let arguments = [directory.into(), name.len() as u64, is_directory.into()];
        self.file_command(Ocall::HostRemove, &arguments)
    }

    fn rename(&self, from: (u32, &[u8]), to: (u32, &[u8]), flags: u32) -> Result<(), Errno> {
        self.put(&[from.1, to.1])?;
        let arguments = [
            from.0.into(),
            from.1.len() as u64,
            to.0.into(),
            to.1.len() as u64,
            flags.into(),
        ];
        self.file_command(Ocall::HostRename, &arguments)
    }

    fn read_link(&self, handle: u32) -> Result<Vec<u8>, Errno> {
        let arguments = [handle.into(), TARGET_MAX_BYTES as u64];
        self.bytes_by(Ocall::HostReadLink, &arguments, TARGET_MAX_BYTES)
    }

    fn change(&self, handle: u32, change: &HostChange) -> Result<(), Errno> {
        self.post.put(&change.to_bytes());
        self.file_command(Ocall::HostChange, &[handle.into()])
    }

    fn sizes(&self, handle: u32) -> Result<HostSizes, Errno> {
        self.file_command(Ocall::HostSizes, &[handle.into()])?;
        Ok(HostSizes::from_bytes(&self.take()))
    }
}

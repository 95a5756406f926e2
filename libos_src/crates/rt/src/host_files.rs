//! Files of the host. Every reply is judged here as far as its form goes: a length that was asked for,
//! an error that the call may give.

use alloc::vec;
use alloc::vec::Vec;

use abi::{
    Errno,
    host_files::{HostChange, HostSizes, HostStatus},
    ocall::Ocall,
};

use crate::mailbox::Mailbox;

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

/// The host's files.
pub(crate) struct Files;

fn mailbox() -> Result<Mailbox, Errno> {
    Mailbox::current().ok_or(Errno::EIO)
}

/// Puts texts one behind the other into the buffer.
fn put(mailbox: &Mailbox, texts: &[&[u8]]) -> Result<(), Errno> {
    let bytes = texts.concat();
    if bytes.len() > mailbox.capacity_bytes() {
        return Err(Errno::ENAMETOOLONG);
    }
    mailbox.put(&bytes);
    Ok(())
}

fn command(mailbox: &Mailbox, call: Ocall, arguments: &[u64]) -> Result<(), Errno> {
    mailbox.call(call, arguments, 0, &ERRORS).map(drop)
}

fn take<const SIZE: usize>(mailbox: &Mailbox) -> [u8; SIZE] {
    let mut bytes = [0; SIZE];
    mailbox.take(&mut bytes);
    bytes
}

/// A call that leaves a status in the buffer.
fn status_by(mailbox: &Mailbox, call: Ocall, arguments: &[u64]) -> Result<HostStatus, Errno> {
    command(mailbox, call, arguments)?;
    Ok(HostStatus::from_bytes(&take(mailbox)))
}

/// A call that leaves at most `room` bytes in the buffer and replies how many.
fn bytes_by(
    mailbox: &Mailbox,
    call: Ocall,
    arguments: &[u64],
    room: usize,
) -> Result<Vec<u8>, Errno> {
    let length = mailbox.call(call, arguments, room as u64, &ERRORS)?;
    let mut bytes = vec![0; length as usize];
    mailbox.take(&mut bytes);
    Ok(bytes)
}

impl hal::HostFiles for Files {
    fn root(&self, source: &[u8], new: u32) -> Result<HostStatus, Errno> {
        let mailbox = mailbox()?;
        put(&mailbox, &[source])?;
        let arguments = [u64::from(new), source.len() as u64];
        status_by(&mailbox, Ocall::HostRoot, &arguments)
    }

    fn look_up(&self, directory: u32, name: &[u8], new: u32) -> Result<HostStatus, Errno> {
        let mailbox = mailbox()?;
        put(&mailbox, &[name])?;
        let arguments = [directory.into(), name.len() as u64, new.into()];
        status_by(&mailbox, Ocall::HostLookUp, &arguments)
    }

    fn close(&self, handle: u32) {
        if let Ok(mailbox) = mailbox() {
            let _ = command(&mailbox, Ocall::HostClose, &[handle.into()]);
        }
    }

    fn status(&self, handle: u32) -> Result<HostStatus, Errno> {
        status_by(&mailbox()?, Ocall::HostStatus, &[handle.into()])
    }

    fn open(&self, handle: u32, is_written: bool) -> Result<(), Errno> {
        let arguments = [handle.into(), is_written.into()];
        command(&mailbox()?, Ocall::HostOpen, &arguments)
    }

    fn read(&self, handle: u32, offset: u64, bytes: &mut [u8]) -> Result<usize, Errno> {
        let mailbox = mailbox()?;
        let wanted = bytes.len().min(mailbox.capacity_bytes());
        let arguments = [handle.into(), offset, wanted as u64];
        let got = mailbox.call(Ocall::HostRead, &arguments, wanted as u64, &ERRORS)? as usize;
        mailbox.take(bytes.get_mut(..got).ok_or(Errno::EIO)?);
        Ok(got)
    }

    fn write(&self, handle: u32, offset: u64, bytes: &[u8]) -> Result<usize, Errno> {
        let mailbox = mailbox()?;
        let length = bytes.len().min(mailbox.capacity_bytes());
        mailbox.put(bytes.get(..length).ok_or(Errno::EIO)?);
        let arguments = [handle.into(), offset, length as u64];
        let done = mailbox.call(Ocall::HostWrite, &arguments, length as u64, &ERRORS)?;
        Ok(done as usize)
    }

    fn truncate(&self, handle: u32, size_bytes: u64) -> Result<(), Errno> {
        command(
            &mailbox()?,
            Ocall::HostTruncate,
            &[handle.into(), size_bytes],
        )
    }

    fn synchronize(&self, handle: u32) -> Result<(), Errno> {
        command(&mailbox()?, Ocall::HostSync, &[handle.into()])
    }

    fn list(&self, directory: u32, cookie: u64) -> Result<Vec<u8>, Errno> {
        let mailbox = mailbox()?;
        let room = LISTING_MAX_BYTES.min(mailbox.capacity_bytes());
        let arguments = [directory.into(), cookie, room as u64];
        bytes_by(&mailbox, Ocall::HostList, &arguments, room)
    }

    fn create(
        &self,
        directory: u32,
        name: &[u8],
        mode: u32,
        link_target: &[u8],
        new: u32,
    ) -> Result<HostStatus, Errno> {
        let mailbox = mailbox()?;
        put(&mailbox, &[name, link_target])?;
        let arguments = [
            directory.into(),
            name.len() as u64,
            new.into(),
            mode.into(),
            link_target.len() as u64,
        ];
        status_by(&mailbox, Ocall::HostCreate, &arguments)
    }

    fn link(&self, directory: u32, name: &[u8], target: u32) -> Result<(), Errno> {
        let mailbox = mailbox()?;
        put(&mailbox, &[name])?;
        let arguments = [directory.into(), name.len() as u64, target.into()];
        command(&mailbox, Ocall::HostLink, &arguments)
    }

    fn remove(&self, directory: u32, name: &[u8], is_directory: bool) -> Result<(), Errno> {
        let mailbox = mailbox()?;
        put(&mailbox, &[name])?;
        let arguments = [directory.into(), name.len() as u64, is_directory.into()];
        command(&mailbox, Ocall::HostRemove, &arguments)
    }

    fn rename(&self, from: (u32, &[u8]), to: (u32, &[u8]), flags: u32) -> Result<(), Errno> {
        let mailbox = mailbox()?;
        put(&mailbox, &[from.1, to.1])?;
        let arguments = [
            from.0.into(),
            from.1.len() as u64,
            to.0.into(),
            to.1.len() as u64,
            flags.into(),
        ];
        command(&mailbox, Ocall::HostRename, &arguments)
    }

    fn read_link(&self, handle: u32) -> Result<Vec<u8>, Errno> {
        let arguments = [handle.into(), TARGET_MAX_BYTES as u64];
        bytes_by(
            &mailbox()?,
            Ocall::HostReadLink,
            &arguments,
            TARGET_MAX_BYTES,
        )
    }

    fn change(&self, handle: u32, change: &HostChange) -> Result<(), Errno> {
        let mailbox = mailbox()?;
        mailbox.put(&change.to_bytes());
        command(&mailbox, Ocall::HostChange, &[handle.into()])
    }

    fn sizes(&self, handle: u32) -> Result<HostSizes, Errno> {
        let mailbox = mailbox()?;
        command(&mailbox, Ocall::HostSizes, &[handle.into()])?;
        Ok(HostSizes::from_bytes(&take(&mailbox)))
    }
}

//! `ioctl`.

use alloc::vec;

use hal::Errno;
use vfs::{FileType, OpenFlags};

use super::argument::Address;
use super::call::{Call, Outcome};
use super::file_flags::{self, FlagsRequest};
use super::file_requests::{self, FileRequest};
use super::{host_terminal, notices, pseudo_terminal, random_requests};
use crate::files::{HostStream, Inotify, PipeEnd};
use crate::sockets::Socket;
use crate::terminals::End as TerminalEnd;

const SIOCOUTQ: u32 = 0x5411;
const FIONREAD: u32 = 0x541b;
const FIONBIO: u32 = 0x5421;
const FIOASYNC: u32 = 0x5452;
const FIONCLEX: u32 = 0x5450;
const FIOSETOWN: u32 = 0x8901;
const SIOCSPGRP: u32 = 0x8902;
const FIOGETOWN: u32 = 0x8903;
const SIOCGPGRP: u32 = 0x8904;
const FIOCLEX: u32 = 0x5451;
/// No device of ours has a larger argument.
const ARGUMENT_MAX_BYTES: usize = 4096;

/// `ioctl(2)`: requests about any descriptor here, those of a device at the device.
pub(super) fn ioctl(call: &mut Call<'_>, fd: i32, request: u32, argument: u64) -> Outcome {
    let file = call.file(fd)?;
    match request {
        FIOCLEX | FIONCLEX => {
            let mut descriptors = call.task.places.files.write();
            descriptors.get_mut(fd)?.is_closed_on_exec = request == FIOCLEX;
            return Ok(0);
        }
        FIONBIO | FIOASYNC => {
            let is_set = call.memory().read::<i32>(argument)? != 0;
            let flag = if request == FIONBIO {
                OpenFlags::NON_BLOCKING
            } else {
                OpenFlags::ASYNC
            };
            let mut flags = file.flags();
            flags.set(flag, is_set);
            notices::set_flags(call, fd, &file, flags)?;
            return Ok(0);
        }
        FIOSETOWN | SIOCSPGRP => {
            let id = call.memory().read(argument)?;
            notices::set_owner(call, &file, id)?;
            return Ok(0);
        }
        FIOGETOWN | SIOCGPGRP => return notices::write_owner(call, &file, Address(argument)),
        _ if let Some(request) = FlagsRequest::from_number(request) => {
            return file_flags::control(call, file.location(), request, Address(argument));
        }
        _ if let Some(request) = FileRequest::from_number(request) => {
            return file_requests::control(call, &file, request, argument);
        }
        _ if random_requests::is_random(&file) => {
            return random_requests::control(call, request, argument);
        }
        _ if let Some(stream) = HostStream::behind(&file)
            && stream.is_terminal() =>
        {
            return host_terminal::control(call, &file, stream, request, argument);
        }
        _ if let Some(end) = TerminalEnd::behind(&file) => {
            return pseudo_terminal::control(call, &file, end, request, argument);
        }
        FIONREAD if file.location().kind() == FileType::Regular => {
            let offset = file.seek(vfs::SeekFrom::Current(0))?;
            let left = file.metadata()?.size_bytes.saturating_sub(offset);
            let left = i32::try_from(left).unwrap_or(i32::MAX);
            call.memory().write(argument, &left)?;
            return Ok(0);
        }
        FIONREAD if let Some(end) = PipeEnd::behind(&file) => {
            let len = i32::try_from(end.len()).unwrap_or(i32::MAX);
            call.memory().write(argument, &len)?;
            return Ok(0);
        }
        FIONREAD if let Some(inotify) = Inotify::behind(&file) => {
            let len = i32::try_from(inotify.len_bytes()).unwrap_or(i32::MAX);
            call.memory().write(argument, &len)?;
            return Ok(0);
        }
        FIONREAD if Socket::behind(&file).is_some_and(Socket::is_listening) => {
            return Err(Errno::EINVAL.into());
        }
        FIONREAD if let Some(socket) = Socket::behind(&file) => {
            let len = i32::try_from(socket.readable_bytes()).unwrap_or(i32::MAX);
            call.memory().write(argument, &len)?;
            return Ok(0);
        }
        SIOCOUTQ if let Some(socket) = Socket::behind(&file) => {
            let len = i32::try_from(socket.unread()).unwrap_or(i32::MAX);
            call.memory().write(argument, &len)?;
            return Ok(0);
        }
        _ => {}
    }
    let object = file.object();
    let size = object
        .control_size_bytes(request)
        .filter(|&size| size <= ARGUMENT_MAX_BYTES);
    let mut bytes = vec![0; size.ok_or(Errno::ENOTTY)?];
    // Some requests only write: what cannot be read is zero, and fails below if it must be written.
    if call.memory().copy_in(argument, &mut bytes).is_err() {
        bytes.fill(0);
    }
    let value = object.control(request, &mut bytes)?;
    call.memory().copy_out(argument, &bytes)?;
    Ok(value)
}

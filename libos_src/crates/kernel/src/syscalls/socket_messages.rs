//! Sending and receiving on sockets.

use alloc::sync::Arc;
use alloc::vec::Vec;

use hal::Errno;
use vfs::{Capabilities, OpenFile, OpenFlags, Readiness};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::argument::Address;
use super::buffers::Buffers;
use super::call::{Call, Outcome, Stop};
use super::records::{Time, Vector};
use super::sockets::ADDRESS_MAX_BYTES;
use crate::files::Descriptor;
use crate::processes::{Ids, Limits};
use crate::sockets::{self, Identity, Kind, Outgoing, Received, Receiving, Socket, Target};
use crate::threads::{Deadline, duration_of};

const MSG_OOB: u32 = 0x1;
const MSG_PEEK: u32 = 0x2;
const MSG_CTRUNC: u32 = 0x8;
const MSG_TRUNC: u32 = 0x20;
const MSG_DONTWAIT: u32 = 0x40;
const MSG_WAITALL: u32 = 0x100;
const MSG_NOSIGNAL: u32 = 0x4000;
const MSG_WAITFORONE: u32 = 0x1_0000;
const MSG_CMSG_CLOEXEC: u32 = 0x4000_0000;

const SOL_SOCKET: i32 = 1;
const SCM_RIGHTS: i32 = 1;
const SCM_CREDENTIALS: i32 = 2;
/// `SCM_MAX_FD`.
const RIGHTS_MAX: usize = 253;
/// Control data beyond this is refused, as Linux's `optmem_max`.
const CONTROL_MAX_BYTES: u64 = 131_072;
/// `struct cmsghdr`, and the alignment of what follows.
const CONTROL_HEADER_BYTES: usize = 16;
const CONTROL_ALIGN: usize = 8;
/// `UIO_MAXIOV`, the most messages of one call.
const MESSAGES_MAX: u32 = 1024;

/// `struct msghdr`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct MessageRecord {
    name: u64,
    name_len: u32,
    padding: u32,
    vectors: u64,
    vector_count: u64,
    control: u64,
    control_len: u64,
    flags: u32,
    more_padding: u32,
}

/// `struct mmsghdr`.
const MANY_RECORD_BYTES: u64 = size_of::<MessageRecord>() as u64 + 8;
const _: () = assert!(size_of::<MessageRecord>() == 56);

/// `sendto(2)`.
pub(super) fn sendto(
    call: &mut Call<'_>,
    fd: i32,
    buffer: Address,
    len: u64,
    flags: u32,
    name: Address,
    name_len: u32,
) -> Outcome {
    let file = call.file(fd)?;
    let vectors = [Vector::new(buffer, len)];
    if !name.is_null() && name_len > ADDRESS_MAX_BYTES {
        return Err(Errno::EINVAL.into());
    }
    let outgoing = outgoing(call, &file, Vec::new(), None)?;
    send(call, &file, &vectors, (name, name_len), outgoing, flags)
}

/// `write(2)` of a socket where it is told who sends.
pub(super) fn write(call: &Call<'_>, file: &OpenFile, vectors: &[Vector]) -> Outcome {
    let outgoing = outgoing(call, file, Vec::new(), None)?;
    send(call, file, vectors, (Address(0), 0), outgoing, 0)
}

/// `sendmsg(2)`.
pub(super) fn sendmsg(call: &mut Call<'_>, fd: i32, message: Address, flags: u32) -> Outcome {
    let file = call.file(fd)?;
    send_message(call, &file, message, flags)
}

/// `sendmmsg(2)`.
pub(super) fn sendmmsg(
    call: &mut Call<'_>,
    fd: i32,
    messages: Address,
    count: u32,
    flags: u32,
) -> Outcome {
    let file = call.file(fd)?;
    let mut done = 0;
    for index in 0..u64::from(count.min(MESSAGES_MAX)) {
        let place = messages.0.wrapping_add(index * MANY_RECORD_BYTES);
        let sent = send_message(call, &file, Address(place), flags);
        match sent.and_then(|sent| tell_len(call, place, sent)) {
            Ok(()) => done += 1,
            Err(_) if done > 0 => break,
            Err(stop) => return Err(stop),
        }
    }
    Ok(done)
}

/// `recvfrom(2)`.
pub(super) fn recvfrom(
    call: &mut Call<'_>,
    fd: i32,
    buffer: Address,
    len: u64,
    flags: u32,
    name: Address,
    name_len: Address,
) -> Outcome {
    let file = call.file(fd)?;
    let vectors = [Vector::new(buffer, len)];
    let (received, moved) = receive(call, &file, &vectors, flags)?;
    if let Some(place) = name.non_null() {
        let room: u32 = call.memory().read(name_len.0)?;
        let written = put_sender(call, received.from.as_ref(), place, room)?;
        call.memory().write(name_len.0, &written)?;
    }
    Ok(moved)
}

/// `recvmsg(2)`.
pub(super) fn recvmsg(call: &mut Call<'_>, fd: i32, message: Address, flags: u32) -> Outcome {
    let file = call.file(fd)?;
    receive_message(call, &file, message, flags)
}

/// `recvmmsg(2)`.
pub(super) fn recvmmsg(
    call: &mut Call<'_>,
    fd: i32,
    messages: Address,
    count: u32,
    flags: u32,
    timeout: Address,
) -> Outcome {
    let file = call.file(fd)?;
    let deadline = match timeout.non_null() {
        Some(address) => {
            let time: Time = call.memory().read(address.0)?;
            let time = duration_of(time.seconds, time.fraction)?;
            Deadline::after(call.libos.machine, time)
        }
        None => Deadline::NEVER,
    };
    Socket::behind(&file)
        .ok_or(Errno::ENOTSOCK)?
        .check_error()?;
    let mut flags = flags;
    let mut done = 0;
    for index in 0..u64::from(count.min(MESSAGES_MAX)) {
        let place = messages.0.wrapping_add(index * MANY_RECORD_BYTES);
        let moved = receive_message(call, &file, Address(place), flags & !MSG_WAITFORONE);
        match moved.and_then(|moved| tell_len(call, place, moved)) {
            Ok(()) => done += 1,
            Err(_) if done > 0 => break,
            Err(stop) => return Err(stop),
        }
        if flags & MSG_WAITFORONE != 0 {
            flags |= MSG_DONTWAIT;
        }
        // Linux looks at the time only between messages, too.
        if deadline.remaining(call.libos.machine) == Some(core::time::Duration::ZERO) {
            break;
        }
    }
    Ok(done)
}

/// Tells in a `struct mmsghdr` how many bytes its message has.
fn tell_len(call: &Call<'_>, place: u64, len: u64) -> Result<(), Stop> {
    let at = place.wrapping_add(size_of::<MessageRecord>() as u64);
    Ok(call.memory().write(at, &(len as u32))?)
}

fn send_message(call: &Call<'_>, file: &OpenFile, message: Address, flags: u32) -> Outcome {
    let message: MessageRecord = call.memory().read(message.0)?;
    let vectors = call.vectors(Address(message.vectors), message.vector_count)?;
    if message.name != 0 && message.name_len.cast_signed() < 0 {
        return Err(Errno::EINVAL.into());
    }
    if message.control_len > CONTROL_MAX_BYTES {
        return Err(Errno::ENOBUFS.into());
    }
    let control = if message.control == 0 {
        Vec::new()
    } else {
        call.memory()
            .read_bytes(message.control, message.control_len as usize)?
    };
    check_connection(file)?;
    let (files, claimed) = read_control(call, &control)?;
    let outgoing = outgoing(call, file, files, claimed)?;
    let name = (Address(message.name), message.name_len);
    send(call, file, &vectors, name, outgoing, flags)
}

/// Of a connection of packets it is asked first whether there is one.
fn check_connection(file: &OpenFile) -> Result<(), Errno> {
    let socket = Socket::behind(file).ok_or(Errno::ENOTSOCK)?;
    if socket.carries() != Kind::SequencedPacket {
        return Ok(());
    }
    socket.check_error()?;
    socket.peer_name().map(drop)
}

/// What is sent besides bytes: files, and who sends them.
fn outgoing(
    call: &Call<'_>,
    file: &OpenFile,
    files: Vec<Arc<OpenFile>>,
    claimed: Option<Identity>,
) -> Result<Outgoing, Errno> {
    Socket::behind(file).ok_or(Errno::ENOTSOCK)?;
    if !files.is_empty() {
        call.libos.sockets.collect_before_sending();
        call.check_files_in_flight()?;
    }
    Ok(Outgoing {
        sender: claimed.unwrap_or_else(|| call.identity()),
        user: call.standing().user.real,
        is_explicit: claimed.is_some(),
        files,
    })
}

/// Whether a sender may say that it is this: itself, or whoever it could become (unix(7)).
fn check_claim(call: &Call<'_>, claimed: Identity) -> Result<(), Errno> {
    const NO_ID: u32 = u32::MAX;
    if claimed.user == NO_ID || claimed.group == NO_ID {
        return Err(Errno::EINVAL);
    }
    let standing = call.standing();
    let is_one_of = |ids: Ids, id| [ids.real, ids.effective, ids.saved].contains(&id);
    let is_process = claimed.process == call.process.pid || standing.can(Capabilities::ADMINISTER);
    let is_user = is_one_of(standing.user, claimed.user) || standing.can(Capabilities::SET_USER);
    let is_group =
        is_one_of(standing.group, claimed.group) || standing.can(Capabilities::SET_GROUP);
    if !(is_process && is_user && is_group) {
        return Err(Errno::EPERM);
    }
    let processes = &call.libos.processes;
    let is_there =
        processes.get(claimed.process).is_some() || processes.of_thread(claimed.process).is_some();
    if is_there { Ok(()) } else { Err(Errno::ESRCH) }
}

impl Call<'_> {
    /// Refuses to send files for a user of whom as many are on their way as a process may have open.
    /// As on Linux it does not bind the superuser, whom the kernel's heap does.
    fn check_files_in_flight(&self) -> Result<(), Errno> {
        let standing = self.standing();
        let is_free =
            standing.can(Capabilities::OVERRIDE_LIMITS) || standing.can(Capabilities::ADMINISTER);
        let limit = self.process.limits.lock().soft(Limits::DESCRIPTORS);
        let in_flight = self.libos.sockets.in_flight_of(standing.user.real);
        if is_free || in_flight as u64 <= limit {
            Ok(())
        } else {
            Err(Errno::ETOOMANYREFS)
        }
    }
}

fn send(
    call: &Call<'_>,
    file: &OpenFile,
    vectors: &[Vector],
    (name, name_len): (Address, u32),
    outgoing: Outgoing,
    flags: u32,
) -> Outcome {
    if flags & MSG_OOB != 0 {
        return Err(Errno::EOPNOTSUPP.into());
    }
    let socket = Socket::behind(file).ok_or(Errno::ENOTSOCK)?;
    let target = call.target(socket, name, name_len)?;
    let mut buffers = Buffers::new(call.memory(), vectors);
    let mut outgoing = Some(outgoing);
    let mut done = 0;
    loop {
        let sent = call.until_able(file, Readiness::WRITABLE, flags & MSG_DONTWAIT != 0, || {
            socket.send(&target, &mut buffers, &mut outgoing)
        });
        match sent {
            Ok(count) => done += count as u64,
            // As on Linux, who is told what went is not told by a signal that the rest did not.
            Err(_) if done > 0 => return Ok(done),
            Err(stop) => {
                if flags & MSG_NOSIGNAL == 0 && socket.carries() == Kind::Stream {
                    call.after_broken_pipe(stop);
                }
                return Err(stop);
            }
        }
        if buffers.left() == 0 || socket.carries() != Kind::Stream {
            return Ok(done);
        }
        let may_wait = flags & MSG_DONTWAIT == 0 && !file.flags().contains(OpenFlags::NON_BLOCKING);
        if !may_wait {
            return Ok(done);
        }
    }
}

/// Receives into buffers. What came, and what the call returns.
fn receive(
    call: &Call<'_>,
    file: &OpenFile,
    vectors: &[Vector],
    flags: u32,
) -> Result<(Received, u64), Stop> {
    let socket = Socket::behind(file).ok_or(Errno::ENOTSOCK)?;
    let is_stream = socket.carries() == Kind::Stream;
    if socket.carries() == Kind::SequencedPacket {
        socket.peer_name()?;
    }
    if flags & MSG_OOB != 0 {
        // A stream could have some, and has none.
        return Err(if is_stream {
            Errno::EINVAL
        } else {
            Errno::EOPNOTSUPP
        }
        .into());
    }
    let how = Receiving {
        peeks: flags & MSG_PEEK != 0,
        is_at_once: flags & MSG_DONTWAIT != 0 && socket.carries() == Kind::Datagram,
        ..Receiving::default()
    };
    let mut buffers = Buffers::new(call.memory(), vectors);
    let mut total = Received::default();
    loop {
        // Who wants nothing waits for something nevertheless, as on Linux.
        if is_stream && buffers.left() == 0 && total.count > 0 {
            break;
        }
        let received =
            call.until_able(file, Readiness::READABLE, flags & MSG_DONTWAIT != 0, || {
                socket.receive(&mut buffers, how)
            });
        let received = match received {
            Err(_) if total.count > 0 => break,
            received => received?,
        };
        let count = received.count;
        if count == 0 && total.count > 0 {
            break;
        }
        total = Received {
            count: total.count + count,
            whole: total.whole + received.whole,
            ..received
        };
        let wants_more = is_stream && flags & MSG_WAITALL != 0 && !how.peeks;
        if !wants_more || count == 0 || total.is_apart {
            break;
        }
    }
    let moved = if flags & MSG_TRUNC != 0 && !is_stream {
        total.whole
    } else {
        total.count
    };
    let moved = moved as u64;
    Ok((total, moved))
}

fn receive_message(call: &Call<'_>, file: &OpenFile, place: Address, flags: u32) -> Outcome {
    let mut message: MessageRecord = call.memory().read(place.0)?;
    let vectors = call.vectors(Address(message.vectors), message.vector_count)?;
    let (received, moved) = receive(call, file, &vectors, flags)?;
    let socket = Socket::behind(file).ok_or(Errno::ENOTSOCK)?;
    let mut told = 0;
    if received.whole > received.count {
        told |= MSG_TRUNC;
    }
    told |= flags & MSG_CMSG_CLOEXEC;
    message.name_len = match Address(message.name).non_null() {
        Some(name) => put_sender(call, received.from.as_ref(), name, message.name_len)?,
        None => 0,
    };
    let room = if message.control == 0 {
        0
    } else {
        message.control_len
    };
    let mut control = ControlWriter {
        room: usize::try_from(room).unwrap_or(usize::MAX),
        bytes: Vec::new(),
        is_cut: false,
    };
    // Of the end of packets nothing is told, of that of a stream that nobody sent it.
    let is_told = !received.is_end || socket.carries() == Kind::Stream;
    if is_told && socket.options(|options| options.passes_credentials) {
        let nobody = if received.is_end {
            Identity::default()
        } else {
            NOBODY
        };
        let sender = received.sender.unwrap_or(nobody);
        control.put(SCM_CREDENTIALS, sender.as_bytes());
    }
    let opened = put_rights(call, &mut control, &received.files, flags);
    if call
        .memory()
        .copy_out(message.control, &control.bytes)
        .is_err()
    {
        // Nobody is told of them, so nobody would close them. As on Linux the message has come.
        close_again(call, &opened, &received.files);
        (control.bytes, control.is_cut) = (Vec::new(), true);
    }
    if control.is_cut {
        told |= MSG_CTRUNC;
    }
    message.control_len = control.bytes.len() as u64;
    message.flags = told;
    call.memory().write(place.0, &message)?;
    Ok(moved)
}

/// Who sent something before anybody asked.
const NOBODY: Identity = Identity {
    process: 0,
    user: 65534,
    group: 65534,
};

/// Opens the files that arrived, as many as the program has room to be told of; returns their numbers.
fn put_rights(
    call: &Call<'_>,
    control: &mut ControlWriter,
    files: &[Arc<OpenFile>],
    flags: u32,
) -> Vec<i32> {
    if files.is_empty() {
        return Vec::new();
    }
    let room = control.room_for_data() / size_of::<i32>();
    let mut numbers = Vec::new();
    let mut descriptors = call.task.places.files.write();
    for file in files.iter().take(room) {
        let descriptor = Descriptor {
            file: file.clone(),
            is_closed_on_exec: flags & MSG_CMSG_CLOEXEC != 0,
        };
        match descriptors.add(0, descriptor) {
            Ok(number) => numbers.push(number),
            Err(_) => break,
        }
    }
    drop(descriptors);
    control.is_cut |= numbers.len() < files.len();
    if !numbers.is_empty() {
        control.put(SCM_RIGHTS, numbers.as_bytes());
    }
    numbers
}

/// Closes descriptors that were opened for `files`, unless another thread has used the numbers since.
fn close_again(call: &Call<'_>, numbers: &[i32], files: &[Arc<OpenFile>]) {
    for (&number, file) in numbers.iter().zip(files) {
        let mut descriptors = call.task.places.files.write();
        let is_same = (descriptors.file(number)).is_ok_and(|there| Arc::ptr_eq(there, file));
        let closed = is_same.then(|| descriptors.remove(number));
        drop(descriptors);
        drop(closed);
    }
}

/// Control data on its way to a program.
struct ControlWriter {
    room: usize,
    bytes: Vec<u8>,
    is_cut: bool,
}

impl ControlWriter {
    /// How much data one more record can hold.
    const fn room_for_data(&self) -> usize {
        (self.room - self.bytes.len()).saturating_sub(CONTROL_HEADER_BYTES)
    }

    /// Adds a record, or as much of it as there is room for if that is a header at least.
    fn put(&mut self, kind: i32, data: &[u8]) {
        self.is_cut |= self.room_for_data() < data.len();
        if self.room - self.bytes.len() < CONTROL_HEADER_BYTES {
            return;
        }
        let data = &data[..data.len().min(self.room_for_data())];
        let len = (CONTROL_HEADER_BYTES + data.len()) as u64;
        self.bytes.extend(len.to_le_bytes());
        self.bytes.extend(SOL_SOCKET.to_le_bytes());
        self.bytes.extend(kind.to_le_bytes());
        self.bytes.extend(data);
        let aligned = self.bytes.len().next_multiple_of(CONTROL_ALIGN);
        self.bytes.resize(aligned.min(self.room), 0);
    }
}

/// Reads control data: the files to send, and who the sender says that it is.
fn read_control(
    call: &Call<'_>,
    mut control: &[u8],
) -> Result<(Vec<Arc<OpenFile>>, Option<Identity>), Errno> {
    let mut files = Vec::new();
    let mut claimed = None;
    while let Some((header, _)) = control.split_first_chunk::<CONTROL_HEADER_BYTES>() {
        let (len, rest) = header.split_at(8);
        let len = u64::from_le_bytes(len.try_into().map_err(|_| Errno::EINVAL)?);
        let len = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
        if len < CONTROL_HEADER_BYTES || len > control.len() {
            return Err(Errno::EINVAL);
        }
        let data = &control[CONTROL_HEADER_BYTES..len];
        let (level, kind) = rest.split_at(4);
        if level == SOL_SOCKET.to_le_bytes() {
            if kind == SCM_RIGHTS.to_le_bytes() {
                for number in data.as_chunks::<4>().0 {
                    files.push(call.file_or_path(i32::from_le_bytes(*number))?);
                }
                if files.len() > RIGHTS_MAX {
                    return Err(Errno::EINVAL);
                }
            } else if kind == SCM_CREDENTIALS.to_le_bytes() {
                let claim = Identity::read_from_bytes(data).map_err(|_| Errno::EINVAL)?;
                check_claim(call, claim)?;
                claimed = Some(claim);
            } else {
                return Err(Errno::EINVAL);
            }
        }
        let next = len.next_multiple_of(CONTROL_ALIGN).min(control.len());
        control = &control[next..];
    }
    Ok((files, claimed))
}

/// Writes an address where there is room for `room` bytes of it; returns its whole length.
pub(super) fn put_name(
    call: &Call<'_>,
    name: &sockets::Address,
    place: Address,
    room: u32,
) -> Result<u32, Errno> {
    if room.cast_signed() < 0 {
        return Err(Errno::EINVAL);
    }
    let record = name.to_record();
    let part = record.len().min(room as usize);
    call.memory().copy_out(place.0, &record[..part])?;
    Ok(record.len() as u32)
}

/// The same for a sender, of whose address there is nothing when it has none.
fn put_sender(
    call: &Call<'_>,
    from: Option<&sockets::Address>,
    place: Address,
    room: u32,
) -> Result<u32, Errno> {
    match from {
        Some(name) if *name != sockets::Address::Unnamed => put_name(call, name, place, room),
        _ if room.cast_signed() < 0 => Err(Errno::EINVAL),
        _ => Ok(0),
    }
}

impl Call<'_> {
    /// As `until_ready` for a socket, whose options may limit the time; `at_once` does not wait.
    pub(super) fn until_able<T>(
        &self,
        file: &OpenFile,
        wanted: Readiness,
        at_once: bool,
        action: impl FnMut() -> Result<T, Errno>,
    ) -> Result<T, Stop> {
        if at_once {
            self.without_waiting(file, action)
        } else {
            self.until_ready(file, wanted, action)
        }
    }

    /// To whom a message goes.
    fn target(&self, socket: &Socket, name: Address, len: u32) -> Result<Target, Errno> {
        if socket.takes_records() {
            return Err(Errno::EOPNOTSUPP);
        }
        let kind = socket.carries();
        let is_named = !name.is_null() && len != 0;
        if is_named && kind == Kind::Stream {
            return Err(if socket.is_connected() {
                Errno::EISCONN
            } else {
                Errno::EOPNOTSUPP
            });
        }
        let is_named = is_named && kind == Kind::Datagram;
        if is_named {
            self.other_name(name, len)?;
        } else if !socket.is_connected() {
            return Err(Errno::ENOTCONN);
        }
        if kind != Kind::Stream && socket.options(|it| it.passes_credentials) {
            socket.bind_automatically()?;
        }
        if !is_named {
            return Ok(Target::Peer);
        }
        socket.check_sending()?;
        self.find_socket(name, len, kind)?.as_target()
    }
}

//! Making, naming and joining sockets.

use alloc::sync::Arc;
use alloc::vec::Vec;

use hal::Errno;
use vfs::{Access, DeviceNumber, FileType, Follow, Mode, OpenFile, OpenFlags, Readiness};
use zerocopy::IntoBytes;

use super::argument::Address;
use super::call::{Call, Outcome};
use super::socket_messages::put_name;
use crate::files::Descriptor;
use crate::sockets::{
    self, FAMILY_NETLINK, FAMILY_UNIX, Identity, Kind, OptionValue, Place, Socket,
};

const SOL_SOCKET: i32 = 1;
const SOCK_TYPE_MASK: u32 = 0xf;
/// No record of an address is longer (`struct sockaddr_storage`).
pub(super) const ADDRESS_MAX_BYTES: u32 = 128;

/// `socket(2)`.
pub(super) fn socket(call: &mut Call<'_>, family: i32, kind: u32, protocol: i32) -> Outcome {
    let number = call.libos.next_inode();
    if (family, protocol) == (i32::from(FAMILY_NETLINK), 0)
        && let SOCK_RAW | SOCK_DGRAM = kind & SOCK_TYPE_MASK
    {
        let socket = Socket::for_records(&call.libos.sockets, number, call.identity());
        return call.add_socket(&socket, flags_of(kind)?);
    }
    let (kind, flags) = kind_of(call, family, kind, protocol)?;
    let socket = Socket::new(&call.libos.sockets, number, kind, call.identity());
    call.add_socket(&socket, flags)
}

/// `socketpair(2)`.
pub(super) fn socketpair(
    call: &mut Call<'_>,
    family: i32,
    kind: u32,
    protocol: i32,
    fds: Address,
) -> Outcome {
    let (kind, flags) = kind_of(call, family, kind, protocol)?;
    let make = || {
        let number = call.libos.next_inode();
        Socket::new(&call.libos.sockets, number, kind, call.identity())
    };
    let (one, other) = (make(), make());
    one.join(&other);
    let descriptors = [
        call.open_socket(&one, flags)?,
        call.open_socket(&other, flags)?,
    ];
    call.add_pair(descriptors, fds)
}

/// `bind(2)`.
pub(super) fn bind(call: &mut Call<'_>, fd: i32, name: Address, len: u32) -> Outcome {
    let file = call.file(fd)?;
    let socket = nameable(&file)?;
    let name = call.socket_name(name, len)?;
    match name {
        sockets::Address::Unnamed => socket.bind_automatically()?,
        sockets::Address::Abstract(ref bytes) => {
            let place = Place::Abstract(socket.carries(), bytes.clone());
            socket.bind(name, place, None)?;
        }
        sockets::Address::Path(ref path) => {
            let viewpoint = call.viewpoint().clone();
            let mode = Mode::from_low_bits(0o777);
            let device = DeviceNumber::default();
            let made = viewpoint.make_node(None, path, FileType::Socket, mode, device);
            let location = made.map_err(|errno| match errno {
                Errno::EEXIST => Errno::EADDRINUSE,
                errno => errno,
            })?;
            let place = Place::Inode(location.device(), location.metadata()?.inode);
            if let Err(errno) = socket.bind(name.clone(), place, Some(location)) {
                viewpoint.unlink(None, path)?;
                return Err(errno.into());
            }
        }
    }
    Ok(0)
}

/// `listen(2)`.
pub(super) fn listen(call: &mut Call<'_>, fd: i32, backlog: i32) -> Outcome {
    socket_of(&*call.file(fd)?)?.listen(backlog, call.identity())?;
    Ok(0)
}

/// `accept4(2)`.
pub(super) fn accept4(
    call: &mut Call<'_>,
    fd: i32,
    name: Address,
    name_len: Address,
    flags: u32,
) -> Outcome {
    let file = call.file(fd)?;
    let flags = OpenFlags::from_bits(flags)
        .filter(|&flags| OPEN_FLAGS.contains(flags))
        .ok_or(Errno::EINVAL)?;
    let listener = socket_of(&file)?;
    // Before a connection is taken, which would be lost then.
    call.task.places.files.read().check_free()?;
    let accepted = call.until_ready(&file, Readiness::READABLE, || listener.accept())?;
    if !name.is_null() {
        call.tell_name(&accepted.peer_name().unwrap_or_default(), name, name_len)?;
    }
    call.add_socket(&accepted, flags)
}

/// `accept(2)`.
pub(super) fn accept(call: &mut Call<'_>, fd: i32, name: Address, name_len: Address) -> Outcome {
    accept4(call, fd, name, name_len, 0)
}

/// `connect(2)`.
pub(super) fn connect(call: &mut Call<'_>, fd: i32, name: Address, len: u32) -> Outcome {
    const AF_UNSPEC: u16 = 0;
    let file = call.file(fd)?;
    let socket = nameable(&file)?;
    if len >= 2 && call.memory().read::<u16>(name.0)? == AF_UNSPEC {
        socket.disconnect()?;
        return Ok(0);
    }
    call.other_name(name, len)?;
    if socket.options(|it| it.passes_credentials) {
        socket.bind_automatically()?;
    }
    // Whom nobody accepts does not keep the listener: if that goes, the name leads elsewhere.
    call.until_ready(&file, Readiness::WRITABLE, || {
        let target = call.find_socket(name, len, socket.carries())?;
        socket.connect(&target, call.identity(), call.libos.next_inode())
    })?;
    socket.apply_options();
    Ok(0)
}

/// `shutdown(2)`.
pub(super) fn shutdown(call: &mut Call<'_>, fd: i32, how: u32) -> Outcome {
    let file = call.file(fd)?;
    let socket = socket_of(&file)?;
    let (reading, writing) = match how {
        0 => (true, false),
        1 => (false, true),
        2 => (true, true),
        _ => return Err(Errno::EINVAL.into()),
    };
    socket.shut_down(reading, writing);
    Ok(0)
}

/// `getsockname(2)`.
pub(super) fn getsockname(call: &mut Call<'_>, fd: i32, name: Address, len: Address) -> Outcome {
    let own = socket_of(&*call.file(fd)?)?.name();
    call.tell_name(&own, name, len)?;
    Ok(0)
}

/// `getpeername(2)`.
pub(super) fn getpeername(call: &mut Call<'_>, fd: i32, name: Address, len: Address) -> Outcome {
    let peer = socket_of(&*call.file(fd)?)?.peer_name()?;
    call.tell_name(&peer, name, len)?;
    Ok(0)
}

/// `setsockopt(2)`.
pub(super) fn setsockopt(
    call: &mut Call<'_>,
    fd: i32,
    level: i32,
    option: u32,
    value: Address,
    len: u32,
) -> Outcome {
    let file = call.file(fd)?;
    let socket = socket_of(&file)?;
    if len.cast_signed() < 0 {
        return Err(Errno::EINVAL.into());
    }
    if level != SOL_SOCKET {
        return Err(Errno::EOPNOTSUPP.into());
    }
    if len.cast_signed() < size_of::<i32>() as i32 {
        return Err(Errno::EINVAL.into());
    }
    let wanted = sockets::Options::size_bytes(option).ok_or(Errno::ENOPROTOOPT)?;
    if (len as usize) < wanted {
        return Err(Errno::EINVAL.into());
    }
    let value = call.memory().read_bytes(value.0, wanted)?;
    socket.options(|options| options.set(option, &value))?;
    socket.apply_options();
    Ok(0)
}

/// `getsockopt(2)`.
pub(super) fn getsockopt(
    call: &mut Call<'_>,
    fd: i32,
    level: i32,
    option: u32,
    value: Address,
    len: Address,
) -> Outcome {
    const SO_TYPE: u32 = 3;
    const SO_ERROR: u32 = 4;
    const SO_PEERCRED: u32 = 17;
    const SO_SNDLOWAT: u32 = 19;
    const SO_PEERNAME: u32 = 28;
    const SO_ACCEPTCONN: u32 = 30;
    const SO_PROTOCOL: u32 = 38;
    const SO_DOMAIN: u32 = 39;
    let file = call.file(fd)?;
    let socket = socket_of(&file)?;
    if level != SOL_SOCKET {
        return Err(Errno::EOPNOTSUPP.into());
    }
    let room: i32 = call.memory().read(len.0)?;
    let room = usize::try_from(room).map_err(|_| Errno::EINVAL)?;
    let number = |number: u32| number.to_le_bytes().to_vec();
    let bytes = match option {
        SO_TYPE => number(match socket.carries() {
            Kind::Stream => SOCK_STREAM,
            Kind::Datagram => SOCK_DGRAM,
            Kind::SequencedPacket => SOCK_SEQPACKET,
        }),
        SO_ERROR => number(socket.take_error().map_or(0, |it| it.code().unsigned_abs())),
        SO_ACCEPTCONN => number(socket.is_listening().into()),
        SO_PROTOCOL => number(0),
        SO_SNDLOWAT => number(1),
        SO_DOMAIN => number(socket.family().into()),
        SO_PEERCRED => {
            // Of whom it is not connected to, Linux says this.
            const UNKNOWN: Identity = Identity {
                process: 0,
                user: u32::MAX,
                group: u32::MAX,
            };
            socket
                .peer_identity()
                .unwrap_or(UNKNOWN)
                .as_bytes()
                .to_vec()
        }
        SO_PEERNAME => {
            let record = socket.peer_name()?.to_record();
            if record.len() < room {
                return Err(Errno::EINVAL.into());
            }
            record
        }
        _ => match socket.options(|options| options.get(option))? {
            OptionValue::Number(value) => number(value),
            OptionValue::Linger(value) => value.as_bytes().to_vec(),
            OptionValue::Time(value) => value.as_bytes().to_vec(),
        },
    };
    let part = bytes.len().min(room);
    call.memory().copy_out(value.0, &bytes[..part])?;
    call.memory().write(len.0, &(part as u32))?;
    Ok(0)
}

const SOCK_STREAM: u32 = 1;
const SOCK_DGRAM: u32 = 2;
const SOCK_RAW: u32 = 3;
const SOCK_SEQPACKET: u32 = 5;

/// `SOCK_NONBLOCK` and `SOCK_CLOEXEC` have the bits of these.
const OPEN_FLAGS: OpenFlags = OpenFlags::NON_BLOCKING.union(OpenFlags::CLOSE_ON_EXEC);

fn flags_of(kind: u32) -> Result<OpenFlags, Errno> {
    OpenFlags::from_bits(kind & !SOCK_TYPE_MASK)
        .filter(|&flags| OPEN_FLAGS.contains(flags))
        .ok_or(Errno::EINVAL)
}

fn kind_of(
    call: &Call<'_>,
    family: i32,
    kind: u32,
    protocol: i32,
) -> Result<(Kind, OpenFlags), Errno> {
    let flags = flags_of(kind)?;
    if family != i32::from(FAMILY_UNIX) {
        let reason = "only unix sockets exist in this version; the program gets EAFNOSUPPORT";
        call.libos.report_once(call.regs.rax, reason);
        return Err(Errno::EAFNOSUPPORT);
    }
    if protocol != 0 && protocol != i32::from(FAMILY_UNIX) {
        return Err(Errno::EPROTONOSUPPORT);
    }
    let kind = match kind & SOCK_TYPE_MASK {
        SOCK_STREAM => Kind::Stream,
        // As Linux does.
        SOCK_DGRAM | SOCK_RAW => Kind::Datagram,
        SOCK_SEQPACKET => Kind::SequencedPacket,
        _ => return Err(Errno::ESOCKTNOSUPPORT),
    };
    Ok((kind, flags))
}

fn socket_of(file: &OpenFile) -> Result<&Socket, Errno> {
    Socket::behind(file).ok_or(Errno::ENOTSOCK)
}

/// A socket that can have a name and send: not one that is only for the kernel's records.
fn nameable(file: &OpenFile) -> Result<&Socket, Errno> {
    let socket = socket_of(file)?;
    if socket.takes_records() {
        Err(Errno::EOPNOTSUPP)
    } else {
        Ok(socket)
    }
}

impl Call<'_> {
    /// Who the calling process is.
    pub(super) fn identity(&self) -> Identity {
        let standing = self.standing();
        Identity {
            process: self.process.pid,
            user: standing.user.effective,
            group: standing.group.effective,
        }
    }

    /// The socket with a name, for one of some kind.
    ///
    /// # Errors
    /// `EPROTOTYPE` if it is of another.
    pub(super) fn find_socket(
        &self,
        name: Address,
        len: u32,
        kind: Kind,
    ) -> Result<Arc<Socket>, Errno> {
        let place = match self.other_name(name, len)? {
            sockets::Address::Unnamed => return Err(Errno::EINVAL),
            sockets::Address::Abstract(name) => Place::Abstract(kind, name),
            sockets::Address::Path(path) => {
                let viewpoint = self.viewpoint().clone();
                let location = viewpoint.resolve(None, &path, Follow::Yes)?;
                let metadata = location.metadata()?;
                viewpoint.credentials.check(&metadata, Access::WRITE)?;
                if metadata.kind != FileType::Socket {
                    return Err(Errno::ECONNREFUSED);
                }
                Place::Inode(location.device(), metadata.inode)
            }
        };
        let found = self.libos.sockets.find(&place)?;
        if found.carries() == kind {
            Ok(found)
        } else {
            Err(Errno::EPROTOTYPE)
        }
    }

    /// A name that another socket can have.
    pub(super) fn other_name(&self, name: Address, len: u32) -> Result<sockets::Address, Errno> {
        match self.socket_name(name, len)? {
            sockets::Address::Unnamed => Err(Errno::EINVAL),
            name => Ok(name),
        }
    }

    fn socket_name(&self, name: Address, len: u32) -> Result<sockets::Address, Errno> {
        if len > ADDRESS_MAX_BYTES {
            return Err(Errno::EINVAL);
        }
        let record: Vec<u8> = self.memory().read_bytes(name.0, len as usize)?;
        sockets::Address::parse(&record)
    }

    fn tell_name(
        &self,
        name: &sockets::Address,
        place: Address,
        len: Address,
    ) -> Result<(), Errno> {
        let room: u32 = self.memory().read(len.0)?;
        let written = put_name(self, name, place, room)?;
        self.memory().write(len.0, &written)
    }

    fn open_socket(&self, socket: &Arc<Socket>, flags: OpenFlags) -> Result<Descriptor, Errno> {
        let name = socket.name_in_proc();
        let flags = flags | OpenFlags::READ_WRITE;
        let descriptor = self.open_anonymous(socket.clone(), name.as_bytes(), flags)?;
        socket.note_file(&descriptor.file);
        Ok(descriptor)
    }

    fn add_socket(&self, socket: &Arc<Socket>, flags: OpenFlags) -> Outcome {
        let descriptor = self.open_socket(socket, flags)?;
        Ok(self.task.places.files.write().add(0, descriptor)? as u64)
    }
}

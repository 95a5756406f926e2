//! Unix sockets.

use super::*;
use crate::sockets::{Address, Identity, Kind, Place, Socket};

const CLOSE: u64 = 3;
const POLL: u64 = 7;
const SOCKET: u64 = 41;
const CONNECT: u64 = 42;
const ACCEPT: u64 = 43;
const SENDTO: u64 = 44;
const RECVFROM: u64 = 45;
const SENDMSG: u64 = 46;
const RECVMSG: u64 = 47;
const SHUTDOWN: u64 = 48;
const BIND: u64 = 49;
const LISTEN: u64 = 50;
const GETSOCKNAME: u64 = 51;
const GETPEERNAME: u64 = 52;
const SOCKETPAIR: u64 = 53;
const SETSOCKOPT: u64 = 54;
const GETSOCKOPT: u64 = 55;
const UNIX: u64 = 1;
const STREAM: u64 = 1;
const DATAGRAM: u64 = 2;
const PACKETS: u64 = 5;
const NON_BLOCKING: u64 = 0o4000;
const PEEK: u64 = 2;
const TRUNCATE: u64 = 0x20;
const AT_ONCE: u64 = 0x40;

impl World {
    pub(super) fn pair(&mut self, kind: u64) -> (u64, u64) {
        let place = self.page + 0xf00;
        self.call(SOCKETPAIR, &[UNIX, kind | NON_BLOCKING, 0, place])
            .expect("room");
        let [one, other]: [u32; 2] = zerocopy::transmute!(self.get::<8>(place));
        (one.into(), other.into())
    }

    fn socket(&mut self, kind: u64) -> u64 {
        self.call(SOCKET, &[UNIX, kind | NON_BLOCKING, 0])
            .expect("room")
    }

    /// Makes a call whose second and third arguments are a name.
    fn named(&mut self, number: u64, fd: u64, name: &[u8]) -> Result<u64, Errno> {
        let mut record = vec![1, 0];
        record.extend(name);
        let place = self.put(0xd00, &record);
        self.call(number, &[fd, place, record.len() as u64])
    }

    /// The name that a call tells.
    fn name(&mut self, number: u64, fd: u64) -> Result<Vec<u8>, Errno> {
        let len = self.put(0xdf0, &110u32.to_le_bytes());
        self.call(number, &[fd, self.page + 0xd00, len])?;
        let len = u32::from_le_bytes(self.get::<4>(len)) as usize;
        Ok(self.get::<110>(self.page + 0xd00)[2..len].to_vec())
    }

    fn send(&mut self, fd: u64, text: &[u8]) -> Result<u64, Errno> {
        let place = self.put(0x800, text);
        self.call(SENDTO, &[fd, place, text.len() as u64, 0x4000, 0, 0])
    }

    fn receive(&mut self, fd: u64, len: u64, flags: u64) -> Result<(u64, Vec<u8>), Errno> {
        let place = self.page + 0x400;
        let count = self.call(RECVFROM, &[fd, place, len, flags, 0, 0])?;
        let bytes = self.get::<0x400>(place)[..count.min(len) as usize].to_vec();
        Ok((count, bytes))
    }

    /// The record of a message in the page: a text of up to 16 bytes, and room for control data.
    fn message(&mut self, text: &[u8], control_len: u64) -> u64 {
        let text_place = self.put(0x600, text);
        let vector = [text_place, 16.min(text.len() as u64)];
        let vector = self.put(0x620, vector.map(u64::to_le_bytes).as_flattened());
        let record = [0, 0, vector, 1, self.page + 0x680, control_len, 0];
        self.put(0x640, record.map(u64::to_le_bytes).as_flattened())
    }

    fn send_files(&mut self, fd: u64, files: &[u64]) -> Result<u64, Errno> {
        let len = 16 + 4 * files.len();
        let mut control = (len as u64).to_le_bytes().to_vec();
        control.extend([1, 0, 0, 0, 1, 0, 0, 0]);
        for &file in files {
            control.extend((file as u32).to_le_bytes());
        }
        self.put(0x680, &control);
        let record = self.message(b"x", len as u64);
        self.call(SENDMSG, &[fd, record, 0])
    }

    /// Receives one file; its descriptor, and the flags of the message.
    fn receive_file(&mut self, fd: u64, room: u64) -> Result<(Option<u64>, u32), Errno> {
        let record = self.message(&[0; 16], room);
        self.call(RECVMSG, &[fd, record, 0])?;
        let flags = u32::from_le_bytes(self.get::<4>(record + 48));
        let len = u64::from_le_bytes(self.get::<8>(record + 40));
        let number = u32::from_le_bytes(self.get::<4>(self.page + 0x690));
        Ok(((len > 0).then_some(number.into()), flags))
    }

    fn ready(&mut self, fd: u64) -> u16 {
        let mut record = (fd as u32).to_le_bytes().to_vec();
        record.extend(0x2007u16.to_le_bytes());
        record.extend([0; 2]);
        let place = self.put(0xc00, &record);
        self.call(POLL, &[place, 1, 0]).expect("one record");
        u16::from_le_bytes(self.get::<2>(place + 6))
    }

    fn open_sockets(&self) -> usize {
        self.libos.sockets.count()
    }
}

#[test]
fn what_one_writes_the_other_reads() {
    let mut world = World::new();
    let (one, other) = world.pair(STREAM);

    assert_eq!(world.write(one, b"hello"), Ok(5));
    assert_eq!(world.receive(other, 3, PEEK), Ok((3, b"hel".to_vec())));
    assert_eq!(world.read(other, 3), Ok(b"hel".to_vec()));
    assert_eq!(world.write(other, b"back"), Ok(4));
    assert_eq!(world.read(one, 100), Ok(b"back".to_vec()));
    assert_eq!(world.read(other, 100), Ok(b"lo".to_vec()));
    assert_eq!(world.read(other, 100), Err(Errno::EAGAIN));
}

#[test]
fn packets_keep_their_edges_and_are_cut_to_the_buffer() {
    for kind in [DATAGRAM, PACKETS] {
        let mut world = World::new();
        let (one, other) = world.pair(kind);
        for text in [&b"first"[..], b"", b"third"] {
            world.send(one, text).expect("room");
        }

        assert_eq!(
            world.receive(other, 2, TRUNCATE | PEEK),
            Ok((5, b"fi".to_vec()))
        );
        assert_eq!(world.receive(other, 2, 0), Ok((2, b"fi".to_vec())));
        assert_eq!(world.receive(other, 9, 0), Ok((0, vec![])));
        assert_eq!(world.receive(other, 9, 0), Ok((5, b"third".to_vec())));
        assert_eq!(world.receive(other, 9, AT_ONCE), Err(Errno::EAGAIN));
    }
}

#[test]
fn a_stream_ends_with_its_peer_and_a_write_to_it_fails() {
    let mut world = World::new();
    let (one, other) = world.pair(STREAM);
    world.write(one, b"last").expect("room");
    assert_eq!(world.ready(other), 5);
    world.call(CLOSE, &[one]).expect("open");

    assert_eq!(world.ready(other), 0x2015, "in, out, hung up both ways");
    assert_eq!(world.read(other, 100), Ok(b"last".to_vec()));
    assert_eq!(world.read(other, 100), Ok(vec![]));
    assert_eq!(world.send(other, b"x"), Err(Errno::EPIPE));
}

#[test]
fn who_closes_without_reading_resets() {
    let mut world = World::new();
    let (one, other) = world.pair(STREAM);
    world.write(one, b"unread").expect("room");
    world.call(CLOSE, &[other]).expect("open");

    assert_eq!(world.read(one, 100), Err(Errno::ECONNRESET));
    assert_eq!(world.read(one, 100), Ok(vec![]));
}

#[test]
fn half_of_a_connection_can_be_shut() {
    let mut world = World::new();
    let (one, other) = world.pair(STREAM);
    assert_eq!(world.call(SHUTDOWN, &[one, 1]), Ok(0));

    assert_eq!(world.read(other, 100), Ok(vec![]));
    assert_eq!(world.ready(other), 0x2005);
    assert_eq!(world.send(one, b"x"), Err(Errno::EPIPE));
    assert_eq!(world.write(other, b"still"), Ok(5));
    assert_eq!(world.read(one, 100), Ok(b"still".to_vec()));
    assert_eq!(world.call(SHUTDOWN, &[one, 3]), Err(Errno::EINVAL));
}

#[test]
fn a_listener_is_found_by_its_path_as_long_as_it_lives() {
    let mut world = World::new();
    let listener = world.socket(STREAM);
    let client = world.socket(STREAM);
    assert_eq!(world.named(CONNECT, client, b"/door\0"), Err(Errno::ENOENT));
    assert_eq!(
        world.call(LISTEN, &[listener, 1]),
        Err(Errno::EINVAL),
        "no name"
    );
    assert_eq!(world.named(BIND, listener, b"/door\0"), Ok(0));
    assert_eq!(
        world.named(BIND, client, b"/door\0"),
        Err(Errno::EADDRINUSE)
    );
    assert_eq!(
        world.named(CONNECT, client, b"/door\0"),
        Err(Errno::ECONNREFUSED)
    );
    assert_eq!(world.call(LISTEN, &[listener, 1]), Ok(0));
    assert_eq!(world.call(ACCEPT, &[listener, 0, 0]), Err(Errno::EAGAIN));

    assert_eq!(world.named(CONNECT, client, b"/door\0"), Ok(0));
    assert_eq!(
        world.named(CONNECT, client, b"/door\0"),
        Err(Errno::EISCONN)
    );
    assert_eq!(world.ready(listener), 1);
    world.write(client, b"early").expect("room");
    let served = world.call(ACCEPT, &[listener, 0, 0]).expect("one waits");
    assert_eq!(world.read(served, 100), Ok(b"early".to_vec()));
    assert_eq!(world.name(GETPEERNAME, client), Ok(b"/door\0".to_vec()));
    assert_eq!(world.name(GETSOCKNAME, served), Ok(b"/door\0".to_vec()));
    assert_eq!(world.name(GETPEERNAME, served), Ok(vec![]));

    world.call(CLOSE, &[listener]).expect("open");
    let late = world.socket(STREAM);
    assert_eq!(
        world.named(CONNECT, late, b"/door\0"),
        Err(Errno::ECONNREFUSED),
        "the name is left behind"
    );
}

#[test]
fn a_listener_keeps_no_more_waiting_than_it_said_and_resets_them_when_it_goes() {
    let mut world = World::new();
    let listener = world.socket(STREAM);
    world.named(BIND, listener, b"\0door").expect("free");
    world.call(LISTEN, &[listener, 0]).expect("it has a name");
    let (one, other) = (world.socket(STREAM), world.socket(STREAM));
    assert_eq!(world.named(CONNECT, one, b"\0door"), Ok(0));
    assert_eq!(world.named(CONNECT, other, b"\0door"), Err(Errno::EAGAIN));

    world.call(CLOSE, &[listener]).expect("open");

    assert_eq!(world.read(one, 1), Err(Errno::ECONNRESET));
    assert_eq!(
        world.named(CONNECT, other, b"\0door"),
        Err(Errno::ECONNREFUSED)
    );
}

#[test]
fn datagrams_go_to_names_and_say_from_where() {
    let mut world = World::new();
    let (here, there) = (world.socket(DATAGRAM), world.socket(DATAGRAM));
    world.named(BIND, there, b"\0there").expect("free");
    world.named(BIND, here, b"").expect("some name");
    let own = world.name(GETSOCKNAME, here).expect("it has one");
    assert_eq!((own.len(), own[0]), (6, 0));
    assert_eq!(world.send(here, b"x"), Err(Errno::ENOTCONN));

    let text = world.put(0x800, b"hello");
    let name = world.put(0xd00, b"\x01\0\0there");
    assert_eq!(world.call(SENDTO, &[here, text, 5, 0, name, 8]), Ok(5));
    let len = world.put(0xdf0, &110u32.to_le_bytes());
    let place = world.page + 0x400;
    let from = world.page + 0xd80;
    assert_eq!(
        world.call(RECVFROM, &[there, place, 9, 0, from, len]),
        Ok(5)
    );
    assert_eq!(world.get::<4>(len), 8u32.to_le_bytes());
    assert_eq!(&world.get::<8>(from)[2..], &own[..]);

    world.call(CLOSE, &[there]).expect("open");
    assert_eq!(
        world.call(SENDTO, &[here, text, 5, 0, name, 8]),
        Err(Errno::ECONNREFUSED)
    );
}

#[test]
fn who_is_connected_takes_datagrams_from_its_peer_alone() {
    let mut world = World::new();
    let (one, other, third) = (
        world.socket(DATAGRAM),
        world.socket(DATAGRAM),
        world.socket(DATAGRAM),
    );
    world.named(BIND, one, b"\0one").expect("free");
    world.named(BIND, other, b"\0other").expect("free");
    world.named(CONNECT, one, b"\0other").expect("it is there");

    assert_eq!(world.named(CONNECT, third, b"\0one"), Err(Errno::EPERM));
    assert_eq!(world.named(CONNECT, other, b"\0one"), Ok(0));
    world.send(other, b"x").expect("its peer");
    world.call(CLOSE, &[one]).expect("open");
    assert_eq!(world.send(other, b"x"), Err(Errno::ECONNREFUSED));
}

#[test]
fn an_open_file_travels_and_arrives_as_the_same() {
    let mut world = World::new();
    let (one, other) = world.pair(STREAM);
    let (reader, writer) = world.pipe();
    assert_eq!(world.send_files(one, &[writer]), Ok(1));
    world.call(CLOSE, &[writer]).expect("open");
    assert_eq!(
        world.read(reader, 1),
        Err(Errno::EAGAIN),
        "it is on its way"
    );

    let (arrived, _) = world.receive_file(other, 64).expect("it came");
    world
        .write(arrived.expect("a file"), b"hello")
        .expect("room");
    assert_eq!(world.read(reader, 100), Ok(b"hello".to_vec()));
    assert_eq!(world.send_files(one, &[99]), Err(Errno::EBADF));
}

#[test]
fn bytes_that_files_came_with_end_what_is_read_at_once() {
    let mut world = World::new();
    let (one, other) = world.pair(STREAM);
    let (reader, _writer) = world.pipe();
    world.write(one, b"ab").expect("room");
    world.send_files(one, &[reader]).expect("room");
    world.write(one, b"yz").expect("room");

    assert_eq!(world.receive(other, 100, 0), Ok((3, b"abx".to_vec())));
    assert_eq!(world.receive(other, 100, 0), Ok((2, b"yz".to_vec())));
}

#[test]
fn files_that_nobody_takes_are_closed() {
    let mut world = World::new();
    let (one, other) = world.pair(STREAM);
    let (reader, writer) = world.pipe();
    world.send_files(one, &[writer]).expect("room");
    world.call(CLOSE, &[writer]).expect("open");

    let (arrived, flags) = world.receive_file(other, 8).expect("the byte");
    assert_eq!((arrived, flags & 8), (None, 8), "no room for it");
    assert_eq!(world.read(reader, 1), Ok(vec![]));
}

#[test]
fn sockets_that_only_hold_each_other_are_found_and_closed() {
    let mut world = World::new();
    let (keeper, _kept) = world.pair(STREAM);
    let before = world.open_sockets();
    for _ in 0..10 {
        let (one, other) = world.pair(STREAM);
        world.send_files(one, &[one, other]).expect("room");
        world.send_files(other, &[one]).expect("room");
        world.call(CLOSE, &[one]).expect("open");
        world.call(CLOSE, &[other]).expect("open");
    }
    assert_eq!(world.open_sockets(), before);

    // A socket in flight that somebody can still take is not garbage.
    let (one, other) = world.pair(STREAM);
    world.send_files(keeper, &[one]).expect("room");
    world.send_files(other, &[one]).expect("room");
    world.call(CLOSE, &[one]).expect("open");
    world.call(CLOSE, &[other]).expect("open");
    assert_eq!(world.open_sockets(), before + 1);
}

#[test]
fn options_say_what_a_socket_is_and_who_is_behind_it() {
    let mut world = World::new();
    let (one, _other) = world.pair(PACKETS);
    let mut get = |option: u64, len: u32| {
        let len = world.put(0xdf0, &len.to_le_bytes());
        let place = world.page + 0xd00;
        world.call(GETSOCKOPT, &[one, 1, option, place, len])?;
        let words: [u32; 4] = zerocopy::transmute!(world.get::<16>(place));
        Ok(words)
    };

    assert_eq!(get(3, 4).map(|words| words[0]), Ok(5), "SO_TYPE");
    assert_eq!(get(39, 4).map(|words| words[0]), Ok(1), "SO_DOMAIN");
    assert_eq!(get(30, 4).map(|words| words[0]), Ok(0), "SO_ACCEPTCONN");
    assert_eq!(get(17, 12).map(|words| words[0]), Ok(1), "SO_PEERCRED");
    assert_eq!(get(7, 4).map(|words| words[0]), Ok(212_992), "SO_SNDBUF");
    assert_eq!(get(999, 4), Err(Errno::ENOPROTOOPT));
    let value = world.put(0xd00, &10_000u32.to_le_bytes());
    assert_eq!(world.call(SETSOCKOPT, &[one, 1, 7, value, 4]), Ok(0));
    assert_eq!(
        world.call(SETSOCKOPT, &[one, 1, 7, value, 3]),
        Err(Errno::EINVAL)
    );
    assert_eq!(
        world.call(SETSOCKOPT, &[one, 6, 1, value, 4]),
        Err(Errno::EOPNOTSUPP)
    );
    assert_eq!(
        world.call(SETSOCKOPT, &[0, 1, 7, value, 4]),
        Err(Errno::ENOTSOCK)
    );
}

#[test]
fn a_read_gives_up_after_the_time_that_was_set() {
    let mut world = World::new();
    let place = world.page + 0xf00;
    world
        .call(SOCKETPAIR, &[UNIX, STREAM, 0, place])
        .expect("room");
    let [one, _]: [u32; 2] = zerocopy::transmute!(world.get::<8>(place));
    let time = world.put(0xd00, [0u64, 20_000].map(u64::to_le_bytes).as_flattened());
    assert_eq!(
        world.call(SETSOCKOPT, &[one.into(), 1, 20, time, 16]),
        Ok(0)
    );

    assert_eq!(world.read(one.into(), 1), Err(Errno::EAGAIN));
}

#[test]
fn other_families_and_kinds_are_refused_as_by_a_kernel_without_them() {
    let mut world = World::new();
    assert_eq!(world.call(SOCKET, &[2, 1, 0]), Err(Errno::EAFNOSUPPORT));
    assert_eq!(world.call(SOCKET, &[1, 4, 0]), Err(Errno::ESOCKTNOSUPPORT));
    assert_eq!(world.call(SOCKET, &[1, 1, 6]), Err(Errno::EPROTONOSUPPORT));
    assert_eq!(world.call(SOCKET, &[1, 0x101, 0]), Err(Errno::EINVAL));
}

#[test]
fn a_long_row_of_sockets_that_lie_in_each_other_is_closed_on_a_short_stack() {
    let row = || {
        let mut world = World::new();
        let (first, mut last) = world.pair(STREAM);
        world.call(CLOSE, &[first]).expect("open");
        for _ in 0..600 {
            let (one, other) = world.pair(STREAM);
            world.send_files(one, &[last]).expect("room");
            world.call(CLOSE, &[one]).expect("open");
            world.call(CLOSE, &[last]).expect("open");
            last = other;
        }
        world.call(CLOSE, &[last]).expect("open");
        world.open_sockets()
    };
    let thread = std::thread::Builder::new().stack_size(400 << 10).spawn(row);
    let left = thread.expect("a thread").join().expect("no panic");
    assert_eq!(left, 0);
}

#[test]
fn a_user_sends_no_more_files_than_a_process_may_have_open() {
    const SETRESUID: u64 = 117;
    const SETRLIMIT: u64 = 160;
    const DESCRIPTORS: u64 = 7;
    let mut world = World::new();
    let (one, other) = world.pair(STREAM);
    let limit = world.put(0x100, [20u64, 20].map(u64::to_le_bytes).as_flattened());
    assert_eq!(world.call(SETRLIMIT, &[DESCRIPTORS, limit]), Ok(0));
    for _ in 0..30 {
        assert_eq!(world.send_files(one, &[0]), Ok(1), "the superuser is free");
    }
    assert_eq!(world.call(SETRESUID, &[1000, 1000, 1000]), Ok(0));
    for _ in 0..=20 {
        assert_eq!(world.send_files(one, &[0]), Ok(1));
    }
    assert_eq!(world.send_files(one, &[0]), Err(Errno::ETOOMANYREFS));

    while world.receive(other, 1, AT_ONCE).is_ok() {}
    assert_eq!(world.send_files(one, &[0]), Ok(1));
}

/// A listener that no descriptor refers to.
fn listener(world: &World) -> Arc<Socket> {
    let sockets = &world.libos.sockets;
    let listener = Socket::new(sockets, u64::MAX, Kind::Stream, Identity::default());
    let name = b"door".to_vec();
    listener
        .bind(
            Address::Abstract(name.clone()),
            Place::Abstract(Kind::Stream, name),
            None,
        )
        .expect("free");
    listener
}

#[test]
fn of_two_who_connect_one_socket_at_once_one_is_too_late() {
    let world = World::new();
    let door = listener(&world);
    door.listen(4096, Identity::default())
        .expect("it has a name");
    for number in 0..300 {
        let client = Socket::new(
            &world.libos.sockets,
            10 + 3 * number,
            Kind::Stream,
            Identity::default(),
        );
        let start = std::sync::Barrier::new(2);
        let connect = |served| {
            start.wait();
            client.connect(&door, Identity::default(), served)
        };
        let outcomes = std::thread::scope(|scope| {
            let other = scope.spawn(|| connect(11 + 3 * number));
            [connect(12 + 3 * number), other.join().expect("no panic")]
        });
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        assert!(outcomes.contains(&Err(Errno::EISCONN)));
    }
}

#[test]
fn who_tries_a_full_listener_again_and_again_is_remembered_once() {
    let world = World::new();
    let door = listener(&world);
    door.listen(0, Identity::default()).expect("it has a name");
    let sockets = &world.libos.sockets;
    let client = |number| Socket::new(sockets, number, Kind::Stream, Identity::default());
    let (first, late) = (client(10), client(12));
    assert_eq!(first.connect(&door, Identity::default(), 11), Ok(()));
    for _ in 0..100 {
        let refused = late.connect(&door, Identity::default(), 13);
        assert_eq!(refused, Err(Errno::EAGAIN));
    }
    assert_eq!(door.blocked_count(), 1);
}

/// An address behind which, after `len` bytes, nothing is mapped.
fn before_a_hole(world: &mut World, len: u64) -> u64 {
    const MUNMAP: u64 = 11;
    let pages = map(world, 2 * PAGE_SIZE);
    let hole = pages + PAGE_SIZE;
    world.call(MUNMAP, &[hole, PAGE_SIZE]).expect("mapped");
    hole - len
}

fn map(world: &mut World, len: u64) -> u64 {
    const MMAP: u64 = 9;
    let mapped = world.call(MMAP, &[0, len, 3, 0x22, u64::MAX, 0]);
    mapped.expect("room")
}

#[test]
fn of_several_messages_those_count_that_went_before_one_that_cannot_be_told() {
    const RECVMMSG: u64 = 299;
    const SENDMMSG: u64 = 307;
    const RECORD: usize = 56;
    let mut world = World::new();
    let (one, other) = world.pair(DATAGRAM);
    let record = world.message(b"text", 0);
    let record = world.get::<RECORD>(record);
    // The second length would be where nothing is.
    let both = before_a_hole(&mut world, 2 * RECORD as u64 + 8);
    for place in [both, both + RECORD as u64 + 8] {
        let memory = world.process.memory();
        memory.copy_out(place, &record).expect("mapped");
    }

    assert_eq!(world.call(SENDMMSG, &[one, both, 2, 0]), Ok(1));
    assert_eq!(world.call(RECVMMSG, &[other, both, 2, 0, 0]), Ok(1));
}

#[test]
fn who_sent_a_part_before_its_peer_went_is_told_how_much_and_gets_no_signal() {
    const LONG_BYTES: u64 = 1 << 20;
    let mut world = World::new();
    let place = world.page + 0xf00;
    let made = world.call(SOCKETPAIR, &[UNIX, STREAM, 0, place]);
    made.expect("room");
    let [one, other]: [u32; 2] = zerocopy::transmute!(world.get::<8>(place));
    let long = map(&mut world, LONG_BYTES);

    let sender = futexes::in_thread(&mut world, SENDTO, [one.into(), long, LONG_BYTES, 0]);
    while world.ready(other.into()) & 1 == 0 {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    world.call(CLOSE, &[other.into()]).expect("open");

    let sent = sender.join().expect("it goes on");
    assert!((1..LONG_BYTES.cast_signed()).contains(&sent), "{sent}");
}

//! Pipes, FIFOs, and moving bytes between files.

use super::*;

const CLOSE: u64 = 3;
const READV: u64 = 19;
const SENDFILE: u64 = 40;
const FCNTL: u64 = 72;
const MKNOD: u64 = 133;
const SPLICE: u64 = 275;
const TEE: u64 = 276;
const COPY_FILE_RANGE: u64 = 326;
const F_SETPIPE_SZ: u64 = 1031;
const F_GETPIPE_SZ: u64 = 1032;
const NON_BLOCKING: u64 = 0o4000;
const READ_WRITE: u64 = 0o102;

impl World {
    fn file(&mut self, path: &[u8], flags: u64) -> Result<u64, Errno> {
        let path = self.put(0xb00, path);
        self.call(2, &[path, flags, 0o644])
    }
}

#[test]
fn several_buffers_are_one_read() {
    let mut world = World::new();
    let (reader, writer) = world.pipe();
    world.write(writer, b"hello").expect("room");
    let vectors = [world.page + 0x100, 3, 0, 0, world.page + 0x110, 9];
    let vectors = world.put(0x200, vectors.map(u64::to_le_bytes).as_flattened());

    // A second read would say EAGAIN and the call would wait, if the pipe did.
    assert_eq!(world.call(READV, &[reader, vectors, 3]), Ok(5));

    assert_eq!(&world.get::<3>(world.page + 0x100), b"hel");
    assert_eq!(&world.get::<2>(world.page + 0x110), b"lo");
}

#[test]
fn a_small_write_is_whole_or_not_at_all_and_a_large_one_takes_what_there_is() {
    let mut world = World::new();
    let (reader, writer) = world.pipe();
    assert_eq!(world.call(FCNTL, &[writer, F_SETPIPE_SZ, 1]), Ok(4096));
    assert_eq!(world.call(FCNTL, &[reader, F_GETPIPE_SZ, 0]), Ok(4096));
    let large = world
        .call(9, &[0, 0x4000, 3, 0x22, u64::MAX, 0])
        .expect("room");

    assert_eq!(world.call(1, &[writer, large, 4000]), Ok(4000));
    assert_eq!(world.call(1, &[writer, large, 97]), Err(Errno::EAGAIN));
    assert_eq!(world.call(1, &[writer, large, 96]), Ok(96));
    assert_eq!(
        world.call(FCNTL, &[writer, F_SETPIPE_SZ, 0x2000]),
        Ok(0x2000)
    );
    assert_eq!(world.call(1, &[writer, large, 0x4000]), Ok(0x1000));
    assert_eq!(
        world.call(FCNTL, &[writer, F_SETPIPE_SZ, 1]),
        Err(Errno::EBUSY)
    );
    assert_eq!(world.call(0, &[reader, large, 0x4000]), Ok(0x2000));
    assert_eq!(
        world.call(FCNTL, &[writer, F_SETPIPE_SZ, 2 << 20]),
        Err(Errno::EPERM)
    );
}

#[test]
fn what_wraps_around_in_a_pipe_keeps_its_order() {
    let mut world = World::new();
    let (reader, writer) = world.pipe();
    world
        .call(FCNTL, &[writer, F_SETPIPE_SZ, 1])
        .expect("empty");
    let text: Vec<u8> = (0..=250).collect();
    for round in 0..200 {
        for _ in 0..round % 4 + 1 {
            world.write(writer, &text).expect("room");
        }
        for _ in 0..round % 4 + 1 {
            assert_eq!(world.read(reader, 251).expect("bytes"), text);
        }
    }
}

#[test]
fn a_fifo_joins_whoever_opens_it() {
    let mut world = World::new();
    let path = world.put(0xb00, b"/fifo\0");
    assert_eq!(world.call(MKNOD, &[path, 0o10644, 0]), Ok(0));
    assert_eq!(
        world.file(b"/fifo\0", NON_BLOCKING | 1),
        Err(Errno::ENXIO),
        "nobody reads"
    );

    let reader = world
        .file(b"/fifo\0", NON_BLOCKING)
        .expect("it does not wait");
    assert_eq!(world.read(reader, 10), Ok(vec![]), "nobody writes");
    let writer = world.file(b"/fifo\0", NON_BLOCKING | 1).expect("a reader");
    assert_eq!(world.read(reader, 10), Err(Errno::EAGAIN));
    world.write(writer, b"hello").expect("room");
    world.call(CLOSE, &[writer]).expect("open");
    assert_eq!(world.read(reader, 10).expect("bytes"), b"hello");
    assert_eq!(world.read(reader, 10), Ok(vec![]));
}

#[test]
fn bytes_move_between_files_and_pipes() {
    let mut world = World::new();
    let from = world.file(b"/from\0", READ_WRITE).expect("room");
    world.write(from, b"0123456789").expect("room");
    let (reader, writer) = world.pipe();
    let (copy_reader, copy_writer) = world.pipe();
    let offset = world.put(0, &2u64.to_le_bytes());

    assert_eq!(world.call(SENDFILE, &[writer, from, offset, 4]), Ok(4));
    assert_eq!(world.get::<8>(offset), 6u64.to_le_bytes());
    assert_eq!(world.call(TEE, &[reader, copy_writer, 100, 0]), Ok(4));
    let to = world.file(b"/to\0", READ_WRITE).expect("room");
    assert_eq!(world.call(SPLICE, &[reader, 0, to, 0, 100, 0]), Ok(4));
    assert_eq!(world.read(copy_reader, 10).expect("bytes"), b"2345");
    assert_eq!(
        world.call(SPLICE, &[reader, 0, to, 0, 100, 0]),
        Err(Errno::EAGAIN)
    );

    assert_eq!(
        world.call(COPY_FILE_RANGE, &[from, offset, to, 0, 100, 0]),
        Ok(4)
    );
    world.call(8, &[to, 0, 0]).expect("a file");
    assert_eq!(world.read(to, 100).expect("bytes"), b"23456789");
    assert_eq!(
        world.call(SPLICE, &[from, 0, to, 0, 4, 0]),
        Err(Errno::EINVAL),
        "no pipe"
    );
}

#[test]
fn a_pipe_says_how_much_can_be_read() {
    let mut world = World::new();
    let (reader, writer) = world.pipe();
    world.write(writer, b"x").expect("room");
    // FIONREAD
    assert_eq!(world.call(16, &[reader, 0x541b, world.page]), Ok(0));
    assert_eq!(world.get::<4>(world.page), 1u32.to_le_bytes());
}

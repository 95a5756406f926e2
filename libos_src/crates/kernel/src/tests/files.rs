//! File calls on a root in memory.

use super::*;

const READ: u64 = 0;
const WRITE: u64 = 1;
const CLOSE: u64 = 3;
const LSEEK: u64 = 8;
const PREAD64: u64 = 17;
const WRITEV: u64 = 20;
const DUP2: u64 = 33;
const GETCWD: u64 = 79;
const CHDIR: u64 = 80;
const MKDIR: u64 = 83;
const GETDENTS64: u64 = 217;
const OPENAT: u64 = 257;
const PIPE2: u64 = 293;
const CREATE_READ_WRITE: u64 = 0o102;
/// `AT_FDCWD` as a libc passes it: the upper half of the register is whatever it was.
const HERE: u64 = 0xdead_beef_ffff_ff9c;

fn open(world: &mut World, path: &[u8], flags: u64) -> Result<u64, Errno> {
    let path = world.put(0, path);
    world.call(OPENAT, &[HERE, path, flags, 0o644])
}

#[test]
fn what_is_written_is_read_back() {
    let mut world = World::new();
    let fd = open(&mut world, b"/file\0", CREATE_READ_WRITE).expect("room");
    let text = world.put(0x100, b"hello");

    assert_eq!(world.call(WRITE, &[fd, text, 5]), Ok(5));
    assert_eq!(world.call(LSEEK, &[fd, 1, 0]), Ok(1));
    assert_eq!(world.call(READ, &[fd, world.page + 0x200, 100]), Ok(4));

    assert_eq!(&world.get::<4>(world.page + 0x200), b"ello");
    assert_eq!(world.call(CLOSE, &[fd]), Ok(0));
    assert_eq!(world.call(CLOSE, &[fd]), Err(Errno::EBADF));
}

#[test]
fn a_path_that_must_stay_beneath_a_directory_does() {
    const OPENAT2: u64 = 437;
    const BENEATH: u64 = 8;
    const IN_ROOT: u64 = 16;
    let mut world = World::new();
    let directory = world.put(0, b"/jail\0");
    assert_eq!(world.call(MKDIR, &[directory, 0o755]), Ok(0));
    open(&mut world, b"/jail/file\0", CREATE_READ_WRITE).expect("room");
    let jail = open(&mut world, b"/jail\0", 0).expect("made");
    let mut open_in = |path: &[u8], how: [u64; 3]| {
        let path = world.put(0, path);
        let how = world.put(0x100, how.map(u64::to_le_bytes).as_flattened());
        world.call(OPENAT2, &[jail, path, how, 24]).map(drop)
    };

    assert_eq!(open_in(b"file\0", [0, 0, BENEATH]), Ok(()));
    assert_eq!(
        open_in(b"../jail/file\0", [0, 0, BENEATH]),
        Err(Errno::EXDEV)
    );
    assert_eq!(open_in(b"/file\0", [0, 0, BENEATH]), Err(Errno::EXDEV));
    assert_eq!(open_in(b"/../file\0", [0, 0, IN_ROOT]), Ok(()));
    assert_eq!(
        open_in(b"file\0", [0, 0, BENEATH | IN_ROOT]),
        Err(Errno::EINVAL)
    );
    assert_eq!(open_in(b"file\0", [1 << 40, 0, 0]), Err(Errno::EINVAL));
    assert_eq!(open_in(b"file\0", [0, 0, 32]), Ok(()));
    assert_eq!(open_in(b"file\0", [0o1002, 0, 32]), Err(Errno::EAGAIN));
    assert_eq!(open_in(b"file\0", [0, 0o644, 0]), Err(Errno::EINVAL));
}

#[test]
fn a_copy_of_all_there_is_may_go_behind_it() {
    const COPY_FILE_RANGE: u64 = 326;
    let mut world = World::new();
    let fd = open(&mut world, b"/file\0", CREATE_READ_WRITE).expect("room");
    let text = world.put(0x100, b"hello");
    assert_eq!(world.call(WRITE, &[fd, text, 5]), Ok(5));
    let mut copy = |from: u64, to: u64, len: u64| {
        let from = world.put(0x200, &from.to_le_bytes());
        let to = world.put(0x208, &to.to_le_bytes());
        world.call(COPY_FILE_RANGE, &[fd, from, fd, to, len, 0])
    };

    assert_eq!(copy(0, 4, 1 << 20), Err(Errno::EINVAL));
    assert_eq!(copy(0, 5, 1 << 20), Ok(5));
    assert_eq!(copy(10, 0, 1 << 20), Ok(0));
    let back = world.page + 0x300;
    assert_eq!(world.call(PREAD64, &[fd, back, 100, 0]), Ok(10));
    assert_eq!(&world.get::<10>(back), b"hellohello");
}

#[test]
fn a_working_directory_that_no_path_holds_is_told_as_such() {
    let mut world = World::new();
    let buffer = world
        .call(9, &[0, 0x3000, 3, 0x22, u64::MAX, 0])
        .expect("room");
    let name = world.put(0, &[&[b'd'; 200][..], b"\0"].concat());
    for _ in 0..20 {
        assert_eq!(world.call(MKDIR, &[name, 0o755]), Ok(0));
        assert_eq!(world.call(CHDIR, &[name]), Ok(0));
    }
    assert_eq!(world.call(GETCWD, &[buffer, 0x3000]), Ok(20 * 201 + 1));
    for _ in 0..2 {
        assert_eq!(world.call(MKDIR, &[name, 0o755]), Ok(0));
        assert_eq!(world.call(CHDIR, &[name]), Ok(0));
    }
    assert_eq!(
        world.call(GETCWD, &[buffer, 0x3000]),
        Err(Errno::ENAMETOOLONG)
    );
}

#[test]
fn several_buffers_go_to_the_host_whole_although_it_takes_little() {
    let mut world = World::new();
    world.put(0x100, b"one two three");
    let vectors = [world.page + 0x100, 4, 0, 0, world.page + 0x104, 9];
    let vectors = world.put(0x200, vectors.map(u64::to_le_bytes).as_flattened());

    assert_eq!(world.call(WRITEV, &[1, vectors, 3]), Ok(13));

    assert_eq!(
        *world.machine.output.lock().expect("not poisoned"),
        b"one two three"
    );
}

#[test]
fn bytes_of_a_stream_are_not_lost_to_a_bad_buffer() {
    let mut world = World::new();
    world
        .machine
        .input
        .lock()
        .expect("not poisoned")
        .extend(b"input");

    assert_eq!(world.call(READ, &[0, 0x10, 5]), Err(Errno::EFAULT));
    assert_eq!(world.call(READ, &[0, world.page, 100]), Ok(5));

    assert_eq!(&world.get::<5>(world.page), b"input");
}

#[test]
fn a_directory_is_listed_and_entered() {
    let mut world = World::new();
    let path = world.put(0, b"/inner\0");
    world.call(MKDIR, &[path, 0o755]).expect("room");
    let root = open(&mut world, b"/\0", 0o200000).expect("a directory");

    let len = world
        .call(GETDENTS64, &[root, world.page + 0x200, 1000])
        .expect("room");
    assert_eq!(len, 24 + 24 + 32);
    assert_eq!(
        world.call(GETDENTS64, &[root, world.page + 0x200, 1000]),
        Ok(0)
    );
    let path = world.put(0, b"inner\0");
    world.call(CHDIR, &[path]).expect("a directory");

    assert_eq!(
        world.call(GETCWD, &[world.page + 0x200, 3]),
        Err(Errno::ERANGE)
    );
    assert_eq!(world.call(GETCWD, &[world.page + 0x200, 100]), Ok(7));
    assert_eq!(&world.get::<7>(world.page + 0x200), b"/inner\0");
}

#[test]
fn a_path_without_an_end_is_too_long_and_one_outside_faults() {
    let mut world = World::new();
    let long = world
        .call(9, &[0, 0x3000, 3, 0x22, u64::MAX, 0])
        .expect("room");
    world
        .process
        .memory()
        .copy_out(long, &[b'a'; 0x3000])
        .expect("writable");

    assert_eq!(
        world.call(OPENAT, &[HERE, long, 0, 0]),
        Err(Errno::ENAMETOOLONG)
    );
    assert_eq!(world.call(OPENAT, &[HERE, 0, 0, 0]), Err(Errno::EFAULT));
    assert_eq!(
        world.call(OPENAT, &[HERE, world.page + 0xfff, 0, 0]),
        Err(Errno::ENOENT)
    );
}

#[test]
fn a_duplicate_shares_the_offset() {
    let mut world = World::new();
    let fd = open(&mut world, b"/file\0", CREATE_READ_WRITE).expect("room");
    assert_eq!(world.call(DUP2, &[fd, 40]), Ok(40));
    let text = world.put(0x100, b"hello");

    world.call(WRITE, &[fd, text, 5]).expect("room");

    assert_eq!(world.call(LSEEK, &[40, 0, 1]), Ok(5));
    assert_eq!(world.call(DUP2, &[fd, 5000]), Err(Errno::EBADF));
    assert_eq!(
        world.call(DUP2, &[fd, u64::from(u32::MAX)]),
        Err(Errno::EBADF)
    );
}

#[test]
fn a_pipe_ends_when_its_writer_is_closed() {
    let mut world = World::new();
    world.call(PIPE2, &[world.page, 0]).expect("room");
    let [reader, writer]: [u32; 2] = zerocopy::transmute!(world.get::<8>(world.page));
    let (reader, writer) = (reader.into(), writer.into());
    let text = world.put(0x100, b"hello");

    assert_eq!(world.call(WRITE, &[writer, text, 5]), Ok(5));
    assert_eq!(world.call(READ, &[reader, world.page + 0x200, 100]), Ok(5));
    world.call(CLOSE, &[writer]).expect("open");
    assert_eq!(world.call(READ, &[reader, world.page + 0x200, 100]), Ok(0));
}

#[test]
fn a_write_to_a_pipe_without_a_reader_kills() {
    let mut world = World::new();
    world.call(PIPE2, &[world.page, 0]).expect("room");
    let [reader, writer]: [u32; 2] = zerocopy::transmute!(world.get::<8>(world.page));
    world.call(CLOSE, &[reader.into()]).expect("open");

    assert_eq!(
        world.serve(WRITE, &[writer.into(), world.page, 5]),
        Next::ExitProcess(128 + 13)
    );
}

#[test]
fn an_empty_pipe_that_may_not_wait_says_so() {
    let mut world = World::new();
    world.call(PIPE2, &[world.page, 0o4000]).expect("room");
    let [reader, _]: [u32; 2] = zerocopy::transmute!(world.get::<8>(world.page));

    assert_eq!(
        world.call(READ, &[reader.into(), world.page, 5]),
        Err(Errno::EAGAIN)
    );
}

#[test]
fn only_what_was_opened_by_a_path_may_be_large() {
    const FCNTL: u64 = 72;
    const F_GETFL: u64 = 3;
    const EVENTFD2: u64 = 290;
    const PATH_ONLY: u64 = 0o1000_0000;
    let mut world = World::new();
    let file = open(&mut world, b"/file\0", CREATE_READ_WRITE).expect("room");
    let place = open(&mut world, b"/file\0", PATH_ONLY).expect("it is there");
    let event = world.call(EVENTFD2, &[0, 0]).expect("room");
    world.call(PIPE2, &[world.page, 0]).expect("room");
    let [reader, writer] = world.get::<8>(world.page)[..]
        .chunks(4)
        .map(|fd| u64::from(fd[0]))
        .collect::<Vec<_>>()[..]
    else {
        panic!("two ends");
    };

    for (fd, flags) in [
        (file, 0o100_002),
        (place, PATH_ONLY),
        (event, 2),
        (reader, 0),
        (writer, 1),
    ] {
        assert_eq!(world.call(FCNTL, &[fd, F_GETFL, 0]), Ok(flags));
    }
}

#[test]
fn an_offset_beyond_all_files_is_invalid() {
    let mut world = World::new();
    let fd = open(&mut world, b"/file\0", CREATE_READ_WRITE).expect("room");
    let text = world.put(0x100, b"hello");
    world.call(WRITE, &[fd, text, 5]).expect("room");

    let largest = i64::MAX.cast_unsigned();
    assert_eq!(world.call(LSEEK, &[fd, largest, 2]), Err(Errno::EINVAL));
    assert_eq!(world.call(LSEEK, &[fd, 0, 1]), Ok(5));
}

#[test]
fn a_listing_of_more_than_2_gib_is_one_of_nothing() {
    let mut world = World::new();
    let fd = open(&mut world, b"/\0", 0).expect("it is there");

    let refused = world.call(GETDENTS64, &[fd, world.page, 1 << 31]);

    assert_eq!(refused, Err(Errno::EINVAL));
    assert!(
        world
            .call(GETDENTS64, &[fd, world.page, 0x1000])
            .is_ok_and(|len| len > 0)
    );
}

#[test]
fn a_listing_ends_where_its_buffer_may_not_be_written() {
    const MPROTECT: u64 = 10;
    let mut world = World::new();
    let fd = open(&mut world, b"/\0", 0).expect("it is there");
    let pages = world
        .call(9, &[0, 0x2000, 3, 0x22, u64::MAX, 0])
        .expect("room");
    world
        .call(MPROTECT, &[pages + 0x1000, 0x1000, 0])
        .expect("mapped");

    let edge = pages + 0x1000;
    assert_eq!(
        world.call(GETDENTS64, &[fd, edge - 8, 0x1000]),
        Err(Errno::EFAULT)
    );
    // Room for one name of the two, `.` and `..`, that every directory has.
    assert_eq!(world.call(GETDENTS64, &[fd, edge - 40, 0x1000]), Ok(24));
    assert_eq!(world.call(GETDENTS64, &[fd, edge - 40, 0x1000]), Ok(24));
    assert_eq!(world.call(GETDENTS64, &[fd, edge - 40, 0x1000]), Ok(0));
}

#[test]
fn dates_that_stay_need_no_file_and_dates_without_a_path_an_open_one() {
    const FUTIMESAT: u64 = 261;
    const UTIMENSAT: u64 = 280;
    const UTIME_OMIT: u64 = (1 << 30) - 2;
    const PATH_ONLY: u64 = 0o1000_0000;
    let mut world = World::new();
    open(&mut world, b"/file\0", CREATE_READ_WRITE).expect("room");
    let place = open(&mut world, b"/file\0", PATH_ONLY).expect("it is there");
    let missing = world.put(0, b"/missing\0");
    let both = [0, UTIME_OMIT, 0, UTIME_OMIT];
    let both = world.put(0x80, both.map(u64::to_le_bytes).as_flattened());

    assert_eq!(world.call(UTIMENSAT, &[HERE, missing, both, 0]), Ok(0));
    assert_eq!(
        world.call(UTIMENSAT, &[HERE, missing, 0, 0]),
        Err(Errno::ENOENT)
    );
    assert_eq!(world.call(FUTIMESAT, &[place, 0, 0]), Err(Errno::EBADF));
    assert_eq!(world.call(FUTIMESAT, &[HERE, 0, 0]), Err(Errno::EFAULT));
}

#[test]
fn the_dates_of_a_descriptor_take_no_flags() {
    const UTIMENSAT: u64 = 280;
    const AT_SYMLINK_NOFOLLOW: u64 = 0x100;
    let mut world = World::new();
    let fd = open(&mut world, b"/file\0", CREATE_READ_WRITE).expect("room");

    assert_eq!(world.call(UTIMENSAT, &[fd, 0, 0, 0]), Ok(0));
    assert_eq!(
        world.call(UTIMENSAT, &[fd, 0, 0, AT_SYMLINK_NOFOLLOW]),
        Err(Errno::EINVAL)
    );
}

#[test]
fn a_lease_is_given_back_and_taken_again() {
    const FCNTL: u64 = 72;
    const SET_LEASE: u64 = 1024;
    const GET_LEASE: u64 = 1025;
    const READ: u64 = 0;
    const WRITE: u64 = 1;
    const NONE: u64 = 2;
    let mut world = World::new();
    // The holder is told by SIGIO.
    let all = world.put(0x40, &u64::MAX.to_le_bytes());
    world.call(14, &[2, all, 0, 8]).expect("a set");
    let path = world.put(0, b"/leased\0");
    let here = u64::MAX - 99;
    let first = world.call(257, &[here, path, 0o102, 0o644]).expect("room");
    assert_eq!(
        world.call(FCNTL, &[first, SET_LEASE, READ]),
        Err(Errno::EAGAIN)
    );
    for _ in 0..2 {
        assert_eq!(world.call(FCNTL, &[first, SET_LEASE, WRITE]), Ok(0));
        assert_eq!(world.call(FCNTL, &[first, GET_LEASE, 0]), Ok(WRITE));
        assert_eq!(world.call(FCNTL, &[first, SET_LEASE, NONE]), Ok(0));
    }
    assert_eq!(
        world.call(FCNTL, &[first, SET_LEASE, NONE]),
        Err(Errno::EAGAIN)
    );
    assert_eq!(world.call(FCNTL, &[first, SET_LEASE, WRITE]), Ok(0));
    // O_NONBLOCK, so that nobody waits for the holder.
    let refused = world.call(257, &[here, path, 0o4000, 0]);
    assert_eq!(refused, Err(Errno::EAGAIN));
    assert_eq!(world.call(FCNTL, &[first, GET_LEASE, 0]), Ok(READ));

    world.call(3, &[first]).expect("open");

    assert!(world.call(257, &[here, path, 0o4001, 0]).is_ok());
    assert!(world.libos.leases.is_empty());
}

#[test]
fn a_process_that_may_open_nothing_is_told_that_it_has_too_much_open() {
    const DUP: u64 = 32;
    const FCNTL: u64 = 72;
    const SETRLIMIT: u64 = 160;
    const DESCRIPTORS: u64 = 7;
    let mut world = World::new();
    let none = world.put(0x100, &[0; 16]);

    assert_eq!(world.call(SETRLIMIT, &[DESCRIPTORS, none]), Ok(0));

    assert_eq!(world.call(DUP, &[1]), Err(Errno::EMFILE));
    assert_eq!(world.call(FCNTL, &[1, 0, 5]), Err(Errno::EINVAL));
}

//! A kernel heap that is nearly full.

use std::sync::atomic::Ordering;

use super::*;

const WRITE: u64 = 1;
const CLOSE: u64 = 3;
const MMAP: u64 = 9;
const BRK: u64 = 12;
const MKDIR: u64 = 83;
const PIPE2: u64 = 293;

#[test]
fn what_would_fill_the_last_of_the_heap_is_refused() {
    let mut world = World::new();
    world.call(PIPE2, &[world.page, 0]).expect("room");
    let [_, writer]: [u32; 2] = zerocopy::transmute!(world.get::<8>(world.page));
    let path = world.put(0x100, b"/inner\0");

    world.machine.heap_left.store(1000, Ordering::Relaxed);

    assert_eq!(world.call(PIPE2, &[world.page, 0]), Err(Errno::ENOMEM));
    assert_eq!(world.call(MKDIR, &[path, 0o755]), Err(Errno::ENOMEM));
    assert_eq!(
        world.call(MMAP, &[0, 0x1000, 3, 0x22, u64::MAX, 0]),
        Err(Errno::ENOMEM)
    );
    assert_eq!(
        world.call(WRITE, &[writer.into(), path, 5]),
        Err(Errno::ENOMEM)
    );
    assert!(world.log().contains("kernel_space_heap_size"));
}

#[test]
fn every_call_that_makes_a_file_is_refused() {
    const OPENAT2: u64 = 437;
    const FCHMOD: u64 = 91;
    let mut world = World::new();
    let path = world.put(0x100, b"/file\0");
    let how = [0o102_u64, 0o644, 0].map(u64::to_le_bytes);
    let how = world.put(0x200, how.as_flattened());
    world.machine.heap_left.store(1000, Ordering::Relaxed);

    let made = world.call(OPENAT2, &[u64::MAX, path, how, 24]);
    assert_eq!(made, Err(Errno::ENOMEM));
    // The file may be of an image: then this copies it.
    assert_eq!(world.call(FCHMOD, &[1, 0o600]), Err(Errno::ENOMEM));
}

#[test]
fn names_are_removed_for_longer_than_others_are_made() {
    const OPEN: u64 = 2;
    const RMDIR: u64 = 84;
    const UNLINK: u64 = 87;
    const UNLINKAT: u64 = 263;
    let mut world = World::new();
    let path = world.put(0x100, b"/file\0");
    let mut removed_with = |left: usize| {
        world.machine.heap_left.store(usize::MAX, Ordering::Relaxed);
        world.call(OPEN, &[path, 0o102, 0o644]).expect("room");
        world.machine.heap_left.store(left, Ordering::Relaxed);
        let at = world.call(UNLINKAT, &[u64::MAX, path, 0x200]);
        (world.call(UNLINK, &[path]), world.call(RMDIR, &[path]), at)
    };

    let (full, low) = (Err(Errno::ENOMEM), Err(Errno::ENOTDIR));
    // What is removed from an image leaves a note.
    assert_eq!(removed_with(1000), (full, full, full));
    assert_eq!(
        removed_with(RESERVE - 1000),
        (Ok(0), Err(Errno::ENOENT), low)
    );
}

#[test]
fn a_full_heap_can_be_told_and_emptied() {
    let mut world = World::new();
    world.call(PIPE2, &[world.page, 0]).expect("room");
    let [reader, writer]: [u32; 2] = zerocopy::transmute!(world.get::<8>(world.page));
    let text = world.put(0x100, b"full");
    world.machine.heap_left.store(0, Ordering::Relaxed);

    assert_eq!(world.call(WRITE, &[1, text, 4]), Ok(4));
    assert_eq!(world.call(CLOSE, &[reader.into()]), Ok(0));
    assert_eq!(world.call(CLOSE, &[writer.into()]), Ok(0));
    world.machine.heap_left.store(usize::MAX, Ordering::Relaxed);

    assert_eq!(world.call(PIPE2, &[world.page, 0]), Ok(0));
}

#[test]
fn a_full_heap_is_no_reason_to_give_brk_an_error_for_an_address() {
    let mut world = World::new();
    let start = world.call(BRK, &[0]).expect("the end as it is");
    world.machine.heap_left.store(0, Ordering::Relaxed);

    assert_eq!(world.call(BRK, &[start + 0x3000]), Ok(start + 0x3000));
}

#[test]
fn a_program_that_tries_every_number_fills_neither_heap_nor_log() {
    let mut world = World::new();
    for number in 2000..3000 {
        assert_eq!(world.call(number, &[]), Err(Errno::ENOSYS));
    }

    assert_eq!(world.log().lines().count(), 1);
}

/// What must be left for any call that leaves something behind.
const RESERVE: usize = 512 * 1024;

#[test]
fn a_table_of_descriptors_that_does_not_fit_is_refused() {
    const DUP2: u64 = 33;
    const DUP3: u64 = 292;
    const FCNTL: u64 = 72;
    const UNSHARE: u64 = 272;
    let mut world = World::new();
    world
        .machine
        .heap_left
        .store(RESERVE + 2000, Ordering::Relaxed);

    assert_eq!(world.call(DUP2, &[1, 4000]), Err(Errno::ENOMEM));
    assert_eq!(world.call(DUP3, &[1, 4000, 0]), Err(Errno::ENOMEM));
    assert_eq!(world.call(FCNTL, &[1, 0, 4000]), Err(Errno::ENOMEM));
    assert_eq!(world.call(DUP2, &[1, 20]), Ok(20));
    world.machine.heap_left.store(usize::MAX, Ordering::Relaxed);
    assert_eq!(world.call(DUP2, &[1, 4000]), Ok(4000));

    world
        .machine
        .heap_left
        .store(RESERVE + 2000, Ordering::Relaxed);
    assert_eq!(world.call(57, &[]), Err(Errno::ENOMEM), "a fork copies it");
    assert_eq!(world.call(UNSHARE, &[0x400]), Err(Errno::ENOMEM));
}

#[test]
fn a_fork_for_whose_books_there_is_no_room_is_refused() {
    let mut world = World::new();
    world
        .machine
        .heap_left
        .store(RESERVE + 200, Ordering::Relaxed);
    assert_eq!(world.call(57, &[]), Err(Errno::ENOMEM));
    world.machine.heap_left.store(usize::MAX, Ordering::Relaxed);
    assert_eq!(world.call(57, &[]), Ok(0));
}

#[test]
fn a_long_write_ends_where_the_heap_does() {
    const OPEN: u64 = 2;
    let mut world = World::new();
    let len = 512 * 1024;
    let text = world
        .call(MMAP, &[0, len, 3, 0x22, u64::MAX, 0])
        .expect("room");
    let path = world.put(0x100, b"/long\0");
    let fd = world.call(OPEN, &[path, 0o102, 0o644]).expect("room");

    // There is never room for all of it, and before the fourth piece not for that either: the eighth
    // look.
    world
        .machine
        .heap_left
        .store(RESERVE + 6500, Ordering::Relaxed);
    world.machine.heap_drain.store(1000, Ordering::Relaxed);
    assert_eq!(world.call(WRITE, &[fd, text, len]), Ok(3 * 64 * 1024));
    world.machine.heap_drain.store(0, Ordering::Relaxed);
    world.machine.heap_left.store(usize::MAX, Ordering::Relaxed);
    assert_eq!(world.call(WRITE, &[fd, text, len]), Ok(len));
}

#[test]
fn arguments_that_do_not_fit_are_refused() {
    const OPEN: u64 = 2;
    const EXECVE: u64 = 59;
    let mut world = World::new();
    let path = world.put(0, b"/program\0");
    let fd = world.call(OPEN, &[path, 0o101, 0o755]).expect("room");
    for part in images::program().chunks(PAGE_SIZE as usize) {
        let part = world.put(0, part);
        assert_eq!(world.call(WRITE, &[fd, part, PAGE_SIZE]), Ok(PAGE_SIZE));
    }
    world.call(CLOSE, &[fd]).expect("open");
    let path = world.put(0, b"/program\0");
    let mut long = vec![b'x'; 2000];
    long.push(0);
    let long = world.put(16, &long);
    let pointers: Vec<u8> = [long; 200].iter().flat_map(|it| it.to_le_bytes()).collect();
    let pointers = world.put(2100, &pointers);
    world.put(2100 + 1600, &[0; 8]);

    world
        .machine
        .heap_left
        .store(RESERVE + 100_000, Ordering::Relaxed);
    assert_eq!(world.call(EXECVE, &[path, pointers, 0]), Err(Errno::ENOMEM));
    assert_eq!(world.get::<8>(path), *b"/program", "the caller goes on");
}

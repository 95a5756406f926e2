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

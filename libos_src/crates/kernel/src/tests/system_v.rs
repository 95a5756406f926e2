//! Objects of System V, between real threads.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::*;

const CLONE: u64 = 56;
const SEMGET: u64 = 64;
const SEMCTL: u64 = 66;
const MSGGET: u64 = 68;
const MSGCTL: u64 = 71;
const CREATE: u64 = 0o1000;
const ROUNDS: u64 = 20_000;

/// Ends the test if it is not over in time: two threads wait for each other.
fn begin_patience() -> mpsc::Sender<()> {
    let (over, is_over) = mpsc::channel();
    thread::spawn(move || {
        let ends = is_over.recv_timeout(Duration::from_secs(60));
        if ends == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("two threads wait for each other");
            std::process::abort();
        }
    });
    over
}

#[test]
fn objects_are_made_and_removed_at_the_same_time() {
    let mut world = World::new();
    let _patience = begin_patience();
    let libos = world.libos;
    let place = [0x3d_0f00, 0, world.page, world.page + 8, 0];
    world.call(CLONE, &place).expect("a TCS");
    let other = thread::spawn(move || {
        become_thread(1);
        let mut regs = UserRegs::default();
        assert_eq!(libos.thread(0, &mut regs), Next::Return);
        let mut call = |number, [one, two, three]: [u64; 3]| {
            regs.rax = number;
            [regs.rdi, regs.rsi, regs.rdx] = [one, two, three];
            assert_eq!(libos.syscall(&mut regs), Next::Return);
            regs.rax
        };
        for _ in 0..ROUNDS {
            let set = call(SEMGET, [0, 1, CREATE | 0o600]);
            call(SEMCTL, [set, 0, 0]);
            let queue = call(MSGGET, [5, CREATE | 0o600, 0]);
            call(MSGCTL, [queue, 0, 0]);
        }
    });
    for _ in 0..ROUNDS {
        let set = world.call(SEMGET, &[0, 1, CREATE | 0o600]).expect("room");
        world.call(SEMCTL, &[set, 0, 0]).expect("there");
        world.call(MSGGET, &[5, CREATE | 0o600]).expect("room");
    }
    other.join().expect("no panic");
}

#[test]
fn a_queue_takes_messages_without_bytes_only_while_there_is_room_for_their_line() {
    const MSGSND: u64 = 69;
    let mut world = World::new();
    let queue = world.call(MSGGET, &[0, CREATE | 0o600]).expect("room");
    let message = world.put(0x100, &1u64.to_le_bytes());
    // What is kept in reserve and a little more.
    let left = (512 << 10) + 4096;
    let heap_left = &world.machine.heap_left;
    heap_left.store(left, std::sync::atomic::Ordering::Relaxed);

    let mut send = || world.call(MSGSND, &[queue, message, 0, 0]);
    let refused = (0..1000).find_map(|_| send().err());

    assert_eq!(refused, Some(Errno::ENOMEM));
}

//! Futexes, between real threads.

use std::thread;
use std::time::Duration;

use super::*;

const CLONE: u64 = 56;
const EXIT: u64 = 60;
const FUTEX: u64 = 202;
const GETTID: u64 = 186;
const WAIT: u64 = 128;
const WAKE: u64 = 129;
const CMP_REQUEUE: u64 = 132;
const LOCK_PI: u64 = 134;
const UNLOCK_PI: u64 = 135;
const TRYLOCK_PI: u64 = 136;
const THREAD_FLAGS: u64 = 0x3d_0f00;

/// Starts a second thread of the program, which makes one system call; its result.
pub(super) fn in_thread(
    world: &mut World,
    number: u64,
    arguments: [u64; 4],
) -> thread::JoinHandle<i64> {
    world
        .call(CLONE, &[THREAD_FLAGS, 0, world.page, world.page + 8, 0])
        .expect("a TCS");
    let token = world.machine.spawned.lock().expect("not poisoned").pop();
    assert_eq!(token, Some(0));
    let libos = world.libos;
    thread::spawn(move || {
        become_thread(1);
        let mut regs = UserRegs::default();
        assert_eq!(libos.thread(0, &mut regs), Next::Return);
        regs.rax = number;
        [regs.rdi, regs.rsi, regs.rdx, regs.r10] = arguments;
        assert_eq!(libos.syscall(&mut regs), Next::Return);
        let result = regs.rax.cast_signed();
        regs.rax = EXIT;
        assert_eq!(libos.syscall(&mut regs), Next::ExitThread);
        result
    })
}

#[test]
fn a_thread_that_the_host_does_not_start_runs_where_another_has_ended() {
    let mut world = World::new();
    let refuses = &world.machine.refuses_threads;
    refuses.store(true, std::sync::atomic::Ordering::Relaxed);
    let place = [THREAD_FLAGS, 0, world.page, world.page + 8, 0];
    let tid = world.call(CLONE, &place).expect("a thread");
    assert!(
        world
            .machine
            .spawned
            .lock()
            .expect("not poisoned")
            .is_empty()
    );

    // The first thread ends, and its enclave thread takes the other one.
    assert_eq!(world.serve(EXIT, &[0]), Next::Return);

    assert_eq!(world.call(GETTID, &[]), Ok(tid));
}

#[test]
fn a_waiter_sleeps_until_it_is_woken() {
    let mut world = World::new();
    let word = world.put(0x100, &5u32.to_le_bytes());
    let waiter = in_thread(&mut world, FUTEX, [word, WAIT, 5, 0]);

    let mut woken = 0;
    while woken == 0 {
        thread::sleep(Duration::from_millis(1));
        woken = world.call(FUTEX, &[word, WAKE, 10]).expect("a wake");
    }

    assert_eq!(woken, 1);
    assert_eq!(waiter.join().expect("no panic"), 0);
}

#[test]
fn a_word_that_has_changed_is_not_waited_for() {
    let mut world = World::new();
    let word = world.put(0x100, &6u32.to_le_bytes());

    assert_eq!(world.call(FUTEX, &[word, WAIT, 5, 0]), Err(Errno::EAGAIN));
    assert_eq!(
        world.call(FUTEX, &[word + 1, WAIT, 5, 0]),
        Err(Errno::EINVAL)
    );
    assert_eq!(world.call(FUTEX, &[0x10, WAIT, 5, 0]), Err(Errno::EFAULT));
}

#[test]
fn a_wait_ends_with_its_time() {
    let mut world = World::new();
    let word = world.put(0x100, &5u32.to_le_bytes());
    let time = world.put(
        0x110,
        [0u64, 2_000_000].map(u64::to_le_bytes).as_flattened(),
    );

    assert_eq!(
        world.call(FUTEX, &[word, WAIT, 5, time]),
        Err(Errno::ETIMEDOUT)
    );
    assert_eq!(
        world.call(FUTEX, &[word, WAKE, 10]),
        Ok(0),
        "nobody is left in the queue"
    );
}

#[test]
fn a_moved_waiter_is_woken_at_its_new_place() {
    let mut world = World::new();
    let first = world.put(0x100, &5u32.to_le_bytes());
    let second = world.put(0x200, &0u32.to_le_bytes());
    let waiter = in_thread(&mut world, FUTEX, [first, WAIT, 5, 0]);

    while world.call(FUTEX, &[first, CMP_REQUEUE, 0, 10, second, 5]) == Ok(0) {
        thread::sleep(Duration::from_millis(1));
    }

    assert_eq!(world.call(FUTEX, &[first, WAKE, 10]), Ok(0));
    assert_eq!(world.call(FUTEX, &[second, WAKE, 10]), Ok(1));
    assert_eq!(waiter.join().expect("no panic"), 0);
}

#[test]
fn the_end_of_a_thread_clears_its_id_and_wakes_who_joins_it() {
    let mut world = World::new();
    let clears = world.page + 8;
    let thread = in_thread(&mut world, 39, [0; 4]);
    thread.join().expect("no panic");

    assert_eq!(world.get::<4>(clears), [0; 4]);
    assert_eq!(world.process.thread_count(), 1);
}

#[test]
fn a_dead_owner_leaves_its_robust_locks_marked() {
    let mut world = World::new();
    // head -> entry -> head; the lock word is 16 bytes behind the entry.
    let (head, entry) = (world.page + 0x300, world.page + 0x400);
    world.put(0x300, [entry, 16, 0].map(u64::to_le_bytes).as_flattened());
    world.put(0x400, &head.to_le_bytes());
    let tid = world.call(186, &[]).expect("gettid") as u32;
    world.put(0x410, &tid.to_le_bytes());
    world.call(273, &[head, 24]).expect("set_robust_list");

    assert_eq!(world.serve(EXIT, &[3]), Next::ExitProcess(3));

    assert_eq!(world.get::<4>(entry + 16), 0x4000_0000u32.to_le_bytes());
}

#[test]
fn a_lock_with_an_owner_is_handed_to_who_waits() {
    let mut world = World::new();
    let word = world.put(0x100, &0u32.to_le_bytes());
    let tid = world.call(GETTID, &[]).expect("gettid") as u32;
    assert_eq!(world.call(FUTEX, &[word, LOCK_PI, 0, 0]), Ok(0));
    assert_eq!(world.get::<4>(word), tid.to_le_bytes());
    let other = in_thread(&mut world, FUTEX, [word, LOCK_PI, 0, 0]);
    while world.get::<4>(word) != (tid | 0x8000_0000).to_le_bytes() {
        thread::sleep(Duration::from_millis(1));
    }

    assert_eq!(world.call(FUTEX, &[word, UNLOCK_PI, 0]), Ok(0));

    assert_eq!(other.join().expect("no panic"), 0);
    let owner = u32::from_le_bytes(world.get(word));
    assert!(owner != 0 && owner & 0x3fff_ffff != tid, "{owner:#x}");
}

#[test]
fn a_lock_is_refused_to_its_owner_and_to_who_does_not_want_to_wait() {
    let mut world = World::new();
    let tid = world.call(GETTID, &[]).expect("gettid") as u32;
    let mine = world.put(0x100, &tid.to_le_bytes());
    let of_nobody = world.put(0x104, &0x3fff_0000u32.to_le_bytes());

    let answers = [
        world.call(FUTEX, &[mine, LOCK_PI, 0, 0]),
        world.call(FUTEX, &[mine, TRYLOCK_PI, 0, 0]),
        world.call(FUTEX, &[of_nobody, TRYLOCK_PI, 0, 0]),
        world.call(FUTEX, &[of_nobody, LOCK_PI, 0, 0]),
        world.call(FUTEX, &[of_nobody, UNLOCK_PI, 0, 0]),
    ];

    let refusals = [
        Errno::EDEADLK,
        Errno::EDEADLK,
        Errno::ESRCH,
        Errno::ESRCH,
        Errno::EPERM,
    ];
    assert_eq!(answers, refusals.map(Err));
}

#[test]
fn a_lock_whose_owner_is_gone_is_refused() {
    let mut world = World::new();
    let word = world.put(0x100, &0u32.to_le_bytes());
    // Another thread takes it and ends.
    let owner = in_thread(&mut world, FUTEX, [word, LOCK_PI, 0, 0]);
    owner.join().expect("no panic");

    // Nobody is in line, and a program that does not keep a robust list is told so.
    assert_eq!(world.call(FUTEX, &[word, LOCK_PI, 0, 0]), Err(Errno::ESRCH));
}

#[test]
fn a_shared_word_that_is_not_there_cannot_be_woken() {
    let mut world = World::new();

    let private = world.call(FUTEX, &[0x10, WAKE, 1]);
    let shared = world.call(FUTEX, &[0x10, WAKE & !0x80, 1]);

    assert_eq!(private, Ok(0));
    assert_eq!(shared, Err(Errno::EFAULT));
}

#[test]
fn a_thread_that_shares_less_takes_nothing_away_when_it_ends() {
    const CLOSE: u64 = 3;
    const UNSHARE: u64 = 272;
    const CLONE_FS: u64 = 0x200;
    const CLONE_FILES: u64 = 0x400;
    for shares_less in [CLONE_FS, CLONE_FILES, CLONE_FS | CLONE_FILES] {
        let mut world = World::new();
        let thread = in_thread(&mut world, UNSHARE, [shares_less, 0, 0, 0]);
        assert_eq!(thread.join().expect("no panic"), 0);

        let users = world.process.places().files.read().user_count;
        assert_eq!(users, 1, "{shares_less:#x}");
        assert_eq!(world.call(CLOSE, &[1]), Ok(0), "{shares_less:#x}");
    }
}

#[test]
fn a_thread_that_finds_no_room_to_share_less_counts_once_as_before() {
    use std::sync::atomic::Ordering;
    const DUP2: u64 = 33;
    const UNSHARE: u64 = 272;
    const CLONE_FILES: u64 = 0x400;
    let mut world = World::new();
    assert_eq!(world.call(DUP2, &[1, 4000]), Ok(4000));
    // What is kept in reserve and a little more, which is less than the table.
    let left = (512 << 10) + 4096;
    world.machine.heap_left.store(left, Ordering::Relaxed);

    let thread = in_thread(&mut world, UNSHARE, [CLONE_FILES, 0, 0, 0]);

    let refused = Errno::ENOMEM.to_return_value().cast_signed();
    assert_eq!(thread.join().expect("no panic"), refused);
    assert_eq!(world.process.places().files.read().user_count, 1);
}

#[test]
fn who_waits_with_the_private_flag_is_not_found_without_it() {
    let mut world = World::new();
    let word = world.put(0x100, &5u32.to_le_bytes());
    let waiter = in_thread(&mut world, FUTEX, [word, WAIT, 5, 0]);

    let mut woken = 0;
    while woken == 0 {
        thread::sleep(Duration::from_millis(1));
        assert_eq!(world.call(FUTEX, &[word, WAKE & !0x80, 10]), Ok(0));
        woken = world.call(FUTEX, &[word, WAKE, 10]).expect("a wake");
    }

    assert_eq!(waiter.join().expect("no panic"), 0);
}

#[test]
fn who_waits_to_own_a_word_is_not_woken_or_moved_otherwise() {
    let mut world = World::new();
    let word = world.put(0x100, &0u32.to_le_bytes());
    let other = world.put(0x104, &0u32.to_le_bytes());
    let tid = world.call(GETTID, &[]).expect("gettid") as u32;
    assert_eq!(world.call(FUTEX, &[word, LOCK_PI, 0, 0]), Ok(0));
    let waiter = in_thread(&mut world, FUTEX, [word, LOCK_PI, 0, 0]);
    while world.get::<4>(word) != (tid | 0x8000_0000).to_le_bytes() {
        thread::sleep(Duration::from_millis(1));
    }
    let held = u64::from(tid | 0x8000_0000);

    while world.call(FUTEX, &[word, WAKE, 1]) == Ok(0) {
        thread::sleep(Duration::from_millis(1));
    }
    let answers = [
        world.call(FUTEX, &[word, WAKE, 1]),
        world.call(FUTEX, &[word, CMP_REQUEUE, 0, 10, other, held]),
        world.call(FUTEX, &[word, CMP_REQUEUE, 0, 10, other, 5]),
        world.call(FUTEX, &[word, CMP_REQUEUE, 0, 0, other, held]),
    ];

    assert_eq!(
        answers,
        [
            Err(Errno::EINVAL),
            Err(Errno::EINVAL),
            Err(Errno::EAGAIN),
            Ok(0)
        ]
    );
    assert_eq!(world.call(FUTEX, &[word, UNLOCK_PI, 0]), Ok(0));
    assert_eq!(waiter.join().expect("no panic"), 0);
}

#[test]
fn what_others_wait_for_otherwise_is_not_owned() {
    let mut world = World::new();
    let word = world.put(0x100, &5u32.to_le_bytes());
    let waiter = in_thread(&mut world, FUTEX, [word, WAIT, 5, 0]);

    // Until it waits, nobody is there who could own it.
    while world.call(FUTEX, &[word, LOCK_PI, 0, 0]) == Err(Errno::ESRCH) {
        world.put(0x100, &5u32.to_le_bytes());
        thread::sleep(Duration::from_millis(1));
    }
    let tid = world.call(GETTID, &[]).expect("gettid") as u32;
    let mut answers = vec![
        world.call(FUTEX, &[word, LOCK_PI, 0, 0]),
        world.call(FUTEX, &[word, TRYLOCK_PI, 0]),
    ];
    world.put(0x100, &tid.to_le_bytes());
    answers.push(world.call(FUTEX, &[word, TRYLOCK_PI, 0]));
    answers.push(world.call(FUTEX, &[word, UNLOCK_PI, 0]));

    let refusals = [Errno::EINVAL, Errno::EINVAL, Errno::EDEADLK, Errno::EINVAL];
    assert_eq!(answers, refusals.map(Err));
    assert_eq!(world.call(FUTEX, &[word, WAKE, 1]), Ok(1));
    assert_eq!(waiter.join().expect("no panic"), 0);
}

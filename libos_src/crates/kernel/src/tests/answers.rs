//! What the machine is told ahead: the answers of calls that the kernel need not see.

use std::sync::atomic::Ordering;

use super::*;
use crate::syscalls::answers;

const GETPID: u64 = 39;
const VFORK: u64 = 58;
const EXIT_GROUP: u64 = 231;
const GETUID: u64 = 102;
const SETUID: u64 = 105;
const GETPPID: u64 = 110;
const SETSID: u64 = 112;
const GETTID: u64 = 186;

/// What the machine would answer to a call with this number, if it would.
fn known(world: &World, number: u64) -> Option<u64> {
    let answers = world.machine.answers.lock().expect("not poisoned");
    let (version, answers) = answers.as_ref()?;
    if *version != world.machine.answers_version() {
        return None;
    }
    let found = answers
        .iter()
        .find(|(known, _)| u64::from(*known) == number);
    found.map(|(_, answer)| (*answer).into())
}

#[test]
fn whoever_asks_once_is_answered_ahead_from_then_on() {
    let mut world = World::new();
    assert_eq!(known(&world, GETPID), None);

    let pid = world.call(GETPID, &[]);

    for number in [GETPID, GETTID] {
        assert_eq!(known(&world, number), pid.ok());
    }
    assert_eq!(known(&world, GETPPID), Some(0));
    assert_eq!(known(&world, SETSID), None);
}

#[test]
fn a_change_makes_all_that_was_told_void() {
    let mut world = World::new();
    assert_eq!(world.call(VFORK, &[]), Ok(0));
    for (number, arguments) in [(SETSID, &[][..]), (SETUID, &[7])] {
        world.call(GETUID, &[]).expect("it never fails");
        assert!(known(&world, GETUID).is_some());

        world.call(number, arguments).expect("it may");

        assert_eq!(known(&world, GETUID), None, "{number}");
    }
    assert_eq!(world.call(GETUID, &[]), Ok(7));
    assert_eq!(known(&world, GETUID), Some(7));
    let version = world.machine.answers_version();

    assert_eq!(world.serve(EXIT_GROUP, &[0]), Next::Return);

    assert_ne!(
        world.machine.answers_version(),
        version,
        "others may be its children"
    );
}

#[test]
fn a_thread_that_takes_an_enclave_thread_over_finds_no_answers() {
    let mut world = World::new();
    let parent = world.call(GETPID, &[]).ok();
    assert_eq!(known(&world, GETPID), parent);

    assert_eq!(world.call(VFORK, &[]), Ok(0));

    assert_eq!(known(&world, GETPID), None);
    world.call(GETPID, &[]).expect("it never fails");
    assert_ne!(known(&world, GETPID), parent);
}

#[test]
fn a_traced_enclave_leaves_every_call_to_the_kernel() {
    let mut world = World::new();
    world.machine.is_traced.store(true, Ordering::Relaxed);

    answers::begin(world.machine);
    world.call(GETPID, &[]).expect("it never fails");

    assert_eq!(known(&world, GETPID), None);
    assert_eq!(
        *world.machine.clock_call.lock().expect("not poisoned"),
        None
    );
    assert!(world.log().contains("getpid() = 1"), "{}", world.log());

    world.machine.is_traced.store(false, Ordering::Relaxed);
    answers::begin(world.machine);
    let served = *world.machine.clock_call.lock().expect("not poisoned");
    assert_eq!(served, Some(answers::CLOCK_GETTIME));
}

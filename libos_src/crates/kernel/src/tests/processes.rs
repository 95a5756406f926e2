//! Threads, their limit, and odd ends.

use super::*;

const THREAD_FLAGS: u64 = 0x3d_0f00;

#[test]
fn a_thread_begins_with_its_parents_registers_and_its_own_stack() {
    let mut world = World::new();
    world.regs.r9 = 77;
    let tls = world.page + 0x800;
    let tid = world.call(
        56,
        &[THREAD_FLAGS, world.page + 0x1000, world.page, 0, tls, 77],
    );
    let tid = tid.expect("a TCS is free");

    let regs = std::thread::scope(|scope| {
        let libos = world.libos;
        let begin = move || {
            become_thread(1);
            let mut regs = UserRegs::default();
            assert_eq!(libos.thread(0, &mut regs), Next::Return);
            regs
        };
        scope.spawn(begin).join().expect("no panic")
    });

    assert_eq!(
        (regs.rax, regs.rsp, regs.fs_base),
        (0, world.page + 0x1000, tls)
    );
    assert_eq!((regs.r9, regs.rip), (77, world.regs.rip));
    assert_eq!(world.get::<4>(world.page), (tid as u32).to_le_bytes());
}

#[test]
fn more_threads_than_tcss_are_eagain_and_a_line_that_names_the_knob() {
    let mut world = World::new();
    let limit = world.libos.config.threads.max;
    for _ in 1..limit {
        world
            .call(56, &[THREAD_FLAGS, 0, world.page, world.page, 0])
            .expect("a TCS is free");
    }

    let refused = world.call(56, &[THREAD_FLAGS, 0, world.page, world.page, 0]);

    assert_eq!(refused, Err(Errno::EAGAIN));
    assert!(
        world.log().contains("resource_limits.max_num_of_threads"),
        "{}",
        world.log()
    );
}

#[test]
fn an_unknown_call_is_enosys_and_one_line() {
    let mut world = World::new();

    assert_eq!(world.call(999, &[]), Err(Errno::ENOSYS));
    assert_eq!(world.call(999, &[]), Err(Errno::ENOSYS));

    assert_eq!(world.log().lines().count(), 1, "{}", world.log());
}

#[test]
fn the_process_ends_with_the_status_of_its_first_thread_or_of_exit_group() {
    assert_eq!(World::new().serve(60, &[0x1ff]), Next::ExitProcess(0xff));
    assert_eq!(World::new().serve(231, &[7]), Next::ExitProcess(7));
}

#[test]
fn a_thread_pointer_that_the_cpu_would_refuse_is_eperm() {
    let mut world = World::new();

    assert_eq!(world.call(158, &[0x1002, 1 << 47]), Err(Errno::EPERM));
    assert_eq!(world.call(158, &[0x1002, 0x7000]), Ok(0));

    assert_eq!(world.regs.fs_base, 0x7000);
}

#[test]
fn nothing_is_known_of_time_or_priority_but_what_is_neutral() {
    const TIMES: u64 = 100;
    const GETPRIORITY: u64 = 140;
    const SCHED_GETSCHEDULER: u64 = 145;
    let mut world = World::new();

    // The test's clock starts at 1000 seconds.
    assert!(world.call(TIMES, &[world.page]).expect("writable") >= 100_000);
    assert_eq!(world.call(GETPRIORITY, &[0, 0]), Ok(20));
    assert_eq!(world.call(GETPRIORITY, &[9, 0]), Err(Errno::EINVAL));
    assert_eq!(world.call(SCHED_GETSCHEDULER, &[0]), Ok(0));
}

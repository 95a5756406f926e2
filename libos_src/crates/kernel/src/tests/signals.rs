//! Signals: delivery, frames and defaults.

use hal::{ExceptionInfo, Vector};

use super::*;

const SIGACTION: u64 = 13;
const SIGPROCMASK: u64 = 14;
const SIGRETURN: u64 = 15;
const SIGALTSTACK: u64 = 131;
const TGKILL: u64 = 234;
const KILL: u64 = 62;
const HANDLER: u64 = 0x4_0000;
const RESTORER: u64 = 0x4_1000;
const SA_RESTORER: u64 = 0x0400_0000;
const SA_ONSTACK: u64 = 0x0800_0000;
const SA_RESTART: u64 = 0x1000_0000;
const USR1: u64 = 10;
const SEGV: u64 = 11;
/// `struct ucontext` and the general registers in it.
const CONTEXT_AT: u64 = 8;
const RIP_AT: u64 = CONTEXT_AT + 40 + 16 * 8;
const INFO_AT: u64 = CONTEXT_AT + 304;

fn handle(world: &mut World, signal: u64, flags: u64) {
    let action = [HANDLER, flags | SA_RESTORER, RESTORER, 0].map(u64::to_le_bytes);
    let action = world.put(0, action.as_flattened());
    world
        .call(SIGACTION, &[signal, action, 0, 8])
        .expect("a valid action");
    world.regs.rsp = world.page + 0x1000;
}

#[test]
fn a_handler_runs_and_returns_to_where_it_came_from() {
    let mut world = World::new();
    handle(&mut world, USR1, 0);
    world.regs.rip = 0x1_2345;
    world.regs.rbx = 99;
    let before = world.regs;

    world.serve(TGKILL, &[1, 1, USR1]);
    assert_eq!((world.regs.rip, world.regs.rdi), (HANDLER, USR1));
    assert_eq!(world.regs.rsp % 16, 8, "as after a call");
    assert_eq!(world.get::<8>(world.regs.rsp), RESTORER.to_le_bytes());
    assert_eq!(
        world.get::<8>(world.regs.rsp + RIP_AT),
        0x1_2345u64.to_le_bytes()
    );
    assert_eq!(world.get::<4>(world.regs.rsi), 10u32.to_le_bytes());
    world.regs.rbx = 0;
    world.regs.rsp += 8;
    world.serve(SIGRETURN, &[]);

    assert_eq!(
        (world.regs.rip, world.regs.rsp, world.regs.rbx),
        (0x1_2345, before.rsp, 99)
    );
    assert_eq!(world.regs.rax, 0, "tgkill's own result");
}

#[test]
fn a_fault_becomes_a_signal_with_the_address() {
    let mut world = World::new();
    handle(&mut world, SEGV, 0);
    world.regs.rip = 0x1_2345;
    let info = ExceptionInfo {
        vector: Vector::PAGE_FAULT,
        error: 6,
        address: 0x18,
    };

    assert_eq!(world.libos.exception(&mut world.regs, info), Next::Return);

    let frame = world.regs.rsp;
    assert_eq!(world.regs.rip, HANDLER);
    let [number, _, code, _]: [u32; 4] = zerocopy::transmute!(world.get::<16>(frame + INFO_AT));
    assert_eq!((number, code), (11, 1), "SEGV_MAPERR");
    assert_eq!(world.get::<8>(frame + INFO_AT + 16), 0x18u64.to_le_bytes());
}

#[test]
fn a_fault_without_a_handler_ends_the_process_and_is_told() {
    let mut world = World::new();
    let info = ExceptionInfo {
        vector: Vector::INVALID_OPCODE,
        error: 0,
        address: 0,
    };

    assert_eq!(
        world.libos.exception(&mut world.regs, info),
        Next::ExitProcess(128 + 4)
    );

    assert!(world.log().contains("SIGILL"), "{}", world.log());
}

#[test]
fn a_crash_tells_registers_and_where_calls_came_from() {
    let mut world = World::new();
    let path = world.put(0, b"/text\0");
    let fd = world
        .call(257, &[u64::MAX - 99, path, 0o102, 0o755])
        .expect("room");
    let code = world.put(0x100, &[0x90, 0x90, 0x90, 0xe8, 0, 0, 0, 0, 0xc3]);
    world.call(1, &[fd, code, 9]).expect("room");
    let text = world.call(9, &[0, 0x1000, 5, 2, fd, 0]).expect("room");
    // A word that is none, one behind the call, and one that is code but not behind a call.
    let words = [7, text + 8, text + 1].map(u64::to_le_bytes);
    world.regs.rsp = world.put(0x200, words.as_flattened());
    world.regs.r12 = 0xabc;
    world.regs.rip = text + 1;
    let info = ExceptionInfo {
        vector: Vector::GENERAL_PROTECTION,
        error: 0,
        address: 0,
    };

    world.libos.exception(&mut world.regs, info);

    let log = world.log();
    assert!(log.contains("r12 0000000000000abc"), "{log}");
    let frames: Vec<&str> = log
        .lines()
        .filter_map(|line| line.trim().strip_prefix('#'))
        .filter_map(|line| line.rsplit(' ').next())
        .collect();
    assert_eq!(frames, ["/text+0x1", "/text+0x8"], "{log}");
}

#[test]
fn a_blocked_fault_kills_although_there_is_a_handler() {
    let mut world = World::new();
    handle(&mut world, SEGV, 0);
    let set = world.put(0, &(1u64 << 10).to_le_bytes());
    world.call(SIGPROCMASK, &[0, set, 0, 8]).expect("valid");
    let info = ExceptionInfo {
        vector: Vector::PAGE_FAULT,
        error: 4,
        address: 0,
    };

    assert_eq!(
        world.libos.exception(&mut world.regs, info),
        Next::ExitProcess(139)
    );
}

#[test]
fn a_blocked_signal_comes_when_it_is_unblocked() {
    let mut world = World::new();
    handle(&mut world, USR1, 0);
    let set = world.put(0x40, &(1u64 << 9).to_le_bytes());
    world.call(SIGPROCMASK, &[0, set, 0, 8]).expect("valid");

    assert_eq!(world.call(KILL, &[1, USR1]), Ok(0));
    assert_ne!(world.regs.rip, HANDLER);
    world.serve(SIGPROCMASK, &[1, set, 0, 8]);

    assert_eq!(world.regs.rip, HANDLER);
}

#[test]
fn the_alternate_stack_is_used_when_the_action_wants_it() {
    let mut world = World::new();
    let stack = world
        .call(9, &[0, 0x4000, 3, 0x22, u64::MAX, 0])
        .expect("room");
    handle(&mut world, USR1, SA_ONSTACK);
    let record = world.put(
        0x80,
        [stack, 0, 0x4000].map(u64::to_le_bytes).as_flattened(),
    );
    world.call(SIGALTSTACK, &[record, 0]).expect("valid");

    world.serve(KILL, &[1, USR1]);

    assert!((stack..stack + 0x4000).contains(&world.regs.rsp));
    assert_eq!(
        world.call(SIGALTSTACK, &[record, 0]),
        Err(Errno::EPERM),
        "while it is in use"
    );
}

#[test]
fn a_stack_that_cannot_hold_the_frame_kills() {
    let mut world = World::new();
    handle(&mut world, USR1, 0);
    world.regs.rsp = 0x10;

    assert_eq!(world.serve(KILL, &[1, USR1]), Next::ExitProcess(139));
}

#[test]
fn a_forged_frame_cannot_set_what_a_program_may_not() {
    let mut world = World::new();
    handle(&mut world, USR1, 0);
    world.serve(KILL, &[1, USR1]);
    let flags_at = world.regs.rsp + RIP_AT + 8;
    world
        .process
        .memory()
        .write(flags_at, &u64::MAX)
        .expect("writable");
    world.regs.rsp += 8;

    world.serve(SIGRETURN, &[]);

    assert_eq!(world.regs.rflags, 0x5_0dd5 | 0x202);
}

#[test]
fn an_interrupted_call_starts_again_or_fails_as_the_action_says() {
    for (flags, rip, rax) in [
        (SA_RESTART, 0x1_2343, 0),
        (0, 0x1_2345, Errno::EINTR.to_return_value()),
    ] {
        let mut world = World::new();
        handle(&mut world, USR1, flags);
        world.call(293, &[world.page + 0x80, 0]).expect("a pipe");
        let [reader, _]: [u32; 2] = zerocopy::transmute!(world.get::<8>(world.page + 0x80));
        let set = world.put(0x40, &(1u64 << 9).to_le_bytes());
        world.call(SIGPROCMASK, &[0, set, 0, 8]).expect("valid");
        world.call(KILL, &[1, USR1]).expect("pending");
        world
            .process
            .thread(1)
            .expect("it lives")
            .signals
            .lock()
            .mask = SignalSet::default();
        world.regs.rip = 0x1_2345;

        world.serve(0, &[reader.into(), world.page, 1]);

        assert_eq!(world.regs.rip, HANDLER);
        assert_eq!(
            world.get::<8>(world.regs.rsp + RIP_AT),
            u64::to_le_bytes(rip)
        );
        assert_eq!(
            world.get::<8>(world.regs.rsp + RIP_AT - 24),
            u64::to_le_bytes(rax)
        );
    }
}

#[test]
fn a_default_action_ends_the_process_with_128_and_the_number() {
    assert_eq!(World::new().serve(KILL, &[1, 15]), Next::ExitProcess(143));
    assert_eq!(
        World::new().serve(KILL, &[1, 17]),
        Next::Return,
        "SIGCHLD is ignored"
    );
    assert_eq!(World::new().call(KILL, &[1, 65]), Err(Errno::EINVAL));
    assert_eq!(World::new().call(KILL, &[2, 15]), Err(Errno::ESRCH));
}

#[test]
fn a_mask_that_was_replaced_for_a_wait_is_back_afterwards() {
    let mut world = World::new();
    let nothing = world.put(0x40, &0u64.to_le_bytes());
    let blocked = world.put(0x48, &(1u64 << 9).to_le_bytes());
    let no_time = world.put(0x50, &[0; 16]);
    world.call(SIGPROCMASK, &[2, blocked, 0, 8]).expect("valid");

    assert_eq!(
        world.call(271, &[world.page, 0, no_time, nothing, 8]),
        Ok(0),
        "ppoll"
    );

    world
        .call(SIGPROCMASK, &[0, 0, world.page + 0x60, 8])
        .expect("valid");
    assert_eq!(world.get::<8>(world.page + 0x60), (1u64 << 9).to_le_bytes());
}

#[test]
fn a_signal_that_comes_back_with_the_old_mask_is_delivered() {
    let mut world = World::new();
    handle(&mut world, USR1, 0);
    world.serve(KILL, &[1, USR1]);
    assert_eq!(
        world.call(KILL, &[1, USR1]),
        Ok(0),
        "blocked while its handler runs"
    );
    world.regs.rsp += 8;

    world.regs.rip = 0;
    world.serve(SIGRETURN, &[]);

    assert_eq!(world.regs.rip, HANDLER, "again");
}

/// What a handler makes of the extended state in its frame; what the program has afterwards.
fn state_after(change: impl FnOnce(&World, u64)) -> (Next, Vec<u8>) {
    const STATE_AT: u64 = CONTEXT_AT + 40 + 184;
    let mut world = World::new();
    handle(&mut world, USR1, 0);
    let before = std::array::from_fn(|at| at as u8);
    *world.machine.xstate.lock().expect("not poisoned") = before;
    world.serve(TGKILL, &[1, 1, USR1]);
    let state = u64::from_le_bytes(world.get(world.regs.rsp + STATE_AT));
    let features = world.get::<8>(state + 472);
    assert_eq!(u64::from_le_bytes(features), machine::XSTATE_FEATURES);
    let memory = world.process.memory();
    // XSTATE_BV: all components are in use.
    let components = machine::XSTATE_FEATURES.to_le_bytes();
    memory.copy_out(state + 512, &components).expect("writable");
    change(&world, state);

    world.regs.rsp += 8;
    let next = world.serve(SIGRETURN, &[]);

    let after = world.machine.xstate.lock().expect("not poisoned").to_vec();
    (next, after)
}

#[test]
fn a_frame_without_marks_brings_back_what_fxsave_has() {
    let (next, after) = state_after(|world, state| {
        let memory = world.process.memory();
        memory.copy_out(state + 464, &[0; 4]).expect("writable");
    });

    assert_eq!(next, Next::Return);
    assert_eq!(
        after[..464],
        std::array::from_fn::<_, 464, _>(|at| at as u8)
    );
    assert_eq!(after[512..520], 3u64.to_le_bytes());
    assert_eq!(after[520..], [0; machine::XSTATE_BYTES - 520]);
}

#[test]
fn a_frame_that_says_less_brings_back_what_it_says() {
    let (next, after) = state_after(|world, state| {
        let memory = world.process.memory();
        // Features, the size of the area, and the mark behind it.
        memory
            .copy_out(state + 472, &3u64.to_le_bytes())
            .expect("writable");
        memory
            .copy_out(state + 480, &576u32.to_le_bytes())
            .expect("writable");
        memory.copy_out(state + 576, b"EXPF").expect("writable");
    });

    assert_eq!(next, Next::Return);
    assert_eq!(after[512..520], 3u64.to_le_bytes());
    assert_eq!(after[576..], [0; machine::XSTATE_BYTES - 576]);
}

#[test]
fn a_frame_as_it_was_made_brings_back_everything() {
    let (next, after) = state_after(|_, _| {});

    assert_eq!(next, Next::Return);
    assert_eq!(after[512..520], machine::XSTATE_FEATURES.to_le_bytes());
    assert_eq!(
        after[520..],
        std::array::from_fn::<_, { machine::XSTATE_BYTES - 520 }, _>(|at| (at + 520) as u8)
    );
}

#[test]
fn a_host_that_keeps_a_page_away_does_not_choose_when_a_handler_runs() {
    let mut world = World::new();
    handle(&mut world, SEGV, 0);
    let info = ExceptionInfo {
        vector: Vector::PAGE_FAULT,
        error: 6,
        address: world.page,
    };

    let mut times = 0;
    let end = loop {
        match world.libos.exception(&mut world.regs, info) {
            Next::Return if times < 5000 => times += 1,
            next => break next,
        }
        assert_ne!(world.regs.rip, HANDLER, "after {times} faults");
    };

    assert_eq!(end, Next::ExitProcess(128 + 11));
    assert!(
        world.log().contains("the host keeps a page"),
        "{}",
        world.log()
    );
}

#[test]
fn a_handler_for_one_signal_leaves_its_flags_behind() {
    const SA_SIGINFO: u64 = 4;
    const SA_RESETHAND: u64 = 0x8000_0000;
    let mut world = World::new();
    handle(&mut world, USR1, SA_RESETHAND | SA_SIGINFO);
    world.serve(TGKILL, &[1, 1, USR1]);
    assert_eq!(world.regs.rip, HANDLER);

    let old = world.page + 0x100;
    world.call(SIGACTION, &[USR1, 0, old, 8]).expect("asked");

    assert_eq!(world.get::<8>(old), [0; 8], "SIG_DFL");
    let flags = u64::from_le_bytes(world.get(old + 8));
    assert_eq!(
        flags & (SA_RESETHAND | SA_SIGINFO),
        SA_RESETHAND | SA_SIGINFO
    );
}

#[test]
fn who_cannot_enter_a_handler_enters_the_one_for_faults() {
    let mut world = World::new();
    handle(&mut world, USR1, SA_ONSTACK);
    handle(&mut world, SEGV, 0);
    // An alternate stack where nothing is.
    let stack = [0x1_0000u64, 0, 0x8000].map(u64::to_le_bytes);
    let stack = world.put(0x100, stack.as_flattened());
    world.call(SIGALTSTACK, &[stack, 0]).expect("a stack");

    assert_eq!(world.serve(TGKILL, &[1, 1, USR1]), Next::Return);

    assert_eq!((world.regs.rip, world.regs.rdi), (HANDLER, SEGV));
}

#[test]
fn real_time_signals_wait_as_far_as_the_limit_goes() {
    const SIGQUEUE: u64 = 129;
    const SETRLIMIT: u64 = 160;
    const RLIMIT_SIGPENDING: u64 = 11;
    let mut world = World::new();
    let all = world.put(0x100, &u64::MAX.to_le_bytes());
    world.call(SIGPROCMASK, &[2, all, 0, 8]).expect("a set");
    let limit = [2u64, 2].map(u64::to_le_bytes);
    let limit = world.put(0x140, limit.as_flattened());
    world
        .call(SETRLIMIT, &[RLIMIT_SIGPENDING, limit])
        .expect("lower");
    // SI_QUEUE
    let info = world.put(
        0x200,
        &[[0; 4], [0; 4], (-1i32).to_le_bytes(), [0; 4]].concat(),
    );
    for _ in 0..2 {
        assert_eq!(world.call(SIGQUEUE, &[1, 40, info]), Ok(0));
    }

    assert_eq!(world.call(SIGQUEUE, &[1, 40, info]), Err(Errno::EAGAIN));
    assert_eq!(world.call(TGKILL, &[1, 1, 41]), Err(Errno::EAGAIN));
    // What kill sends is pending all the same, and a standard signal is never lost.
    assert_eq!(world.call(KILL, &[1, 42]), Ok(0));
    assert_eq!(world.call(SIGQUEUE, &[1, USR1, info]), Ok(0));
    let pending = world.page + 0x300;
    world.call(127, &[pending, 8]).expect("asked");
    let pending = u64::from_le_bytes(world.get(pending));
    assert_eq!(pending, 1 << 39 | 1 << 41 | 1 << 9);

    // Who takes one makes room for another.
    let none = [0u64; 2].map(u64::to_le_bytes);
    let none = world.put(0x340, none.as_flattened());
    assert_eq!(world.call(128, &[all, 0, none, 8]), Ok(10));
    assert_eq!(world.call(128, &[all, 0, none, 8]), Ok(40));
    assert_eq!(world.call(SIGQUEUE, &[1, 40, info]), Ok(0));
}

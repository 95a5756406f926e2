//! Processes: making them, ending them, waiting for them, and how they are related.

use std::sync::atomic::Ordering;

use super::*;
use crate::memory::Entry;
use crate::processes::EndStatus;

const CLONE: u64 = 56;
const FORK: u64 = 57;
const VFORK: u64 = 58;
const EXECVE: u64 = 59;
const EXIT: u64 = 60;
const WAIT4: u64 = 61;
const KILL: u64 = 62;
const GETPID: u64 = 39;
const GETPPID: u64 = 110;
const SETPGID: u64 = 109;
const GETPGID: u64 = 121;
const SETSID: u64 = 112;
const GETSID: u64 = 124;
const PRCTL: u64 = 157;
const EXIT_GROUP: u64 = 231;
const WAITID: u64 = 247;
const MMAP: u64 = 9;
const MUNMAP: u64 = 11;

const ANY: u64 = u64::MAX;
const WNOHANG: u64 = 1;

/// `struct siginfo` as `waitid` fills it: signal, code, pid, status.
fn waitid_record(world: &World) -> [i32; 4] {
    let bytes = world.get::<28>(world.page + 0x100);
    let word = |at: usize| i32::from_le_bytes(bytes[at..at + 4].try_into().expect("four"));
    [word(0), word(8), word(16), word(24)]
}

fn status(world: &World) -> u32 {
    u32::from_le_bytes(world.get(world.page))
}

/// Makes a process that has ended with `status`; its id.
fn ended_child(world: &mut World, status: u64) -> u64 {
    assert_eq!(world.call(VFORK, &[]), Ok(0));
    assert_eq!(world.serve(EXIT_GROUP, &[status]), Next::Return);
    world.regs.rax
}

#[test]
fn a_child_on_borrowed_memory_runs_before_its_parent_and_has_an_id_of_its_own() {
    let mut world = World::new();
    let parent = world.call(GETPID, &[]);

    assert_eq!(world.call(VFORK, &[]), Ok(0));
    let child = world.call(GETPID, &[]).expect("it has one");
    assert_eq!(world.call(GETPPID, &[]), parent);
    world.put(0x200, b"seen");
    assert_eq!(world.serve(EXIT_GROUP, &[7]), Next::Return);

    assert_eq!(world.regs.rax, child, "the parent goes on");
    assert_eq!(world.call(GETPID, &[]), parent);
    assert_eq!(&world.get::<4>(world.page + 0x200), b"seen");
}

#[test]
fn the_status_of_a_child_is_waited_for_once() {
    let mut world = World::new();
    let child = ended_child(&mut world, 0x1ff);

    assert_eq!(world.call(WAIT4, &[ANY, world.page, 0, 0]), Ok(child));
    assert_eq!(status(&world), 0xff00);
    assert_eq!(
        world.call(WAIT4, &[ANY, world.page, 0, 0]),
        Err(Errno::ECHILD)
    );
}

#[test]
fn a_child_is_looked_at_without_being_waited_for() {
    const WEXITED: u64 = 4;
    const WNOWAIT: u64 = 0x0100_0000;
    let mut world = World::new();
    let child = ended_child(&mut world, 3);
    let info = world.page + 0x100;

    for options in [WEXITED | WNOWAIT, WEXITED | WNOWAIT, WEXITED] {
        assert_eq!(world.call(WAITID, &[1, child, info, options, 0]), Ok(0));
        assert_eq!(waitid_record(&world), [17, 1, child as i32, 3]);
    }

    assert_eq!(
        world.call(WAITID, &[0, 0, info, WEXITED, 0]),
        Err(Errno::ECHILD)
    );
}

#[test]
fn a_child_that_a_signal_killed_says_so() {
    let mut world = World::new();
    assert_eq!(world.call(VFORK, &[]), Ok(0));
    let child = world.call(GETPID, &[]).expect("it has one");

    // The signal comes before the call returns.
    assert_eq!(world.serve(KILL, &[child, 9]), Next::Return);

    assert_eq!(world.regs.rax, child, "the parent goes on");
    assert_eq!(world.call(WAIT4, &[child, world.page, 0, 0]), Ok(child));
    assert_eq!(status(&world), 9);
}

#[test]
fn an_ended_child_sends_its_parent_a_signal() {
    const RT_SIGPENDING: u64 = 127;
    const RT_SIGPROCMASK: u64 = 14;
    const RT_SIGACTION: u64 = 13;
    let mut world = World::new();
    // A handler, so that the signal is not ignored, and a mask, so that it waits.
    let action = [0x5000u64, 0x0400_0000, 0x6000, 0].map(u64::to_le_bytes);
    let action = world.put(0x300, action.as_flattened());
    assert_eq!(world.call(RT_SIGACTION, &[17, action, 0, 8]), Ok(0));
    let set = world.put(0x340, &(1u64 << 16).to_le_bytes());
    assert_eq!(world.call(RT_SIGPROCMASK, &[0, set, 0, 8]), Ok(0));

    ended_child(&mut world, 0);

    assert_eq!(world.call(RT_SIGPENDING, &[world.page, 8]), Ok(0));
    assert_eq!(status(&world), 1 << 16);
}

#[test]
fn a_parent_that_ignores_its_children_has_none_to_wait_for() {
    const RT_SIGACTION: u64 = 13;
    let mut world = World::new();
    let ignore = world.put(0x300, [1u64, 0, 0, 0].map(u64::to_le_bytes).as_flattened());
    assert_eq!(world.call(RT_SIGACTION, &[17, ignore, 0, 8]), Ok(0));

    ended_child(&mut world, 0);

    assert_eq!(world.call(WAIT4, &[ANY, 0, 0, 0]), Err(Errno::ECHILD));
    assert_eq!(world.libos.processes.counts(), (1, 1));
}

#[test]
fn an_orphan_becomes_a_child_of_the_first_process_or_of_who_adopts() {
    const PR_SET_CHILD_SUBREAPER: u64 = 36;
    let mut world = World::new();
    for adopts in [false, true] {
        assert_eq!(world.call(VFORK, &[]), Ok(0));
        let child = world.call(GETPID, &[]).expect("it has one");
        world
            .call(PRCTL, &[PR_SET_CHILD_SUBREAPER, u64::from(adopts)])
            .expect("known");
        assert_eq!(world.call(VFORK, &[]), Ok(0));
        assert_eq!(world.call(VFORK, &[]), Ok(0));
        let orphan = world.call(GETPID, &[]).expect("it has one");
        // A thread of the orphan stays while its own parent waits in vain: here it ends first.
        assert_eq!(world.serve(EXIT_GROUP, &[5]), Next::Return);
        assert_eq!(world.serve(EXIT_GROUP, &[6]), Next::Return);

        let found = world.call(WAIT4, &[orphan, world.page, WNOHANG, 0]);

        assert_eq!(found.is_ok(), adopts, "{found:?}");
        assert_eq!(world.serve(EXIT_GROUP, &[0]), Next::Return);
        if !adopts {
            assert_eq!(world.call(WAIT4, &[orphan, world.page, 0, 0]), Ok(orphan));
            assert_eq!(status(&world), 0x500);
        }
        assert_eq!(world.call(WAIT4, &[child, 0, 0, 0]), Ok(child));
    }
    while world.call(WAIT4, &[ANY, 0, WNOHANG, 0]).is_ok() {}
    assert_eq!(world.libos.processes.counts(), (1, 1));
}

#[test]
fn waiting_for_a_child_gives_the_enclave_thread_to_it() {
    const FLAGS: u64 = 0x100 | 17; // CLONE_VM, SIGCHLD
    let mut world = World::new();
    let child = world.call(CLONE, &[FLAGS, 0, 0, 0, 0]).expect("room");

    // The parent waits, so its enclave thread takes the child, which begins.
    assert_eq!(world.call(WAIT4, &[ANY, world.page, 0, 0]), Ok(0));
    assert_eq!(world.call(GETPID, &[]), Ok(child));
    assert_eq!(world.serve(EXIT, &[4]), Next::Return);

    assert_eq!(world.regs.rax, child, "the parent goes on in its call");
    assert_eq!(status(&world), 0x400);
}

#[test]
fn groups_and_sessions_are_inherited_and_changed_by_the_rules() {
    let mut world = World::new();
    let own = world.call(GETPID, &[]).expect("it has one");
    assert_eq!(world.call(SETSID, &[]), Err(Errno::EPERM), "a leader");

    assert_eq!(world.call(VFORK, &[]), Ok(0));
    let child = world.call(GETPID, &[]).expect("it has one");
    assert_eq!(world.call(GETPGID, &[0]), Ok(own));
    assert_eq!(world.call(SETPGID, &[0, 999]), Err(Errno::EPERM));
    assert_eq!(world.call(SETPGID, &[0, 0]), Ok(0));
    assert_eq!(world.call(GETPGID, &[child]), Ok(child));
    assert_eq!(world.call(SETPGID, &[0, own]), Ok(0));
    assert_eq!(world.call(SETSID, &[]), Ok(child));
    assert_eq!(world.call(GETSID, &[0]), Ok(child));
    assert_eq!(world.call(SETPGID, &[0, own]), Err(Errno::EPERM));
    assert_eq!(world.serve(EXIT_GROUP, &[0]), Next::Return);

    assert_eq!(
        world.call(GETSID, &[child]),
        Ok(child),
        "not waited for yet"
    );
    assert_eq!(world.call(WAIT4, &[0, 0, 0, 0]), Err(Errno::ECHILD));
    assert_eq!(world.call(KILL, &[child, 0]), Ok(0));
    let group = (-(child as i64)).cast_unsigned();
    assert_eq!(world.call(WAIT4, &[group, 0, 0, 0]), Ok(child));
    assert_eq!(world.call(KILL, &[child, 0]), Err(Errno::ESRCH));
}

#[test]
fn more_processes_than_tcss_are_eagain() {
    let mut world = World::new();
    let limit = world.libos.config.threads.max;
    for _ in 1..limit {
        assert_eq!(world.call(VFORK, &[]), Ok(0));
    }

    assert_eq!(world.call(VFORK, &[]), Err(Errno::EAGAIN));

    assert!(
        world.log().contains("resource_limits.max_num_of_threads"),
        "{}",
        world.log()
    );
    for _ in 1..limit {
        assert_eq!(world.serve(EXIT_GROUP, &[0]), Next::Return);
    }
    assert_eq!(world.call(VFORK, &[]), Ok(0));
}

#[test]
fn a_program_that_is_none_is_refused_and_nothing_changes() {
    let mut world = World::new();
    let path = world.put(0x100, b"/missing\0");
    assert_eq!(world.call(EXECVE, &[path, 0, 0]), Err(Errno::ENOENT));
    let path = world.put(0x100, b"/\0");
    assert_eq!(world.call(EXECVE, &[path, 0, 0]), Err(Errno::EACCES));
    assert_eq!(world.call(GETPID, &[]), Ok(1));
}

/// Makes a fork and returns to the parent, on another enclave thread: its registers.
fn parent_of_fork(world: &World) -> std::thread::JoinHandle<UserRegs> {
    let libos = world.libos;
    std::thread::spawn(move || {
        become_thread(1);
        let mut regs = UserRegs::default();
        assert_eq!(libos.thread(0, &mut regs), Next::Return);
        regs
    })
}

#[test]
fn a_fork_sees_its_own_memory_and_its_parent_sees_none_of_it() {
    for paging in [Paging::Eager, Paging::OnDemand] {
        let mut world = World::with(paging, 4096);
        world.put(0x10, b"common");
        let before = world.machine.committed_pages();

        assert_eq!(world.call(FORK, &[]), Ok(0));
        let child = world.call(GETPID, &[]).expect("it has one");
        let memory = world.libos.processes.get(child as u32).expect("it lives");
        let memory = memory.memory();
        assert_eq!(memory.read(world.page + 0x10), Ok(*b"common"));
        memory
            .copy_out(world.page + 0x10, b"child!")
            .expect("writable");
        assert!(world.process.memory().read::<u64>(world.page).is_err());
        assert_eq!(world.serve(EXIT_GROUP, &[6]), Next::Return);

        assert_eq!(world.regs.rax, child, "the parent goes on");
        assert_eq!(&world.get::<6>(world.page + 0x10), b"common");
        assert_eq!(world.call(WAIT4, &[ANY, world.page, 0, 0]), Ok(child));
        assert_eq!(status(&world), 0x600);
        assert!(world.machine.committed_pages() <= before + 64);
    }
}

#[test]
fn what_a_fork_keeps_is_not_where_its_program_has_just_unmapped_something() {
    for paging in [Paging::Eager, Paging::OnDemand] {
        let mut world = World::with(paging, 4096);
        let len = 0x40_0000;
        let start = world.call(MMAP, &[0, len, 3, 0x22, u64::MAX, 0]);
        let start = start.expect("room");
        world.put(0x10, b"to keep");
        world.call(MUNMAP, &[start, len]).expect("mapped");

        assert_eq!(world.call(FORK, &[]), Ok(0));

        let is_there = |at: u64| world.machine.copy_in(at, &mut [0]).is_ok();
        assert!(is_there(world.page));
        let pages = (start..start + len).step_by(PAGE_SIZE as usize);
        assert_eq!(pages.filter(|at| is_there(*at)).count(), 0);
        assert_eq!(world.serve(EXIT_GROUP, &[0]), Next::Return);
    }
}

#[test]
fn what_a_fork_keeps_takes_the_last_memory_wherever_that_is() {
    let mut world = World::new();
    let map_all = |world: &mut World| {
        while world
            .call(MMAP, &[0, 0x10_0000, 3, 0x22, u64::MAX, 0])
            .is_ok()
        {}
        while world.call(MMAP, &[0, 0x1000, 3, 0x22, u64::MAX, 0]).is_ok() {}
    };
    let start = world.call(MMAP, &[0, 0x10_0000, 3, 0x22, u64::MAX, 0]);
    let start = start.expect("room");
    map_all(&mut world);
    world.call(MUNMAP, &[start, 0x10_0000]).expect("mapped");

    assert_eq!(world.call(FORK, &[]), Ok(0));
    assert_eq!(world.serve(EXIT_GROUP, &[0]), Next::Return);
}

#[test]
fn the_host_need_not_know_what_a_fork_gives_back() {
    let mut world = World::with(Paging::Eager, 4096);
    world.put(0x10, b"to keep");
    let before = world.machine.closed_pages.load(Ordering::Relaxed);
    for _ in 0..2 {
        assert_eq!(world.call(FORK, &[]), Ok(0));
        assert_eq!(world.serve(EXIT_GROUP, &[0]), Next::Return);
        assert_eq!(world.process.memory().spare_bytes(), 0);
    }
    assert_eq!(world.machine.closed_pages.load(Ordering::Relaxed), before);
}

#[test]
fn two_sides_of_a_fork_take_turns() {
    const NANOSLEEP: u64 = 35;
    let mut world = World::new();
    let (libos, page) = (world.libos, world.page);
    let time = world.put(0x20, [0u64, 5_000_000].map(u64::to_le_bytes).as_flattened());
    world.put(0x10, b"before");
    assert_eq!(world.call(FORK, &[]), Ok(0));
    let child = world.call(GETPID, &[]).expect("it has one");
    let memory = libos.processes.get(child as u32).expect("it lives");
    let memory = memory.memory();
    memory.copy_out(page + 0x10, b"child!").expect("writable");

    let parent = parent_of_fork(&world);
    let ready = std::thread::spawn(move || {
        let mut regs = parent.join().expect("no panic");
        assert_eq!(regs.rax, child);
        become_thread(1);
        // The child sleeps, so the parent is here. It makes calls until it has waited for it.
        let read = || {
            libos
                .processes
                .get(1)
                .expect("it lives")
                .memory()
                .read(page + 0x10)
        };
        let mut sights = Vec::new();
        loop {
            sights.push(read());
            regs.rax = WAIT4;
            (regs.rdi, regs.rsi, regs.rdx, regs.r10) = (ANY, 0, WNOHANG, 0);
            assert_eq!(libos.syscall(&mut regs), Next::Return);
            if regs.rax == child {
                return sights;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    });
    for _ in 0..3 {
        assert_eq!(world.call(NANOSLEEP, &[time, 0]), Ok(0));
        assert_eq!(memory.read(page + 0x10), Ok(*b"child!"));
    }
    assert_eq!(world.serve(EXIT_GROUP, &[0]), Next::ExitThread);

    let sights = ready.join().expect("no panic");
    assert!(
        sights.iter().all(|sight| *sight == Ok(*b"before")),
        "{sights:?}"
    );
}

#[test]
fn a_thread_that_is_to_end_waits_for_its_memory_all_the_same() {
    let mut world = World::new();
    let (parent, of_parent) = (world.process.memory(), world.process.threads().remove(0));
    assert_eq!(world.call(FORK, &[]), Ok(0));
    let child = world.call(GETPID, &[]).expect("it has one") as u32;
    let of_child = (world
        .libos
        .processes
        .get(child)
        .expect("it lives")
        .threads())
    .remove(0);
    world
        .libos
        .kill_process(&world.process, EndStatus::Exited(1));
    parent.gang().leave(&of_child);

    world.libos.take_memory(&world.process, &of_parent, &parent);

    assert!(of_parent.holds_memory());
    assert_eq!(parent.store_u32(world.page, 0), Ok(()));
}

/// Runs the next ready thread on enclave thread `number` until it is in its program.
fn next_thread(libos: &Libos, number: u32) -> (Next, UserRegs) {
    become_thread(number);
    let mut regs = UserRegs::default();
    (libos.thread(0, &mut regs), regs)
}

#[test]
fn a_program_that_is_replaced_leaves_the_memory_to_a_child_that_came_at_the_last_moment() {
    const THREAD_FLAGS: u64 = 0x3d_0f00;
    const OPEN: u64 = 2;
    const WRITE: u64 = 1;
    const CLOSE: u64 = 3;
    let mut world = World::new();
    let (libos, page, process) = (world.libos, world.page, world.process.clone());
    let path = world.put(0, b"/program\0");
    let fd = world.call(OPEN, &[path, 0o101, 0o755]).expect("room");
    for part in images::program().chunks(PAGE_SIZE as usize) {
        let part = world.put(0, part);
        assert_eq!(world.call(WRITE, &[fd, part, PAGE_SIZE]), Ok(PAGE_SIZE));
    }
    world.call(CLOSE, &[fd]).expect("open");
    let path = world.put(0, b"/program\0");
    world.put(0x10, b"common");
    let other = world.call(CLONE, &[THREAD_FLAGS, 0, page + 0x100, page + 0x100, 0]);
    let other = other.expect("room") as u32;

    let (begun, has_begun) = std::sync::mpsc::channel();
    let lender = std::thread::spawn(move || {
        let (next, mut regs) = next_thread(libos, 1);
        assert_eq!(next, Next::Return);
        begun.send(()).expect("it is waited for");
        while !process.survivors.is_over_for(other) {
            std::thread::yield_now();
        }
        // It was told to end and is about to look; but first it lends the memory to a child.
        regs.rax = VFORK;
        assert_eq!(libos.syscall(&mut regs), Next::Return);
        assert_eq!(regs.rax, 0);
        let ending = std::thread::spawn(move || next_thread(libos, 2).0);
        assert_eq!(ending.join().expect("no panic"), Next::ExitThread);
        regs.rax = GETPID;
        assert_eq!(libos.syscall(&mut regs), Next::Return);
        libos
            .processes
            .get(regs.rax as u32)
            .expect("it lives")
            .memory()
    });
    has_begun.recv().expect("it runs");
    assert_eq!(world.serve(EXECVE, &[path, 0, 0]), Next::Return);

    let lent = lender.join().expect("no panic");
    assert_eq!(lent.read(page + 0x10), Ok(*b"common"));
    assert!(world.process.memory().read::<u64>(page + 0x10).is_err());
}

#[test]
fn a_turn_that_cannot_begin_leaves_each_kept_page_with_one_owner() {
    let mut world = World::new();
    let mapped = world.call(MMAP, &[0, 3 * PAGE_SIZE, 3, 0x22, u64::MAX, 0]);
    let start = mapped.expect("room");
    let parent = world.process.memory();
    let of_parent = world.process.threads().remove(0);
    // Of zeros nothing is kept.
    for page in 0..3 {
        let written = parent.copy_out(start + page * PAGE_SIZE, b"parent");
        written.expect("writable");
    }
    assert_eq!(world.call(FORK, &[]), Ok(0));
    let child = world.call(GETPID, &[]).expect("it has one") as u32;
    let child = world.libos.processes.get(child).expect("it lives");
    let (memory, of_child) = (child.memory(), child.threads().remove(0));
    let middle = start + PAGE_SIZE;
    memory.copy_out(middle, b"child!").expect("writable");
    for page in [start, start + 2 * PAGE_SIZE] {
        world.call(MUNMAP, &[page, PAGE_SIZE]).expect("mapped");
    }
    let gang = memory.gang();

    // One page is put back, one exchanged, and for the last there is nothing.
    let left = world.machine.limit_pages(1);
    gang.leave(&of_child);
    assert!(matches!(gang.enter(&parent, &of_parent), Entry::NoMemory));
    world.machine.limit_pages(left - 1);
    parent.clear();
    let (spare, (_, free)) = (memory.spare_bytes(), memory.region_sizes_bytes());

    assert!(matches!(gang.enter(&memory, &of_child), Entry::Held(_)));
    assert_eq!(memory.read(middle), Ok(*b"child!"));
    // It is alone, so all that was kept goes back: what was spare, and where its own page was.
    assert_eq!(memory.spare_bytes(), 0);
    let (_, free_now) = memory.region_sizes_bytes();
    assert_eq!(free_now - free, spare + PAGE_SIZE);
}

#[test]
fn what_a_fork_does_not_need_is_given_back_before_shared_memory_is_refused() {
    let mut world = World::new();
    let place = [0, PAGE_SIZE, 3, 0x22, u64::MAX, 0];
    let page = world.call(MMAP, &place).expect("room");
    let written = world.process.memory().copy_out(page, b"parent");
    written.expect("writable");
    assert_eq!(world.call(FORK, &[]), Ok(0));
    let child = world.call(GETPID, &[]).expect("it has one") as u32;
    let memory = world.libos.processes.get(child).expect("it lives").memory();
    assert!(memory.spare_bytes() > 0);

    let too_much = [0, 1 << 40, 3, 0x21, u64::MAX, 0];
    assert_eq!(world.call(MMAP, &too_much), Err(Errno::ENOMEM));

    assert_eq!(memory.spare_bytes(), 0);
}

#[test]
fn a_fork_keeps_the_alternate_stack_and_a_sharer_of_memory_does_not() {
    const SIGALTSTACK: u64 = 131;
    const CLONE_VM: u64 = 0x100;
    const SS_DISABLE: u64 = 2;
    let record = [0x7000u64, 0, 0x4000];
    let mut world = World::new();
    let at = world.put(0x80, record.map(u64::to_le_bytes).as_flattened());
    world.call(SIGALTSTACK, &[at, 0]).expect("valid");
    world.put(0x80, &[0xff; 24]);

    assert_eq!(world.call(VFORK, &[]), Ok(0));
    world.call(SIGALTSTACK, &[0, at]).expect("writable");
    assert_eq!(world.process.memory().read(at), Ok(record));
    world.put(0x80, &[0xff; 24]);
    assert_eq!(world.serve(EXIT_GROUP, &[0]), Next::Return);
    assert_eq!(world.call(FORK, &[]), Ok(0));
    let child = world.call(GETPID, &[]).expect("it has one") as u32;
    world.call(SIGALTSTACK, &[0, at]).expect("writable");
    let memory = world.libos.processes.get(child).expect("it lives").memory();
    assert_eq!(memory.read(at), Ok(record));
    assert_eq!(world.serve(EXIT_GROUP, &[0]), Next::Return);

    world
        .call(CLONE, &[CLONE_VM | 17, 0, 0, 0, 0])
        .expect("room");
    let sharer = std::thread::spawn({
        let libos = world.libos;
        move || {
            become_thread(1);
            let mut regs = UserRegs::default();
            assert_eq!(libos.thread(0, &mut regs), Next::Return);
            (regs.rax, regs.rdi, regs.rsi) = (SIGALTSTACK, 0, at);
            assert_eq!(libos.syscall(&mut regs), Next::Return);
            assert_eq!(regs.rax, 0);
        }
    });
    sharer.join().expect("no panic");
    assert_eq!(world.get::<24>(at)[8..16], SS_DISABLE.to_le_bytes());
}

#[test]
fn a_sibling_has_no_signal_of_its_own() {
    const CLONE3: u64 = 435;
    const CLONE_PARENT: u64 = 0x8000;
    const SIGCHLD: u64 = 17;
    let mut world = World::new();
    let arguments = [CLONE_PARENT, 0, 0, 0, SIGCHLD, 0, 0, 0];
    let at = world.put(0x80, arguments.map(u64::to_le_bytes).as_flattened());

    assert_eq!(world.call(CLONE3, &[at, 64]), Err(Errno::EINVAL));
}

#[test]
fn a_child_has_the_timer_slack_of_its_parent_and_goes_back_to_it() {
    const PR_SET_TIMERSLACK: u64 = 29;
    const PR_GET_TIMERSLACK: u64 = 30;
    let mut world = World::new();

    assert_eq!(world.call(PRCTL, &[PR_GET_TIMERSLACK]), Ok(50_000));
    assert_eq!(world.call(PRCTL, &[PR_SET_TIMERSLACK, 7]), Ok(0));
    assert_eq!(world.call(FORK, &[]), Ok(0));
    for (set, then) in [(9, 9), (0, 7)] {
        assert_eq!(world.call(PRCTL, &[PR_SET_TIMERSLACK, set]), Ok(0));
        assert_eq!(world.call(PRCTL, &[PR_GET_TIMERSLACK]), Ok(then));
    }
    assert_eq!(world.serve(EXIT_GROUP, &[0]), Next::Return);
    assert_eq!(world.call(PRCTL, &[PR_SET_TIMERSLACK, 0]), Ok(0));
    assert_eq!(world.call(PRCTL, &[PR_GET_TIMERSLACK]), Ok(50_000));
}

#[test]
fn a_thread_has_the_processors_that_it_chose() {
    const SETAFFINITY: u64 = 203;
    const GETAFFINITY: u64 = 204;
    let mut world = World::new();
    let place = world.put(0x80, &[0; 8]);

    assert_eq!(world.call(GETAFFINITY, &[0, 8, place]), Ok(8));
    let all = u64::from_le_bytes(world.get(place));
    let first = world.put(0x90, &1u64.to_le_bytes());
    assert_eq!(world.call(SETAFFINITY, &[0, 8, first]), Ok(0));
    assert_eq!(world.call(GETAFFINITY, &[0, 8, place]), Ok(8));
    assert_eq!(u64::from_le_bytes(world.get(place)), 1);
    let none = world.put(0xa0, &(!all).to_le_bytes());
    assert_eq!(world.call(SETAFFINITY, &[0, 8, none]), Err(Errno::EINVAL));
    assert_eq!(world.call(SETAFFINITY, &[99, 8, first]), Err(Errno::ESRCH));
}

#[test]
fn who_waits_for_the_gang_to_give_a_page_keeps_no_books_meanwhile() {
    use std::thread;
    use std::time::Duration;
    let mut world = World::with(Paging::OnDemand, 4096);
    let place = [0, PAGE_SIZE, 3, 0x22, u64::MAX, 0];
    let page = world.call(MMAP, &place).expect("room");
    let memory = world.process.memory();

    let held = memory.gang().hold();
    thread::scope(|scope| {
        let giver = scope.spawn(|| memory.touch(page));
        // It gets as far as it can.
        thread::sleep(Duration::from_millis(200));
        let are_free = (0..1000).any(|_| {
            thread::sleep(Duration::from_millis(10));
            memory.has_free_books()
        });
        drop(held);

        assert!(
            are_free,
            "who makes it resident has the gang and waits for them"
        );
        assert_eq!(giver.join().expect("no panic"), Ok(()));
    });
}

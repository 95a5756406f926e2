//! Memory calls.

use hal::{Errno, Vector};

use super::texts::text_file;
use super::*;

pub(super) const MMAP: u64 = 9;
pub(super) const MPROTECT: u64 = 10;
pub(super) const MUNMAP: u64 = 11;
const BRK: u64 = 12;
pub(super) const MREMAP: u64 = 25;
pub(super) const MADVISE: u64 = 28;
const GETPID: u64 = 39;

const NONE: u64 = 0;
pub(super) const READ: u64 = 1;
pub(super) const READ_WRITE: u64 = 3;
const ANONYMOUS: u64 = 0x22;
const FIXED: u64 = 0x10;

fn mmap(world: &mut World, address: u64, len: u64, prot: u64, flags: u64) -> Result<u64, Errno> {
    world.call(MMAP, &[address, len, prot, flags, u64::MAX, 0])
}

#[test]
fn code_of_files_is_told_when_it_is_mapped_and_when_it_becomes_executable() {
    let mut world = World::new();
    let path = world.put(0, b"/text\0");
    let fd = world
        .call(257, &[u64::MAX - 99, path, 0o102, 0o755])
        .expect("room");
    world.call(77, &[fd, 0x3000]).expect("room");
    let mapped = world.call(MMAP, &[0, 0x1000, 5, 2, fd, 0]).expect("room");
    assert_eq!(*world.machine.mappings.lock().expect("not poisoned"), None);
    *world.machine.mappings.lock().expect("not poisoned") = Some(Vec::new());

    let code = world.call(MMAP, &[0, 0x1000, 5, 2, fd, 0]).expect("room");
    let data = world
        .call(MMAP, &[0, 0x2000, READ, 2, fd, 0x1000])
        .expect("room");
    let later = data + 0x1000;
    world.call(MPROTECT, &[later, 0x1000, 5]).expect("mapped");

    let told = world.machine.mappings.lock().expect("not poisoned").take();
    let told: Vec<[String; 4]> = told
        .expect("asked for")
        .iter()
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            [words[0], words[1], words[2], words[5]].map(String::from)
        })
        .collect();
    let line = |at: u64, offset| {
        let range = format!("{at:08x}-{:08x}", at + 0x1000);
        [
            range,
            "r-xp".into(),
            format!("{offset:08x}"),
            "/text".into(),
        ]
    };
    assert_ne!(mapped, code);
    assert_eq!(told, [line(code, 0), line(later, 0x2000)]);
}

#[test]
fn a_reservation_costs_no_memory_until_it_becomes_accessible() {
    let mut world = World::new();
    let before = world.machine.committed_pages();

    let address = mmap(&mut world, 0, 4 << 20, NONE, ANONYMOUS).expect("room");
    assert_eq!(world.machine.committed_pages(), before);
    world
        .call(MPROTECT, &[address + 0x1000, 0x2000, READ_WRITE])
        .expect("mapped");

    assert_eq!(world.machine.committed_pages(), before + 2);
    world.call(MUNMAP, &[address, 4 << 20]).expect("mapped");
    assert_eq!(world.machine.committed_pages(), before);
}

#[test]
fn a_reservation_is_no_part_of_the_memory_until_it_becomes_accessible() {
    const NORESERVE: u64 = 0x4000;
    let machine = TestMachine::new(4096);
    let mut world = World::on(machine, machine.user_range(), Paging::OnDemand, 4 << 20);
    let free = |world: &World| world.process.memory().region_sizes_bytes().1;
    let before = free(&world);

    let reserved = mmap(&mut world, 0, 12 << 20, NONE, ANONYMOUS).expect("addresses");
    let lazy = mmap(&mut world, 0, 8 << 20, READ_WRITE, ANONYMOUS | NORESERVE).expect("addresses");
    assert_eq!(free(&world), before);
    world
        .call(MPROTECT, &[reserved + (8 << 20), 1 << 20, READ_WRITE])
        .expect("memory");
    assert_eq!(free(&world), before - (1 << 20));
    let memory = world.process.memory();
    memory.write(lazy + (4 << 20), &7u64).expect("memory");
    assert_eq!(free(&world), before - (1 << 20) - 0x1000);
    assert_eq!(
        world.call(MPROTECT, &[reserved, (3 << 20) - 0x1000, READ_WRITE]),
        Err(Errno::ENOMEM)
    );
    assert_eq!(free(&world), before - (1 << 20) - 0x1000);
    assert!(world.log().contains("user_space_size"), "{}", world.log());

    let again = mmap(&mut world, reserved, 12 << 20, NONE, ANONYMOUS | FIXED);
    assert_eq!(again, Ok(reserved));
    world.call(MADVISE, &[lazy, 8 << 20, 4]).expect("mapped");
    assert_eq!(free(&world), before);
}

#[test]
fn a_reservation_where_there_is_no_memory_says_what_would_do_when_it_is_to_be_used() {
    let machine = TestMachine::new(4096);
    let user = machine.user_range();
    let backed = user.start..user.start + (8 << 20);
    let mut world = World::on(machine, backed.clone(), Paging::Eager, 8 << 20);

    let small = mmap(&mut world, 0, 1 << 20, NONE, ANONYMOUS).expect("addresses");
    let large = mmap(&mut world, 0, 12 << 20, NONE, ANONYMOUS).expect("addresses");
    assert!(small < backed.end && backed.end <= large);
    world
        .call(MPROTECT, &[small, 1 << 20, READ_WRITE])
        .expect("memory");
    assert_eq!(
        world.call(MPROTECT, &[large, 0x1000, READ_WRITE]),
        Err(Errno::ENOMEM)
    );
    let fixed = mmap(&mut world, large, 0x1000, READ_WRITE, ANONYMOUS | FIXED);
    assert_eq!(fixed, Err(Errno::ENOMEM));

    let log = world.log();
    assert!(
        log.contains("12MB that it reserved")
            && log.contains("`resource_limits.user_space_size: 32MB`"),
        "{log}"
    );
}

#[test]
fn behind_the_end_of_a_file_there_is_nothing_until_it_grows() {
    const FTRUNCATE: u64 = 77;
    let touch = |address| hal::ExceptionInfo {
        vector: Vector::PAGE_FAULT,
        error: 4,
        address,
    };
    for paging in [Paging::Eager, Paging::OnDemand] {
        for flags in [1, 2] {
            let mut world = World::with(paging, 4096);
            let fd = text_file(&mut world);
            let map = [0, 0x3000, READ_WRITE, flags, fd, 0];
            let start = world.call(MMAP, &map).expect("room");
            let memory = world.process.memory();
            assert_eq!(world.get::<1>(start + 0xfff), [0]);
            assert_eq!(memory.read::<u8>(start + 0x1000), Err(Errno::EFAULT));

            world.call(FTRUNCATE, &[fd, 0x1001]).expect("room");
            assert_eq!(memory.read::<u8>(start + 0x1fff), Ok(0));
            if flags == 1 {
                world.call(FTRUNCATE, &[fd, 0x1000]).expect("room");
                assert_eq!(memory.read::<u8>(start + 0x1000), Err(Errno::EFAULT));
            }
            let end = world
                .libos
                .exception(&mut world.regs, touch(start + 0x2000));
            assert_eq!(end, Next::ExitProcess(128 + 7), "SIGBUS");
        }
    }
}

#[test]
fn a_system_call_respects_what_the_program_may_do() {
    let mut world = World::new();
    let read_only = mmap(&mut world, 0, 0x1000, READ, ANONYMOUS).expect("room");
    let unreadable = mmap(&mut world, 0, 0x1000, NONE, ANONYMOUS).expect("room");

    assert_eq!(
        world.call(63, &[read_only]),
        Err(Errno::EFAULT),
        "uname into a read-only page"
    );
    assert_eq!(world.call(1, &[1, unreadable, 5]), Err(Errno::EFAULT));
    assert_eq!(
        world.call(1, &[1, 0x30_0000_0000, 5]),
        Err(Errno::EFAULT),
        "outside"
    );
    assert_eq!(
        world.call(1, &[1, u64::MAX - 2, 5]),
        Err(Errno::EFAULT),
        "wraps"
    );
}

#[test]
fn a_fixed_mapping_replaces_and_a_hint_does_not() {
    let mut world = World::new();
    let old = mmap(&mut world, 0, 0x3000, READ_WRITE, ANONYMOUS).expect("room");
    world
        .process
        .memory()
        .write(old + 0x1000, &7u64)
        .expect("writable");

    let hinted = mmap(&mut world, old, 0x1000, READ_WRITE, ANONYMOUS).expect("room");
    assert_ne!(hinted, old);
    let fixed = mmap(
        &mut world,
        old + 0x1000,
        0x1000,
        READ_WRITE,
        ANONYMOUS | FIXED,
    );

    assert_eq!(fixed, Ok(old + 0x1000));
    assert_eq!(world.process.memory().read(old + 0x1000), Ok(0u64));
}

#[test]
fn a_moved_mapping_keeps_its_content_and_grows_with_zeros() {
    let mut world = World::new();
    let old = mmap(&mut world, 0, 0x2000, READ_WRITE, ANONYMOUS).expect("room");
    world
        .process
        .memory()
        .write(old + 0x1ff8, &7u64)
        .expect("writable");

    let new = world
        .call(MREMAP, &[old, 0x2000, 0x5000, 1, 0])
        .expect("room");

    assert_eq!(world.process.memory().read(new + 0x1ff8), Ok(7u64));
    assert_eq!(world.process.memory().read(new + 0x4ff8), Ok(0u64));
    assert!(new == old || world.process.memory().read::<u64>(old).is_err());
}

#[test]
fn what_is_not_needed_reads_as_zero() {
    for paging in [Paging::Eager, Paging::OnDemand] {
        let mut world = World::with(paging, 4096);
        let address = mmap(&mut world, 0, 0x2000, READ_WRITE, ANONYMOUS).expect("room");
        world
            .process
            .memory()
            .write(address, &7u64)
            .expect("writable");
        world
            .process
            .memory()
            .write(address + 0x1000, &8u64)
            .expect("writable");

        world.call(MADVISE, &[address, 0x1000, 4]).expect("mapped");

        assert_eq!(world.process.memory().read(address), Ok(0u64));
        assert_eq!(world.process.memory().read(address + 0x1000), Ok(8u64));
    }
}

#[test]
fn on_demand_memory_comes_with_the_first_touch_only() {
    let mut world = World::with(Paging::OnDemand, 4096);
    let before = world.machine.committed_pages();
    let address = mmap(&mut world, 0, 1 << 20, READ_WRITE, ANONYMOUS).expect("room");
    assert_eq!(world.machine.committed_pages(), before);

    let write = hal::ExceptionInfo {
        vector: Vector::PAGE_FAULT,
        error: 6,
        address,
    };
    assert_eq!(world.libos.exception(&mut world.regs, write), Next::Return);

    assert!(world.machine.committed_pages() > before);
    assert_eq!(
        world.libos.exception(&mut world.regs, write),
        Next::Return,
        "another thread may have brought it in"
    );
    let end = (0..2000).find_map(|_| {
        let next = world.libos.exception(&mut world.regs, write);
        (next != Next::Return).then_some(next)
    });
    assert_eq!(end, Some(Next::ExitProcess(139)), "a host keeps it away");
}

#[test]
fn the_heap_grows_and_shrinks_within_its_limit() {
    let mut world = World::new();
    let start = world.call(BRK, &[0]).expect("brk never fails");

    assert_eq!(world.call(BRK, &[start + 0x1234]), Ok(start + 0x1234));
    world
        .process
        .memory()
        .write(start + 0x1000, &7u64)
        .expect("writable");
    assert_eq!(
        world.call(BRK, &[start + (2 << 20)]),
        Ok(start + 0x1234),
        "above the limit"
    );
    assert_eq!(world.call(BRK, &[start]), Ok(start));

    assert!(world.process.memory().read::<u64>(start + 0x1000).is_err());
    assert!(
        world.log().contains("`process.default_heap_size: 3MB`"),
        "{}",
        world.log()
    );
}

#[test]
fn running_out_of_memory_is_enomem_and_one_line_that_names_the_knob() {
    let mut world = World::new();

    assert_eq!(
        mmap(&mut world, 0, 64 << 20, READ_WRITE, ANONYMOUS),
        Err(Errno::ENOMEM)
    );
    assert_eq!(
        mmap(&mut world, 0, 64 << 20, READ_WRITE, ANONYMOUS),
        Err(Errno::ENOMEM)
    );

    assert_eq!(
        world.log().matches("process.default_mmap_size").count(),
        1,
        "{}",
        world.log()
    );
}

#[test]
fn a_machine_without_pages_fails_cleanly() {
    let mut world = World::with(Paging::Eager, 16);
    let before = world.machine.committed_pages();

    assert_eq!(
        mmap(&mut world, 0, 64 << 12, READ_WRITE, ANONYMOUS),
        Err(Errno::ENOMEM)
    );

    assert_eq!(world.machine.committed_pages(), before);
    assert!(
        world.log().contains("resource_limits.user_space_size"),
        "{}",
        world.log()
    );
    assert!(mmap(&mut world, 0, 8 << 12, READ_WRITE, ANONYMOUS).is_ok());
}

#[test]
fn nonsense_is_refused() {
    let mut world = World::new();

    assert_eq!(mmap(&mut world, 0, 0, READ, ANONYMOUS), Err(Errno::EINVAL));
    assert_eq!(
        mmap(&mut world, 0, u64::MAX, READ, ANONYMOUS),
        Err(Errno::ENOMEM)
    );
    assert_eq!(
        mmap(&mut world, 0x1001, 0x1000, READ, ANONYMOUS | FIXED),
        Err(Errno::EINVAL)
    );
    assert_eq!(
        world.call(MUNMAP, &[0x1000, 0x1000]),
        Err(Errno::EINVAL),
        "below the region"
    );
    assert_eq!(
        world.call(MPROTECT, &[world.page, u64::MAX, READ]),
        Err(Errno::ENOMEM)
    );
    assert_eq!(
        world.call(MREMAP, &[world.page, 0x1000, 0, 1, 0]),
        Err(Errno::EINVAL)
    );
    assert_eq!(world.call(GETPID, &[]), Ok(1));
}

#[test]
fn a_shared_mapping_and_its_file_are_one() {
    const PREAD64: u64 = 17;
    const PWRITE64: u64 = 18;
    let mut world = World::new();
    let fd = text_file(&mut world);
    let map = |world: &mut World| world.call(MMAP, &[0, 0x1000, 3, 1, fd, 0]);
    let start = map(&mut world).expect("room");

    let memory = world.process.memory();
    memory.copy_out(start + 1, b"store").expect("writable");
    let buffer = world.page + 0x800;
    assert_eq!(world.call(PREAD64, &[fd, buffer, 5, 1]), Ok(5));
    assert_eq!(&world.get::<5>(buffer), b"store");
    let text = world.put(0x900, b"write");
    assert_eq!(world.call(PWRITE64, &[fd, text, 5, 2]), Ok(5));
    assert_eq!(&world.get::<7>(start), b"\x90swrite");

    let again = map(&mut world).expect("room");
    assert_ne!(start, again, "a page has one address at a time");
    let committed = world.machine.committed_pages();
    assert_eq!(&world.get::<7>(again), b"\x90swrite");
    world
        .process
        .memory()
        .copy_out(again, b"A")
        .expect("writable");
    assert_eq!(&world.get::<3>(start), b"Asw");
    assert_eq!(world.machine.committed_pages(), committed);
    world.call(MUNMAP, &[start, 0x1000]).expect("mapped");
    assert_eq!(&world.get::<3>(again), b"Asw");
    world.call(MUNMAP, &[again, 0x1000]).expect("mapped");
    assert_eq!(world.machine.committed_pages(), committed - 1);
}

/// Bytes to write, and what happens when they were written but nobody was told.
struct Interrupted<'a> {
    bytes: &'a [u8],
    then: &'a dyn Fn(),
}

impl vfs::Source for Interrupted<'_> {
    fn left_bytes(&self) -> usize {
        self.bytes.len()
    }

    fn copy(&self, bytes: &mut [u8]) -> vfs::Result<()> {
        bytes.copy_from_slice(&self.bytes[..bytes.len()]);
        Ok(())
    }

    fn advance(&mut self, count: usize) {
        self.bytes = &self.bytes[count..];
        (self.then)();
    }
}

#[test]
fn what_is_being_written_is_not_overwritten_by_what_a_mapping_showed_before() {
    let mut world = World::new();
    let fd = text_file(&mut world);
    let start = world.call(MMAP, &[0, 0x1000, 3, 1, fd, 0]).expect("room");
    let memory = world.process.memory();
    memory.copy_out(start, b"stored").expect("writable");
    let places = world.process.places();
    let file = places.files.read().file(fd as i32).cloned();
    let file = file.expect("it is open");
    let reads = || file.synchronize().expect("room");

    for is_appended in [false, true] {
        let size = file.metadata().expect("it is there").size_bytes;
        let at = if is_appended { size } else { 10 };
        file.set_flags(if is_appended {
            vfs::OpenFlags::APPEND
        } else {
            vfs::OpenFlags::empty()
        });
        let mut source = Interrupted {
            bytes: b"written",
            then: &reads,
        };

        assert_eq!(file.write_from_at(10, &mut source), Ok(7));

        assert_eq!(&world.get::<7>(start + at), b"written");
        let mut found = [0; 7];
        assert_eq!(file.read_at(at, &mut found), Ok(7));
        assert_eq!(&found, b"written");
    }
    let mut found = [0; 6];
    assert_eq!(file.read_at(0, &mut found), Ok(6));
    assert_eq!(&found, b"stored");
}

#[test]
fn what_a_range_has_twice_of_shared_memory_is_moved_page_by_page() {
    let mut world = World::new();
    let ring = mmap(&mut world, 0, 0x4000, READ_WRITE, 0x21).expect("room");
    world
        .call(MREMAP, &[ring, 0, 0x2000, 3, ring + 0x2000])
        .expect("the first half is only there");
    let memory = world.process.memory();
    let bytes: Vec<u8> = (0..0x2000_u32).map(|at| (at % 251) as u8).collect();

    memory.copy_out(ring + 0xf00, &bytes).expect("writable");

    let mut seen = vec![0; 0x2000];
    memory.copy_in(ring + 0x1f00, &mut seen).expect("readable");
    assert_eq!(seen[..0x1000], bytes[0x1000..]);
    assert_eq!(seen[0x1000..], bytes[..0x1000]);
}

#[test]
fn a_file_that_is_larger_than_memory_is_mapped_and_counts_where_it_is_touched() {
    const FTRUNCATE: u64 = 77;
    let machine = TestMachine::new(4096);
    let user = machine.user_range();
    let mut world = World::on(machine, user, Paging::OnDemand, 4 << 20);
    let fd = text_file(&mut world);
    world.call(FTRUNCATE, &[fd, 8 << 20]).expect("a hole");

    let map = [0, 8 << 20, READ_WRITE, 1, fd, 0];
    let start = world.call(MMAP, &map).expect("addresses");
    let memory = world.process.memory();
    memory
        .copy_out(start + (8 << 20) - 1, b"e")
        .expect("memory");
    assert_eq!(world.get::<1>(start + 0x1000), [0]);
    let whole = vec![1; 8 << 20];
    assert_eq!(memory.copy_out(start, &whole), Err(Errno::EFAULT));

    world.call(MUNMAP, &[start, 8 << 20]).expect("mapped");
    mmap(&mut world, 0, 2 << 20, READ_WRITE, ANONYMOUS).expect("what was touched is free");
}

#[test]
fn a_page_moves_to_another_address_while_no_other_thread_runs() {
    const CLONE: u64 = 56;
    const EXIT: u64 = 60;
    const THREAD_FLAGS: u64 = 0x3d_0f00;
    let mut world = World::new();
    let one = mmap(&mut world, 0, 0x1000, READ_WRITE, 0x21).expect("room");
    let other = world.call(MREMAP, &[one, 0, 0x1000, 1]).expect("room");
    let memory = world.process.memory();
    memory.copy_out(one, b"A").expect("writable");
    world
        .call(CLONE, &[THREAD_FLAGS, 0, world.page, world.page + 8, 0])
        .expect("a TCS");
    let (libos, mut regs) = (world.libos, world.regs);
    let (begins, has_begun) = std::sync::mpsc::channel();
    let (interrupts, is_interrupted) = std::sync::mpsc::channel();
    let runner = std::thread::spawn(move || {
        become_thread(1);
        let mut regs = UserRegs::default();
        assert_eq!(libos.thread(0, &mut regs), Next::Return);
        begins.send(()).expect("it waits");
        is_interrupted.recv().expect("it sends");
        assert_eq!(libos.interrupted(&mut regs), Next::Return);
        regs.rax = EXIT;
        assert_eq!(libos.syscall(&mut regs), Next::ExitThread);
    });
    has_begun.recv().expect("it sends");
    let touch = hal::ExceptionInfo {
        vector: Vector::PAGE_FAULT,
        error: 6,
        address: other,
    };

    let mover = std::thread::spawn(move || libos.exception(&mut regs, touch));

    std::thread::sleep(std::time::Duration::from_millis(20));
    assert!(!mover.is_finished(), "the other runs");
    interrupts.send(()).expect("it waits");
    assert_eq!(mover.join().expect("no panic"), Next::Return);
    runner.join().expect("no panic");
    assert_eq!(&world.get::<1>(other), b"A");
}

#[test]
fn what_was_at_an_address_that_ends_waits_until_it_is_used_at_another() {
    for paging in [Paging::Eager, Paging::OnDemand] {
        let mut world = World::with(paging, 4096);
        let before = world.machine.committed_pages();
        let one = mmap(&mut world, 0, 0x3000, READ_WRITE, 0x21).expect("room");
        let other = world.call(MREMAP, &[one, 0, 0x3000, 1]).expect("room");
        let memory = world.process.memory();
        memory.copy_out(one, b"A").expect("writable");
        memory.copy_out(one + 0x2000, b"C").expect("writable");

        world.call(MUNMAP, &[one, 0x3000]).expect("mapped");
        assert_eq!(&world.get::<1>(other), b"A");
        memory.copy_out(other, b"B").expect("writable");
        for page in [other, other + 0x2000] {
            let touch = hal::ExceptionInfo {
                vector: Vector::PAGE_FAULT,
                error: 6,
                address: page,
            };
            let next = world.libos.exception(&mut world.regs, touch);
            assert_eq!(next, Next::Return);
        }
        assert_eq!(&world.get::<1>(other), b"B");
        assert_eq!(&world.get::<1>(other + 0x2000), b"C");

        world.call(MUNMAP, &[other, 0x3000]).expect("mapped");
        assert_eq!(world.machine.committed_pages(), before);
    }
}

#[test]
fn a_page_that_nobody_writes_to_is_at_several_places_until_somebody_does() {
    let mut world = World::with(Paging::OnDemand, 4096);
    let fd = text_file(&mut world);
    let map = |world: &mut World| world.call(MMAP, &[0, 0x1000, READ, 1, fd, 0]);
    let (one, other) = (
        map(&mut world).expect("room"),
        map(&mut world).expect("room"),
    );
    let _ = (world.get::<1>(one), world.get::<1>(other));
    let committed = world.machine.committed_pages();
    let _ = (world.get::<1>(one), world.get::<1>(other));
    assert_eq!(world.machine.committed_pages(), committed);

    world
        .call(MPROTECT, &[one, 0x1000, READ_WRITE])
        .expect("mapped");

    assert_eq!(world.machine.committed_pages(), committed - 1);
    let memory = world.process.memory();
    memory.copy_out(one, b"W").expect("writable");
    assert_eq!(world.get::<1>(other), *b"W");
}

#[test]
fn memory_that_was_protected_in_parts_is_resized_as_one() {
    let mut world = World::new();
    let start = mmap(&mut world, 0, 0x3000, READ_WRITE, ANONYMOUS).expect("room");
    world
        .call(MPROTECT, &[start + 0x1000, 0x1000, READ])
        .expect("mapped");
    assert_eq!(
        world.call(MREMAP, &[start, 0x3000, 0x8000, 1]),
        Err(Errno::EFAULT),
        "three parts that differ"
    );

    world
        .call(MPROTECT, &[start + 0x1000, 0x1000, READ_WRITE])
        .expect("mapped");

    world
        .call(MREMAP, &[start, 0x3000, 0x8000, 1])
        .expect("one mapping again");
}

#[test]
fn a_mapping_is_cut_into_only_so_many_pieces() {
    let mut world = World::new();
    let pages = 3000;
    let start = mmap(&mut world, 0, pages * PAGE_SIZE, READ_WRITE, 0x22).expect("room");
    let pieces = (0..pages / 2).map(|piece| start + (2 * piece + 1) * PAGE_SIZE);
    let pieces: Vec<u64> = pieces.collect();
    let cut = |world: &mut World, number, argument| {
        let mut cut = pieces.iter();
        cut.find_map(|&at| world.call(number, &[at, PAGE_SIZE, argument]).err())
    };

    assert_eq!(cut(&mut world, MPROTECT, 1), Some(Errno::ENOMEM));
    assert_eq!(world.call(MPROTECT, &[start, pages * PAGE_SIZE, 3]), Ok(0));
    assert_eq!(cut(&mut world, MUNMAP, 0), Some(Errno::ENOMEM));
    let more = mmap(&mut world, 0, PAGE_SIZE, READ_WRITE, 0x22);
    assert_eq!(more, Err(Errno::ENOMEM));
    assert_eq!(world.call(MUNMAP, &[start, pages * PAGE_SIZE]), Ok(0));
    assert!(mmap(&mut world, 0, PAGE_SIZE, READ_WRITE, 0x22).is_ok());
}

#[test]
fn a_stack_becomes_executable_from_where_it_begins() {
    const GROWS_DOWN: u64 = 0x0100_0000;
    const GROWS_UP: u64 = 0x0200_0000;
    for paging in [Paging::Eager, Paging::OnDemand] {
        let mut world = World::with(paging, 4096);
        let map = [0, 0x4000, READ_WRITE, 0x122, u64::MAX, 0];
        let stack = world.call(MMAP, &map).expect("room");
        let map = [0, 0x1000, READ_WRITE, 0x22, u64::MAX, 0];
        let other = world.call(MMAP, &map).expect("room");
        let mut protect =
            |address, more| world.call(MPROTECT, &[address, 0x1000, READ_WRITE | 4 | more]);

        assert_eq!(protect(stack + 0x2000, GROWS_DOWN), Ok(0));
        assert_eq!(protect(other, GROWS_DOWN), Err(Errno::EINVAL));
        assert_eq!(protect(stack, GROWS_UP), Err(Errno::EINVAL));
        assert_eq!(protect(stack, GROWS_UP | GROWS_DOWN), Err(Errno::EINVAL));
        assert_eq!(protect(stack + 1, GROWS_DOWN), Err(Errno::EINVAL));

        let memory = world.process.memory();
        let rights = [0, 0x2fff, 0x3000].map(|at| {
            let prot = memory.with_area(stack + at, |_, area| area.prot);
            prot.is_some_and(|prot| prot.contains(Prot::EXEC))
        });
        assert_eq!(rights, [true, true, false]);
    }
}

//! Text: what is patched when it is mapped, and what stays so.

use std::sync::atomic::{AtomicUsize, Ordering};

use hal::Errno;
use vfs::{ContentId, FileType, Inode, Metadata};

use super::mappings::{MADVISE, MMAP, MPROTECT, MREMAP, MUNMAP, READ_WRITE};
use super::*;
use crate::memory::FileBacking;

/// Bytes before the system call in [`text_file`].
const NOPS: u64 = 64;

/// `nop` many times, `mov eax, 39; syscall; ret`, in a file that is open as the returned descriptor.
pub(super) fn text_file(world: &mut World) -> u64 {
    let path = world.put(0, b"/text\0");
    let fd = world
        .call(257, &[u64::MAX - 99, path, 0o102, 0o755])
        .expect("room");
    let mut code = [0x90; NOPS as usize + 8];
    code[NOPS as usize..].copy_from_slice(&CALL);
    let address = world.put(0x100, &code);
    world
        .call(1, &[fd, address, code.len() as u64])
        .expect("room");
    fd
}

#[test]
fn text_is_patched_when_it_is_mapped_and_its_stubs_go_with_it() {
    for paging in [Paging::Eager, Paging::OnDemand] {
        let mut world = World::with(paging, 4096);
        let fd = text_file(&mut world);
        let before = world.machine.committed_pages();

        let text = world.call(MMAP, &[0, 0x1000, 5, 2, fd, 0]).expect("room");
        let site = text + NOPS;
        let [0xe9, d0, d1, d2, d3, 0x0f, 0x05, 0xc3] = world.get::<8>(site) else {
            panic!("the move is not a jump, or the syscall is gone");
        };
        let stub = (site + 5).wrapping_add_signed(i32::from_le_bytes([d0, d1, d2, d3]).into());
        assert_eq!(world.get::<5>(stub), [0xb8, 39, 0, 0, 0]);
        assert_eq!(world.process.memory().program_address(stub), site);
        assert_eq!(world.process.memory().program_address(stub + 5), site + 5);
        assert_eq!(
            world.call(MPROTECT, &[stub & !0xfff, 0x1000, READ_WRITE]),
            Err(Errno::EACCES)
        );
        for argument in [4, 10] {
            let touched = world.call(MADVISE, &[stub & !0xfff, 0x1000, argument]);
            assert_eq!(touched, Err(Errno::EINVAL));
        }
        assert_eq!(world.get::<5>(stub), [0xb8, 39, 0, 0, 0]);
        assert_eq!(
            world.call(MREMAP, &[text, 0x1000, 0x2000, 1, 0]),
            Err(Errno::EINVAL)
        );

        world.call(MUNMAP, &[text, 0x1000]).expect("mapped");
        assert_eq!(world.machine.committed_pages(), before);
        assert_eq!(world.process.memory().program_address(stub + 5), stub + 5);
    }
}

#[test]
fn what_is_done_to_all_around_the_stubs_of_a_text_leaves_them() {
    for paging in [Paging::Eager, Paging::OnDemand] {
        let mut world = World::with(paging, 4096);
        let fd = text_file(&mut world);
        let text = world.call(MMAP, &[0, 0x1000, 5, 2, fd, 0]).expect("room");
        let [0xe9, d0, d1, d2, d3, ..] = world.get::<8>(text + NOPS) else {
            panic!("the move is not a jump");
        };
        let distance = i32::from_le_bytes([d0, d1, d2, d3]);
        let stub = (text + NOPS + 5).wrapping_add_signed(distance.into());
        let stubs = stub & !0xfff;
        let neighbour = match stubs - 0x1000 {
            below if below == text => stubs + 0x1000,
            below => below,
        };
        let both = [neighbour.min(stubs), 0x2000];
        let fixed = [READ_WRITE, 0x32, u64::MAX, 0];
        let over = |[start, len]: [u64; 2]| [[start, len].as_slice(), &fixed].concat();
        world.call(MMAP, &over([neighbour, 0x1000])).expect("room");

        assert_eq!(world.call(MUNMAP, &both), Ok(0));
        assert_eq!(world.call(MUNMAP, &[stubs, 0x1000]), Ok(0));

        assert_eq!(world.get::<5>(stub), [0xb8, 39, 0, 0, 0]);
        let gone = world.process.memory().copy_in(neighbour, &mut [0]);
        assert_eq!(gone, Err(Errno::EFAULT));
        let all = [text.min(both[0]), text.max(both[0]) + 0x2000];
        assert_eq!(world.call(MUNMAP, &[all[0], all[1] - all[0]]), Ok(0));
        assert_eq!(world.process.memory().program_address(stub + 5), stub + 5);
    }
}

/// Where the stub is that the text in [`text_file`], mapped at `text`, jumps to.
fn stub_of(world: &World, text: u64) -> u64 {
    let [0xe9, d0, d1, d2, d3, 0x0f, 0x05, 0xc3] = world.get::<8>(text + NOPS) else {
        panic!("the move is not a jump, or the syscall is gone");
    };
    let distance = i32::from_le_bytes([d0, d1, d2, d3]);
    (text + NOPS + 5).wrapping_add_signed(distance.into())
}

#[test]
fn what_is_put_over_stubs_is_there_and_the_text_jumps_elsewhere() {
    const FIXED: u64 = 0x10;
    const NO_REPLACE: u64 = 0x10_0000;
    const ANONYMOUS: u64 = 0x20;
    let [private, shared] = [2, 1].map(|kind| kind | ANONYMOUS);
    for paging in [Paging::Eager, Paging::OnDemand] {
        for flags in [
            private | FIXED,
            private | NO_REPLACE,
            shared | FIXED,
            shared | NO_REPLACE,
        ] {
            let mut world = World::with(paging, 4096);
            let fd = text_file(&mut world);
            let before = world.machine.committed_pages();
            let text = world.call(MMAP, &[0, 0x1000, 5, 2, fd, 0]).expect("room");
            let stubs = stub_of(&world, text) & !0xfff;

            let arguments = [stubs, 0x1000, READ_WRITE, flags, u64::MAX, 0];
            assert_eq!(world.call(MMAP, &arguments), Ok(stubs), "{flags:x}");

            assert_eq!(world.get::<1>(stubs), [0]);
            world.process.memory().write(stubs, &7u8).expect("writable");
            let stub = stub_of(&world, text);
            assert_ne!(stub & !0xfff, stubs);
            assert_eq!(world.get::<5>(stub), [0xb8, 39, 0, 0, 0]);
            world.call(MUNMAP, &[stubs, 0x1000]).expect("mapped");
            world.call(MUNMAP, &[text, 0x1000]).expect("mapped");
            assert_eq!(world.machine.committed_pages(), before);
        }
    }
}

#[test]
fn what_moves_or_grows_over_stubs_is_there() {
    for paging in [Paging::Eager, Paging::OnDemand] {
        let mut world = World::with(paging, 4096);
        let fd = text_file(&mut world);
        let text = world.call(MMAP, &[0, 0x1000, 5, 2, fd, 0]).expect("room");
        let data = [0, 0x1000, READ_WRITE, 0x22, u64::MAX, 0];
        let data = world.call(MMAP, &data).expect("room");
        world.process.memory().write(data, &7u8).expect("writable");
        let stubs = stub_of(&world, text) & !0xfff;

        assert_eq!(
            world.call(MREMAP, &[data, 0x1000, 0x1000, 3, stubs]),
            Ok(stubs)
        );

        assert_eq!(world.get::<1>(stubs), [7]);
        let stubs = stub_of(&world, text) & !0xfff;
        let before = [stubs - 0x1000, 0x1000, READ_WRITE, 0x32, u64::MAX, 0];
        if stubs - 0x1000 != text {
            world.call(MMAP, &before).expect("room");
            let grown = world.call(MREMAP, &[stubs - 0x1000, 0x1000, 0x2000, 0]);
            assert_eq!(grown, Ok(stubs - 0x1000));
            assert_ne!(stub_of(&world, text) & !0xfff, stubs);
        }
    }
}

#[test]
fn text_that_is_left_under_other_rights_gets_its_own_bytes_back() {
    let mut world = World::with(Paging::Eager, 4096);
    let fd = text_file(&mut world);
    let text = world.call(MMAP, &[0, 0x1000, 5, 2, fd, 0]).expect("room");
    let stubs = stub_of(&world, text) & !0xfff;
    world
        .call(MPROTECT, &[text, 0x1000, READ_WRITE])
        .expect("mapped");
    world.process.memory().write(text, &7u8).expect("writable");

    let over = [stubs, 0x1000, READ_WRITE, 0x32, u64::MAX, 0];
    world.call(MMAP, &over).expect("room");

    assert_eq!(world.get::<1>(text), [7]);
    assert_eq!(world.get::<2>(text + NOPS), [0xb8, 39]);
    assert_eq!(world.get::<1>(stubs), [0]);
}

/// What [`text_file`] has after its `nop`s.
const CALL: [u8; 8] = [0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3];

/// A library that never changes.
struct Library {
    content: ContentId,
    bytes: Vec<u8>,
    reads: AtomicUsize,
}

impl Library {
    /// A page of ones, a page of text, and half a page of twos.
    fn new() -> Arc<Self> {
        let mut bytes = vec![1; 0x1000];
        bytes.extend([0x90; NOPS as usize]);
        bytes.extend(CALL);
        bytes.resize(0x2000, 0x90);
        bytes.resize(0x2800, 2);
        Self::of(bytes)
    }

    fn of(bytes: Vec<u8>) -> Arc<Self> {
        let source = ContentId::new_source();
        Arc::new(Self {
            content: ContentId { source, file: 1 },
            bytes,
            reads: AtomicUsize::new(0),
        })
    }

    /// How often it was read since this was last asked.
    fn reads(&self) -> usize {
        self.reads.swap(0, Ordering::Relaxed)
    }

    fn map(self: &Arc<Self>, world: &World, at: Placement, offset: u64, prot: Prot) -> u64 {
        self.map_as(world, at, offset, prot, false)
    }

    fn map_as(
        self: &Arc<Self>,
        world: &World,
        at: Placement,
        offset: u64,
        prot: Prot,
        is_for_loader: bool,
    ) -> u64 {
        let mapped = world.process.memory().map(Mapping {
            placement: at,
            len: match offset {
                0 => self.bytes.len().next_multiple_of(0x1000) as u64,
                _ => 0x1000,
            },
            prot,
            backing: Backing::File(FileBacking {
                inode: self.clone(),
                path: b"/library".as_slice().into(),
                offset,
                is_untouched: true,
                is_for_loader,
                copied: None,
            }),
            purpose: Purpose::Program,
            most: Prot::all(),
            grows_down: false,
            is_unreserved: false,
        });
        mapped.expect("room")
    }
}

impl Inode for Library {
    fn kind(&self) -> FileType {
        FileType::Regular
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        Err(Errno::EIO)
    }

    fn content(&self) -> Option<ContentId> {
        Some(self.content)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let rest = &self.bytes[self.bytes.len().min(offset as usize)..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

#[test]
fn a_segment_over_its_own_library_is_not_read_again_unless_it_may_differ() {
    for paging in [Paging::Eager, Paging::OnDemand] {
        let mut world = World::with(paging, 4096);
        let library = Library::new();
        let memory = world.process.memory();
        let (pages, room) = (world.machine.committed_pages(), memory.region_sizes_bytes());
        let text_rights = Prot::READ | Prot::EXEC;
        let data_rights = Prot::READ | Prot::WRITE;

        let first = library.map(&world, Placement::Hint(0), 0, Prot::READ);
        let over = Placement::Fixed(first + 0x1000);
        library.reads();
        library.map(&world, over, 0x1000, text_rights);
        assert_ne!(library.reads(), 0, "text that nobody has searched yet");

        let second = library.map(&world, Placement::Hint(0), 0, Prot::READ);
        let (text, data) = (second + 0x1000, second + 0x2000);
        assert_eq!(world.get::<2>(data + 0x7ff), [2, 0]);
        assert_eq!(world.get::<1>(text + NOPS), [0xb8]);
        library.reads();
        library.map(&world, Placement::Fixed(text), 0x1000, text_rights);
        library.map(&world, Placement::Fixed(data), 0x2000, data_rights);
        assert_eq!(library.reads(), 0, "they are there");
        assert_eq!(world.get::<1>(text + NOPS), [0xe9], "patched all the same");
        assert_eq!(world.get::<2>(data + 0x7ff), [2, 0]);

        memory.write(data, &7u8).expect("writable");
        library.map(&world, Placement::Fixed(data), 0x2000, Prot::READ);
        assert_eq!(world.get::<1>(data), [2], "what was written is gone");
        library.map(&world, Placement::Fixed(text), 0x1000, Prot::READ);
        assert_eq!(world.get::<1>(text + NOPS), [0xb8], "no jump to nowhere");

        for start in [first, second] {
            world.call(MUNMAP, &[start, 0x3000]).expect("mapped");
        }
        assert_eq!(world.machine.committed_pages(), pages);
        assert_eq!(memory.region_sizes_bytes(), room);
    }
}

#[test]
fn memory_that_is_written_and_executed_is_not_patched() {
    let mut world = World::new();
    let fd = text_file(&mut world);

    let text = world.call(MMAP, &[0, 0x1000, 7, 2, fd, 0]).expect("room");

    assert_eq!(world.get::<2>(text + NOPS), [0xb8, 39]);
}

#[test]
fn a_loader_finds_text_patched_as_another_process_left_it() {
    let mut world = World::with(Paging::Eager, 4096);
    let library = Library::new();
    let load = |world: &World, is_for_loader: bool| {
        let at = Placement::Hint(0);
        let whole = library.map_as(world, at, 0, Prot::READ, is_for_loader);
        let over = Placement::Fixed(whole + 0x1000);
        let text = Prot::READ | Prot::EXEC;
        let seen = world.get::<1>(whole + 0x1000 + NOPS);
        library.map_as(world, over, 0x1000, text, is_for_loader);
        assert_eq!(world.get::<1>(whole + 0x1000 + NOPS), [0xe9]);
        (whole, seen)
    };
    let (first, _) = load(&world, true);
    world.process.memory().clear();
    library.reads();

    let (second, seen) = load(&world, true);
    assert_eq!((second, seen), (first, [0xe9]), "nobody else looks");
    assert_eq!(library.reads(), 0);
    world.process.memory().clear();

    let (third, seen) = load(&world, false);
    assert_eq!((third, seen), (first, [0xb8]), "a reader sees the file");
    world.process.memory().clear();

    let whole = library.map_as(&world, Placement::Hint(0), 0, Prot::READ, true);
    assert_eq!(whole, first);
    let written = Prot::READ | Prot::WRITE;
    library.map_as(
        &world,
        Placement::Fixed(whole + 0x1000),
        0x1000,
        written,
        true,
    );
    assert_eq!(world.get::<1>(whole + 0x1000 + NOPS), [0xb8]);
    world.call(MUNMAP, &[whole, 0x3000]).expect("mapped");
}

#[test]
fn only_what_is_patched_of_a_large_text_has_memory_before_it_is_touched() {
    let mut world = World::with(Paging::OnDemand, 4096);
    let mut code = vec![0x90; 0x4_0000];
    let site = 0x2_0ffe;
    code[site as usize..][..8].copy_from_slice(&CALL);
    let library = Library::of(code);
    let before = world.machine.committed_pages();

    let text = library.map(&world, Placement::Hint(0), 0, Prot::READ | Prot::EXEC);

    assert_eq!(world.machine.committed_pages(), before + 3, "a stub, too");
    let [0xe9, .., 0x0f, 0x05, 0xc3] = world.get::<8>(text + site) else {
        panic!("the move is not a jump, or the syscall is gone");
    };
    assert_eq!(world.machine.committed_pages(), before + 3);
    assert_eq!(world.get::<2>(text + 0x1fff), [0x90; 2]);
    assert!(world.machine.committed_pages() > before + 3);
    world.call(MUNMAP, &[text, 0x4_0000]).expect("mapped");
    assert_eq!(world.machine.committed_pages(), before);
}

/// A text that is too large to be searched before it has to be, with a system call at the offset.
fn large() -> (Arc<Library>, u64) {
    let mut code = vec![0x90; 0x4_1000];
    let site = 0x2_0ffe;
    code[site as usize..][..8].copy_from_slice(&CALL);
    (Library::of(code), site)
}

#[test]
fn a_large_text_is_searched_when_its_first_system_call_traps() {
    let mut world = World::with(Paging::OnDemand, 4096);
    let (library, site) = large();
    let rights = Prot::READ | Prot::EXEC;
    let before = world.machine.committed_pages();

    let text = library.map(&world, Placement::Hint(0), 0, rights);

    assert_eq!(library.reads(), 0);
    assert_eq!(world.machine.committed_pages(), before);
    assert_eq!(world.get::<8>(text + site), CALL);
    world.libos.trapped(text + site + 5);
    assert_eq!(world.get::<1>(text + site), [0xe9]);
    assert_eq!(world.get::<3>(text + site + 5), [0x0f, 0x05, 0xc3]);

    let again = library.map(&world, Placement::Hint(0), 0, rights);
    assert_eq!(world.get::<1>(again + site), [0xe9], "its calls are known");
    for start in [text, again] {
        world.call(MUNMAP, &[start, 0x4_1000]).expect("mapped");
    }
    assert_eq!(world.machine.committed_pages(), before);
}

#[test]
fn a_text_that_somebody_wants_to_know_of_is_all_there_when_it_is_told() {
    let world = World::with(Paging::OnDemand, 4096);
    let (library, site) = large();
    let before = world.machine.committed_pages();
    *world.machine.mappings.lock().expect("not poisoned") = Some(Vec::new());

    let text = library.map(&world, Placement::Hint(0), 0, Prot::READ | Prot::EXEC);

    assert_eq!(
        world.machine.committed_pages(),
        before + 0x41 + 1,
        "a stub, too"
    );
    assert_eq!(world.get::<1>(text + site), [0xe9]);
    let told = world.machine.mappings.lock().expect("not poisoned").take();
    assert_eq!(told.map(|lines| lines.len()), Some(1));
}

#[test]
fn a_large_text_is_not_patched_when_it_is_only_part_of_one_or_threads_may_be_anywhere_in_it() {
    let rights = Prot::READ | Prot::EXEC;
    let (library, site) = large();
    let mut world = World::with(Paging::OnDemand, 4096);
    let text = library.map(&world, Placement::Hint(0), 0, rights);
    world
        .call(MUNMAP, &[text + 0x4_0000, 0x1000])
        .expect("mapped");
    world.libos.trapped(text + site + 5);
    assert_eq!(world.get::<8>(text + site), CALL, "who jumps there?");

    let text = library.map(&world, Placement::Hint(0), 0, rights);
    world.process.memory().join();
    world.libos.trapped(text + site + 5);
    assert_eq!(world.get::<8>(text + site), CALL);
    assert!(world.process.memory().leave().is_none());

    world.process.memory().expect_threads();
    let text = library.map(&world, Placement::Hint(0), 0, rights);
    assert_eq!(world.get::<1>(text + site), [0xe9], "later it could not be");
}

/// An ELF file with a section of code in its second page, and in its first one what looks the same.
fn with_sections() -> Vec<u8> {
    let mut bytes = vec![0x90; 0x2000];
    let mut put = |at: usize, what: &[u8]| bytes[at..][..what.len()].copy_from_slice(what);
    put(
        0,
        &[0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    );
    put(16, &[3, 0, 62, 0, 1, 0, 0, 0]);
    put(40, &0x400_u64.to_le_bytes());
    // e_shentsize, e_shnum, e_shstrndx
    put(58, &[64, 0, 2, 0, 0, 0]);
    put(0x400, &[0; 128]);
    // sh_type is PROGBITS, sh_flags has ALLOC and EXECINSTR.
    put(0x444, &[1, 0, 0, 0, 6]);
    put(0x458, &0x1000_u64.to_le_bytes());
    put(0x460, &0x1000_u64.to_le_bytes());
    for page in [0, 0x1000] {
        put(page + 0x240, &CALL);
    }
    bytes
}

#[test]
fn what_is_in_no_section_of_code_stays_as_it_is() {
    for paging in [Paging::Eager, Paging::OnDemand] {
        let mut world = World::with(paging, 4096);
        let library = Library::of(with_sections());

        let rights = Prot::READ | Prot::EXEC;
        let text = library.map(&world, Placement::Hint(0), 0, rights);

        assert_eq!(world.get::<8>(text + 0x240), CALL);
        assert_eq!(world.get::<1>(text + 0x1240), [0xe9]);
        world.call(MUNMAP, &[text, 0x2000]).expect("mapped");
    }
}

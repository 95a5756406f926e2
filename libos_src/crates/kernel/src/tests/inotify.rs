//! Watching files.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hal::Errno;
use vfs::{Event, EventObserver, FileId, Inode, Occurrence};

use super::machine::TestMachine;
use crate::files::{ALL_EVENTS, Inotifies, Inotify};

const IN_ONESHOT: u32 = 1 << 31;
const FILE: FileId = FileId {
    device: 1,
    inode: 2,
};

fn happened(all: &Inotifies, event: Event, name: Option<&[u8]>) {
    all.happened(&Occurrence {
        file: FILE,
        name,
        event,
        cookie: 0,
        is_unlinked: false,
    });
}

fn read(inotify: &Inotify) -> Result<Vec<u8>, Errno> {
    let mut buffer = [0xff; 256];
    let len = inotify.read_at(0, &mut buffer)?;
    Ok(buffer[..len].to_vec())
}

#[test]
fn an_event_has_its_name_filled_up_and_comes_once() {
    let all = Arc::new(Inotifies::default());
    let inotify = all.open(TestMachine::new(0), 0).expect("the first one");
    let watch = inotify.watch(FILE, ALL_EVENTS, false, false).expect("room");
    happened(&all, Event::CREATE, Some(b"name"));
    happened(&all, Event::CREATE, Some(b"name"));

    let bytes = read(&inotify).expect("an event");

    assert_eq!(watch, 1);
    assert_eq!(&bytes[..16], b"\x01\0\0\0\0\x01\0\0\0\0\0\0\x10\0\0\0");
    assert_eq!(&bytes[16..], b"name\0\0\0\0\0\0\0\0\0\0\0\0");
    assert_eq!(read(&inotify), Err(Errno::EAGAIN));
}

#[test]
fn a_watch_for_one_event_is_gone_after_it() {
    let all = Arc::new(Inotifies::default());
    let inotify = all.open(TestMachine::new(0), 0).expect("the first one");
    let mask = Event::OPEN.bits() | IN_ONESHOT;
    inotify.watch(FILE, mask, false, false).expect("room");
    happened(&all, Event::ACCESS, None);
    happened(&all, Event::OPEN, None);
    happened(&all, Event::OPEN, None);

    let bytes = read(&inotify).expect("events");

    assert_eq!(bytes.len(), 32);
    assert_eq!(bytes[4], 0x20);
    assert_eq!(bytes[16 + 5], 0x80);
    assert!(all.is_idle());
}

#[test]
fn a_buffer_that_holds_no_event_is_refused() {
    let all = Arc::new(Inotifies::default());
    let inotify = all.open(TestMachine::new(0), 0).expect("the first one");
    inotify.watch(FILE, ALL_EVENTS, false, false).expect("room");
    happened(&all, Event::OPEN, None);

    assert_eq!(inotify.read_at(0, &mut [0; 15]), Err(Errno::EINVAL));
    assert_eq!(inotify.len_bytes(), 16);
}

#[test]
fn a_user_has_128_descriptors_for_events_and_others_have_their_own() {
    let all = Arc::new(Inotifies::default());
    let machine = TestMachine::new(0);
    let mut held: Vec<_> = (0..128)
        .map(|_| all.open(machine, 5).expect("one of 128"))
        .collect();

    let one_more = all.open(machine, 5).map(drop);
    let of_another = all.open(machine, 6).map(drop);
    held.pop();

    assert_eq!(one_more, Err(Errno::EMFILE));
    assert_eq!(of_another, Ok(()));
    assert!(all.open(machine, 5).is_ok());
}

#[test]
fn events_for_which_there_is_no_memory_are_told_to_be_lost() {
    let all = Arc::new(Inotifies::default());
    let machine = TestMachine::new(0);
    let inotify = all.open(machine, 0).expect("the first one");
    inotify.watch(FILE, ALL_EVENTS, false, false).expect("room");
    happened(&all, Event::CREATE, Some(b"a"));
    machine.heap_left.store(0, Ordering::Relaxed);
    happened(&all, Event::CREATE, Some(b"b"));
    happened(&all, Event::CREATE, Some(b"c"));
    machine.heap_left.store(usize::MAX, Ordering::Relaxed);
    happened(&all, Event::CREATE, Some(b"d"));

    let bytes = read(&inotify).expect("events");

    let named = |name: u8| {
        let mut event = *b"\x01\0\0\0\0\x01\0\0\0\0\0\0\x10\0\0\0?\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
        event[16] = name;
        event
    };
    let lost = b"\xff\xff\xff\xff\0\x40\0\0\0\0\0\0\0\0\0\0";
    assert_eq!(bytes, [&named(b'a')[..], lost, &named(b'd')].concat());
}

//! Waiting for files: `poll`, `epoll`, and calls that block.

use std::time::{Duration, Instant};

use super::*;
use crate::files::EventPoll;
use crate::threads::{Deadline, Wake};
use hal::HostEvents;

const READ: u64 = 0;
const WRITE: u64 = 1;
const CLOSE: u64 = 3;
const POLL: u64 = 7;
const DUP: u64 = 32;
const EPOLL_WAIT: u64 = 232;
const EPOLL_CTL: u64 = 233;
const EVENTFD2: u64 = 290;
const EPOLL_CREATE1: u64 = 291;
const PIPE2: u64 = 293;
const ADD: u64 = 1;
const DELETE: u64 = 2;
const CHANGE: u64 = 3;
const IN: u32 = 1;
const OUT: u32 = 4;
const HANG_UP: u32 = 0x10;
const PRIORITY_BAND: u32 = 0x80;
const ONE_SHOT: u32 = 1 << 30;
const EDGE: u32 = 1 << 31;
const NON_BLOCKING: u64 = 0o4000;

impl World {
    pub(super) fn pipe(&mut self) -> (u64, u64) {
        let place = self.page + 0xf00;
        self.call(PIPE2, &[place, NON_BLOCKING]).expect("room");
        let [reader, writer]: [u32; 2] = zerocopy::transmute!(self.get::<8>(place));
        (reader.into(), writer.into())
    }

    fn counter(&mut self) -> u64 {
        self.call(EVENTFD2, &[0, NON_BLOCKING]).expect("room")
    }

    fn epoll(&mut self) -> u64 {
        self.call(EPOLL_CREATE1, &[0]).expect("room")
    }

    fn control(&mut self, poll: u64, operation: u64, fd: u64, events: u32) -> Result<u64, Errno> {
        let mut record = events.to_le_bytes().to_vec();
        record.extend(fd.to_le_bytes());
        let record = self.put(0xe00, &record);
        self.call(EPOLL_CTL, &[poll, operation, fd, record])
    }

    /// The events that are there now, each with the descriptor that it was added with.
    fn events(&mut self, poll: u64) -> Vec<(u32, u64)> {
        let place = self.page + 0xc00;
        let count = self.call(EPOLL_WAIT, &[poll, place, 8, 0]).expect("a set");
        let bytes = self.get::<96>(place);
        let records = bytes.chunks_exact(12).take(count as usize);
        records
            .map(|record| {
                let (events, data) = record.split_at(4);
                (
                    u32::from_le_bytes(events.try_into().expect("four")),
                    u64::from_le_bytes(data.try_into().expect("eight")),
                )
            })
            .collect()
    }

    /// Whether `poll` finds something to read.
    fn is_ready(&mut self, fd: u64) -> bool {
        let record = self.put(0xe40, &(fd | u64::from(IN) << 32).to_le_bytes());
        self.call(POLL, &[record, 1, 0]).expect("asked") > 0
    }

    pub(super) fn write(&mut self, fd: u64, text: &[u8]) -> Result<u64, Errno> {
        let address = self.put(0x800, text);
        self.call(WRITE, &[fd, address, text.len() as u64])
    }

    pub(super) fn read(&mut self, fd: u64, len: u64) -> Result<Vec<u8>, Errno> {
        let address = self.page + 0x400;
        let count = self.call(READ, &[fd, address, len])?;
        Ok(self.get::<0x400>(address)[..count as usize].to_vec())
    }
}

#[test]
fn a_level_is_told_as_long_as_it_lasts_and_an_edge_once() {
    let mut world = World::new();
    let (reader, writer) = world.pipe();
    let (level, edge) = (world.epoll(), world.epoll());
    world.control(level, ADD, reader, IN).expect("room");
    world.control(edge, ADD, reader, IN | EDGE).expect("room");
    assert_eq!((world.events(level), world.events(edge)), (vec![], vec![]));

    world.write(writer, b"one").expect("room");
    for _ in 0..2 {
        assert_eq!(world.events(level), [(IN, reader)]);
    }
    assert_eq!(world.events(edge), [(IN, reader)]);
    assert_eq!(world.events(edge), []);

    world.write(writer, b"two").expect("room");
    assert_eq!(world.events(edge), [(IN, reader)]);
    assert_eq!(world.read(reader, 100).expect("bytes"), b"onetwo");
    assert_eq!((world.events(level), world.events(edge)), (vec![], vec![]));
}

#[test]
fn what_cannot_be_told_stays_to_be_told() {
    const NOWHERE: u64 = 8;
    let mut world = World::new();
    let poll = world.epoll();
    let counters = [EDGE, ONE_SHOT, EDGE].map(|how| {
        let counter = world.counter();
        world.control(poll, ADD, counter, OUT | how).expect("room");
        counter
    });

    let found = world.call(EPOLL_WAIT, &[poll, NOWHERE, 8, 0]);
    assert_eq!(found, Err(Errno::EFAULT));

    assert_eq!(world.events(poll), counters.map(|counter| (OUT, counter)));
    assert_eq!(world.events(poll), []);
    let found = world.call(EPOLL_WAIT, &[poll, NOWHERE, 8, 0]);
    assert_eq!(found, Ok(0), "nothing is told");
}

#[test]
fn a_one_shot_is_told_again_only_after_it_was_changed() {
    let mut world = World::new();
    let (reader, writer) = world.pipe();
    let poll = world.epoll();
    world
        .control(poll, ADD, reader, IN | ONE_SHOT)
        .expect("room");

    world.write(writer, b"one").expect("room");
    assert_eq!(world.events(poll), [(IN, reader)]);
    world.write(writer, b"two").expect("room");
    assert_eq!(world.events(poll), []);
    world
        .control(poll, CHANGE, reader, IN | ONE_SHOT)
        .expect("there");
    assert_eq!(world.events(poll), [(IN, reader)]);
}

#[test]
fn what_is_ready_when_it_is_added_is_told() {
    let mut world = World::new();
    let (reader, writer) = world.pipe();
    let poll = world.epoll();
    world
        .control(poll, ADD, writer, IN | OUT | EDGE)
        .expect("room");
    assert_eq!(world.events(poll), [(OUT, writer)]);

    world.call(CLOSE, &[reader]).expect("open");
    assert_eq!(world.events(poll), [(OUT | 8, writer)]);
}

#[test]
fn a_file_leaves_when_its_last_descriptor_is_closed() {
    let mut world = World::new();
    let counter = world.counter();
    let poll = world.epoll();
    world.control(poll, ADD, counter, IN).expect("room");
    let copy = world.call(DUP, &[counter]).expect("room");
    world.write(copy, &1u64.to_le_bytes()).expect("room");

    world.call(CLOSE, &[counter]).expect("open");
    assert_eq!(world.events(poll), [(IN, counter)]);
    world.call(CLOSE, &[copy]).expect("open");
    assert_eq!(world.events(poll), []);
}

#[test]
fn what_is_there_twice_or_not_at_all_or_always_ready_is_refused() {
    let mut world = World::new();
    let counter = world.counter();
    let poll = world.epoll();
    let path = world.put(0, b"/file\0");
    let file = world.call(2, &[path, 0o102, 0o644]).expect("room");

    assert_eq!(world.control(poll, DELETE, counter, 0), Err(Errno::ENOENT));
    assert_eq!(world.control(poll, CHANGE, counter, IN), Err(Errno::ENOENT));
    assert_eq!(world.control(poll, ADD, counter, IN), Ok(0));
    assert_eq!(world.control(poll, ADD, counter, IN), Err(Errno::EEXIST));
    assert_eq!(world.control(poll, ADD, file, IN), Err(Errno::EPERM));
    assert_eq!(world.control(poll, ADD, 99, IN), Err(Errno::EBADF));
    assert_eq!(world.control(counter, ADD, poll, IN), Err(Errno::EINVAL));
    assert_eq!(world.control(poll, 4, counter, IN), Err(Errno::EINVAL));
    assert_eq!(world.control(poll, DELETE, counter, 0), Ok(0));
    world.write(counter, &1u64.to_le_bytes()).expect("room");
    assert_eq!(world.events(poll), []);
}

#[test]
fn sets_in_sets_tell_what_the_inner_one_has_but_make_no_circle() {
    let mut world = World::new();
    let (reader, writer) = world.pipe();
    let (inner, outer) = (world.epoll(), world.epoll());
    world.control(inner, ADD, reader, IN).expect("room");
    world.control(outer, ADD, inner, IN).expect("room");
    assert_eq!(world.control(outer, ADD, outer, IN), Err(Errno::EINVAL));
    assert_eq!(world.control(inner, ADD, outer, IN), Err(Errno::ELOOP));

    assert_eq!(world.events(outer), []);
    world.write(writer, b"one").expect("room");
    assert_eq!(world.events(outer), [(IN, inner)]);
    assert_eq!(world.events(inner), [(IN, reader)]);
    world.read(reader, 100).expect("bytes");
    assert_eq!(world.events(outer), []);
}

#[test]
fn a_tower_of_sets_has_five_floors_from_whichever_end_it_is_built() {
    for downwards in [true, false] {
        let mut world = World::new();
        let sets: Vec<u64> = (0..6).map(|_| world.epoll()).collect();
        let mut pairs: Vec<&[u64]> = sets.windows(2).collect();
        if downwards {
            pairs.reverse();
        }
        for pair in &pairs[..4] {
            assert_eq!(world.control(pair[0], ADD, pair[1], IN), Ok(0));
        }
        let last = pairs[4];
        assert_eq!(world.control(last[0], ADD, last[1], IN), Err(Errno::ELOOP));
    }
}

#[test]
fn a_set_is_in_a_bounded_number_of_others_by_all_ways_together() {
    let mut world = World::new();
    let inner = world.epoll();
    let middle: Vec<u64> = (0..25).map(|_| world.epoll()).collect();
    let tops: Vec<u64> = (0..5).map(|_| world.epoll()).collect();
    for &set in &middle {
        world.control(set, ADD, inner, IN).expect("few ways");
    }
    for &top in &tops[..4] {
        for &set in &middle {
            world.control(top, ADD, set, IN).expect("a hundred ways");
        }
    }

    let one_more = world.control(tops[4], ADD, middle[0], IN);
    assert_eq!(one_more, Err(Errno::EINVAL));
    world
        .call(EPOLL_CTL, &[tops[4], DELETE, middle[0], 0])
        .expect_err("it was not added");

    let place = [tops[0], DELETE, middle[0], 0];
    world.call(EPOLL_CTL, &place).expect("there");
    world
        .control(tops[4], ADD, middle[0], IN)
        .expect("a way less");
}

#[test]
fn a_stream_of_the_host_is_waited_for_with_the_others() {
    let mut world = World::new();
    let poll = world.epoll();
    world.control(poll, ADD, 0, IN | EDGE).expect("room");

    // The test's host has always something to read.
    assert_eq!(world.events(poll), [(IN, 0)]);
    assert_eq!(world.events(poll), [], "an edge is told once");
    world
        .machine
        .input
        .lock()
        .expect("not poisoned")
        .extend(b"x");
    world.read(0, 1).expect("a byte");
    assert_eq!(world.events(poll), [(IN, 0)], "until it is used");
}

#[test]
fn poll_tells_of_hang_ups_unasked_and_skips_negative_descriptors() {
    let mut world = World::new();
    let (reader, writer) = world.pipe();
    world.call(CLOSE, &[writer]).expect("open");
    let mut records = Vec::new();
    for fd in [reader as i32, -1, 77] {
        records.extend(fd.to_le_bytes());
        records.extend([4, 0, 0xff, 0xff]);
    }
    let records = world.put(0, &records);

    assert_eq!(world.call(POLL, &[records, 3, u64::MAX]), Ok(2));

    let ready = world.get::<24>(records);
    assert_eq!([ready[6], ready[14], ready[22]], [HANG_UP as u8, 0, 32]);
}

#[test]
fn a_wait_ends_when_its_time_is_over() {
    let mut world = World::new();
    let (reader, _writer) = world.pipe();
    let poll = world.epoll();
    world.control(poll, ADD, reader, IN).expect("room");
    let start = Instant::now();

    let place = world.page;
    assert_eq!(world.call(EPOLL_WAIT, &[poll, place, 8, 30]), Ok(0));

    assert!(start.elapsed() >= Duration::from_millis(30));
    assert_eq!(
        world.call(EPOLL_WAIT, &[poll, place, 0, 0]),
        Err(Errno::EINVAL)
    );
}

#[test]
fn a_stream_of_the_host_that_is_named_often_is_asked_for_once() {
    let world = World::new();
    let thread = world.process.threads().remove(0);
    let asked = |events| hal::HostPoll {
        fd: 1,
        events,
        ready: HostEvents::empty(),
    };
    let mut streams = vec![asked(HostEvents::IN); 299];
    streams.push(asked(HostEvents::OUT));

    let woken = world
        .libos
        .sleep_for_host(&world.process, &thread, &mut streams, Deadline::NEVER);

    assert_eq!(woken, Ok(Wake::Look));
    assert!(streams.iter().all(|stream| stream.ready == stream.events));
}

#[test]
fn a_set_forgets_the_sets_that_it_was_in_and_that_were_closed() {
    let mut world = World::new();
    let inner = world.epoll();

    for _ in 0..10 {
        let outer = world.epoll();
        assert_eq!(world.control(outer, ADD, inner, IN), Ok(0));
        assert_eq!(world.call(CLOSE, &[outer]), Ok(0));
    }

    let places = world.process.places();
    let descriptors = places.files.read();
    let file = descriptors.file(inner as i32).expect("open");
    let known = EventPoll::behind(file).map(EventPoll::parent_count);
    assert_eq!(known, Some(1));
}

#[test]
fn events_come_in_the_order_in_which_they_were_last_new() {
    let mut world = World::new();
    let (reader, writer) = world.pipe();
    let (inner, outer) = (world.epoll(), world.epoll());
    let (counter, other) = (world.counter(), world.counter());
    world.control(inner, ADD, counter, OUT).expect("room");
    // An inner set comes in its turn.
    world.control(outer, ADD, inner, IN).expect("room");
    world.control(outer, ADD, reader, IN).expect("room");
    world.control(outer, ADD, other, OUT).expect("room");
    world.write(writer, b"one").expect("room");
    assert_eq!(
        world.events(outer),
        [(IN, inner), (OUT, other), (IN, reader)]
    );

    // Who only asks whether there is anything takes out what is first and over, which is the last then.
    world
        .call(EPOLL_CTL, &[outer, DELETE, inner, 0])
        .expect("there");
    world
        .control(outer, CHANGE, other, OUT | ONE_SHOT)
        .expect("there");
    assert_eq!(world.events(outer), [(OUT, other), (IN, reader)]);
    world.read(reader, 100).expect("bytes");
    assert!(!world.is_ready(outer));
    world
        .control(outer, CHANGE, other, OUT | ONE_SHOT)
        .expect("there");
    world.write(writer, b"two").expect("room");
    assert_eq!(world.events(outer), [(OUT, other), (IN, reader)]);

    // What was told once for all is not in line until it is asked for again.
    world
        .control(outer, CHANGE, reader, IN | ONE_SHOT)
        .expect("there");
    assert_eq!(world.events(outer), [(IN, reader)]);
    world.control(outer, CHANGE, other, OUT).expect("there");
    world.control(outer, CHANGE, reader, IN).expect("there");
    assert_eq!(world.events(outer), [(OUT, other), (IN, reader)]);
}

#[test]
fn data_of_a_socket_are_an_edge_for_who_waits_for_urgent_data() {
    let mut world = World::new();
    let (one, other) = world.pair(1);
    let poll = world.epoll();
    world
        .control(poll, ADD, one, PRIORITY_BAND | OUT | EDGE)
        .expect("room");
    assert_eq!(world.events(poll), [(OUT, one)]);

    world.write(other, b"one").expect("room");
    assert_eq!(world.events(poll), [(OUT, one)]);
}

//! POSIX message queues.

use super::*;

const OPEN: u64 = 240;
const UNLINK: u64 = 241;
const SEND: u64 = 242;
const RECEIVE: u64 = 243;
const NOTIFY: u64 = 244;
const ATTRIBUTES: u64 = 245;
const READ_WRITE: u64 = 2;
const CREATE: u64 = 0o100;
const EXCLUSIVE: u64 = 0o200;
const NON_BLOCKING: u64 = 0o4000;

impl World {
    fn queue(&mut self, messages: i64, bytes: i64, flags: u64) -> Result<u64, Errno> {
        let name = self.put(0, b"queue\0");
        let words = [0, messages, bytes, 0, 0, 0, 0, 0].map(i64::to_le_bytes);
        let attributes = self.put(0x40, words.as_flattened());
        self.call(OPEN, &[name, flags, 0o600, attributes])
    }

    fn send_message(&mut self, queue: u64, text: &[u8], priority: u64) -> Result<u64, Errno> {
        let message = self.put(0x100, text);
        self.call(SEND, &[queue, message, text.len() as u64, priority, 0])
    }
}

#[test]
fn messages_come_by_priority_and_then_in_order() {
    let mut world = World::new();
    let queue = world.queue(4, 8, READ_WRITE | CREATE | NON_BLOCKING);
    let queue = queue.expect("a queue");
    for (text, priority) in [(b"a", 1), (b"b", 5), (b"c", 1), (b"d", 5)] {
        assert_eq!(world.send_message(queue, text, priority), Ok(0));
    }
    assert_eq!(
        world.send_message(queue, b"e", 0),
        Err(Errno::EAGAIN),
        "full"
    );
    assert_eq!(
        world.send_message(queue, b"too long!", 0),
        Err(Errno::EMSGSIZE)
    );
    assert_eq!(world.send_message(queue, b"f", 32768), Err(Errno::EINVAL));
    let (to, priority) = (world.page + 0x200, world.page + 0x300);
    let short = world.call(RECEIVE, &[queue, to, 7, priority, 0]);
    assert_eq!(short, Err(Errno::EMSGSIZE), "less than a message may have");

    let mut seen = Vec::new();
    while let Ok(len) = world.call(RECEIVE, &[queue, to, 8, priority, 0]) {
        assert_eq!(len, 1);
        let [text] = world.get::<1>(to);
        seen.push((text, u32::from_le_bytes(world.get(priority))));
    }

    assert_eq!(seen, [(b'b', 5), (b'd', 5), (b'a', 1), (b'c', 1)]);
}

#[test]
fn a_queue_lives_until_nobody_has_it_and_counts_until_then() {
    const SETRLIMIT: u64 = 160;
    const RLIMIT_MSGQUEUE: u64 = 12;
    let mut world = World::new();
    let limit = [9000u64; 2].map(u64::to_le_bytes);
    let limit = world.put(0x80, limit.as_flattened());
    world
        .call(SETRLIMIT, &[RLIMIT_MSGQUEUE, limit])
        .expect("lower");
    let flags = READ_WRITE | CREATE | EXCLUSIVE;
    assert_eq!(world.queue(0, 8, flags), Err(Errno::EINVAL));
    assert_eq!(world.queue(1, -1, flags), Err(Errno::EINVAL));
    assert_eq!(world.queue(10, 8192, flags), Err(Errno::EMFILE));
    let queue = world.queue(1, 8192, flags).expect("a queue");
    assert_eq!(world.queue(1, 8192, flags), Err(Errno::EEXIST));
    let name = world.put(0, b"queue\0");

    assert_eq!(world.call(UNLINK, &[name]), Ok(0));
    assert_eq!(world.call(UNLINK, &[name]), Err(Errno::ENOENT));
    assert_eq!(world.call(OPEN, &[name, 0, 0, 0]), Err(Errno::ENOENT));

    assert_eq!(world.send_message(queue, b"still there", 0), Ok(0));
    assert_eq!(world.queue(1, 8192, flags), Err(Errno::EMFILE));
    world.call(3, &[queue]).expect("open");
    assert!(world.queue(1, 8192, flags).is_ok());
}

#[test]
fn the_first_message_of_an_empty_queue_is_told_once() {
    const SIGPROCMASK: u64 = 14;
    const SIGTIMEDWAIT: u64 = 128;
    let mut world = World::new();
    let queue = world.queue(2, 8, READ_WRITE | CREATE).expect("a queue");
    let all = world.put(0x400, &u64::MAX.to_le_bytes());
    world.call(SIGPROCMASK, &[2, all, 0, 8]).expect("a set");
    // struct sigevent: a value, SIGUSR1, SIGEV_SIGNAL
    let event = [99u64, 10].map(u64::to_le_bytes);
    let event = world.put(0x440, &[event.as_flattened(), &[0; 48]].concat());

    assert_eq!(world.call(NOTIFY, &[queue, event]), Ok(0));
    assert_eq!(world.call(NOTIFY, &[queue, event]), Err(Errno::EBUSY));
    for _ in 0..2 {
        world.send_message(queue, b"x", 0).expect("room");
    }

    let (info, now) = (world.page + 0x500, world.put(0x600, &[0; 16]));
    assert_eq!(world.call(SIGTIMEDWAIT, &[all, info, now, 8]), Ok(10));
    let [number, _, code, _]: [i32; 4] = zerocopy::transmute!(world.get::<16>(info));
    assert_eq!((number, code), (10, -3), "SI_MESGQ");
    assert_eq!(world.get::<8>(info + 24), 99u64.to_le_bytes());
    let again = world.call(SIGTIMEDWAIT, &[all, info, now, 8]);
    assert_eq!(again, Err(Errno::EAGAIN));
    assert_eq!(world.call(NOTIFY, &[queue, event]), Ok(0), "it is over");
    assert_eq!(world.call(NOTIFY, &[queue, 0]), Ok(0));
}

#[test]
fn a_queue_tells_what_it_holds_and_whether_it_waits() {
    let mut world = World::new();
    let queue = world.queue(3, 8, READ_WRITE | CREATE).expect("a queue");
    world.send_message(queue, b"x", 0).expect("room");
    let told = world.page + 0x700;
    let non_blocking = [NON_BLOCKING, 0, 0, 0, 0, 0, 0, 0].map(u64::to_le_bytes);
    let new = world.put(0x780, non_blocking.as_flattened());

    assert_eq!(world.call(ATTRIBUTES, &[queue, new, told]), Ok(0));

    let words: [i64; 4] = zerocopy::transmute!(world.get::<32>(told));
    assert_eq!(words, [0, 3, 8, 1], "as it was");
    world.call(ATTRIBUTES, &[queue, 0, told]).expect("asked");
    assert_eq!(world.get::<8>(told), NON_BLOCKING.to_le_bytes());
    assert_eq!(world.call(ATTRIBUTES, &[0, 0, told]), Err(Errno::EBADF));
}

#[test]
fn a_receiver_waits_until_the_time_it_says() {
    let mut world = World::new();
    let queue = world.queue(3, 8, READ_WRITE | CREATE).expect("a queue");
    let past = world.put(0x800, &[0; 16]);
    let to = world.page + 0x200;

    let late = world.call(RECEIVE, &[queue, to, 8, 0, past]);

    assert_eq!(late, Err(Errno::ETIMEDOUT));
    let wrong = [0i64, 1_000_000_000].map(i64::to_le_bytes);
    let wrong = world.put(0x800, wrong.as_flattened());
    let refused = world.call(RECEIVE, &[queue, to, 8, 0, wrong]);
    assert_eq!(refused, Err(Errno::EINVAL));
}

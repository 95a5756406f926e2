//! Timers.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::*;
use crate::signals::Signal;

const READ: u64 = 0;
const ALARM: u64 = 37;
const RT_SIGPROCMASK: u64 = 14;
const TIMER_CREATE: u64 = 222;
const TIMER_SETTIME: u64 = 223;
const TIMER_GETOVERRUN: u64 = 225;
const TIMER_DELETE: u64 = 226;
const CLOCK_GETTIME: u64 = 228;
const RT_SIGTIMEDWAIT: u64 = 128;
const TIMERFD_CREATE: u64 = 283;
const TIMERFD_SETTIME: u64 = 286;
const TIMERFD_GETTIME: u64 = 287;
const MONOTONIC: u64 = 1;
const NON_BLOCKING: u64 = 0o4000;

impl World {
    /// Interval and value in nanoseconds, as `struct itimerspec`.
    fn setting(&self, interval: u64, value: u64) -> u64 {
        let words = [0, interval, 0, value];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.put(0x400, &bytes)
    }

    fn block_all_signals(&mut self) {
        let all = self.put(0x100, &u64::MAX.to_le_bytes());
        self.call(RT_SIGPROCMASK, &[2, all, 0, 8]).expect("a set");
    }

    /// What the keeper does once the time has come.
    fn keep_for(&self, time: Duration) {
        std::thread::sleep(time);
        let _ = self.libos.serve_timers();
    }
}

const MS: u64 = 1_000_000;

#[test]
fn a_timer_file_counts_what_was_missed() {
    let mut world = World::new();
    let fd = world
        .call(TIMERFD_CREATE, &[MONOTONIC, NON_BLOCKING])
        .expect("a timer");
    assert_eq!(world.call(READ, &[fd, world.page, 8]), Err(Errno::EAGAIN));

    let often = world.setting(MS, MS);
    world
        .call(TIMERFD_SETTIME, &[fd, 0, often, 0])
        .expect("a setting");
    assert_eq!(world.machine.keepers.load(Ordering::Relaxed), 1);
    world.keep_for(Duration::from_millis(10));

    assert_eq!(world.call(READ, &[fd, world.page, 8]), Ok(8));
    assert!(u64::from_le_bytes(world.get(world.page)) >= 10);
    assert_eq!(world.call(READ, &[fd, world.page, 8]), Err(Errno::EAGAIN));
    assert_eq!(world.call(READ, &[fd, world.page, 4]), Err(Errno::EINVAL));
}

#[test]
fn a_timer_that_was_stopped_does_not_expire() {
    let mut world = World::new();
    let fd = world.call(TIMERFD_CREATE, &[MONOTONIC, NON_BLOCKING]);
    let fd = fd.expect("a timer");
    let soon = world.setting(0, MS);
    world.call(TIMERFD_SETTIME, &[fd, 0, soon, 0]).expect("set");
    let never = world.setting(0, 0);
    let old = world.page + 0x500;
    world
        .call(TIMERFD_SETTIME, &[fd, 0, never, old])
        .expect("set");
    let left = u64::from_le_bytes(world.get(old + 24));
    assert!((1..=MS).contains(&left), "{left}");

    world.keep_for(Duration::from_millis(3));

    assert_eq!(world.call(READ, &[fd, world.page, 8]), Err(Errno::EAGAIN));
    world.call(TIMERFD_GETTIME, &[fd, old]).expect("a timer");
    assert_eq!(world.get::<32>(old), [0; 32]);
}

#[test]
fn a_signal_that_waits_counts_what_its_timer_did_meanwhile() {
    let mut world = World::new();
    world.block_all_signals();
    let id = world.page + 0x300;
    world
        .call(TIMER_CREATE, &[MONOTONIC, 0, id])
        .expect("a timer");
    let often = world.setting(MS, MS);
    world
        .call(TIMER_SETTIME, &[0, 0, often, 0])
        .expect("a timer");

    world.keep_for(Duration::from_millis(5));
    world.keep_for(Duration::from_millis(5));
    world.call(TIMER_DELETE, &[1]).expect_err("no such timer");

    let alarm = 1u64 << (Signal::ALRM.number() - 1);
    let set = world.put(0x108, &alarm.to_le_bytes());
    let info = world.page + 0x600;
    assert_eq!(world.call(RT_SIGTIMEDWAIT, &[set, info, 0, 8]), Ok(14));
    let [code, id, overruns]: [i32; 3] = [8, 16, 20].map(|at| {
        let bytes = world.get(info + at);
        i32::from_le_bytes(bytes)
    });
    assert_eq!((code, id), (-2, 0));
    assert!(overruns >= 9, "{overruns}");
    assert_eq!(
        world.call(TIMER_GETOVERRUN, &[0]),
        Ok(u64::try_from(overruns).expect("positive"))
    );
    assert_eq!(world.call(TIMER_DELETE, &[0]), Ok(0));
    assert_eq!(world.call(TIMER_DELETE, &[0]), Err(Errno::EINVAL));
}

#[test]
fn an_alarm_says_what_was_left_and_can_be_called_off() {
    let mut world = World::new();
    assert_eq!(world.call(ALARM, &[100]), Ok(0));
    assert_eq!(world.call(ALARM, &[0]), Ok(100));
    assert_eq!(world.call(ALARM, &[0]), Ok(0));
}

#[test]
fn a_clock_of_another_process_is_named_by_its_inverted_id() {
    let mut world = World::new();
    let clock_of = |pid: i32| u64::from((!pid << 3 | 2).cast_unsigned());
    let place = world.page;

    assert_eq!(world.call(CLOCK_GETTIME, &[clock_of(1), place]), Ok(0));
    assert_eq!(
        world.call(CLOCK_GETTIME, &[clock_of(999), place]),
        Err(Errno::EINVAL)
    );
    assert_eq!(world.call(CLOCK_GETTIME, &[77, place]), Err(Errno::EINVAL));
}

#[test]
fn a_timer_that_is_closed_is_in_no_queue() {
    const CLOSE: u64 = 3;
    let mut world = World::new();
    for _ in 0..3 {
        let timer = world.call(TIMERFD_CREATE, &[MONOTONIC, 0]).expect("room");
        let setting = world.setting(0, 999_999_999);
        assert_eq!(world.call(TIMERFD_SETTIME, &[timer, 0, setting, 0]), Ok(0));
        assert_eq!(world.libos.timers.count(), 1);
        assert_eq!(world.call(CLOSE, &[timer]), Ok(0));
    }
    assert_eq!(world.libos.timers.count(), 0);
}

#[test]
fn a_timer_set_to_a_moment_long_ago_has_missed_all_since_then() {
    const ABSOLUTE: u64 = 1;
    let mut world = World::new();
    world.block_all_signals();
    let id = world.page + 0x600;
    world.call(TIMER_CREATE, &[0, 0, id]).expect("a timer");
    // Every nanosecond since 1970.
    let setting = world.setting(1, 1);
    world
        .call(TIMER_SETTIME, &[0, ABSOLUTE, setting, 0])
        .expect("set");
    world.keep_for(Duration::from_millis(1));

    let alarm = world.put(0x700, &(1u64 << 13).to_le_bytes());
    world
        .call(RT_SIGTIMEDWAIT, &[alarm, 0, 0, 8])
        .expect("a signal");

    assert_eq!(world.call(TIMER_GETOVERRUN, &[0]), Ok(i32::MAX as u64));
    assert_eq!(world.call(TIMER_SETTIME, &[0, 0, 0, 0]), Err(Errno::EINVAL));
    assert_eq!(world.call(TIMER_SETTIME, &[0, 0, 8, 0]), Err(Errno::EFAULT));
}

#[test]
fn a_clock_that_cannot_be_waited_for_says_so() {
    const CLOCK_NANOSLEEP: u64 = 230;
    let mut world = World::new();
    let time = world.put(0, &[0; 16]);
    for clock in [4, 5, 6, 8, 9] {
        let slept = world.call(CLOCK_NANOSLEEP, &[clock, 0, time, 0]);
        assert_eq!(slept, Err(Errno::EOPNOTSUPP), "{clock}");
        let made = world.call(TIMER_CREATE, &[clock, 0, time]);
        assert_eq!(made, Err(Errno::EOPNOTSUPP), "{clock}");
    }
    assert_eq!(world.call(CLOCK_NANOSLEEP, &[11, 0, time, 0]), Ok(0));
    assert_eq!(world.call(CLOCK_GETTIME, &[8, time]), Err(Errno::EINVAL));
    assert!(world.call(TIMERFD_CREATE, &[9, 0]).is_ok());
}

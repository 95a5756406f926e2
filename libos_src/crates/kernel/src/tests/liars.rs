//! A host whose every answer has the right form, as the runtime sees to, and means nothing.

use std::time::Duration;

use hal::{Clock, HostEvents, HostPoll, TerminalRequest, TerminalSettings, WindowSize};

use super::*;

const READ: u64 = 0;
const WRITE: u64 = 1;
const CLOSE: u64 = 3;
const POLL: u64 = 7;
const IOCTL: u64 = 16;
const READV: u64 = 19;
const NANOSLEEP: u64 = 35;
const GETITIMER: u64 = 36;
const SETITIMER: u64 = 38;
const GETTIMEOFDAY: u64 = 96;
const GETRUSAGE: u64 = 98;
const SYSINFO: u64 = 99;
const TIMES: u64 = 100;
const RT_SIGPENDING: u64 = 127;
const RT_SIGPROCMASK: u64 = 14;
const TIME: u64 = 201;
const FUTEX: u64 = 202;
const TIMER_CREATE: u64 = 222;
const TIMER_SETTIME: u64 = 223;
const TIMER_GETTIME: u64 = 224;
const TIMER_DELETE: u64 = 226;
const CLOCK_GETTIME: u64 = 228;
const CLOCK_NANOSLEEP: u64 = 230;
const TIMERFD_CREATE: u64 = 283;
const TIMERFD_SETTIME: u64 = 286;
const TIMERFD_GETTIME: u64 = 287;

const TCGETS: u64 = 0x5401;
const TCSETS: u64 = 0x5402;
const TCSBRK: u64 = 0x5409;
const TCFLSH: u64 = 0x540b;
const TIOCGWINSZ: u64 = 0x5413;
const TIOCSWINSZ: u64 = 0x5414;
const FIONREAD: u64 = 0x541b;

/// 2020 and 2200, as the runtime bounds them.
const REALTIME: [u64; 2] = [1_577_836_800_000_000_000, 7_258_118_400_000_000_000];

/// Answers at random, within what `hal::Machine` promises.
pub(super) struct Liar {
    state: u64,
    latest: u64,
}

impl Liar {
    fn new(seed: u64) -> Self {
        Self {
            state: seed,
            latest: 0,
        }
    }

    /// splitmix64, and often a number that means something somewhere.
    pub(super) fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        match z % 8 {
            0 => 0,
            1 => i64::MAX as u64,
            2 => u64::MAX,
            3 => z >> 40,
            _ => z,
        }
    }

    fn fails(&mut self, errors: &[Errno]) -> Option<Errno> {
        let pick = self.number() as usize;
        pick.is_multiple_of(4)
            .then(|| errors[pick / 4 % errors.len()])
    }

    pub(super) fn length(&mut self, max: usize) -> Result<usize, Errno> {
        let errors = [
            Errno::EIO,
            Errno::EINTR,
            Errno::EAGAIN,
            Errno::EPIPE,
            Errno::EBADF,
        ];
        match self.fails(&errors) {
            Some(errno) => Err(errno),
            None => Ok(self.number() as usize % (max + 1)),
        }
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let count = self.length(buffer.len())?;
        buffer[..count].fill(self.number() as u8 | 1);
        Ok(count)
    }

    pub(super) fn poll(&mut self, list: &mut [HostPoll]) -> Result<usize, Errno> {
        if let Some(errno) = self.fails(&[Errno::EINTR, Errno::ENOMEM, Errno::EIO]) {
            return Err(errno);
        }
        let unasked = HostEvents::ERROR | HostEvents::HANG_UP | HostEvents::INVALID;
        for entry in list.iter_mut() {
            let bits = HostEvents::from_bits_truncate(self.number() as u16);
            entry.ready = bits & (entry.events | unasked);
        }
        Ok(list.iter().filter(|entry| !entry.ready.is_empty()).count())
    }

    pub(super) fn window_size(&mut self) -> Result<WindowSize, Errno> {
        match self.fails(&[Errno::ENOTTY, Errno::EIO]) {
            Some(errno) => Err(errno),
            None => Ok(WindowSize {
                rows: self.number() as u16,
                columns: self.number() as u16,
            }),
        }
    }

    pub(super) fn settings(&mut self) -> Result<TerminalSettings, Errno> {
        match self.fails(&[Errno::ENOTTY, Errno::EIO]) {
            Some(errno) => Err(errno),
            None => Ok(std::array::from_fn(|_| self.number() as u8)),
        }
    }

    pub(super) fn request(&mut self, request: TerminalRequest) -> Result<u32, Errno> {
        match self.fails(&[Errno::ENOTTY, Errno::EINTR, Errno::EINVAL, Errno::EIO]) {
            Some(errno) => Err(errno),
            None if request == TerminalRequest::InputSize => {
                Ok(self.number() as u32 & i32::MAX as u32)
            }
            None => Ok(0),
        }
    }

    /// Monotonic time jumps ahead as it likes, up to its end.
    pub(super) fn clock(&mut self, clock: Clock) -> Duration {
        let value = self.number();
        match clock {
            Clock::Realtime => Duration::from_nanos(value.clamp(REALTIME[0], REALTIME[1])),
            Clock::Monotonic => {
                let jump = if value.is_multiple_of(16) {
                    value >> 1
                } else {
                    value >> 34
                };
                self.latest = self.latest.saturating_add(jump).min(i64::MAX as u64);
                Duration::from_nanos(self.latest)
            }
        }
    }

    pub(super) fn processor_time(&mut self) -> Duration {
        Duration::from_nanos(self.number() % (self.latest + 1))
    }
}

/// Runs `test` for many seeds, in a few worlds whose hosts begin to lie once they are there. A world's
/// time does not go back from one liar to the next, so it is near its end soon.
fn endure(mut test: impl FnMut(&mut World, u64)) {
    const WORLDS: u64 = 4;
    const SEEDS: u64 = 60;
    for number in 0..WORLDS {
        let mut world = World::new();
        // A broken pipe or a timer would end the process, as it should.
        let all = world.put(0, &[0xff; 8]);
        world.call(RT_SIGPROCMASK, &[0, all, 0, 8]).expect("blocks");
        for seed in number * SEEDS..(number + 1) * SEEDS {
            let mut liar = Liar::new(seed);
            {
                let mut place = world.machine.liar.lock().expect("not poisoned");
                liar.latest = place.as_ref().map_or(0, |before| before.latest);
                *place = Some(liar);
            }
            test(&mut world, seed);
        }
    }
}

#[test]
fn reading_and_writing_never_exceeds_what_was_asked_for() {
    endure(|world, seed| {
        for size in [0_u64, 1, 7, 100] {
            world.put(0, &[0; 256]);
            if let Ok(got) = world.call(READ, &[0, world.page, size]) {
                assert!(got <= size, "{seed}");
                let after: [u8; 256] = world.get(world.page);
                assert!(
                    after[got as usize..].iter().all(|&byte| byte == 0),
                    "{seed}"
                );
            }
            if let Ok(done) = world.call(WRITE, &[1, world.page, size]) {
                assert!(done <= size, "{seed}");
            }
            let list: Vec<u8> = [world.page + 512, 9, world.page + 600, size]
                .iter()
                .flat_map(|word| word.to_le_bytes())
                .collect();
            let list = world.put(256, &list);
            if let Ok(got) = world.call(READV, &[0, list, 2]) {
                assert!(got <= size + 9, "{seed}");
            }
        }
    });
}

#[test]
fn poll_tells_what_was_asked_for_or_an_error() {
    endure(|world, seed| {
        let entries: [u8; 16] = [0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0];
        let list = world.put(0, &entries);
        if let Ok(ready) = world.call(POLL, &[list, 2, 0]) {
            let after: [u8; 16] = world.get(list);
            let told = [after[6], after[14]];
            assert!(ready <= 2);
            assert_eq!(told[0] & !(1 | 8 | 16 | 32), 0, "{seed}");
            assert_eq!(told[1] & !(4 | 8 | 16 | 32), 0, "{seed}");
            assert_eq!(ready, told.iter().filter(|&&bits| bits != 0).count() as u64);
        }
    });
}

#[test]
fn a_terminal_may_say_anything_of_itself() {
    let mut settings = 0;
    endure(|world, seed| {
        let stream = Arc::new(HostStream::new(world.machine, 0));
        if !stream.is_terminal() {
            return;
        }
        let viewpoint = world.process.places().view.read().clone();
        let location = viewpoint.namespace.anonymous(stream, b"stream");
        let descriptor = Descriptor {
            file: vfs::OpenFile::new(location, vfs::OpenFlags::READ_WRITE).expect("it opens"),
            is_closed_on_exec: false,
        };
        let added = world.process.places().files.write().add(0, descriptor);
        let fd = u64::try_from(added.expect("room")).expect("a number");
        for request in [TCGETS, TCSETS, TIOCGWINSZ, TIOCSWINSZ] {
            let done = world.call(IOCTL, &[fd, request, world.page]);
            settings += u32::from(done.is_ok());
        }
        for request in [TCSBRK, TCFLSH] {
            let _ = world.call(IOCTL, &[fd, request, 1]);
        }
        if world.call(IOCTL, &[fd, FIONREAD, world.page]).is_ok() {
            assert!(i32::from_le_bytes(world.get(world.page)) >= 0, "{seed}");
        }
        world.call(CLOSE, &[fd]).expect("it is open");
    });
    assert!(
        settings > 100,
        "the terminal was hardly ever there: {settings}"
    );
}

#[test]
fn no_time_that_a_host_may_tell_goes_back_or_is_too_much() {
    endure(|world, seed| {
        let mut before = (0, 0);
        for round in 0..20 {
            for clock in 0..8 {
                let _ = world.call(CLOCK_GETTIME, &[clock, world.page]);
                let nanoseconds: [u8; 8] = world.get(world.page + 8);
                assert!(
                    u64::from_le_bytes(nanoseconds) < 1_000_000_000,
                    "{seed} {clock}"
                );
            }
            let _ = world.call(CLOCK_GETTIME, &[1, world.page]);
            let now = (
                i64::from_le_bytes(world.get(world.page)),
                i64::from_le_bytes(world.get(world.page + 8)),
            );
            assert!(now >= before, "{seed} {round}: {now:?} after {before:?}");
            before = now;
            for (number, arguments) in [
                (GETTIMEOFDAY, [world.page, 0]),
                (TIME, [world.page, 0]),
                (TIMES, [world.page, 0]),
                (GETRUSAGE, [0, world.page]),
                (SYSINFO, [world.page, 0]),
            ] {
                let _ = world.call(number, &arguments);
            }
        }
    });
}

#[test]
fn timers_and_sleeps_survive_any_clock() {
    endure(|world, _| {
        let words = |words: [u64; 4]| -> Vec<u8> {
            words.iter().flat_map(|word| word.to_le_bytes()).collect()
        };
        for spec in [
            [0, 1, 0, 1],
            [0, 0, i64::MAX as u64, 999_999_999],
            [i64::MAX as u64, 999_999_999, i64::MAX as u64, 999_999_999],
            [1, 0, 1 << 33, 0],
        ] {
            let [page, old] = [world.put(0, &words(spec)), world.page + 64];
            for which in 0..3 {
                let _ = world.call(SETITIMER, &[which, page, old]);
                let _ = world.call(GETITIMER, &[which, old]);
            }
            for clock in [0, 1, 2, 3, 7] {
                if world.call(TIMER_CREATE, &[clock, 0, old]).is_ok() {
                    let timer = u64::from(u32::from_le_bytes(world.get(old)));
                    for flags in [0, 1] {
                        let _ = world.call(TIMER_SETTIME, &[timer, flags, page, old]);
                        let _ = world.call(TIMER_GETTIME, &[timer, old]);
                    }
                    let _ = world.call(TIMER_DELETE, &[timer]);
                }
                if let Ok(fd) = world.call(TIMERFD_CREATE, &[clock, 0o4_000]) {
                    for flags in [0, 1] {
                        let _ = world.call(TIMERFD_SETTIME, &[fd, flags, page, old]);
                        let _ = world.call(TIMERFD_GETTIME, &[fd, old]);
                        let _ = world.call(READ, &[fd, old, 8]);
                    }
                    let _ = world.call(CLOSE, &[fd]);
                }
            }
            world.libos.serve_host_signals();
        }
        let short = world.put(0, &words([0, 1, 0, 0]));
        let _ = world.serve(NANOSLEEP, &[short, 0]);
        let _ = world.serve(CLOCK_NANOSLEEP, &[1, 1, short, 0]);
        let word = world.put(128, &[0; 8]);
        let _ = world.serve(FUTEX, &[word, 128, 0, short, 0, 0]);
    });
}

#[test]
fn only_signals_that_the_configuration_lets_in_come_from_the_host() {
    endure(|world, seed| {
        // All are blocked, so that what came is pending.
        world.libos.serve_host_signals();
        let pending = world.page + 64;
        world.call(RT_SIGPENDING, &[pending, 8]).expect("tells");
        // SIGINT and SIGTERM, as `config::EXAMPLE` lists them.
        let allowed = 1 << 1 | 1 << 14;
        assert_eq!(
            u64::from_le_bytes(world.get(pending)) & !allowed,
            0,
            "{seed}"
        );
    });
}

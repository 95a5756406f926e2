//! What may come of a host's replies, whatever they are.

use std::time::Duration;

use abi::ocall::Statistics;
use hal::{
    Clock, Errno, HostChange, HostEvents, HostFiles, HostPoll, LogLevel, SettingsTime,
    TerminalRequest,
};
use ocalls::{Host, Post};

/// The buffer of a liar.
pub(crate) const CAPACITY: usize = 64 * 1024;
/// 2020-01-01 and 2200-01-01 in nanoseconds.
pub(crate) const REALTIME: std::ops::RangeInclusive<u64> =
    1_577_836_800_000_000_000..=7_258_118_400_000_000_000;

/// Errors that the program, or the kernel, has to reckon with when it reads and writes.
const STREAM: [Errno; 6] = [
    Errno::EAGAIN,
    Errno::EBADF,
    Errno::EINTR,
    Errno::EIO,
    Errno::ENOSPC,
    Errno::EPIPE,
];
const TERMINAL: [Errno; 5] = [
    Errno::ENOTTY,
    Errno::EBADF,
    Errno::EINTR,
    Errno::EINVAL,
    Errno::EIO,
];
const START: [Errno; 3] = [Errno::EAGAIN, Errno::ENOMEM, Errno::EIO];
/// What no file of a host fails with: it would make the kernel wait, or look for another call.
const NO_FILE_ERROR: [Errno; 4] = [Errno::EINTR, Errno::EAGAIN, Errno::ENOSYS, Errno::EFAULT];

fn at_most<T>(result: Result<T, Errno>, errors: &[Errno], fits: impl Fn(&T) -> bool) {
    match result {
        Ok(value) => assert!(fits(&value), "a value that was not asked for"),
        Err(errno) => assert!(
            errors.contains(&errno),
            "{errno:?} is no error of this call"
        ),
    }
}

fn of_a_file<T>(result: Result<T, Errno>, fits: impl Fn(&T) -> bool) {
    match result {
        Ok(value) => assert!(fits(&value), "a value that was not asked for"),
        Err(errno) => assert!(!NO_FILE_ERROR.contains(&errno), "{errno:?}"),
    }
}

/// A way to a host that anyone may take.
pub(crate) trait Liar: Post + Copy + Sync {}
impl<P: Post + Copy + Sync> Liar for P {}

/// Makes every call that comes back, and judges what it gives.
pub(crate) fn all(host: Host<impl Liar>, size: usize, fd: u32, kept: u64, asked: HostEvents) {
    streams(host, size, fd, asked);
    terminals(host, fd);
    threads_and_time(host, fd, kept);
    pages(host);
    files(host, size, fd);
}

fn streams(host: Host<impl Liar>, size: usize, fd: u32, asked: HostEvents) {
    let guard = 0xa5;
    let mut buffer = vec![guard; size];
    at_most(host.read(fd, &mut buffer), &STREAM, |&got| {
        got <= size && got <= CAPACITY
    });
    let mut buffer = vec![guard; size];
    if let Ok(got) = host.read(fd, &mut buffer) {
        assert!(buffer[got..].iter().all(|&byte| byte == guard), "beyond");
    }
    at_most(host.write(fd, &buffer), &STREAM, |&done| {
        done <= size && done <= CAPACITY
    });
    let one = HostPoll {
        fd,
        events: asked,
        ready: HostEvents::empty(),
    };
    for count in [0, 1, 7, 256] {
        let mut list = vec![one; count];
        let waited = host.poll(&mut list, Some(Duration::from_secs(1)));
        at_most(
            waited,
            &[Errno::EINTR, Errno::ENOMEM, Errno::EIO],
            |&ready| ready <= count,
        );
        let unasked = HostEvents::ERROR | HostEvents::HANG_UP | HostEvents::INVALID;
        for entry in list {
            assert!((asked | unasked).contains(entry.ready));
            assert_eq!(
                (entry.fd, entry.events),
                (fd, asked),
                "what was asked stays"
            );
        }
    }
    assert_eq!(host.poll(&mut vec![one; 257], None), Err(Errno::EINVAL));
    for size in [0, 1, CAPACITY, 3 * CAPACITY + 9] {
        let errors = [Errno::EIO, Errno::EINVAL];
        at_most(host.read_image(0, 0, &mut vec![0; size]), &errors, |()| {
            true
        });
    }
    let end = host.read_image(0, u64::MAX - 5, &mut vec![0; 2 * CAPACITY]);
    assert!(end.is_err(), "an offset never wraps");
}

fn terminals(host: Host<impl Liar>, fd: u32) {
    at_most(host.terminal_size(fd), &TERMINAL, |_| true);
    at_most(host.terminal_settings(fd), &TERMINAL, |_| true);
    let settings = [0; 36];
    for when in [
        SettingsTime::Now,
        SettingsTime::AfterOutput,
        SettingsTime::WithoutInput,
    ] {
        let set = host.set_terminal_settings(fd, &settings, when);
        at_most(set, &TERMINAL, |()| true);
    }
    for number in 0..6 {
        let request = TerminalRequest::from_number(number).expect("there are six");
        let is_size = request == TerminalRequest::InputSize;
        at_most(host.terminal_request(fd, request, 7), &TERMINAL, |&reply| {
            reply == 0 || is_size && i32::try_from(reply).is_ok()
        });
    }
}

fn threads_and_time(host: Host<impl Liar>, thread: u32, kept: u64) {
    assert_eq!(host.take_signals(kept) & !kept, 0, "a signal nobody keeps");
    host.keep_signals(kept);
    at_most(host.spawn_keeper(), &START, |()| true);
    at_most(host.spawn_thread(), &START, |()| true);
    host.stop();
    host.park(None);
    host.park(Some(Duration::MAX));
    host.unpark(thread);
    host.interrupt(thread);
    host.yield_now();
    for level in [
        LogLevel::Error,
        LogLevel::Warning,
        LogLevel::Info,
        LogLevel::Trace,
        LogLevel::Mapping,
    ] {
        host.log(level, &"line ".repeat(20_000));
    }
    host.statistics(&Statistics::default());
    assert!(REALTIME.contains(&host.clock(Clock::Realtime)));
    assert!(i64::try_from(host.clock(Clock::Monotonic)).is_ok());
    assert!(i64::try_from(host.processor_time(thread)).is_ok());
}

fn pages(host: Host<impl Liar>) {
    host.map_pages(0x1000, 0x1000, 3);
    for done in [
        host.restrict_permissions(0x1000, 0x1000, 1),
        host.trim_pages(0x1000, 0x1000),
        host.remove_pages(0x1000, 0x1000),
    ] {
        at_most(done, &[Errno::EIO], |()| true);
    }
}

fn files(host: Host<impl Liar>, size: usize, handle: u32) {
    let any = |_: &_| true;
    let done = |(): &()| true;
    of_a_file(host.root(b"/", 1), any);
    of_a_file(host.look_up(handle, b"name", 1), any);
    of_a_file(host.status(handle), any);
    of_a_file(host.open(handle, true), done);
    let mut buffer = vec![0xa5; size];
    let room = size.min(CAPACITY);
    // The two names are also those of methods for streams.
    let read = HostFiles::read(&host, handle, 1 << 40, &mut buffer);
    if let Ok(got) = read {
        assert!(buffer[got..].iter().all(|&byte| byte == 0xa5), "beyond");
    }
    of_a_file(read, |&got| got <= room);
    of_a_file(HostFiles::write(&host, handle, 0, &buffer), |&n| n <= room);
    of_a_file(host.truncate(handle, u64::MAX), done);
    of_a_file(host.synchronize(handle), done);
    of_a_file(host.list(handle, 0), |bytes| bytes.len() <= 32 * 1024);
    of_a_file(host.create(handle, b"a", 0o777, b"target", 2), any);
    of_a_file(host.link(handle, b"a", 3), done);
    of_a_file(host.remove(handle, b"a", false), done);
    of_a_file(host.rename((1, b"a"), (2, b"b"), 0), done);
    of_a_file(host.read_link(handle), |bytes| bytes.len() <= 4096);
    let change = HostChange::from_bytes(&[0xff; HostChange::SIZE_BYTES]);
    of_a_file(host.change(handle, &change), done);
    of_a_file(host.sizes(handle), |_| true);
    host.close(handle);
    let long = vec![b'a'; CAPACITY + 1];
    let refused = host.look_up(handle, &long, 1);
    assert!(matches!(refused, Err(Errno::ENAMETOOLONG)));
}

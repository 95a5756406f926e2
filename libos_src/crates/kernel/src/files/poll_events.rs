//! Readiness in the bits of `poll` and `epoll`.

use alloc::vec::Vec;

use hal::HostPoll;
use vfs::{OpenFile, Readiness};

use super::{EventCounter, EventPoll, HostStream, SignalFile, TimerFile};
use crate::sockets::Socket;

const POLLRDNORM: u32 = 0x40;
const POLLRDBAND: u32 = 0x80;
const POLLWRNORM: u32 = 0x100;

/// The readiness that `events` ask for.
pub(crate) fn wanted(events: u32) -> Readiness {
    let mut wanted = Readiness::from_bits_truncate(events).difference(Readiness::ANEW);
    wanted.set(
        Readiness::READABLE,
        events & (Readiness::READABLE.bits() | POLLRDNORM) != 0,
    );
    wanted.set(
        Readiness::WRITABLE,
        events & ((Readiness::WRITABLE | Readiness::WRITABLE_BAND).bits() | POLLWRNORM) != 0,
    );
    wanted
}

/// By what names a file is said to be ready.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names {
    /// Also by those of System V: counters, timers and signals do without.
    has_old: bool,
    /// Who waits for input or output of any priority is woken by all of it.
    wakes_bands: bool,
}

impl Names {
    /// Those of a file.
    pub(crate) fn of(file: &OpenFile) -> Self {
        let object = file.object();
        let has_old = object.downcast::<EventCounter>().is_none()
            && object.downcast::<TimerFile>().is_none()
            && object.downcast::<SignalFile>().is_none();
        let wakes_bands = object.downcast::<Socket>().is_some();
        Self {
            has_old,
            wakes_bands,
        }
    }

    /// The events that a readiness is, of those that are asked for. Errors are told unasked.
    pub(crate) fn events(self, readiness: Readiness, asked: u32) -> u32 {
        let mut events = readiness.bits();
        if readiness.contains(Readiness::READABLE) && self.has_old {
            events |= POLLRDNORM;
        }
        if readiness.contains(Readiness::WRITABLE) && self.has_old {
            events |= POLLWRNORM;
        }
        events & (asked | (Readiness::ERROR | Readiness::HANG_UP).bits())
    }

    /// Whether who asks for these events looks again when a file becomes ready for `now`: a socket's data wake
    /// also those that wait for urgent data, who see then what else has happened.
    pub(crate) fn are_woken(self, now: Readiness, asked: u32) -> bool {
        let mut woken = self.events(now, asked);
        if self.wakes_bands && now.contains(Readiness::READABLE) {
            woken |= asked & (Readiness::PRIORITY.bits() | POLLRDBAND);
        }
        if self.wakes_bands && now.contains(Readiness::WRITABLE) {
            woken |= asked & Readiness::WRITABLE_BAND.bits();
        }
        woken != 0
    }
}

/// Whether waiting for a file means anything. A regular file, for one, is always ready.
pub(crate) fn can_wait_for(file: &OpenFile) -> bool {
    file.watchers().is_some() || HostStream::behind(file).is_some()
}

/// Adds the streams of the host that somebody who waits for a file must ask the host for.
pub(crate) fn add_host_streams(file: &OpenFile, wanted: Readiness, streams: &mut Vec<HostPoll>) {
    if let Some(stream) = HostStream::behind(file) {
        streams.push(stream.poll(wanted));
    } else if let Some(poll) = EventPoll::behind(file) {
        poll.add_host_streams(streams);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_names_of_reading_and_writing_mean_the_same() {
        assert_eq!(
            wanted(0x140),
            Readiness::READABLE.union(Readiness::WRITABLE)
        );
        assert_eq!(wanted(0x2000), Readiness::READ_HANG_UP);
        let names = |has_old| Names {
            has_old,
            wakes_bands: false,
        };
        let (all, new) = (names(true), names(false));
        let ended = Readiness::READABLE | Readiness::HANG_UP;
        assert_eq!(all.events(ended, 0x40), 0x50);
        assert_eq!(all.events(Readiness::WRITABLE, 0x1), 0);
        assert_eq!(new.events(Readiness::WRITABLE, 0x104), 0x4);
    }

    #[test]
    fn data_of_a_socket_wake_also_who_waits_for_urgent_data() {
        let names = |wakes_bands| Names {
            has_old: true,
            wakes_bands,
        };
        for (now, asked) in [
            (Readiness::READABLE, 0x80),
            (Readiness::READABLE, 0x2),
            (Readiness::WRITABLE, 0x200),
        ] {
            assert!(names(true).are_woken(now, asked));
            assert!(!names(false).are_woken(now, asked));
            assert_eq!(names(true).events(now, asked), 0);
        }
    }
}

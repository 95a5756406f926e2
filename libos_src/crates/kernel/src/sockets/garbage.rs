//! Sockets that nobody can reach: they lie in each other's inboxes and nowhere else.
//!
//! An open socket that was sent to itself, say, holds a reference to itself. What is counted here is
//! which references to open sockets come from inboxes, and which of these inboxes can be reached.

use core::cell::Cell;
use core::sync::atomic::Ordering;

use super::{Socket, Sockets};

/// The mark of a socket that can be reached, as far as is known. Others count who holds them in an inbox that
/// cannot be.
pub(super) const UNMARKED: usize = usize::MAX;
/// No socket has this number.
const NO_SOCKET: u64 = u64::MAX;

/// With fewer sockets on their way garbage is looked for only when a descriptor is closed.
pub(super) const COLLECT_MIN: usize = 64;

impl Sockets {
    /// A descriptor was closed: what it kept may be garbage now.
    pub(crate) fn collect_after_close(&self) {
        let in_flight = self.in_flight.load(Ordering::SeqCst);
        if in_flight == 0 {
            return;
        }
        // To look at very many after each would take for ever.
        let closed = self.closed.fetch_add(1, Ordering::Relaxed) + 1;
        if closed.saturating_mul(COLLECT_MIN) >= in_flight {
            self.closed.store(0, Ordering::Relaxed);
            self.collect();
        }
    }

    /// Files are about to be sent: finds garbage before there is too much of it.
    pub(crate) fn collect_before_sending(&self) {
        if self.in_flight.load(Ordering::SeqCst) >= self.collect_at.load(Ordering::SeqCst) {
            self.collect();
            let left = self.in_flight.load(Ordering::SeqCst);
            self.collect_at
                .store((left * 2).max(COLLECT_MIN), Ordering::SeqCst);
        }
    }

    fn collect(&self) {
        let Some(_guard) = self.collecting.try_lock() else {
            return;
        };
        // What was found is still true if nothing has moved meanwhile: to reach garbage, somebody
        // would have had to take it out of an inbox.
        let moves = self.moves.load(Ordering::SeqCst);
        self.mark_garbage();
        if self.moves.load(Ordering::SeqCst) != moves {
            return;
        }
        self.for_each(|socket| {
            if socket.mark.swap(UNMARKED, Ordering::Relaxed) == UNMARKED {
                return;
            }
            // Here the files are closed, and with them their sockets.
            while let Some(ancillary) = socket.take_ancillary() {
                drop(ancillary);
            }
        });
    }

    /// Leaves marks at the sockets that nobody can reach. All is noted in the sockets themselves: there may be
    /// no memory for lists of them.
    fn mark_garbage(&self) {
        self.for_each(|socket| {
            let in_flight = socket.in_flight.load(Ordering::SeqCst);
            let is_suspect = in_flight > 0 && socket.references() == in_flight;
            let mark = if is_suspect { 0 } else { UNMARKED };
            socket.mark.store(mark, Ordering::Relaxed);
        });
        // References from inboxes of suspects do not count.
        self.for_each(|socket| {
            if socket.mark.load(Ordering::Relaxed) == UNMARKED {
                return;
            }
            socket.for_each_in_flight(|inner| {
                if inner.mark.load(Ordering::Relaxed) != UNMARKED {
                    inner.mark.fetch_add(1, Ordering::Relaxed);
                }
            });
        });
        let reached = Reached::default();
        self.for_each(|socket| {
            let held = socket.mark.load(Ordering::Relaxed);
            if held != UNMARKED && socket.in_flight.load(Ordering::SeqCst) > held {
                reached.push(socket);
            }
        });
        while let Some(number) = reached.first() {
            let Some(socket) = self.with_number(number) else {
                return;
            };
            reached.0.set(socket.next_reached.load(Ordering::Relaxed));
            socket.for_each_in_flight(|inner| {
                if inner.mark.load(Ordering::Relaxed) != UNMARKED {
                    reached.push(inner);
                }
            });
        }
    }
}

/// Sockets that can be reached, and whose inboxes are to be looked at: the number of one, which says which
/// is the next; [`NO_SOCKET`] at the end.
struct Reached(Cell<u64>);

impl Default for Reached {
    fn default() -> Self {
        Self(Cell::new(NO_SOCKET))
    }
}

impl Reached {
    fn push(&self, socket: &Socket) {
        socket.mark.store(UNMARKED, Ordering::Relaxed);
        let before = self.0.replace(socket.number());
        socket.next_reached.store(before, Ordering::Relaxed);
    }

    fn first(&self) -> Option<u64> {
        let number = self.0.get();
        (number != NO_SOCKET).then_some(number)
    }
}

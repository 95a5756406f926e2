//! Sockets that nobody can reach: they lie in each other's inboxes and nowhere else.
//!
//! An open socket that was sent to itself, say, holds a reference to itself. What is counted here is
//! which references to open sockets come from inboxes, and which of these inboxes can be reached.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use super::{Ancillary, Socket, Sockets};

/// With fewer sockets on their way garbage is looked for only when a descriptor is closed.
pub(super) const COLLECT_MIN: usize = 64;

impl Sockets {
    /// A descriptor was closed: what it kept may be garbage now.
    pub(crate) fn collect_after_close(&self) {
        if self.in_flight.load(Ordering::SeqCst) > 0 {
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
        let garbage = self.find_garbage();
        if self.moves.load(Ordering::SeqCst) != moves {
            return;
        }
        let ancillary: Vec<Ancillary> = garbage
            .iter()
            .flat_map(|socket| socket.take_ancillary())
            .collect();
        // Here the files are closed, and with them their sockets.
        drop(ancillary);
    }

    fn find_garbage(&self) -> Vec<Arc<Socket>> {
        let mut suspects = BTreeMap::new();
        for socket in self.all() {
            let in_flight = socket.in_flight.load(Ordering::SeqCst);
            if in_flight > 0 && socket.references() == in_flight {
                suspects.insert(socket.number(), (socket, in_flight));
            }
        }
        // References from inboxes of suspects do not count.
        let mut held: BTreeMap<u64, usize> = BTreeMap::new();
        for (socket, _) in suspects.values() {
            socket.for_each_in_flight(|inner| *held.entry(inner.number()).or_default() += 1);
        }
        let is_reached = |number: &u64, in_flight: usize| {
            in_flight > held.get(number).copied().unwrap_or_default()
        };
        let mut reached: Vec<u64> = suspects
            .iter()
            .filter(|(number, (_, in_flight))| is_reached(number, *in_flight))
            .map(|(&number, _)| number)
            .collect();
        while let Some(number) = reached.pop() {
            if let Some((socket, _)) = suspects.remove(&number) {
                socket.for_each_in_flight(|inner| reached.push(inner.number()));
            }
        }
        suspects.into_values().map(|(socket, _)| socket).collect()
    }
}

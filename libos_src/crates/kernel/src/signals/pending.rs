//! Signals that wait to be delivered.

use alloc::collections::BTreeMap;

use super::{Room, Signal, SignalInfo, SignalSet};

/// Signals that were sent to a thread or process and not yet taken.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    present: SignalSet,
    /// By signal, and then in the order in which they came.
    queue: BTreeMap<(Signal, u64), Queued>,
    /// How many came.
    count: u64,
}

/// A signal that waits.
#[derive(Debug)]
struct Queued {
    info: SignalInfo,
    /// What it takes of what its user may have, for as long as it waits.
    _room: Room,
}

impl Pending {
    /// Adds a signal. A standard signal is pending once, real-time ones queue while there is room;
    /// without it they are pending once, too, and nothing is known of them. Whether it was added: of most
    /// there is one at a time.
    pub(crate) fn add(&mut self, signal: Signal, info: SignalInfo, room: Room) -> bool {
        let queues = signal.is_real_time() && !matches!(room, Room::Missing);
        if self.present.contains(signal) && !queues {
            return false;
        }
        let info = if let Room::Missing = room {
            SignalInfo::from_kill(signal, 0, 0)
        } else {
            info
        };
        self.present = self.present.with(signal);
        self.count += 1;
        let queued = Queued { info, _room: room };
        self.queue.insert((signal, self.count), queued);
        true
    }

    /// Takes the first signal of the lowest number that is not in `blocked`; before all others those of
    /// faults, and of these what tells of a real one, so that their handlers find the fault.
    pub(crate) fn take(&mut self, blocked: SignalSet) -> Option<(Signal, SignalInfo)> {
        let faults = (self.present.difference(blocked)).intersection(SignalSet::FAULTS);
        let key = if faults == SignalSet::default() {
            self.first(blocked)?
        } else {
            let real = self.first_fault(faults);
            real.or_else(|| self.first(faults.complement()))?
        };
        let taken = self.queue.remove(&key)?;
        let (signal, _) = key;
        let mut others = self.queue.range((signal, 0)..=(signal, u64::MAX));
        if others.next().is_none() {
            self.present = self.present.without(signal);
        }
        Some((signal, taken.info))
    }

    fn first(&self, blocked: SignalSet) -> Option<(Signal, u64)> {
        let mut next = self.queue.first_key_value();
        while let Some((&(signal, _), _)) = next
            && blocked.contains(signal)
        {
            next = self.queue.range((signal, u64::MAX)..).next();
        }
        next.map(|(&key, _)| key)
    }

    /// The first of `faults` that came because of one: no process sent it.
    fn first_fault(&self, faults: SignalSet) -> Option<(Signal, u64)> {
        let is_fault = |&(&(signal, _), queued): &(&(Signal, u64), &Queued)| {
            faults.contains(signal) && queued.info.code() > 0
        };
        let keys = self.queue.iter().filter(is_fault).map(|(&key, _)| key);
        keys.min_by_key(|&(_, count)| count)
    }

    /// Counts `more` overruns on a signal of the timer `id` that still waits, if there is one.
    pub(crate) fn add_overruns(&mut self, id: u32, more: u32, max: u32) -> bool {
        let is_of_timer =
            |queued: &&mut Queued| queued.info.timer().is_some_and(|(timer, _)| timer == id);
        let Some(queued) = self.queue.values_mut().find(is_of_timer) else {
            return false;
        };
        queued.info.add_overruns(more, max);
        true
    }

    /// Drops all of one signal: its action became to ignore it.
    pub(crate) fn forget(&mut self, signal: Signal) {
        self.queue.retain(|&(of, _), _| of != signal);
        self.present = self.present.without(signal);
    }

    /// Which are pending.
    pub(crate) const fn present(&self) -> SignalSet {
        self.present
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn add(pending: &mut Pending, signal: Signal) {
        pending.add(signal, SignalInfo::from_kernel(signal), Room::Free);
    }

    #[test]
    fn a_real_time_signal_without_room_is_pending_once_and_says_nothing() {
        let real_time = Signal::new(40).expect("it exists");
        let mut pending = Pending::default();
        for _ in 0..2 {
            pending.add(
                real_time,
                SignalInfo::from_kill(real_time, 7, 8),
                Room::Missing,
            );
        }

        let blocked = SignalSet::default();
        let taken = pending.take(blocked).map(|(_, info)| info);
        assert_eq!(taken, Some(SignalInfo::from_kill(real_time, 0, 0)));
        assert_eq!(pending.take(blocked), None);
    }

    #[test]
    fn a_standard_signal_is_pending_once_and_a_real_time_one_each_time() {
        let real_time = Signal::new(40).expect("it exists");
        let mut pending = Pending::default();
        for signal in [Signal::USR1, Signal::USR1, real_time, real_time] {
            add(&mut pending, signal);
        }

        let taken = core::iter::from_fn(|| pending.take(SignalSet::default()));

        let taken: Vec<Signal> = taken.map(|(signal, _)| signal).collect();
        assert_eq!(taken, [Signal::USR1, real_time, real_time]);
        assert_eq!(pending.present(), SignalSet::default());
    }

    #[test]
    fn what_tells_of_a_fault_comes_first() {
        let mut pending = Pending::default();
        for signal in [Signal::HUP, Signal::SYS, Signal::SEGV] {
            add(&mut pending, signal);
        }
        let blocked = SignalSet::default().with(Signal::SYS);

        let taken = core::iter::from_fn(|| pending.take(blocked));

        let taken: Vec<Signal> = taken.map(|(signal, _)| signal).collect();
        assert_eq!(taken, [Signal::SEGV, Signal::HUP]);
    }

    #[test]
    fn a_blocked_signal_waits() {
        let mut pending = Pending::default();
        add(&mut pending, Signal::HUP);
        add(&mut pending, Signal::TERM);
        let blocked = SignalSet::default().with(Signal::HUP);

        assert_eq!(
            pending.take(blocked).map(|(signal, _)| signal),
            Some(Signal::TERM)
        );
        assert_eq!(pending.take(blocked), None);
        assert!(pending.present().contains(Signal::HUP));
    }
}

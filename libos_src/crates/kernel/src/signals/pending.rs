//! Signals that wait to be delivered.

use alloc::collections::VecDeque;

use super::{Signal, SignalInfo, SignalSet};

/// Signals that were sent to a thread or process and not yet taken.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    present: SignalSet,
    queue: VecDeque<(Signal, SignalInfo)>,
}

/// More real-time signals than this are dropped, as `RLIMIT_SIGPENDING` does.
pub(super) const QUEUE_MAX: usize = 1024;

impl Pending {
    /// Adds a signal; whether it was. A standard signal is pending once, real-time ones queue.
    pub(crate) fn add(&mut self, signal: Signal, info: SignalInfo) -> bool {
        if self.present.contains(signal) && !signal.is_real_time() {
            return true;
        }
        if self.queue.len() >= QUEUE_MAX {
            return false;
        }
        self.present = self.present.with(signal);
        self.queue.push_back((signal, info));
        true
    }

    /// Takes the first signal of the lowest number that is not in `blocked`.
    pub(crate) fn take(&mut self, blocked: SignalSet) -> Option<(Signal, SignalInfo)> {
        let ready = |(signal, _): &&(Signal, SignalInfo)| !blocked.contains(*signal);
        let signal = self
            .queue
            .iter()
            .filter(ready)
            .map(|(signal, _)| *signal)
            .min()?;
        let at = self
            .queue
            .iter()
            .position(|(queued, _)| *queued == signal)?;
        let taken = self.queue.remove(at)?;
        if !self.queue.iter().any(|(queued, _)| *queued == signal) {
            self.present = self.present.without(signal);
        }
        Some(taken)
    }

    /// Counts `more` overruns on a signal of the timer `id` that still waits, if there is one.
    pub(crate) fn add_overruns(&mut self, id: u32, more: u32, max: u32) -> bool {
        let is_of_timer = |info: &SignalInfo| info.timer().is_some_and(|(timer, _)| timer == id);
        let waiting = self.queue.iter_mut().find(|(_, info)| is_of_timer(info));
        let Some((_, info)) = waiting else {
            return false;
        };
        info.add_overruns(more, max);
        true
    }

    /// Drops all of one signal: its action became to ignore it.
    pub(crate) fn forget(&mut self, signal: Signal) {
        self.queue.retain(|(queued, _)| *queued != signal);
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
        pending.add(signal, SignalInfo::from_kernel(signal));
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

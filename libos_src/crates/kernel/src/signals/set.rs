//! Sets of signals.

use super::Signal;

/// A set of signals, as `sigset_t` has it: bit n-1 is signal n.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SignalSet(u64);

impl SignalSet {
    /// Those that tell of faults (`SYNCHRONOUS_MASK`).
    pub(crate) const FAULTS: Self = Self(0)
        .with(Signal::SEGV)
        .with(Signal::BUS)
        .with(Signal::ILL)
        .with(Signal::TRAP)
        .with(Signal::FPE)
        .with(Signal::SYS);

    /// The set with these bits, without `SIGKILL` and `SIGSTOP`, which cannot be blocked.
    pub(crate) fn blockable(bits: u64) -> Self {
        Self(bits).without(Signal::KILL).without(Signal::STOP)
    }

    /// The set with these bits.
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Its bits.
    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    /// Whether a signal is in it.
    pub(crate) const fn contains(self, signal: Signal) -> bool {
        self.0 & bit(signal) != 0
    }

    /// The set and one more.
    pub(crate) const fn with(self, signal: Signal) -> Self {
        Self(self.0 | bit(signal))
    }

    /// The set and one less.
    pub(crate) const fn without(self, signal: Signal) -> Self {
        Self(self.0 & !bit(signal))
    }

    /// What is in either.
    pub(crate) const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both.
    pub(crate) const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// All that is not in it.
    pub(crate) const fn complement(self) -> Self {
        Self(!self.0)
    }

    /// What is in this but not in the other.
    pub(crate) const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

const fn bit(signal: Signal) -> u64 {
    1 << (signal.number() - 1)
}

//! `siginfo_t`.

use alloc::format;
use alloc::string::String;

use hal::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::Signal;
use crate::processes::{Change, EndStatus};

/// What a handler learns about a signal: `siginfo_t` of x86-64 (`asm-generic/siginfo.h`), 128
/// bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct SignalInfo {
    number: i32,
    errno: i32,
    code: i32,
    padding: u32,
    fields: [u64; 14],
}

/// Linux keeps 48 bytes (`struct kernel_siginfo`).
const FIELDS_KEPT: usize = 4;
/// Sent by `kill`.
const SI_USER: i32 = 0;
/// Sent by the kernel.
const SI_KERNEL: i32 = 0x80;
/// Sent by a timer of `timer_create`.
const SI_TIMER: i32 = -2;
/// Sent by a message queue.
const SI_MESGQ: i32 = -3;
/// Sent by `tkill` or `tgkill`.
const SI_TKILL: i32 = -6;

/// What the fields of a [`SignalInfo`] mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// The sender.
    Kill,
    /// The sender, and a value.
    Queued,
    /// The timer, its overruns, and a value.
    Timer,
    /// What a file is ready for, and its descriptor.
    File,
    /// The child, how it is, and its times.
    Child,
    /// Where a fault was.
    Fault,
    /// The same, and how much of memory is lost.
    MemoryFault,
    /// The system call that is not permitted, and where it was made.
    Call,
}

impl SignalInfo {
    /// Sent by `kill` from this process and user.
    pub(crate) const fn from_kill(signal: Signal, pid: u32, user: u32) -> Self {
        Self::new(signal, SI_USER, pid as u64 | (user as u64) << 32)
    }

    /// Sent by `tgkill` or `tkill` from this process and user.
    pub(crate) const fn from_tgkill(signal: Signal, pid: u32, user: u32) -> Self {
        Self::new(signal, SI_TKILL, pid as u64 | (user as u64) << 32)
    }

    /// Something happened to the child `pid` of this user.
    pub(crate) const fn from_child(signal: Signal, pid: u32, user: u32, change: Change) -> Self {
        const CLD_EXITED: i32 = 1;
        const CLD_KILLED: i32 = 2;
        const CLD_STOPPED: i32 = 5;
        const CLD_CONTINUED: i32 = 6;
        let (code, status) = match change {
            Change::Ended(EndStatus::Exited(status)) => (CLD_EXITED, status & 0xff),
            Change::Ended(EndStatus::Killed(by)) => (CLD_KILLED, by.number() as i32),
            Change::Stopped(by) => (CLD_STOPPED, by.number() as i32),
            Change::Continued => (CLD_CONTINUED, Signal::CONT.number() as i32),
        };
        let mut info = Self::new(signal, code, pid as u64 | (user as u64) << 32);
        info.fields[1] = status.cast_unsigned() as u64;
        info
    }

    /// The same of a child that has used so many hundredths of a second: in its program, and in calls.
    pub(crate) const fn with_times(mut self, user: u64, system: u64) -> Self {
        (self.fields[2], self.fields[3]) = (user, system);
        self
    }

    /// Raised by the kernel itself, about nothing in particular.
    pub(crate) const fn from_kernel(signal: Signal) -> Self {
        Self::new(signal, SI_KERNEL, 0)
    }

    /// Raised by a fault that is about `address`; `code` says which (`SEGV_*`, `FPE_*`, …).
    pub(crate) const fn from_fault(signal: Signal, code: i32, address: u64) -> Self {
        Self::new(signal, code, address)
    }

    /// The timer `id` has expired, and `overruns` times more.
    pub(crate) const fn from_timer(signal: Signal, id: u32, overruns: u32, value: u64) -> Self {
        let mut info = Self::new(signal, SI_TIMER, id as u64 | (overruns as u64) << 32);
        info.fields[1] = value;
        info
    }

    /// A message came to a queue: from whom, and what the process wants to be told.
    pub(crate) const fn from_message_queue(
        signal: Signal,
        pid: u32,
        user: u32,
        value: u64,
    ) -> Self {
        let mut info = Self::new(signal, SI_MESGQ, pid as u64 | (user as u64) << 32);
        info.fields[1] = value;
        info
    }

    /// The id and overruns of the timer that it is about, if one sent it.
    pub(crate) const fn timer(&self) -> Option<(u32, u32)> {
        if self.code == SI_TIMER {
            Some((self.fields[0] as u32, (self.fields[0] >> 32) as u32))
        } else {
            None
        }
    }

    /// Counts `more` overruns, up to `max`.
    pub(crate) fn add_overruns(&mut self, more: u32, max: u32) {
        if let Some((id, overruns)) = self.timer() {
            let overruns = overruns.saturating_add(more).min(max);
            self.fields[0] = u64::from(id) | u64::from(overruns) << 32;
        }
    }

    /// A file is ready for something: `code` (`POLL_*`) and `band` (as `poll` has it) say what.
    pub(crate) const fn from_file(signal: Signal, code: i32, band: u32, fd: i32) -> Self {
        let mut info = Self::new(signal, code, band as u64);
        info.fields[1] = fd.cast_unsigned() as u64;
        info
    }

    /// Which fields are meant (`siginfo_layout` in kernel/signal.c).
    pub(crate) fn layout(&self) -> Layout {
        const POLL_HUP: i32 = 6;
        const BUS_MCEERR_AR: i32 = 4;
        const SI_SIGIO: i32 = -5;
        match (self.code, self.codes()) {
            (SI_TIMER, _) => Layout::Timer,
            (SI_SIGIO, _) => Layout::File,
            (..=-1, _) => Layout::Queued,
            (1..SI_KERNEL, Some(codes)) if self.code <= codes => match Signal::new(self.number) {
                Ok(Signal::CHLD) => Layout::Child,
                Ok(Signal::IO) => Layout::File,
                Ok(Signal::SYS) => Layout::Call,
                Ok(Signal::BUS) if self.code >= BUS_MCEERR_AR => Layout::MemoryFault,
                _ => Layout::Fault,
            },
            (1..=POLL_HUP, _) => Layout::File,
            _ => Layout::Kill,
        }
    }

    /// How many codes the kernel has for this signal alone.
    fn codes(&self) -> Option<i32> {
        match Signal::new(self.number).ok()? {
            Signal::ILL => Some(11),
            Signal::FPE => Some(15),
            Signal::SEGV => Some(9),
            Signal::BUS => Some(5),
            Signal::TRAP | Signal::CHLD | Signal::IO => Some(6),
            Signal::SYS => Some(2),
            _ => None,
        }
    }

    /// What is wrong, as the sender has it.
    pub(crate) const fn errno(&self) -> i32 {
        self.errno
    }

    /// Its number, as the sender has it.
    pub(crate) const fn number(&self) -> i32 {
        self.number
    }

    /// Whether it says that the kernel sent it, or `tkill`, which others must not say.
    pub(crate) const fn is_from_kernel(&self) -> bool {
        self.code >= 0 || self.code == SI_TKILL
    }

    /// Whether it says more than that somebody sent it by `kill`.
    pub(super) const fn is_queued(&self) -> bool {
        self.code != SI_USER && self.code != SI_KERNEL
    }

    /// Why it was sent: positive by the kernel, negative or zero by a process.
    pub(crate) const fn code(&self) -> i32 {
        self.code
    }

    /// What depends on the code, from byte 16 on.
    pub(crate) const fn fields(&self) -> &[u64; 14] {
        &self.fields
    }

    /// What a process says about the signal `number`: that counts, and not the number in here.
    ///
    /// # Errors
    /// `E2BIG` if it says more than Linux keeps, with a code of which nobody knows that it does not
    /// (`known_siginfo_layout` in kernel/signal.c).
    pub(crate) fn as_sent(mut self, number: i32) -> Result<Self, Errno> {
        self.number = number;
        let rest = &mut self.fields[FIELDS_KEPT..];
        let is_short = rest.iter().all(|&field| field == 0);
        rest.fill(0);
        if is_short || self.has_known_layout() {
            Ok(self)
        } else {
            Err(Errno::E2BIG)
        }
    }

    fn has_known_layout(&self) -> bool {
        const SI_DETHREAD: i32 = -7;
        const SI_ASYNCNL: i32 = -60;
        if self.code == SI_KERNEL {
            return true;
        }
        if self.code <= 0 {
            return self.code >= SI_DETHREAD || self.code == SI_ASYNCNL;
        }
        self.code <= self.codes().unwrap_or(6)
    }

    /// The code and the address or sender, for a person.
    pub(crate) fn summary(&self) -> String {
        let field = self.fields[0];
        match self.code {
            SI_USER | SI_TKILL => format!("{{code {}, from {}}}", self.code, field as u32),
            code => format!("{{code {code}, address {field:#x}}}"),
        }
    }

    const fn new(signal: Signal, code: i32, first: u64) -> Self {
        let mut fields = [0; 14];
        fields[0] = first;
        Self {
            number: signal.number() as i32,
            errno: 0,
            code,
            padding: 0,
            fields,
        }
    }
}

const _: () = assert!(size_of::<SignalInfo>() == 128);

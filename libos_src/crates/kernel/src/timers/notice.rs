//! What a POSIX timer tells, and whom.

use hal::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::signals::Signal;

/// `struct sigevent` of x86-64 (`asm-generic/siginfo.h`), up to what is used of it.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct EventRecord {
    value: u64,
    signal: i32,
    kind: i32,
    thread: i32,
    padding: i32,
}

impl EventRecord {
    /// Whether it asks for a signal, and names none.
    pub(crate) const fn has_no_signal(&self) -> bool {
        const SIGEV_SIGNAL: i32 = 0;
        self.kind == SIGEV_SIGNAL && self.signal == 0
    }

    /// If it asks for what only a libc can do: the socket by which that is told, and where the record is
    /// that it wants to be told (`mq_notify(2)`).
    pub(crate) const fn socket(&self) -> Option<(i32, u64)> {
        const SIGEV_THREAD: i32 = 2;
        if self.kind == SIGEV_THREAD {
            Some((self.signal, self.value))
        } else {
            None
        }
    }
}

/// What happens when a timer expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// Nothing.
    None,
    /// A signal goes to the process.
    Process {
        /// Which signal.
        signal: Signal,
        /// What its handler is told.
        value: u64,
    },
    /// A signal goes to one thread.
    Thread {
        /// The thread.
        tid: u32,
        /// Which signal.
        signal: Signal,
        /// What its handler is told.
        value: u64,
    },
}

impl Notice {
    /// What is meant without a record: `SIGALRM`, with the timer's id.
    pub(crate) const fn default_for(id: u32) -> Self {
        Self::Process {
            signal: Signal::ALRM,
            value: id as u64,
        }
    }

    /// The number of its signal; 0 if there is none.
    pub(crate) fn signal_number(&self) -> u8 {
        match self {
            Self::None => 0,
            Self::Process { signal, .. } | Self::Thread { signal, .. } => signal.number(),
        }
    }

    /// Decodes what a program passed.
    pub(crate) fn decode(record: &EventRecord) -> Result<Self, Errno> {
        const SIGEV_SIGNAL: i32 = 0;
        const SIGEV_NONE: i32 = 1;
        const SIGEV_THREAD: i32 = 2;
        const SIGEV_THREAD_ID: i32 = 4;
        let EventRecord { value, thread, .. } = *record;
        if record.kind == SIGEV_NONE {
            return Ok(Self::None);
        }
        let signal = Signal::new(record.signal)?;
        match record.kind {
            // A libc makes SIGEV_THREAD of SIGEV_THREAD_ID; for the system it is a signal.
            SIGEV_SIGNAL | SIGEV_THREAD => Ok(Self::Process { signal, value }),
            SIGEV_THREAD_ID => Ok(Self::Thread {
                tid: u32::try_from(thread).map_err(|_| Errno::EINVAL)?,
                signal,
                value,
            }),
            _ => Err(Errno::EINVAL),
        }
    }
}

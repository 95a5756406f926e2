//! The host's terminal as the terminal of a session.

use locks::Mutex;

/// Which session has the terminal, and which of its groups is in the foreground: reads, and gets
/// what is typed as signals.
pub(crate) struct Console(Mutex<Holder>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    /// The session; 0 if none has it.
    pub(crate) session: u32,
    /// The group in the foreground.
    pub(crate) foreground: u32,
}

impl Console {
    /// The terminal of the session of process `pid`, which has begun.
    pub(crate) const fn of_session(pid: u32) -> Self {
        Self(Mutex::new(Holder {
            session: pid,
            foreground: pid,
        }))
    }

    /// Who has it.
    pub(crate) fn holder(&self) -> Holder {
        *self.0.lock()
    }

    /// Changes who has it, if `change` gives somebody else.
    pub(crate) fn change(&self, change: impl FnOnce(Holder) -> Option<Holder>) -> bool {
        let mut holder = self.0.lock();
        match change(*holder) {
            Some(new) => {
                *holder = new;
                true
            }
            None => false,
        }
    }
}

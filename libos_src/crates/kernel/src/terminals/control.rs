//! Which session a terminal belongs to.

use locks::Mutex;

/// Which session has a terminal, and which of its groups is in the foreground: reads, and gets what
/// is typed as signals. The same for the host's terminal and for pseudo-terminals.
#[derive(Default)]
pub(crate) struct Control(Mutex<Holder>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holder {
    /// The session; 0 if none has it.
    pub(crate) session: u32,
    /// The group in the foreground.
    pub(crate) foreground: u32,
}

impl Holder {
    /// The session of process `pid`, which is in the foreground.
    pub(crate) const fn leader(pid: u32) -> Self {
        Self {
            session: pid,
            foreground: pid,
        }
    }
}

impl Control {
    /// The terminal of the session of process `pid`, which has begun.
    pub(crate) const fn of_session(pid: u32) -> Self {
        Self(Mutex::new(Holder::leader(pid)))
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

    /// Nobody has it any more, if `session` did; returns who had it.
    pub(crate) fn release(&self, session: u32) -> Option<Holder> {
        let mut holder = self.0.lock();
        let is_held = session != 0 && holder.session == session;
        is_held.then(|| core::mem::take(&mut *holder))
    }
}

//! All terminals of an enclave.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use hal::Errno;
use locks::{Mutex, Once};
use vfs::{DeviceNumber, Location, OpenFile};

use super::{Control, End, Holder, Pseudo};
use crate::files::HostStream;
use crate::processes::FIRST_PID;
use crate::signals::Outbox;

/// The host's terminal, and the pseudo-terminals that are open.
pub(crate) struct Terminals {
    /// Who has the host's.
    pub(crate) console: Control,
    /// Where signals go that a terminal sends.
    pub(crate) outbox: Arc<Outbox>,
    /// Where `/dev/pts` is mounted.
    pub(crate) directory: Once<Location>,
    pseudo: Mutex<BTreeMap<u32, Weak<Pseudo>>>,
    /// Groups that were in the foreground of a terminal that hung up, by session: they learn of the
    /// end of the session all the same.
    former: Mutex<BTreeMap<u32, u32>>,
}

/// The terminal that controls a session.
pub(crate) enum OfSession {
    Console,
    Pseudo(Arc<Pseudo>),
}

/// As `/proc/sys/kernel/pty/max`.
const PSEUDO_MAX: u32 = 4096;

impl Terminals {
    /// Only the host's, which the first process has.
    pub(crate) fn new(outbox: Arc<Outbox>) -> Arc<Self> {
        Arc::new(Self {
            console: Control::of_session(FIRST_PID),
            outbox,
            directory: Once::new(),
            pseudo: Mutex::default(),
            former: Mutex::default(),
        })
    }

    /// A new pseudo-terminal of a user, with the lowest number that is free.
    ///
    /// # Errors
    /// `ENOSPC`.
    pub(crate) fn add_pseudo(self: &Arc<Self>, user: u32) -> Result<Arc<Pseudo>, Errno> {
        let mut pseudo = self.pseudo.lock();
        let number = (0..PSEUDO_MAX).find(|number| !pseudo.contains_key(number));
        let number = number.ok_or(Errno::ENOSPC)?;
        let new = Pseudo::new(self, number, user);
        pseudo.insert(number, Arc::downgrade(&new));
        Ok(new)
    }

    /// The number is free again.
    pub(super) fn remove_pseudo(&self, number: u32) {
        self.pseudo.lock().remove(&number);
    }

    /// The pseudo-terminal with this number, whose master is open.
    pub(super) fn pseudo(&self, number: u32) -> Option<Arc<Pseudo>> {
        let found = self.pseudo.lock().get(&number).and_then(Weak::upgrade);
        found.filter(|found| !found.is_hung_up())
    }

    /// All whose masters are open, in order.
    pub(super) fn all(&self) -> Vec<Arc<Pseudo>> {
        let all: Vec<_> = self
            .pseudo
            .lock()
            .values()
            .filter_map(Weak::upgrade)
            .collect();
        all.into_iter()
            .filter(|found| !found.is_hung_up())
            .collect()
    }

    /// The terminal that controls a session.
    pub(crate) fn of_session(&self, session: u32) -> Option<OfSession> {
        if self.console.holder().session == session {
            return Some(OfSession::Console);
        }
        let has = |pseudo: &Arc<Pseudo>| pseudo.control.holder().session == session;
        self.all().into_iter().find(has).map(OfSession::Pseudo)
    }

    /// Its number, and the group in its foreground, as `/proc` shows them.
    pub(crate) fn shown(&self, session: u32) -> Option<(DeviceNumber, u32)> {
        Some(match self.of_session(session)? {
            OfSession::Console => (
                super::controlling::CONSOLE,
                self.console.holder().foreground,
            ),
            OfSession::Pseudo(pseudo) => {
                (pseudo.device_number(), pseudo.control.holder().foreground)
            }
        })
    }

    /// Whose the terminal behind an open file is, if it is one for programs.
    pub(crate) fn control_behind<'a>(&'a self, file: &'a OpenFile) -> Option<&'a Control> {
        if let Some(end) = End::behind(file) {
            return (!end.is_master()).then(|| &end.terminal().control);
        }
        let stream = HostStream::behind(file)?;
        stream.is_terminal().then_some(&self.console)
    }

    /// A terminal hangs up that had this holder.
    pub(super) fn note_former(&self, holder: Holder) {
        let mut former = self.former.lock();
        former.insert(holder.session, holder.foreground);
        // A session whose leader is gone asks no more. The oldest are most likely such.
        if former.len() > PSEUDO_MAX as usize {
            former.pop_first();
        }
    }

    /// The group that a terminal which hung up had in its foreground.
    pub(super) fn take_former(&self, session: u32) -> Option<u32> {
        self.former.lock().remove(&session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_sessions_that_lost_their_terminal_only_so_many_are_remembered() {
        let terminals = Terminals::new(Arc::default());
        for session in 1..3 * PSEUDO_MAX {
            let foreground = session;
            terminals.note_former(Holder {
                session,
                foreground,
            });
        }
        assert_eq!(terminals.former.lock().len(), PSEUDO_MAX as usize);
        assert!(terminals.take_former(3 * PSEUDO_MAX - 1).is_some());
    }
}

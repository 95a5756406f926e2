//! What happens to sessions when their terminals or their leaders go.

use super::{Control, OfSession, Terminals};
use crate::Libos;
use crate::signals::{Recipient, Signal};

impl Terminals {
    /// The terminal of a session is gone: its leader is told, and goes on to hear it.
    pub(super) fn hang_up(&self, control: &Control) {
        let Some(holder) = control.release(control.holder().session) else {
            return;
        };
        self.note_former(holder);
        for signal in [Signal::HUP, Signal::CONT] {
            self.outbox.post(Recipient::Process(holder.session), signal);
        }
    }

    /// The leader of a session gives its terminal up: the foreground is told. It also goes on if the
    /// leader stays.
    pub(crate) fn leave(&self, control: &Control, session: u32) {
        let Some(holder) = control.release(session) else {
            return;
        };
        for signal in [Signal::HUP, Signal::CONT] {
            self.outbox
                .post(Recipient::Group(holder.foreground), signal);
        }
    }

    /// The leader of a session has ended.
    fn end_session(&self, session: u32) {
        let holder = match self.of_session(session) {
            Some(OfSession::Console) => self.console.release(session),
            Some(OfSession::Pseudo(pseudo)) => pseudo.control.release(session),
            None => None,
        };
        if let Some(holder) = holder {
            self.outbox
                .post(Recipient::Group(holder.foreground), Signal::HUP);
        }
        if let Some(former) = self.take_former(session) {
            for signal in [Signal::HUP, Signal::CONT] {
                self.outbox.post(Recipient::Group(former), signal);
            }
        }
    }
}

impl Libos {
    /// Process `pid` ends: if it leads a session, that loses its terminal.
    pub(crate) fn end_session_of(&self, pid: u32) {
        let session = self.processes.group_and_session(pid);
        if session.is_ok_and(|(_, session)| session == pid) {
            self.terminals.end_session(pid);
        }
    }

    /// The leader `pid` of a session opens a terminal that nobody has: it is the session's from now
    /// on, if that has none.
    pub(crate) fn take_terminal(&self, control: &Control, pid: u32) {
        let session = self.processes.group_and_session(pid);
        let leads = session.is_ok_and(|(_, session)| session == pid);
        if leads && self.terminals.of_session(pid).is_none() {
            control.change(|holder| (holder.session == 0).then(|| super::Holder::leader(pid)));
        }
    }
}

//! Connecting sockets, and parting them.

use alloc::sync::Arc;

use hal::Errno;
use vfs::Readiness;

use super::super::Identity;
use super::super::inbox::{Inbox, remember};
use super::{Kind, Peer, Role, Socket, State};

impl Socket {
    /// Connects to `target`, as `caller`. `number` is for the socket at the other end.
    ///
    /// # Errors
    /// `EPROTOTYPE`, `ECONNREFUSED`, `EISCONN`, `EINVAL`, `EPERM`; `EAGAIN` when too many wait.
    pub(crate) fn connect(
        &self,
        target: &Arc<Self>,
        caller: Identity,
        number: u64,
    ) -> Result<(), Errno> {
        if target.kind != self.kind {
            return Err(Errno::EPROTOTYPE);
        }
        if self.kind == Kind::Datagram {
            return self.connect_datagram(target);
        }
        let (mut own, mut listener);
        match self.number.cmp(&target.number) {
            // One that listens cannot connect, and one that does not refuses.
            core::cmp::Ordering::Equal => {
                return Err(match &self.state.lock().role {
                    Role::Listening(_) if self.inbox.state().is_shut => Errno::ECONNREFUSED,
                    Role::Listening(backlog) if backlog.is_full() => Errno::EAGAIN,
                    Role::Listening(_) => Errno::EINVAL,
                    _ => Errno::ECONNREFUSED,
                });
            }
            // Both at once, lest it be connected twice; in one order, lest two wait for each other.
            core::cmp::Ordering::Less => {
                own = self.state.lock();
                listener = target.state.lock();
            }
            core::cmp::Ordering::Greater => {
                listener = target.state.lock();
                own = self.state.lock();
            }
        }
        let Role::Listening(backlog) = &mut listener.role else {
            return Err(Errno::ECONNREFUSED);
        };
        if target.inbox.state().is_shut {
            return Err(Errno::ECONNREFUSED);
        }
        if backlog.is_full() {
            remember(&mut backlog.blocked, &self.inbox);
            return Err(Errno::EAGAIN);
        }
        match own.role {
            Role::Alone => {}
            Role::Connected(_) => return Err(Errno::EISCONN),
            Role::Listening(_) => return Err(Errno::EINVAL),
        }
        let accepted = Self::new(&self.sockets, number, self.kind, backlog.owner);
        *accepted.options.lock() = *target.options.lock();
        accepted.inbox.state().names_senders = true;
        accepted.inbox.origin.set_name(target.name());
        let mut peer = self.as_peer();
        peer.identity = Some(caller);
        *accepted.state.lock() = State {
            role: Role::Connected(peer),
            ..State::default()
        };
        own.role = Role::Connected(accepted.as_peer());
        backlog.waiting.push_back(accepted);
        drop(listener);
        drop(own);
        target.inbox.watchers.notify(Readiness::READABLE);
        self.inbox.watchers.notify(Readiness::WRITABLE);
        Ok(())
    }

    fn connect_datagram(&self, target: &Arc<Self>) -> Result<(), Errno> {
        let only_from = target.inbox.state().only_from.clone();
        if only_from.is_some_and(|only| !only.ptr_eq(&Arc::downgrade(&self.inbox))) {
            return Err(Errno::EPERM);
        }
        let peer = Peer {
            identity: None,
            ..target.as_peer()
        };
        self.replace_peer(Role::Connected(peer), Some(&target.inbox));
        Ok(())
    }

    /// Forgets whom datagrams go to.
    pub(crate) fn disconnect(&self) -> Result<(), Errno> {
        if self.kind != Kind::Datagram {
            return Err(Errno::EINVAL);
        }
        self.replace_peer(Role::Alone, None);
        Ok(())
    }

    /// Datagrams go elsewhere from now on. What there is to read is lost with the one before, who hears of
    /// that if it is connected to this.
    pub(super) fn replace_peer(&self, role: Role, inbox: Option<&Arc<Inbox>>) {
        let before = core::mem::replace(&mut self.state.lock().role, role);
        self.inbox.state().only_from = inbox.map(Arc::downgrade);
        let Role::Connected(before) = before else {
            return;
        };
        if inbox.is_some_and(|inbox| Arc::ptr_eq(inbox, &before.inbox)) {
            return;
        }
        let (had_any, unread) = self.inbox.clear();
        drop(unread);
        if had_any {
            self.inbox.notify_blocked();
            let mut state = before.inbox.state();
            let only_from = state.only_from.clone();
            if only_from.is_some_and(|only| only.ptr_eq(&Arc::downgrade(&self.inbox))) {
                state.is_reset = true;
                drop(state);
                before
                    .inbox
                    .watchers
                    .notify(Readiness::all().difference(Readiness::ANEW));
            }
        }
    }
}

//! A socket.

mod connecting;

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use hal::Errno;
use locks::Mutex;
use vfs::{
    AttributeChange, FileType, Inode, Location, Metadata, OpenFile, OpenFlags, Readiness, Sink,
    Source, Watchers,
};

use super::garbage::UNMARKED;
use super::inbox::Inbox;
use super::options::{DEFAULT_BYTES, Options};
use super::{
    Address, Ancillary, FAMILY_NETLINK, FAMILY_UNIX, Identity, Place, Received, Receiving, Sockets,
};
use crate::files::Ownership;
use crate::threads::Deadline;

/// What a socket carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Bytes of a connection.
    Stream,
    /// Packets to whoever is named.
    Datagram,
    /// Packets of a connection.
    SequencedPacket,
}

/// A unix socket. It is closed when it is dropped.
pub(crate) struct Socket {
    this: Weak<Self>,
    sockets: Arc<Sockets>,
    number: u64,
    kind: Kind,
    family: u16,
    owner: Identity,
    ownership: Mutex<Ownership>,
    inbox: Arc<Inbox>,
    state: Mutex<State>,
    options: Mutex<Options>,
    /// The open file that is this socket, once it has one.
    file: Mutex<Weak<OpenFile>>,
    /// In how many inboxes it is.
    pub(super) in_flight: AtomicUsize,
    /// What is known of it while garbage is looked for.
    pub(super) mark: AtomicUsize,
    /// One more socket that can be reached, then.
    pub(super) next_reached: AtomicU64,
}

#[derive(Default)]
struct State {
    /// Where it can be found; the location keeps the inode whose number that is.
    place: Option<(Place, Option<Location>)>,
    role: Role,
}

#[derive(Default)]
enum Role {
    #[default]
    Alone,
    Listening(Backlog),
    Connected(Peer),
}

/// Connections that were made and not yet accepted.
struct Backlog {
    owner: Identity,
    waiting: VecDeque<Arc<Socket>>,
    limit: usize,
    /// Who found no room.
    blocked: Vec<Weak<Inbox>>,
}

#[derive(Clone)]
struct Peer {
    inbox: Arc<Inbox>,
    /// Who made it, where that is told: not for datagrams that were connected one way.
    identity: Option<Identity>,
}

/// Where a message goes.
pub(crate) enum Target {
    /// To whom the socket is connected.
    Peer,
    /// To whoever reads this. Who waits for room in it must not keep the socket, whose end would
    /// never come then.
    Inbox(Arc<Inbox>),
}

/// What is sent.
pub(crate) struct Outgoing {
    /// Who sends it.
    pub(crate) sender: Identity,
    /// On which user's account the files travel.
    pub(crate) user: u32,
    /// Whether the sender said who it is.
    pub(crate) is_explicit: bool,
    /// Open files.
    pub(crate) files: Vec<Arc<OpenFile>>,
}

/// How a socket says that it can be written to.
const WRITABLE: Readiness = Readiness::WRITABLE.union(Readiness::WRITABLE_BAND);

/// The most that a listener keeps waiting (`somaxconn`).
pub(crate) const BACKLOG_MAX: usize = 4096;

impl Socket {
    /// A socket that is neither named nor connected.
    pub(crate) fn new(
        sockets: &Arc<Sockets>,
        number: u64,
        kind: Kind,
        owner: Identity,
    ) -> Arc<Self> {
        Self::of_family(FAMILY_UNIX, sockets, number, kind, owner)
    }

    /// One to which only the kernel sends records, of which libcs make the threads of `mq_notify(3)`.
    pub(crate) fn for_records(sockets: &Arc<Sockets>, number: u64, owner: Identity) -> Arc<Self> {
        Self::of_family(FAMILY_NETLINK, sockets, number, Kind::Datagram, owner)
    }

    fn of_family(
        family: u16,
        sockets: &Arc<Sockets>,
        number: u64,
        kind: Kind,
        owner: Identity,
    ) -> Arc<Self> {
        let inbox = Inbox::new(
            sockets.machine,
            kind == Kind::Stream,
            DEFAULT_BYTES as usize,
        );
        let socket = Arc::new_cyclic(|this| Self {
            this: this.clone(),
            sockets: sockets.clone(),
            number,
            kind,
            family,
            owner,
            ownership: Mutex::new(Ownership::new(owner.user, owner.group, 0o777)),
            inbox,
            state: Mutex::default(),
            options: Mutex::default(),
            file: Mutex::default(),
            in_flight: AtomicUsize::new(0),
            mark: AtomicUsize::new(UNMARKED),
            next_reached: AtomicU64::new(0),
        });
        sockets.register(number, &socket.this);
        socket
    }

    /// The socket that an open file is, if it is one.
    pub(crate) fn behind(file: &OpenFile) -> Option<&Self> {
        file.object().downcast()
    }

    /// Says which open file it is.
    pub(crate) fn note_file(&self, file: &Arc<OpenFile>) {
        *self.file.lock() = Arc::downgrade(file);
    }

    /// What a descriptor of it is called in `/proc`.
    pub(crate) fn name_in_proc(&self) -> String {
        format!("socket:[{}]", self.number)
    }

    /// Its family (`AF_*`).
    pub(crate) const fn family(&self) -> u16 {
        self.family
    }

    /// Whether the kernel sends it records.
    pub(crate) const fn takes_records(&self) -> bool {
        self.family == FAMILY_NETLINK
    }

    /// Sends it a record, unless it has too many.
    pub(crate) fn tell(&self, mut record: &[u8]) {
        let mut ancillary = Some(Ancillary::new(None, 0, Vec::new(), &self.sockets));
        let inbox = &self.inbox;
        let _ = inbox.push_packet(&mut record, &mut ancillary, inbox);
    }

    /// What it carries.
    pub(crate) const fn carries(&self) -> Kind {
        self.kind
    }

    /// Changes or looks at the options.
    pub(crate) fn options<T>(&self, action: impl FnOnce(&mut Options) -> T) -> T {
        action(&mut self.options.lock())
    }

    /// Joins two sockets that are neither named nor connected.
    pub(crate) fn join(&self, other: &Self) {
        for (one, another) in [(self, other), (other, self)] {
            one.state.lock().role = Role::Connected(another.as_peer());
            one.inbox.state().only_from = Some(Arc::downgrade(&another.inbox));
        }
    }

    fn as_peer(&self) -> Peer {
        Peer {
            inbox: self.inbox.clone(),
            identity: Some(self.owner),
        }
    }

    /// Names it.
    ///
    /// # Errors
    /// `EINVAL` if it has a name, `EADDRINUSE`.
    pub(crate) fn bind(
        &self,
        name: Address,
        place: Place,
        location: Option<Location>,
    ) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if self.is_bound() {
            return Err(Errno::EINVAL);
        }
        self.sockets.bind(place.clone(), &self.this)?;
        self.inbox.origin.set_name(name);
        state.place = Some((place, location));
        Ok(())
    }

    /// Gives it some name, if it has none.
    pub(crate) fn bind_automatically(&self) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if !self.is_bound() {
            let name = self.sockets.bind_automatically(self.kind, &self.this)?;
            state.place = Some((Place::Abstract(self.kind, name.clone()), None));
            self.inbox.origin.set_name(Address::Abstract(name));
        }
        Ok(())
    }

    /// Whether it has a name.
    pub(crate) fn is_bound(&self) -> bool {
        self.inbox.origin.is_named()
    }

    /// Its name.
    pub(crate) fn name(&self) -> Address {
        self.inbox.origin.name()
    }

    /// The name of whom it is connected to.
    ///
    /// # Errors
    /// `ENOTCONN`.
    pub(crate) fn peer_name(&self) -> Result<Address, Errno> {
        match &self.state.lock().role {
            Role::Connected(peer) => Ok(peer.inbox.origin.name()),
            _ => Err(Errno::ENOTCONN),
        }
    }

    /// Who it was that it is connected to, or listens.
    pub(crate) fn peer_identity(&self) -> Option<Identity> {
        match &self.state.lock().role {
            Role::Connected(peer) => peer.identity,
            Role::Listening(backlog) => Some(backlog.owner),
            _ => None,
        }
    }

    /// Lets others connect.
    ///
    /// # Errors
    /// `EOPNOTSUPP` for datagrams, `EINVAL` if it has no name or is connected.
    pub(crate) fn listen(&self, limit: i32, owner: Identity) -> Result<(), Errno> {
        if self.kind == Kind::Datagram {
            return Err(Errno::EOPNOTSUPP);
        }
        let limit = usize::try_from(limit).unwrap_or(BACKLOG_MAX);
        let limit = limit.min(BACKLOG_MAX);
        let mut state = self.state.lock();
        if !self.is_bound() {
            return Err(Errno::EINVAL);
        }
        match &mut state.role {
            Role::Alone => {
                state.role = Role::Listening(Backlog {
                    owner,
                    waiting: VecDeque::new(),
                    limit,
                    blocked: Vec::new(),
                });
            }
            Role::Listening(backlog) => backlog.limit = limit,
            Role::Connected(_) => return Err(Errno::EINVAL),
        }
        Ok(())
    }

    /// Whether it listens.
    pub(crate) fn is_listening(&self) -> bool {
        matches!(self.state.lock().role, Role::Listening(_))
    }

    /// How many have found no room.
    #[cfg(test)]
    pub(crate) fn blocked_count(&self) -> usize {
        match &self.state.lock().role {
            Role::Listening(backlog) => backlog.blocked.len(),
            _ => 0,
        }
    }

    /// Takes a connection that somebody made.
    ///
    /// # Errors
    /// `EINVAL` if it does not listen, `EOPNOTSUPP` for datagrams, `EAGAIN`.
    pub(crate) fn accept(&self) -> Result<Arc<Self>, Errno> {
        if self.kind == Kind::Datagram {
            return Err(Errno::EOPNOTSUPP);
        }
        let mut state = self.state.lock();
        let Role::Listening(backlog) = &mut state.role else {
            return Err(Errno::EINVAL);
        };
        let Some(accepted) = backlog.waiting.pop_front() else {
            // For what was shut nobody waits.
            return Err(if self.inbox.state().is_shut && !self.is_non_blocking() {
                Errno::EINVAL
            } else {
                Errno::EAGAIN
            });
        };
        let blocked = core::mem::take(&mut backlog.blocked);
        drop(state);
        accepted.apply_options();
        for waiter in blocked.iter().filter_map(Weak::upgrade) {
            waiter.watchers.notify(Readiness::WRITABLE);
        }
        Ok(accepted)
    }

    /// It, for datagrams that are sent to it without a connection.
    ///
    /// # Errors
    /// `EPROTOTYPE` if it takes no datagrams.
    pub(crate) fn as_target(&self) -> Result<Target, Errno> {
        match self.kind {
            Kind::Datagram => Ok(Target::Inbox(self.inbox.clone())),
            _ => Err(Errno::EPROTOTYPE),
        }
    }

    fn is_non_blocking(&self) -> bool {
        let file = self.file.lock().upgrade();
        file.is_some_and(|file| file.flags().contains(OpenFlags::NON_BLOCKING))
    }

    /// Whether it has a peer that it sends to.
    pub(crate) fn is_connected(&self) -> bool {
        matches!(self.state.lock().role, Role::Connected(_))
    }

    /// Sends what `source` has: all of a packet, or as much of a stream as there is room for.
    ///
    /// # Errors
    /// As `send(2)`.
    pub(crate) fn send(
        &self,
        target: &Target,
        source: &mut dyn Source,
        outgoing: &mut Option<Outgoing>,
    ) -> Result<usize, Errno> {
        let state = self.state.lock();
        let peer = match (&state.role, target) {
            (_, Target::Inbox(inbox)) if self.kind == Kind::Datagram => inbox.clone(),
            (Role::Connected(peer), _) => peer.inbox.clone(),
            _ => {
                drop(state);
                let is_shut = self.kind == Kind::Datagram && self.inbox.state().sends_no_more;
                return Err(if is_shut {
                    Errno::EPIPE
                } else {
                    Errno::ENOTCONN
                });
            }
        };
        drop(state);
        if self.kind != Kind::Stream && self.options(|own| own.passes_credentials) {
            self.bind_automatically()?;
        }
        self.check_sending()?;
        let mut ancillary = self.ancillary(outgoing, &peer);
        let sent = if self.kind == Kind::Stream {
            peer.push(source, &mut ancillary)
        } else {
            let sent = peer.push_packet(source, &mut ancillary, &self.inbox);
            match sent {
                // A datagram's receiver is gone rather than its connection.
                Err(Errno::EPIPE) if self.kind == Kind::Datagram && peer.state().is_gone => {
                    if matches!(target, Target::Peer) {
                        self.replace_peer(Role::Alone, None);
                    }
                    Err(Errno::ECONNREFUSED)
                }
                sent => sent,
            }
        };
        match sent {
            Err(Errno::EAGAIN) => self.inbox.note_lack_of_room(),
            // Linux gives the datagram up again, as if it had been read.
            Err(_) if self.kind == Kind::Datagram => self.inbox.tell_of_room(),
            _ => {}
        }
        if let Some(mut ancillary) = ancillary.filter(|_| sent.is_err()) {
            // Nothing went, so it goes with the next attempt.
            if let Some(outgoing) = outgoing {
                outgoing.files = ancillary.take_files();
            }
        }
        sent
    }

    /// Whether it may send anything.
    ///
    /// # Errors
    /// `ECONNRESET`, once, for packets; `EPIPE`.
    pub(crate) fn check_sending(&self) -> Result<(), Errno> {
        if self.kind != Kind::Stream {
            self.check_error()?;
        }
        if self.inbox.state().sends_no_more {
            return Err(Errno::EPIPE);
        }
        Ok(())
    }

    /// Tells an error that is pending, once.
    ///
    /// # Errors
    /// `ECONNRESET`.
    pub(crate) fn check_error(&self) -> Result<(), Errno> {
        self.take_error().map_or(Ok(()), Err)
    }

    /// Whether who sends something is told.
    pub(crate) fn names_senders(&self) -> bool {
        let is_asked = |peer: &Peer| peer.inbox.state().names_senders;
        self.options(|own| own.passes_credentials)
            || matches!(&self.state.lock().role, Role::Connected(peer) if is_asked(peer))
    }

    /// What goes with the bytes. Who sends them is told if either side asked for that before, or if the
    /// sender says it.
    fn ancillary(&self, outgoing: &mut Option<Outgoing>, peer: &Inbox) -> Option<Ancillary> {
        let is_asked = || self.options(|own| own.passes_credentials) || peer.state().names_senders;
        let (sender, user, files) = match outgoing {
            Some(outgoing) => {
                let is_told = outgoing.is_explicit || is_asked();
                let files = core::mem::take(&mut outgoing.files);
                (is_told.then_some(outgoing.sender), outgoing.user, files)
            }
            None => (is_asked().then_some(self.owner), 0, Vec::new()),
        };
        let is_bare = sender.is_none() && files.is_empty();
        let is_needed = self.kind != Kind::Stream || !is_bare;
        is_needed.then(|| Ancillary::new(sender, user, files, &self.sockets))
    }

    /// Reads what is there.
    ///
    /// # Errors
    /// As `recv(2)`.
    pub(crate) fn receive(
        &self,
        sink: &mut dyn Sink,
        mut how: Receiving,
    ) -> Result<Received, Errno> {
        let state = self.state.lock();
        let peer = match &state.role {
            Role::Connected(peer) => Some(peer.clone()),
            _ if self.kind == Kind::Datagram => None,
            _ if self.kind == Kind::Stream => return Err(Errno::EINVAL),
            _ => return Err(Errno::ENOTCONN),
        };
        drop(state);
        how.tells_senders = self.options(|options| options.passes_credentials);
        if self.kind == Kind::Datagram && !how.is_at_once {
            how.is_at_once = self.is_non_blocking();
        }
        let (mut received, blocked) = self.inbox.pull(sink, how)?;
        for waiter in blocked {
            waiter.tell_of_room();
        }
        if let Some(peer) = peer {
            if self.kind == Kind::Stream && !received.is_end {
                received.from = Some(peer.inbox.origin.name());
            }
            if peer.inbox_has_room(&self.inbox) {
                peer.inbox.tell_of_room();
            }
        }
        Ok(received)
    }

    /// Ends reading, writing, or both.
    pub(crate) fn shut_down(&self, reading: bool, writing: bool) {
        let peer = match &self.state.lock().role {
            Role::Connected(peer) => Some(peer.inbox.clone()),
            _ => None,
        };
        let mut own = self.inbox.state();
        own.is_shut |= reading;
        own.sends_no_more |= writing;
        drop(own);
        // Of what a program does itself no signal tells it.
        self.inbox.watchers.wake(Readiness::all());
        let is_connection = self.kind != Kind::Datagram;
        if let Some(peer) = peer.filter(|_| is_connection) {
            let mut state = peer.state();
            state.is_ended |= writing;
            state.sends_no_more |= reading;
            drop(state);
            peer.watchers.wake(Readiness::all());
            if reading && writing {
                peer.watchers.signal(Readiness::HANG_UP);
            } else if writing {
                peer.watchers.signal(Readiness::READABLE);
            }
        }
    }

    /// The error that is pending; it is told once.
    pub(crate) fn take_error(&self) -> Option<Errno> {
        let is_reset = core::mem::take(&mut self.inbox.state().is_reset);
        is_reset.then_some(Errno::ECONNRESET)
    }

    /// How many bytes can be read: of the next datagram, or of all there are in a connection.
    pub(crate) fn readable_bytes(&self) -> usize {
        let packets = match self.kind {
            Kind::Datagram => 1,
            _ => usize::MAX,
        };
        self.inbox.readable_bytes(packets)
    }

    /// How many bytes of a stream, or packets, those have not read to whom it sent them.
    pub(crate) fn unread(&self) -> usize {
        match &self.state.lock().role {
            Role::Connected(peer) if self.kind == Kind::Stream => peer.inbox.readable_bytes(0),
            _ => self.inbox.origin.unread_packets(),
        }
    }

    /// Until when to wait for a file that may be a socket.
    pub(crate) fn deadline(&self, wanted: Readiness) -> Deadline {
        let options = *self.options.lock();
        let limit = if wanted == Readiness::READABLE {
            options.receive_timeout
        } else {
            options.send_timeout
        };
        limit.map_or(Deadline::NEVER, |limit| {
            Deadline::after(self.sockets.machine, limit)
        })
    }

    /// Lets as much be on its way as the options say, and senders be named.
    pub(crate) fn apply_options(&self) {
        let options = *self.options.lock();
        self.inbox.state().names_senders = options.passes_credentials;
        let bytes = options.send_bytes;
        if let (Some(bytes), Role::Connected(peer)) = (bytes, &self.state.lock().role) {
            peer.inbox.set_capacity(bytes as usize);
        }
    }

    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// How many references to the open file there are.
    pub(super) fn references(&self) -> usize {
        self.file.lock().strong_count()
    }

    /// Visits the sockets in its inbox, and in those of connections that it has not accepted.
    pub(super) fn for_each_in_flight(&self, mut visit: impl FnMut(&Socket)) {
        for inbox in self.inboxes() {
            inbox.for_each_ancillary(|ancillary| ancillary.for_each_socket(&mut visit));
        }
    }

    /// Takes some of what goes with the bytes there, as garbage.
    pub(super) fn take_ancillary(&self) -> Option<Ancillary> {
        let inboxes = self.inboxes();
        inboxes.iter().find_map(|inbox| inbox.take_ancillary())
    }

    fn inboxes(&self) -> Vec<Arc<Inbox>> {
        let mut inboxes = Vec::from([self.inbox.clone()]);
        if let Role::Listening(backlog) = &self.state.lock().role {
            inboxes.extend(backlog.waiting.iter().map(|waiting| waiting.inbox.clone()));
        }
        inboxes
    }
}

impl Backlog {
    fn is_full(&self) -> bool {
        self.waiting.len() > self.limit
    }
}

impl Peer {
    /// Whether there is enough room again for the peer in `own`, the inbox that it writes to.
    fn inbox_has_room(&self, own: &Arc<Inbox>) -> bool {
        own.is_writable(&self.inbox)
    }
}

impl Inode for Socket {
    fn kind(&self) -> FileType {
        FileType::Socket
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        let ownership = *self.ownership.lock();
        Ok(ownership.metadata(self.number, FileType::Socket))
    }

    fn set_attributes(&self, change: &AttributeChange) -> Result<(), Errno> {
        self.ownership.lock().change(change);
        Ok(())
    }

    fn read_at(&self, _offset: u64, mut buffer: &mut [u8]) -> Result<usize, Errno> {
        self.read_to(0, &mut buffer)
    }

    /// Files that come with the bytes are closed.
    fn read_to(&self, _offset: u64, sink: &mut dyn Sink) -> Result<usize, Errno> {
        if sink.room_bytes() == 0 {
            return Ok(0);
        }
        Ok(self.receive(sink, Receiving::default())?.count)
    }

    fn write_at(&self, _offset: u64, mut data: &[u8]) -> Result<usize, Errno> {
        self.write_from(0, &mut data)
    }

    fn write_from(&self, _offset: u64, source: &mut dyn Source) -> Result<usize, Errno> {
        self.send(&Target::Peer, source, &mut None)
    }

    fn readiness(&self) -> Readiness {
        let (mut has_some, mut is_writable, mut is_over) = (false, true, false);
        let peer = match &self.state.lock().role {
            Role::Listening(backlog) => {
                (has_some, is_writable) = (!backlog.waiting.is_empty(), false);
                None
            }
            Role::Alone => {
                is_over = self.kind != Kind::Datagram;
                None
            }
            Role::Connected(peer) => Some(peer.inbox.clone()),
        };
        let inbox = self.inbox.state();
        let is_ended = inbox.is_ended || inbox.is_shut;
        is_over |= is_ended && inbox.sends_no_more;
        has_some |= inbox.has_content();
        let is_reset = inbox.is_reset;
        drop(inbox);
        if let Some(peer) = peer {
            is_writable = peer.is_writable(&self.inbox);
        }
        let mut readiness = Readiness::empty();
        readiness.set(Readiness::READABLE, has_some || is_ended);
        readiness.set(Readiness::READ_HANG_UP, is_ended);
        readiness.set(Readiness::ERROR, is_reset);
        readiness.set(Readiness::HANG_UP, is_over);
        readiness.set(WRITABLE, is_writable);
        readiness
    }

    fn watchers(&self) -> Option<&Watchers> {
        Some(&self.inbox.watchers)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.sockets.unregister(self.number);
        let State { place, role, .. } = core::mem::take(&mut *self.state.lock());
        if let Some((place, _location)) = place {
            self.sockets.unbind(&place, &self.this);
        }
        let has_unread = !self.inbox.is_empty();
        let (had_any, unread, blocked) = self.inbox.close();
        for waiter in blocked {
            waiter.watchers.notify(Readiness::all());
        }
        match role {
            // What nobody read takes no room of who sent it any more.
            Role::Connected(peer) if self.kind == Kind::Datagram && has_unread => {
                peer.inbox.tell_of_room();
            }
            Role::Connected(peer) if self.kind != Kind::Datagram => {
                let mut state = peer.inbox.state();
                state.is_ended = true;
                state.sends_no_more = true;
                state.is_reset |= had_any;
                drop(state);
                peer.inbox.watchers.wake(Readiness::all());
                peer.inbox.watchers.signal(Readiness::HANG_UP);
            }
            Role::Listening(backlog) => {
                for waiting in &backlog.waiting {
                    waiting.refuse();
                }
                for waiter in backlog.blocked.iter().filter_map(Weak::upgrade) {
                    waiter.watchers.notify(Readiness::all());
                }
            }
            _ => {}
        }
        drop(unread);
        debug_assert_eq!(
            self.in_flight.load(Ordering::SeqCst),
            0,
            "it lies in an inbox"
        );
    }
}

impl Socket {
    /// Its listener is gone before it was accepted.
    fn refuse(&self) {
        if let Role::Connected(peer) = &self.state.lock().role {
            peer.inbox.state().is_reset = true;
        }
    }
}

//! What a socket has been sent and has not read.

use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use hal::{Errno, Machine};
use locks::{Mutex, MutexGuard};
use vfs::{OpenFile, Readiness, Sink, Source, Watchers};

use super::{Address, Ancillary, Identity};
use crate::files::Ring;
use crate::syscalls::room;

/// What is copied at a time, so that the two sides of a stream can copy at once.
const PIECE_BYTES: usize = 16 * 1024;
/// What a packet costs besides its bytes, about as on Linux.
const PACKET_BYTES: usize = 768;

/// Where others put what a socket is to read. It outlives the socket as long as they know it.
pub(crate) struct Inbox {
    /// Who waits for the socket: for something to read, or for room in the inbox of its peer.
    pub(super) watchers: Watchers,
    /// What others know of the socket as a sender.
    pub(super) origin: Arc<Origin>,
    state: Mutex<State>,
}

/// A socket as those know it that it has sent something, even when it is gone.
#[derive(Default)]
pub(super) struct Origin {
    name: Mutex<Address>,
    /// How many of its packets nobody has read.
    unread: AtomicUsize,
}

pub(super) struct State {
    content: Content,
    /// Nothing more comes: the peer sends no more.
    pub(super) is_ended: bool,
    /// Nothing more is read here: to send to it fails.
    pub(super) is_shut: bool,
    /// Whose inbox this is sends no more: it was shut so, or its peer reads no more.
    pub(super) sends_no_more: bool,
    /// The peer is gone and has not read what it was sent.
    pub(super) is_reset: bool,
    /// Who would read here is gone.
    pub(super) is_gone: bool,
    /// What is sent here says who sends it: the reader asked for that, or may yet, for nobody has
    /// accepted the connection.
    pub(super) names_senders: bool,
    /// The only one that may send here, if there is one.
    pub(super) only_from: Option<Weak<Inbox>>,
    /// Who found no room and wants to know when there is some.
    blocked: Vec<Weak<Inbox>>,
    /// Whether whose inbox this is found no room elsewhere, and gets a signal when there is some.
    wants_room: bool,
}

enum Content {
    Stream(Stream),
    Packets(Packets),
}

/// Bytes, and what goes with some of them.
struct Stream {
    machine: &'static dyn Machine,
    ring: Ring,
    /// How many bytes were ever read.
    position: u64,
    /// In the order of their places, which do not overlap.
    marks: VecDeque<Mark>,
}

/// A part of a stream that was sent with something.
struct Mark {
    start: u64,
    end: u64,
    ancillary: Ancillary,
}

struct Packets {
    machine: &'static dyn Machine,
    queue: VecDeque<Packet>,
    used: usize,
    capacity: usize,
}

struct Packet {
    bytes: Vec<u8>,
    ancillary: Ancillary,
    from: Sender,
}

/// Who sent a packet that is unread.
struct Sender(Arc<Origin>);

/// What an inbox held that is closed; the files are closed when it is dropped.
pub(super) struct Unread {
    _marks: VecDeque<Mark>,
    _packets: VecDeque<Packet>,
}

/// How to read.
#[derive(Clone, Copy, Default)]
pub(crate) struct Receiving {
    /// What is read stays.
    pub(crate) peeks: bool,
    /// Of an end only those are told that wait for datagrams.
    pub(crate) is_at_once: bool,
    /// What others have sent is not read with the rest.
    pub(crate) tells_senders: bool,
}

/// What was read besides the bytes.
#[derive(Default)]
pub(crate) struct Received {
    /// How many bytes were put into the sink.
    pub(crate) count: usize,
    /// How many there were: more, if a packet did not fit.
    pub(crate) whole: usize,
    /// Open files that came with them.
    pub(crate) files: Vec<Arc<OpenFile>>,
    /// Who sent them, if that is known.
    pub(crate) sender: Option<Identity>,
    /// From where they came.
    pub(crate) from: Option<Address>,
    /// Nothing was there, and nothing comes.
    pub(crate) is_end: bool,
    /// What follows is read by itself.
    pub(crate) is_apart: bool,
}

impl Inbox {
    /// An empty one: for a stream, or for packets.
    pub(super) fn new(
        machine: &'static dyn Machine,
        is_stream: bool,
        capacity: usize,
    ) -> Arc<Self> {
        let content = if is_stream {
            Content::Stream(Stream {
                machine,
                ring: Ring::new(machine, capacity),
                position: 0,
                marks: VecDeque::new(),
            })
        } else {
            Content::Packets(Packets {
                machine,
                queue: VecDeque::new(),
                used: 0,
                capacity,
            })
        };
        Arc::new(Self {
            watchers: Watchers::new(),
            origin: Arc::default(),
            state: Mutex::new(State {
                content,
                is_ended: false,
                is_shut: false,
                sends_no_more: false,
                is_reset: false,
                is_gone: false,
                names_senders: false,
                only_from: None,
                blocked: Vec::new(),
                wants_room: false,
            }),
        })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Adds bytes to a stream, as many as there is room for; `ancillary` goes with them.
    pub(super) fn push(
        &self,
        source: &mut dyn Source,
        ancillary: &mut Option<Ancillary>,
    ) -> Result<usize, Errno> {
        let mut done = 0;
        while source.left_bytes() > 0 {
            match self.push_piece(source, ancillary) {
                Ok(count) => done += count,
                Err(_) if done > 0 => break,
                Err(errno) => return Err(errno),
            }
        }
        // Once for all pieces: whoever is woken finds all of them.
        if done > 0 {
            self.watchers.notify(Readiness::READABLE);
        }
        Ok(done)
    }

    fn push_piece(
        &self,
        source: &mut dyn Source,
        ancillary: &mut Option<Ancillary>,
    ) -> Result<usize, Errno> {
        let mut state = self.state();
        if state.is_shut || state.is_ended {
            return Err(Errno::EPIPE);
        }
        let Content::Stream(stream) = &mut state.content else {
            return Err(Errno::EOPNOTSUPP);
        };
        if stream.ring.room() == 0 {
            return Err(Errno::EAGAIN);
        }
        if ancillary.is_some() {
            // It takes more than the few bytes that it may come with.
            room::check(stream.machine)?;
        }
        let start = stream.position + stream.ring.len() as u64;
        let count = stream.ring.push(PIECE_BYTES, source)?;
        if let Some(ancillary) = ancillary.take() {
            stream.mark(start, start + count as u64, ancillary);
        }
        Ok(count)
    }

    /// Adds a packet. `sender` is told when there is room, if there is none now.
    pub(super) fn push_packet(
        &self,
        source: &mut dyn Source,
        ancillary: &mut Option<Ancillary>,
        sender: &Arc<Self>,
    ) -> Result<usize, Errno> {
        let mut state = self.state();
        let State {
            content: Content::Packets(packets),
            blocked,
            is_shut,
            is_ended,
            only_from,
            ..
        } = &mut *state
        else {
            return Err(Errno::EOPNOTSUPP);
        };
        if let Some(only) = only_from
            && !only.ptr_eq(&Arc::downgrade(sender))
        {
            return Err(Errno::EPERM);
        }
        if *is_shut || *is_ended {
            return Err(Errno::EPIPE);
        }
        let len = source.left_bytes();
        if len > packets.capacity {
            return Err(Errno::EMSGSIZE);
        }
        if !packets.has_room_for(len) {
            remember(blocked, sender);
            return Err(Errno::EAGAIN);
        }
        room::check(packets.machine)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(|_| Errno::ENOBUFS)?;
        bytes.resize(len, 0);
        source.copy(&mut bytes)?;
        let Some(ancillary) = ancillary.take() else {
            return Err(Errno::EINVAL);
        };
        source.advance(len);
        packets.used += len + PACKET_BYTES;
        packets.queue.push_back(Packet {
            bytes,
            ancillary,
            from: Sender::new(&sender.origin),
        });
        drop(state);
        self.watchers.notify(Readiness::READABLE);
        Ok(len)
    }

    /// Reads what is there: bytes up to the next ones that something goes with, or one packet.
    ///
    /// # Errors
    /// `EAGAIN` when nothing is there yet; `ECONNRESET`, once.
    pub(super) fn pull(
        &self,
        sink: &mut dyn Sink,
        how: Receiving,
    ) -> Result<(Received, Vec<Arc<Self>>), Errno> {
        let mut state = self.state();
        let is_first = matches!(state.content, Content::Packets(_)) || state.content.is_empty();
        if is_first && core::mem::take(&mut state.is_reset) {
            return Err(Errno::ECONNRESET);
        }
        if state.content.is_empty() {
            if (state.is_ended || state.is_shut) && !how.is_at_once {
                let received = Received {
                    is_end: true,
                    ..Received::default()
                };
                return Ok((received, Vec::new()));
            }
            return Err(Errno::EAGAIN);
        }
        let received = match &mut state.content {
            Content::Stream(stream) => stream.pull(sink, how)?,
            Content::Packets(packets) => packets.pull(sink, how)?,
        };
        let blocked = if state.content.is_half_empty() {
            core::mem::take(&mut state.blocked)
        } else {
            Vec::new()
        };
        drop(state);
        Ok((received, blocked.iter().filter_map(Weak::upgrade).collect()))
    }

    /// Forgets what there is, which is returned for the caller to drop.
    pub(super) fn clear(&self) -> (bool, Unread) {
        let mut state = self.state();
        (!state.content.is_empty(), state.content.clear())
    }

    /// Whether there is nothing to read.
    pub(super) fn is_empty(&self) -> bool {
        self.state().content.is_empty()
    }

    /// Nothing more is read here. What was there is returned, for the caller to drop.
    pub(super) fn close(&self) -> (bool, Unread, Vec<Arc<Self>>) {
        let mut state = self.state();
        state.is_shut = true;
        state.is_gone = true;
        state.only_from = None;
        let had_any = state.content.resets();
        let ancillary = state.content.clear();
        let blocked = core::mem::take(&mut state.blocked);
        drop(state);
        let blocked = blocked.iter().filter_map(Weak::upgrade).collect();
        (had_any, ancillary, blocked)
    }

    /// Takes what goes with some of the bytes, and these, as garbage.
    pub(super) fn take_ancillary(&self) -> Option<Ancillary> {
        match &mut self.state().content {
            Content::Stream(stream) => stream.marks.pop_front().map(|mark| mark.ancillary),
            Content::Packets(packets) => {
                let packet = packets.queue.pop_front()?;
                packets.used = packets
                    .used
                    .saturating_sub(packet.bytes.len() + PACKET_BYTES);
                Some(packet.ancillary)
            }
        }
    }

    /// Visits each message's files.
    pub(super) fn for_each_ancillary(&self, mut visit: impl FnMut(&Ancillary)) {
        match &self.state().content {
            Content::Stream(stream) => {
                stream.marks.iter().for_each(|mark| visit(&mark.ancillary));
            }
            Content::Packets(packets) => {
                let packets = packets.queue.iter();
                packets.for_each(|packet| visit(&packet.ancillary));
            }
        }
    }

    /// How many bytes there are in the first `packets`, or in a stream.
    pub(super) fn readable_bytes(&self, packets: usize) -> usize {
        match &self.state().content {
            Content::Stream(stream) => stream.ring.len(),
            Content::Packets(all) => {
                let all = all.queue.iter().take(packets);
                all.map(|packet| packet.bytes.len()).sum()
            }
        }
    }

    /// Whether `sender` may write; it is told when that changes.
    pub(super) fn is_writable(&self, sender: &Arc<Self>) -> bool {
        let mut state = self.state();
        if state.is_shut || state.is_ended || state.content.is_half_empty() {
            return true;
        }
        if matches!(state.content, Content::Packets(_)) {
            remember(&mut state.blocked, sender);
        }
        false
    }

    /// Its owner found no room to send.
    pub(super) fn note_lack_of_room(&self) {
        self.state().wants_room = true;
    }

    /// Its owner may send again. A signal tells only who has tried.
    pub(super) fn tell_of_room(&self) {
        let wants_signal = core::mem::take(&mut self.state().wants_room);
        self.watchers.wake(Readiness::WRITABLE);
        if wants_signal {
            self.watchers.signal(Readiness::WRITABLE);
        }
    }

    /// Tells those that found no room that there is some.
    pub(super) fn notify_blocked(&self) {
        let blocked = core::mem::take(&mut self.state().blocked);
        for waiter in blocked.iter().filter_map(Weak::upgrade) {
            waiter.tell_of_room();
        }
    }

    /// Changes how much it takes.
    pub(super) fn set_capacity(&self, capacity: usize) {
        match &mut self.state().content {
            Content::Stream(stream) => stream.ring.limit_to(capacity),
            Content::Packets(packets) => packets.capacity = capacity,
        }
    }
}

/// Notes who is to be told; those that are gone are forgotten.
pub(super) fn remember(blocked: &mut Vec<Weak<Inbox>>, sender: &Arc<Inbox>) {
    let sender = Arc::downgrade(sender);
    blocked.retain(|other| other.strong_count() > 0);
    if !blocked.iter().any(|other| other.ptr_eq(&sender)) {
        blocked.push(sender);
    }
}

impl Origin {
    /// What it is called now.
    pub(super) fn name(&self) -> Address {
        self.name.lock().clone()
    }

    pub(super) fn is_named(&self) -> bool {
        *self.name.lock() != Address::Unnamed
    }

    pub(super) fn set_name(&self, name: Address) {
        *self.name.lock() = name;
    }

    pub(super) fn unread_packets(&self) -> usize {
        self.unread.load(Ordering::Relaxed)
    }
}

impl Sender {
    fn new(origin: &Arc<Origin>) -> Self {
        origin.unread.fetch_add(1, Ordering::Relaxed);
        Self(origin.clone())
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.unread.fetch_sub(1, Ordering::Relaxed);
    }
}

impl State {
    /// Whether a read would find something.
    pub(super) fn has_content(&self) -> bool {
        !self.content.is_empty()
    }
}

impl Content {
    fn is_empty(&self) -> bool {
        match self {
            Self::Stream(stream) => stream.ring.len() == 0,
            Self::Packets(packets) => packets.queue.is_empty(),
        }
    }

    fn is_half_empty(&self) -> bool {
        match self {
            Self::Stream(stream) => stream.ring.len() <= stream.ring.capacity() / 2,
            Self::Packets(packets) => packets.used <= packets.capacity / 2,
        }
    }

    /// Whether the other side is told that this was not read: a packet without bytes is not missed.
    fn resets(&self) -> bool {
        match self {
            Self::Stream(_) => !self.is_empty(),
            Self::Packets(packets) => {
                let first = packets.queue.front();
                packets.queue.len() > 1 || first.is_some_and(|packet| !packet.bytes.is_empty())
            }
        }
    }

    fn clear(&mut self) -> Unread {
        match self {
            Self::Stream(stream) => {
                let len = stream.ring.len();
                stream.ring.skip(len);
                stream.position += len as u64;
                Unread {
                    _marks: core::mem::take(&mut stream.marks),
                    _packets: VecDeque::new(),
                }
            }
            Self::Packets(packets) => {
                packets.used = 0;
                Unread {
                    _marks: VecDeque::new(),
                    _packets: core::mem::take(&mut packets.queue),
                }
            }
        }
    }
}

impl Stream {
    /// Notes what goes with the bytes from `start` to `end`. What one sends in several pieces is read
    /// as one, unless files go with it.
    fn mark(&mut self, start: u64, end: u64, ancillary: Ancillary) {
        match self.marks.back_mut() {
            Some(last)
                if last.end == start
                    && last.ancillary.sender == ancillary.sender
                    && last.ancillary.files().is_empty()
                    && ancillary.files().is_empty() =>
            {
                last.end = end;
            }
            _ => self.marks.push_back(Mark {
                start,
                end,
                ancillary,
            }),
        }
    }

    /// Reads up to the end of what files came with, or of what one has sent if senders are told. Who only
    /// looks sees the next files, as on Linux, even if they came with bytes that there is no room for.
    fn pull(&mut self, sink: &mut dyn Sink, how: Receiving) -> Result<Received, Errno> {
        let mut received = Received::default();
        let (mut is_first, mut index) = (true, 0);
        let mut position = self.position;
        let last = self.position + self.ring.len() as u64;
        while is_first || position < last {
            while self.marks.get(index).is_some_and(|it| it.end <= position) {
                index += 1;
            }
            let (end, mark) = match self.marks.get_mut(index) {
                Some(mark) if mark.start > position => (mark.start, None),
                Some(mark) => (mark.end, Some(mark)),
                None => (last, None),
            };
            let sender = mark.as_ref().and_then(|mark| mark.ancillary.sender);
            if is_first {
                received.sender = sender;
            } else if how.tells_senders && sender != received.sender {
                received.is_apart = true;
                break;
            }
            let limit = usize::try_from(end - position).unwrap_or(usize::MAX);
            let count = match self.ring.peek(received.count, limit, sink) {
                Err(_) if !is_first => break,
                count => count?,
            };
            received.count += count;
            if let Some(mark) = mark
                && !mark.ancillary.files().is_empty()
            {
                received.is_apart = true;
                received.files = if how.peeks {
                    mark.ancillary.files().to_vec()
                } else {
                    mark.ancillary.take_files()
                };
                break;
            }
            let is_full = sink.room_bytes() == 0;
            if is_full && !how.peeks {
                break;
            }
            position = if is_full {
                end
            } else {
                position + count as u64
            };
            is_first = false;
        }
        received.whole = received.count;
        if !how.peeks {
            self.ring.skip(received.count);
            self.position += received.count as u64;
            while let Some(mark) = self.marks.front()
                && mark.end <= self.position
            {
                self.marks.pop_front();
            }
        }
        Ok(received)
    }
}

impl Packets {
    fn has_room_for(&self, len: usize) -> bool {
        self.queue.is_empty() || self.used + len + PACKET_BYTES <= self.capacity
    }

    fn pull(&mut self, sink: &mut dyn Sink, how: Receiving) -> Result<Received, Errno> {
        let Some(packet) = self.queue.front_mut() else {
            return Ok(Received::default());
        };
        let whole = packet.bytes.len();
        let count = whole.min(sink.room_bytes());
        sink.put(&packet.bytes[..count])?;
        let files = if how.peeks {
            packet.ancillary.files().to_vec()
        } else {
            packet.ancillary.take_files()
        };
        let received = Received {
            count,
            whole,
            files,
            sender: packet.ancillary.sender,
            from: Some(packet.from.0.name()),
            is_apart: true,
            is_end: false,
        };
        if !how.peeks {
            self.used -= whole + PACKET_BYTES;
            self.queue.pop_front();
        }
        Ok(received)
    }
}

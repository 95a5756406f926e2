//! Pipes and FIFOs.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec;
use core::sync::atomic::{AtomicBool, Ordering};

use devfs::DevFs;
use hal::{Errno, Machine};
use locks::Mutex;
use vfs::{
    AttributeChange, DeviceNumber, FileType, Inode, Location, Metadata, OpenFile, OpenFlags,
    Readiness, Sink, Source, Watchers,
};

use super::ownership::Ownership;
use super::ring::Ring;
use super::slots::{SLOT_BYTES, Slot, Slots};

/// Bytes that a pipe holds, as Linux's default.
const CAPACITY_BYTES: usize = 65536;
/// As `/proc/sys/fs/pipe-max-size`: the most that a program may ask for.
pub(crate) const PIPE_BYTES_MAX: usize = 1 << 20;
/// What is copied at a time, so that the two sides of a pipe can copy at once.
const PIECE_BYTES: usize = 16 * 1024;

/// A pipe, or what flows through a FIFO. Opening it makes one of its ends.
pub(crate) struct Pipe {
    this: Weak<Self>,
    number: u64,
    is_named: bool,
    owner: Mutex<Ownership>,
    watchers: Watchers,
    /// Held by whoever takes bytes out, while they are on their way.
    reading: Mutex<()>,
    state: Mutex<State>,
}

struct State {
    ring: Ring,
    /// How the bytes lie in it.
    slots: Slots,
    readers: Side,
    writers: Side,
}

/// How many ends there are of one sort.
#[derive(Clone, Copy, Default)]
struct Side {
    now: usize,
    ever: u64,
}

/// What an open file does with a pipe.
pub(crate) struct End {
    pipe: Arc<Pipe>,
    reads: bool,
    writes: bool,
    /// Whether each write is a packet.
    has_packets: AtomicBool,
    /// How many ends of the other sort there had ever been when this one was opened and there was none;
    /// `None` if there was one, which may have gone before its opener looks again.
    partners_before: Option<u64>,
}

impl Pipe {
    /// An empty pipe without ends.
    pub(crate) fn new(machine: &'static dyn Machine, number: u64, owner: Ownership) -> Arc<Self> {
        Self::with_name(machine, number, owner, false)
    }

    fn with_name(
        machine: &'static dyn Machine,
        number: u64,
        owner: Ownership,
        is_named: bool,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            number,
            is_named,
            owner: Mutex::new(owner),
            watchers: Watchers::new(),
            reading: Mutex::new(()),
            state: Mutex::new(State {
                ring: Ring::new(machine, CAPACITY_BYTES),
                slots: Slots::new(CAPACITY_BYTES),
                readers: Side::default(),
                writers: Side::default(),
            }),
        })
    }

    /// What a descriptor of it is called in `/proc`.
    pub(crate) fn name(&self) -> String {
        format!("pipe:[{}]", self.number)
    }
}

impl Inode for Pipe {
    fn kind(&self) -> FileType {
        FileType::Fifo
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(self.owner.lock().metadata(self.number, FileType::Fifo))
    }

    fn set_attributes(&self, change: &AttributeChange) -> Result<(), Errno> {
        self.owner.lock().change(change);
        Ok(())
    }

    /// A FIFO that nobody reads is not opened for writing without waiting. Otherwise the caller
    /// waits, see [`End::must_wait`].
    fn open(&self, flags: OpenFlags) -> Result<Option<Arc<dyn Inode>>, Errno> {
        let pipe = self.this.upgrade().ok_or(Errno::ENXIO)?;
        let (reads, writes) = (flags.is_readable(), flags.is_writable());
        let mut state = self.state.lock();
        let may_wait = !flags.contains(OpenFlags::NON_BLOCKING);
        if self.is_named && !reads && !may_wait && state.readers.now == 0 {
            return Err(Errno::ENXIO);
        }
        let partners = if reads { state.writers } else { state.readers };
        let partners_before = (partners.now == 0).then_some(partners.ever);
        if reads {
            state.readers.now += 1;
            state.readers.ever += 1;
        }
        if writes {
            state.writers.now += 1;
            state.writers.ever += 1;
        }
        let is_new = (reads && state.readers.now == 1) || (writes && state.writers.now == 1);
        drop(state);
        // Somebody may wait for a partner; both sides do that where readers wait.
        if is_new {
            self.watchers.wake(Readiness::READABLE | Readiness::ANEW);
        }
        Ok(Some(Arc::new(End {
            pipe,
            reads,
            writes,
            has_packets: AtomicBool::new(flags.contains(OpenFlags::DIRECT)),
            partners_before,
        })))
    }
}

/// How a pipe gave something to another.
pub(crate) enum Flow {
    /// So many bytes; none at the end.
    Moved(usize),
    /// It is empty.
    NeedsInput,
    /// The other one is full.
    NeedsRoom,
}

/// What was taken at once.
struct Piece {
    len: usize,
    /// With a packet a read is over.
    is_packet: bool,
    /// Whether there was no room before, and is now.
    gave_room: bool,
}

impl State {
    /// `EPIPE` if nobody reads.
    const fn check_readers(&self) -> Result<(), Errno> {
        if self.readers.now == 0 {
            return Err(Errno::EPIPE);
        }
        Ok(())
    }

    /// `EAGAIN` if no slot is free.
    fn check_room(&self) -> Result<(), Errno> {
        if self.slots.is_full() {
            return Err(Errno::EAGAIN);
        }
        Ok(())
    }

    /// `EAGAIN` if nothing is there, but may come.
    const fn check_bytes(&self) -> Result<(), Errno> {
        if self.ring.len() == 0 && self.writers.now > 0 {
            return Err(Errno::EAGAIN);
        }
        Ok(())
    }

    /// Takes bytes for a read; the rest of a packet is lost.
    fn pull(&mut self, sink: &mut dyn Sink) -> Result<Piece, Errno> {
        let was_full = self.slots.is_full();
        let room = sink.room_bytes();
        let (mut len, mut lost, mut is_packet) = (0, 0, false);
        for index in 0.. {
            let Some(slot) = self.slots.get(index) else {
                break;
            };
            if len >= PIECE_BYTES.min(room) || is_packet {
                break;
            }
            let part = slot.len.min(room - len);
            len += part;
            is_packet = slot.is_packet;
            lost = if is_packet { slot.len - part } else { 0 };
        }
        let len = self.ring.pull(len, sink)?;
        self.ring.skip(lost);
        self.slots.take(len + lost);
        let gave_room = was_full && !self.slots.is_full();
        Ok(Piece {
            len,
            is_packet,
            gave_room,
        })
    }

    /// Takes what a write gives, or the start of it.
    fn push(
        &mut self,
        source: &mut dyn Source,
        is_first: bool,
        has_packets: bool,
    ) -> Result<usize, Errno> {
        let wanted = source.left_bytes();
        let continued = if is_first {
            self.slots.continued(wanted)
        } else {
            0
        };
        if continued > 0 {
            let count = self.ring.push(continued, source)?;
            self.slots.extend(count);
            return Ok(count);
        }
        self.check_room()?;
        let limit = PIECE_BYTES.min(self.slots.left() * SLOT_BYTES);
        let count = self.ring.push(limit, source)?;
        self.begin(count, |len| Slot::written(len, has_packets));
        Ok(count)
    }

    /// `bytes` came, which begin slots.
    fn begin(&mut self, mut bytes: usize, slot: impl Fn(usize) -> Slot) {
        while bytes > 0 {
            let len = bytes.min(SLOT_BYTES);
            self.slots.push(slot(len));
            bytes -= len;
        }
    }

    /// Gives up to `limit` bytes to another pipe, slot by slot. They go from here, if they do not stay.
    fn give(&mut self, other: &mut Self, limit: usize, stays: bool) -> Result<usize, Errno> {
        let mut page = vec![0; SLOT_BYTES];
        let (mut moved, mut index) = (0, 0);
        while moved < limit && !other.slots.is_full() {
            let Some(slot) = self.slots.get(index) else {
                break;
            };
            let len = slot.len.min(limit - moved);
            let offset = if stays { moved } else { 0 };
            self.ring.peek(offset, len, &mut &mut page[..])?;
            match other.ring.push(len, &mut &page[..len]) {
                Err(_) if moved > 0 => break,
                pushed => pushed?,
            };
            let is_whole = len == slot.len && !stays;
            other
                .slots
                .push(if is_whole { slot } else { slot.part(len) });
            if stays {
                index += 1;
            } else {
                self.ring.skip(len);
                self.slots.take(len);
            }
            moved += len;
        }
        Ok(moved)
    }
}

impl End {
    /// Whether each write from now on is a packet (`O_DIRECT` of `F_SETFL`).
    pub(crate) fn set_packets(&self, has_packets: bool) {
        self.has_packets.store(has_packets, Ordering::Relaxed);
    }

    /// The end that an open file is, if it is one.
    pub(crate) fn behind(file: &OpenFile) -> Option<&Self> {
        file.object().downcast()
    }

    /// Whether whoever opened it waits for somebody at the other end, as for a FIFO.
    pub(crate) fn must_wait(&self) -> bool {
        if !self.pipe.is_named || (self.reads && self.writes) {
            return false;
        }
        let state = self.pipe.state.lock();
        let partners = if self.reads {
            state.writers
        } else {
            state.readers
        };
        partners.now == 0 && self.partners_before == Some(partners.ever)
    }

    /// How many bytes can be read.
    pub(crate) fn len(&self) -> usize {
        self.pipe.state.lock().ring.len()
    }

    /// How many bytes the pipe can hold (`F_GETPIPE_SZ`).
    pub(crate) fn capacity(&self) -> usize {
        self.pipe.state.lock().ring.capacity()
    }

    /// Sets it, rounded up to a power of two (`F_SETPIPE_SZ`); returns what it is then.
    pub(crate) fn set_capacity(&self, wanted: usize) -> Result<usize, Errno> {
        if wanted > 1 << 31 {
            return Err(Errno::EINVAL);
        }
        if wanted > PIPE_BYTES_MAX {
            return Err(Errno::EPERM);
        }
        let capacity = wanted.max(SLOT_BYTES).next_power_of_two();
        let mut state = self.pipe.state.lock();
        state.slots.resize(capacity)?;
        // Its bytes fit, as its slots do.
        state.ring.set_capacity(capacity)?;
        drop(state);
        self.pipe
            .watchers
            .wake(Readiness::WRITABLE | Readiness::ANEW);
        Ok(capacity)
    }

    /// Whether two ends are of the same pipe.
    pub(crate) fn shares_pipe_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.pipe, &other.pipe)
    }

    /// Gives up to `limit` bytes to another pipe (`splice`), or copies them, so that they stay to be read
    /// (`tee`).
    ///
    /// # Errors
    /// `EPIPE` if nobody reads there.
    pub(crate) fn give_to(&self, other: &Self, limit: usize, stays: bool) -> Result<Flow, Errno> {
        let reading = self.pipe.reading.lock();
        // In one order, whoever gives to whom.
        let is_first = Arc::as_ptr(&self.pipe).addr() < Arc::as_ptr(&other.pipe).addr();
        let early = is_first.then(|| self.pipe.state.lock());
        let mut to = other.pipe.state.lock();
        let mut from = early.unwrap_or_else(|| self.pipe.state.lock());
        let is_empty = from.ring.len() == 0;
        if is_empty && from.writers.now > 0 {
            return Ok(Flow::NeedsInput);
        }
        to.check_readers()?;
        if to.slots.is_full() {
            return Ok(Flow::NeedsRoom);
        }
        if is_empty {
            return Ok(Flow::Moved(0));
        }
        let before = from.slots.left();
        let moved = from.give(&mut to, limit, stays)?;
        let has_freed = from.slots.left() != before;
        drop((from, to, reading));
        if moved > 0 {
            other.pipe.watchers.notify(Readiness::READABLE);
        }
        if has_freed {
            self.pipe.watchers.notify(Readiness::WRITABLE);
        }
        Ok(Flow::Moved(moved))
    }

    /// Gives bytes to `take`, as many as `buffer` has room for, and keeps those that it does not take.
    /// `None` if there are none yet; an end is an empty slice's worth, 0.
    ///
    /// # Errors
    /// What `take` says, and then all bytes stay.
    pub(crate) fn offer(
        &self,
        buffer: &mut [u8],
        take: impl FnOnce(&[u8]) -> Result<usize, Errno>,
    ) -> Result<Option<usize>, Errno> {
        let reading = self.pipe.reading.lock();
        let state = self.pipe.state.lock();
        if state.ring.len() == 0 {
            return Ok((state.writers.now == 0).then_some(0));
        }
        let count = state.ring.peek(0, buffer.len(), &mut &mut buffer[..])?;
        drop(state);
        let taken = take(&buffer[..count])?;
        let mut state = self.pipe.state.lock();
        state.ring.skip(taken);
        let has_freed = state.slots.take(taken);
        drop(state);
        drop(reading);
        if has_freed {
            self.pipe.watchers.notify(Readiness::WRITABLE);
        }
        Ok(Some(taken))
    }

    /// Whether something can be written.
    ///
    /// # Errors
    /// `EPIPE` if nobody reads, `EAGAIN` if it is full.
    pub(crate) fn check_room(&self) -> Result<(), Errno> {
        let state = self.pipe.state.lock();
        state.check_readers()?;
        state.check_room()
    }

    /// Takes bytes as `vmsplice` does, to which packets are bytes as all others.
    pub(crate) fn pull_bytes(&self, sink: &mut dyn Sink) -> Result<usize, Errno> {
        let reading = self.pipe.reading.lock();
        let mut state = self.pipe.state.lock();
        state.check_bytes()?;
        let count = state.ring.pull(usize::MAX, sink)?;
        let has_freed = state.slots.take(count);
        drop(state);
        drop(reading);
        if has_freed {
            self.pipe.watchers.notify(Readiness::WRITABLE);
        }
        Ok(count)
    }

    /// Adds as many of `bytes` as there is room for, however few they are (`splice`).
    pub(crate) fn push_some(&self, mut bytes: &[u8]) -> Result<usize, Errno> {
        let mut state = self.pipe.state.lock();
        state.check_readers()?;
        if bytes.is_empty() {
            return Ok(0);
        }
        state.check_room()?;
        let limit = bytes.len().min(state.slots.left() * SLOT_BYTES);
        let count = state.ring.push(limit, &mut bytes)?;
        state.begin(count, Slot::moved);
        drop(state);
        self.pipe.watchers.notify(Readiness::READABLE);
        Ok(count)
    }

    fn pull_piece(&self, sink: &mut dyn Sink) -> Result<Piece, Errno> {
        let _reading = self.pipe.reading.lock();
        let mut state = self.pipe.state.lock();
        state.check_bytes()?;
        state.pull(sink)
    }

    fn push_piece(&self, source: &mut dyn Source, is_first: bool) -> Result<usize, Errno> {
        let mut state = self.pipe.state.lock();
        state.check_readers()?;
        let has_packets = self.has_packets.load(Ordering::Relaxed);
        state.push(source, is_first, has_packets)
    }

    /// Reads pieces until there are no more, or the read is over; whether it gave room to writers.
    fn pull_all(&self, sink: &mut dyn Sink) -> (Result<usize, Errno>, bool) {
        let (mut done, mut gave_room) = (0, false);
        while sink.room_bytes() > 0 {
            match self.pull_piece(sink) {
                Ok(piece) => {
                    done += piece.len;
                    gave_room |= piece.gave_room;
                    if piece.is_packet || piece.len == 0 {
                        break;
                    }
                }
                Err(errno) if done == 0 => return (Err(errno), gave_room),
                Err(_) => break,
            }
        }
        (Ok(done), gave_room)
    }
}

impl Inode for End {
    fn kind(&self) -> FileType {
        FileType::Fifo
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        self.pipe.metadata()
    }

    fn set_attributes(&self, change: &AttributeChange) -> Result<(), Errno> {
        self.pipe.set_attributes(change)
    }

    fn read_at(&self, _offset: u64, mut buffer: &mut [u8]) -> Result<usize, Errno> {
        self.read_to(0, &mut buffer)
    }

    fn read_to(&self, _offset: u64, sink: &mut dyn Sink) -> Result<usize, Errno> {
        if sink.room_bytes() == 0 {
            return Ok(0);
        }
        let (outcome, gave_room) = self.pull_all(sink);
        // Once for all pieces: whoever is woken finds all of them, and whoever is awake has seen the
        // first ones already.
        if gave_room {
            self.pipe.watchers.wake(Readiness::WRITABLE);
        }
        // Signals are sent whatever was read.
        self.pipe.watchers.signal(Readiness::WRITABLE);
        outcome
    }

    fn write_at(&self, _offset: u64, mut data: &[u8]) -> Result<usize, Errno> {
        self.write_from(0, &mut data)
    }

    fn write_from(&self, _offset: u64, source: &mut dyn Source) -> Result<usize, Errno> {
        if source.left_bytes() == 0 {
            return Ok(0);
        }
        let mut done = 0;
        let mut outcome = Ok(());
        while source.left_bytes() > 0 && outcome.is_ok() {
            outcome = self
                .push_piece(source, done == 0)
                .map(|count| done += count);
        }
        // Whatever was written: as on Linux, also who finds no room wakes readers once more, and signals
        // are sent.
        self.pipe.watchers.wake(Readiness::READABLE);
        self.pipe.watchers.signal(Readiness::READABLE);
        if done == 0 {
            outcome.map(|()| 0)
        } else {
            Ok(done)
        }
    }

    fn readiness(&self) -> Readiness {
        let state = self.pipe.state.lock();
        let mut readiness = Readiness::empty();
        if self.reads {
            let had_writer =
                !self.pipe.is_named || self.partners_before != Some(state.writers.ever);
            readiness.set(Readiness::READABLE, state.ring.len() > 0);
            readiness.set(Readiness::HANG_UP, state.writers.now == 0 && had_writer);
        }
        if self.writes {
            readiness.set(Readiness::WRITABLE, !state.slots.is_full());
            readiness.set(Readiness::ERROR, state.readers.now == 0);
        }
        readiness
    }

    fn watchers(&self) -> Option<&Watchers> {
        Some(&self.pipe.watchers)
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let mut state = self.pipe.state.lock();
        state.readers.now -= usize::from(self.reads);
        state.writers.now -= usize::from(self.writes);
        if state.readers.now == 0 && state.writers.now == 0 {
            // What nobody read is gone, also for who opens the FIFO next.
            let len = state.ring.len();
            state.ring.skip(len);
            state.slots.clear();
        }
        let one_side_is_left = (state.readers.now == 0) != (state.writers.now == 0);
        drop(state);
        if one_side_is_left {
            self.pipe
                .watchers
                .wake(Readiness::HANG_UP | Readiness::ERROR);
            // Who looks finds out why.
            self.pipe
                .watchers
                .signal(Readiness::READABLE | Readiness::WRITABLE);
        }
    }
}

/// The pipes behind FIFOs, each as long as it is open somewhere, and the devices behind nodes.
pub(crate) struct Fifos {
    machine: &'static dyn Machine,
    devices: Option<Arc<DevFs>>,
    by_inode: Mutex<BTreeMap<(DeviceNumber, u64), Weak<Pipe>>>,
}

impl Fifos {
    /// No FIFO is open.
    pub(crate) const fn new(machine: &'static dyn Machine, devices: Option<Arc<DevFs>>) -> Self {
        Self {
            machine,
            devices,
            by_inode: Mutex::new(BTreeMap::new()),
        }
    }
}

impl vfs::SpecialFiles for Fifos {
    fn open_fifo(&self, location: &Location, flags: OpenFlags) -> Result<Arc<dyn Inode>, Errno> {
        let number = location.metadata()?.inode;
        let mut by_inode = self.by_inode.lock();
        by_inode.retain(|_, pipe| pipe.strong_count() > 0);
        let key = (location.device(), number);
        let open = by_inode.get(&key).and_then(Weak::upgrade);
        let pipe = open.unwrap_or_else(|| {
            let owner = Ownership::new(0, 0, 0o600);
            let pipe = Pipe::with_name(self.machine, number, owner, true);
            by_inode.insert(key, Arc::downgrade(&pipe));
            pipe
        });
        drop(by_inode);
        pipe.open(flags)?.ok_or(Errno::ENXIO)
    }

    fn open_device(&self, number: DeviceNumber, flags: OpenFlags) -> Result<Arc<dyn Inode>, Errno> {
        let devices = self.devices.as_ref().ok_or(Errno::ENXIO)?;
        let device = devices.device(number).ok_or(Errno::ENXIO)?;
        Ok(device.open(flags)?.unwrap_or_else(|| device.clone()))
    }
}

//! Pipes and FIFOs.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
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

/// Bytes that a pipe holds, as Linux's default.
const CAPACITY_BYTES: usize = 65536;
/// As `/proc/sys/fs/pipe-max-size`: the most that a program may ask for.
pub(crate) const PIPE_BYTES_MAX: usize = 1 << 20;
/// Writes up to this size are never split (`PIPE_BUF`).
const ATOMIC_BYTES: usize = 4096;
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
    /// How the bytes came, if any came in packets (`O_DIRECT`).
    segments: VecDeque<Segment>,
    readers: Side,
    writers: Side,
}

/// Bytes that came together.
struct Segment {
    len: usize,
    /// Whether one read takes all of it, or loses the rest.
    is_packet: bool,
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
                segments: VecDeque::new(),
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
        drop(state);
        // Somebody may wait for a partner.
        self.watchers
            .notify(Readiness::READABLE | Readiness::WRITABLE);
        Ok(Some(Arc::new(End {
            pipe,
            reads,
            writes,
            has_packets: AtomicBool::new(flags.contains(OpenFlags::DIRECT)),
            partners_before,
        })))
    }
}

impl State {
    /// How many bytes the next read gets at most.
    fn front(&self) -> usize {
        (self.segments.front()).map_or(self.ring.len(), |segment| segment.len)
    }

    /// Whether the next read gets a packet.
    fn has_packet(&self) -> bool {
        (self.segments.front()).is_some_and(|segment| segment.is_packet)
    }

    /// `count` bytes of the front were taken; the rest of a packet is lost.
    fn took(&mut self, count: usize) {
        let Some(front) = self.segments.front_mut() else {
            return;
        };
        front.len -= count;
        if front.is_packet {
            let rest = front.len;
            front.len = 0;
            self.ring.skip(rest);
        }
        if front.len == 0 {
            self.segments.pop_front();
        }
    }

    /// `count` bytes came.
    fn came(&mut self, count: usize, is_packet: bool) {
        if count == 0 || (self.segments.is_empty() && !is_packet) {
            return;
        }
        if self.segments.is_empty() && self.ring.len() > count {
            let len = self.ring.len() - count;
            let is_packet = false;
            self.segments.push_back(Segment { len, is_packet });
        }
        match self.segments.back_mut() {
            Some(last) if !last.is_packet && !is_packet => last.len += count,
            _ => self.segments.push_back(Segment {
                len: count,
                is_packet,
            }),
        }
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
        let capacity = wanted.max(ATOMIC_BYTES).next_power_of_two();
        self.pipe.state.lock().ring.set_capacity(capacity)?;
        self.pipe.watchers.notify(Readiness::WRITABLE);
        Ok(capacity)
    }

    /// Whether two ends are of the same pipe.
    pub(crate) fn shares_pipe_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.pipe, &other.pipe)
    }

    /// Copies bytes to `sink` that stay to be read (`tee`).
    pub(crate) fn peek_to(&self, sink: &mut dyn Sink) -> Result<usize, Errno> {
        let state = self.pipe.state.lock();
        if state.ring.len() == 0 && state.writers.now > 0 {
            return Err(Errno::EAGAIN);
        }
        state.ring.peek(0, usize::MAX, sink)
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
        let limit = buffer.len().min(state.front());
        let count = state.ring.peek(0, limit, &mut &mut buffer[..])?;
        drop(state);
        let taken = take(&buffer[..count])?;
        let mut state = self.pipe.state.lock();
        state.ring.skip(taken);
        if taken > 0 {
            state.took(taken);
        }
        let has_room = state.ring.room() >= ATOMIC_BYTES;
        drop(state);
        drop(reading);
        if taken > 0 && has_room {
            self.pipe.watchers.notify(Readiness::WRITABLE);
        }
        Ok(Some(taken))
    }

    /// Adds as many of `bytes` as there is room for, however few they are (`splice`).
    pub(crate) fn push_some(&self, mut bytes: &[u8]) -> Result<usize, Errno> {
        let mut state = self.pipe.state.lock();
        if state.readers.now == 0 {
            return Err(Errno::EPIPE);
        }
        if bytes.is_empty() {
            return Ok(0);
        }
        let count = state.ring.push(bytes.len(), &mut bytes)?;
        state.came(count, false);
        drop(state);
        if count == 0 {
            return Err(Errno::EAGAIN);
        }
        self.pipe.watchers.notify(Readiness::READABLE);
        Ok(count)
    }

    /// Takes some bytes, and says whether they are a packet, with which a read is over.
    fn pull_piece(&self, sink: &mut dyn Sink) -> Result<(usize, bool), Errno> {
        let _reading = self.pipe.reading.lock();
        let mut state = self.pipe.state.lock();
        if state.ring.len() == 0 && state.writers.now > 0 {
            return Err(Errno::EAGAIN);
        }
        let limit = PIECE_BYTES.min(state.front());
        let is_packet = state.has_packet();
        let count = state.ring.pull(limit, sink)?;
        state.took(count);
        Ok((count, is_packet))
    }

    fn push_piece(&self, source: &mut dyn Source, is_first: bool) -> Result<usize, Errno> {
        let mut state = self.pipe.state.lock();
        if state.readers.now == 0 {
            return Err(Errno::EPIPE);
        }
        // Only the start of a write can be small enough to be whole.
        let has_packets = self.has_packets.load(Ordering::Relaxed);
        let whole = if is_first || has_packets {
            source.left_bytes()
        } else {
            1
        };
        if state.ring.room() < whole.min(ATOMIC_BYTES) {
            return Err(Errno::EAGAIN);
        }
        let limit = if has_packets {
            ATOMIC_BYTES
        } else {
            PIECE_BYTES
        };
        let count = state.ring.push(limit, source)?;
        state.came(count, has_packets);
        Ok(count)
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
        let mut done = 0;
        while sink.room_bytes() > 0 {
            match self.pull_piece(sink) {
                Ok((0, _)) => break,
                Ok((count, is_packet)) => {
                    done += count;
                    if is_packet {
                        break;
                    }
                }
                Err(_) if done > 0 => break,
                Err(errno) => return Err(errno),
            }
            // What comes after bytes may be a packet, which is a read of its own.
            if self.pipe.state.lock().has_packet() {
                break;
            }
        }
        // Once for all pieces: whoever is woken finds all of them, and whoever is awake has seen the
        // first ones already.
        if done > 0 && self.pipe.state.lock().ring.room() >= ATOMIC_BYTES {
            self.pipe.watchers.notify(Readiness::WRITABLE);
        }
        Ok(done)
    }

    fn write_at(&self, _offset: u64, mut data: &[u8]) -> Result<usize, Errno> {
        self.write_from(0, &mut data)
    }

    fn write_from(&self, _offset: u64, source: &mut dyn Source) -> Result<usize, Errno> {
        let mut done = 0;
        while source.left_bytes() > 0 {
            match self.push_piece(source, done == 0) {
                Ok(count) => done += count,
                Err(_) if done > 0 => break,
                Err(errno) => return Err(errno),
            }
        }
        if done > 0 {
            self.pipe.watchers.notify(Readiness::READABLE);
        }
        Ok(done)
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
            readiness.set(Readiness::WRITABLE, state.ring.room() >= ATOMIC_BYTES);
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
            state.segments.clear();
        }
        drop(state);
        self.pipe
            .watchers
            .notify(Readiness::HANG_UP | Readiness::ERROR);
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

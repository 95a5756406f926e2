//! Pipes.

use alloc::collections::VecDeque;
use alloc::sync::Arc;

use hal::Errno;
use locks::Mutex;
use vfs::{FileType, Inode, Metadata, Mode, Readiness, Watchers};

/// Bytes that a pipe holds, as Linux's default.
const CAPACITY_BYTES: usize = 65536;
/// Writes up to this size are never split (`PIPE_BUF`).
const ATOMIC_BYTES: usize = 4096;

/// A new pipe: the end to read from and the end to write to.
pub(crate) fn pipe(inode: u64) -> (Arc<dyn Inode>, Arc<dyn Inode>) {
    let shared = Arc::new(Shared {
        inode,
        readers: Watchers::new(),
        writers: Watchers::new(),
        state: Mutex::new(State {
            bytes: VecDeque::new(),
            has_reader: true,
            has_writer: true,
        }),
    });
    (
        Arc::new(ReadEnd(shared.clone())),
        Arc::new(WriteEnd(shared)),
    )
}

struct Shared {
    inode: u64,
    readers: Watchers,
    writers: Watchers,
    state: Mutex<State>,
}

struct State {
    bytes: VecDeque<u8>,
    has_reader: bool,
    has_writer: bool,
}

struct ReadEnd(Arc<Shared>);
struct WriteEnd(Arc<Shared>);

impl Shared {
    fn metadata(&self) -> Metadata {
        Metadata::fixed(self.inode, FileType::Fifo, Mode::from_low_bits(0o600))
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> Result<T, Errno>) -> Result<T, Errno> {
        change(&mut self.state.lock())
    }
}

impl Inode for ReadEnd {
    fn kind(&self) -> FileType {
        FileType::Fifo
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(self.0.metadata())
    }

    fn read_at(&self, _offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        let count = self.0.change(|state| {
            if state.bytes.is_empty() && state.has_writer && !buffer.is_empty() {
                return Err(Errno::EAGAIN);
            }
            let count = buffer.len().min(state.bytes.len());
            for (to, from) in buffer.iter_mut().zip(state.bytes.drain(..count)) {
                *to = from;
            }
            Ok(count)
        })?;
        self.0.writers.notify(Readiness::WRITABLE);
        Ok(count)
    }

    fn watchers(&self) -> Option<&Watchers> {
        Some(&self.0.readers)
    }

    fn readiness(&self) -> Readiness {
        let state = self.0.state.lock();
        let mut readiness = Readiness::empty();
        readiness.set(Readiness::READABLE, !state.bytes.is_empty());
        readiness.set(Readiness::HANG_UP, !state.has_writer);
        readiness
    }
}

impl Inode for WriteEnd {
    fn kind(&self) -> FileType {
        FileType::Fifo
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(self.0.metadata())
    }

    fn write_at(&self, _offset: u64, data: &[u8]) -> Result<usize, Errno> {
        let count = self.0.change(|state| {
            if !state.has_reader {
                return Err(Errno::EPIPE);
            }
            let room = CAPACITY_BYTES - state.bytes.len();
            let is_atomic = data.len() <= ATOMIC_BYTES;
            if room == 0 || (is_atomic && room < data.len()) {
                return Err(Errno::EAGAIN);
            }
            let count = room.min(data.len());
            state.bytes.try_reserve(count).map_err(|_| Errno::ENOMEM)?;
            state.bytes.extend(&data[..count]);
            Ok(count)
        })?;
        self.0.readers.notify(Readiness::READABLE);
        Ok(count)
    }

    fn watchers(&self) -> Option<&Watchers> {
        Some(&self.0.writers)
    }

    fn readiness(&self) -> Readiness {
        let state = self.0.state.lock();
        let mut readiness = Readiness::empty();
        readiness.set(
            Readiness::WRITABLE,
            CAPACITY_BYTES - state.bytes.len() >= ATOMIC_BYTES,
        );
        readiness.set(Readiness::ERROR, !state.has_reader);
        readiness
    }
}

impl Drop for ReadEnd {
    fn drop(&mut self) {
        self.0.state.lock().has_reader = false;
        self.0.writers.notify(Readiness::ERROR);
    }
}

impl Drop for WriteEnd {
    fn drop(&mut self) {
        self.0.state.lock().has_writer = false;
        self.0.readers.notify(Readiness::HANG_UP);
    }
}

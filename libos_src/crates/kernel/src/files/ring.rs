//! Bytes in a queue.

use alloc::vec::Vec;

use hal::{Errno, Machine};
use vfs::{Sink, Source};

use crate::syscalls::room;

/// A queue of bytes with a limit. It takes memory as it fills.
pub(crate) struct Ring {
    machine: &'static dyn Machine,
    /// What lies in it wraps around at the end.
    memory: Vec<u8>,
    start: usize,
    len: usize,
    capacity: usize,
}

/// The least memory that is taken.
const SMALLEST_BYTES: usize = 4096;

impl Ring {
    /// An empty queue for `capacity` bytes.
    pub(crate) const fn new(machine: &'static dyn Machine, capacity: usize) -> Self {
        Self {
            machine,
            memory: Vec::new(),
            start: 0,
            len: 0,
            capacity,
        }
    }

    /// How many bytes are in it.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// How many more it takes.
    pub(crate) const fn room(&self) -> usize {
        self.capacity.saturating_sub(self.len)
    }

    /// How many it can hold.
    pub(crate) const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Changes the limit. `EBUSY` when more is in it.
    pub(crate) fn set_capacity(&mut self, capacity: usize) -> Result<(), Errno> {
        if capacity < self.len {
            return Err(Errno::EBUSY);
        }
        self.capacity = capacity;
        if self.memory.len() > capacity {
            self.resize(capacity)?;
        }
        Ok(())
    }

    /// Changes the limit. What is in it stays there, even if that is more.
    pub(crate) const fn limit_to(&mut self, capacity: usize) {
        self.capacity = capacity;
    }

    /// Moves up to `limit` bytes to `sink`, as many as it has room for.
    pub(crate) fn pull(&mut self, limit: usize, sink: &mut dyn Sink) -> Result<usize, Errno> {
        let count = self.peek(0, limit, sink)?;
        self.skip(count);
        Ok(count)
    }

    /// Copies up to `limit` bytes that come after the first `offset` to `sink`. They stay.
    pub(crate) fn peek(
        &self,
        offset: usize,
        limit: usize,
        sink: &mut dyn Sink,
    ) -> Result<usize, Errno> {
        let available = self.len.saturating_sub(offset);
        let count = available.min(limit).min(sink.room_bytes());
        if count == 0 {
            return Ok(0);
        }
        let first = self.wrapped(self.start + offset);
        let straight = count.min(self.memory.len() - first);
        sink.put(&self.memory[first..first + straight])?;
        if straight < count {
            sink.put(&self.memory[..count - straight])?;
        }
        Ok(count)
    }

    /// Drops up to `count` bytes.
    pub(crate) fn skip(&mut self, count: usize) {
        let count = count.min(self.len);
        self.len -= count;
        self.start = if self.len == 0 {
            0
        } else {
            self.wrapped(self.start + count)
        };
    }

    /// Takes up to `limit` bytes from `source`, as many as there is room for.
    pub(crate) fn push(&mut self, limit: usize, source: &mut dyn Source) -> Result<usize, Errno> {
        let count = self.room().min(limit).min(source.left_bytes());
        if count == 0 {
            return Ok(0);
        }
        if self.len + count > self.memory.len() {
            let wanted = (self.len + count).next_power_of_two().max(SMALLEST_BYTES);
            self.resize(wanted.min(self.capacity))?;
        }
        let end = self.wrapped(self.start + self.len);
        let straight = count.min(self.memory.len() - end);
        source.copy(&mut self.memory[end..end + straight])?;
        source.advance(straight);
        self.len += straight;
        if straight < count {
            match source.copy(&mut self.memory[..count - straight]) {
                Ok(()) => {
                    source.advance(count - straight);
                    self.len += count - straight;
                }
                // What came before counts.
                Err(_) => return Ok(straight),
            }
        }
        Ok(count)
    }

    fn wrapped(&self, index: usize) -> usize {
        if index >= self.memory.len() {
            index - self.memory.len()
        } else {
            index
        }
    }

    fn resize(&mut self, size: usize) -> Result<(), Errno> {
        room::check(self.machine)?;
        let mut memory = Vec::new();
        memory.try_reserve_exact(size).map_err(|_| Errno::ENOMEM)?;
        memory.resize(size, 0);
        let mut all = &mut memory[..];
        self.peek(0, self.len, &mut all)?;
        self.memory = memory;
        self.start = 0;
        Ok(())
    }
}

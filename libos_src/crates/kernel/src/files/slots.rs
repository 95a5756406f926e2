//! How the bytes of a pipe lie: in slots of a page each, as Linux has them.
//!
//! What a pipe takes is counted in slots, not in bytes: one byte that begins a slot takes all of it, until
//! it is read. A small write goes on in the last slot if all of it fits there.

use alloc::collections::VecDeque;

use hal::Errno;

/// Bytes of a slot. A write of no more is never split (`PIPE_BUF`).
pub(super) const SLOT_BYTES: usize = 4096;

/// Some bytes that came together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    /// How many of its bytes were read.
    start: usize,
    pub(super) len: usize,
    /// Whether a write may go on in it.
    is_open: bool,
    /// Whether one read takes all of it, or loses the rest (`O_DIRECT`).
    pub(super) is_packet: bool,
}

/// The slots of a pipe, of which there are only so many.
pub(super) struct Slots {
    used: VecDeque<Slot>,
    count: usize,
}

impl Slot {
    /// What a write begins.
    pub(super) const fn written(len: usize, is_packet: bool) -> Self {
        Self {
            start: 0,
            len,
            is_open: !is_packet,
            is_packet,
        }
    }

    /// What was moved there, in which no write goes on.
    pub(super) const fn moved(len: usize) -> Self {
        Self {
            is_open: false,
            ..Self::written(len, false)
        }
    }

    /// Its first `len` bytes, as another pipe gets them.
    pub(super) const fn part(self, len: usize) -> Self {
        Self {
            len,
            is_open: false,
            ..self
        }
    }
}

impl Slots {
    /// Slots for `bytes`, all empty. They have their memory from the start: a write is not asked for it.
    pub(super) fn new(bytes: usize) -> Self {
        let count = bytes / SLOT_BYTES;
        Self {
            used: VecDeque::with_capacity(count),
            count,
        }
    }

    /// Whether nothing begins a slot.
    pub(super) fn is_full(&self) -> bool {
        self.used.len() >= self.count
    }

    /// How many are empty.
    pub(super) fn left(&self) -> usize {
        self.count.saturating_sub(self.used.len())
    }

    /// Takes as many as `bytes` fill. `EBUSY` when more are in use, `ENOMEM` when there is none.
    pub(super) fn resize(&mut self, bytes: usize) -> Result<(), Errno> {
        let count = bytes / SLOT_BYTES;
        let more = count.checked_sub(self.used.len()).ok_or(Errno::EBUSY)?;
        let reserved = self.used.try_reserve_exact(more);
        reserved.map_err(|_| Errno::ENOMEM)?;
        self.count = count;
        Ok(())
    }

    /// The slot after `index` others.
    pub(super) fn get(&self, index: usize) -> Option<Slot> {
        self.used.get(index).copied()
    }

    /// How many bytes at the start of a write of `bytes` go on in the last slot.
    pub(super) fn continued(&self, bytes: usize) -> usize {
        let odd = bytes % SLOT_BYTES;
        let goes_on = |last: &Slot| last.is_open && last.start + last.len + odd <= SLOT_BYTES;
        self.used
            .back()
            .filter(|last| goes_on(last))
            .map_or(0, |_| odd)
    }

    /// `bytes` more went on in the last slot.
    pub(super) fn extend(&mut self, bytes: usize) {
        if let Some(last) = self.used.back_mut() {
            last.len += bytes;
        }
    }

    /// Begins a slot.
    pub(super) fn push(&mut self, slot: Slot) {
        self.used.push_back(slot);
    }

    /// `bytes` of the front were read; slots that are empty then are free again, and whether there are some.
    pub(super) fn take(&mut self, mut bytes: usize) -> bool {
        let mut has_freed = false;
        while let Some(front) = self.used.front_mut() {
            let taken = front.len.min(bytes);
            front.start += taken;
            front.len -= taken;
            bytes -= taken;
            if front.len > 0 {
                break;
            }
            self.used.pop_front();
            has_freed = true;
        }
        has_freed
    }

    /// Nothing is in them any more.
    pub(super) fn clear(&mut self) {
        self.used.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_write_goes_on_only_where_all_of_it_fits() {
        let mut slots = Slots::new(2 * SLOT_BYTES);
        assert_eq!(slots.continued(100), 0);
        slots.push(Slot::written(4000, false));
        assert_eq!(slots.continued(96), 96);
        assert_eq!(slots.continued(97), 0);
        assert_eq!(slots.continued(SLOT_BYTES + 96), 96);
        // What was read leaves no room behind it.
        slots.take(1000);
        assert_eq!(slots.continued(97), 0);
    }

    #[test]
    fn a_slot_is_taken_until_its_last_byte_is_read() {
        let mut slots = Slots::new(2 * SLOT_BYTES);
        slots.push(Slot::moved(1));
        slots.push(Slot::written(2, true));
        assert!(slots.is_full());
        assert_eq!(slots.resize(SLOT_BYTES), Err(Errno::EBUSY));
        slots.take(2);
        assert_eq!(
            (slots.left(), slots.get(0).map(|slot| slot.len)),
            (1, Some(1))
        );
        assert_eq!(slots.continued(1), 0);
        assert_eq!(slots.resize(SLOT_BYTES), Ok(()));
    }
}

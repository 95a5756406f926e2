//! Blocks that were checked and are kept in the enclave.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use locks::Mutex;

use crate::BLOCK_SIZE_BYTES;

/// A bounded set of blocks by number; one that was used lately stays longer ("clock" replacement).
///
/// A hit costs one search in a B-tree; nothing is read or hashed.
pub struct BlockCache {
    capacity_blocks: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    slots: Vec<Slot>,
    index: BTreeMap<u64, usize>,
    /// The slot that is looked at next for replacement.
    hand: usize,
}

struct Slot {
    number: u64,
    block: Arc<[u8]>,
    was_used: bool,
}

impl BlockCache {
    /// A cache of at most `budget_bytes` of content; at least one block.
    #[must_use]
    pub fn new(budget_bytes: usize) -> Self {
        let capacity_blocks = (budget_bytes / BLOCK_SIZE_BYTES).max(1);
        Self {
            capacity_blocks,
            state: Mutex::default(),
        }
    }

    /// The block, if it is here.
    #[must_use]
    pub fn get(&self, number: u64) -> Option<Arc<[u8]>> {
        let mut state = self.state.lock();
        let slot = *state.index.get(&number)?;
        let slot = state.slots.get_mut(slot)?;
        slot.was_used = true;
        Some(slot.block.clone())
    }

    /// Fills `run` with the blocks from `first` on, up to one that is not here: how many.
    pub fn get_run(&self, first: u64, run: &mut [Option<Arc<[u8]>>]) -> usize {
        let mut state = self.state.lock();
        let State { slots, index, .. } = &mut *state;
        let mut count = 0;
        for ((number, slot), place) in index.range(first..).zip(run) {
            let Some(slot) = slots.get_mut(*slot).filter(|_| *number == first + count) else {
                break;
            };
            slot.was_used = true;
            *place = Some(slot.block.clone());
            count += 1;
        }
        count as usize
    }

    /// Whether the block is here. This does not count as use.
    #[must_use]
    pub fn contains(&self, number: u64) -> bool {
        self.state.lock().index.contains_key(&number)
    }

    /// Keeps a block, in the place of one that was not used for long.
    pub fn insert(&self, number: u64, block: Arc<[u8]>) {
        let mut state = self.state.lock();
        if state.index.contains_key(&number) {
            return;
        }
        let slot = Slot {
            number,
            block,
            was_used: false,
        };
        if state.slots.len() < self.capacity_blocks {
            let place = state.slots.len();
            state.slots.push(slot);
            state.index.insert(number, place);
            return;
        }
        let place = state.victim();
        let old = core::mem::replace(&mut state.slots[place], slot);
        state.index.remove(&old.number);
        state.index.insert(number, place);
    }
}

impl State {
    /// The first slot from the hand on that was not used since the hand last passed.
    fn victim(&mut self) -> usize {
        loop {
            let place = self.hand % self.slots.len();
            self.hand = place + 1;
            let slot = &mut self.slots[place];
            if !core::mem::take(&mut slot.was_used) {
                return place;
            }
        }
    }
}

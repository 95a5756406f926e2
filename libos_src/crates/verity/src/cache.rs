//! Blocks that were checked and are kept in the enclave.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use locks::Mutex;

use crate::BLOCK_SIZE_BYTES;

/// The most blocks that are lent at a time.
const LENT_MAX: usize = 16;

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
    /// One more reference, for who reads many blocks: to move it costs nothing, and to count one does.
    spare: Option<Arc<[u8]>>,
    was_used: bool,
}

/// A block that somebody reads.
struct Lent {
    slot: usize,
    block: Arc<[u8]>,
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

    /// Gives `reader` the blocks from `first` on, up to one that is not here, and some at most; nothing
    /// if the first is not here. They are all there until it is done, and replacement goes on meanwhile.
    pub fn lend<T>(
        &self,
        first: u64,
        most: usize,
        reader: impl FnOnce(&mut [&[u8]]) -> T,
    ) -> Option<T> {
        let mut lent = [const { None }; LENT_MAX];
        let count = self.take_run(first, &mut lent[..most.min(LENT_MAX)]);
        if count == 0 {
            return None;
        }
        let mut blocks = [&[][..]; LENT_MAX];
        for (place, lent) in blocks.iter_mut().zip(lent.iter().flatten()) {
            *place = &lent.block;
        }
        let outcome = reader(&mut blocks[..count]);
        self.take_back(&mut lent[..count]);
        Some(outcome)
    }

    fn take_run(&self, first: u64, run: &mut [Option<Lent>]) -> usize {
        let mut state = self.state.lock();
        let State { slots, index, .. } = &mut *state;
        let mut count = 0;
        for ((number, &place), lent) in index.range(first..).zip(run) {
            let Some(slot) = slots.get_mut(place).filter(|_| *number == first + count) else {
                break;
            };
            slot.was_used = true;
            let spare = slot.spare.take();
            *lent = Some(Lent {
                slot: place,
                block: spare.unwrap_or_else(|| slot.block.clone()),
            });
            count += 1;
        }
        count as usize
    }

    /// Keeps what was lent as spare, where its block is still here and has none.
    fn take_back(&self, run: &mut [Option<Lent>]) {
        let mut state = self.state.lock();
        for place in run {
            let Some(lent) = place else { continue };
            let slot = state.slots.get_mut(lent.slot);
            if let Some(slot) =
                slot.filter(|slot| slot.spare.is_none() && Arc::ptr_eq(&slot.block, &lent.block))
            {
                slot.spare = place.take().map(|lent| lent.block);
            }
        }
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
            spare: None,
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

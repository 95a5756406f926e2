//! Images in memory, and a hash tree written from the format's description.

use std::sync::{Arc, Mutex, MutexGuard};

use sha2::{Digest, Sha256};
use verity::{Parameters, RawSource};

/// Size of a block.
pub(crate) const BLOCK: usize = 4096;

/// An image that a test can change while it is read.
#[derive(Clone)]
pub(crate) struct Memory(Arc<Mutex<(Vec<u8>, usize)>>);

impl Memory {
    /// An image of these bytes.
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new((bytes, 0))))
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.lock().0.clone()
    }

    /// How many bytes were asked for so far.
    pub(crate) fn bytes_fetched(&self) -> usize {
        self.lock().1
    }

    /// Changes one bit.
    pub(crate) fn flip(&self, byte: usize, bit: usize) {
        self.lock().0[byte] ^= 1 << bit;
    }

    fn lock(&self) -> MutexGuard<'_, (Vec<u8>, usize)> {
        self.0.lock().expect("image")
    }
}

impl RawSource for Memory {
    fn read_raw(&self, offset: u64, buffer: &mut [u8]) -> Result<(), abi::Errno> {
        let (bytes, fetched) = &mut *self.lock();
        let start = usize::try_from(offset).map_err(|_| abi::Errno::EIO)?;
        let end = start.checked_add(buffer.len()).ok_or(abi::Errno::EIO)?;
        buffer.copy_from_slice(bytes.get(start..end).ok_or(abi::Errno::EIO)?);
        *fetched += buffer.len();
        Ok(())
    }
}

/// Data, an empty superblock and the tree.
pub(crate) fn build(data: &[u8]) -> (Memory, Parameters) {
    let mut levels = Vec::new();
    let mut below = data.to_vec();
    while below.len() > BLOCK {
        let mut level: Vec<u8> = below.chunks(BLOCK).flat_map(Sha256::digest).collect();
        level.resize(level.len().next_multiple_of(BLOCK), 0);
        levels.push(level.clone());
        below = level;
    }
    let mut image = data.to_vec();
    image.resize(data.len() + BLOCK, 0);
    image.extend(levels.iter().rev().flatten());
    let parameters = Parameters {
        data_size_bytes: data.len() as u64,
        tree_offset_bytes: (data.len() + BLOCK) as u64,
        root_hash: Sha256::digest(&below).into(),
    };
    (Memory::new(image), parameters)
}

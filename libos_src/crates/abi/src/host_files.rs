//! What enclave and host tell each other about files of the host, as little-endian words.

/// What the host says about a file. Any value may stand anywhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostStatus {
    /// Device, as the host numbers it.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// `st_mode`.
    pub mode: u64,
    /// Number of names.
    pub link_count: u64,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Storage in units of 512 bytes.
    pub blocks_512: u64,
    /// Seconds and nanoseconds of the last access, modification and change.
    pub times: [[u64; 2]; 3],
}

/// What the host says about the sizes of a file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostSizes {
    /// Size of a block.
    pub block_size_bytes: u64,
    /// Blocks in all.
    pub blocks: u64,
    /// Blocks that are free.
    pub blocks_free: u64,
    /// Inodes in all.
    pub inodes: u64,
    /// Inodes that are free.
    pub inodes_free: u64,
}

/// Attributes to set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostChange {
    /// Permission bits.
    pub mode: Option<u32>,
    /// Seconds and nanoseconds of the last access.
    pub accessed: Option<[u64; 2]>,
    /// Seconds and nanoseconds of the last modification.
    pub modified: Option<[u64; 2]>,
}

/// An entry of a directory, as the host says. The name may hold anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostEntry<'a> {
    /// Inode number.
    pub inode: u64,
    /// Where to go on after it.
    pub cookie: u64,
    /// `d_type`.
    pub kind: u8,
    /// Name, of at most 255 bytes.
    pub name: &'a [u8],
}

/// Bytes of an entry before its name: inode number, cookie, kind, length of the name.
const ENTRY_HEADER_BYTES: usize = 18;

impl HostStatus {
    /// Bytes of its form.
    pub const SIZE_BYTES: usize = 96;

    /// Its form.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::SIZE_BYTES] {
        let [accessed, modified, changed] = self.times;
        to_bytes([
            self.device,
            self.inode,
            self.mode,
            self.link_count,
            self.size_bytes,
            self.blocks_512,
            accessed[0],
            accessed[1],
            modified[0],
            modified[1],
            changed[0],
            changed[1],
        ])
    }

    /// What has this form.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Self::SIZE_BYTES]) -> Self {
        let [
            device,
            inode,
            mode,
            link_count,
            size_bytes,
            blocks_512,
            times @ ..,
        ] = words::<12>(bytes);
        let [a, b, c, d, e, f] = times;
        Self {
            device,
            inode,
            mode,
            link_count,
            size_bytes,
            blocks_512,
            times: [[a, b], [c, d], [e, f]],
        }
    }
}

impl HostSizes {
    /// Bytes of its form.
    pub const SIZE_BYTES: usize = 40;

    /// Its form.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::SIZE_BYTES] {
        to_bytes([
            self.block_size_bytes,
            self.blocks,
            self.blocks_free,
            self.inodes,
            self.inodes_free,
        ])
    }

    /// What has this form.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Self::SIZE_BYTES]) -> Self {
        let [block_size_bytes, blocks, blocks_free, inodes, inodes_free] = words::<5>(bytes);
        Self {
            block_size_bytes,
            blocks,
            blocks_free,
            inodes,
            inodes_free,
        }
    }
}

impl HostChange {
    /// Bytes of its form: what is there, then the values.
    pub const SIZE_BYTES: usize = 48;

    /// Its form.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::SIZE_BYTES] {
        let present = u64::from(self.mode.is_some())
            | u64::from(self.accessed.is_some()) << 1
            | u64::from(self.modified.is_some()) << 2;
        let accessed = self.accessed.unwrap_or_default();
        let modified = self.modified.unwrap_or_default();
        to_bytes([
            present,
            self.mode.unwrap_or_default().into(),
            accessed[0],
            accessed[1],
            modified[0],
            modified[1],
        ])
    }

    /// What has this form.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Self::SIZE_BYTES]) -> Self {
        let [present, mode, a, b, c, d] = words::<6>(bytes);
        Self {
            mode: (present & 1 != 0).then_some(mode as u32),
            accessed: (present & 2 != 0).then_some([a, b]),
            modified: (present & 4 != 0).then_some([c, d]),
        }
    }
}

impl<'a> HostEntry<'a> {
    /// Puts it at the front of `room`; what is left, or `None` if it does not fit.
    #[must_use]
    pub fn put<'b>(&self, room: &'b mut [u8]) -> Option<&'b mut [u8]> {
        let len = u8::try_from(self.name.len()).ok()?;
        let (header, rest) = room.split_first_chunk_mut::<ENTRY_HEADER_BYTES>()?;
        let (name, rest) = rest.split_at_mut_checked(self.name.len())?;
        let parts = self.inode.to_le_bytes().into_iter();
        let parts = parts
            .chain(self.cookie.to_le_bytes())
            .chain([self.kind, len]);
        for (to, byte) in header.iter_mut().zip(parts) {
            *to = byte;
        }
        name.copy_from_slice(self.name);
        Some(rest)
    }

    /// Takes one from the front of `bytes`, and what is behind it; `None` if there is none.
    #[must_use]
    pub fn take(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (numbers, rest) = bytes.split_first_chunk::<16>()?;
        let [inode, cookie] = words::<2>(numbers);
        let ([kind, len], rest) = rest.split_first_chunk::<2>()?;
        let (name, rest) = rest.split_at_checked(usize::from(*len))?;
        let entry = Self {
            inode,
            cookie,
            kind: *kind,
            name,
        };
        Some((entry, rest))
    }
}

fn to_bytes<const WORDS: usize, const BYTES: usize>(words: [u64; WORDS]) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    for (to, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *to = word.to_le_bytes();
    }
    bytes
}

fn words<const WORDS: usize>(bytes: &[u8]) -> [u64; WORDS] {
    let mut words = [0; WORDS];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_as_it_was_written() {
        let status = HostStatus {
            device: 1,
            inode: 2,
            mode: 3,
            link_count: 4,
            size_bytes: 5,
            blocks_512: 6,
            times: [[7, 8], [9, 10], [11, 12]],
        };
        assert_eq!(HostStatus::from_bytes(&status.to_bytes()), status);
        let sizes = HostSizes {
            block_size_bytes: 1,
            blocks: 2,
            blocks_free: 3,
            inodes: 4,
            inodes_free: 5,
        };
        assert_eq!(HostSizes::from_bytes(&sizes.to_bytes()), sizes);
        for change in [
            HostChange::default(),
            HostChange {
                mode: Some(0o755),
                accessed: Some([1, 2]),
                modified: None,
            },
        ] {
            assert_eq!(HostChange::from_bytes(&change.to_bytes()), change);
        }
    }

    #[test]
    fn entries_lie_one_behind_the_other_and_end_where_the_room_does() {
        let entry = HostEntry {
            inode: 1,
            cookie: 2,
            kind: 8,
            name: b"name",
        };
        let mut room = [0; 50];
        let rest = entry.put(&mut room).and_then(|rest| entry.put(rest));
        assert_eq!(rest.map(|rest| rest.len()), Some(6));

        let (first, rest) = HostEntry::take(&room).expect("the first");
        let (second, rest) = HostEntry::take(rest).expect("the second");
        assert_eq!((first, second), (entry, entry));
        assert_eq!(HostEntry::take(rest), None);
        assert_eq!(
            room.first_chunk::<21>()
                .and_then(|room| HostEntry::take(room)),
            None
        );
    }
}

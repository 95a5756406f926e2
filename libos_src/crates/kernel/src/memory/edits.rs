//! What patching writes into a text, page by page.

use alloc::vec::Vec;
use core::ops::Range;

use patcher::Placed;

/// The most bytes that are written at one address: those of a near jump.
const BYTES_MAX: usize = 5;

/// Everything that is written into one text, by address.
pub(super) struct Edits(Vec<Edit>);

struct Edit {
    address: u64,
    bytes: [u8; BYTES_MAX],
    len: usize,
}

impl Edit {
    fn new(address: u64, written: &[u8]) -> Self {
        let (len, mut bytes) = (written.len(), [0; BYTES_MAX]);
        bytes[..len].copy_from_slice(written);
        Self {
            address,
            bytes,
            len,
        }
    }

    /// What of it lies in a range: where, and what.
    fn within(&self, range: &Range<u64>) -> Option<(u64, &[u8])> {
        let start = self.address.max(range.start);
        let end = (self.address + self.len as u64).min(range.end);
        let bytes = (start < end)
            .then(|| &self.bytes[(start - self.address) as usize..(end - self.address) as usize]);
        Some((start, bytes?))
    }
}

impl Edits {
    /// The jumps of a patched text.
    pub(super) fn of(placed: &Placed) -> Self {
        let jumps = placed
            .jumps()
            .map(|(address, jump)| Edit::new(address, &jump));
        let short = placed
            .short_jumps()
            .map(|(address, jump)| Edit::new(address, &jump));
        let mut edits: Vec<Edit> = jumps.chain(short).collect();
        edits.sort_unstable_by_key(|edit| edit.address);
        Self(edits)
    }

    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    /// The pages that they change, as the longest runs, in order.
    pub(super) fn pages(&self) -> Vec<Range<u64>> {
        let mut runs: Vec<Range<u64>> = Vec::new();
        for edit in &self.0 {
            let start = super::page_floor(edit.address);
            let end = super::page_floor(edit.address + edit.len as u64 - 1) + hal::PAGE_SIZE;
            match runs.last_mut() {
                Some(last) if start <= last.end => last.end = last.end.max(end),
                _ => runs.push(start..end),
            }
        }
        runs
    }

    /// What is written in a range: where, and what.
    pub(super) fn within(&self, range: &Range<u64>) -> impl Iterator<Item = (u64, &[u8])> {
        let floor = range.start.saturating_sub(BYTES_MAX as u64);
        let first = self.0.partition_point(|edit| edit.address < floor);
        let near = self.0[first..]
            .iter()
            .take_while(|edit| edit.address < range.end);
        near.filter_map(|edit| edit.within(range))
    }

    /// Writes it into what the file has in a range.
    pub(super) fn apply(&self, range: &Range<u64>, content: &mut [u8]) {
        for (address, bytes) in self.within(range) {
            let at = (address - range.start) as usize;
            content[at..at + bytes.len()].copy_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edits(all: &[(u64, &[u8])]) -> Edits {
        let edits = all
            .iter()
            .map(|(address, bytes)| Edit::new(*address, bytes));
        Edits(edits.collect())
    }

    #[test]
    fn what_lies_across_two_pages_is_written_to_both() {
        let edits = edits(&[(0x1ffd, &[1, 2, 3, 4, 5]), (0x2002, &[6, 7])]);
        let mut content = [[0; 4096]; 2];

        edits.apply(&(0x1000..0x2000), &mut content[0]);
        edits.apply(&(0x2000..0x3000), &mut content[1]);

        assert_eq!(content[0][0xffc..], [0, 1, 2, 3]);
        assert_eq!(content[1][..5], [4, 5, 6, 7, 0]);
        assert_eq!(edits.pages().first(), Some(&(0x1000..0x3000)));
    }

    #[test]
    fn pages_that_nothing_is_written_to_are_in_no_run() {
        let all = [0x1000, 0x1fff, 0x4ffe, 0x5000, 0x9000];

        let edits = edits(&all.map(|address| (address, [1_u8].as_slice())));

        assert_eq!(
            edits.pages(),
            [0x1000..0x2000, 0x4000..0x6000, 0x9000..0xa000]
        );
    }
}

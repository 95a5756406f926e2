//! From an address in a stub back to the site it stands for.

use alloc::vec::Vec;

/// The stubs of one stretch of text.
///
/// A program must never see that it runs in a stub: libcs compare the interrupted instruction
/// pointer with their own code (musl's cancellation does). A stub can be run again from its start,
/// so the honest answer for any address in it is the site.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StubMap {
    /// Start and end of the stub, and its site; in ascending order of the start.
    stubs: Vec<(u64, u64, u64)>,
}

impl StubMap {
    /// Adds a stub of `len` bytes, which lies behind all stubs added before.
    pub fn push(&mut self, stub: u64, len: u64, site: u64) {
        debug_assert!(self.stubs.last().is_none_or(|&(_, end, _)| end <= stub));
        self.stubs.push((stub, stub + len, site));
    }

    /// The site of the stub that holds `address`, if one does.
    #[must_use]
    pub fn site_of(&self, address: u64) -> Option<u64> {
        let behind = self.stubs.partition_point(|&(start, ..)| start <= address);
        let &(_, end, site) = self.stubs.get(behind.checked_sub(1)?)?;
        (address < end).then_some(site)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_stub_leads_to_its_site_and_no_other_does() {
        let mut map = StubMap::default();
        map.push(0x1000, 17, 0x400);
        map.push(0x1011, 26, 0x500);

        assert_eq!(map.site_of(0xfff), None);
        assert_eq!(map.site_of(0x1000), Some(0x400));
        assert_eq!(map.site_of(0x1010), Some(0x400));
        assert_eq!(map.site_of(0x1011), Some(0x500));
        assert_eq!(map.site_of(0x102a), Some(0x500));
        assert_eq!(map.site_of(0x102b), None);
    }
}

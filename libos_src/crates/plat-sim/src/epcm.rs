//! The enclave page cache map: what SGX knows about each page of the enclave.
//!
//! It is a table of atomic words, because signal handlers of several threads read and change it.
//! Each operation is the architectural one without its memory traffic; whoever calls it then
//! applies [`Epcm::access`] to the page tables.
//!
//! An enclave has more addresses than pages. The table takes memory only where an entry was written,
//! so what the page tables allow of a large range without pages is kept apart ([`Epcm::map_absent`]).

use std::{
    ops::Range,
    sync::{
        OnceLock,
        atomic::{AtomicU16, Ordering},
    },
};

use abi::{PAGE_SIZE, PageType, Permissions, SecInfo, SgxError};

/// One page's entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry(u16);

impl Entry {
    const VALID: u16 = 1 << 0;
    const PERMISSIONS_SHIFT: u16 = 1;
    const TYPE_SHIFT: u16 = 4;
    const PENDING: u16 = 1 << 7;
    const MODIFIED: u16 = 1 << 8;
    const RESTRICTED: u16 = 1 << 9;
    const MAPPED_SHIFT: u16 = 10;
    /// Holds code of the platform itself; the enclave can never have it.
    const RESERVED: u16 = 1 << 13;
    /// Was written: an entry of zeros says nothing of its own.
    const WRITTEN: u16 = 1 << 14;

    /// A page as EADD leaves it. The page tables allow nothing yet.
    fn added(secinfo: SecInfo) -> Self {
        let permissions = u16::from(secinfo.permissions().bits()) << Self::PERMISSIONS_SHIFT;
        let page_type = ((secinfo.flags >> 8) as u16 & 7) << Self::TYPE_SHIFT;
        Self(Self::VALID | permissions | page_type)
    }

    pub(crate) fn is_valid(self) -> bool {
        self.0 & Self::VALID != 0
    }

    /// Whether the page holds code of the platform itself.
    pub(crate) fn is_reserved(self) -> bool {
        self.0 & Self::RESERVED != 0
    }

    fn is_free(self) -> bool {
        self.0 & (Self::VALID | Self::RESERVED) == 0
    }

    fn permissions(self) -> Permissions {
        Permissions::from_bits_truncated((self.0 >> Self::PERMISSIONS_SHIFT) as u8)
    }

    fn mapped(self) -> Permissions {
        Permissions::from_bits_truncated((self.0 >> Self::MAPPED_SHIFT) as u8)
    }

    fn page_type(self) -> u16 {
        (self.0 >> Self::TYPE_SHIFT) & 7
    }

    fn is_regular(self) -> bool {
        self.is_valid() && self.page_type() == PageType::Regular as u16
    }

    fn is_settled(self) -> bool {
        self.0 & (Self::PENDING | Self::MODIFIED) == 0
    }

    fn with_permissions(self, permissions: Permissions) -> Self {
        let cleared = self.0 & !(7 << Self::PERMISSIONS_SHIFT);
        Self(cleared | u16::from(permissions.bits()) << Self::PERMISSIONS_SHIFT)
    }

    fn with_type(self, page_type: PageType) -> Self {
        Self(self.0 & !(7 << Self::TYPE_SHIFT) | (page_type as u16) << Self::TYPE_SHIFT)
    }

    fn with_mapped(self, permissions: Permissions) -> Self {
        let cleared = self.0 & !(7 << Self::MAPPED_SHIFT);
        Self(cleared | u16::from(permissions.bits()) << Self::MAPPED_SHIFT)
    }

    /// What an access may do: what both the enclave and the page tables allow.
    pub(crate) fn access(self) -> Permissions {
        if self.is_regular() && self.is_settled() {
            self.permissions().intersection(self.mapped())
        } else if self.is_reserved() {
            Permissions::RX
        } else {
            Permissions::NONE
        }
    }

    /// The entry as SECINFO.FLAGS shows it.
    fn flags(self) -> u64 {
        let state = [
            (Self::PENDING, SecInfo::PENDING),
            (Self::MODIFIED, SecInfo::MODIFIED),
            (Self::RESTRICTED, SecInfo::PERMISSIONS_RESTRICTED),
        ];
        let mut flags = u64::from(self.permissions().bits()) | u64::from(self.page_type()) << 8;
        for (bit, flag) in state {
            if self.0 & bit != 0 {
                flags |= flag;
            }
        }
        flags
    }
}

/// Why a leaf did not give an error code but a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeafFault {
    /// #GP(0).
    GeneralProtection,
    /// #PF of the page at this address.
    Page(u64),
}

/// The map of one enclave.
pub(crate) struct Epcm {
    entries: Box<[AtomicU16]>,
    /// What the page tables allow of pages in a range whose entries were never written.
    absent: OnceLock<(Range<u64>, Permissions)>,
}

impl Epcm {
    /// The map of an enclave without pages.
    pub(crate) fn new(size_bytes: u64) -> Self {
        let zeros = vec![0_u16; (size_bytes / PAGE_SIZE) as usize].into_boxed_slice();
        let raw = Box::into_raw(zeros) as *mut [AtomicU16];
        Self {
            // SAFETY: the box was just given up, and an atomic word has the layout of its word.
            // Zeros of this size are pages that the host gives when they are written.
            entries: unsafe { Box::from_raw(raw) },
            absent: OnceLock::new(),
        }
    }

    /// The size of the enclave.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.entries.len() as u64 * PAGE_SIZE
    }

    fn slot(&self, offset: u64) -> Option<&AtomicU16> {
        self.entries.get((offset / PAGE_SIZE) as usize)
    }

    /// The entry of the page that holds this offset. Outside the enclave there is none.
    pub(crate) fn get(&self, offset: u64) -> Entry {
        self.slot(offset).map_or(Entry::default(), |slot| {
            self.seen(offset, slot.load(Ordering::SeqCst))
        })
    }

    /// What a word of the table means.
    fn seen(&self, offset: u64, word: u16) -> Entry {
        match self.absent.get() {
            Some((range, mapped)) if word == 0 && range.contains(&offset) => {
                Entry::default().with_mapped(*mapped)
            }
            _ => Entry(word & !Entry::WRITTEN),
        }
    }

    /// Sets what the page tables allow of pages that come later, in a range that has none yet and
    /// where nothing was set before. False if that was done already, for another range.
    pub(crate) fn map_absent(&self, range: Range<u64>, permissions: Permissions) -> bool {
        self.absent.set((range, permissions)).is_ok()
    }

    /// Changes an entry by one atomic step.
    fn update<E>(
        &self,
        offset: u64,
        missing: E,
        change: impl Fn(Entry) -> Result<Entry, E>,
    ) -> Result<Entry, E> {
        let Some(slot) = self.slot(offset) else {
            return Err(missing);
        };
        let mut current = slot.load(Ordering::SeqCst);
        loop {
            let next = change(self.seen(offset, current))?;
            let word = next.0 | Entry::WRITTEN;
            match slot.compare_exchange(current, word, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return Ok(next),
                Err(found) => current = found,
            }
        }
    }

    /// EADD: false if the page is there already or out of range.
    pub(crate) fn add(&self, offset: u64, secinfo: SecInfo) -> bool {
        self.update(offset, (), |entry| {
            entry.is_free().then(|| Entry::added(secinfo)).ok_or(())
        })
        .is_ok()
    }

    /// Takes a page without an entry for the platform's own use.
    pub(crate) fn reserve(&self, offset: u64) -> bool {
        self.update(offset, (), |entry| {
            entry
                .is_free()
                .then_some(Entry(entry.0 | Entry::RESERVED))
                .ok_or(())
        })
        .is_ok()
    }

    /// Sets what the page tables allow, also for a page that comes later.
    pub(crate) fn map(&self, offset: u64, permissions: Permissions) -> Entry {
        self.update(offset, Entry::default(), |entry| {
            Ok(entry.with_mapped(permissions))
        })
        .unwrap_or_default()
    }

    /// EMODPR.
    pub(crate) fn restrict(&self, offset: u64, kept: Permissions) -> Result<Entry, SgxError> {
        self.update(offset, SgxError::PageInvalid, |entry| {
            if !entry.is_regular() {
                return Err(SgxError::PageInvalid);
            }
            if !entry.is_settled() {
                return Err(SgxError::PageNotModifiable);
            }
            let restricted = entry.with_permissions(entry.permissions().intersection(kept));
            Ok(Entry(restricted.0 | Entry::RESTRICTED))
        })
    }

    /// EMODT. To TRIM also takes the permissions.
    pub(crate) fn modify_type(&self, offset: u64, to: PageType) -> Result<Entry, SgxError> {
        self.update(offset, SgxError::PageInvalid, |entry| {
            if !entry.is_valid() {
                return Err(SgxError::PageInvalid);
            }
            if !entry.is_settled() || !matches!(to, PageType::Tcs | PageType::Trimmed) {
                return Err(SgxError::PageNotModifiable);
            }
            let changed = entry.with_permissions(Permissions::NONE).with_type(to);
            Ok(Entry(changed.0 & !Entry::RESTRICTED | Entry::MODIFIED))
        })
    }

    /// EREMOVE, of a trimmed page that the enclave accepted.
    pub(crate) fn remove(&self, offset: u64) -> Result<(), SgxError> {
        self.update(offset, SgxError::PageInvalid, |entry| {
            if !entry.is_valid() {
                return Err(SgxError::PageInvalid);
            }
            let trimmed = entry.page_type() == PageType::Trimmed as u16;
            if !trimmed || !entry.is_settled() {
                return Err(SgxError::PageNotModifiable);
            }
            Ok(Entry::default().with_mapped(entry.mapped()))
        })
        .map(drop)
    }

    /// EACCEPT. A page that is not there is first added, as the kernel does at the fault.
    ///
    /// Gives the entry, and whether the page is new.
    pub(crate) fn accept(
        &self,
        offset: u64,
        expected: SecInfo,
    ) -> Result<(Result<Entry, SgxError>, bool), LeafFault> {
        let fresh = SecInfo::regular(Permissions::RW);
        let augmented = self.update(offset, (), |entry| {
            if !entry.is_free() || entry.mapped() == Permissions::NONE {
                return Err(());
            }
            let added = Entry::added(fresh).with_mapped(entry.mapped());
            Ok(Entry(added.0 | Entry::PENDING))
        });
        if !self.get(offset).is_valid() {
            return Err(LeafFault::Page(offset));
        }
        let accepted = self.update(offset, SgxError::PageInvalid, |entry| {
            if entry.flags() != expected.flags {
                return Err(SgxError::PageAttributesMismatch);
            }
            Ok(Entry(
                entry.0 & !(Entry::PENDING | Entry::MODIFIED | Entry::RESTRICTED),
            ))
        });
        Ok((accepted, augmented.is_ok()))
    }

    /// EACCEPTCOPY, without the copy: the page waits since EAUG, and gets these permissions.
    pub(crate) fn accept_copy(
        &self,
        offset: u64,
        permissions: Permissions,
    ) -> Result<Result<Entry, SgxError>, LeafFault> {
        let fresh = SecInfo::regular(Permissions::RW).with_state(SecInfo::PENDING);
        let (accepted, _) = self.accept(offset, fresh)?;
        Ok(accepted.and_then(|_| {
            self.update(offset, SgxError::PageInvalid, |entry| {
                Ok(entry.with_permissions(permissions))
            })
        }))
    }

    /// EMODPE.
    pub(crate) fn extend(&self, offset: u64, wanted: Permissions) -> Result<Entry, LeafFault> {
        self.update(offset, LeafFault::GeneralProtection, |entry| {
            if !entry.is_regular() || !entry.is_settled() {
                return Err(LeafFault::Page(offset));
            }
            Ok(entry.with_permissions(entry.permissions().union(wanted)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = 0x1_0000;

    fn map_with(secinfo: SecInfo) -> Epcm {
        let epcm = Epcm::new(0x10_0000);
        assert!(epcm.add(PAGE, secinfo));
        epcm.map(PAGE, Permissions::RWX);
        epcm
    }

    #[test]
    fn an_access_needs_both_the_enclave_and_the_page_tables() {
        let epcm = map_with(SecInfo::regular(Permissions::RX));
        assert_eq!(epcm.get(PAGE).access(), Permissions::RX);
        epcm.map(PAGE, Permissions::RW);
        assert_eq!(epcm.get(PAGE).access(), Permissions::R);
    }

    #[test]
    fn a_page_is_added_once() {
        let epcm = map_with(SecInfo::regular(Permissions::RW));
        assert!(!epcm.add(PAGE, SecInfo::regular(Permissions::RW)));
        assert!(!epcm.add(0x10_0000, SecInfo::regular(Permissions::RW)));
    }

    #[test]
    fn a_thread_control_page_is_never_accessible() {
        let epcm = map_with(SecInfo::TCS);
        assert_eq!(epcm.get(PAGE).access(), Permissions::NONE);
    }

    #[test]
    fn a_new_page_is_usable_after_the_right_accept_alone() {
        let epcm = Epcm::new(0x10_0000);
        epcm.map(PAGE, Permissions::RWX);
        let wrong = SecInfo::regular(Permissions::RWX).with_state(SecInfo::PENDING);
        let (accepted, new) = epcm.accept(PAGE, wrong).expect("no fault");
        assert_eq!(accepted, Err(SgxError::PageAttributesMismatch));
        assert!(new);
        assert_eq!(epcm.get(PAGE).access(), Permissions::NONE);
        let right = SecInfo::regular(Permissions::RW).with_state(SecInfo::PENDING);
        let (accepted, new) = epcm.accept(PAGE, right).expect("no fault");
        assert_eq!(accepted.map(Entry::access), Ok(Permissions::RW));
        assert!(!new);
    }

    #[test]
    fn a_page_that_was_accepted_cannot_be_accepted_as_new_again() {
        let epcm = map_with(SecInfo::regular(Permissions::RW));
        let fresh = SecInfo::regular(Permissions::RW).with_state(SecInfo::PENDING);
        let (accepted, _) = epcm.accept(PAGE, fresh).expect("no fault");
        assert_eq!(accepted, Err(SgxError::PageAttributesMismatch));
    }

    #[test]
    fn a_page_outside_every_mapping_faults() {
        let epcm = Epcm::new(0x10_0000);
        let fresh = SecInfo::regular(Permissions::RW).with_state(SecInfo::PENDING);
        assert_eq!(epcm.accept(PAGE, fresh), Err(LeafFault::Page(PAGE)));
    }

    #[test]
    fn the_host_takes_permissions_and_only_the_enclave_gives_them() {
        let epcm = map_with(SecInfo::regular(Permissions::RW));
        epcm.restrict(PAGE, Permissions::R).expect("restricts");
        assert_eq!(epcm.get(PAGE).access(), Permissions::R);
        let restricted =
            SecInfo::regular(Permissions::R).with_state(SecInfo::PERMISSIONS_RESTRICTED);
        let (accepted, _) = epcm.accept(PAGE, restricted).expect("no fault");
        assert!(accepted.is_ok());
        epcm.extend(PAGE, Permissions::X).expect("extends");
        assert_eq!(epcm.get(PAGE).access(), Permissions::RX);
    }

    #[test]
    fn a_page_goes_only_after_the_enclave_agreed() {
        let epcm = map_with(SecInfo::regular(Permissions::RW));
        assert_eq!(epcm.remove(PAGE), Err(SgxError::PageNotModifiable));
        epcm.modify_type(PAGE, PageType::Trimmed).expect("trims");
        assert_eq!(epcm.get(PAGE).access(), Permissions::NONE);
        assert_eq!(epcm.remove(PAGE), Err(SgxError::PageNotModifiable));
        let trimmed =
            SecInfo::new(PageType::Trimmed, Permissions::NONE).with_state(SecInfo::MODIFIED);
        assert!(epcm.accept(PAGE, trimmed).expect("no fault").0.is_ok());
        assert_eq!(epcm.remove(PAGE), Ok(()));
        assert!(!epcm.get(PAGE).is_valid());
    }

    #[test]
    fn what_is_allowed_of_a_range_without_pages_holds_until_a_page_says_otherwise() {
        let epcm = Epcm::new(1 << 36);
        let far = 1 << 35;
        assert!(epcm.map_absent(PAGE..(1 << 36), Permissions::RWX));
        let fresh = SecInfo::regular(Permissions::RW).with_state(SecInfo::PENDING);
        let (accepted, new) = epcm.accept(far, fresh).expect("no fault");
        assert_eq!(
            (accepted.map(Entry::access), new),
            (Ok(Permissions::RW), true)
        );
        epcm.map(far + PAGE_SIZE, Permissions::NONE);
        assert!(epcm.accept(far + PAGE_SIZE, fresh).is_err());
        assert!(!epcm.map_absent(PAGE..(1 << 36), Permissions::RWX));
    }

    #[test]
    fn a_reserved_page_is_never_the_enclaves() {
        let epcm = Epcm::new(0x10_0000);
        epcm.map(PAGE, Permissions::RWX);
        assert!(epcm.reserve(PAGE));
        assert!(!epcm.add(PAGE, SecInfo::regular(Permissions::RW)));
        let fresh = SecInfo::regular(Permissions::RW).with_state(SecInfo::PENDING);
        assert!(epcm.accept(PAGE, fresh).is_err());
    }
}

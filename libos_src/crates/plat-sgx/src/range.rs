//! The enclave's place in the address space.

use std::io;
use std::os::fd::RawFd;

use abi::Permissions;
use platform::{Error, Result};

use crate::device::refused;

/// The lowest address that Linux lets a process map by default (`vm.mmap_min_addr`).
///
/// Enclaves start at address zero here; their first 64 KiB never have pages.
const LOWEST_ADDRESS: u64 = 0x1_0000;

/// Address space that belongs to one enclave, and is given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Range {
    base: u64,
    size_bytes: u64,
}

impl Range {
    /// Reserves `size_bytes` from `base`, without the part that Linux keeps unmapped.
    ///
    /// Fails if anything is mapped there already, which it never displaces.
    pub(crate) fn reserve(base: u64, size_bytes: u64) -> Result<Self> {
        let range = Self { base, size_bytes };
        let Some((start, length)) = range.mappable() else {
            return Err(Error::Fault(
                "the enclave has no room above the first 64 KiB",
            ));
        };
        let flags = libc::MAP_PRIVATE
            | libc::MAP_ANONYMOUS
            | libc::MAP_NORESERVE
            | libc::MAP_FIXED_NOREPLACE;
        // SAFETY: MAP_FIXED_NOREPLACE never touches a mapping that exists.
        let mapped = unsafe { map(start, length, libc::PROT_NONE, flags, -1) };
        match mapped {
            Ok(()) => Ok(range),
            Err(error) => {
                core::mem::forget(range);
                Err(refused("reserve the enclave's address range", &error))
            }
        }
    }

    /// Maps enclave pages of `device` over a part of the range.
    pub(crate) fn map_enclave(
        &self,
        offset: u64,
        length: u64,
        permissions: Permissions,
        device: RawFd,
    ) -> Result<()> {
        let start = self.base + self.checked(offset, length)?;
        if start < LOWEST_ADDRESS {
            return Err(Error::Fault("Linux maps nothing in the first 64 KiB"));
        }
        let flags = libc::MAP_SHARED | libc::MAP_FIXED;
        // SAFETY: the pages lie in this range, which holds no Rust object and is replaced in place.
        unsafe { map(start, length, protection(permissions), flags, device) }
            .map_err(|error| refused(mapping(permissions, &error), &error))
    }

    /// The offset, if whole pages of the range start there.
    pub(crate) fn checked(&self, offset: u64, length: u64) -> Result<u64> {
        let aligned =
            offset.is_multiple_of(abi::PAGE_SIZE) && length.is_multiple_of(abi::PAGE_SIZE);
        let inside = length > 0
            && offset
                .checked_add(length)
                .is_some_and(|end| end <= self.size_bytes);
        if aligned && inside {
            Ok(offset)
        } else {
            Err(Error::Fault("the pages are not whole pages of the enclave"))
        }
    }

    /// The linear address of an offset that is known to lie in the range.
    pub(crate) fn address(&self, offset: u64) -> u64 {
        self.base + offset
    }

    /// Start and length of the part that can be mapped.
    fn mappable(&self) -> Option<(u64, u64)> {
        let end = self.base.checked_add(self.size_bytes)?;
        let start = self.base.max(LOWEST_ADDRESS);
        (start < end).then(|| (start, end - start))
    }
}

impl Drop for Range {
    fn drop(&mut self) {
        if let Some((start, length)) = self.mappable() {
            let start = core::ptr::with_exposed_provenance_mut(start as usize);
            // SAFETY: the whole part was mapped by `reserve` and no one else maps in it; nothing
            // in it is referred to, as enclave memory cannot be read from outside.
            unsafe { libc::munmap(start, length as usize) };
        }
    }
}

/// What to call a mapping that failed. Many systems mount `/dev` so that nothing there may be
/// executed, and then the kernel answers EPERM, where the driver itself would answer EACCES.
fn mapping(permissions: Permissions, error: &io::Error) -> &'static str {
    let executable = permissions.contains(Permissions::X);
    if executable && error.raw_os_error() == Some(libc::EPERM) {
        "map executable enclave pages (is /dev mounted `noexec`?)"
    } else {
        "map enclave pages"
    }
}

/// The protection of `mmap` that stands for these permissions.
fn protection(permissions: Permissions) -> i32 {
    [
        (Permissions::R, libc::PROT_READ),
        (Permissions::W, libc::PROT_WRITE),
        (Permissions::X, libc::PROT_EXEC),
    ]
    .into_iter()
    .filter(|&(permission, _)| permissions.contains(permission))
    .fold(libc::PROT_NONE, |all, (_, protection)| all | protection)
}

/// # Safety
/// With MAP_FIXED in `flags`, nothing may refer to what is mapped there now.
unsafe fn map(
    start: u64,
    length: u64,
    protection: i32,
    flags: i32,
    descriptor: RawFd,
) -> io::Result<()> {
    let wanted = core::ptr::with_exposed_provenance_mut(start as usize);
    // SAFETY: the caller's promise covers MAP_FIXED; without it no mapping is changed.
    let mapped = unsafe { libc::mmap(wanted, length as usize, protection, flags, descriptor, 0) };
    if mapped == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // A kernel before 4.17 takes MAP_FIXED_NOREPLACE for a hint. Such a kernel has no SGX either.
    assert_eq!(mapped, wanted, "the kernel mapped elsewhere");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_from_zero_is_reserved_once_and_given_back() {
        let size_bytes = 1 << 32;
        let range = Range::reserve(0, size_bytes).expect("the low addresses are free");
        let again = Range::reserve(0, size_bytes).expect_err("they are taken");
        let operation = "reserve the enclave's address range";
        assert_eq!(
            again,
            Error::Host {
                operation,
                errno: libc::EEXIST
            }
        );
        drop(range);
        drop(Range::reserve(0, size_bytes).expect("they are free again"));
    }

    #[test]
    fn a_failed_reservation_unmaps_nothing() {
        let taken = Range::reserve(1 << 33, 1 << 20).expect("free");
        Range::reserve(1 << 33, 1 << 21).expect_err("the first half is taken");
        Range::reserve(1 << 33, 1 << 20).expect_err("and still is");
        drop(taken);
    }

    #[test]
    fn only_whole_pages_inside_count_as_pages_of_the_enclave() {
        let range = Range {
            base: 0,
            size_bytes: 0x10000,
        };
        assert_eq!(range.checked(0xf000, 0x1000), Ok(0xf000));
        for (offset, length) in [
            (0, 0),
            (0xf000, 0x2000),
            (0x10000, 0x1000),
            (0x800, 0x1000),
            (0, 0x800),
            (u64::MAX - 0xfff, 0x1000),
        ] {
            assert!(
                range.checked(offset, length).is_err(),
                "{offset:#x} {length:#x}"
            );
        }
        core::mem::forget(range);
    }

    #[test]
    fn protections_are_those_of_mmap() {
        assert_eq!(protection(Permissions::NONE), libc::PROT_NONE);
        assert_eq!(
            protection(Permissions::RX),
            libc::PROT_READ | libc::PROT_EXEC
        );
        assert_eq!(
            protection(Permissions::RW),
            libc::PROT_READ | libc::PROT_WRITE
        );
    }
}

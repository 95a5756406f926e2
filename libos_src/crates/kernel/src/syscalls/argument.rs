//! What an argument register means.

use hal::{Errno, PAGE_SIZE};

/// No program has addresses from here on (`TASK_SIZE_MAX`).
pub(super) const ADDRESSES_END: u64 = (1 << 47) - PAGE_SIZE;

/// An address that a program passed. It proves nothing: only the methods of
/// [`AddressSpace`](crate::memory::AddressSpace) follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address(pub(crate) u64);

impl Address {
    /// Whether it is a null pointer.
    pub(crate) const fn is_null(self) -> bool {
        self.0 == 0
    }

    /// The address unless it is null.
    pub(crate) fn non_null(self) -> Option<Self> {
        (!self.is_null()).then_some(self)
    }

    /// Checks that so many bytes end where programs can have some.
    ///
    /// # Errors
    /// `EFAULT`.
    pub(super) fn check_end(self, len: u64) -> Result<(), Errno> {
        let end = self.0.checked_add(len).filter(|&end| end <= ADDRESSES_END);
        end.map(drop).ok_or(Errno::EFAULT)
    }
}

/// The directory descriptor that stands for the working directory (`AT_FDCWD`).
pub(super) const AT_WORKING_DIRECTORY: i32 = -100;
/// What is at the end of a path is meant, though it is a symbolic link.
pub(super) const AT_SYMLINK_NOFOLLOW: u32 = 0x100;
/// What a call that does not follow such a link is to do.
pub(super) const AT_SYMLINK_FOLLOW: u32 = 0x400;
/// Nothing here is mounted when it is looked at.
pub(super) const AT_NO_AUTOMOUNT: u32 = 0x800;
/// With an empty path the descriptor itself is meant.
pub(super) const AT_EMPTY_PATH: u32 = 0x1000;

/// A type that an argument register can hold.
pub(super) trait Argument {
    /// Takes what counts of the register.
    fn decode(register: u64) -> Self;
}

impl Argument for Address {
    fn decode(register: u64) -> Self {
        Self(register)
    }
}

impl Argument for u64 {
    fn decode(register: u64) -> Self {
        register
    }
}

impl Argument for i64 {
    fn decode(register: u64) -> Self {
        register.cast_signed()
    }
}

impl Argument for u32 {
    fn decode(register: u64) -> Self {
        register as Self
    }
}

impl Argument for i32 {
    fn decode(register: u64) -> Self {
        (register as u32).cast_signed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upper_half_of_a_narrow_argument_does_not_count() {
        assert_eq!(i32::decode(0x0000_0000_ffff_ffff), -1);
        assert_eq!(i32::decode(0xdead_beef_0000_0003), 3);
        assert_eq!(u32::decode(0xdead_beef_8000_0003), 0x8000_0003);
        assert_eq!(i64::decode(u64::MAX), -1);
    }
}

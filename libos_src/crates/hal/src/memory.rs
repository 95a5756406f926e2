//! Nouns about program memory.

use bitflags::bitflags;

/// Bytes in a page, of x86-64 and of the EPC.
pub const PAGE_SIZE: u64 = 4096;

/// A user address was not what the program claimed: outside its region, not committed, or not
/// aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The start of the access; not necessarily the first byte that failed.
    pub address: u64,
}

/// The machine has no page left, or the host did not give one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemory;

bitflags! {
    /// What a program may do with a page; none of them is a reservation. The values are Linux's
    /// `PROT_*`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Prot: u32 {
        /// The page may be read.
        const READ = 1;
        /// The page may be written.
        const WRITE = 2;
        /// The page may be executed.
        const EXEC = 4;
    }
}

//! System calls in words, as `strace` prints them.
//!
//! A [`Line`] begins when a call arrives, while its arguments are what the program passed, and is
//! finished when the call returns, when what it wrote can be read. Everything is bounded: strings,
//! lists, and thus the line.
//!
//! It knows every call of x86-64 Linux by name, also those that the LibOS refuses.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod argument;
mod calls;
mod details;
mod flags;
mod line;
mod names;
mod records;

pub use calls::name_of;
pub use line::Line;

/// Program memory, as far as it can be read.
pub trait Memory {
    /// Fills `buffer` from `address`; false when it cannot.
    fn read(&self, address: u64, buffer: &mut [u8]) -> bool;
}

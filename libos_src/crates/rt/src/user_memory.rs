//! The program's memory: every access may fault, none is a Rust reference.

use core::ops::Range;

use hal::Fault;

use crate::{
    entry::{self, Access},
    hints,
    thread::boot_info,
};

/// The addresses that programs may use.
pub(crate) fn range() -> Range<u64> {
    let boot = boot_info();
    boot.user_start..boot.user_start + boot.user_size_bytes
}

/// Refuses a range that is not entirely the program's.
fn check(address: u64, size: u64) -> Result<(), Fault> {
    let user = range();
    let inside =
        address >= user.start && address.checked_add(size).is_some_and(|end| end <= user.end);
    if inside {
        Ok(())
    } else {
        Err(Fault { address })
    }
}

fn check_word(address: u64) -> Result<(), Fault> {
    check(address, 4)?;
    if address.is_multiple_of(4) {
        Ok(())
    } else {
        Err(Fault { address })
    }
}

pub(crate) fn copy_in(source: u64, out: &mut [u8]) -> Result<(), Fault> {
    check(source, out.len() as u64)?;
    let length = out.len() as u64;
    reach(source, length, || {
        // SAFETY: the destination is a live slice, the source is outside all Rust objects, and a
        // fault at the source ends the copy.
        let failed = unsafe { entry::user_copy(out.as_mut_ptr() as u64, source, length) };
        complete(failed, source)
    })
}

pub(crate) fn copy_out(destination: u64, bytes: &[u8]) -> Result<(), Fault> {
    check(destination, bytes.len() as u64)?;
    let length = bytes.len() as u64;
    reach(destination, length, || {
        // SAFETY: as in `copy_in`, with the roles exchanged.
        let failed = unsafe { entry::user_copy(destination, bytes.as_ptr() as u64, length) };
        complete(failed, destination)
    })
}

pub(crate) fn fill(destination: u64, size: u64, byte: u8) -> Result<(), Fault> {
    check(destination, size)?;
    reach(destination, size, || {
        // SAFETY: the range is the program's, where no Rust object is; a fault ends the loop.
        let failed = unsafe { entry::user_fill(destination, u64::from(byte), size) };
        complete(failed, destination)
    })
}

pub(crate) fn copy(to: u64, from: u64, size: u64) -> Result<(), Fault> {
    check(to, size)?;
    check(from, size)?;
    reach(from, size, || {
        reach(to, size, || {
            // SAFETY: both ranges are the program's, where no Rust object is; a fault ends the copy.
            let failed = unsafe { entry::user_copy(to, from, size) };
            complete(failed, to)
        })
    })
}

/// How many bytes from `address` on are zeros for certain: a multiple of 64. A page that cannot be
/// read ends them. The range is page aligned.
pub(crate) fn leading_zeros(address: u64, size: u64) -> u64 {
    if check(address, size).is_err() {
        return 0;
    }
    // SAFETY: the range is the program's, where no Rust object is; a fault ends the loop.
    unsafe { entry::user_zeros(address, size) }
}

/// How many bytes from `a` and from `b` on are the same for certain: a multiple of 64. A page that cannot
/// be read ends them. Both ranges are page aligned.
pub(crate) fn same(a: u64, b: u64, size: u64) -> u64 {
    if check(a, size).and(check(b, size)).is_err() {
        return 0;
    }
    // SAFETY: both ranges are the program's, where no Rust object is; a fault ends the loop.
    unsafe { entry::user_same(a, b, size) }
}

pub(crate) fn load_u32(address: u64) -> Result<u32, Fault> {
    check_word(address)?;
    reach(address, 4, || {
        // SAFETY: an aligned word of the program's memory; a fault is reported.
        word(unsafe { entry::user_load(address) }, address)
    })
}

pub(crate) fn store_u32(address: u64, value: u32) -> Result<(), Fault> {
    check_word(address)?;
    reach(address, 4, || {
        // SAFETY: as in `load_u32`.
        word(unsafe { entry::user_store(address, value) }, address).map(drop)
    })
}

pub(crate) fn compare_exchange_u32(address: u64, current: u32, new: u32) -> Result<u32, Fault> {
    check_word(address)?;
    reach(address, 4, || {
        // SAFETY: as in `load_u32`.
        let access = unsafe { entry::user_compare_exchange(address, current, new) };
        word(access, address)
    })
}

/// Makes an access, and once more if it met a fault and the host can be asked to open the pages.
/// What the program may do with them is the kernel's question; it asked before.
fn reach<T>(
    address: u64,
    size: u64,
    mut access: impl FnMut() -> Result<T, Fault>,
) -> Result<T, Fault> {
    access().or_else(|fault| {
        if hints::open(address, size) {
            access()
        } else {
            Err(fault)
        }
    })
}

fn complete(failed: u64, address: u64) -> Result<(), Fault> {
    if failed == 0 {
        Ok(())
    } else {
        Err(Fault { address })
    }
}

fn word(access: Access, address: u64) -> Result<u32, Fault> {
    if access.fault == 0 {
        Ok(access.value as u32)
    } else {
        Err(Fault { address })
    }
}

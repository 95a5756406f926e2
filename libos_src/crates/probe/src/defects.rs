//! Defects that the probe's kernel meets when it is asked to.

use core::{fmt, hint::black_box};

/// Something whose words cannot be told.
pub(crate) struct Untold;

impl fmt::Display for Untold {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("a defect of its description")
    }
}

/// Reads where nothing is.
#[inline(never)]
pub(crate) fn fault() -> ! {
    let nowhere = black_box(16_usize) as *const u64;
    // SAFETY: the first page of an enclave is never mapped, so this faults, which is what is wanted.
    let read = unsafe { nowhere.read_volatile() };
    panic!("read {read} where nothing is")
}

/// Uses the whole stack.
#[inline(never)]
pub(crate) fn exhaust(depth: u64) -> ! {
    let mut used = [depth; 64];
    black_box(&mut used);
    if depth < u64::MAX {
        exhaust(depth + 1);
    }
    panic!("{used:?}")
}

//! Random bytes, from the CPU alone.

use core::arch::x86_64::_rdrand64_step;

/// Intel's recommended number of attempts.
const ATTEMPTS: u32 = 10;

/// Fills `out` from RDRAND.
pub(crate) fn fill(out: &mut [u8]) {
    for chunk in out.chunks_mut(8) {
        for (to, from) in chunk.iter_mut().zip(word().to_le_bytes()) {
            *to = from;
        }
    }
}

/// One word. A CPU that has none after many attempts is broken, and the enclave ends.
fn word() -> u64 {
    let mut value = 0;
    for _ in 0..ATTEMPTS * 100 {
        // SAFETY: every CPU with SGX has RDRAND; on another the instruction faults.
        if unsafe { _rdrand64_step(&mut value) } == 1 {
            return value;
        }
    }
    panic!("RDRAND gives no numbers")
}

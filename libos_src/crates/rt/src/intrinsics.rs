//! The memory functions that the compiler calls, and two symbols that the prebuilt `core` asks for.

use crate::entry;

/// # Safety
/// As C's `memcpy`.
#[cfg_attr(enclave, unsafe(no_mangle))]
unsafe extern "C" fn memcpy(destination: *mut u8, source: *const u8, size: usize) -> *mut u8 {
    // SAFETY: the caller promises that both ranges are valid and do not overlap.
    unsafe { entry::enclave_copy(destination, source, size) }
}

/// # Safety
/// As C's `memmove`.
#[cfg_attr(enclave, unsafe(no_mangle))]
unsafe extern "C" fn memmove(destination: *mut u8, source: *const u8, size: usize) -> *mut u8 {
    let distance = (destination as usize).wrapping_sub(source as usize);
    if distance >= size || size <= 32 {
        // SAFETY: the caller promises that both ranges are valid. The destination does not begin
        // inside the source, so upwards is right, or they are short.
        return unsafe { entry::enclave_copy(destination, source, size) };
    }
    // SAFETY: the caller promises that both ranges are valid; downwards is right when the destination
    // begins inside the source, and they are not short.
    unsafe { entry::enclave_copy_back(destination, source, size) }
}

/// # Safety
/// As C's `memset`.
#[cfg_attr(enclave, unsafe(no_mangle))]
unsafe extern "C" fn memset(destination: *mut u8, byte: i32, size: usize) -> *mut u8 {
    // SAFETY: the caller promises that the range is valid.
    unsafe { entry::enclave_fill(destination, byte, size) }
}

/// # Safety
/// As C's `memcmp`.
#[cfg_attr(enclave, unsafe(no_mangle))]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, size: usize) -> i32 {
    let mut at = 0;
    while at + 8 <= size {
        // SAFETY: the caller promises `size` readable bytes.
        let a = unsafe { left.wrapping_add(at).cast::<u64>().read_unaligned() };
        // SAFETY: as above.
        let b = unsafe { right.wrapping_add(at).cast::<u64>().read_unaligned() };
        if a != b {
            // The first byte in memory is the lowest one.
            return if a.swap_bytes() < b.swap_bytes() {
                -1
            } else {
                1
            };
        }
        at += 8;
    }
    while at < size {
        // SAFETY: the caller promises `size` readable bytes.
        let a = unsafe { *left.wrapping_add(at) };
        // SAFETY: as above.
        let b = unsafe { *right.wrapping_add(at) };
        if a != b {
            return i32::from(a) - i32::from(b);
        }
        at += 1;
    }
    0
}

/// # Safety
/// As C's `bcmp`.
#[cfg_attr(enclave, unsafe(no_mangle))]
unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, size: usize) -> i32 {
    // SAFETY: the caller's promise is the same.
    unsafe { memcmp(left, right, size) }
}

/// # Safety
/// As C's `strlen`.
#[cfg_attr(enclave, unsafe(no_mangle))]
unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut length = 0;
    // SAFETY: the caller promises a byte string that ends in zero.
    while unsafe { *text.wrapping_add(length) } != 0 {
        length += 1;
    }
    length
}

/// Named by unwind tables of the prebuilt `core`; with `panic = "abort"` nobody calls it.
#[cfg_attr(enclave, unsafe(no_mangle))]
extern "C" fn rust_eh_personality() {}

/// As `rust_eh_personality`.
#[cfg_attr(enclave, unsafe(export_name = "_Unwind_Resume"))]
extern "C" fn unwind_resume() -> ! {
    panic!("unwinding in an enclave")
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    crate::enclave!(no_boot);

    /// There is no enclave here.
    fn no_boot(_: &crate::Boot) -> Result<crate::Program, hal::StartError> {
        unreachable!("nobody enters")
    }

    /// Around each number of bytes at which the code goes another way, and the long ways.
    fn sizes() -> impl Iterator<Item = usize> {
        (0..200).chain(1000..1060).chain([4096, 5001])
    }

    fn bytes(size: usize) -> Vec<u8> {
        (0..size).map(|at| (at * 7 + at / 251) as u8).collect()
    }

    #[test]
    fn bytes_move_as_a_slice_moves_them_however_the_ranges_overlap() {
        for size in sizes() {
            for (from, to) in [
                (0, 0),
                (3, 0),
                (0, 5),
                (16, 0),
                (0, 16),
                (64, 65),
                (100, 40),
                (40, 200),
            ] {
                let mut expected = bytes(size + 300);
                let mut found = expected.clone();
                expected.copy_within(from..from + size, to);
                let start = found.as_mut_ptr();

                // SAFETY: both ranges are inside the vector.
                unsafe { memmove(start.wrapping_add(to), start.wrapping_add(from), size) };

                assert_eq!(found, expected, "{size} bytes from {from} to {to}");
            }
        }
    }

    #[test]
    fn a_copy_writes_its_destination_and_nothing_else() {
        for size in sizes() {
            for (from, to) in [(0, 0), (1, 0), (0, 1), (8, 3), (0, 32), (5, 69)] {
                let source = bytes(size + 100);
                let mut expected = alloc::vec![0xaa; size + 200];
                let mut found = expected.clone();
                expected[to..to + size].copy_from_slice(&source[from..from + size]);

                // SAFETY: both ranges are inside their vectors.
                unsafe {
                    memcpy(
                        found.as_mut_ptr().wrapping_add(to),
                        source.as_ptr().wrapping_add(from),
                        size,
                    )
                };

                assert_eq!(found, expected, "{size} bytes from {from} to {to}");
            }
        }
    }

    #[test]
    fn a_fill_writes_its_destination_and_nothing_else() {
        for size in sizes() {
            for to in [0, 1, 8, 13] {
                let mut expected = bytes(size + 100);
                let mut found = expected.clone();
                expected[to..to + size].fill(0x5b);

                // SAFETY: the range is inside the vector.
                unsafe { memset(found.as_mut_ptr().wrapping_add(to), 0x15b, size) };

                assert_eq!(found, expected, "{size} bytes to {to}");
            }
        }
    }
}

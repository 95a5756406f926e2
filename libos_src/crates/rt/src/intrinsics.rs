//! The memory functions that the compiler calls, and two symbols that the prebuilt `core` asks for.
//!
//! `rep movsb` and `rep stosb` are fast on every CPU that has SGX2 (ERMS, FSRM).

use core::arch::asm;

/// # Safety
/// As C's `memcpy`.
#[cfg_attr(enclave, unsafe(no_mangle))]
unsafe extern "C" fn memcpy(destination: *mut u8, source: *const u8, size: usize) -> *mut u8 {
    // SAFETY: the caller promises that both ranges are valid and do not overlap.
    unsafe {
        asm!(
            "rep movsb",
            inout("rdi") destination => _,
            inout("rsi") source => _,
            inout("rcx") size => _,
            options(nostack, preserves_flags)
        );
    }
    destination
}

/// # Safety
/// As C's `memmove`.
#[cfg_attr(enclave, unsafe(no_mangle))]
unsafe extern "C" fn memmove(destination: *mut u8, source: *const u8, size: usize) -> *mut u8 {
    if (destination as usize).wrapping_sub(source as usize) >= size {
        // SAFETY: the destination does not begin inside the source, so forwards is right.
        return unsafe { memcpy(destination, source, size) };
    }
    // SAFETY: the caller promises that both ranges are valid; backwards is right when the
    // destination begins inside the source. The direction flag is clear again after.
    unsafe {
        asm!(
            "std",
            "rep movsb",
            "cld",
            inout("rdi") destination.wrapping_add(size).wrapping_sub(1) => _,
            inout("rsi") source.wrapping_add(size).wrapping_sub(1) => _,
            inout("rcx") size => _,
            options(nostack, preserves_flags)
        );
    }
    destination
}

/// # Safety
/// As C's `memset`.
#[cfg_attr(enclave, unsafe(no_mangle))]
unsafe extern "C" fn memset(destination: *mut u8, byte: i32, size: usize) -> *mut u8 {
    // SAFETY: the caller promises that the range is valid.
    unsafe {
        asm!(
            "rep stosb",
            inout("rdi") destination => _,
            inout("rcx") size => _,
            in("al") byte as u8,
            options(nostack, preserves_flags)
        );
    }
    destination
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

//! The extended state (x87, SSE, AVX, AVX-512) of the program while the LibOS works for it.
//!
//! The upper halves stay in the registers, because the LibOS does not use them. The XMM registers
//! are below the saved integer registers, where the entry code put them.

use abi::{ssa, thread::page};
use hal::{Fault, UserRegs};

use crate::{
    entry::{self, VECTORS_SIZE},
    thread::ThreadPage,
};

/// Where an XSAVE image has its XMM registers, and their size.
const XMM_START: usize = 160;
const XMM_SIZE: usize = 256;
/// Where it has MXCSR, and the bits that MXCSR may have.
const MXCSR: usize = 24;
const MXCSR_MASK: u32 = 0xffff;
/// Where it has XSTATE_BV.
const XSTATE_BV: usize = 512;
/// The bit of SSE in XSTATE_BV.
const SSE: u64 = 2;
/// Linux's `sw_reserved`.
const SOFTWARE_RESERVED: core::ops::Range<usize> = 464..512;

/// Bytes of the image for the features in use.
pub(crate) fn size() -> usize {
    ssa::xsave_size(ThreadPage::current().get(page::XFRM))
}

/// Saves the program's state. Gives the bytes written: [`size`], or 0 if `out` is too short.
pub(crate) fn save(out: &mut [u8]) -> usize {
    let size = size();
    let Some(out) = out.get_mut(..size) else {
        return 0;
    };
    // SAFETY: it writes the thread page's XSAVE area, which is free while the LibOS runs.
    unsafe { entry::save_extended_state() };
    out.copy_from_slice(area());
    if let Some(part) = out.get_mut(XMM_START..XMM_START + XMM_SIZE) {
        part.copy_from_slice(vectors());
    }
    if let Some(part) = out.get_mut(SOFTWARE_RESERVED) {
        part.fill(0);
    }
    set_word(out, XSTATE_BV, word(out, XSTATE_BV) | SSE);
    size
}

/// Replaces the program's state, unless XRSTOR would refuse it.
pub(crate) fn restore(image: &[u8]) -> Result<(), Fault> {
    let fault = Fault {
        address: image.as_ptr() as u64,
    };
    let xfrm = ThreadPage::current().get(page::XFRM);
    let size = size();
    let Some(image) = image.get(..size) else {
        return Err(fault);
    };
    let header = image.get(XSTATE_BV + 8..ssa::XSAVE_HEADER_END);
    let compact_or_reserved = header.is_none_or(|rest| rest.iter().any(|byte| *byte != 0));
    let mxcsr = word(image, MXCSR) as u32;
    if word(image, XSTATE_BV) & !xfrm != 0 || compact_or_reserved || mxcsr & !MXCSR_MASK != 0 {
        return Err(fault);
    }
    area().copy_from_slice(image);
    // SAFETY: the image was judged as XRSTOR judges it. It changes XMM registers, which any call
    // may do, and upper halves, which the compiler does not know.
    unsafe { entry::restore_extended_state() };
    let vectors = vectors();
    match image.get(XMM_START..XMM_START + XMM_SIZE) {
        Some(part) if word(image, XSTATE_BV) & SSE != 0 => vectors.copy_from_slice(part),
        _ => vectors.fill(0),
    }
    Ok(())
}

/// The thread page's XSAVE area.
fn area() -> &'static mut [u8] {
    let start = ThreadPage::current().xsave_area();
    // SAFETY: the area is this thread's own, and only these functions borrow it, one at a time; the
    // entry code uses it only while none of them runs.
    unsafe { core::slice::from_raw_parts_mut(start, size()) }
}

/// The program's XMM registers on the kernel stack.
fn vectors() -> &'static mut [u8] {
    let registers = ThreadPage::current().get(page::USER_REGISTERS);
    let start = (registers - VECTORS_SIZE as u64) as *mut u8;
    // SAFETY: the entry code saved the registers there and loads them from there; nobody else uses
    // that part of the stack.
    unsafe { core::slice::from_raw_parts_mut(start, XMM_SIZE) }
}

fn word(image: &[u8], offset: usize) -> u64 {
    image
        .get(offset..offset + 8)
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u64::from_le_bytes)
}

fn set_word(image: &mut [u8], offset: usize, value: u64) {
    if let Some(bytes) = image.get_mut(offset..offset + 8) {
        bytes.copy_from_slice(&value.to_le_bytes());
    }
}

const _: () = assert!(size_of::<UserRegs>() + VECTORS_SIZE == 416);

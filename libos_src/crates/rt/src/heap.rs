//! The LibOS's heap, in the measured layout's HEAP region.

use core::{
    alloc::{GlobalAlloc, Layout},
    ptr,
};

use abi::BootInfo;
use talc::{ErrOnOom, Span, Talc};

use crate::lock::Lock;

/// The allocator of the enclave. Memory that it gives out is never assumed to be zero: the host
/// chose what an unmeasured page holds.
struct Heap(Lock<State>);

struct State {
    talc: Talc<ErrOnOom>,
    used_bytes: usize,
}

#[cfg_attr(enclave, global_allocator)]
static HEAP: Heap = Heap(Lock::new(State {
    talc: Talc::new(ErrOnOom),
    used_bytes: 0,
}));

/// Bytes that are given out.
pub(crate) fn used_bytes() -> usize {
    HEAP.0.lock().used_bytes
}

// SAFETY: each call goes to `Talc` under the lock; `Talc` keeps the promises of `GlobalAlloc`.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let mut state = self.0.lock();
        // SAFETY: `GlobalAlloc` forbids a size of zero.
        let block = unsafe { state.talc.malloc(layout) };
        if block.is_ok() {
            state.used_bytes += layout.size();
        }
        block.map_or(ptr::null_mut(), |block| block.as_ptr())
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(block) = ptr::NonNull::new(block) {
            let mut state = self.0.lock();
            state.used_bytes -= layout.size();
            // SAFETY: the caller got the block from `alloc` with this layout.
            unsafe { state.talc.free(block, layout) }
        }
    }
}

/// Gives the HEAP region to the allocator. Called once, before the first allocation.
pub(crate) fn init(boot: &BootInfo) {
    let start = boot.heap_start as *mut u8;
    let span = Span::from_base_size(start, boot.heap_size_bytes as usize);
    // SAFETY: the builder added these pages for the heap alone, readable and writable.
    let claimed = unsafe { HEAP.0.lock().talc.claim(span) };
    assert!(claimed.is_ok(), "the heap region is too small");
}

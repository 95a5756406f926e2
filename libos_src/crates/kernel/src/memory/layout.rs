//! How much memory there is, where it can be, and how much of it a process may use for what.

use alloc::format;
use alloc::string::String;
use core::ops::Range;

use hal::PAGE_SIZE;

use super::page_ceiling;

/// The sizes that a process is given, from the sealed configuration.
///
/// Where things go is decided when they are mapped: images as low as there is room, with the `brk`
/// heap behind them; stacks and what names no address as high as there is room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// All addresses that programs may use.
    pub(crate) user: Range<u64>,
    /// Those of them that can have memory.
    pub(crate) backed: Range<u64>,
    /// How much of them may have memory at a time.
    pub(crate) memory_bytes: u64,
    /// The first thread's stack.
    pub(crate) stack_bytes: u64,
    /// The most that `brk` may reach from its start.
    pub(crate) heap_limit_bytes: u64,
    /// The most that `mmap` may give to requests that name no address.
    pub(crate) mmap_limit_bytes: u64,
}

/// Unmapped addresses below a stack, so that an overflow faults.
pub(super) const STACK_GUARD_BYTES: u64 = 16 * PAGE_SIZE;

impl Layout {
    /// Takes the sizes of the sealed configuration, in bytes.
    ///
    /// # Errors
    /// The message for the operator when stack and heap do not fit into the memory.
    pub(crate) fn divide(
        user: Range<u64>,
        backed: Range<u64>,
        memory_bytes: u64,
        stack_bytes: u64,
        heap_bytes: u64,
        mmap_bytes: u64,
    ) -> Result<Self, String> {
        let rounded = || {
            let (stack, heap) = (page_ceiling(stack_bytes)?, page_ceiling(heap_bytes)?);
            let sum = stack.checked_add(STACK_GUARD_BYTES)?.checked_add(heap)?;
            (sum <= memory_bytes).then_some((stack, heap))
        };
        let (stack_bytes, heap_limit_bytes) = rounded().ok_or_else(|| {
            format!(
                "stack ({stack_bytes} bytes) and heap ({heap_bytes} bytes) do not fit into \
                 `resource_limits.user_space_size` ({memory_bytes} bytes) of Occlum.yaml"
            )
        })?;
        Ok(Self {
            stack_bytes,
            heap_limit_bytes,
            mmap_limit_bytes: mmap_bytes.min(memory_bytes),
            user,
            backed,
            memory_bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_whole_pages_and_no_larger_than_the_memory() {
        let user = 0x10000..0x1000_0000;
        let memory_bytes = 0x800_0000;
        let layout = Layout::divide(
            user.clone(),
            user,
            memory_bytes,
            0xf_f001,
            0x10_0000,
            u64::MAX,
        );

        let layout = layout.expect("they fit");
        assert_eq!(layout.stack_bytes, 0x10_0000);
        assert_eq!(layout.mmap_limit_bytes, 0x800_0000);
    }

    #[test]
    fn parts_that_do_not_fit_are_refused_by_name() {
        let user = 0x10000..0x2000_0000;
        let refusal = Layout::divide(user.clone(), user, 0x10000, 0x8000, 0x8000, 0);
        let refusal = refusal.expect_err("no");

        assert!(
            refusal.contains("resource_limits.user_space_size"),
            "{refusal}"
        );
    }
}

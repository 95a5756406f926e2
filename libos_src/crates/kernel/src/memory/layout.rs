//! How the user region is divided for the first process.

use alloc::format;
use alloc::string::String;
use core::ops::Range;

use hal::PAGE_SIZE;

use super::page_ceiling;

/// Where a process keeps what.
///
/// ```text
/// low    images (`ET_EXEC` at its own address, PIE at the lowest), then the heap
/// high   mmap region, filled from its top, guard, stack
/// ```
/// A program may map elsewhere with `MAP_FIXED`; these are the places for what names no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// All addresses that programs may use.
    pub(crate) user: Range<u64>,
    /// Where an mmap without an address goes. Images and heap may lie in its lower part.
    pub(crate) mmap: Range<u64>,
    /// The first thread's stack.
    pub(crate) stack: Range<u64>,
    /// The most that `brk` may reach from its start.
    pub(crate) heap_limit_bytes: u64,
}

/// Unmapped addresses below the stack, so that an overflow faults.
const STACK_GUARD_BYTES: u64 = 16 * PAGE_SIZE;

impl Layout {
    /// Divides `user` by the sizes of the sealed configuration, in bytes.
    ///
    /// # Errors
    /// The message for the operator when stack and heap do not fit.
    pub(crate) fn divide(
        user: Range<u64>,
        stack_bytes: u64,
        heap_bytes: u64,
        mmap_bytes: u64,
    ) -> Result<Self, String> {
        let below = |address: u64, size: u64| {
            let start = address.checked_sub(page_ceiling(size)?)?;
            (start >= user.start).then_some(start)
        };
        let parts = || {
            let stack = below(user.end, stack_bytes)?;
            let mmap_end = below(stack, STACK_GUARD_BYTES)?;
            below(mmap_end, heap_bytes)?;
            Some((stack, mmap_end, page_ceiling(heap_bytes)?))
        };
        let (stack, mmap_end, heap_limit_bytes) = parts().ok_or_else(|| {
            format!(
                "stack ({stack_bytes} bytes) and heap ({heap_bytes} bytes) do not fit into \
                 `resource_limits.user_space_size` ({} bytes) of Occlum.yaml",
                user.end - user.start
            )
        })?;
        Ok(Self {
            mmap: below(mmap_end, mmap_bytes).unwrap_or(user.start)..mmap_end,
            stack: stack..user.end,
            heap_limit_bytes,
            user,
        })
    }

    /// Where images go: anywhere below the stack, from the lowest address.
    pub(crate) const fn images(&self) -> Range<u64> {
        self.user.start..self.mmap.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_lie_side_by_side_below_the_top() {
        let layout = Layout::divide(0x10000..0x1000_0000, 0x10_0000, 0x10_0000, 0x100_0000);

        let layout = layout.expect("they fit");
        assert_eq!(layout.stack, 0xff0_0000..0x1000_0000);
        assert_eq!(layout.mmap, 0xeef_0000..0xfef_0000);
    }

    #[test]
    fn an_mmap_region_that_is_too_large_is_what_there_is() {
        let layout = Layout::divide(0x10000..0x1000_0000, 0x10_0000, 0x10_0000, u64::MAX);

        assert_eq!(layout.expect("they fit").mmap, 0x10000..0xfef_0000);
    }

    #[test]
    fn parts_that_do_not_fit_are_refused_by_name() {
        let refusal = Layout::divide(0x10000..0x20000, 0x8000, 0x8000, 0).expect_err("no");

        assert!(
            refusal.contains("resource_limits.user_space_size"),
            "{refusal}"
        );
    }
}

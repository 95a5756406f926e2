//! Telling the operator which knob of `Occlum.yaml` is too small.

use alloc::format;
use alloc::string::String;
use core::sync::atomic::{AtomicU8, Ordering};

use hal::LogLevel;

use super::space::{AddressSpace, Books};

/// A size in `Occlum.yaml` that memory can run out of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Knob {
    /// All program memory.
    UserSpace,
    /// What `brk` may give.
    Heap,
    /// Where `mmap` puts things.
    Mmap,
    /// A reservation at addresses that have no memory.
    Reservation,
    /// What the kernel keeps of memory.
    Books,
}

/// Which knobs were already named: one line for each is enough.
#[derive(Debug, Default)]
pub(crate) struct Shortages(AtomicU8);

impl AddressSpace {
    /// Logs, once for each knob, what ran out and a value that would have done.
    pub(super) fn report_shortage(&self, books: &Books, knob: Knob, wanted_bytes: u64) {
        if !self.is_news(knob) {
            return;
        }
        let memory_bytes = self.region.memory_bytes();
        let (name, limit, used) = match knob {
            Knob::Books => return self.report_full_heap(),
            Knob::UserSpace | Knob::Reservation => (
                "resource_limits.user_space_size",
                memory_bytes,
                memory_bytes - self.region.free_bytes(),
            ),
            Knob::Heap => (
                "process.default_heap_size",
                self.layout.heap_limit_bytes,
                books.heap.end - books.heap.start,
            ),
            Knob::Mmap => (
                "process.default_mmap_size",
                self.layout.mmap_limit_bytes,
                books.mmapped_bytes,
            ),
        };
        self.machine.log(
            LogLevel::Warning,
            &shortage_line(name, limit, used, wanted_bytes),
        );
    }
}

impl AddressSpace {
    /// Logs, once, that a touch of a page found no room for the books of it.
    pub(super) fn report_full_heap(&self) {
        if self.is_news(Knob::Books) {
            let line = "the LibOS heap is nearly full; SIGBUS: raise `kernel_space_heap_size`";
            self.machine.log(LogLevel::Warning, line);
        }
    }

    /// Logs, once, that a reservation of `len` bytes is to be used, which was put where there is no
    /// memory, and what would have helped.
    pub(super) fn report_idle_reservation(&self, len: u64) {
        if !self.is_news(Knob::Reservation) {
            return;
        }
        // A reservation gets memory if it takes no more than half of what is free.
        let enough = self
            .region
            .memory_bytes()
            .saturating_add(len.saturating_mul(2));
        let line = format!(
            "out of memory: the program wants to use a part of {} that it reserved, and with \
             `memory_model: sgx1` there is no memory at these addresses; \
             `resource_limits.user_space_size: {}` in Occlum.yaml would do, or `memory_model: edmm`",
            mebibytes(len),
            mebibytes(enough)
        );
        self.machine.log(LogLevel::Warning, &line);
    }

    fn is_news(&self, knob: Knob) -> bool {
        let bit = 1 << knob as u8;
        self.shortages.0.fetch_or(bit, Ordering::Relaxed) & bit == 0
    }
}

fn shortage_line(name: &str, limit: u64, used: u64, wanted: u64) -> String {
    let enough = limit.saturating_add(wanted);
    format!(
        "out of memory: the program asks for {} more, {} of {} are in use; \
         `{name}: {}` in Occlum.yaml would do",
        mebibytes(wanted),
        mebibytes(used),
        mebibytes(limit),
        mebibytes(enough)
    )
}

/// A size as `Occlum.yaml` spells it, rounded up.
fn mebibytes(bytes: u64) -> String {
    format!("{}MB", bytes.div_ceil(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_names_the_knob_and_a_value_that_would_do() {
        assert_eq!(
            shortage_line(
                "process.default_mmap_size",
                32 << 20,
                30 << 20,
                (3 << 20) - 1
            ),
            "out of memory: the program asks for 3MB more, 30MB of 32MB are in use; \
             `process.default_mmap_size: 35MB` in Occlum.yaml would do"
        );
    }
}

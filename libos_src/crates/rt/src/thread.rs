//! The thread page: what GS points to.

use core::{arch::asm, sync::atomic::AtomicU32};

use abi::{BootInfo, PAGE_SIZE, thread as block, thread::page};

/// The thread page of the calling thread.
#[derive(Clone, Copy)]
pub(crate) struct ThreadPage {
    address: u64,
}

impl ThreadPage {
    /// That of the calling thread.
    pub(crate) fn current() -> Self {
        let address;
        // SAFETY: GS points to the thread page from EENTER on; its first word is its own address.
        unsafe {
            asm!(
                "mov {}, gs:[0]",
                out(reg) address,
                options(nostack, pure, readonly, preserves_flags)
            );
        }
        Self { address }
    }

    /// That of the thread with this number, if there is one.
    pub(crate) fn of(index: u32) -> Option<Self> {
        let boot = boot_info();
        (u64::from(index) < boot.thread_count).then(|| Self {
            address: boot.threads_start
                + u64::from(index) * boot.thread_stride_bytes
                + block::PAGE_OFFSET,
        })
    }

    /// The word at an offset of `abi::thread::page`.
    pub(crate) fn get(self, offset: usize) -> u64 {
        assert!(offset as u64 <= PAGE_SIZE - 8);
        let word = (self.address + offset as u64) as *const u64;
        // SAFETY: the word is inside the thread page, aligned, and live for as long as the enclave.
        // Volatile: the entry code changes it behind the compiler's back.
        unsafe { word.read_volatile() }
    }

    /// Sets the word at an offset of `abi::thread::page`.
    pub(crate) fn set(self, offset: usize, value: u64) {
        assert!(offset as u64 <= PAGE_SIZE - 8);
        let word = (self.address + offset as u64) as *mut u64;
        // SAFETY: as in `get`. Only the thread itself and its exception handler write its words.
        unsafe { word.write_volatile(value) }
    }

    /// Sets the answer of the system call with this number, see `abi::thread::page`.
    pub(crate) fn set_answer(self, number: usize, answer: u32) {
        assert!(number < page::ANSWERS_COUNT);
        let word = (self.address + (page::ANSWERS + 4 * number) as u64) as *mut u32;
        // SAFETY: aligned, inside the page, and written by the thread itself alone. Volatile: the
        // entry code reads it behind the compiler's back.
        unsafe { word.write_volatile(answer) }
    }

    /// The parking word, which other threads change too.
    pub(crate) fn parking(self) -> &'static AtomicU32 {
        let word = (self.address + page::PARKING as u64) as *mut u32;
        // SAFETY: aligned, inside the page, and never accessed but as this atomic.
        unsafe { AtomicU32::from_ptr(word) }
    }

    /// Not 0 when the thread is to look at something, which other threads set.
    pub(crate) fn interruption(self) -> &'static AtomicU32 {
        let word = (self.address + page::INTERRUPTION as u64) as *mut u32;
        // SAFETY: aligned, inside the page, and accessed as this atomic, and by the entry code,
        // which reads it.
        unsafe { AtomicU32::from_ptr(word) }
    }

    /// The thread's XSAVE area. Its content is of use only between two calls of the entry code.
    pub(crate) fn xsave_area(self) -> *mut u8 {
        (self.address + page::XSAVE as u64) as *mut u8
    }
}

/// The measured facts about this enclave.
pub(crate) fn boot_info() -> &'static BootInfo {
    let address = ThreadPage::current().get(page::BOOT_INFO) as *const BootInfo;
    // SAFETY: the measured thread page holds the address of the measured, read-only BootInfo.
    unsafe { &*address }
}

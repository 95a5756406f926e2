//! What system calls without arguments answer: the entry code knows it ahead.
//!
//! `syscall_entry` looks up the number of a call in the thread page. That costs a tenth of what the
//! kernel needs to say the same, most of which goes to keeping registers that it might change.

use core::sync::atomic::{AtomicU64, Ordering};

use abi::thread::page;
use hal::CALLS_PER_LOOK;

use crate::thread::ThreadPage;

/// The entry code compares it with that of the thread's answers. No thread has any of version 0.
pub(crate) static VERSION: AtomicU64 = AtomicU64::new(1);
/// What a thread has that has no answers.
const NO_VERSION: u64 = 0;

/// The version that answers are of which are looked up from now on.
pub(crate) fn version() -> u64 {
    VERSION.load(Ordering::SeqCst)
}

/// No thread has answers any more.
pub(crate) fn forget() {
    VERSION.fetch_add(1, Ordering::SeqCst);
}

/// The calling thread has none any more.
pub(crate) fn take() {
    ThreadPage::current().set(page::ANSWERS_VERSION, NO_VERSION);
}

/// The calling thread has these.
pub(crate) fn give(version: u64, answers: &[(u16, u32)]) {
    let thread = ThreadPage::current();
    for &(number, answer) in answers {
        // No answer is the last number: as an id, that is none.
        thread.set_answer(number.into(), answer.wrapping_add(1));
    }
    thread.set(page::ANSWERS_VERSION, version);
}

/// Whether the call that the thread makes is one that the entry code leaves to the kernel to look at.
pub(crate) fn is_looked_at() -> bool {
    let thread = ThreadPage::current();
    let calls = thread.get(page::PATCHED_SYSCALLS);
    let is_due = calls.is_multiple_of(CALLS_PER_LOOK.into());
    // Trapped calls come here without being counted.
    let is_new = is_due && calls != thread.get(page::LOOKED_AT);
    if is_new {
        thread.set(page::LOOKED_AT, calls);
    }
    is_new
}

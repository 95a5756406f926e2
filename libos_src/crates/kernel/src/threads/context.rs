//! A thread that is not on an enclave thread.

use alloc::sync::Arc;
use alloc::vec::Vec;

use hal::UserRegs;

use crate::processes::Vfork;

/// All that a thread needs to go on, on any enclave thread.
pub(crate) struct Context {
    /// Its registers.
    pub(crate) regs: UserRegs,
    /// Its extended state; `None` is the initial one.
    pub(crate) extended: Option<Vec<u8>>,
    /// What it does first.
    pub(crate) resume: Resume,
}

/// What a thread does when it goes on.
#[derive(Clone)]
pub(crate) enum Resume {
    /// It returns to its program.
    Return,
    /// It makes this system call again: it waited there, and something may have happened.
    Call(u64),
    /// It waits until its child has left its memory, and then returns the child's id.
    Vfork(Arc<Vfork>),
}

impl Context {
    /// A thread begins with these registers.
    pub(crate) const fn beginning(regs: UserRegs) -> Self {
        Self {
            regs,
            extended: None,
            resume: Resume::Return,
        }
    }
}

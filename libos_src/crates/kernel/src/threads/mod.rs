//! Threads of a program, and what they wait for each other with.

mod futex;
mod robust;
mod thread;
mod wait;

pub(crate) use futex::{Futexes, WaitOn};
pub(crate) use robust::release_robust_list;
pub(crate) use thread::Thread;
pub(crate) use wait::{Deadline, Wake, duration_of};

//! The boundary between the enclave runtime and the LibOS kernel.
//!
//! The runtime (`rt`, the crate with the `unsafe`) implements [`Machine`]; the kernel (`kernel`,
//! which forbids it) implements [`Kernel`]. Neither knows the other: both know these two traits and
//! the nouns below. A test of the kernel implements `Machine` over a vector and runs on plain
//! Linux.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod code;
mod host;
mod host_files;
mod kernel;
mod machine;
mod memory;
mod registers;
mod time;

pub use abi::errno::Errno;
pub use abi::ocall::TerminalRequest;
pub use code::{CALL_MAX, ends_with_call};
pub use host::{HostEvents, HostPoll, HostStart, SettingsTime, TerminalSettings, WindowSize};
pub use host_files::{HostChange, HostFiles, HostSizes, HostStatus};
pub use kernel::{Kernel, Next, StartError};
pub use machine::{CALLS_PER_LOOK, LogLevel, Machine};
pub use memory::{Fault, NoMemory, PAGE_SIZE, Prot};
pub use registers::{ExceptionInfo, UserRegs, Vector};
pub use time::{Clock, Timespec};

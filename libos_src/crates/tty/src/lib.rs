//! The line discipline of a terminal: what happens between the bytes that a person types and those
//! that a program reads, and the other way (termios(3)).
//!
//! ```text
//!  master (terminal emulator)                    slave (program)
//!     type_in ──► signals, editing, echo ──► input ──► read
//!     take    ◄────────── output ◄── post-processing ◄── write
//! ```
//!
//! A [`Line`] never waits and sends nothing: it says what could be done and which signals are due.
//! It behaves as Linux's `N_TTY` on a pseudo-terminal does, byte for byte; `tests/linux.rs` holds it
//! to that.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod echo;
mod input;
mod line;
mod output;
mod settings;

pub use line::{Line, Packet, Queue, Typed};
pub use settings::{Characters, Input, Local, Output, Settings, Size};

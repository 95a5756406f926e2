//! Turns `syscall` and `cpuid` instructions into direct jumps.
//!
//! Inside an enclave they fault, which costs microseconds. A patched site jumps to a *stub*
//! that enters the LibOS in nanoseconds. Whatever is not patched still works by the fault, so this
//! crate refuses whenever in doubt.
//!
//! A jump takes five bytes and these have two, so the instructions before one make room: they
//! move to the stub, and the jump takes their place. The instruction itself stays where it is, for
//! code that jumps straight to it and for calls that a signal starts again. Three [`Shape`]s of
//! code come out of that.
//!
//! Everything here is a pure function on bytes and addresses. [`Plan::find`] reads a text and says
//! what can be patched, by offset; [`Plan::place`] binds that to addresses; [`Placed`] gives the
//! bytes to write, and translates between the addresses of a stub and those that the program
//! knows. Who maps and writes memory is another's business.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod branches;
mod instruction;
mod jump;
mod pairs;
mod placed;
mod plan;
mod site;
mod window;

pub use jump::{JUMP_BYTES, TooFar};
pub use placed::{Entries, Placed};
pub use plan::Plan;
pub use site::{Illegal, Shape, Site};

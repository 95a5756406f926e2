//! Turns `syscall` instructions into direct jumps.
//!
//! Inside an enclave `syscall` faults, which costs microseconds. A patched site jumps to a *stub*
//! that enters the LibOS in nanoseconds. Whatever is not patched still works by the fault, so this
//! crate refuses whenever in doubt.
//!
//! Everything here is a pure function on bytes and addresses: [`find`] says where, [`Site::jump`]
//! what the site becomes, [`Site::stub`] what the stub holds, [`StubMap`] which site a stub belongs
//! to. Who maps and writes memory is another's business.
//!
//! A *shape* is a pattern of code around a `syscall`. So far there is one, [`Shape::MoveNumber`],
//! which covers four fifths of glibc's sites. Shapes that move other instructions to the stub need
//! an instruction decoder and the set of branch targets; each would be a variant of [`Shape`] with a
//! finder beside [`find`] and its own arm in [`Site::stub`].

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod jump;
mod site;
mod stub_map;

pub use jump::{JUMP_BYTES, TooFar};
pub use site::{SITE_BYTES, STUB_BYTES_MAX, Shape, Site, Stub, find};
pub use stub_map::StubMap;

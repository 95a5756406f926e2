//! Terminals: whose they are, pseudo-terminals, and the files that stand for them.
//!
//! What a terminal does with bytes is in the crate [`tty`], and for the host's terminal on the host.

mod control;
mod controlling;
mod devpts;
mod job_control;
mod pseudo;
mod registry;

pub(crate) use control::{Control, Holder};
pub(crate) use controlling::{ConsoleNode, ControllingTerminal};
pub(crate) use devpts::DevPts;
pub(crate) use pseudo::{End, Pseudo};
pub(crate) use registry::{OfSession, Terminals};

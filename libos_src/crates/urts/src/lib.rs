//! The untrusted half of an enclave: loads it from a bundle, enters it, and serves its OCALLs.
//!
//! Nothing here is trusted by the enclave, and nothing here is secret. The crate is written against
//! the platform trait and cannot tell hardware from software. A thread of the enclave is a thread of
//! this process; it lives in [`thread`], and what it asks for is served in [`serve`].
#![expect(
    unsafe_code,
    reason = "shares memory with the enclave and calls the host's kernel; each block argues its case"
)]

mod bundle;
mod cpuid;
mod error;
mod host_files;
mod lend;
mod load;
mod mailbox;
mod process;
mod serve;
mod signal_keeper;
mod signals;
mod start;
mod statistics;
mod stream;
mod terminal;
#[cfg(feature = "testing")]
pub mod testing;
mod thread;
mod trace;

pub use bundle::Bundle;
pub use error::RunError;
pub use host_files::HostFiles;
pub use load::{Loaded, load};
pub use process::{Options, run};
pub use terminal::exit;
pub use trace::TraceTo;

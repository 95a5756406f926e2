//! The sealed configuration: the measured JSON that says what an enclave may run, and on what.
//!
//! The builder has checked `Occlum.yaml` and sealed its canonical form into measured pages, so what
//! is read here is what was signed. It is checked again all the same: a field that is missing,
//! unknown, twice there or out of bounds refuses the start with a [`ConfigError`] that names it.
//!
//! ```
//! # let json = config::EXAMPLE;
//! let config = config::Config::parse(json.as_bytes())?;
//! assert_eq!(config.process.command, ["/bin/hello"]);
//! # Ok::<(), config::ConfigError>(())
//! ```

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod checks;
mod error;
mod launch;
mod model;

pub use error::ConfigError;
pub use launch::LaunchError;
pub use model::{
    Config, Environment, HostArguments, Image, Memory, MemoryModel, Mount, Process, RootHash,
    Threads,
};

/// A small valid configuration, for documentation and tests.
pub const EXAMPLE: &str = concat!(
    r#"{"debuggable":true,"disable_log":false,"entry_points":["/bin"],"#,
    r#""env":{"default":["LANG=C"],"untrusted":["TZ"]},"#,
    r#""memory":{"model":"sgx1","user_space_size":67108864},"#,
    r#""mount":[{"image":{"data_size":8192,"index":0,"name":"root","#,
    r#""root_hash":"0000000000000000000000000000000000000000000000000000000000000000","#,
    r#""tree_offset":12288},"target":"/","type":"erofs"},"#,
    r#"{"size":1048576,"target":"/tmp","type":"tmpfs"}],"#,
    r#""process":{"command":["/bin/hello"],"default_heap_size":4194304,"#,
    r#""default_mmap_size":16777216,"default_stack_size":1048576,"#,
    r#""host_arguments":"deny","host_signals":["SIGINT","SIGTERM"],"working_directory":"/"},"#,
    r#""threads":{"max":8},"version":1}"#,
);

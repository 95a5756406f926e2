//! System calls: one typed table, and a file for each group.
//!
//! A register holds 64 bits, but most arguments are narrower and the rest of the register is
//! garbage. The table says what each argument is; [`argument::Argument`] decodes it.

mod argument;
mod buffers;
mod call;
mod capabilities;
mod clone;
mod descriptors;
mod directories;
mod event_poll;
mod exec;
mod extended;
mod file_locks;
mod file_size;
mod foreign_memory;
mod futex;
mod host_terminal;
mod identity;
mod inotify;
mod input_output;
mod ioctl;
mod leases;
mod links;
mod locked_memory;
mod mapping;
mod memory_file;
mod message_queues;
mod metadata;
mod mounts;
mod notices;
mod open;
mod pidfd;
mod pipes;
mod poll;
mod prctl;
mod principal;
mod process;
mod pseudo_terminal;
mod records;
mod refused;
mod residence;
mod resources;
pub(crate) mod room;
mod scheduling;
mod signal;
mod signal_file;
mod signal_wait;
mod socket_messages;
mod sockets;
mod splice;
mod storage;
mod system;
pub(crate) mod system_v;
mod table;
mod terminal;
mod thread;
mod time;
mod timers;
mod users;
mod vectors;
pub(crate) mod vsyscall;
mod waiting;

pub(crate) use call::{Call, Stop};
pub(crate) use system_v::SystemV;
pub(crate) use table::name_of;

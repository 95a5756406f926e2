//! Descriptors, and the files that only the kernel can make: the host's streams, pipes, counters,
//! sets of files to wait for.

mod descriptors;
mod details;
mod event_counter;
mod event_poll;
mod file_locks;
mod host_stream;
mod inotify;
mod leases;
mod memory_file;
mod message_queue;
mod notice;
mod ownership;
mod pipe;
pub(crate) mod poll_events;
mod process_file;
mod ring;
mod signal_file;
mod slots;
mod timer;

pub(crate) use descriptors::{DESCRIPTORS_MAX, DESCRIPTORS_USUAL, Descriptor, Descriptors};
pub(crate) use details::details;
pub(crate) use event_counter::EventCounter;
pub(crate) use event_poll::{EventPoll, Wish};
pub(crate) use file_locks::{FileLocks, LockKind, LocksOfDescription, Owner, Record};
pub(crate) use host_stream::HostStream;
pub(crate) use inotify::{
    ALL_EVENTS, IN_DONT_FOLLOW, IN_KNOWN, IN_MASK_ADD, IN_MASK_CREATE, IN_ONLYDIR, Inotifies,
    Inotify, RENAMED,
};
pub(crate) use leases::{LeaseKind, LeaseOfFile, Leases};
pub(crate) use memory_file::{MemoryFile, Seals};
pub(crate) use message_queue::{
    Means as QueueMeans, MessageQueue, MessageQueues, Owner as QueueOwner, QueueSize,
    RECORD_BYTES as QUEUE_RECORD_BYTES, Registration as QueueRegistration, WOKEN as QUEUE_WOKEN,
};
pub(crate) use notice::Notice;
pub(crate) use ownership::Ownership;
pub(crate) use pipe::{End as PipeEnd, Fifos, Flow, PIPE_BYTES_MAX, Pipe};
pub(crate) use process_file::ProcessFile;
pub(crate) use ring::Ring;
pub(crate) use signal_file::SignalFile;
pub(crate) use timer::TimerFile;

//! Descriptors, and the files that only the kernel can make: the host's streams, pipes, counters.

mod descriptors;
mod event_counter;
mod host_stream;
mod pipe;

pub(crate) use descriptors::{DESCRIPTORS_MAX, Descriptor, Descriptors};
pub(crate) use event_counter::EventCounter;
pub(crate) use host_stream::HostStream;
pub(crate) use pipe::pipe;

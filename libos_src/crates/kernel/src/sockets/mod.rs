//! Unix sockets: streams, datagrams and packets between processes of the enclave.
//!
//! Each socket has an [`Inbox`](inbox::Inbox) that others put bytes and files into. A connection is
//! two sockets that know each other's inbox; nothing else joins them.

mod address;
mod ancillary;
mod garbage;
mod inbox;
mod names;
mod options;
mod socket;

pub(crate) use address::{Address, FAMILY_NETLINK, FAMILY_UNIX};
pub(crate) use ancillary::{Ancillary, Identity};
pub(crate) use inbox::{Received, Receiving};
pub(crate) use names::{Place, Sockets};
pub(crate) use options::{OptionValue, Options};
pub(crate) use socket::{BACKLOG_MAX, Kind, Outgoing, Socket, Target};

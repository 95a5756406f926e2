//! Signals: sets, actions, what is pending, delivery, and the frames that handlers see.

mod action;
mod alternate_stack;
mod delivery;
mod exception;
mod frame;
mod info;
mod outbox;
mod pending;
mod room;
mod set;
mod signal;

pub(crate) use action::{Action, Actions};
pub(crate) use alternate_stack::{AlternateStack, StackRecord};
pub(crate) use delivery::{Interrupted, ProcessSignals, StartsAgain, ThreadSignals};
pub(crate) use frame::{frame_size_max, initial_state, restore};
pub(crate) use info::{Layout, SignalInfo};
pub(crate) use outbox::{Outbox, Recipient};
pub(crate) use pending::Pending;
pub(crate) use room::{Counted, Room, SignalRooms};
pub(crate) use set::SignalSet;
pub(crate) use signal::{DefaultAction, Signal};

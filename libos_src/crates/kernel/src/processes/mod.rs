//! Processes: what each has, how they are related, and how they end.

mod end;
mod files;
mod limits;
mod memory_view;
mod mount_texts;
mod moved;
mod name_space;
mod places;
mod process;
mod processors;
mod standing;
mod start_texts;
mod stop;
mod table;
mod wait;

pub(crate) use end::{EndStatus, Survivors};
pub(crate) use files::ProcessFiles;
pub(crate) use limits::{Limit, Limits};
pub(crate) use moved::Moved;
pub(crate) use places::{HostNames, Places};
pub(crate) use process::{NewProcess, Process, ProgramRecord, Vfork};
pub(crate) use standing::{
    CapabilitySets, Ids, Principal, SECURE_KEEP_CAPABILITIES, SECURE_NO_AMBIENT_RAISE, Standing,
};
pub(crate) use stop::Stop;
pub(crate) use table::{FIRST_PID, Kinship, ProcessTable, Target};
pub(crate) use wait::{Change, Children, Sorts, WaitFor, Waited};

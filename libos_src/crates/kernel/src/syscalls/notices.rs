//! Signals about files: whom they are for, and when they are sent (fcntl(2)).

use alloc::sync::Arc;

use hal::Errno;
use vfs::{FileType, InodeFlags, OpenFile, OpenFlags};

use super::argument::Address;
use super::call::{Call, Outcome};
use crate::files::{Inotify, Notice};
use crate::signals::{Recipient, Signal};
use crate::terminals::End;

const F_OWNER_TID: i32 = 0;
const F_OWNER_PID: i32 = 1;
const F_OWNER_PGRP: i32 = 2;

/// The requests of `fcntl` that are about signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoticeCommand {
    SetOwner,
    Owner,
    SetSignal,
    Signal,
    SetOwnerRecord,
    OwnerRecord,
}

impl NoticeCommand {
    /// The one with this number, if it is one.
    pub(super) const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            8 => Self::SetOwner,
            9 => Self::Owner,
            10 => Self::SetSignal,
            11 => Self::Signal,
            15 => Self::SetOwnerRecord,
            16 => Self::OwnerRecord,
            _ => return None,
        })
    }
}

/// Serves one of them.
pub(super) fn control(call: &Call<'_>, fd: i32, command: NoticeCommand, argument: u64) -> Outcome {
    let file = call.file(fd)?;
    let notice = Notice::of(&file, &call.libos.outbox)?;
    match command {
        NoticeCommand::SetOwner => set_owner(call, &file, argument as i32)?,
        NoticeCommand::Owner => return Ok(i64::from(owner(&notice)).cast_unsigned()),
        NoticeCommand::SetSignal => {
            let signal = match argument as i32 {
                0 => None,
                number => Some(Signal::new(number)?),
            };
            notice.change(|terms| terms.signal = signal);
        }
        NoticeCommand::Signal => {
            let signal = notice.terms().signal;
            return Ok(signal.map_or(0, |signal| signal.number().into()));
        }
        NoticeCommand::SetOwnerRecord => {
            let [kind, id]: [i32; 2] = call.memory().read(argument)?;
            // A number that nobody can have is that of nobody.
            let number = id.cast_unsigned();
            let owner = match kind {
                F_OWNER_TID => Recipient::Thread(number),
                F_OWNER_PID => Recipient::Process(number),
                F_OWNER_PGRP => Recipient::Group(number),
                _ => return Err(Errno::EINVAL.into()),
            };
            let owner = (id != 0).then_some(owner);
            check(call, owner)?;
            name_owner(call, &notice, owner);
        }
        NoticeCommand::OwnerRecord => {
            let record = match notice.terms().owner {
                Some(Recipient::Thread(tid)) => [F_OWNER_TID, tid.cast_signed()],
                Some(Recipient::Group(group)) => [F_OWNER_PGRP, group.cast_signed()],
                Some(Recipient::Process(pid)) => [F_OWNER_PID, pid.cast_signed()],
                None => [F_OWNER_PID, 0],
            };
            call.memory().write(argument, &record)?;
        }
    }
    Ok(0)
}

/// Names who gets the signals: a process, or as a negative number a group.
pub(super) fn set_owner(call: &Call<'_>, file: &Arc<OpenFile>, id: i32) -> Result<(), Errno> {
    let owner = match id {
        0 => None,
        i32::MIN => return Err(Errno::EINVAL),
        1.. => Some(Recipient::Process(id.cast_unsigned())),
        _ => Some(Recipient::Group(id.unsigned_abs())),
    };
    check(call, owner)?;
    let notice = Notice::of(file, &call.libos.outbox)?;
    name_owner(call, &notice, owner);
    Ok(())
}

/// `FIOGETOWN`, `SIOCGPGRP`: who gets them, as `F_SETOWN` takes it.
pub(super) fn write_owner(call: &Call<'_>, file: &Arc<OpenFile>, address: Address) -> Outcome {
    let notice = Notice::of(file, &call.libos.outbox)?;
    call.memory().write(address.0, &owner(&notice))?;
    Ok(0)
}

/// The caller names who gets the signals, and must be allowed to send them when they are due.
fn name_owner(call: &Call<'_>, notice: &Notice, owner: Option<Recipient>) {
    let asker = call.standing().user;
    notice.change(|terms| (terms.owner, terms.asker) = (owner, asker));
}

fn owner(notice: &Notice) -> i32 {
    match notice.terms().owner {
        Some(Recipient::Group(group)) => -group.cast_signed(),
        Some(Recipient::Process(id) | Recipient::Thread(id)) => id.cast_signed(),
        None => 0,
    }
}

/// `ESRCH` for somebody who is not there.
fn check(call: &Call<'_>, owner: Option<Recipient>) -> Result<(), Errno> {
    let processes = &call.libos.processes;
    let exists = match owner {
        None => true,
        Some(Recipient::Process(pid)) => processes.get(pid).is_some(),
        Some(Recipient::Thread(tid)) => processes.of_thread(tid).is_some(),
        Some(Recipient::Group(group)) => {
            let target = crate::processes::Target::Group(group);
            processes.targets(0, target).is_ok()
        }
    };
    if exists { Ok(()) } else { Err(Errno::ESRCH) }
}

/// Whether the flag never stays: of what has no name, inotify alone sends signals. A `signalfd` that did
/// would cause what it tells of.
fn tells_nobody(file: &OpenFile) -> bool {
    file.object().kind() == FileType::Unnamed && Inotify::behind(file).is_none()
}

/// Changes the flags of an open file, `O_ASYNC` among them.
pub(super) fn set_flags(
    call: &Call<'_>,
    fd: i32,
    file: &Arc<OpenFile>,
    flags: OpenFlags,
) -> Result<(), Errno> {
    let no_time = OpenFlags::NO_ACCESS_TIME;
    if flags.contains(no_time)
        && !file.flags().contains(no_time)
        && !call.viewpoint().credentials.owns(&file.metadata()?)
    {
        return Err(Errno::EPERM);
    }
    let appends = OpenFlags::APPEND;
    if flags.contains(appends) != file.flags().contains(appends)
        && file.metadata()?.has(InodeFlags::APPEND_ONLY)
    {
        return Err(Errno::EPERM);
    }
    let wants = flags.contains(OpenFlags::ASYNC);
    if wants != file.flags().contains(OpenFlags::ASYNC) {
        if tells_nobody(file) {
            file.set_flags(flags.difference(OpenFlags::ASYNC));
            return Ok(());
        }
        if wants && file.watchers().is_none() {
            let reason = "this file sends no SIGIO: O_ASYNC has no effect";
            call.libos.report_once(call.regs.rax, reason);
        }
        // A terminal tells whoever is in its foreground, if nobody was named.
        let owner = End::behind(file).map(|end| match end.terminal().control.holder().foreground {
            0 => Recipient::Process(call.process.pid),
            group => Recipient::Group(group),
        });
        let asker = call.standing().user;
        Notice::of(file, &call.libos.outbox)?.turn(wants, fd, owner, asker);
    }
    file.set_flags(flags);
    Ok(())
}

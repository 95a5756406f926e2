//! Waiting for children.

use core::sync::atomic::Ordering;

use hal::Errno;

use super::table::{Member, Members};
use super::{EndStatus, Process, ProcessTable};
use crate::signals::Signal;
use crate::threads::Usage;

/// What may happen to a process that its parent can wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It has ended.
    Ended(EndStatus),
    /// A signal stopped it.
    Stopped(Signal),
    /// It goes on after a stop.
    Continued,
}

/// Which children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Children {
    /// All.
    Any,
    /// That one.
    Pid(u32),
    /// Those in a process group.
    Group(u32),
}

/// Which sorts of children: those of whose end the parent is told by `SIGCHLD`, and others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sorts {
    /// The usual ones.
    Usual,
    /// The others (`__WCLONE`).
    Others,
    /// All (`__WALL`).
    All,
}

/// What is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WaitFor {
    /// Which children.
    pub(crate) children: Children,
    /// Of those, which sorts.
    pub(crate) sorts: Sorts,
    /// Whether their end counts.
    pub(crate) ended: bool,
    /// Whether a stop counts.
    pub(crate) stopped: bool,
    /// Whether going on counts.
    pub(crate) continued: bool,
    /// Whether what is found stays to be waited for (`WNOWAIT`).
    pub(crate) keeps: bool,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waited {
    /// Which child.
    pub(crate) pid: u32,
    /// Its user.
    pub(crate) user: u32,
    /// What happened to it.
    pub(crate) change: Change,
    /// What it and its children have used of processors, if it has ended.
    pub(crate) used: Usage,
    /// The most memory that one of these had in the end.
    pub(crate) resident_bytes: u64,
}

impl WaitFor {
    fn wants(&self, change: Change) -> bool {
        match change {
            Change::Ended(_) => self.ended,
            Change::Stopped(_) => self.stopped,
            Change::Continued => self.continued,
        }
    }

    fn is_about(&self, pid: u32, member: &Member) -> bool {
        let is_usual = member.exit_signal == Some(Signal::CHLD);
        let is_of_sort = match self.sorts {
            Sorts::Usual => is_usual,
            Sorts::Others => !is_usual,
            Sorts::All => true,
        };
        is_of_sort
            && match self.children {
                Children::Any => true,
                Children::Pid(wanted) => pid == wanted,
                Children::Group(group) => member.group == group,
            }
    }
}

impl ProcessTable {
    /// Looks for a child of `parent` to which something happened, and takes note of it unless it
    /// is to be kept. `None` when there may be one later.
    ///
    /// # Errors
    /// `ECHILD` when there is no such child.
    pub(crate) fn look_for_child(
        &self,
        parent: &Process,
        wait: &WaitFor,
    ) -> Result<Option<Waited>, Errno> {
        let _told = self.telling.lock();
        let mut members = self.members.lock();
        let children = members.by_pid.get(&parent.pid).ok_or(Errno::ECHILD)?;
        let mut exists = false;
        let mut found = None;
        for &pid in &children.children {
            let Some(child) = members.by_pid.get(&pid) else {
                continue;
            };
            if !wait.is_about(pid, child) {
                continue;
            }
            // Of one that has ended there is only the end to wait for.
            exists |= wait.ended || child.is_alive();
            if let Some(change) = child.change.filter(|&change| wait.wants(change)) {
                found = Some((child.process.clone(), change, usage_of(child)));
                break;
            }
        }
        let Some((child, change, used)) = found else {
            return if exists { Ok(None) } else { Err(Errno::ECHILD) };
        };
        let pid = child.pid;
        let resident_bytes = resident_bytes_of(&child);
        let mut is_forgotten = false;
        if !wait.keeps {
            is_forgotten = take_note(&mut members, pid, change);
        }
        drop(members);
        if is_forgotten {
            *parent.children_usage.lock() += used;
            let most = &parent.children_resident;
            most.fetch_max(resident_bytes, Ordering::Relaxed);
        }
        Ok(Some(Waited {
            pid,
            user: child.standing().user.real,
            change,
            used,
            resident_bytes,
        }))
    }
}

fn resident_bytes_of(child: &Process) -> u64 {
    let own = child.resident_at_end.load(Ordering::Relaxed);
    own.max(child.children_resident.load(Ordering::Relaxed))
}

fn usage_of(child: &Member) -> Usage {
    child.used + *child.process.children_usage.lock()
}

/// Whether the process is forgotten. The caller has it, so that it is not dropped under the lock.
fn take_note(members: &mut Members, pid: u32, change: Change) -> bool {
    if matches!(change, Change::Ended(_)) {
        return members.forget(pid).is_some();
    }
    if let Some(member) = members.by_pid.get_mut(&pid) {
        member.change = None;
    }
    false
}

//! Locking files.

use alloc::sync::Arc;

use hal::Errno;
use vfs::{FileId, OpenFile};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::argument::Address;
use super::call::{Call, Outcome};
use crate::files::{FileLocks, LockKind, LocksOfDescription, Owner, Record};
use crate::threads::Deadline;

/// `struct flock` of 64-bit Linux.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Flock {
    kind: i16,
    whence: i16,
    padding: i32,
    start: i64,
    len: i64,
    pid: i32,
    padding_behind: i32,
}

const F_RDLCK: i16 = 0;
const F_WRLCK: i16 = 1;
const F_UNLCK: i16 = 2;

/// Which locks a command of `fcntl` is about, and what it asks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordCommand {
    /// Of the open file instead of the process (`F_OFD_*`).
    pub(super) is_of_description: bool,
    /// What to do.
    pub(super) request: RecordRequest,
}

/// What a command asks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordRequest {
    /// Whether a lock could be taken.
    Get,
    /// To take it, or fail.
    Set,
    /// To take it, waiting if need be.
    SetWait,
}

impl RecordCommand {
    /// The command with this number.
    pub(super) const fn from_number(number: u32) -> Option<Self> {
        let (is_of_description, request) = match number {
            5 => (false, RecordRequest::Get),
            6 => (false, RecordRequest::Set),
            7 => (false, RecordRequest::SetWait),
            36 => (true, RecordRequest::Get),
            37 => (true, RecordRequest::Set),
            38 => (true, RecordRequest::SetWait),
            _ => return None,
        };
        Some(Self {
            is_of_description,
            request,
        })
    }
}

/// `fcntl(2)` with a lock command.
pub(super) fn record_lock(
    call: &mut Call<'_>,
    fd: i32,
    command: RecordCommand,
    argument: Address,
) -> Outcome {
    let file = call.file(fd)?;
    let mut flock: Flock = call.memory().read(argument.0)?;
    let is_lock = [F_RDLCK, F_WRLCK].contains(&flock.kind);
    if command.request == RecordRequest::Get && !is_lock {
        return Err(Errno::EINVAL.into());
    }
    let (first, last) = range_of(&file, &flock)?;
    let owner = if command.is_of_description {
        description(&file)
    } else {
        Owner::Process(call.process.pid)
    };
    let kind = match flock.kind {
        F_RDLCK => Some(LockKind::Shared),
        F_WRLCK => Some(LockKind::Exclusive),
        F_UNLCK => None,
        _ => return Err(Errno::EINVAL.into()),
    };
    let is_allowed = match kind {
        _ if command.request == RecordRequest::Get => true,
        Some(LockKind::Shared) => file.flags().is_readable(),
        Some(LockKind::Exclusive) => file.flags().is_writable(),
        None => true,
    };
    if !is_allowed {
        return Err(Errno::EBADF.into());
    }
    if command.is_of_description && flock.pid != 0 {
        return Err(Errno::EINVAL.into());
    }
    let id = file.location().file_id()?;
    let locks = call.libos.file_locks.clone();
    let Some(kind) = kind else {
        let given_up = Record {
            owner,
            kind: LockKind::Shared,
            first,
            last,
        };
        if !locks.has_room_for(id, &given_up, false) {
            return Err(Errno::ENOLCK.into());
        }
        locks.unlock(id, owner, first, last);
        return Ok(0);
    };
    let wanted = Record {
        owner,
        kind,
        first,
        last,
    };
    if command.request != RecordRequest::Get && !locks.has_room_for(id, &wanted, true) {
        return Err(Errno::ENOLCK.into());
    }
    if command.request == RecordRequest::Get {
        flock = match locks.obstacle(id, &wanted) {
            Some(obstacle) => described(&obstacle),
            None => Flock {
                kind: F_UNLCK,
                ..flock
            },
        };
        call.memory().write(argument.0, &flock)?;
        return Ok(0);
    }
    if command.is_of_description {
        release_with(&file, &locks);
    }
    take_record(call, &locks, id, wanted, command.request)
}

fn take_record(
    call: &Call<'_>,
    locks: &FileLocks,
    id: FileId,
    wanted: Record,
    request: RecordRequest,
) -> Outcome {
    let pid = call.process.pid;
    let is_of_process = wanted.owner == Owner::Process(pid);
    let outcome = call.until_changed(&locks.watchers, Deadline::NEVER, || {
        match locks.lock(id, wanted) {
            Ok(()) => Ok(Some(())),
            Err(_) if request == RecordRequest::Set => Err(Errno::EAGAIN.into()),
            Err(obstacle) => {
                if is_of_process {
                    locks.begin_wait(pid, obstacle.owner)?;
                }
                Ok(None)
            }
        }
    });
    if is_of_process {
        locks.end_wait(pid);
    }
    outcome.map(|()| 0)
}

/// `flock(2)`.
pub(super) fn flock(call: &mut Call<'_>, fd: i32, operation: u32) -> Outcome {
    const LOCK_SH: u32 = 1;
    const LOCK_EX: u32 = 2;
    const LOCK_NB: u32 = 4;
    const LOCK_UN: u32 = 8;
    let file = call.file(fd)?;
    let (id, owner) = (file.location().file_id()?, description(&file));
    let locks = call.libos.file_locks.clone();
    let kind = match operation & !LOCK_NB {
        LOCK_SH => LockKind::Shared,
        LOCK_EX => LockKind::Exclusive,
        LOCK_UN => {
            locks.unlock_whole(id, owner);
            return Ok(0);
        }
        _ => return Err(Errno::EINVAL.into()),
    };
    release_with(&file, &locks);
    let outcome = call.until_changed(&locks.watchers, Deadline::NEVER, || {
        match locks.lock_whole(id, owner, kind) {
            Err(Errno::EAGAIN) if operation & LOCK_NB == 0 => Ok(None),
            taken => Ok(Some(taken?)),
        }
    });
    outcome.map(|()| 0)
}

impl Call<'_> {
    /// A descriptor of this process was closed: with it go all record locks that the process has on
    /// the file, as POSIX demands.
    pub(crate) fn after_close(&self, file: &OpenFile) {
        self.libos.after_close(self.process.pid, file);
        self.after_queue_closed(file);
    }
}

impl crate::Libos {
    /// The same, for a process that may not be the caller's.
    pub(crate) fn after_close(&self, pid: u32, file: &OpenFile) {
        if self.file_locks.is_empty() {
            return;
        }
        // A file that cannot be looked at cannot have been locked.
        if let Ok(id) = file.location().file_id() {
            self.file_locks.unlock(id, Owner::Process(pid), 0, u64::MAX);
        }
    }
}

fn description(file: &Arc<OpenFile>) -> Owner {
    Owner::Description(Arc::as_ptr(file).addr())
}

/// Lets the locks of an open file go with it.
fn release_with(file: &Arc<OpenFile>, locks: &Arc<FileLocks>) {
    let owner = description(file);
    file.attach(|| {
        Arc::new(LocksOfDescription {
            locks: locks.clone(),
            owner,
        })
    });
}

/// The first and last byte that a `struct flock` means.
fn range_of(file: &OpenFile, flock: &Flock) -> Result<(u64, u64), Errno> {
    let origin = match flock.whence {
        0 => 0,
        1 => i128::from(file.offset()),
        2 => i128::from(file.metadata()?.size_bytes),
        _ => return Err(Errno::EINVAL),
    };
    let start = origin + i128::from(flock.start);
    let (first, end) = match flock.len {
        0 => (start, None),
        len if len > 0 => (start, Some(start + i128::from(len))),
        len => (start + i128::from(len), Some(start)),
    };
    let first = u64::try_from(first).map_err(|_| Errno::EINVAL)?;
    let highest = i64::MAX as u64;
    if first > highest {
        return Err(Errno::EOVERFLOW);
    }
    let last = match end {
        None => u64::MAX,
        Some(end) => match u64::try_from(end - 1) {
            Ok(last) if last < highest => last,
            Ok(last) if last == highest => u64::MAX,
            _ => return Err(Errno::EOVERFLOW),
        },
    };
    Ok((first, last))
}

fn described(record: &Record) -> Flock {
    let len = match record.last {
        u64::MAX => 0,
        last => (last - record.first + 1).cast_signed(),
    };
    Flock {
        kind: match record.kind {
            LockKind::Shared => F_RDLCK,
            LockKind::Exclusive => F_WRLCK,
        },
        whence: 0,
        padding: 0,
        start: record.first.cast_signed(),
        len,
        pid: match record.owner {
            Owner::Process(pid) => pid.cast_signed(),
            Owner::Description(_) => -1,
        },
        padding_behind: 0,
    }
}

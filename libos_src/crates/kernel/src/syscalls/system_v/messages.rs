//! Message queues of System V.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

use hal::Errno;
use locks::Mutex;
use procfs::Number;
use vfs::{Access, Capabilities, Readiness, Watchers};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::registry::{IPC_INFO, Limits, PermissionRecord, Permissions, Registry, access_of, now};
use crate::settings::Settings;
use crate::syscalls::argument::Address;
use crate::syscalls::call::{Call, Outcome, Stop};
use crate::threads::Deadline;

/// All queues.
pub(crate) type Queues = Registry<Queue>;

/// A queue.
pub(crate) struct Queue {
    state: Mutex<State>,
    watchers: Watchers,
}

struct State {
    permissions: Permissions,
    messages: VecDeque<Message>,
    bytes: u64,
    bytes_max: u64,
    sent_at: u64,
    received_at: u64,
    changed_at: u64,
    last_sender: u32,
    last_receiver: u32,
    is_removed: bool,
}

#[derive(Clone)]
struct Message {
    kind: i64,
    text: Vec<u8>,
}

/// `struct msqid64_ds` of x86-64.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct QueueRecord {
    permissions: PermissionRecord,
    sent_at: u64,
    received_at: u64,
    changed_at: u64,
    bytes: u64,
    count: u64,
    bytes_max: u64,
    last_sender: u32,
    last_receiver: u32,
    unused: [u64; 2],
}

/// Bytes in a queue, whoever wants more, unless all have more.
const QUEUE_BYTES_MAX: u64 = 65536;
const IPC_NOWAIT: u32 = 0o4000;
const MSG_NOERROR: u32 = 0o10000;
const MSG_EXCEPT: u32 = 0o20000;
const MSG_COPY: u32 = 0o40000;

/// The text of `/proc/sysvipc/msg`.
pub(crate) fn listing(queues: &Queues) -> String {
    let mut text = String::from(
        "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      rtime      ctime\n",
    );
    for (id, queue) in queues.all() {
        let state = queue.state.lock();
        let (begin, owners) = (
            state.permissions.shown(id, 0),
            state.permissions.shown_owners(),
        );
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{begin}  {:>10} {:>10} {:>5} {:>5} {owners} {:>10} {:>10} {:>10}",
            state.bytes,
            state.messages.len(),
            state.last_sender,
            state.last_receiver,
            state.sent_at,
            state.received_at,
            state.changed_at
        );
    }
    text
}

/// `msgget(2)`.
pub(crate) fn msgget(call: &mut Call<'_>, key: i32, flags: u32) -> Outcome {
    let credentials = call.viewpoint().credentials.clone();
    let machine = call.libos.machine;
    let settings = &call.libos.settings;
    let id = call.libos.system_v.queues.get(
        key,
        flags,
        &credentials,
        |queue| {
            let state = queue.state.lock();
            state.permissions.check(&credentials, access_of(flags))
        },
        &Limits {
            settings,
            most: Number::Queues,
            next: Number::NextQueue,
        },
        |permissions, _| {
            Ok(Queue {
                state: Mutex::new(State {
                    permissions,
                    messages: VecDeque::new(),
                    bytes: 0,
                    bytes_max: settings.get(Number::QueueBytes),
                    sent_at: 0,
                    received_at: 0,
                    changed_at: now(machine),
                    last_sender: 0,
                    last_receiver: 0,
                    is_removed: false,
                }),
                watchers: Watchers::new(),
            })
        },
    )?;
    Ok(id as u64)
}

/// `msgsnd(2)`.
pub(crate) fn msgsnd(
    call: &mut Call<'_>,
    id: i32,
    message: Address,
    len: u64,
    flags: u32,
) -> Outcome {
    if len > call.libos.settings.get(Number::MessageBytes) {
        return Err(Errno::EINVAL.into());
    }
    let kind: i64 = call.memory().read(message.0)?;
    if kind < 1 {
        return Err(Errno::EINVAL.into());
    }
    let at = message.0.wrapping_add(8);
    let text = call.memory().read_bytes(at, len as usize)?;
    let queue = call.libos.system_v.queues.find(id)?;
    queue.check(call, Access::WRITE)?;
    let (pid, time) = (call.process.pid, now(call.libos.machine));
    let mut text = Some(text);
    let sent = call.until_changed(&queue.watchers, Deadline::NEVER, || {
        let mut state = queue.state.lock();
        if state.is_removed {
            return Err(Errno::EIDRM.into());
        }
        let is_full =
            state.bytes + len > state.bytes_max || state.messages.len() as u64 >= state.bytes_max;
        if is_full && flags & IPC_NOWAIT != 0 {
            return Err(Errno::EAGAIN.into());
        }
        if is_full {
            return Ok(None);
        }
        state.bytes += len;
        let text = text.take().unwrap_or_default();
        state.messages.push_back(Message { kind, text });
        state.sent_at = time;
        state.last_sender = pid;
        Ok(Some(()))
    });
    not_restarted(sent)?;
    queue.watchers.notify(Readiness::READABLE);
    Ok(0)
}

/// `msgrcv(2)`.
pub(crate) fn msgrcv(
    call: &mut Call<'_>,
    id: i32,
    message: Address,
    room: u64,
    kind: i64,
    flags: u32,
) -> Outcome {
    if i64::try_from(room).is_err() {
        return Err(Errno::EINVAL.into());
    }
    // A copy is of the message at a place, and waits for nothing (msgrcv(2)).
    let copies = flags & MSG_COPY != 0;
    if copies && (flags & MSG_EXCEPT != 0 || flags & IPC_NOWAIT == 0) {
        return Err(Errno::EINVAL.into());
    }
    let queue = call.libos.system_v.queues.find(id)?;
    queue.check(call, Access::READ)?;
    let (pid, time) = (call.process.pid, now(call.libos.machine));
    let received = call.until_changed(&queue.watchers, Deadline::NEVER, || {
        let mut state = queue.state.lock();
        if state.is_removed {
            return Err(Errno::EIDRM.into());
        }
        let place = if copies {
            let place = usize::try_from(kind).ok();
            place.filter(|&place| place < state.messages.len())
        } else {
            state.find(kind, flags)
        };
        let Some(place) = place else {
            if flags & IPC_NOWAIT != 0 {
                return Err(Errno::ENOMSG.into());
            }
            return Ok(None);
        };
        let len = state.messages[place].text.len() as u64;
        if len > room && flags & MSG_NOERROR == 0 {
            return Err(Errno::E2BIG.into());
        }
        if copies {
            return Ok(state.messages.get(place).cloned());
        }
        state.bytes -= len;
        state.received_at = time;
        state.last_receiver = pid;
        Ok(state.messages.remove(place))
    });
    let Message { kind, mut text } = not_restarted(received)?;
    if !copies {
        queue.watchers.notify(Readiness::READABLE);
    }
    text.truncate(usize::try_from(room).unwrap_or(usize::MAX));
    call.memory().write(message.0, &kind)?;
    call.memory().copy_out(message.0.wrapping_add(8), &text)?;
    Ok(text.len() as u64)
}

impl Queue {
    fn check(&self, call: &Call<'_>, access: Access) -> Result<(), Errno> {
        let credentials = call.viewpoint().credentials.clone();
        self.state.lock().permissions.check(&credentials, access)
    }
}

impl State {
    /// The place of the message that a receiver wants.
    fn find(&self, kind: i64, flags: u32) -> Option<usize> {
        let place = |wanted: &dyn Fn(&Message) -> bool| self.messages.iter().position(wanted);
        match kind {
            0 => place(&|_| true),
            1.. if flags & MSG_EXCEPT != 0 => place(&|one| one.kind != kind),
            1.. => place(&|one| one.kind == kind),
            // The lowest kind that is not above its absolute value, and of that the first.
            _ => {
                let numbered = self.messages.iter().enumerate();
                numbered
                    .filter(|(_, one)| one.kind.unsigned_abs() <= kind.unsigned_abs())
                    .min_by_key(|(place, one)| (one.kind, *place))
                    .map(|(place, _)| place)
            }
        }
    }
}

/// Such a call is never started again by itself.
fn not_restarted<T>(outcome: Result<T, Stop>) -> Result<T, Stop> {
    match outcome {
        Err(Stop::Restart) => Err(Errno::EINTR.into()),
        outcome => outcome,
    }
}

const MSG_STAT: u32 = 11;
const MSG_INFO: u32 = 12;
const MSG_STAT_ANY: u32 = 13;

/// `struct msginfo`, of which `MSG_INFO` uses `msgpool`, `msgmap` and `msgtql` for what there is.
fn limits(settings: &Settings, queues: &Queues, command: u32) -> [u32; 8] {
    let value = |number| settings.get_i32(number).cast_unsigned();
    let (queues_max, bytes_max) = (value(Number::Queues), value(Number::QueueBytes));
    const SEGMENT_BYTES: u32 = 16;
    const SEGMENTS: u32 = 0xffff;
    let (pool, map, headers) = if command == MSG_INFO {
        let all = queues.all();
        let (messages, bytes) = all.iter().fold((0, 0), |(messages, bytes), (_, queue)| {
            let state = queue.state.lock();
            (
                messages + state.messages.len() as u32,
                bytes + state.bytes as u32,
            )
        });
        (all.len() as u32, messages, bytes)
    } else {
        (
            queues_max.saturating_mul(bytes_max / 1024),
            bytes_max,
            bytes_max,
        )
    };
    [
        pool,
        map,
        value(Number::MessageBytes),
        bytes_max,
        queues_max,
        SEGMENT_BYTES,
        headers,
        SEGMENTS,
    ]
}

/// `msgctl(2)`.
pub(crate) fn msgctl(call: &mut Call<'_>, id: i32, command: u32, buffer: Address) -> Outcome {
    const IPC_RMID: u32 = 0;
    const IPC_SET: u32 = 1;
    const IPC_STAT: u32 = 2;
    let queues = &call.libos.system_v.queues;
    let (id, queue) = match command {
        IPC_INFO | MSG_INFO => {
            call.memory()
                .write(buffer.0, &limits(&call.libos.settings, queues, command))?;
            return Ok(queues.last_place());
        }
        MSG_STAT | MSG_STAT_ANY => queues.at(id)?,
        _ => (id, queues.find(id)?),
    };
    let credentials = call.viewpoint().credentials.clone();
    let new = match command {
        IPC_SET => Some(call.memory().read::<QueueRecord>(buffer.0)?),
        _ => None,
    };
    let mut state = queue.state.lock();
    match (command, new) {
        (IPC_STAT | MSG_STAT | MSG_STAT_ANY, _) => {
            if command != MSG_STAT_ANY {
                state.permissions.check(&credentials, Access::READ)?;
            }
            let record = QueueRecord {
                permissions: state.permissions.record(id),
                sent_at: state.sent_at,
                received_at: state.received_at,
                changed_at: state.changed_at,
                bytes: state.bytes,
                count: state.messages.len() as u64,
                bytes_max: state.bytes_max,
                last_sender: state.last_sender,
                last_receiver: state.last_receiver,
                ..QueueRecord::default()
            };
            drop(state);
            call.memory().write(buffer.0, &record)?;
            return Ok(if command == IPC_STAT { 0 } else { id as u64 });
        }
        (IPC_SET, Some(new)) => {
            state.permissions.check_owner(&credentials)?;
            let usual = call.libos.settings.get(Number::QueueBytes);
            if new.bytes_max > usual && !credentials.can(Capabilities::OVERRIDE_LIMITS) {
                return Err(Errno::EPERM.into());
            }
            state.permissions.set(&new.permissions);
            state.bytes_max = new.bytes_max.min(usual.max(QUEUE_BYTES_MAX));
            state.changed_at = now(call.libos.machine);
            drop(state);
            queue.watchers.notify(Readiness::READABLE);
        }
        (IPC_RMID, _) => {
            state.permissions.check_owner(&credentials)?;
            state.is_removed = true;
            drop(state);
            call.libos.system_v.queues.remove(id);
            queue.watchers.notify(Readiness::READABLE);
        }
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(0)
}

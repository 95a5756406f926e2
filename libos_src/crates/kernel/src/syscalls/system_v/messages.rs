//! Message queues of System V.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Write as _;
use core::sync::atomic::{AtomicBool, Ordering};

use hal::{Errno, Machine};
use locks::Mutex;
use procfs::Number;
use vfs::{Access, Capabilities};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::registry::{IPC_INFO, Limits, PermissionRecord, Permissions, Registry, access_of, now};
use crate::settings::Settings;
use crate::syscalls::argument::Address;
use crate::syscalls::call::{Call, Outcome, Stop};
use crate::syscalls::room;
use crate::threads::{Deadline, Sleeper, Wake};

/// All queues.
pub(crate) type Queues = Registry<Queue>;

/// A queue.
pub(crate) struct Queue {
    state: Mutex<State>,
}

struct State {
    permissions: Permissions,
    messages: VecDeque<Message>,
    /// Who waits for a message, or for room, by age.
    receivers: VecDeque<Arc<Receiver>>,
    senders: VecDeque<Arc<Sender>>,
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

/// Which message a thread wants.
#[derive(Clone, Copy)]
struct Wish {
    kind: i64,
    flags: u32,
    /// How many bytes it has room for.
    room: u64,
}

/// A thread that waits for a message. Who sends one that it wants gives it to it.
struct Receiver {
    wish: Wish,
    pid: u32,
    sleeper: Sleeper,
    /// What it is given; without an error or a message it looks again.
    outcome: Mutex<Option<Result<Option<Message>, Errno>>>,
}

impl Receiver {
    fn finish(&self, outcome: Result<Option<Message>, Errno>) -> Sleeper {
        *self.outcome.lock() = Some(outcome);
        self.sleeper.clone()
    }
}

/// A thread that waits for room.
struct Sender {
    len: u64,
    sleeper: Sleeper,
    is_woken: AtomicBool,
}

impl Sender {
    fn look(&self) -> Sleeper {
        self.is_woken.store(true, Ordering::Release);
        self.sleeper.clone()
    }
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
                    receivers: VecDeque::new(),
                    senders: VecDeque::new(),
                    bytes: 0,
                    bytes_max: settings.get(Number::QueueBytes),
                    sent_at: 0,
                    received_at: 0,
                    changed_at: now(machine),
                    last_sender: 0,
                    last_receiver: 0,
                    is_removed: false,
                }),
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
    let kind: i64 = call.memory().read(message.0)?;
    if len > call.libos.settings.get(Number::MessageBytes) || kind < 1 {
        return Err(Errno::EINVAL.into());
    }
    let at = message.0.wrapping_add(8);
    let text = call.memory().read_bytes(at, len as usize)?;
    let queue = call.libos.system_v.queues.find(id)?;
    let mut message = Some(Message { kind, text });
    loop {
        let mut woken = Vec::new();
        let sender = {
            let mut state = queue.state.lock();
            state.check(call, Access::WRITE)?;
            if state.has_room(len) {
                state.reserve_place(call.libos.machine)?;
                state.sent_at = now(call.libos.machine);
                state.last_sender = call.process.pid;
                if let Some(message) = message.take() {
                    state.hand_over(message, &mut woken);
                }
                None
            } else if flags & IPC_NOWAIT != 0 {
                return Err(Errno::EAGAIN.into());
            } else {
                let sender = Arc::new(Sender {
                    len,
                    sleeper: Sleeper::of(call.thread),
                    is_woken: AtomicBool::new(false),
                });
                state.senders.push_back(sender.clone());
                Some(sender)
            }
        };
        wake(call, &woken);
        let Some(sender) = sender else {
            return Ok(0);
        };
        let slept = sleep_until(call, || sender.is_woken.load(Ordering::Acquire));
        let mut state = queue.state.lock();
        state.senders.retain(|other| !Arc::ptr_eq(other, &sender));
        drop(state);
        slept?;
    }
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
    let received = queue.receive(call, Wish { kind, flags, room })?;
    let Message { kind, mut text } = received;
    text.truncate(usize::try_from(room).unwrap_or(usize::MAX));
    call.memory().write(message.0, &kind)?;
    call.memory().copy_out(message.0.wrapping_add(8), &text)?;
    Ok(text.len() as u64)
}

impl Queue {
    /// Waits for a message that a thread wants.
    fn receive(&self, call: &Call<'_>, wish: Wish) -> Result<Message, Stop> {
        loop {
            let receiver = {
                let mut state = self.state.lock();
                state.check(call, Access::READ)?;
                if let Some(place) = state.find(wish) {
                    let mut woken = Vec::new();
                    let message = state.take(place, wish, call, &mut woken)?;
                    drop(state);
                    wake(call, &woken);
                    return Ok(message);
                }
                if wish.flags & IPC_NOWAIT != 0 {
                    return Err(Errno::ENOMSG.into());
                }
                let receiver = Arc::new(Receiver {
                    wish,
                    pid: call.process.pid,
                    sleeper: Sleeper::of(call.thread),
                    outcome: Mutex::new(None),
                });
                state.receivers.push_back(receiver.clone());
                receiver
            };
            let slept = sleep_until(call, || receiver.outcome.lock().is_some());
            let mut state = self.state.lock();
            (state.receivers).retain(|other| !Arc::ptr_eq(other, &receiver));
            drop(state);
            // What it was given counts, even if a signal came, too.
            match receiver.outcome.lock().take() {
                Some(Ok(Some(message))) => return Ok(message),
                Some(Err(errno)) => return Err(errno.into()),
                Some(Ok(None)) => {}
                None => slept?,
            }
        }
    }
}

/// Sleeps until `is_due`. Such a call starts again after a signal that no handler sees.
fn sleep_until(call: &Call<'_>, is_due: impl Fn() -> bool) -> Result<(), Stop> {
    while !is_due() {
        if call.libos.sleep(call.process, call.thread, Deadline::NEVER) == Wake::Signal {
            return Err(Stop::RestartUnhandled(Deadline::NEVER));
        }
    }
    Ok(())
}

fn wake(call: &Call<'_>, woken: &[Sleeper]) {
    for sleeper in woken {
        sleeper.wake(call.libos.machine);
    }
}

impl State {
    fn check(&self, call: &Call<'_>, access: Access) -> Result<(), Errno> {
        if self.is_removed {
            return Err(Errno::EIDRM);
        }
        let credentials = call.viewpoint().credentials.clone();
        self.permissions.check(&credentials, access)
    }

    fn has_room(&self, len: u64) -> bool {
        self.bytes + len <= self.bytes_max && (self.messages.len() as u64) < self.bytes_max
    }

    /// Sees to it that one more message can be put in. Messages without bytes are not counted among them, so
    /// the line may be long, and where it grows it takes more than what is kept in reserve.
    ///
    /// # Errors
    /// `ENOMEM`.
    fn reserve_place(&mut self, machine: &dyn Machine) -> Result<(), Errno> {
        let places = self.messages.capacity();
        if self.messages.len() == places {
            room::check_for(machine, 2 * places * size_of::<Message>())?;
            let reserved = self.messages.try_reserve(1);
            reserved.map_err(|_| Errno::ENOMEM)?;
        }
        Ok(())
    }

    /// The place of the message that a receiver wants.
    fn find(&self, wish: Wish) -> Option<usize> {
        let Wish { kind, flags, .. } = wish;
        if flags & MSG_COPY != 0 {
            let place = usize::try_from(kind).ok();
            return place.filter(|&place| place < self.messages.len());
        }
        if kind < 0 {
            // The lowest kind that is not above its absolute value, and of that the first.
            let numbered = self.messages.iter().enumerate();
            let wanted = numbered.filter(|(_, one)| wish.takes(one.kind));
            let lowest = wanted.min_by_key(|(place, one)| (one.kind, *place));
            return lowest.map(|(place, _)| place);
        }
        self.messages.iter().position(|one| wish.takes(one.kind))
    }

    /// Takes the message at a place out, or copies it; who has room now is put into `woken`.
    fn take(
        &mut self,
        place: usize,
        wish: Wish,
        call: &Call<'_>,
        woken: &mut Vec<Sleeper>,
    ) -> Result<Message, Errno> {
        let len = self.messages[place].text.len() as u64;
        if len > wish.room && wish.flags & MSG_NOERROR == 0 {
            return Err(Errno::E2BIG);
        }
        if wish.flags & MSG_COPY != 0 {
            // A copy is never cut.
            let copied = self.messages.get(place).filter(|_| len <= wish.room);
            return copied.cloned().ok_or(Errno::EINVAL);
        }
        self.received_at = now(call.libos.machine);
        self.last_receiver = call.process.pid;
        self.bytes -= len;
        let message = self.messages.remove(place).ok_or(Errno::ENOMSG)?;
        self.tell_senders(woken);
        Ok(message)
    }

    /// Gives a message to the first who waits for one such, or puts it into the queue.
    fn hand_over(&mut self, message: Message, woken: &mut Vec<Sleeper>) {
        let len = message.text.len() as u64;
        while let Some(place) = (self.receivers.iter()).position(|one| one.wish.takes(message.kind))
        {
            let Some(receiver) = self.receivers.remove(place) else {
                break;
            };
            if len > receiver.wish.room && receiver.wish.flags & MSG_NOERROR == 0 {
                woken.push(receiver.finish(Err(Errno::E2BIG)));
                continue;
            }
            self.received_at = self.sent_at;
            self.last_receiver = receiver.pid;
            woken.push(receiver.finish(Ok(Some(message))));
            return;
        }
        self.bytes += len;
        self.messages.push_back(message);
    }

    /// Lets those look for whose messages there is room; the others go to the end of their line.
    fn tell_senders(&mut self, woken: &mut Vec<Sleeper>) {
        let line = core::mem::take(&mut self.senders);
        let (due, others): (Vec<_>, Vec<_>) = line
            .into_iter()
            .partition(|sender| self.has_room(sender.len));
        woken.extend(due.iter().map(|sender| sender.look()));
        self.senders.extend(others);
    }

    /// Lets everybody look again, or tells them that the queue is gone.
    fn disturb(&mut self, woken: &mut Vec<Sleeper>) {
        for receiver in self.receivers.drain(..) {
            let outcome = if self.is_removed {
                Err(Errno::EIDRM)
            } else {
                Ok(None)
            };
            woken.push(receiver.finish(outcome));
        }
        if self.is_removed {
            woken.extend(self.senders.drain(..).map(|sender| sender.look()));
        } else {
            self.tell_senders(woken);
        }
    }
}

impl Wish {
    /// Whether it is for a message of this kind.
    const fn takes(self, kind: i64) -> bool {
        match self.kind {
            0 => true,
            1.. if self.flags & MSG_EXCEPT != 0 => kind != self.kind,
            1.. => kind == self.kind,
            _ => kind.unsigned_abs() <= self.kind.unsigned_abs(),
        }
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
        let (mut count, mut messages, mut bytes) = (0, 0, 0);
        for (_, queue) in queues.all() {
            let state = queue.state.lock();
            count += 1;
            messages += state.messages.len() as u32;
            bytes += state.bytes as u32;
        }
        (count, messages, bytes)
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
    let mut woken = Vec::new();
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
            state.disturb(&mut woken);
        }
        (IPC_RMID, _) => {
            state.permissions.check_owner(&credentials)?;
            state.is_removed = true;
            state.disturb(&mut woken);
        }
        _ => return Err(Errno::EINVAL.into()),
    }
    let is_removed = state.is_removed;
    drop(state);
    if is_removed {
        queues.remove(id, &queue);
    }
    wake(call, &woken);
    Ok(0)
}

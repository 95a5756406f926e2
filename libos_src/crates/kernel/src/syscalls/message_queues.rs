//! POSIX message queues.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use core::time::Duration;

use hal::{Clock, Errno};
use procfs::Number;
use vfs::{Access, Capabilities, Inode as _, Mode, OpenFile, OpenFlags, Readiness};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::argument::Address;
use super::call::{Call, Outcome, Stop};
use super::records::Time;
use crate::files::{
    MessageQueue, QUEUE_RECORD_BYTES, QUEUE_WOKEN, QueueMeans, QueueOwner, QueueRegistration,
    QueueSize,
};
use crate::processes::Limits;
use crate::signals::SignalInfo;
use crate::sockets::Socket;
use crate::threads::{Deadline, duration_of};
use crate::timers::{Notice, NoticeRecord};

/// `struct mq_attr` (`linux/mqueue.h`).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Attributes {
    flags: i64,
    messages_max: i64,
    message_bytes: i64,
    messages: i64,
    reserved: [i64; 4],
}

/// `MQ_PRIO_MAX`
const PRIORITIES: u32 = 32768;
const NAME_LIMIT_BYTES: usize = 256;

/// `mq_open(2)`. The name comes without the slash that programs give it.
pub(super) fn mq_open(
    call: &mut Call<'_>,
    name: Address,
    flags: u32,
    mode: u32,
    attributes: Address,
) -> Outcome {
    // Unlike `open`, also with `O_PATH`.
    let flags = OpenFlags::from_bits_truncate(flags);
    let wanted = match attributes.non_null() {
        Some(place) => Some(call.memory().read::<Attributes>(place.0)?),
        None => None,
    };
    let name = read_name(call, name)?;
    let queues = &call.libos.message_queues;
    let creates = flags.contains(OpenFlags::CREATE);
    let queue = loop {
        match queues.get(&name) {
            Some(_) if creates && flags.contains(OpenFlags::EXCLUSIVE) => {
                return Err(Errno::EEXIST.into());
            }
            Some(queue) => {
                let access = match flags.bits() & 3 {
                    0 => Access::READ,
                    1 => Access::WRITE,
                    2 => Access::READ | Access::WRITE,
                    // Of a new queue that is a descriptor for neither.
                    _ => return Err(Errno::EINVAL.into()),
                };
                let view = call.viewpoint();
                view.credentials.check(&queue.metadata()?, access)?;
                break queue;
            }
            None if !creates => return Err(Errno::ENOENT.into()),
            None => match create(call, &name, mode, wanted) {
                // Somebody else made it meanwhile.
                Err(Errno::EEXIST) if !flags.contains(OpenFlags::EXCLUSIVE) => {}
                made => break made?,
            },
        }
    };
    let for_opening = OpenFlags::CREATE
        | OpenFlags::EXCLUSIVE
        | OpenFlags::NO_CONTROLLING_TERMINAL
        | OpenFlags::TRUNCATE;
    let flags = flags.difference(for_opening) | OpenFlags::CLOSE_ON_EXEC;
    let path = [b"/", &name[..]].concat();
    call.add_anonymous(queue, &path, flags)
}

fn create(
    call: &Call<'_>,
    name: &[u8],
    mode: u32,
    wanted: Option<Attributes>,
) -> Result<Arc<MessageQueue>, Errno> {
    let settings = &call.libos.settings;
    let passes_limits = call.standing().can(Capabilities::OVERRIDE_LIMITS);
    let size = match wanted {
        Some(wanted) => {
            let positive = |value: i64| u64::try_from(value).map_err(|_| Errno::EINVAL);
            let size = QueueSize {
                messages: positive(wanted.messages_max)?,
                bytes: positive(wanted.message_bytes)?,
            };
            size.check(settings, passes_limits)?;
            size
        }
        None => QueueSize::usual(settings),
    };
    let view = call.viewpoint();
    let owner = QueueOwner {
        user: view.credentials.user,
        group: view.credentials.group,
        mode: Mode::from_low_bits(mode & 0o7777).difference(view.creation_mask),
    };
    drop(view);
    let limit = call.process.limits.lock().soft(Limits::MESSAGE_QUEUES);
    let most = if passes_limits {
        u64::MAX
    } else {
        settings.get(Number::PosixQueues)
    };
    (call.libos.message_queues).create(name, owner, size, limit, most)
}

/// `mq_unlink(2)`.
pub(super) fn mq_unlink(call: &mut Call<'_>, name: Address) -> Outcome {
    let name = read_name(call, name)?;
    let queues = &call.libos.message_queues;
    let queue = queues.get(&name).ok_or(Errno::ENOENT)?;
    // Everybody may make queues, and remove their own.
    if !call.viewpoint().credentials.owns(&queue.metadata()?) {
        return Err(Errno::EPERM.into());
    }
    if queues.remove(&name) {
        Ok(0)
    } else {
        Err(Errno::ENOENT.into())
    }
}

/// `mq_timedsend(2)`.
pub(super) fn mq_timedsend(
    call: &mut Call<'_>,
    fd: i32,
    message: Address,
    len: u64,
    priority: u32,
    time: Address,
) -> Outcome {
    let time = read_time(call, time)?;
    if priority >= PRIORITIES {
        return Err(Errno::EINVAL.into());
    }
    let (file, queue) = queue_of(call, fd)?;
    if !file.flags().is_writable() {
        return Err(Errno::EBADF.into());
    }
    if len > queue.size.bytes {
        return Err(Errno::EMSGSIZE.into());
    }
    let bytes = call.memory().read_bytes(message.0, len as usize)?;
    let told = wait(call, &file, Readiness::WRITABLE, time, || {
        queue.send(&bytes, priority)
    })?;
    if let Some(told) = told {
        tell(call, &told);
    }
    Ok(0)
}

/// `mq_timedreceive(2)`.
pub(super) fn mq_timedreceive(
    call: &mut Call<'_>,
    fd: i32,
    to: Address,
    len: u64,
    priority: Address,
    time: Address,
) -> Outcome {
    let time = read_time(call, time)?;
    let (file, queue) = queue_of(call, fd)?;
    if !file.flags().is_readable() {
        return Err(Errno::EBADF.into());
    }
    if len < queue.size.bytes {
        return Err(Errno::EMSGSIZE.into());
    }
    queue.receivers.fetch_add(1, Ordering::SeqCst);
    let received = wait(call, &file, Readiness::READABLE, time, || queue.receive());
    queue.receivers.fetch_sub(1, Ordering::SeqCst);
    let (message, its_priority) = received?;
    if let Some(place) = priority.non_null() {
        call.memory().write(place.0, &its_priority)?;
    }
    call.memory().copy_out(to.0, &message)?;
    Ok(message.len() as u64)
}

/// `mq_notify(2)`: by a signal, or by a record that comes to a socket, of which libcs make threads.
pub(super) fn mq_notify(call: &mut Call<'_>, fd: i32, event: Address) -> Outcome {
    let means = match event.non_null() {
        Some(place) => Some(means_of(call, &call.memory().read(place.0)?)?),
        None => None,
    };
    let (_, queue) = queue_of(call, fd)?;
    match means {
        Some(means) => queue.register(QueueRegistration {
            process: Arc::downgrade(call.process),
            means,
        })?,
        None => queue.unregister(call.process),
    }
    Ok(0)
}

/// How a program wants to be told.
fn means_of(call: &Call<'_>, record: &NoticeRecord) -> Result<QueueMeans, Errno> {
    if let Some((fd, cookie)) = record.socket() {
        let cookie: [u8; QUEUE_RECORD_BYTES] = call.memory().read(cookie)?;
        let file = call.file(fd)?;
        let is_taken = Socket::behind(&file).is_some_and(Socket::takes_records);
        return if is_taken {
            Ok(QueueMeans::Record(file, cookie))
        } else {
            Err(Errno::EINVAL)
        };
    }
    // Without a signal nobody is told, but the place is taken.
    let notice = if record.has_no_signal() {
        Notice::None
    } else {
        Notice::decode(record)?
    };
    if matches!(notice, Notice::Thread { .. }) {
        return Err(Errno::EINVAL);
    }
    Ok(QueueMeans::Signal(notice))
}

/// `mq_getsetattr(2)`.
pub(super) fn mq_getsetattr(call: &mut Call<'_>, fd: i32, new: Address, old: Address) -> Outcome {
    let non_blocking = OpenFlags::NON_BLOCKING;
    let new = match new.non_null() {
        Some(place) => {
            let new: Attributes = call.memory().read(place.0)?;
            let flags = u32::try_from(new.flags).ok().and_then(OpenFlags::from_bits);
            let flags = flags.filter(|&flags| non_blocking.contains(flags));
            Some(flags.ok_or(Errno::EINVAL)?)
        }
        None => None,
    };
    let (file, queue) = queue_of(call, fd)?;
    let flags = file.flags();
    let before = Attributes {
        flags: flags.intersection(non_blocking).bits().into(),
        messages_max: queue.size.messages.cast_signed(),
        message_bytes: queue.size.bytes.cast_signed(),
        messages: queue.count().cast_signed(),
        ..Attributes::default()
    };
    if let Some(new) = new {
        file.set_flags(flags.difference(non_blocking) | new);
    }
    if let Some(place) = old.non_null() {
        call.memory().write(place.0, &before)?;
    }
    Ok(0)
}

/// Repeats `action` until there is a message, or room for one.
fn wait<T>(
    call: &Call<'_>,
    file: &OpenFile,
    wanted: Readiness,
    time: Option<Duration>,
    mut action: impl FnMut() -> Result<T, Errno>,
) -> Result<T, Stop> {
    if file.flags().contains(OpenFlags::NON_BLOCKING) {
        return Ok(action()?);
    }
    let deadline = time.map_or(Deadline::NEVER, |time| {
        Deadline::at(call.libos.machine, Clock::Realtime, time)
    });
    call.until(file, wanted, deadline, action)
        .map_err(|stop| match stop {
            Stop::Errno(Errno::EAGAIN) => Stop::Errno(Errno::ETIMEDOUT),
            // The deadline is a moment, which does not move.
            Stop::Errno(Errno::EINTR) => Stop::Restart,
            stop => stop,
        })
}

fn tell(call: &Call<'_>, told: &QueueRegistration) {
    let Some(process) = told.live() else {
        return;
    };
    told.send_record(QUEUE_WOKEN);
    if let QueueMeans::Signal(Notice::Process { signal, value }) = told.means {
        let user = call.standing().user.real;
        let info = SignalInfo::from_message_queue(signal, call.process.pid, user, value);
        // One with too many signals hears nothing, as on Linux.
        let _ = call.libos.send_to_process(&process, signal, info);
    }
}

impl Call<'_> {
    /// A process has closed a descriptor of a queue: it is told of nothing any more.
    pub(super) fn after_queue_closed(&self, file: &OpenFile) {
        if let Some(queue) = MessageQueue::behind(file) {
            queue.unregister(self.process);
        }
    }
}

fn queue_of(call: &Call<'_>, fd: i32) -> Result<(Arc<OpenFile>, Arc<MessageQueue>), Errno> {
    let file = call.file(fd)?;
    let object: Arc<dyn core::any::Any + Send + Sync> = file.object().clone();
    let queue = object.downcast().map_err(|_| Errno::EBADF)?;
    Ok((file, queue))
}

fn read_name(call: &Call<'_>, name: Address) -> Result<Vec<u8>, Errno> {
    let name = call
        .memory()
        .read_string(name.0, NAME_LIMIT_BYTES, Errno::ENAMETOOLONG)?;
    match &name[..] {
        [] => Err(Errno::ENOENT),
        b"." | b".." => Err(Errno::EACCES),
        name if name.contains(&b'/') => Err(Errno::EACCES),
        _ => Ok(name),
    }
}

fn read_time(call: &Call<'_>, time: Address) -> Result<Option<Duration>, Errno> {
    let Some(place) = time.non_null() else {
        return Ok(None);
    };
    let time: Time = call.memory().read(place.0)?;
    duration_of(time.seconds, time.fraction).map(Some)
}

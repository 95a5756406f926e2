//! POSIX message queues (mq_overview(7)).

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use hal::Errno;
use locks::Mutex;
use procfs::Number;
use vfs::{AttributeChange, FileType, Inode, Metadata, Mode, OpenFile, Readiness, Watchers};

use super::ownership::Ownership;
use crate::processes::Process;
use crate::settings::Settings;
use crate::sockets::Socket;
use crate::timers::Notice;

/// What a queue holds at most: messages, and bytes of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueSize {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
}

impl QueueSize {
    /// The most that who may pass over limits may ask for (`HARD_MSGMAX`, `HARD_MSGSIZEMAX`).
    const HARD: Self = Self {
        messages: 65536,
        bytes: 16 << 20,
    };

    /// The most that others may ask for (`msg_max`, `msgsize_max`).
    fn most(settings: &Settings) -> Self {
        Self {
            messages: settings.get(Number::PosixMessagesMax),
            bytes: settings.get(Number::PosixMessageBytesMax),
        }
    }

    /// What a queue has that says nothing (`msg_default`, `msgsize_default`).
    pub(crate) fn usual(settings: &Settings) -> Self {
        let most = Self::most(settings);
        Self {
            messages: most.messages.min(settings.get(Number::PosixMessages)),
            bytes: most.bytes.min(settings.get(Number::PosixMessageBytes)),
        }
    }

    /// Checks what a program asks for.
    ///
    /// # Errors
    /// `EINVAL`.
    pub(crate) fn check(self, settings: &Settings, may_pass_limits: bool) -> Result<(), Errno> {
        let most = if may_pass_limits {
            Self::HARD
        } else {
            Self::most(settings)
        };
        let is_legal =
            (1..=most.messages).contains(&self.messages) && (1..=most.bytes).contains(&self.bytes);
        if is_legal { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// What counts against `RLIMIT_MSGQUEUE`: the messages, and what Linux keeps of each.
    pub(crate) const fn counted_bytes(self) -> u64 {
        const OF_MESSAGE: u64 = 48;
        const OF_PRIORITY: u64 = 48;
        self.messages * (self.bytes + OF_MESSAGE + OF_PRIORITY)
    }
}

/// All queues, by name.
#[derive(Default)]
pub(crate) struct MessageQueues {
    named: Mutex<BTreeMap<Vec<u8>, Arc<MessageQueue>>>,
    /// What the queues of each user may hold. They count until nobody has them open.
    counted: Arc<Mutex<BTreeMap<u32, u64>>>,
}

impl MessageQueues {
    /// The queue with a name.
    pub(crate) fn get(&self, name: &[u8]) -> Option<Arc<MessageQueue>> {
        self.named.lock().get(name).cloned()
    }

    /// Makes a queue, if there are less than `most`; its user may have queues of `limit` bytes.
    ///
    /// # Errors
    /// `EEXIST`; `ENOSPC` if there are too many; `EMFILE` if its user has too much.
    pub(crate) fn create(
        &self,
        name: &[u8],
        owner: Owner,
        size: QueueSize,
        limit: u64,
        most: u64,
    ) -> Result<Arc<MessageQueue>, Errno> {
        let mut named = self.named.lock();
        if named.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        if named.len() as u64 >= most {
            return Err(Errno::ENOSPC);
        }
        let mut counted = self.counted.lock();
        let of_user = counted.entry(owner.user).or_default();
        let total = of_user.saturating_add(size.counted_bytes());
        if total > limit {
            return Err(Errno::EMFILE);
        }
        *of_user = total;
        drop(counted);
        let queue = Arc::new(MessageQueue {
            counted: self.counted.clone(),
            user: owner.user,
            owner: Mutex::new(Ownership::new(
                owner.user,
                owner.group,
                owner.mode.bits().into(),
            )),
            has_name: AtomicBool::new(true),
            size,
            state: Mutex::default(),
            receivers: AtomicU32::new(0),
            watchers: Watchers::new(),
        });
        named.insert(name.to_vec(), queue.clone());
        Ok(queue)
    }

    /// Takes the name of a queue away. Who has it open keeps it.
    pub(crate) fn remove(&self, name: &[u8]) -> bool {
        let removed = self.named.lock().remove(name);
        if let Some(queue) = &removed {
            queue.has_name.store(false, Ordering::SeqCst);
        }
        removed.is_some()
    }
}

/// Whose a queue is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    pub(crate) user: u32,
    pub(crate) group: u32,
    pub(crate) mode: Mode,
}

/// One queue.
pub(crate) struct MessageQueue {
    counted: Arc<Mutex<BTreeMap<u32, u64>>>,
    /// Against whose limit it counts.
    user: u32,
    /// Whose it is now.
    owner: Mutex<Ownership>,
    has_name: AtomicBool,
    /// What it holds at most.
    pub(crate) size: QueueSize,
    state: Mutex<State>,
    /// How many threads wait for a message.
    pub(crate) receivers: AtomicU32,
    watchers: Watchers,
}

#[derive(Default)]
struct State {
    /// By priority; of one priority the first comes first.
    messages: BTreeMap<u32, VecDeque<Vec<u8>>>,
    count: u64,
    bytes: u64,
    registration: Option<Registration>,
}

/// Who is told of the next message that comes to an empty queue.
#[derive(Clone)]
pub(crate) struct Registration {
    /// The process.
    pub(crate) process: Weak<Process>,
    /// How.
    pub(crate) means: Means,
}

/// How somebody is told.
#[derive(Clone)]
pub(crate) enum Means {
    /// By a signal, or not at all.
    Signal(Notice),
    /// By a record that comes to a socket, whose last byte says what happened: a libc starts a thread.
    Record(Arc<OpenFile>, [u8; RECORD_BYTES]),
}

/// `NOTIFY_COOKIE_LEN`
pub(crate) const RECORD_BYTES: usize = 32;
/// `NOTIFY_WOKENUP`: a message has come.
pub(crate) const WOKEN: u8 = 1;
/// `NOTIFY_REMOVED`: nobody is told any more.
const REMOVED: u8 = 2;

impl Registration {
    /// The process, unless that has ended.
    pub(crate) fn live(&self) -> Option<Arc<Process>> {
        let process = self.process.upgrade()?;
        (!process.has_ended.load(Ordering::SeqCst)).then_some(process)
    }

    /// Sends the record, if there is one, with this as its last byte.
    pub(crate) fn send_record(&self, what: u8) {
        if let Means::Record(file, record) = &self.means
            && let Some(socket) = Socket::behind(file)
        {
            let mut record = *record;
            record[RECORD_BYTES - 1] = what;
            socket.tell(&record);
        }
    }
}

impl MessageQueue {
    /// The one that an open file is, if it is one.
    pub(crate) fn behind(file: &OpenFile) -> Option<&Self> {
        file.object().downcast()
    }

    /// How many messages are in it.
    pub(crate) fn count(&self) -> u64 {
        self.state.lock().count
    }

    /// Adds a message; who is to be told of it, if somebody is.
    ///
    /// # Errors
    /// `EAGAIN` if it is full.
    pub(crate) fn send(
        &self,
        message: &[u8],
        priority: u32,
    ) -> Result<Option<Registration>, Errno> {
        let mut state = self.state.lock();
        if state.count >= self.size.messages {
            return Err(Errno::EAGAIN);
        }
        let mut kept = Vec::new();
        kept.try_reserve_exact(message.len())
            .map_err(|_| Errno::ENOMEM)?;
        kept.extend_from_slice(message);
        let was_empty = state.count == 0;
        state.messages.entry(priority).or_default().push_back(kept);
        state.count += 1;
        state.bytes += message.len() as u64;
        // Whoever waits takes it, and then nobody is told.
        let is_told = was_empty && self.receivers.load(Ordering::SeqCst) == 0;
        let told = is_told.then(|| state.registration.take()).flatten();
        drop(state);
        self.watchers.notify(Readiness::READABLE);
        Ok(told)
    }

    /// Takes the first message of the highest priority.
    ///
    /// # Errors
    /// `EAGAIN` if there is none.
    pub(crate) fn receive(&self) -> Result<(Vec<u8>, u32), Errno> {
        let mut state = self.state.lock();
        let mut last = state.messages.last_entry().ok_or(Errno::EAGAIN)?;
        let priority = *last.key();
        let message = last.get_mut().pop_front().ok_or(Errno::EAGAIN)?;
        if last.get().is_empty() {
            last.remove();
        }
        state.count -= 1;
        state.bytes -= message.len() as u64;
        drop(state);
        self.watchers.notify(Readiness::WRITABLE);
        Ok((message, priority))
    }

    /// Has somebody told.
    ///
    /// # Errors
    /// `EBUSY` if somebody is already.
    pub(crate) fn register(&self, registration: Registration) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if state
            .registration
            .as_ref()
            .is_some_and(|other| other.live().is_some())
        {
            return Err(Errno::EBUSY);
        }
        let before = state.registration.replace(registration);
        drop(state);
        drop(before);
        Ok(())
    }

    /// Has a process not told.
    pub(crate) fn unregister(&self, process: &Arc<Process>) {
        let mut state = self.state.lock();
        let is_own = |other: &mut Registration| other.process.ptr_eq(&Arc::downgrade(process));
        let removed = state.registration.take_if(is_own);
        drop(state);
        if let Some(removed) = removed {
            removed.send_record(REMOVED);
        }
    }
}

impl Inode for MessageQueue {
    fn kind(&self) -> FileType {
        FileType::Regular
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        const SIZE_BYTES: u64 = 80;
        let mut metadata = self.owner.lock().metadata(1, FileType::Regular);
        metadata.size_bytes = SIZE_BYTES;
        metadata.link_count = self.has_name.load(Ordering::SeqCst).into();
        Ok(metadata)
    }

    fn set_attributes(&self, change: &AttributeChange) -> Result<(), Errno> {
        self.owner.lock().change(change);
        Ok(())
    }

    /// One line about it.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        let state = self.state.lock();
        let (bytes, registration) = (state.bytes, state.registration.clone());
        drop(state);
        const SIGEV_THREAD: u8 = 2;
        let process = registration.as_ref().and_then(Registration::live);
        let pid = process.map_or(0, |process| process.pid);
        let (kind, signal) = match registration.filter(|_| pid != 0).map(|it| it.means) {
            None => (0, 0),
            Some(Means::Signal(notice)) => {
                (u8::from(notice == Notice::None), notice.signal_number())
            }
            Some(Means::Record(..)) => (SIGEV_THREAD, 0),
        };
        let text =
            format!("QSIZE:{bytes:<10} NOTIFY:{kind:<5} SIGNO:{signal:<5} NOTIFY_PID:{pid:<6}\n");
        let start = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(text.len());
        let rest = &text.as_bytes()[start..];
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn readiness(&self) -> Readiness {
        let count = self.count();
        let mut readiness = Readiness::empty();
        readiness.set(Readiness::READABLE, count > 0);
        readiness.set(Readiness::WRITABLE, count < self.size.messages);
        readiness
    }

    fn watchers(&self) -> Option<&Watchers> {
        Some(&self.watchers)
    }
}

impl Drop for MessageQueue {
    fn drop(&mut self) {
        let mut counted = self.counted.lock();
        if let Some(of_user) = counted.get_mut(&self.user) {
            *of_user = of_user.saturating_sub(self.size.counted_bytes());
            if *of_user == 0 {
                counted.remove(&self.user);
            }
        }
    }
}

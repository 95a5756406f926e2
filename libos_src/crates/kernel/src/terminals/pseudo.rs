//! Pseudo-terminals (pty(7)).

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use hal::Errno;
use locks::Mutex;
use tty::{Line, Packet, Queue, Settings, Size, Typed};
use vfs::{
    AttributeChange, DeviceNumber, FileType, Inode, Metadata, Mode, OpenFile, Readiness, Sink,
    Source, Watchers, read_through, write_through,
};

use super::{Control, Terminals};
use crate::signals::{Recipient, Signal};

/// A pair of a master, which a terminal emulator has, and a slave, which is a terminal for programs.
pub(crate) struct Pseudo {
    number: u32,
    terminals: Weak<Terminals>,
    /// Whose terminal the slave is.
    pub(crate) control: Control,
    owner: Mutex<Owner>,
    state: Mutex<State>,
    master_watchers: Watchers,
    slave_watchers: Watchers,
}

/// What `chmod` and `chown` change.
#[derive(Clone, Copy)]
struct Owner {
    mode: Mode,
    user: u32,
    group: u32,
}

#[derive(Default)]
struct State {
    line: Line,
    size: Size,
    has_master: bool,
    slaves: usize,
    /// Whether the slave has ever been open.
    was_opened: bool,
    is_locked: bool,
    /// Whether only the superuser opens the slave again (`TIOCEXCL`).
    is_exclusive: bool,
    /// Speeds that have no name, for in and out. Nothing is slower because of them.
    custom_speeds: [u32; 2],
}

/// An open end. The terminal hangs up when the last one of a side is gone.
pub(crate) struct End {
    terminal: Arc<Pseudo>,
    side: Side,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Master,
    Slave,
}

/// What somebody may wait for.
struct Levels {
    output: usize,
    packet: Option<Packet>,
    type_in_room: usize,
    readable: usize,
    has_input: bool,
    has_room: bool,
}

/// `UNIX98_PTY_SLAVE_MAJOR`.
const SLAVE_MAJOR: u32 = 136;
/// The group `tty` of every distribution.
const TTY_GROUP: u32 = 5;
/// Inode 1 is the directory, 2 is `ptmx`.
const FIRST_INODE: u64 = 3;

impl Pseudo {
    /// A pair that nobody has open yet. Its slave is locked (`unlockpt`).
    pub(super) fn new(terminals: &Arc<Terminals>, number: u32, user: u32) -> Arc<Self> {
        Arc::new(Self {
            number,
            terminals: Arc::downgrade(terminals),
            control: Control::default(),
            owner: Mutex::new(Owner {
                mode: Mode::from_low_bits(0o620),
                user,
                group: TTY_GROUP,
            }),
            state: Mutex::new(State {
                is_locked: true,
                ..State::default()
            }),
            master_watchers: Watchers::new(),
            slave_watchers: Watchers::new(),
        })
    }

    /// Its number: that of `/dev/pts/N`.
    pub(crate) const fn number(&self) -> u32 {
        self.number
    }

    /// The slave's device.
    pub(crate) const fn device_number(&self) -> DeviceNumber {
        DeviceNumber::new(SLAVE_MAJOR, self.number)
    }

    /// Whether the master is gone: nothing works any more.
    pub(crate) fn is_hung_up(&self) -> bool {
        !self.state.lock().has_master
    }

    /// The attributes of the slave.
    pub(super) fn metadata(&self) -> Metadata {
        let owner = *self.owner.lock();
        let inode = FIRST_INODE + u64::from(self.number);
        Metadata {
            user: owner.user,
            group: owner.group,
            represents: self.device_number(),
            ..Metadata::fixed(inode, FileType::CharacterDevice, owner.mode)
        }
    }

    pub(super) fn set_attributes(&self, change: &AttributeChange) {
        let mut owner = self.owner.lock();
        *owner = Owner {
            mode: change.mode.unwrap_or(owner.mode),
            user: change.user.unwrap_or(owner.user),
            group: change.group.unwrap_or(owner.group),
        };
    }

    /// Opens the master, once.
    pub(super) fn open_master(self: Arc<Self>) -> Arc<End> {
        self.state.lock().has_master = true;
        Arc::new(End {
            terminal: self,
            side: Side::Master,
        })
    }

    /// Opens the slave. `EIO` if it is locked, or has hung up; `EBUSY` if nobody else may, and the caller
    /// not `always`.
    pub(super) fn open_slave(self: Arc<Self>, always: bool) -> Result<Arc<End>, Errno> {
        let mut state = self.state.lock();
        if state.is_locked || !state.has_master {
            return Err(Errno::EIO);
        }
        if state.is_exclusive && !always {
            return Err(Errno::EBUSY);
        }
        state.slaves += 1;
        state.was_opened = true;
        drop(state);
        Ok(Arc::new(End {
            terminal: self,
            side: Side::Slave,
        }))
    }

    /// Says whether only the superuser opens the slave again.
    pub(crate) fn set_exclusive(&self, is_exclusive: bool) {
        self.state.lock().is_exclusive = is_exclusive;
    }

    /// Whether it is so.
    pub(crate) fn is_exclusive(&self) -> bool {
        self.state.lock().is_exclusive
    }

    /// Whether the slave can be opened.
    pub(crate) fn set_locked(&self, is_locked: bool) {
        self.state.lock().is_locked = is_locked;
    }

    /// Whether it cannot.
    pub(crate) fn is_locked(&self) -> bool {
        self.state.lock().is_locked
    }

    /// The settings of the slave.
    pub(crate) fn settings(&self) -> Settings {
        *self.state.lock().line.settings()
    }

    /// Changes them, and forgets the input before that if wanted.
    pub(crate) fn set_settings(&self, settings: Settings, without_input: bool) {
        self.change(|line, _| {
            if without_input {
                line.flush(Queue::Input);
            }
            line.set_settings(settings);
        });
    }

    /// The speeds that were set by number.
    pub(crate) fn custom_speeds(&self) -> [u32; 2] {
        self.state.lock().custom_speeds
    }

    /// Sets them.
    pub(crate) fn set_custom_speeds(&self, speeds: [u32; 2]) {
        self.state.lock().custom_speeds = speeds;
    }

    /// The size of the window.
    pub(crate) fn size(&self) -> Size {
        self.state.lock().size
    }

    /// Changes it, and tells the foreground.
    pub(crate) fn set_size(&self, size: Size) {
        let old = core::mem::replace(&mut self.state.lock().size, size);
        if old != size {
            self.signal(Signal::WINCH);
        }
    }

    /// Sends a signal to the group in the foreground.
    fn signal(&self, signal: Signal) {
        let foreground = self.control.holder().foreground;
        if foreground != 0
            && let Some(terminals) = self.terminals.upgrade()
        {
            let outbox = &terminals.outbox;
            outbox.post(Recipient::Group(foreground), signal);
        }
    }

    /// Looks at the line.
    pub(crate) fn line<T>(&self, look: impl FnOnce(&Line) -> T) -> T {
        look(&self.state.lock().line)
    }

    /// Does something with the line, and tells whoever waits for what it changes.
    pub(crate) fn change<T>(&self, act: impl FnOnce(&mut Line, &mut Vec<Typed>) -> T) -> T {
        let mut typed = Vec::new();
        let mut state = self.state.lock();
        let before = Levels::of(&state.line);
        let outcome = act(&mut state.line, &mut typed);
        let after = Levels::of(&state.line);
        drop(state);
        for typed in typed {
            self.signal(match typed {
                Typed::Interrupt => Signal::INT,
                Typed::Quit => Signal::QUIT,
                Typed::Suspend => Signal::TSTP,
            });
        }
        let (master, slave) = after.since(&before);
        for (watchers, news) in [
            (&self.master_watchers, master),
            (&self.slave_watchers, slave),
        ] {
            if !news.is_empty() {
                watchers.notify(news);
            }
        }
        outcome
    }

    /// The master is gone.
    fn close_master(&self) {
        self.state.lock().has_master = false;
        if let Some(terminals) = self.terminals.upgrade() {
            terminals.hang_up(&self.control);
        }
        self.slave_watchers
            .notify(Readiness::all().difference(Readiness::PRIORITY | Readiness::ANEW));
    }

    /// A slave is gone.
    fn close_slave(&self) {
        let mut state = self.state.lock();
        state.slaves -= 1;
        let is_last = state.slaves == 0;
        drop(state);
        if is_last {
            // The session has no terminal any more that it could open as `/dev/tty`.
            self.control.release(self.control.holder().session);
            self.master_watchers
                .notify(Readiness::HANG_UP | Readiness::READABLE);
        }
    }
}

impl Drop for Pseudo {
    fn drop(&mut self) {
        if let Some(terminals) = self.terminals.upgrade() {
            terminals.remove_pseudo(self.number);
        }
    }
}

impl Levels {
    fn of(line: &Line) -> Self {
        Self {
            output: line.output_bytes(),
            packet: line.packet(),
            type_in_room: line.type_in_room(),
            readable: line.readable_bytes(),
            has_input: line.has_input(true),
            has_room: line.has_room(),
        }
    }

    /// What is new for the master, and for the slave.
    fn since(&self, before: &Self) -> (Readiness, Readiness) {
        let (mut master, mut slave) = (Readiness::empty(), Readiness::empty());
        let tells = self.packet.is_some_and(|packet| !packet.is_empty());
        let has_news = tells && self.packet != before.packet;
        master.set(Readiness::PRIORITY, has_news);
        master.set(Readiness::READABLE, has_news || self.output > before.output);
        master.set(Readiness::WRITABLE, self.type_in_room > before.type_in_room);
        let has_more = self.readable > before.readable || !before.has_input;
        slave.set(Readiness::READABLE, self.has_input && has_more);
        let has_more = self.output < before.output || !before.has_room;
        slave.set(Readiness::WRITABLE, self.has_room && has_more);
        (master, slave)
    }
}

impl End {
    /// The end that an open file is, if it is one.
    pub(crate) fn behind(file: &OpenFile) -> Option<&Self> {
        file.object().downcast()
    }

    /// The pair.
    pub(crate) const fn terminal(&self) -> &Arc<Pseudo> {
        &self.terminal
    }

    /// Whether it is the terminal emulator's.
    pub(crate) fn is_master(&self) -> bool {
        self.side == Side::Master
    }

    /// Whether it is a slave that has hung up.
    pub(crate) fn is_hung_up(&self) -> bool {
        self.side == Side::Slave && self.terminal.is_hung_up()
    }

    fn read(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        if buffer.is_empty() {
            return Ok(0);
        }
        match self.side {
            Side::Slave if self.terminal.is_hung_up() => Ok(0),
            Side::Slave => {
                let read = self.terminal.change(|line, typed| line.read(buffer, typed));
                read.ok_or(Errno::EAGAIN)
            }
            Side::Master => {
                let taken = self.terminal.change(|line, _| line.take(buffer));
                let state = self.terminal.state.lock();
                let is_over = state.was_opened && state.slaves == 0;
                taken.ok_or(if is_over { Errno::EIO } else { Errno::EAGAIN })
            }
        }
    }

    fn write(&self, data: &[u8]) -> Result<usize, Errno> {
        // Not even nothing is written to one that was hung up.
        if self.is_hung_up() {
            return Err(Errno::EIO);
        }
        if data.is_empty() {
            return Ok(0);
        }
        let count = match self.side {
            Side::Slave => self.terminal.change(|line, _| line.write(data)),
            Side::Master => self
                .terminal
                .change(|line, typed| line.type_in(data, typed)),
        };
        if count == 0 {
            return Err(Errno::EAGAIN);
        }
        Ok(count)
    }
}

impl Inode for End {
    fn kind(&self) -> FileType {
        FileType::CharacterDevice
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(self.terminal.metadata())
    }

    fn is_seekable(&self) -> bool {
        false
    }

    fn read_at(&self, _offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        self.read(buffer)
    }

    fn read_to(&self, _offset: u64, sink: &mut dyn Sink) -> Result<usize, Errno> {
        read_through(sink, |buffer| self.read(buffer))
    }

    fn write_at(&self, _offset: u64, data: &[u8]) -> Result<usize, Errno> {
        self.write(data)
    }

    fn write_from(&self, _offset: u64, source: &mut dyn Source) -> Result<usize, Errno> {
        if source.left_bytes() == 0 {
            return self.write(&[]);
        }
        write_through(source, |data| Ok(((), self.write(data)?))).map(|((), count)| count)
    }

    fn readiness(&self) -> Readiness {
        let state = self.terminal.state.lock();
        let line = &state.line;
        let mut readiness = Readiness::empty();
        match self.side {
            Side::Master => {
                let tells = line.packet().is_some_and(|packet| !packet.is_empty());
                readiness.set(Readiness::PRIORITY, tells);
                readiness.set(Readiness::READABLE, tells || line.output_bytes() > 0);
                readiness.set(Readiness::WRITABLE, line.type_in_room() > 0);
                readiness.set(Readiness::HANG_UP, state.was_opened && state.slaves == 0);
            }
            Side::Slave if !state.has_master => {
                readiness = Readiness::READABLE
                    | Readiness::WRITABLE
                    | Readiness::ERROR
                    | Readiness::HANG_UP;
            }
            Side::Slave => {
                readiness.set(Readiness::READABLE, line.has_input(true));
                readiness.set(Readiness::WRITABLE, line.has_room());
            }
        }
        readiness
    }

    fn watchers(&self) -> Option<&Watchers> {
        Some(match self.side {
            Side::Master => &self.terminal.master_watchers,
            Side::Slave => &self.terminal.slave_watchers,
        })
    }
}

impl Drop for End {
    fn drop(&mut self) {
        match self.side {
            Side::Master => self.terminal.close_master(),
            Side::Slave => self.terminal.close_slave(),
        }
    }
}

//! `/dev/pts`: a device for each pseudo-terminal, and `ptmx`, which makes one.

use alloc::string::ToString;
use alloc::sync::{Arc, Weak};

use hal::{Errno, Machine};
use vfs::{
    AttributeChange, Capabilities, DeviceNumber, DirectoryEntry, DirectorySink, FileSystem,
    FileType, Inode, Metadata, Mode, Name, OpenFlags, SinkState, Statistics,
};

use super::{Pseudo, Terminals};
use crate::libos::Slots;
use crate::processes::Process;

/// `DEVPTS_SUPER_MAGIC`.
const MAGIC: u64 = 0x1cd1;
const ROOT_INODE: u64 = 1;
const MULTIPLEXER_INODE: u64 = 2;
const MULTIPLEXER: DeviceNumber = DeviceNumber::new(5, 2);
const MULTIPLEXER_NAME: &str = "ptmx";

/// The file system of pseudo-terminals.
pub(crate) struct DevPts(Arc<Root>);

struct Root {
    terminals: Arc<Terminals>,
    multiplexer: Arc<Multiplexer>,
}

/// `ptmx`: opening it makes a pair, and gives the master.
struct Multiplexer {
    machine: &'static dyn Machine,
    slots: Arc<Slots>,
    terminals: Arc<Terminals>,
}

/// `/dev/pts/N`.
struct Slave {
    multiplexer: Arc<Multiplexer>,
    number: u32,
    terminal: Weak<Pseudo>,
}

impl DevPts {
    /// The pseudo-terminals of `terminals`, made for whoever runs on an enclave thread.
    pub(crate) fn new(
        machine: &'static dyn Machine,
        slots: Arc<Slots>,
        terminals: Arc<Terminals>,
    ) -> Arc<Self> {
        let multiplexer = Arc::new(Multiplexer {
            machine,
            slots,
            terminals: terminals.clone(),
        });
        Arc::new(Self(Arc::new(Root {
            terminals,
            multiplexer,
        })))
    }
}

impl FileSystem for DevPts {
    fn type_name(&self) -> &'static str {
        "devpts"
    }

    fn root(&self) -> Arc<dyn Inode> {
        self.0.clone()
    }

    fn statistics(&self) -> Result<Statistics, Errno> {
        Ok(Statistics {
            magic: MAGIC,
            block_size_bytes: 4096,
            ..Statistics::default()
        })
    }
}

impl Multiplexer {
    fn caller(&self) -> Option<Arc<Process>> {
        self.slots.process(self.machine.this_thread())
    }
}

impl Slave {
    fn new(multiplexer: &Arc<Multiplexer>, terminal: &Arc<Pseudo>) -> Self {
        Self {
            multiplexer: multiplexer.clone(),
            number: terminal.number(),
            terminal: Arc::downgrade(terminal),
        }
    }
}

impl Inode for Root {
    fn kind(&self) -> FileType {
        FileType::Directory
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        let mode = Mode::from_low_bits(0o755);
        Ok(Metadata::fixed(ROOT_INODE, FileType::Directory, mode))
    }

    fn has_volatile_entries(&self) -> bool {
        true
    }

    fn lookup(&self, name: Name<'_>) -> Result<Arc<dyn Inode>, Errno> {
        if *name == *MULTIPLEXER_NAME.as_bytes() {
            return Ok(self.multiplexer.clone());
        }
        let text = core::str::from_utf8(&name).map_err(|_| Errno::ENOENT)?;
        let number: u32 = text.parse().map_err(|_| Errno::ENOENT)?;
        let terminal = self.terminals.pseudo(number);
        let terminal = terminal.filter(|_| number.to_string() == text);
        let terminal = terminal.ok_or(Errno::ENOENT)?;
        Ok(Arc::new(Slave::new(&self.multiplexer, &terminal)))
    }

    fn read_directory(&self, cookie: u64, sink: &mut DirectorySink<'_>) -> Result<(), Errno> {
        let mut give = |name: &str, inode: u64| {
            if inode <= cookie {
                return SinkState::Taken;
            }
            sink(&DirectoryEntry {
                inode,
                kind: FileType::CharacterDevice,
                name: name.as_bytes(),
                next_cookie: inode,
            })
        };
        if give(MULTIPLEXER_NAME, MULTIPLEXER_INODE) == SinkState::Full {
            return Ok(());
        }
        for terminal in self.terminals.all() {
            let inode = terminal.metadata().inode;
            if give(&terminal.number().to_string(), inode) == SinkState::Full {
                break;
            }
        }
        Ok(())
    }
}

impl Inode for Multiplexer {
    fn kind(&self) -> FileType {
        FileType::CharacterDevice
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        let mode = Mode::from_low_bits(0o666);
        Ok(Metadata {
            represents: MULTIPLEXER,
            ..Metadata::fixed(MULTIPLEXER_INODE, FileType::CharacterDevice, mode)
        })
    }

    fn open(&self, _flags: OpenFlags) -> Result<Option<Arc<dyn Inode>>, Errno> {
        let user = self
            .caller()
            .map_or(0, |process| process.principal().credentials.user);
        let pair = self.terminals.add_pseudo(user)?;
        Ok(Some(pair.open_master()))
    }
}

impl Inode for Slave {
    fn kind(&self) -> FileType {
        FileType::CharacterDevice
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        match self.terminal.upgrade() {
            Some(terminal) => Ok(terminal.metadata()),
            // Somebody kept the name for longer than the terminal.
            None => Ok(Metadata::fixed(
                u64::from(self.number),
                self.kind(),
                Mode::from_low_bits(0),
            )),
        }
    }

    fn set_attributes(&self, change: &AttributeChange) -> Result<(), Errno> {
        let terminal = self.terminal.upgrade().ok_or(Errno::EIO)?;
        terminal.set_attributes(change);
        Ok(())
    }

    fn open(&self, _flags: OpenFlags) -> Result<Option<Arc<dyn Inode>>, Errno> {
        let terminal = self.terminal.upgrade().ok_or(Errno::EIO)?;
        let process = self.multiplexer.caller();
        let may_always =
            process.is_some_and(|process| process.standing().can(Capabilities::ADMINISTER));
        Ok(Some(terminal.open_slave(may_always)?))
    }
}

//! `/dev/tty` and `/dev/console`.

use alloc::sync::Arc;

use hal::{Errno, Machine};
use vfs::{Capabilities, DeviceNumber, FileType, Inode, Metadata, Mode, OpenFlags};

use super::{OfSession, Terminals};
use crate::files::HostStream;
use crate::libos::Slots;

/// The device that opens as the terminal of whoever opens it.
pub(crate) struct ControllingTerminal {
    pub(crate) machine: &'static dyn Machine,
    pub(crate) slots: Arc<Slots>,
    pub(crate) processes: Arc<crate::processes::ProcessTable>,
    pub(crate) terminals: Arc<Terminals>,
    /// The host's.
    pub(crate) console: Arc<HostStream>,
}

/// The device that opens as the host's terminal.
pub(crate) struct ConsoleNode(pub(crate) Arc<HostStream>);

/// The device number of `/dev/console`.
pub(super) const CONSOLE: DeviceNumber = DeviceNumber::new(5, 1);
const CONTROLLING: DeviceNumber = DeviceNumber::new(5, 0);

impl Inode for ControllingTerminal {
    fn kind(&self) -> FileType {
        FileType::CharacterDevice
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        let mode = Mode::from_low_bits(0o666);
        Ok(Metadata {
            represents: CONTROLLING,
            ..Metadata::fixed(20, self.kind(), mode)
        })
    }

    /// `ENXIO` for who has none.
    fn open(&self, _flags: OpenFlags) -> Result<Option<Arc<dyn Inode>>, Errno> {
        let process = self.slots.process(self.machine.this_thread());
        let process = process.ok_or(Errno::ENXIO)?;
        let pid = process.pid;
        let (_, session) = self.processes.group_and_session(pid)?;
        Ok(Some(match self.terminals.of_session(session) {
            Some(OfSession::Console) if self.console.is_terminal() => self.console.clone(),
            Some(OfSession::Pseudo(pseudo)) => {
                pseudo.open_slave(process.standing().can(Capabilities::ADMINISTER))?
            }
            _ => return Err(Errno::ENXIO),
        }))
    }
}

impl Inode for ConsoleNode {
    fn kind(&self) -> FileType {
        FileType::CharacterDevice
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        let mode = Mode::from_low_bits(0o620);
        Ok(Metadata {
            represents: CONSOLE,
            ..Metadata::fixed(21, self.kind(), mode)
        })
    }

    fn open(&self, _flags: OpenFlags) -> Result<Option<Arc<dyn Inode>>, Errno> {
        Ok(Some(self.0.clone()))
    }
}

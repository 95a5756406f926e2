//! Standard input, output and error: streams of the host.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use hal::{Errno, HostEvents, HostPoll, Machine};
use vfs::{DeviceNumber, FileType, Inode, Metadata, Mode, OpenFile, Readiness};

/// A stream that the host gave the enclave. All its bytes are seen and made by the host.
pub(crate) struct HostStream {
    machine: &'static dyn Machine,
    fd: u32,
    is_terminal: bool,
    /// How often it was read, written or asked whether it is ready.
    uses: AtomicU64,
}

/// `/dev/pts/0`.
const TERMINAL: DeviceNumber = DeviceNumber::new(136, 0);

impl HostStream {
    /// The host's descriptor `fd`.
    pub(crate) fn new(machine: &'static dyn Machine, fd: u32) -> Self {
        let is_terminal = machine.host_tty_size(fd).is_ok();
        Self {
            machine,
            fd,
            is_terminal,
            uses: AtomicU64::new(0),
        }
    }

    /// Its number at the host.
    pub(crate) const fn descriptor(&self) -> u32 {
        self.fd
    }

    /// Whether a person may be at the other end.
    pub(crate) const fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// How often a program has used it. Who was told that it is ready, and wants to know of changes
    /// only, is told again after the next use: nobody but the host sees the change itself.
    pub(crate) fn uses(&self) -> u64 {
        self.uses.load(Ordering::SeqCst)
    }

    /// What it is ready for.
    pub(crate) fn look(&self) -> Readiness {
        let mut fds = [self.poll(Readiness::READABLE | Readiness::WRITABLE)];
        match self.machine.host_poll(&mut fds, Some(Duration::ZERO)) {
            Ok(_) => Readiness::from_bits_truncate(fds[0].ready.bits().into()),
            Err(_) => Readiness::ERROR,
        }
    }

    fn note_use(&self) {
        self.uses.fetch_add(1, Ordering::SeqCst);
    }

    /// The stream that an open file reads and writes, if it is one.
    pub(crate) fn behind(file: &OpenFile) -> Option<&Self> {
        file.object().downcast()
    }

    /// What to ask the host for when waiting until this stream is ready for any of `wanted`.
    pub(crate) fn poll(&self, wanted: Readiness) -> HostPoll {
        HostPoll {
            fd: self.fd,
            events: HostEvents::from_bits_truncate(wanted.bits() as u16)
                & (HostEvents::IN | HostEvents::OUT),
            ready: HostEvents::empty(),
        }
    }
}

impl Inode for HostStream {
    /// A terminal, or something that only flows.
    fn kind(&self) -> FileType {
        if self.is_terminal {
            FileType::CharacterDevice
        } else {
            FileType::Fifo
        }
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        let mode = Mode::from_low_bits(0o620);
        let mut metadata = Metadata::fixed(u64::from(self.fd) + 3, self.kind(), mode);
        if self.is_terminal {
            metadata.represents = TERMINAL;
        }
        Ok(metadata)
    }

    fn read_at(&self, _offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        self.note_use();
        self.machine.host_read(self.fd, buffer)
    }

    fn write_at(&self, _offset: u64, data: &[u8]) -> Result<usize, Errno> {
        self.note_use();
        self.machine.host_write(self.fd, data)
    }

    fn readiness(&self) -> Readiness {
        self.note_use();
        self.look()
    }
}

//! `signalfd`.

use alloc::sync::Arc;

use hal::{Errno, Machine};
use locks::Mutex;
use vfs::{FileType, Inode, Metadata, Mode, OpenFile, Readiness, Watchers};
use zerocopy::{FromZeros, Immutable, IntoBytes};

use crate::Libos;
use crate::libos::Slots;
use crate::processes::Process;
use crate::signals::{Layout, Signal, SignalInfo, SignalSet};
use crate::threads::Thread;

/// Pending signals to read (signalfd(2)): those of whoever reads, thread and process.
pub(crate) struct SignalFile {
    machine: &'static dyn Machine,
    slots: Arc<Slots>,
    wanted: Mutex<SignalSet>,
    watchers: Arc<Watchers>,
}

/// `struct signalfd_siginfo` (`linux/signalfd.h`).
#[derive(Clone, Copy, Debug, FromZeros, IntoBytes, Immutable)]
#[repr(C)]
struct Record {
    signal: u32,
    errno: i32,
    code: i32,
    pid: u32,
    uid: u32,
    fd: i32,
    timer: u32,
    band: u32,
    overruns: u32,
    trap: u32,
    status: i32,
    number: i32,
    pointer: u64,
    user_time: u64,
    system_time: u64,
    address: u64,
    address_bit: u16,
    padding: u16,
    call: i32,
    call_address: u64,
    architecture: u32,
    reserved: [u8; 28],
}

const _: () = assert!(size_of::<Record>() == 128);

impl SignalFile {
    /// A file that gives the signals of `wanted`.
    pub(crate) fn new(libos: &Libos, wanted: SignalSet) -> Self {
        Self {
            machine: libos.machine,
            slots: libos.slots().clone(),
            wanted: Mutex::new(wanted),
            watchers: libos.signal_watchers.clone(),
        }
    }

    /// Those that it gives.
    pub(super) fn wanted(&self) -> SignalSet {
        *self.wanted.lock()
    }

    fn reader(&self) -> Option<(Arc<Process>, Arc<Thread>)> {
        self.slots.process_and_thread(self.machine.this_thread())
    }

    /// The signals behind an open file.
    pub(crate) fn behind(file: &OpenFile) -> Option<&Self> {
        file.object().downcast()
    }

    /// Gives the signals of another set from now on.
    pub(crate) fn set_wanted(&self, wanted: SignalSet) {
        *self.wanted.lock() = wanted;
        self.watchers.notify(Readiness::READABLE);
    }

    fn others(&self) -> SignalSet {
        self.wanted.lock().complement()
    }
}

impl Inode for SignalFile {
    fn kind(&self) -> FileType {
        FileType::Unnamed
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        let mode = Mode::from_low_bits(0o600);
        Ok(Metadata::fixed(1, FileType::Unnamed, mode))
    }

    fn is_seekable(&self) -> bool {
        false
    }

    /// Gives as many as there are and fit.
    fn read_at(&self, _offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        let size = size_of::<Record>();
        if buffer.len() < size {
            return Err(Errno::EINVAL);
        }
        let (process, thread) = self.reader().ok_or(Errno::EAGAIN)?;
        let mut done = 0;
        for place in buffer.chunks_exact_mut(size) {
            let Some((signal, info)) = process.take_signal(&thread, self.others()) else {
                break;
            };
            place.copy_from_slice(record(signal, &info).as_bytes());
            done += size;
        }
        if done == 0 {
            Err(Errno::EAGAIN)
        } else {
            Ok(done)
        }
    }

    fn write_at(&self, _offset: u64, _data: &[u8]) -> Result<usize, Errno> {
        Err(Errno::EINVAL)
    }

    fn watchers(&self) -> Option<&Watchers> {
        Some(&self.watchers)
    }

    fn readiness(&self) -> Readiness {
        let mut readiness = Readiness::empty();
        let Some((process, thread)) = self.reader() else {
            return readiness;
        };
        let own = thread.signals.lock().pending.present();
        let present = own.union(process.signals.lock().pending.present());
        let is_ready = present.difference(self.others()) != SignalSet::default();
        readiness.set(Readiness::READABLE, is_ready);
        readiness
    }
}

/// What of `siginfo_t` the record has. Which fields of it are meant depends on the signal and its code.
fn record(signal: Signal, info: &SignalInfo) -> Record {
    let mut record = Record::new_zeroed();
    record.signal = signal.number().into();
    record.errno = info.errno();
    record.code = info.code();
    let [first, second, third, fourth, ..] = *info.fields();
    let halves = |field: u64| (field as u32, (field >> 32) as u32);
    match info.layout() {
        Layout::Kill => (record.pid, record.uid) = halves(first),
        Layout::Queued => {
            (record.pid, record.uid) = halves(first);
            (record.number, record.pointer) = (second as i32, second);
        }
        Layout::Timer => {
            (record.timer, record.overruns) = halves(first);
            (record.number, record.pointer) = (second as i32, second);
        }
        Layout::File => (record.band, record.fd) = (first as u32, second as i32),
        Layout::Child => {
            (record.pid, record.uid) = halves(first);
            record.status = second as i32;
            (record.user_time, record.system_time) = (third, fourth);
        }
        Layout::Fault => record.address = first,
        Layout::MemoryFault => {
            (record.address, record.address_bit) = (first, second as u16);
        }
        Layout::Call => {
            record.call_address = first;
            record.call = second as i32;
            record.architecture = (second >> 32) as u32;
        }
    }
    record
}

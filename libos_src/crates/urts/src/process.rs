//! One enclave's process on the host: its threads, its images, and how it ends.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use abi::ocall::{Command, Ocall};
use platform::{Counters, Enclave, Platform};

use crate::host_files::HostFiles;
use crate::signals::Blocked;
use crate::start::Start;
use crate::statistics::Report;
use crate::trace::{Trace, TraceTo};
use crate::{Bundle, RunError, load, terminal, thread};

/// All numbers of OCALLs are below.
const OCALL_NUMBERS: usize = 64;
/// How long a host thread may take from the enclave's last word to giving its seat back.
const LEAVING_LIMIT: Duration = Duration::from_secs(10);

/// What the user asked for besides the bundle.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Arguments for the program; the enclave's configuration decides whether they count.
    pub arguments: Vec<OsString>,
    /// Where to write what was counted, as JSON.
    pub statistics: Option<PathBuf>,
    /// Where the program's system calls go, in words; only an enclave that may be debugged tells.
    pub trace: Option<TraceTo>,
    /// Where the code that is mapped is written down; only an enclave that may be debugged tells.
    pub mappings: Option<TraceTo>,
    /// Where relative sources of directories that are lent to the enclave start.
    pub host_root: PathBuf,
}

/// Loads the bundle on `platform` and runs it. When the program ends, this host process ends with
/// its status.
///
/// # Errors
/// If it cannot be loaded or started, or the enclave fails. It does not return otherwise.
pub fn run<P: Platform>(
    platform: &P,
    bundle: &Bundle,
    options: &Options,
) -> Result<std::convert::Infallible, RunError> {
    let images = bundle.images()?;
    let start = Start::new(options)?;
    let loaded = load(platform, bundle)?;
    let process = Arc::new(Process {
        enclave: loaded.enclave,
        images,
        files: HostFiles::new(options.host_root.clone()),
        seats: loaded.tcs_offsets.into_iter().map(Seat::new).collect(),
        free: Mutex::new(Vec::new()),
        freed: Condvar::new(),
        ecalls: AtomicU64::new(0),
        ocalls: [const { AtomicU64::new(0) }; OCALL_NUMBERS],
        enclave_words: Mutex::new(None),
        statistics: options.statistics.clone(),
        trace: Trace::open(options.trace.as_ref())?,
        mappings: Trace::open(options.mappings.as_ref())?,
        kept_signals: AtomicU64::new(0),
        has_keeper: AtomicBool::new(false),
        keeper: OnceLock::new(),
    });
    let Some(others) = process.seats.len().checked_sub(1) else {
        return Err(RunError::Refused(
            "it has no thread control page".to_owned(),
        ));
    };
    // The lowest seat is taken first, so that small programs touch few pages.
    *locked(&process.free) = (1..=others).rev().collect();
    thread::run(&process, 0, Command::Start, start.address(), Blocked::new())?;
    // The thread that started the process may end while others go on: one of them will end this
    // host process.
    loop {
        std::thread::park();
    }
}

/// A thread control page and what the host keeps for the thread that uses it.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) tcs_offset: u64,
    /// A wake-up that came and was not yet used.
    token: Mutex<bool>,
    arrival: Condvar,
    /// Rings while a wake-up is there, for a thread that waits for descriptors too. Made when first
    /// needed.
    bell: OnceLock<Bell>,
    /// The host thread that sits here, from when it can be interrupted.
    sitter: Mutex<Option<libc::pthread_t>>,
    /// It was interrupted, and no call that waits has yet ended because of it.
    interrupted: AtomicBool,
    counted: Mutex<Counters>,
}

impl Seat {
    fn new(tcs_offset: u64) -> Self {
        Self {
            tcs_offset,
            token: Mutex::new(false),
            arrival: Condvar::new(),
            bell: OnceLock::new(),
            sitter: Mutex::new(None),
            interrupted: AtomicBool::new(false),
            counted: Mutex::new(Counters::default()),
        }
    }

    /// Sleeps until a wake-up came, or for `timeout`.
    pub(crate) fn park(&self, timeout: Option<Duration>) {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut token = locked(&self.token);
        while !*token {
            token = match deadline {
                None => self
                    .arrival
                    .wait(token)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                        return;
                    };
                    let waited = self.arrival.wait_timeout(token, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        *token = false;
    }

    /// What becomes readable when a wake-up comes while the thread [listens](Self::listen).
    pub(crate) fn bell(&self) -> io::Result<&UnixStream> {
        if let Some(bell) = self.bell.get() {
            return Ok(&bell.ear);
        }
        // Only the thread itself gets here, so nobody else sets it meanwhile.
        let (ear, hand) = UnixStream::pair()?;
        ear.set_nonblocking(true)?;
        hand.set_nonblocking(true)?;
        let bell = Bell {
            ear,
            hand,
            is_heard: AtomicBool::new(false),
        };
        Ok(&self.bell.get_or_init(|| bell).ear)
    }

    /// Runs `wait`, which waits for the bell among others; it is told if a wake-up came already.
    /// The wake-up is then used up.
    pub(crate) fn listen<T>(&self, wait: impl FnOnce(bool) -> T) -> T {
        let Some(bell) = self.bell.get() else {
            return wait(true);
        };
        bell.is_heard.store(true, Ordering::SeqCst);
        let is_rung = *locked(&self.token);
        let result = wait(is_rung);
        bell.is_heard.store(false, Ordering::SeqCst);
        *locked(&self.token) = false;
        while (&bell.ear).read(&mut [0; 64]).is_ok_and(|count| count > 0) {}
        result
    }

    /// The calling thread sits here now, and is attached.
    pub(crate) fn sit(&self) {
        // SAFETY: names the calling thread.
        *locked(&self.sitter) = Some(unsafe { libc::pthread_self() });
    }

    /// The calling thread can no longer be interrupted.
    pub(crate) fn rise(&self) {
        *locked(&self.sitter) = None;
        self.interrupted.store(false, Ordering::SeqCst);
    }

    /// Interrupts the thread that sits here: it leaves the enclave, or a call that waits.
    pub(crate) fn interrupt(&self) {
        self.interrupted.store(true, Ordering::SeqCst);
        let sitter = locked(&self.sitter);
        if let Some(thread) = *sitter {
            // SAFETY: the thread cannot end while the lock is held: it takes it on its way out.
            unsafe { libc::pthread_kill(thread, platform::INTERRUPT_SIGNAL) };
        }
    }

    /// The clock of what the thread that sits here has used of processors.
    pub(crate) fn processor_clock(&self) -> Result<libc::clockid_t, i32> {
        let sitter = locked(&self.sitter);
        let thread = (*sitter).ok_or(libc::EINVAL)?;
        let mut clock = 0;
        // SAFETY: the thread cannot end while the lock is held; `clock` is a place for the answer.
        match unsafe { libc::pthread_getcpuclockid(thread, &raw mut clock) } {
            0 => Ok(clock),
            errno => Err(errno),
        }
    }

    /// Whether the thread was interrupted since this was last asked.
    pub(crate) fn take_interrupted(&self) -> bool {
        self.interrupted.swap(false, Ordering::SeqCst)
    }

    /// Wakes the thread, or lets its next `park` return at once.
    pub(crate) fn unpark(&self) {
        *locked(&self.token) = true;
        self.arrival.notify_one();
        if let Some(bell) = self.bell.get()
            && bell.is_heard.load(Ordering::SeqCst)
        {
            // When it cannot take another byte it rings already.
            let _ = (&bell.hand).write(&[0]);
        }
    }
}

#[derive(Debug)]
struct Bell {
    ear: UnixStream,
    hand: UnixStream,
    is_heard: AtomicBool,
}

/// Everything that the threads of one enclave share.
pub(crate) struct Process<E> {
    pub(crate) enclave: E,
    pub(crate) images: Vec<File>,
    pub(crate) files: HostFiles,
    pub(crate) seats: Vec<Seat>,
    /// Seats that no thread sits in.
    free: Mutex<Vec<usize>>,
    freed: Condvar,
    pub(crate) ecalls: AtomicU64,
    /// OCALLs, by their number.
    ocalls: [AtomicU64; OCALL_NUMBERS],
    enclave_words: Mutex<Option<Vec<u8>>>,
    statistics: Option<PathBuf>,
    pub(crate) trace: Trace,
    pub(crate) mappings: Trace,
    /// Signals that came and that the enclave has not taken.
    pub(crate) kept_signals: AtomicU64,
    has_keeper: AtomicBool,
    /// Where the keeper sits.
    keeper: OnceLock<usize>,
}

impl<E: Enclave> Process<E> {
    /// Takes a free seat. The enclave asks only when one of its threads has ended, but the host
    /// thread may still be on its way out, so this waits a moment.
    pub(crate) fn take_seat(&self) -> Option<usize> {
        let free = locked(&self.free);
        let waited = self
            .freed
            .wait_timeout_while(free, LEAVING_LIMIT, |free| free.is_empty());
        waited.unwrap_or_else(PoisonError::into_inner).0.pop()
    }

    /// Gives a seat back. A wake-up that nobody used does not reach its next thread.
    pub(crate) fn leave_seat(&self, seat: usize) {
        *locked(&self.seats[seat].token) = false;
        locked(&self.free).push(seat);
        self.freed.notify_one();
    }

    /// Whether the keeper must be started, by whoever asked.
    pub(crate) fn claim_keeper(&self) -> bool {
        !self.has_keeper.swap(true, Ordering::SeqCst)
    }

    /// It could not be started: the next who asks tries again.
    pub(crate) fn give_keeper_up(&self) {
        self.has_keeper.store(false, Ordering::SeqCst);
    }

    /// The keeper takes this seat.
    pub(crate) fn keeper_sits(&self, seat: usize) {
        let _ = self.keeper.set(seat);
    }

    /// Wakes the keeper; whether it has a seat.
    pub(crate) fn wake_keeper(&self) -> bool {
        let seat = self.keeper.get().and_then(|&seat| self.seats.get(seat));
        seat.inspect(|seat| seat.unpark()).is_some()
    }

    /// Whether anybody wants to know what was counted.
    pub(crate) fn counts(&self) -> bool {
        self.statistics.is_some()
    }

    /// Counts an OCALL.
    pub(crate) fn count(&self, call: Ocall) {
        if let Some(count) = self.ocalls.get(call as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Replaces what the platform counted for a thread since it sat down, adding to `before`.
    pub(crate) fn note(&self, seat: usize, before: Counters, now: Counters) {
        *locked(&self.seats[seat].counted) = Counters {
            exceptions: before.exceptions + now.exceptions,
            interrupts: before.interrupts + now.interrupts,
            enclu_leaves: before.enclu_leaves + now.enclu_leaves,
            leaked_syscalls: before.leaked_syscalls + now.leaked_syscalls,
            unclean_exits: before.unclean_exits + now.unclean_exits,
        };
    }

    /// What was counted on a seat so far.
    pub(crate) fn noted(&self, seat: usize) -> Counters {
        *locked(&self.seats[seat].counted)
    }

    /// Keeps what the enclave counted, for the report.
    pub(crate) fn keep_enclave_words(&self, bytes: &[u8]) {
        *locked(&self.enclave_words) = Some(bytes.to_vec());
    }

    /// Ends this host process with the program's status, after writing the report.
    pub(crate) fn finish(&self, status: i32) -> ! {
        let mut status = status;
        if let Some(path) = &self.statistics
            && let Err(error) = self.report().write(path)
        {
            eprintln!("occlum-run: error: {error}");
            status = 1;
        }
        terminal::exit(status)
    }

    fn report(&self) -> Report {
        let mut report = Report {
            ecalls: self.ecalls.load(Ordering::Relaxed),
            ..Report::default()
        };
        for (number, count) in (0..).zip(&self.ocalls) {
            let count = count.load(Ordering::Relaxed);
            if let Some(call) = Ocall::from_number(number).filter(|_| count > 0) {
                report.ocalls += count;
                report.ocalls_by_name.insert(format!("{call:?}"), count);
            }
        }
        for seat in &self.seats {
            report.add(*locked(&seat.counted));
        }
        if let Some(words) = &*locked(&self.enclave_words) {
            report.take_enclave_words(words);
        }
        report
    }
}

/// A lock whose holders never leave its value half-changed, so that a panic of one of them does
/// not matter.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read};
    use std::time::{Duration, Instant};

    use super::Seat;

    #[test]
    fn a_wake_up_that_came_first_is_not_lost() {
        let seat = Seat::new(0);

        seat.unpark();
        seat.park(None);
    }

    #[test]
    fn a_wake_up_rings_the_bell_of_a_thread_that_listens() {
        let seat = Seat::new(0);
        let mut byte = [0];
        let ring = |seat: &Seat, byte: &mut [u8]| {
            let mut ear = seat.bell().expect("descriptors");
            ear.read(byte).map_err(|error| error.kind())
        };

        seat.unpark();
        seat.bell().expect("descriptors");
        assert!(seat.listen(|is_rung| is_rung));
        let heard = seat.listen(|is_rung| {
            assert!(!is_rung);
            seat.unpark();
            ring(&seat, &mut byte)
        });

        assert_eq!(heard, Ok(1));
        assert_eq!(ring(&seat, &mut byte), Err(ErrorKind::WouldBlock));
    }

    #[test]
    fn parking_ends_when_its_time_is_over() {
        let seat = Seat::new(0);
        let before = Instant::now();

        seat.park(Some(Duration::from_millis(20)));

        assert!(before.elapsed() >= Duration::from_millis(20));
    }
}

//! When a host thread may be interrupted.

use core::mem::MaybeUninit;
use core::ptr;
use core::time::Duration;

/// Signals that no thread may block: they carry what happens inside the enclave.
const SYNCHRONOUS: [libc::c_int; 6] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGTRAP,
    libc::SIGSYS,
];

/// Asynchronous signals are blocked for the calling thread while this lives; then its former mask
/// holds again.
///
/// A thread that is about to attach to an enclave, or has just left it for good, is in no state in
/// which a signal handler of the platform could find its way.
#[must_use]
pub(crate) struct Blocked {
    former: libc::sigset_t,
}

impl Blocked {
    /// Blocks them.
    pub(crate) fn new() -> Self {
        let mut wanted = MaybeUninit::uninit();
        let mut former = MaybeUninit::uninit();
        // SAFETY: `wanted` is a valid place for a set, which this call initialises.
        unsafe { libc::sigfillset(wanted.as_mut_ptr()) };
        for signal in SYNCHRONOUS {
            // SAFETY: the set was initialised above, and the numbers are valid signals.
            unsafe { libc::sigdelset(wanted.as_mut_ptr(), signal) };
        }
        // SAFETY: both point to sets of the right type; the call cannot fail with these arguments,
        // and initialises `former`.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, wanted.as_ptr(), former.as_mut_ptr()) };
        // SAFETY: initialised by the call above.
        let mut former = unsafe { former.assume_init() };
        // Whoever started this process may have blocked it.
        // SAFETY: a valid set and a valid signal.
        unsafe { libc::sigdelset(&raw mut former, platform::INTERRUPT_SIGNAL) };
        Self { former }
    }

    /// The same for a thread that the calling thread is about to start, and which inherits its mask.
    pub(crate) fn for_new_thread(&self) -> Self {
        Self {
            former: self.former,
        }
    }

    /// Leaves them blocked for the rest of the thread's life.
    pub(crate) fn keep(self) {
        core::mem::forget(self);
    }
}

/// [`platform::INTERRUPT_SIGNAL`] is blocked for the calling thread while this lives, but for the
/// moment of a [`Uninterrupted::poll`]: so that none comes between looking for one and waiting.
#[must_use]
pub(crate) struct Uninterrupted {
    former: libc::sigset_t,
}

impl Uninterrupted {
    pub(crate) fn new() -> Self {
        let mut wanted = MaybeUninit::uninit();
        let mut former = MaybeUninit::uninit();
        // SAFETY: `wanted` is a valid place for a set, which this call initialises.
        unsafe { libc::sigemptyset(wanted.as_mut_ptr()) };
        // SAFETY: the set was initialised above; the number is a valid signal.
        unsafe { libc::sigaddset(wanted.as_mut_ptr(), platform::INTERRUPT_SIGNAL) };
        // SAFETY: as in `Blocked::new`.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, wanted.as_ptr(), former.as_mut_ptr()) };
        // SAFETY: initialised by the call above.
        let former = unsafe { former.assume_init() };
        Self { former }
    }

    /// `ppoll(2)`, which an interruption ends with `EINTR`, even one that has come already.
    pub(crate) fn poll(&self, list: &mut [libc::pollfd], timeout: Option<Duration>) -> libc::c_int {
        let time = timeout.map(|timeout| libc::timespec {
            tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        });
        let time = time.as_ref().map_or(ptr::null(), ptr::from_ref);
        // SAFETY: the list is valid for reads and writes of its length; the time, if there is one,
        // and the mask are valid for reads.
        unsafe {
            libc::ppoll(
                list.as_mut_ptr(),
                list.len() as libc::nfds_t,
                time,
                &raw const self.former,
            )
        }
    }
}

impl Drop for Uninterrupted {
    fn drop(&mut self) {
        // SAFETY: as for `Blocked`.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.former, ptr::null_mut())
        };
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: `former` is the set that `new` was given by the same call.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.former, ptr::null_mut())
        };
    }
}

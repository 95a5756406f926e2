//! When a host thread may be interrupted.

use core::mem::MaybeUninit;
use core::ptr;

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
        let former = unsafe { former.assume_init() };
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

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: `former` is the set that `new` was given by the same call.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.former, ptr::null_mut())
        };
    }
}

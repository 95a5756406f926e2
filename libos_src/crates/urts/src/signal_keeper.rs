//! Signals of the host that the enclave wants to hear of.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::ocall::Command;
use platform::Enclave;

use crate::process::Process;
use crate::{terminal, thread};

/// Signals that can be kept. The others report what instructions do, belong to the platform, or
/// cannot be caught.
const KEEPABLE: [libc::c_int; 13] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGTERM,
    libc::SIGCONT,
    libc::SIGTSTP,
    libc::SIGTTIN,
    libc::SIGTTOU,
    libc::SIGWINCH,
    libc::SIGIO,
    libc::SIGPWR,
];

/// Starts to keep the signals of `set`, for the rest of this process's life.
///
/// They become pending for the process, since all its threads block them, until the thread that is
/// started here takes them. Called by the first thread, before there are others.
pub(crate) fn keep<E: Enclave>(process: &Arc<Process<E>>, set: u64) -> Result<(), i32> {
    let mut mask = core::mem::MaybeUninit::uninit();
    // SAFETY: a place for a set, which this initialises.
    unsafe { libc::sigemptyset(mask.as_mut_ptr()) };
    for signal in KEEPABLE {
        if set >> (signal - 1) & 1 != 0 {
            // SAFETY: initialised above, and a valid signal.
            unsafe { libc::sigaddset(mask.as_mut_ptr(), signal) };
        }
    }
    // SAFETY: initialised above.
    let mask = unsafe { mask.assume_init() };
    // SAFETY: the mask is valid for reads.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const mask, core::ptr::null_mut()) };
    let shared = Arc::clone(process);
    let builder = std::thread::Builder::new().name("signals".to_owned());
    let started = builder.spawn(move || wait(&shared, &mask));
    started.map(drop).map_err(|_| libc::EAGAIN)
}

/// Takes signals one by one, and wakes the keeper for each.
fn wait<E: Enclave>(process: &Arc<Process<E>>, mask: &libc::sigset_t) {
    loop {
        let mut signal = 0;
        // SAFETY: the mask is valid, and `signal` a place for the answer.
        if unsafe { libc::sigwait(mask, &raw mut signal) } != 0 {
            return;
        }
        process
            .kept_signals
            .fetch_or(1 << (signal - 1), Ordering::SeqCst);
        if !process.wake_keeper() {
            // If the host has no thread for it, the signal waits for the next one.
            let _ = spawn(process);
        }
    }
}

/// Starts the keeper, unless there is one.
pub(crate) fn spawn<E: Enclave>(process: &Arc<Process<E>>) -> Result<(), i32> {
    if !process.claim_keeper() {
        return Ok(());
    }
    thread::spawn(process, Command::Keeper).inspect_err(|_| process.give_keeper_up())
}

/// Stops this process until somebody continues it, with the terminal as it was before.
pub(crate) fn stop() {
    terminal::with_original(|| {
        // SAFETY: stops the process; takes no memory.
        unsafe { libc::raise(libc::SIGSTOP) };
    });
}

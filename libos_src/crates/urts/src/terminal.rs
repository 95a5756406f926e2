//! The host's terminal: its settings, and that they are put back.

use core::mem::MaybeUninit;
use core::ptr;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};

use abi::ocall::{TERMINAL_SETTINGS_SIZE, TerminalRequest};

use crate::serve::last_errno;

type Settings = [u8; TERMINAL_SETTINGS_SIZE];

/// What the terminal was like before the enclave changed it.
struct Original {
    descriptor: libc::c_int,
    settings: Settings,
}

static ORIGINAL: Mutex<Option<Original>> = Mutex::new(None);
/// Whether there is something to put back.
static IS_CHANGED: AtomicBool = AtomicBool::new(false);

/// Ends of this process that come by a signal, if the enclave does not keep it.
const FATAL: [libc::c_int; 5] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGABRT,
];

/// Reads the settings.
pub(crate) fn settings(descriptor: libc::c_int, out: &mut [u8]) -> Result<u64, i32> {
    let out = out
        .first_chunk_mut::<TERMINAL_SETTINGS_SIZE>()
        .ok_or(libc::EINVAL)?;
    control(descriptor, libc::TCGETS, ptr::from_mut(out).cast())
}

/// Changes the settings; what they were at first is put back when this process ends.
pub(crate) fn set_settings(descriptor: libc::c_int, when: u64, new: &[u8]) -> Result<u64, i32> {
    let mut new = *new
        .first_chunk::<TERMINAL_SETTINGS_SIZE>()
        .ok_or(libc::EINVAL)?;
    let request = match when {
        0 => libc::TCSETS,
        1 => libc::TCSETSW,
        2 => libc::TCSETSF,
        _ => return Err(libc::EINVAL),
    };
    remember(descriptor)?;
    control(descriptor, request, ptr::from_mut(&mut new).cast())
}

/// Serves the other requests.
pub(crate) fn request(descriptor: libc::c_int, number: u64, argument: u64) -> Result<u64, i32> {
    let flush = |which| control(descriptor, libc::TCFLSH, ptr::without_provenance_mut(which));
    match TerminalRequest::from_number(number).ok_or(libc::EINVAL)? {
        TerminalRequest::InputSize => {
            let mut size: libc::c_int = 0;
            control(descriptor, libc::FIONREAD, ptr::from_mut(&mut size).cast())?;
            u64::try_from(size).map_err(|_| libc::EIO)
        }
        // Not zero: wait for the output, and send no break.
        TerminalRequest::Drain => control(descriptor, libc::TCSBRK, ptr::without_provenance_mut(1)),
        TerminalRequest::FlushInput => flush(libc::TCIFLUSH as usize),
        TerminalRequest::FlushOutput => flush(libc::TCOFLUSH as usize),
        TerminalRequest::Flush => flush(libc::TCIOFLUSH as usize),
        TerminalRequest::SetSize => {
            let mut size = libc::winsize {
                ws_row: (argument >> 16) as u16,
                ws_col: argument as u16,
                ws_xpixel: 0,
                ws_ypixel: 0,
            };
            control(
                descriptor,
                libc::TIOCSWINSZ,
                ptr::from_mut(&mut size).cast(),
            )
        }
    }
}

fn control(
    descriptor: libc::c_int,
    request: libc::c_ulong,
    argument: *mut libc::c_void,
) -> Result<u64, i32> {
    // SAFETY: the caller passes what the request reads or writes: a number, or a pointer to a local
    // value of its type.
    if unsafe { libc::ioctl(descriptor, request, argument) } < 0 {
        return Err(last_errno());
    }
    Ok(0)
}

/// Notes what is to be put back, before the first change.
fn remember(descriptor: libc::c_int) -> Result<(), i32> {
    let mut original = ORIGINAL.lock().unwrap_or_else(PoisonError::into_inner);
    if original.is_some() {
        return Ok(());
    }
    let mut found = [0; TERMINAL_SETTINGS_SIZE];
    settings(descriptor, &mut found)?;
    *original = Some(Original {
        descriptor,
        settings: found,
    });
    IS_CHANGED.store(true, Ordering::SeqCst);
    for signal in FATAL {
        end_by(signal);
    }
    Ok(())
}

/// Has the terminal put back before a signal ends this process.
fn end_by(signal: libc::c_int) {
    // SAFETY: all zero is a legal sigaction.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    let handler: extern "C" fn(libc::c_int) = end;
    action.sa_sigaction = handler as *const () as usize;
    // It may come to a thread in a software enclave, whose stack is the program's.
    action.sa_flags = libc::SA_ONSTACK | libc::SA_RESTART;
    // SAFETY: writes the mask of a local value.
    unsafe { libc::sigfillset(&raw mut action.sa_mask) };
    // SAFETY: the handler does only what a handler may. A signal that the enclave keeps is blocked
    // everywhere, and never gets here.
    unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) };
}

/// Puts the terminal back, and ends as the signal would have.
extern "C" fn end(signal: libc::c_int) {
    restore();
    // SAFETY: async-signal-safe.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
    // SAFETY: as above.
    unsafe { libc::raise(signal) };
}

/// Puts the terminal back as it was. May be called from a signal handler.
pub(crate) fn restore() {
    set(|original| Some(original.settings));
}

/// Runs `pause` with the terminal as it was before the enclave, if it is not so now.
pub(crate) fn with_original(pause: impl FnOnce()) {
    let mut current = None;
    set(|original| {
        let mut found = [0; TERMINAL_SETTINGS_SIZE];
        settings(original.descriptor, &mut found).ok()?;
        current = Some(found);
        Some(original.settings)
    });
    pause();
    set(|_| current);
}

fn set(choose: impl FnOnce(&Original) -> Option<Settings>) {
    if !IS_CHANGED.load(Ordering::SeqCst) {
        return;
    }
    // A handler cannot wait for who holds it, who sets the terminal right now.
    if let Ok(original) = ORIGINAL.try_lock()
        && let Some(original) = original.as_ref()
        && let Some(mut settings) = choose(original)
    {
        let settings = ptr::from_mut(&mut settings).cast();
        let _ = control(original.descriptor, libc::TCSETS, settings);
    }
}

/// Ends this process, with the terminal as it was.
pub fn exit(status: i32) -> ! {
    restore();
    std::process::exit(status)
}

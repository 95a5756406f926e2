//! A thread of the enclave: a host thread that enters, serves, and enters again.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::ocall::{Command, ExitKind, Refusal};
use platform::{Enclave, EnterLeaf, EntryRegisters, Exit, Thread};

use crate::RunError;
use crate::mailbox::Mailbox;
use crate::process::Process;
use crate::serve;
use crate::signals::Blocked;
use crate::terminal::exit;

/// Runs `command` on the calling host thread, on the thread control page of `seat`, until the
/// enclave says that it is done. The seat is then free, and asynchronous signals stay blocked: the
/// thread has nothing more to do that one could interrupt.
///
/// # Errors
/// If the thread cannot be attached, or the enclave refuses or leaves in an impossible way.
pub(crate) fn run<E: Enclave>(
    process: &Arc<Process<E>>,
    seat: usize,
    command: Command,
    argument: u64,
    attaching: Blocked,
) -> Result<(), RunError> {
    let attached = process
        .enclave
        .attach_thread(process.seats[seat].tcs_offset);
    let mut thread = attached.map_err(|error| RunError::Platform {
        step: "attaching a thread",
        error,
    })?;
    process.seats[seat].sit();
    drop(attaching);

    process.ecalls.fetch_add(1, Ordering::Relaxed);
    let outcome = stay(process, seat, &mut thread, command, argument);

    Blocked::new().keep();
    process.seats[seat].rise();
    drop(thread);
    process.leave_seat(seat);
    outcome
}

/// Enters until the command is over.
fn stay<E: Enclave>(
    process: &Arc<Process<E>>,
    seat: usize,
    thread: &mut E::Thread,
    command: Command,
    argument: u64,
) -> Result<(), RunError> {
    let mut mailbox = Mailbox::new();
    let before = process.noted(seat);
    let registers = EntryRegisters {
        rdi: command as u64,
        rsi: mailbox.address(),
        rdx: argument,
        ..EntryRegisters::default()
    };
    let mut leaf = EnterLeaf::Enter;
    // Between an exception and the enclave's word that it is dealt with.
    let mut in_handler = false;
    let mut interrupted_again = false;
    loop {
        #[cfg(feature = "testing")]
        let (leaf_now, registers) = crate::testing::entry(leaf, registers);
        #[cfg(not(feature = "testing"))]
        let leaf_now = leaf;
        let exit = thread
            .enter(leaf_now, registers)
            .map_err(|error| RunError::Platform {
                step: "entering the enclave",
                error,
            })?;
        if process.counts() {
            process.note(seat, before, thread.counters());
        }
        leaf = match exit {
            Exit::Exception {
                vector, address, ..
            } if in_handler => {
                return Err(RunError::Enclave(format!(
                    "exception {vector} at {address:#x} in the LibOS's exception handler"
                )));
            }
            // The enclave's own handler looks at what happened, on the next SSA frame.
            Exit::Exception { .. } => {
                in_handler = true;
                EnterLeaf::Enter
            }
            // It looks again when it is done.
            Exit::Interrupt if in_handler => {
                interrupted_again = true;
                EnterLeaf::Resume
            }
            Exit::Interrupt => {
                in_handler = true;
                EnterLeaf::Enter
            }
            Exit::Eexit { rdi, rsi } => match ExitKind::from_number(rdi) {
                Some(ExitKind::Resume) if core::mem::take(&mut interrupted_again) => {
                    EnterLeaf::Enter
                }
                Some(ExitKind::Resume) => {
                    in_handler = false;
                    EnterLeaf::Resume
                }
                Some(ExitKind::Ocall) => {
                    serve::serve(process, seat, &mut mailbox)?;
                    EnterLeaf::Enter
                }
                Some(ExitKind::Done) => return done(command, rsi),
                None => {
                    return Err(RunError::Enclave(format!(
                        "the enclave left with kind {rdi:#x}"
                    )));
                }
            },
        };
    }
}

fn done(command: Command, argument: u64) -> Result<(), RunError> {
    match Refusal::from_argument(argument) {
        None => Ok(()),
        // The process ended while this thread was on its way: whoever ended it says so.
        Some(Refusal::ProcessOver) if command != Command::Start => Ok(()),
        Some(refusal) => Err(RunError::Refused(refusal.description().to_owned())),
    }
}

/// Starts a host thread for a thread of the enclave, which enters with `command`.
///
/// # Errors
/// The positive error number if there is no free seat, or the host has no thread to give.
pub(crate) fn spawn<E: Enclave>(process: &Arc<Process<E>>, command: Command) -> Result<(), i32> {
    let seat = process.take_seat().ok_or(libc::EAGAIN)?;
    let shared = Arc::clone(process);
    let starting = Blocked::new();
    let attaching = starting.for_new_thread();
    let builder = std::thread::Builder::new().name(format!("enclave-{seat}"));
    let started = builder.spawn(move || {
        if command == Command::Keeper {
            shared.keeper_sits(seat);
        }
        if let Err(error) = run(&shared, seat, command, 0, attaching) {
            eprintln!("occlum-run: error: {error}");
            exit(error.exit_status().into());
        }
    });
    started.map(drop).map_err(|_| {
        process.leave_seat(seat);
        libc::EAGAIN
    })
}

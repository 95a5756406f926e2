//! What the machine can answer itself, because it was told ahead: who asks, and whose child it is.

use hal::{LogLevel, Machine};

use super::call::Call;
use super::{identity, users};

/// `getpid` and its like: without arguments, without effects, and with an answer that seldom changes.
const GETPID: u16 = 39;
const GETUID: u16 = 102;
const GETGID: u16 = 104;
const GETEUID: u16 = 107;
const GETEGID: u16 = 108;
const GETPPID: u16 = 110;
const GETPGRP: u16 = 111;
const GETTID: u16 = 186;

/// The machine can serve it while it knows the time without asking the host.
pub(crate) const CLOCK_GETTIME: u64 = 228;

/// Whether the answer of a call can be known ahead.
pub(super) fn can_be_known(number: u64) -> bool {
    let known = [
        GETPID, GETUID, GETGID, GETEUID, GETEGID, GETPPID, GETPGRP, GETTID,
    ];
    u16::try_from(number).is_ok_and(|number| known.contains(&number))
}

/// Lets the machine serve what it can, unless somebody wants to hear of each.
pub(crate) fn begin(machine: &dyn Machine) {
    if !machine.listens(LogLevel::Trace) {
        machine.serve_clock(CLOCK_GETTIME);
    }
}

impl Call<'_> {
    /// Tells the machine what the thread's next calls of this kind would get, unless somebody wants to
    /// hear of each.
    pub(super) fn answer_ahead(&mut self) {
        let machine = self.libos.machine;
        if machine.listens(LogLevel::Trace) {
            return;
        }
        // What changes from here on makes these answers void.
        let version = machine.answers_version();
        let answers = [
            (GETPID, identity::getpid(self)),
            (GETUID, users::getuid(self)),
            (GETGID, users::getgid(self)),
            (GETEUID, users::geteuid(self)),
            (GETEGID, users::getegid(self)),
            (GETPPID, identity::getppid(self)),
            (GETPGRP, identity::getpgrp(self)),
            (GETTID, identity::gettid(self)),
        ];
        let mut given = [(0, 0); 8];
        for (to, (number, outcome)) in given.iter_mut().zip(answers) {
            let Some(answer) = outcome.ok().and_then(|id| u32::try_from(id).ok()) else {
                return;
            };
            *to = (number, answer);
        }
        machine.give_answers(version, &given);
    }
}

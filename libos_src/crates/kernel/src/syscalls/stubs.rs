//! Calls that put something at addresses of the program's choice, where the LibOS may have stubs.

use core::ops::Range;

use hal::Errno;

use super::Stop;
use super::call::{Call, Outcome};

impl Call<'_> {
    /// Has `act` put something in a range. If that fails because jumps of text that stays lead there, they are
    /// taken out meanwhile, and lead elsewhere afterwards.
    pub(super) fn put_in(
        &mut self,
        range: &Range<u64>,
        mut act: impl FnMut(&mut Self) -> Outcome,
    ) -> Outcome {
        let outcome = act(self);
        let is_refused = matches!(
            outcome,
            Err(Stop::Errno(Errno::ENOMEM | Errno::EEXIST | Errno::EINVAL))
        );
        if !is_refused || !self.memory().has_stubs_in(range) {
            return outcome;
        }
        let (libos, task) = (self.libos, self.task);
        if !libos.run_alone(task) {
            return Err(Stop::Restart);
        }
        let outcome = match task.memory.unpatch(range) {
            Ok(texts) => {
                let outcome = act(self);
                task.memory.patch_again(&texts);
                outcome
            }
            Err(errno) => Err(errno.into()),
        };
        libos.let_others_run(task);
        outcome
    }
}

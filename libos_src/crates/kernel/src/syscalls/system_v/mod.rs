//! System V's shared memory, semaphores and message queues.

pub(crate) mod messages;
pub(crate) mod registry;
pub(crate) mod segments;
pub(crate) mod semaphores;
mod set;

use alloc::sync::Arc;

use hal::Machine;

use crate::memory::SharedPages;

/// All objects.
#[derive(Default)]
pub(crate) struct SystemV {
    pub(crate) segments: segments::Segments,
    pub(crate) semaphores: semaphores::Semaphores,
    pub(crate) queues: messages::Queues,
}

impl SystemV {
    /// A process ends: what it has taken from semaphores and meant to give back comes back.
    pub(crate) fn forget_process(&self, machine: &dyn Machine, pid: u32) {
        semaphores::undo(&self.semaphores, machine, pid);
    }

    /// A process has got parts of segments, or lost them, by other ways than calls for that.
    pub(crate) fn note(
        &self,
        machine: &dyn Machine,
        pid: u32,
        all: &[Arc<SharedPages>],
        is_loss: bool,
    ) {
        segments::note(&self.segments, machine, pid, all, is_loss);
    }
}

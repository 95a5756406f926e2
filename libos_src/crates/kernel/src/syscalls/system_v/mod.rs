//! System V's shared memory, semaphores and message queues.

pub(crate) mod messages;
pub(crate) mod registry;
pub(crate) mod segments;
pub(crate) mod semaphores;

/// All objects.
#[derive(Default)]
pub(crate) struct SystemV {
    pub(crate) segments: segments::Segments,
    pub(crate) semaphores: semaphores::Semaphores,
    pub(crate) queues: messages::Queues,
}

impl SystemV {
    /// A process ends: what it has taken from semaphores and meant to give back comes back.
    pub(crate) fn forget_process(&self, pid: u32) {
        semaphores::undo(&self.semaphores, pid);
    }
}

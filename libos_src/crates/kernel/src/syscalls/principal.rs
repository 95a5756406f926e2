//! Who makes a call, and what that means for files.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ops::Deref;
use core::sync::atomic::Ordering;

use hal::Errno;
use locks::RwLockReadGuard;
use vfs::{Capabilities, Viewpoint};

use super::call::Call;
use crate::processes::{Principal, Process, Standing};

/// What the calling thread sees of the file systems, with its own rights.
pub(super) enum View<'a> {
    /// It acts as all threads of its process do.
    Shared(RwLockReadGuard<'a, Viewpoint>),
    /// It is somebody of its own.
    Own(Box<Viewpoint>),
}

impl Deref for View<'_> {
    type Target = Viewpoint;

    fn deref(&self) -> &Viewpoint {
        match self {
            Self::Shared(view) => view,
            Self::Own(view) => view,
        }
    }
}

impl Call<'_> {
    /// Where the calling thread stands in the file systems.
    pub(super) fn viewpoint(&self) -> View<'_> {
        let shared = self.task.places.view.read();
        let Some(own) = self.thread.principal() else {
            return View::Shared(shared);
        };
        let mut view = shared.clone();
        drop(shared);
        view.credentials = own.credentials;
        View::Own(Box::new(view))
    }

    /// Who the calling thread acts as.
    pub(super) fn principal(&self) -> Principal {
        if let Some(own) = self.thread.principal() {
            return *own;
        }
        Principal {
            standing: *self.process.standing.lock(),
            credentials: self.task.places.view.read().credentials.clone(),
        }
    }

    /// The ids and capabilities of the calling thread.
    pub(super) fn standing(&self) -> Standing {
        match self.thread.principal() {
            Some(own) => own.standing,
            None => *self.process.standing.lock(),
        }
    }

    /// Changes who the calling thread acts as; if it is the only one, who its process is.
    pub(super) fn change_principal<T>(
        &self,
        change: impl FnOnce(&mut Principal) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let before = self.principal();
        let mut principal = before.clone();
        let value = change(&mut principal)?;
        if before.is_hidden_as(&principal) {
            self.process.is_dumpable.store(false, Ordering::Relaxed);
        }
        let is_own = self.thread.principal().is_some() || self.process.thread_count() > 1;
        if is_own {
            self.thread.set_principal(Some(Box::new(principal)));
        } else {
            *self.process.standing.lock() = principal.standing;
            self.task.places.view.write().credentials = principal.credentials;
        }
        self.libos.machine.forget_answers();
        Ok(value)
    }

    /// Checks that the calling thread has a capability.
    ///
    /// # Errors
    /// `EPERM`.
    pub(super) fn require(&self, capability: Capabilities) -> Result<(), Errno> {
        if self.standing().can(capability) {
            Ok(())
        } else {
            Err(Errno::EPERM)
        }
    }

    /// Whether the calling thread may look into another process.
    pub(super) fn may_look_into(&self, process: &Arc<Process>) -> bool {
        Arc::ptr_eq(process, self.process) || self.standing().may_look_into(process)
    }
}

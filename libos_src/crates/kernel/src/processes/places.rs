//! What a process has open and where it stands, which it may share with others.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use locks::{Mutex, RwLock};
use vfs::Viewpoint;

use super::name_space::{FIRST_MADE, FIRST_OF_HOST_NAMES};
use crate::files::Descriptors;

/// The descriptors of a thread, and its place in the file systems. A clone is the same ones.
#[derive(Clone)]
pub(crate) struct Places {
    /// The descriptors (`CLONE_FILES`).
    pub(crate) files: Arc<RwLock<Descriptors>>,
    /// Root, working directory and creation mask (`CLONE_FS`), with the credentials of threads that
    /// have no identity of their own.
    pub(crate) view: Arc<RwLock<Viewpoint>>,
    /// The name space of host names (`CLONE_NEWUTS`).
    pub(crate) names: Arc<Mutex<HostNames>>,
}

/// What the machine that programs see is called.
#[derive(Clone)]
pub(crate) struct HostNames {
    /// `sethostname`
    pub(crate) host: Vec<u8>,
    /// `setdomainname`
    pub(crate) domain: Vec<u8>,
    /// That of the name space.
    pub(crate) number: u64,
}

impl Default for HostNames {
    fn default() -> Self {
        Self {
            host: b"occlum".to_vec(),
            domain: b"(none)".to_vec(),
            number: FIRST_OF_HOST_NAMES,
        }
    }
}

impl Places {
    /// Places that nobody shares.
    pub(crate) fn new(files: Descriptors, view: Viewpoint) -> Self {
        Self {
            files: Arc::new(RwLock::new(files)),
            view: Arc::new(RwLock::new(view)),
            names: Arc::default(),
        }
    }

    /// Gives them host names of their own, which are what they were.
    pub(crate) fn unshare_names(&mut self) {
        static NEXT: AtomicU64 = AtomicU64::new(FIRST_MADE);
        let names = HostNames {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            ..self.names.lock().clone()
        };
        self.names = Arc::new(Mutex::new(names));
    }

    /// The same descriptors under a count of their own (`unshare`); `None` if nobody shares them.
    pub(crate) fn own_files(&self) -> Option<Self> {
        let mut shared = self.files.write();
        if shared.user_count == 1 {
            return None;
        }
        shared.user_count -= 1;
        let files = shared.copy();
        drop(shared);
        Some(Self {
            files: Arc::new(RwLock::new(files)),
            ..self.clone()
        })
    }

    /// One process or thread less has these descriptors; they are closed with the last one.
    pub(crate) fn leave_files(&self) {
        let mut files = self.files.write();
        files.user_count -= 1;
        if files.user_count > 0 {
            return;
        }
        // Closing files may take long, so it is done without the lock.
        let closed = core::mem::take(&mut *files);
        drop(files);
        drop(closed);
    }
}

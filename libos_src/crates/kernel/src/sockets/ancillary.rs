//! What travels beside the bytes: open files, and who sent them.

use alloc::sync::Arc;
use alloc::vec::Vec;

use vfs::OpenFile;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{Socket, Sockets};

/// Who a process is (`struct ucred`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Identity {
    pub(crate) process: u32,
    pub(crate) user: u32,
    pub(crate) group: u32,
}

/// What goes with one message.
pub(crate) struct Ancillary {
    /// The sender, or who the sender said that it is; `None` if nobody had asked for that.
    pub(crate) sender: Option<Identity>,
    rights: Rights,
}

/// Open files on their way. They are counted, so that sockets that are in each other's inbox and
/// nowhere else can be found.
struct Rights {
    files: Vec<Arc<OpenFile>>,
    /// On whose account they travel.
    user: u32,
    sockets: Arc<Sockets>,
}

impl Ancillary {
    /// Files that `sender` sends, which `user` is.
    pub(crate) fn new(
        sender: Option<Identity>,
        user: u32,
        files: Vec<Arc<OpenFile>>,
        sockets: &Arc<Sockets>,
    ) -> Self {
        sockets.depart(&files, user);
        let rights = Rights {
            files,
            user,
            sockets: sockets.clone(),
        };
        Self { sender, rights }
    }

    /// The files.
    pub(crate) fn files(&self) -> &[Arc<OpenFile>] {
        &self.rights.files
    }

    /// Takes the files out: they have arrived.
    pub(crate) fn take_files(&mut self) -> Vec<Arc<OpenFile>> {
        self.rights.take()
    }

    /// The sockets among the files.
    pub(super) fn for_each_socket(&self, mut visit: impl FnMut(&Socket)) {
        let sockets = self.files().iter().filter_map(|file| Socket::behind(file));
        sockets.for_each(&mut visit);
    }
}

impl Rights {
    fn take(&mut self) -> Vec<Arc<OpenFile>> {
        let files = core::mem::take(&mut self.files);
        self.sockets.arrive(&files, self.user);
        files
    }
}

impl Drop for Rights {
    /// Closes the files, but not here if this is the end of a socket that was closed so: each of a
    /// long row of sockets may lie in the inbox of the next, and the stack is not as long.
    fn drop(&mut self) {
        let files = self.take();
        if !files.is_empty() {
            self.sockets.close(files);
        }
    }
}

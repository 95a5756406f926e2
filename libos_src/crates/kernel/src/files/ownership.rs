//! Whose a file without a file system is, and what others may do with it.

use vfs::{AttributeChange, FileType, Metadata, Mode};

/// What `fchmod` and `fchown` change of a pipe or a socket. Of a FIFO the file system knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ownership {
    user: u32,
    group: u32,
    mode: Mode,
}

impl Ownership {
    /// What a new file has.
    pub(crate) const fn new(user: u32, group: u32, mode_bits: u32) -> Self {
        Self {
            user,
            group,
            mode: Mode::from_low_bits(mode_bits),
        }
    }

    /// The attributes of such a file.
    pub(crate) fn metadata(self, number: u64, kind: FileType) -> Metadata {
        let (user, group) = (self.user, self.group);
        Metadata {
            user,
            group,
            ..Metadata::fixed(number, kind, self.mode)
        }
    }

    /// Takes over what is asked for; times are not kept.
    pub(crate) fn change(&mut self, change: &AttributeChange) {
        self.mode = change.mode.unwrap_or(self.mode);
        self.user = change.user.unwrap_or(self.user);
        self.group = change.group.unwrap_or(self.group);
    }
}

//! Flags of `open` and of an open file.

use bitflags::bitflags;

use crate::Access;

bitflags! {
    /// The `O_` flags of x86-64. `O_CLOEXEC` belongs to the descriptor and is ignored here.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct OpenFlags: u32 {
        /// Open for writing only.
        const WRITE_ONLY = 0o1;
        /// Open for reading and writing.
        const READ_WRITE = 0o2;
        /// Create the file if it does not exist.
        const CREATE = 0o100;
        /// Fail if it exists.
        const EXCLUSIVE = 0o200;
        /// Do not make it the controlling terminal.
        const NO_CONTROLLING_TERMINAL = 0o400;
        /// Set the size to zero.
        const TRUNCATE = 0o1000;
        /// Every write goes to the end.
        const APPEND = 0o2000;
        /// Never wait.
        const NON_BLOCKING = 0o4000;
        /// Each write is durable (`O_DSYNC`).
        const DATA_SYNCHRONOUS = 0o10000;
        /// Send `SIGIO`.
        const ASYNC = 0o20000;
        /// Bypass caches.
        const DIRECT = 0o40000;
        /// Allow sizes over 2 GiB, which nothing here forbids.
        const LARGE_FILE = 0o100000;
        /// Fail unless it is a directory.
        const DIRECTORY = 0o200000;
        /// Fail if it is a symbolic link.
        const NO_FOLLOW = 0o400000;
        /// Leave the access time alone.
        const NO_ACCESS_TIME = 0o1000000;
        /// Close on exec.
        const CLOSE_ON_EXEC = 0o2000000;
        /// Each write and its metadata are durable; with `DATA_SYNCHRONOUS` it is `O_SYNC`.
        const SYNCHRONOUS = 0o4000000;
        /// Only a place in the tree, not open for input or output.
        const PATH = 0o10000000;
        /// A file without a name; with `DIRECTORY` it is `O_TMPFILE`.
        const TEMPORARY = 0o20000000;
    }
}

impl OpenFlags {
    /// The flags that `fcntl(F_SETFL)` can change.
    pub const CHANGEABLE: Self = Self::APPEND
        .union(Self::NON_BLOCKING)
        .union(Self::ASYNC)
        .union(Self::DIRECT)
        .union(Self::NO_ACCESS_TIME);

    /// The flags that mean something together with `O_PATH`.
    const WITH_PATH: Self = Self::PATH
        .union(Self::DIRECTORY)
        .union(Self::NO_FOLLOW)
        .union(Self::CLOSE_ON_EXEC);

    /// Flags from a system call's argument. As `open` does, it ignores unknown bits, and with
    /// `O_PATH` all but the few that mean something then.
    #[must_use]
    pub const fn from_argument(argument: u32) -> Self {
        let flags = Self::from_bits_truncate(argument);
        if flags.contains(Self::PATH) {
            return flags.intersection(Self::WITH_PATH);
        }
        flags
    }

    /// Whether reads are allowed.
    #[must_use]
    pub const fn is_readable(self) -> bool {
        // All access bits together are neither: a descriptor for `ioctl` alone.
        !self.contains(Self::WRITE_ONLY) && !self.contains(Self::PATH)
    }

    /// Whether writes are allowed.
    #[must_use]
    pub const fn is_writable(self) -> bool {
        let both = Self::WRITE_ONLY.union(Self::READ_WRITE);
        self.intersects(both) && !self.contains(both) && !self.contains(Self::PATH)
    }

    /// The access to the file that opening it so needs.
    #[must_use]
    pub fn access(self) -> Access {
        let mut access = Access::empty();
        let is_for_control =
            self.contains(Self::WRITE_ONLY | Self::READ_WRITE) && !self.contains(Self::PATH);
        access.set(Access::READ, self.is_readable() || is_for_control);
        access.set(
            Access::WRITE,
            self.is_writable() || is_for_control || self.contains(Self::TRUNCATE),
        );
        access
    }
}

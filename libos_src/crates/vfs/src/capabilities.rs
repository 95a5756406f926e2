//! The parts of what a superuser may do (capabilities(7)).

use bitflags::bitflags;

bitflags! {
    /// Capabilities, in the bits of `capget(2)`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Capabilities: u64 {
        /// Change the owner of files.
        const CHANGE_OWNER = 1 << 0;
        /// Pass over permission bits.
        const OVERRIDE_ACCESS = 1 << 1;
        /// Pass over permission bits to read files and to read and search directories.
        const READ_AND_SEARCH = 1 << 2;
        /// Do what otherwise only the owner of a file may.
        const OWN_FILES = 1 << 3;
        /// Keep set-id bits where others lose them.
        const SET_ID_BITS = 1 << 4;
        /// Send signals to anybody.
        const KILL = 1 << 5;
        /// Change group ids.
        const SET_GROUP = 1 << 6;
        /// Change user ids.
        const SET_USER = 1 << 7;
        /// Give capabilities, and take them from the bounding set.
        const SET_CAPABILITIES = 1 << 8;
        /// Set the flags that keep files as they are, and take them away.
        const PROTECT_FILES = 1 << 9;
        /// Bind to low ports.
        const BIND_SERVICE = 1 << 10;
        /// Lock memory.
        const LOCK_MEMORY = 1 << 14;
        /// Pass over the permissions of System V objects.
        const OWN_SYSTEM_V = 1 << 15;
        /// `chroot`.
        const CHANGE_ROOT = 1 << 18;
        /// Look into other processes.
        const TRACE = 1 << 19;
        /// `mount`, `sethostname` and much more.
        const ADMINISTER = 1 << 21;
        /// Lower nice values, other scheduling policies, other people's threads.
        const SCHEDULE = 1 << 23;
        /// Pass over limits.
        const OVERRIDE_LIMITS = 1 << 24;
        /// Make device nodes.
        const MAKE_DEVICES = 1 << 27;
        /// Have leases of files of others.
        const LEASE = 1 << 28;
        /// Give capabilities to programs, in their files.
        const GIVE_TO_FILES = 1 << 31;
        /// Timers that wake a machine that sleeps.
        const WAKE_ALARM = 1 << 35;
        /// All that Linux has, with those that nothing here asks for.
        const ALL = (1 << 41) - 1;
    }
}

impl Capabilities {
    /// Those about files: who acts as another user on files has that user's (`setfsuid`).
    pub const OF_FILES: Self = Self::CHANGE_OWNER
        .union(Self::OVERRIDE_ACCESS)
        .union(Self::READ_AND_SEARCH)
        .union(Self::OWN_FILES)
        .union(Self::SET_ID_BITS)
        .union(Self::MAKE_DEVICES)
        .union(Self::PROTECT_FILES)
        // Mandatory access control.
        .union(Self::from_bits_retain(1 << 32));
}

//! Resource limits (getrlimit(2)).

use hal::Errno;

/// One limit: `struct rlimit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    /// What counts.
    pub(crate) soft: u64,
    /// How far the program may raise it.
    pub(crate) hard: u64,
}

/// The limits of a process.
#[derive(Clone, Debug)]
pub(crate) struct Limits([Limit; Limits::COUNT as usize]);

impl Limit {
    const UNLIMITED: Self = Self::both(u64::MAX);

    /// A limit that cannot be raised.
    pub(crate) const fn both(value: u64) -> Self {
        Self {
            soft: value,
            hard: value,
        }
    }
}

impl Limits {
    pub(crate) const CPU: u32 = 0;
    pub(crate) const FILE_SIZE: u32 = 1;
    pub(crate) const DATA: u32 = 2;
    pub(crate) const STACK: u32 = 3;
    pub(crate) const CORE: u32 = 4;
    pub(crate) const PROCESSES: u32 = 6;
    pub(crate) const DESCRIPTORS: u32 = 7;
    pub(crate) const LOCKED_MEMORY: u32 = 8;
    pub(crate) const ADDRESS_SPACE: u32 = 9;
    pub(crate) const PENDING_SIGNALS: u32 = 11;
    pub(crate) const MESSAGE_QUEUES: u32 = 12;
    pub(crate) const NICE: u32 = 13;
    pub(crate) const REAL_TIME_PRIORITY: u32 = 14;
    /// Those that a program may lower with the effect that Linux gives them, and that of core
    /// files, of which there are none.
    pub(crate) const HELD: [u32; 12] = [
        Self::CPU,
        Self::FILE_SIZE,
        Self::DATA,
        Self::CORE,
        Self::PROCESSES,
        Self::DESCRIPTORS,
        Self::LOCKED_MEMORY,
        Self::ADDRESS_SPACE,
        Self::PENDING_SIGNALS,
        Self::MESSAGE_QUEUES,
        Self::NICE,
        Self::REAL_TIME_PRIORITY,
    ];
    const COUNT: u32 = 16;

    /// No limits but those given.
    pub(crate) fn new(given: &[(u32, u64)]) -> Self {
        let mut limits = [Limit::UNLIMITED; Self::COUNT as usize];
        for &(resource, value) in given {
            limits[resource as usize] = Limit::both(value);
        }
        Self(limits)
    }

    /// Sets what counts of a limit, which the program may raise again.
    pub(crate) const fn lower(&mut self, resource: u32, soft: u64) {
        self.0[resource as usize].soft = soft;
    }

    /// A limit. `EINVAL` if there is no such resource.
    pub(crate) fn get(&self, resource: u32) -> Result<Limit, Errno> {
        self.0.get(resource as usize).copied().ok_or(Errno::EINVAL)
    }

    /// What counts of a limit.
    pub(crate) const fn soft(&self, resource: u32) -> u64 {
        self.0[resource as usize].soft
    }

    /// Changes a limit. `EPERM` for a hard limit that is raised without the right to, and for more
    /// `descriptors_max` descriptors.
    pub(crate) fn set(
        &mut self,
        resource: u32,
        new: Limit,
        may_raise: bool,
        descriptors_max: u64,
    ) -> Result<(), Errno> {
        let limit = self.0.get_mut(resource as usize).ok_or(Errno::EINVAL)?;
        if new.soft > new.hard {
            return Err(Errno::EINVAL);
        }
        if new.hard > limit.hard && !may_raise {
            return Err(Errno::EPERM);
        }
        if resource == Self::DESCRIPTORS && new.hard > descriptors_max {
            return Err(Errno::EPERM);
        }
        *limit = new;
        Ok(())
    }
}

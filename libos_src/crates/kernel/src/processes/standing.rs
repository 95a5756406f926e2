//! Whose a process is (credentials(7)), and how it stands to others.
//!
//! The user and group for files are in the process's [`vfs::Viewpoint`]; here is the rest.

use hal::Errno;

/// Whose a process is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Standing {
    /// Its user.
    pub(crate) user: Ids,
    /// Its group.
    pub(crate) group: Ids,
    /// Its nice value, from -20 to 19. The host schedules as it likes; the value is kept for who
    /// asks.
    pub(crate) nice: i8,
}

/// The ids of one sort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ids {
    /// Who started it.
    pub(crate) real: u32,
    /// On whose behalf it acts.
    pub(crate) effective: u32,
    /// On whose behalf it may act again.
    pub(crate) saved: u32,
}

impl Standing {
    /// Whether it may become whoever it likes (`CAP_SETUID`, `CAP_SETGID`).
    pub(crate) const fn is_superuser(&self) -> bool {
        self.user.effective == 0
    }
}

impl Ids {
    /// As `setuid(2)`.
    ///
    /// # Errors
    /// `EPERM`.
    pub(crate) fn set(self, id: u32, is_superuser: bool) -> Result<Self, Errno> {
        if is_superuser {
            return Ok(Self {
                real: id,
                effective: id,
                saved: id,
            });
        }
        if id != self.real && id != self.saved {
            return Err(Errno::EPERM);
        }
        Ok(Self {
            effective: id,
            ..self
        })
    }

    /// As `setreuid(2)`.
    ///
    /// # Errors
    /// `EPERM`.
    pub(crate) fn set_two(
        self,
        real: Option<u32>,
        effective: Option<u32>,
        is_superuser: bool,
    ) -> Result<Self, Errno> {
        let may_be_real = real.is_none_or(|id| [self.real, self.effective].contains(&id));
        let may_be_effective = effective.is_none_or(|id| self.has(id));
        if !(is_superuser || (may_be_real && may_be_effective)) {
            return Err(Errno::EPERM);
        }
        let new = effective.unwrap_or(self.effective);
        let saves = real.is_some() || effective.is_some_and(|id| id != self.real);
        Ok(Self {
            real: real.unwrap_or(self.real),
            effective: new,
            saved: if saves { new } else { self.saved },
        })
    }

    /// As `setresuid(2)`.
    ///
    /// # Errors
    /// `EPERM`.
    pub(crate) fn set_three(
        self,
        [real, effective, saved]: [Option<u32>; 3],
        is_superuser: bool,
    ) -> Result<Self, Errno> {
        let all = [real, effective, saved];
        if !is_superuser && !all.iter().flatten().all(|&id| self.has(id)) {
            return Err(Errno::EPERM);
        }
        Ok(Self {
            real: real.unwrap_or(self.real),
            effective: effective.unwrap_or(self.effective),
            saved: saved.unwrap_or(self.saved),
        })
    }

    /// Whether it is one of them.
    pub(crate) const fn has(self, id: u32) -> bool {
        id == self.real || id == self.effective || id == self.saved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIXED: Ids = Ids {
        real: 1,
        effective: 2,
        saved: 3,
    };

    #[test]
    fn who_is_not_the_superuser_goes_back_to_what_it_was_and_no_further() {
        assert_eq!(MIXED.set(3, false).map(|ids| ids.effective), Ok(3));
        assert_eq!(MIXED.set(4, false), Err(Errno::EPERM));
        assert_eq!(MIXED.set_two(Some(3), None, false), Err(Errno::EPERM));
        let swapped = Ids {
            real: 2,
            effective: 1,
            saved: 1,
        };
        assert_eq!(MIXED.set_two(Some(2), Some(1), false), Ok(swapped));
        let all = [Some(3), None, Some(1)];
        assert!(MIXED.set_three(all, false).is_ok());
        assert_eq!(
            MIXED.set_three([Some(4), None, None], false),
            Err(Errno::EPERM)
        );
    }

    #[test]
    fn the_superuser_leaves_for_good_with_setuid() {
        let gone = MIXED.set(7, true).expect("it may");
        assert_eq!(gone.set(1, false), Err(Errno::EPERM));
        assert!(!gone.has(1));
    }
}

//! Whose a process is (credentials(7)), and how it stands to others.
//!
//! The user and group for files are in the process's [`vfs::Viewpoint`]; here is the rest.

use core::sync::atomic::Ordering;

use hal::Errno;
use vfs::{Capabilities, Credentials, FileCapabilities};

use super::Process;

/// Whose a process is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Standing {
    /// Its user.
    pub(crate) user: Ids,
    /// Its group.
    pub(crate) group: Ids,
    /// What it may do besides.
    pub(crate) capabilities: CapabilitySets,
    /// Whether `execve` never gives it more (`PR_SET_NO_NEW_PRIVS`).
    pub(crate) gains_nothing: bool,
    /// `PR_SET_SECUREBITS`.
    pub(crate) secure_bits: u32,
}

/// Who a thread acts as.
#[derive(Clone, Debug)]
pub(crate) struct Principal {
    /// Its ids and capabilities.
    pub(crate) standing: Standing,
    /// The user, groups and capabilities for files.
    pub(crate) credentials: Credentials,
}

/// The capabilities of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CapabilitySets {
    /// What it may do now.
    pub(crate) effective: Capabilities,
    /// What it may make effective.
    pub(crate) permitted: Capabilities,
    /// What programs may take over that ask for it.
    pub(crate) inheritable: Capabilities,
    /// What programs take over that do not.
    pub(crate) ambient: Capabilities,
    /// What programs may get at all.
    pub(crate) bounding: Capabilities,
}

impl Default for CapabilitySets {
    /// Those of the superuser.
    fn default() -> Self {
        Self {
            effective: Capabilities::ALL,
            permitted: Capabilities::ALL,
            inheritable: Capabilities::empty(),
            ambient: Capabilities::empty(),
            bounding: Capabilities::ALL,
        }
    }
}

/// `SECBIT_NOROOT`: the superuser's id gives programs no capabilities.
pub(crate) const SECURE_NO_ROOT: u32 = 1;
/// `SECBIT_NO_SETUID_FIXUP`: a change of ids changes no capabilities.
const SECURE_NO_FIX_UP: u32 = 4;
/// `SECBIT_KEEP_CAPS`: who stops being the superuser keeps what is permitted.
pub(crate) const SECURE_KEEP_CAPABILITIES: u32 = 16;
/// `SECBIT_NO_CAP_AMBIENT_RAISE`: no capability becomes an ambient one.
pub(crate) const SECURE_NO_AMBIENT_RAISE: u32 = 64;

impl Principal {
    /// Whether it has a capability.
    pub(crate) const fn can(&self, capability: Capabilities) -> bool {
        self.standing.can(capability)
    }

    /// Whether it may look into another process by its ids for files, as `/proc` asks.
    pub(crate) fn may_look_into(&self, target: &Process) -> bool {
        let ids = (self.credentials.user, self.credentials.group);
        let is_theirs = may_look(ids, self.standing.capabilities.effective, target);
        is_theirs || self.can(Capabilities::TRACE)
    }

    /// Whether others who might look into its process may no longer do so once it has become
    /// `other`: what it had may be left in the memory, or it may do more than they.
    pub(crate) fn is_hidden_as(&self, other: &Self) -> bool {
        let before = (self.standing.user.effective, self.standing.group.effective);
        let after = (
            other.standing.user.effective,
            other.standing.group.effective,
        );
        let files = |who: &Self| (who.credentials.user, who.credentials.group);
        let permitted = |who: &Self| who.standing.capabilities.permitted;
        before != after
            || files(self) != files(other)
            || !permitted(self).contains(permitted(other))
    }

    /// Who asks for files on behalf of its real ids (`access(2)`).
    pub(crate) fn real_credentials(&self) -> Credentials {
        let Standing {
            user,
            group,
            capabilities,
            secure_bits,
            ..
        } = self.standing;
        let capabilities = match user.real {
            _ if secure_bits & SECURE_NO_FIX_UP != 0 => capabilities.effective,
            0 => capabilities.permitted,
            _ => Capabilities::empty(),
        };
        Credentials {
            user: user.real,
            group: group.real,
            groups: self.credentials.groups.clone(),
            capabilities,
        }
    }

    /// It has other user ids from now on.
    pub(crate) fn set_user(&mut self, user: Ids) {
        let before = core::mem::replace(&mut self.standing.user, user);
        self.credentials.user = user.effective;
        if self.standing.secure_bits & SECURE_NO_FIX_UP == 0 {
            let keeps = self.standing.secure_bits & SECURE_KEEP_CAPABILITIES != 0;
            self.standing.capabilities.follow(before, user, keeps);
        }
        self.credentials.capabilities = self.standing.capabilities.effective;
    }

    /// It has other group ids from now on.
    pub(crate) const fn set_group(&mut self, group: Ids) {
        self.standing.group = group;
        self.credentials.group = group.effective;
    }

    /// It has other capabilities from now on.
    pub(crate) const fn set_capabilities(&mut self, sets: CapabilitySets) {
        self.standing.capabilities = sets;
        self.credentials.capabilities = sets.effective;
    }

    /// It is another user for files (`setfsuid`).
    pub(crate) fn set_file_user(&mut self, user: u32) {
        let before = core::mem::replace(&mut self.credentials.user, user);
        let sets = &mut self.standing.capabilities;
        if before == 0 && user != 0 {
            sets.effective.remove(Capabilities::OF_FILES);
        } else if before != 0 && user == 0 {
            sets.effective |= sets.permitted & Capabilities::OF_FILES;
        }
        self.credentials.capabilities = sets.effective;
    }

    /// It runs another program, whose file belongs to `user` and `group` as far as these are given:
    /// those of its set-id bits; `of_file` is what the file says that it may do. Returns whether the
    /// program must not trust its environment.
    ///
    /// # Errors
    /// `EPERM` if it would not get all that its file gives it at once.
    pub(crate) fn start_program(
        &mut self,
        user: Option<u32>,
        group: Option<u32>,
        of_file: Option<FileCapabilities>,
    ) -> Result<bool, Errno> {
        let before = self.standing;
        let (user, group, of_file) = if before.gains_nothing {
            (None, None, None)
        } else {
            (user, group, of_file)
        };
        let of_program = |ids: Ids, id: Option<u32>| {
            let effective = id.unwrap_or(ids.effective);
            Ids {
                effective,
                saved: effective,
                ..ids
            }
        };
        let standing = &mut self.standing;
        standing.user = of_program(before.user, user);
        standing.group = of_program(before.group, group);
        let gains_ids = before.user.effective != standing.user.effective
            || before.group.effective != standing.group.effective;
        standing.secure_bits &= !SECURE_KEEP_CAPABILITIES;
        let sets = &mut standing.capabilities;
        if gains_ids || of_file.is_some() {
            sets.ambient = Capabilities::empty();
        }
        let is_root = standing.secure_bits & SECURE_NO_ROOT == 0;
        let ids = standing.user;
        // What a file says counts for root only if it is root by its set-user-id bit.
        let heeds_file = of_file.is_some() && ids.real != 0;
        let is_root = is_root && !heeds_file && (ids.real == 0 || ids.effective == 0);
        (sets.permitted, sets.effective) = if is_root {
            let all = sets.inheritable | sets.bounding;
            let now = if ids.effective == 0 {
                all
            } else {
                sets.ambient
            };
            (all, now)
        } else if let Some(file) = of_file {
            let given = file.permitted & sets.bounding;
            let all = sets.inheritable & file.inheritable | given;
            if file.is_effective && !all.contains(file.permitted) {
                return Err(Errno::EPERM);
            }
            let now = if file.is_effective {
                all
            } else {
                Capabilities::empty()
            };
            (all, now)
        } else {
            (sets.ambient, sets.ambient)
        };
        let gains = ids.real != 0 && !sets.ambient.contains(sets.permitted);
        self.credentials.user = ids.effective;
        self.credentials.group = self.standing.group.effective;
        self.credentials.capabilities = self.standing.capabilities.effective;
        let is_other =
            ids.real != ids.effective || self.standing.group.real != self.standing.group.effective;
        Ok((gains_ids && is_other) || gains)
    }
}

impl CapabilitySets {
    /// What happens to them when user ids change (capabilities(7)).
    fn follow(&mut self, before: Ids, now: Ids, keeps: bool) {
        if before.has(0) && !now.has(0) {
            if !keeps {
                self.permitted = Capabilities::empty();
                self.effective = Capabilities::empty();
            }
            self.ambient = Capabilities::empty();
        }
        if before.effective == 0 && now.effective != 0 {
            self.effective = Capabilities::empty();
        } else if before.effective != 0 && now.effective == 0 {
            self.effective = self.permitted;
        }
    }
}

impl Standing {
    /// Whether it has a capability.
    pub(crate) const fn can(&self, capability: Capabilities) -> bool {
        self.capabilities.effective.contains(capability)
    }

    /// Whether it may send signals to a process of `target`, not knowing of sessions.
    pub(crate) const fn may_signal(&self, target: &Self) -> bool {
        let (own, their) = (self.user, target.user);
        own.effective == their.real
            || own.effective == their.saved
            || own.real == their.real
            || own.real == their.saved
            || self.can(Capabilities::KILL)
    }

    /// Whether it may look into another process by its real ids (`ptrace(2)`).
    pub(crate) fn may_look_into(&self, target: &Process) -> bool {
        let ids = (self.user.real, self.group.real);
        let is_theirs = may_look(ids, self.capabilities.permitted, target);
        is_theirs || self.can(Capabilities::TRACE)
    }
}

/// Whether somebody with these ids of user and group, and these capabilities, may look into a process.
fn may_look(ids: (u32, u32), capabilities: Capabilities, target: &Process) -> bool {
    let standing = target.standing();
    let is_same = |own: u32, their: Ids| {
        [their.real, their.effective, their.saved]
            .iter()
            .all(|&id| id == own)
    };
    is_same(ids.0, standing.user)
        && is_same(ids.1, standing.group)
        && capabilities.contains(standing.capabilities.permitted)
        && target.is_dumpable.load(Ordering::Relaxed)
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

impl Ids {
    /// As `setuid(2)`.
    ///
    /// # Errors
    /// `EPERM`.
    pub(crate) fn set(self, id: u32, may_be_anybody: bool) -> Result<Self, Errno> {
        if may_be_anybody {
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
        may_be_anybody: bool,
    ) -> Result<Self, Errno> {
        let may_be_real = real.is_none_or(|id| [self.real, self.effective].contains(&id));
        let may_be_effective = effective.is_none_or(|id| self.has(id));
        if !(may_be_anybody || (may_be_real && may_be_effective)) {
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
        may_be_anybody: bool,
    ) -> Result<Self, Errno> {
        let all = [real, effective, saved];
        if !may_be_anybody && !all.iter().flatten().all(|&id| self.has(id)) {
            return Err(Errno::EPERM);
        }
        Ok(Self {
            real: real.unwrap_or(self.real),
            effective: effective.unwrap_or(self.effective),
            saved: saved.unwrap_or(self.saved),
        })
    }

    /// Whether who asked to be told of a file may have signals about it sent to a process of `target`.
    /// Unlike for `kill(2)`, capabilities do not count.
    pub(crate) fn may_notify(self, target: Self) -> bool {
        let is_theirs = |id| id == target.real || id == target.saved;
        self.effective == 0 || is_theirs(self.effective) || is_theirs(self.real)
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

    fn root() -> Principal {
        Principal {
            standing: Standing::default(),
            credentials: Credentials::superuser(),
        }
    }

    #[test]
    fn who_stops_being_the_superuser_has_no_capabilities() {
        let mut who = root();
        let user = who.standing.user.set(7, true).expect("it may");

        who.set_user(user);

        assert_eq!(who.standing.capabilities.permitted, Capabilities::empty());
        assert_eq!(who.credentials.capabilities, Capabilities::empty());
    }

    #[test]
    fn who_may_come_back_has_them_permitted() {
        let mut who = root();
        let all = [None, Some(7), None];
        who.set_user(who.standing.user.set_three(all, true).expect("it may"));
        assert!(!who.can(Capabilities::KILL));
        assert_eq!(who.standing.capabilities.permitted, Capabilities::ALL);

        let all = [None, Some(0), None];
        who.set_user(who.standing.user.set_three(all, false).expect("saved"));

        assert!(who.can(Capabilities::KILL));
    }

    #[test]
    fn a_program_with_the_superusers_set_user_id_bit_has_all() {
        let mut who = root();
        who.set_user(who.standing.user.set(7, true).expect("it may"));

        assert_eq!(who.start_program(Some(0), None, None), Ok(true));

        assert_eq!(who.credentials.user, 0);
        assert!(who.can(Capabilities::CHANGE_OWNER));
        assert_eq!(who.standing.user.real, 7);
    }

    #[test]
    fn a_program_has_what_its_file_gives_as_far_as_is_allowed() {
        let mut who = root();
        who.set_user(who.standing.user.set(7, true).expect("it may"));
        let file = FileCapabilities {
            permitted: Capabilities::KILL,
            inheritable: Capabilities::empty(),
            is_effective: true,
        };

        assert_eq!(who.start_program(None, None, Some(file)), Ok(true));

        assert_eq!(who.standing.capabilities.effective, Capabilities::KILL);
        assert_eq!(who.standing.capabilities.permitted, Capabilities::KILL);
        // A file that does not say at once lets the program ask.
        let asks = FileCapabilities {
            is_effective: false,
            ..file
        };
        assert_eq!(who.start_program(None, None, Some(asks)), Ok(true));
        assert_eq!(who.standing.capabilities.permitted, Capabilities::KILL);
        assert_eq!(who.credentials.capabilities, Capabilities::empty());
        // What nobody may have here no file gives.
        who.standing.capabilities.bounding = Capabilities::empty();
        let refused = who.start_program(None, None, Some(file));
        assert_eq!(refused, Err(Errno::EPERM));
        let without = who.start_program(None, None, None);
        assert_eq!(without, Ok(false));
        assert_eq!(who.standing.capabilities.permitted, Capabilities::empty());
    }

    #[test]
    fn who_gains_nothing_starts_it_as_any_program() {
        let mut who = root();
        who.set_user(who.standing.user.set(7, true).expect("it may"));
        who.standing.gains_nothing = true;

        assert_eq!(who.start_program(Some(0), Some(0), None), Ok(false));

        assert_eq!(who.standing.user.effective, 7);
        assert_eq!(who.credentials.capabilities, Capabilities::empty());
    }
}

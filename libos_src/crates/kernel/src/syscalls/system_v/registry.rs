//! What System V's shared memory, semaphores and message queues have in common (sysvipc(7)).

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::ops::Bound;

use hal::{Clock, Errno, Machine};
use locks::Mutex;
use procfs::Number;
use vfs::{Access, Capabilities, Credentials};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::settings::Settings;

/// The command of `shmctl(2)` and its relatives that asks for the limits.
pub(crate) const IPC_INFO: u32 = 3;
/// A key that no object is found by.
pub(crate) const IPC_PRIVATE: i32 = 0;
const IPC_CREAT: u32 = 0o1000;
const IPC_EXCL: u32 = 0o2000;

/// Who may use an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Permissions {
    pub(crate) key: i32,
    pub(crate) user: u32,
    pub(crate) group: u32,
    pub(crate) creator_user: u32,
    pub(crate) creator_group: u32,
    pub(crate) mode: u32,
}

/// `struct ipc64_perm` of x86-64.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct PermissionRecord {
    pub(crate) key: i32,
    pub(crate) user: u32,
    pub(crate) group: u32,
    pub(crate) creator_user: u32,
    pub(crate) creator_group: u32,
    pub(crate) mode: u32,
    pub(crate) sequence: u16,
    pub(crate) padding: [u16; 3],
    pub(crate) unused: [u64; 2],
}

impl Permissions {
    /// Those of something that `credentials` make.
    fn new(key: i32, flags: u32, credentials: &Credentials) -> Self {
        Self {
            key,
            user: credentials.user,
            group: credentials.group,
            creator_user: credentials.user,
            creator_group: credentials.group,
            mode: flags & 0o777,
        }
    }

    /// Checks that an object may be used.
    ///
    /// # Errors
    /// `EACCES`.
    pub(crate) fn check(&self, credentials: &Credentials, access: Access) -> Result<(), Errno> {
        let bits = self.mode as u16;
        let granted = if credentials.can(Capabilities::OWN_SYSTEM_V) {
            0o7
        } else if [self.user, self.creator_user].contains(&credentials.user) {
            bits >> 6
        } else if credentials.is_member(self.group) || credentials.is_member(self.creator_group) {
            bits >> 3
        } else {
            bits
        };
        if access.bits() & !granted == 0 {
            Ok(())
        } else {
            Err(Errno::EACCES)
        }
    }

    /// Checks that an object may be changed or removed.
    ///
    /// # Errors
    /// `EPERM`.
    pub(crate) fn check_owner(&self, credentials: &Credentials) -> Result<(), Errno> {
        let owners = [self.user, self.creator_user];
        if credentials.can(Capabilities::ADMINISTER) || owners.contains(&credentials.user) {
            Ok(())
        } else {
            Err(Errno::EPERM)
        }
    }

    /// Takes over what `IPC_SET` says.
    pub(crate) fn set(&mut self, record: &PermissionRecord) {
        self.user = record.user;
        self.group = record.group;
        self.mode = record.mode & 0o777;
    }

    /// As the lists of `/proc/sysvipc` begin a line: the key, the id, and the bits.
    pub(crate) fn shown(&self, id: i32, flags: u32) -> String {
        format!("{:>10} {id:>10}  {:>4o}", self.key, self.mode | flags)
    }

    /// The owners, as these lists show them.
    pub(crate) fn shown_owners(&self) -> String {
        format!(
            "{:>5} {:>5} {:>5} {:>5}",
            self.user, self.group, self.creator_user, self.creator_group
        )
    }

    /// As a program sees it.
    pub(crate) fn record(&self, id: i32) -> PermissionRecord {
        PermissionRecord {
            key: self.key,
            user: self.user,
            group: self.group,
            creator_user: self.creator_user,
            creator_group: self.creator_group,
            mode: self.mode,
            sequence: (id >> 15) as u16,
            ..PermissionRecord::default()
        }
    }
}

/// Settings about objects of one kind.
pub(crate) struct Limits<'a> {
    pub(crate) settings: &'a Settings,
    /// How many there may be.
    pub(crate) most: Number,
    /// What the next is to be called.
    pub(crate) next: Number,
}

/// Objects of one kind.
pub(crate) struct Registry<T> {
    objects: Mutex<Objects<T>>,
}

struct Objects<T> {
    by_id: BTreeMap<i32, Arc<T>>,
    by_key: BTreeMap<i32, i32>,
    next_id: i32,
}

impl<T> Default for Registry<T> {
    fn default() -> Self {
        Self {
            objects: Mutex::new(Objects {
                by_id: BTreeMap::new(),
                by_key: BTreeMap::new(),
                next_id: 0,
            }),
        }
    }
}

impl<T> Registry<T> {
    /// The object with a key: that which is there, judged by `check`, or a new one, made by `make`, who
    /// sees the others, if there are not too many. Whom the superuser gave a number has that or, if
    /// somebody has it, the next above it that is free.
    ///
    /// # Errors
    /// As `shmget(2)` and its relatives.
    pub(crate) fn get(
        &self,
        key: i32,
        flags: u32,
        credentials: &Credentials,
        check: impl FnOnce(&T) -> Result<(), Errno>,
        limits: &Limits<'_>,
        make: impl FnOnce(Permissions, &BTreeMap<i32, Arc<T>>) -> Result<T, Errno>,
    ) -> Result<i32, Errno> {
        let mut objects = self.objects.lock();
        let known = objects
            .by_key
            .get(&key)
            .copied()
            .filter(|_| key != IPC_PRIVATE);
        if let Some((id, object)) = known.and_then(|id| Some((id, objects.by_id.get(&id)?))) {
            if flags & (IPC_CREAT | IPC_EXCL) == IPC_CREAT | IPC_EXCL {
                return Err(Errno::EEXIST);
            }
            check(object)?;
            return Ok(id);
        }
        if key != IPC_PRIVATE && flags & IPC_CREAT == 0 {
            return Err(Errno::ENOENT);
        }
        if objects.by_id.len() as u64 >= limits.settings.get(limits.most) {
            return Err(Errno::ENOSPC);
        }
        let object = make(Permissions::new(key, flags, credentials), &objects.by_id)?;
        let wished = limits
            .settings
            .take_next(limits.next)
            .and_then(|first| (first..=i32::MAX).find(|id| !objects.by_id.contains_key(id)));
        let id = match wished {
            Some(id) => id,
            None => {
                while objects.by_id.contains_key(&objects.next_id) {
                    objects.next_id = objects.next_id.checked_add(1).unwrap_or(0);
                }
                let id = objects.next_id;
                objects.next_id = id.checked_add(1).unwrap_or(0);
                id
            }
        };
        objects.by_id.insert(id, Arc::new(object));
        if key != IPC_PRIVATE {
            objects.by_key.insert(key, id);
        }
        Ok(id)
    }

    /// The object with an id.
    ///
    /// # Errors
    /// `EINVAL` if there is none.
    pub(crate) fn find(&self, id: i32) -> Result<Arc<T>, Errno> {
        self.objects
            .lock()
            .by_id
            .get(&id)
            .cloned()
            .ok_or(Errno::EINVAL)
    }

    /// The object at a place among all, by which `SHM_STAT` and its relatives look, and its id.
    ///
    /// # Errors
    /// `EINVAL` if there is none.
    pub(crate) fn at(&self, place: i32) -> Result<(i32, Arc<T>), Errno> {
        let place = usize::try_from(place).map_err(|_| Errno::EINVAL)?;
        let objects = self.objects.lock();
        let found = objects.by_id.iter().nth(place);
        found
            .map(|(id, object)| (*id, object.clone()))
            .ok_or(Errno::EINVAL)
    }

    /// The place of the last object, or 0.
    pub(crate) fn last_place(&self) -> u64 {
        self.objects.lock().by_id.len().saturating_sub(1) as u64
    }

    /// Takes an object's key away: only its id finds it.
    pub(crate) fn hide(&self, id: i32) {
        self.objects.lock().by_key.retain(|_, known| *known != id);
    }

    /// Removes an object, if it is still there, so that nobody finds it any more. Who has an object locked
    /// must not: who looks for one locks each.
    pub(crate) fn remove(&self, id: i32, object: &Arc<T>) {
        let mut objects = self.objects.lock();
        let present = objects.by_id.get(&id);
        if present.is_some_and(|present| Arc::ptr_eq(present, object)) {
            objects.by_key.retain(|_, known| *known != id);
            objects.by_id.remove(&id);
        }
    }

    /// All objects, one after the other with nothing locked: a list of as many as there may be would take more
    /// than is kept in reserve.
    pub(crate) fn all(&self) -> impl Iterator<Item = (i32, Arc<T>)> {
        let mut last = Bound::Unbounded;
        core::iter::from_fn(move || {
            let objects = self.objects.lock();
            let (&id, object) = objects.by_id.range((last, Bound::Unbounded)).next()?;
            last = Bound::Excluded(id);
            Some((id, object.clone()))
        })
    }
}

/// What the permission bits of a `get` call's flags ask for.
pub(crate) fn access_of(flags: u32) -> Access {
    let mut access = Access::empty();
    access.set(Access::READ, flags & 0o444 != 0);
    access.set(Access::WRITE, flags & 0o222 != 0);
    access.set(Access::EXECUTE, flags & 0o111 != 0);
    access
}

/// Seconds since 1970.
pub(crate) fn now(machine: &dyn Machine) -> u64 {
    machine.clock(Clock::Realtime).seconds
}

//! Leases of files, and directories that are told about by signals (`fcntl(2)`).

use hal::Errno;
use vfs::{Capabilities, Event, FileType, Follow, Location, OpenFlags, Viewpoint};

use super::call::{Call, Outcome, Stop};
use crate::files::{LeaseKind, Notice, RENAMED};
use crate::signals::Recipient;
use crate::threads::Deadline;

const F_RDLCK: u64 = 0;
const F_WRLCK: u64 = 1;
const F_UNLCK: u64 = 2;

/// `F_SETLEASE`
pub(super) fn set_lease(call: &Call<'_>, fd: i32, wanted: u64) -> Outcome {
    let file = call.file(fd)?;
    let kind = match wanted {
        F_RDLCK => Some(LeaseKind::Read),
        F_WRLCK => Some(LeaseKind::Write),
        F_UNLCK => None,
        _ => return Err(Errno::EINVAL.into()),
    };
    let place = file.location();
    let leases = &call.libos.leases;
    let notice = Notice::of(&file, &call.libos.outbox)?;
    let Some(kind) = kind else {
        let was_there = leases.remove(place.file_id()?, &notice);
        return if was_there {
            Ok(0)
        } else {
            Err(Errno::EAGAIN.into())
        };
    };
    let metadata = file.metadata()?;
    let view = call.viewpoint();
    if view.credentials.user != metadata.user && !view.credentials.can(Capabilities::LEASE) {
        return Err(Errno::EACCES.into());
    }
    drop(view);
    if place.kind() != FileType::Regular {
        return Err(Errno::EINVAL.into());
    }
    let openers = place.openers();
    let writes = u32::from(file.flags().is_writable());
    let is_in_the_way = match kind {
        LeaseKind::Read => openers.writers > 0,
        LeaseKind::Write => openers.writers > writes || openers.readers > 1 - writes,
    };
    if is_in_the_way {
        return Err(Errno::EAGAIN.into());
    }
    let owner = Recipient::Process(call.process.pid);
    notice.begin(fd, owner, call.standing().user);
    leases.set(place.file_id()?, &notice, kind)?;
    Ok(0)
}

/// `F_GETLEASE`
pub(super) fn get_lease(call: &Call<'_>, fd: i32) -> Outcome {
    let file = call.file(fd)?;
    let notice = Notice::of(&file, &call.libos.outbox)?;
    let kind = call.libos.leases.of(file.location().file_id()?, &notice);
    Ok(match kind {
        Some(LeaseKind::Read) => F_RDLCK,
        Some(LeaseKind::Write) => F_WRLCK,
        None => F_UNLCK,
    })
}

/// `F_NOTIFY`
pub(super) fn notify(call: &Call<'_>, fd: i32, wanted: u64) -> Outcome {
    const DN_MULTISHOT: u32 = 0x8000_0000;
    const MEANINGS: [(u32, u32); 6] = [
        (1, Event::ACCESS.bits()),
        (2, Event::MODIFY.bits()),
        (4, Event::CREATE.union(Event::MOVED_TO).bits()),
        (8, Event::DELETE.union(Event::MOVED_FROM).bits()),
        (16, RENAMED),
        (32, Event::ATTRIBUTES.bits()),
    ];
    let file = call.file(fd)?;
    let place = file.location();
    if place.kind() != FileType::Directory {
        return Err(Errno::ENOTDIR.into());
    }
    let wanted = wanted as u32;
    let meant = (MEANINGS.iter()).filter(|(bit, _)| wanted & bit != 0);
    let mask = meant.fold(0, |mask, (_, event)| mask | event);
    let notice = Notice::of(&file, &call.libos.outbox)?;
    let owner = Recipient::Process(call.process.pid);
    notice.begin(fd, owner, call.standing().user);
    place.watch_events(call.libos.inotifies.clone());
    let stays = wanted & DN_MULTISHOT != 0;
    (call.libos.inotifies).watch_directory(place.file_id()?, &notice, mask, stays)?;
    Ok(0)
}

impl Call<'_> {
    /// Before a file is opened, or cut if `flags` say so: those let go who have it to themselves.
    pub(super) fn break_leases(
        &self,
        viewpoint: &Viewpoint,
        base: Option<&Location>,
        path: &[u8],
        flags: OpenFlags,
    ) -> Result<(), Stop> {
        if self.libos.leases.is_empty() || flags.contains(OpenFlags::PATH) {
            return Ok(());
        }
        let follow = if flags.contains(OpenFlags::NO_FOLLOW) {
            Follow::No
        } else {
            Follow::Yes
        };
        // What cannot be opened breaks nothing, and is refused afterwards.
        let Ok(place) = viewpoint.resolve(base, path, follow) else {
            return Ok(());
        };
        self.break_leases_of(viewpoint, &place, flags)
    }

    /// The same, of a file that was found.
    pub(super) fn break_leases_of(
        &self,
        viewpoint: &Viewpoint,
        place: &Location,
        flags: OpenFlags,
    ) -> Result<(), Stop> {
        let leases = &self.libos.leases;
        if leases.is_empty() {
            return Ok(());
        }
        let may = viewpoint.check_access(place, flags.access());
        if place.kind() != FileType::Regular || may.is_err() {
            return Ok(());
        }
        let (file, writes) = (
            place.file_id()?,
            flags.is_writable() || flags.contains(OpenFlags::TRUNCATE),
        );
        while let Some(until) = leases.make_way(file, writes, self.libos.now()) {
            self.libos.send_raised_signals();
            if flags.contains(OpenFlags::NON_BLOCKING) {
                return Err(Errno::EAGAIN.into());
            }
            let deadline = Deadline::until(until);
            let waited = self.until_changed(&leases.watchers, deadline, || {
                let is_free = leases.make_way(file, writes, self.libos.now()).is_none();
                Ok(is_free.then_some(()))
            });
            match waited {
                Ok(()) => break,
                // The time is over: whoever still holds on loses it.
                Err(Stop::Errno(Errno::EAGAIN)) => {}
                Err(Stop::Errno(Errno::EINTR)) => return Err(Stop::Restart),
                Err(stop) => return Err(stop),
            }
        }
        Ok(())
    }
}

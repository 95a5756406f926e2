//! Watching files.

use hal::Errno;
use vfs::{Access, FileType, Follow, OpenFlags};

use super::argument::Address;
use super::call::{Call, Outcome};
use crate::files::{
    ALL_EVENTS, IN_DONT_FOLLOW, IN_KNOWN, IN_MASK_ADD, IN_MASK_CREATE, IN_ONLYDIR, Inotify,
};

/// `inotify_init1(2)`.
pub(super) fn inotify_init1(call: &mut Call<'_>, flags: u32) -> Outcome {
    let known = OpenFlags::CLOSE_ON_EXEC | OpenFlags::NON_BLOCKING;
    let flags = OpenFlags::from_bits(flags).filter(|&flags| known.contains(flags));
    let flags = flags.ok_or(Errno::EINVAL)?;
    let user = call.standing().user.effective;
    let inotify = call.libos.inotifies.open(call.libos.machine, user)?;
    call.add_anonymous(inotify, b"anon_inode:inotify", flags)
}

/// `inotify_init(2)`.
pub(super) fn inotify_init(call: &mut Call<'_>) -> Outcome {
    inotify_init1(call, 0)
}

/// `inotify_add_watch(2)`.
pub(super) fn inotify_add_watch(call: &mut Call<'_>, fd: i32, path: Address, mask: u32) -> Outcome {
    let both = IN_MASK_ADD | IN_MASK_CREATE;
    if mask & ALL_EVENTS == 0 || mask & !IN_KNOWN != 0 {
        return Err(Errno::EINVAL.into());
    }
    let file = call.file(fd)?;
    if mask & both == both {
        return Err(Errno::EINVAL.into());
    }
    let inotify = Inotify::behind(&file).ok_or(Errno::EINVAL)?;
    let path = call.path(path)?;
    let follow = if mask & IN_DONT_FOLLOW == 0 {
        Follow::Yes
    } else {
        Follow::No
    };
    let view = call.viewpoint();
    let location = view.resolve(None, &path, follow)?;
    if mask & IN_ONLYDIR != 0 && location.kind() != FileType::Directory {
        return Err(Errno::ENOTDIR.into());
    }
    view.credentials
        .check(&location.metadata()?, Access::READ)?;
    drop(view);
    location.watch_events(call.libos.inotifies.clone());
    let (adds, refuses) = (mask & IN_MASK_ADD != 0, mask & IN_MASK_CREATE != 0);
    let mask = mask & !(both | IN_DONT_FOLLOW | IN_ONLYDIR);
    let number = inotify.watch(location.file_id()?, mask, adds, refuses)?;
    Ok(number as u64)
}

/// `inotify_rm_watch(2)`.
pub(super) fn inotify_rm_watch(call: &mut Call<'_>, fd: i32, number: i32) -> Outcome {
    let file = call.file(fd)?;
    Inotify::behind(&file)
        .ok_or(Errno::EINVAL)?
        .unwatch(number)?;
    Ok(0)
}

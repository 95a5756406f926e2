//! What `fdinfo` says of files that only the kernel can make, besides what it says of all (proc(5)).

use alloc::format;
use alloc::string::String;

use vfs::OpenFile;

use super::{EventCounter, EventPoll, Inotify, ProcessFile, SignalFile};

/// The lines about an open file; none about most.
pub(crate) fn details(file: &OpenFile) -> String {
    if let Some(inotify) = Inotify::behind(file) {
        return inotify.details();
    }
    if let Some(poll) = EventPoll::behind(file) {
        return poll.details();
    }
    if let Some(opened) = ProcessFile::behind(file) {
        // One that has ended, or was never made, has no number.
        let process = opened.process().ok();
        let pid = process.map_or(-1, |process| i64::from(process.pid));
        return format!("Pid:\t{pid}\nNSpid:\t{pid}\n");
    }
    if let Some(signals) = file.object().downcast::<SignalFile>() {
        return format!("sigmask:\t{:016x}\n", signals.wanted().bits());
    }
    if let Some(counter) = file.object().downcast::<EventCounter>() {
        return counter.details();
    }
    String::new()
}

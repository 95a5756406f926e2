//! How much of a program's memory there is: `/proc/self/smaps` and its sum.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

use hal::{Errno, PAGE_SIZE, Prot};

use super::area::{Area, Backing, Counted};
use super::listing::{line, name};
use super::space::{AddressSpace, Books};

/// About what is said of a mapping besides its line.
const SIZES_BYTES: usize = 768;

/// What is told of a mapping, or of all, in bytes. All pages that a program could have written to count
/// as if it had, for nothing tells.
#[derive(Clone, Copy, Default)]
struct Sizes {
    size: u64,
    resident: u64,
    proportional: u64,
    proportional_dirty: u64,
    shared_clean: u64,
    shared_dirty: u64,
    private_clean: u64,
    private_dirty: u64,
    anonymous: u64,
    locked: u64,
}

impl AddressSpace {
    /// The mappings with the size of each and how much of it has memory, as proc(5) describes
    /// `/proc/pid/smaps`.
    ///
    /// # Errors
    /// `ENOMEM` if the kernel's heap has no room for it.
    pub(crate) fn sized_listing(&self) -> Result<Vec<u8>, Errno> {
        let books = self.books.read();
        let mut text = self.room_for(&books, SIZES_BYTES)?;
        for (start, area) in books.areas.iter() {
            text.extend_from_slice(line(start, area).as_bytes());
            text.extend_from_slice(name(area));
            let page_kb = PAGE_SIZE / 1024;
            let sizes = Sizes::of(&books, start, area);
            let size_kb = sizes.size / 1024;
            let head = format!(
                "\nSize: {size_kb:>18} kB\nKernelPageSize: {page_kb:>8} kB\nMMUPageSize: {page_kb:>11} kB\n"
            );
            text.extend_from_slice(head.as_bytes());
            text.extend_from_slice(sizes.text(false).as_bytes());
            let tail = format!("THPeligible:           0\nVmFlags:{}\n", flags(area));
            text.extend_from_slice(tail.as_bytes());
        }
        Ok(text)
    }

    /// The sums of all mappings, as `/proc/pid/smaps_rollup`.
    pub(crate) fn sized_sum(&self) -> Vec<u8> {
        let books = self.books.read();
        let mut sum = Sizes::default();
        let (mut first, mut end) = (None, None);
        for (start, area) in books.areas.iter() {
            sum.add(&Sizes::of(&books, start, area));
            first = first.or(Some(start));
            end = Some(area.end);
        }
        let (first, end) = (first.unwrap_or(0), end.unwrap_or(0));
        let head = format!("{first:08x}-{end:08x} ---p 00000000 00:00 0 ");
        format!("{head:<73}[rollup]\n{}", sum.text(true)).into_bytes()
    }
}

impl Sizes {
    fn of(books: &Books, start: u64, area: &Area) -> Self {
        let range = start..area.end;
        let size = area.end - start;
        let own = books.committed.present(&range);
        let resident: u64 = own.iter().map(|run| run.end - run.start).sum();
        let mut sizes = match &area.backing {
            Backing::File(file) if file.is_untouched => Self {
                private_clean: resident,
                ..Self::whole(resident, 1, false)
            },
            Backing::Zero | Backing::File(_) => Self {
                private_dirty: resident,
                anonymous: resident,
                ..Self::whole(resident, 1, true)
            },
            Backing::Shared(place) => {
                let absent = place.pages().nowhere(place, &range);
                let absent: u64 = absent.iter().map(|run| run.end - run.start).sum();
                let resident = size - absent;
                let users = place.pages().users_of(place).max(1) as u64;
                let is_dirty = area.most.contains(Prot::WRITE);
                let mut sizes = Self::whole(resident, users, is_dirty);
                *match (users > 1, is_dirty) {
                    (true, true) => &mut sizes.shared_dirty,
                    (true, false) => &mut sizes.shared_clean,
                    (false, true) => &mut sizes.private_dirty,
                    (false, false) => &mut sizes.private_clean,
                } = resident;
                sizes
            }
        };
        sizes.size = size;
        if area.is_locked {
            sizes.locked = sizes.proportional;
        }
        sizes
    }

    /// Of pages that so many mappings show.
    fn whole(resident: u64, users: u64, is_dirty: bool) -> Self {
        let proportional = resident / users;
        Self {
            resident,
            proportional,
            proportional_dirty: if is_dirty { proportional } else { 0 },
            ..Self::default()
        }
    }

    fn add(&mut self, other: &Self) {
        self.size += other.size;
        self.resident += other.resident;
        self.proportional += other.proportional;
        self.proportional_dirty += other.proportional_dirty;
        self.shared_clean += other.shared_clean;
        self.shared_dirty += other.shared_dirty;
        self.private_clean += other.private_clean;
        self.private_dirty += other.private_dirty;
        self.anonymous += other.anonymous;
        self.locked += other.locked;
    }

    /// The lines, in the order of Linux 6.6; a sum tells more of them.
    fn text(&self, is_sum: bool) -> String {
        let file = self.proportional - self.anonymous.min(self.proportional);
        let lines = [
            ("Rss", self.resident),
            ("Pss", self.proportional),
            ("Pss_Dirty", self.proportional_dirty),
            ("Pss_Anon", self.anonymous),
            ("Pss_File", file),
            ("Pss_Shmem", 0),
            ("Shared_Clean", self.shared_clean),
            ("Shared_Dirty", self.shared_dirty),
            ("Private_Clean", self.private_clean),
            ("Private_Dirty", self.private_dirty),
            ("Referenced", self.resident),
            ("Anonymous", self.anonymous),
            ("LazyFree", 0),
            ("AnonHugePages", 0),
            ("ShmemPmdMapped", 0),
            ("FilePmdMapped", 0),
            ("Shared_Hugetlb", 0),
            ("Private_Hugetlb", 0),
            ("Swap", 0),
            ("SwapPss", 0),
            ("Locked", self.locked),
        ];
        let mut text = String::new();
        for (name, bytes) in lines {
            let is_of_sum = matches!(name, "Pss_Anon" | "Pss_File" | "Pss_Shmem");
            if is_sum || !is_of_sum {
                let name = format!("{name}:");
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{name:<15} {:>8} kB", bytes / 1024);
            }
        }
        text
    }
}

/// What may be done with a mapping, in two letters each (proc(5), `VmFlags`).
fn flags(area: &Area) -> String {
    let (prot, most) = (area.prot, area.most);
    let is_shared = area.shared().is_some();
    let flags = [
        (prot.contains(Prot::READ), "rd"),
        (prot.contains(Prot::WRITE), "wr"),
        (prot.contains(Prot::EXEC), "ex"),
        (is_shared, "sh"),
        (most.contains(Prot::READ), "mr"),
        (most.contains(Prot::WRITE), "mw"),
        (most.contains(Prot::EXEC), "me"),
        (is_shared, "ms"),
        (area.grows_down, "gd"),
        (area.is_locked, "lo"),
        (area.on_fork.leaves, "dc"),
        (area.on_fork.wipes, "wf"),
        (!is_shared && prot.contains(Prot::WRITE), "ac"),
        (area.counted == Counted::Touched, "nr"),
    ];
    let mut text = String::new();
    for (_, name) in flags.iter().filter(|(is_set, _)| *is_set) {
        text.push(' ');
        text.push_str(name);
    }
    text
}

//! Patching the system calls of a program's text.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use hal::{Fault, PAGE_SIZE, Prot};
use patcher::{JUMP_BYTES, SITE_BYTES, STUB_BYTES_MAX, Site, StubMap};

use super::area::{Area, Areas, Backing, Purpose};
use super::space::{AddressSpace, Books};

/// Sites patched so far in this enclave: a figure for the operator.
static PATCHED_SITES: AtomicU64 = AtomicU64::new(0);

/// How many system call sites were patched since the enclave started.
#[must_use]
pub fn patched_sites() -> u64 {
    PATCHED_SITES.load(Ordering::Relaxed)
}

/// The texts that are patched, by their start.
#[derive(Default)]
pub(super) struct Patches(BTreeMap<u64, Patched>);

struct Patched {
    text: Range<u64>,
    stubs: Range<u64>,
    map: StubMap,
}

/// How much text is searched at a time.
const WINDOW_BYTES: u64 = 64 * 1024;

/// How far a stub may be from its text: less than a jump's reach by far more than any text.
const REACH_BYTES: u64 = 1 << 30;

impl Patches {
    /// The stubs of texts that touched `range` and of which nothing is mapped any more.
    pub(super) fn orphans(&mut self, range: &Range<u64>, areas: &Areas) -> Vec<Range<u64>> {
        let gone = |patched: &Patched| {
            let touched = patched.text.start < range.end && range.start < patched.text.end;
            touched && areas.is_free(&patched.text)
        };
        let starts: Vec<u64> = self
            .0
            .iter()
            .filter(|(_, patched)| gone(patched))
            .map(|(&start, _)| start)
            .collect();
        starts
            .iter()
            .filter_map(|start| self.0.remove(start))
            .map(|patched| patched.stubs)
            .collect()
    }

    /// Whether some of `range` is patched, or was when it was mapped.
    pub(super) fn covers(&self, range: &Range<u64>) -> bool {
        self.0
            .values()
            .any(|old| old.text.start < range.end && range.start < old.text.end)
    }
}

impl AddressSpace {
    /// The address that a signal handler may see for `rip`: the site when `rip` is in a stub.
    pub(crate) fn program_address(&self, rip: u64) -> u64 {
        let books = self.books.read();
        let site = books
            .patches
            .0
            .values()
            .find_map(|patched| patched.map.site_of(rip));
        site.unwrap_or(rip)
    }

    /// Patches the file-backed text in `range`: executable, not writable, not patched before.
    ///
    /// Nothing depends on success: what is not patched is trapped.
    pub(super) fn patch_text(&self, books: &mut Books, range: &Range<u64>) {
        let texts: Vec<Range<u64>> = books
            .areas
            .overlapping(range)
            .filter(|(_, area)| is_text(area))
            .map(|(start, area)| start..area.end)
            .collect();
        for text in texts {
            if !books.patches.covers(&text) && self.populate(books, &text).is_ok() {
                self.patch_one(books, &text);
            }
        }
    }

    fn patch_one(&self, books: &mut Books, text: &Range<u64>) {
        let Ok(sites) = self.find_sites(text) else {
            return;
        };
        if sites.is_empty() {
            return;
        }
        let Some(stubs) = self.reserve_stubs(books, text, sites.len()) else {
            return;
        };
        let writable = Prot::READ | Prot::WRITE;
        let text_len = text.end - text.start;
        if self
            .machine
            .protect(text.start, text_len, writable)
            .is_err()
        {
            return;
        }
        let map = self.write_stubs(&sites, &stubs);
        // Both are in use from here on, so a failure to protect must not go unseen; the machine
        // refuses only what it could not make accessible in the first place.
        let _ = self
            .machine
            .protect(text.start, text_len, Prot::READ | Prot::EXEC);
        let _ = self.machine.protect(
            stubs.start,
            stubs.end - stubs.start,
            Prot::READ | Prot::EXEC,
        );
        books.patches.0.insert(
            text.start,
            Patched {
                text: text.clone(),
                stubs,
                map,
            },
        );
    }

    fn find_sites(&self, text: &Range<u64>) -> Result<Vec<Site>, Fault> {
        let mut sites: Vec<Site> = Vec::new();
        let mut window = vec![0; WINDOW_BYTES as usize];
        let mut at = text.start;
        while at + SITE_BYTES as u64 <= text.end {
            let len = WINDOW_BYTES.min(text.end - at);
            let code = &mut window[..len as usize];
            self.machine.copy_in(at, code)?;
            sites.extend(patcher::find(code).map(|site| site.relocated(at)));
            if at + len == text.end {
                break;
            }
            // A site needs the byte before it, too; windows overlap so that each is seen once.
            at += len - SITE_BYTES as u64;
        }
        Ok(sites)
    }

    fn reserve_stubs(
        &self,
        books: &mut Books,
        text: &Range<u64>,
        count: usize,
    ) -> Option<Range<u64>> {
        let len = ((count * STUB_BYTES_MAX) as u64).next_multiple_of(PAGE_SIZE);
        let user = &self.layout.user;
        let below = text.end.saturating_sub(REACH_BYTES).max(user.start)..text.start;
        let above = text.end..text.start.saturating_add(REACH_BYTES).min(user.end);
        // Not where the heap grows, and not next to the stack.
        let mmap = &self.layout.mmap;
        let floor = mmap
            .start
            .max(books.heap.start + self.layout.heap_limit_bytes);
        let in_mmap = |range: &Range<u64>| range.start.max(floor)..range.end.min(mmap.end);
        let near = [in_mmap(&below), in_mmap(&above)];
        let start = near
            .iter()
            .filter(|range| range.start < range.end)
            .find_map(|range| books.areas.find_free_high(len, PAGE_SIZE, range))?;
        self.machine
            .commit(start, len, Prot::READ | Prot::WRITE)
            .ok()?;
        let stubs = start..start + len;
        books.committed.insert(&stubs);
        let area = Area {
            end: stubs.end,
            prot: Prot::READ | Prot::EXEC,
            backing: Backing::Zero,
            purpose: Purpose::Stubs(text.start),
        };
        books.areas.insert(start, area);
        Some(stubs)
    }

    /// Writes each stub before the jump to it.
    fn write_stubs(&self, sites: &[Site], stubs: &Range<u64>) -> StubMap {
        let entry = self.machine.syscall_entry();
        let mut map = StubMap::default();
        let mut next = stubs.start;
        for site in sites {
            let Ok(stub) = site.stub(next, entry) else {
                continue;
            };
            let Ok(jump) = site.jump(next) else { continue };
            debug_assert_eq!(jump.len(), JUMP_BYTES);
            let written = self
                .machine
                .copy_out(next, stub.bytes())
                .and_then(|()| self.machine.copy_out(site.address, &jump));
            if written.is_ok() {
                map.push(next, stub.bytes().len() as u64, site.address);
                next += stub.bytes().len() as u64;
                PATCHED_SITES.fetch_add(1, Ordering::Relaxed);
            }
        }
        map
    }
}

fn is_text(area: &Area) -> bool {
    let executable = area.prot.contains(Prot::EXEC) && !area.prot.contains(Prot::WRITE);
    executable && matches!(area.backing, Backing::File(_)) && area.purpose == Purpose::Program
}

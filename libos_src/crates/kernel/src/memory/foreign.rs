//! The memory of a process as others reach it, who do not hold it.

use alloc::sync::Arc;

use hal::{Errno, NoMemory, PAGE_SIZE, Prot};

use super::area::{Backing, Counted};
use super::content::{chunk_of, read_whole};
use super::place::Place;
use super::space::{AddressSpace, Books};

/// How a page is reached of an address space that others take turns with, or may.
enum Whereabouts {
    /// As by the program.
    Here,
    /// Wherever its gang has it.
    InGang,
    /// Wherever the shared page is.
    Shared(Arc<Place>),
}

impl AddressSpace {
    /// Copies bytes of one page, whoever of its gang is resident. `EFAULT` when its own program may
    /// not read them.
    pub(crate) fn look_in(&self, address: u64, bytes: &mut [u8]) -> Result<(), Errno> {
        match self.whereabouts(address, bytes.len(), Prot::READ)? {
            Whereabouts::Here => return self.copy_in(address, bytes),
            Whereabouts::Shared(place) => return place.pages().look_in(&place, address, bytes),
            Whereabouts::InGang => {}
        }
        let page = super::page_floor(address);
        let read = self.gang().with_page(self.id(), page, false, |at| {
            self.machine.copy_in(at + (address - page), bytes)
        });
        match read {
            Some(read) => read.map_err(|_| Errno::EFAULT),
            // It was never touched.
            None if self.is_of_zeros(address) => {
                bytes.fill(0);
                Ok(())
            }
            None => Err(Errno::EFAULT),
        }
    }

    /// Changes bytes of one page, whoever of its gang is resident. `EFAULT` when its own program may not.
    pub(crate) fn put_in(&self, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        match self.whereabouts(address, bytes.len(), Prot::WRITE)? {
            Whereabouts::Here => return self.copy_out(address, bytes),
            Whereabouts::Shared(place) => return place.pages().put_in(&place, address, bytes),
            Whereabouts::InGang => {}
        }
        let page = super::page_floor(address);
        let write = || {
            self.gang().with_page(self.id(), page, true, |at| {
                self.machine.copy_out(at + (address - page), bytes)
            })
        };
        let written = match write() {
            None if self.touch(page).is_ok() => write(),
            written => written,
        };
        match written {
            Some(Ok(())) => Ok(()),
            _ => Err(Errno::EFAULT),
        }
    }

    /// Gives the program a private page that it has not touched yet.
    pub(crate) fn touch(&self, page: u64) -> Result<(), NoMemory> {
        let range = page..page + PAGE_SIZE;
        let origin = {
            let books = self.books.read();
            let (start, area) = books.areas.find(page).ok_or(NoMemory)?;
            if page >= area.content_end(start) {
                return Err(NoMemory);
            }
            area.backing.advanced(page - start)
        };
        let mut content = chunk_of(&range)?;
        if let Backing::File(file) = &origin {
            read_whole(&*file.inode, file.offset, &mut content)?;
        }
        // Meanwhile the program may have touched it, or mapped something else there.
        let prot_if_untouched = |books: &Books| {
            let (start, area) = books.areas.find(page)?;
            let is_same = area
                .backing
                .advanced(page - start)
                .is_private_copy_of(&origin);
            let is_untouched = is_same && !books.committed.contains(&range);
            let counts = area.counted == Counted::Touched;
            (is_untouched && (!counts || self.region.charge(&range))).then_some(area.prot)
        };
        self.gang()
            .give_page(self, page, &content, prot_if_untouched)
    }

    /// Checks an access within a page, and says where that is to be found.
    fn whereabouts(&self, address: u64, len: usize, access: Prot) -> Result<Whereabouts, Errno> {
        debug_assert!(address % PAGE_SIZE + len as u64 <= PAGE_SIZE);
        self.check_access(address, len as u64, access)?;
        let shared = self.with_area(address, |_, area| area.shared().cloned());
        Ok(match shared.flatten() {
            _ if !self.gang().is_shared() => Whereabouts::Here,
            Some(place) => Whereabouts::Shared(place),
            None => Whereabouts::InGang,
        })
    }

    fn is_of_zeros(&self, address: u64) -> bool {
        let is_zero = self.with_area(address, |_, area| matches!(area.backing, Backing::Zero));
        is_zero == Some(true)
    }
}

//! The memory of a process as others reach it, who do not hold it.

use hal::{Errno, PAGE_SIZE, Prot};

use super::area::Backing;
use super::space::AddressSpace;

impl AddressSpace {
    /// Copies bytes of one page, whoever of its gang is resident. `EFAULT` when its own program may
    /// not read them.
    pub(crate) fn look_in(&self, address: u64, bytes: &mut [u8]) -> Result<(), Errno> {
        if !self.is_in_gang(address, bytes.len(), Prot::READ)? {
            return self.copy_in(address, bytes);
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

    /// Changes bytes of one page that its program has touched, whoever of its gang is resident. `EFAULT`
    /// when its own program may not.
    pub(crate) fn put_in(&self, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        if !self.is_in_gang(address, bytes.len(), Prot::WRITE)? {
            return self.copy_out(address, bytes);
        }
        let page = super::page_floor(address);
        let written = self.gang().with_page(self.id(), page, true, |at| {
            self.machine.copy_out(at + (address - page), bytes)
        });
        match written {
            Some(Ok(())) => Ok(()),
            _ => Err(Errno::EFAULT),
        }
    }

    /// Checks an access within a page; whether the page is exchanged with those of others.
    fn is_in_gang(&self, address: u64, len: usize, access: Prot) -> Result<bool, Errno> {
        debug_assert!(address % PAGE_SIZE + len as u64 <= PAGE_SIZE);
        self.check_access(address, len as u64, access)?;
        let is_shared = self.with_area(address, |_, area| area.shared().is_some());
        Ok(self.gang().is_shared() && is_shared == Some(false))
    }

    fn is_of_zeros(&self, address: u64) -> bool {
        let is_zero = self.with_area(address, |_, area| matches!(area.backing, Backing::Zero));
        is_zero == Some(true)
    }
}

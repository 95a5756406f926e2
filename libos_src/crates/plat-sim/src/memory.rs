//! The address range of the enclave in this process.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};

use abi::{PAGE_SIZE, Permissions};
use platform::{Error, Result};

/// Linux maps nothing lower (`vm.mmap_min_addr`), so no enclave has pages there.
pub(crate) const FIRST_ADDRESS: u64 = 0x1_0000;

/// Memory at fixed addresses, from [`FIRST_ADDRESS`] to the enclave's end.
pub(crate) struct Range {
    end: u64,
    /// The memory of this process, for pages that nobody may see yet; not every host lets it be written.
    memory: Option<File>,
}

impl Range {
    /// Takes the range from address 0 on. Its pages are readable, writable and zero.
    pub(crate) fn reserve(size_bytes: u64) -> Result<Self> {
        let length = (size_bytes - FIRST_ADDRESS) as usize;
        let flags = libc::MAP_PRIVATE
            | libc::MAP_ANONYMOUS
            | libc::MAP_NORESERVE
            | libc::MAP_FIXED_NOREPLACE;
        // SAFETY: MAP_FIXED_NOREPLACE takes no address that is in use.
        let mapped = unsafe {
            libc::mmap(
                FIRST_ADDRESS as *mut libc::c_void,
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                flags,
                -1,
                0,
            )
        };
        if mapped == libc::MAP_FAILED {
            return Err(host_error("reserve the enclave's address range"));
        }
        // Programs place their pages where they like; huge pages would only waste memory.
        // SAFETY: the range was mapped above.
        unsafe { libc::madvise(mapped, length, libc::MADV_NOHUGEPAGE) };
        let memory = OpenOptions::new().write(true).open("/proc/self/mem");
        Ok(Self {
            end: size_bytes,
            memory: memory.ok(),
        })
    }

    /// Whether the bytes are inside.
    pub(crate) fn contains(&self, address: u64, size_bytes: u64) -> bool {
        address >= FIRST_ADDRESS
            && address
                .checked_add(size_bytes)
                .is_some_and(|end| end <= self.end)
    }

    /// Copies bytes to an address of the range, which must be writable now. No enclave thread may use
    /// them meanwhile: there is none before EINIT, and none has a page yet that EACCEPTCOPY fills.
    pub(crate) fn write(&self, address: u64, bytes: &[u8]) {
        assert!(self.contains(address, bytes.len() as u64));
        // SAFETY: inside the range, in which no Rust object lives; nobody else uses these bytes, as
        // the caller sees to.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), address as *mut u8, bytes.len());
        }
    }

    /// Copies bytes to pages that no access reaches, and leaves them so; whether the host could.
    /// Callable from a signal handler.
    pub(crate) fn write_unseen(&self, address: u64, bytes: &[u8]) -> bool {
        assert!(self.contains(address, bytes.len() as u64));
        let Some(memory) = &self.memory else {
            return false;
        };
        let result: i64;
        // SAFETY: reads `bytes`, and writes inside the range, in which no Rust object lives.
        unsafe {
            std::arch::asm!(
                "syscall",
                inlateout("rax") libc::SYS_pwrite64 => result,
                in("rdi") i64::from(memory.as_raw_fd()),
                in("rsi") bytes.as_ptr(),
                in("rdx") bytes.len(),
                in("r10") address,
                lateout("rcx") _,
                lateout("r11") _,
                options(nostack)
            );
        }
        result == bytes.len() as i64
    }

    /// Replaces some bytes of the aligned word in which `address` is, in one step. Enclave threads may
    /// read or run them meanwhile. The page must be writable now.
    pub(crate) fn write_in_word(&self, address: u64, bytes: &[u8]) {
        let offset = (address % 8) as usize;
        let start = address - offset as u64;
        assert!(self.contains(start, 8) && offset + bytes.len() <= 8);
        // SAFETY: aligned and inside the range, in which no Rust object lives. All that the platform
        // does with the word while threads run goes through here.
        let word = unsafe { AtomicU64::from_ptr(start as *mut u64) };
        let mut replaced = word.load(Ordering::Relaxed).to_le_bytes();
        replaced[offset..offset + bytes.len()].copy_from_slice(bytes);
        word.store(u64::from_le_bytes(replaced), Ordering::Release);
    }

    /// Copies bytes from an address of the range, which must be readable now. If an enclave thread
    /// writes to them meanwhile, each byte is an old or a new one, as for the CPU's own leaves.
    pub(crate) fn read(&self, address: u64, out: &mut [u8]) {
        assert!(self.contains(address, out.len() as u64));
        // SAFETY: inside the range, in which no Rust object lives: whoever writes there is not Rust
        // code, and any bytes will do.
        unsafe {
            std::ptr::copy_nonoverlapping(address as *const u8, out.as_mut_ptr(), out.len());
        }
    }

    /// As [`read`](Self::read), of bytes that another thread may take away at any time; whether they were
    /// all there. Callable from a signal handler, where a fault would end the process.
    pub(crate) fn read_if_there(&self, address: u64, out: &mut [u8]) -> bool {
        assert!(self.contains(address, out.len() as u64));
        let length = out.len();
        let own = libc::iovec {
            iov_base: out.as_mut_ptr().cast(),
            iov_len: length,
        };
        let there = libc::iovec {
            iov_base: address as *mut libc::c_void,
            iov_len: length,
        };
        let result: i64;
        // SAFETY: writes at most `length` bytes to `out`, which nobody else uses, and reads what it may.
        unsafe {
            std::arch::asm!(
                "syscall",
                inlateout("rax") libc::SYS_process_vm_readv => result,
                in("rdi") u64::from(std::process::id()),
                in("rsi") &raw const own,
                in("rdx") 1_u64,
                in("r10") &raw const there,
                in("r8") 1_u64,
                in("r9") 0_u64,
                lateout("rcx") _,
                lateout("r11") _,
                options(nostack)
            );
        }
        match -result as i32 {
            // A host that lets nobody do that, not even to their own memory.
            libc::ENOSYS | libc::EPERM => {
                self.read(address, out);
                true
            }
            _ => result == length as i64,
        }
    }

    /// Sets what an access may do.
    pub(crate) fn protect(&self, address: u64, size_bytes: u64, access: Permissions) -> Result<()> {
        protect(address, size_bytes, access).map_err(|errno| Error::Host {
            operation: "protect enclave pages",
            errno,
        })
    }

    /// Makes pages zero and gives their memory back.
    pub(crate) fn discard(&self, address: u64, size_bytes: u64) -> Result<()> {
        assert!(self.contains(address, size_bytes));
        // SAFETY: inside the range; the pages are no longer the enclave's.
        let done = unsafe {
            libc::madvise(
                address as *mut libc::c_void,
                size_bytes as usize,
                libc::MADV_DONTNEED,
            )
        };
        if done == 0 {
            Ok(())
        } else {
            Err(host_error("give enclave pages back"))
        }
    }
}

impl Drop for Range {
    fn drop(&mut self) {
        // SAFETY: the range is this value's own, and no enclave thread is left.
        unsafe {
            libc::munmap(
                FIRST_ADDRESS as *mut libc::c_void,
                (self.end - FIRST_ADDRESS) as usize,
            );
        }
    }
}

/// `mprotect`, callable from a signal handler: a bare system call that leaves `errno` alone.
pub(crate) fn protect(
    address: u64,
    size_bytes: u64,
    access: Permissions,
) -> std::result::Result<(), i32> {
    debug_assert!(address.is_multiple_of(PAGE_SIZE));
    // SGX and mmap number read, write and execute alike: 1, 2, 4.
    let protection = u64::from(access.bits());
    let result: i64;
    // SAFETY: changes the protection of pages of the enclave, which no Rust object lives in.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") libc::SYS_mprotect => result,
            in("rdi") address,
            in("rsi") size_bytes,
            in("rdx") protection,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack)
        );
    }
    if result == 0 {
        Ok(())
    } else {
        Err(-result as i32)
    }
}

/// The error of the last call into libc.
pub(crate) fn host_error(operation: &'static str) -> Error {
    Error::Host {
        operation,
        errno: io::Error::last_os_error().raw_os_error().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_thread_has_taken_away_is_not_read_and_no_fault() {
        const PAGES: u64 = 4;
        // Not the range that an enclave takes: another test may have that.
        // SAFETY: takes no address that is in use.
        let place = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                (PAGES * PAGE_SIZE) as usize,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(place, libc::MAP_FAILED);
        let start = place as u64;
        let range = std::mem::ManuallyDrop::new(Range {
            end: start + PAGES * PAGE_SIZE,
            memory: None,
        });
        range.write(start + PAGE_SIZE - 2, &[1, 2, 3]);
        let mut bytes = [0; 3];
        assert!(range.read_if_there(start + PAGE_SIZE - 2, &mut bytes));
        assert_eq!(bytes, [1, 2, 3]);

        range
            .protect(start + PAGE_SIZE, PAGE_SIZE, Permissions::NONE)
            .expect("ours");
        assert!(!range.read_if_there(start + PAGE_SIZE - 2, &mut bytes));
        assert!(range.read_if_there(start + PAGE_SIZE - 3, &mut bytes));
        assert!(!range.read_if_there(start + PAGE_SIZE, &mut bytes));
        // SAFETY: nobody uses the place any more.
        unsafe { libc::munmap(place, (PAGES * PAGE_SIZE) as usize) };
    }
}

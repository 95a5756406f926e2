//! The driver's requests, one method each.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Mutex, PoisonError};

use abi::{PAGE_SIZE, PageType, Permissions, SIGSTRUCT_SIZE, SecInfo, Secs, SgxError};
use platform::{Error, Result};

use crate::uapi::{
    EnclaveAddPages, EnclaveCreate, EnclaveInit, EnclaveModifyTypes, EnclaveProvision,
    EnclaveRemovePages, EnclaveRestrictPermissions, Request, SGX_IOC_ENCLAVE_ADD_PAGES,
    SGX_IOC_ENCLAVE_CREATE, SGX_IOC_ENCLAVE_INIT, SGX_IOC_ENCLAVE_MODIFY_TYPES,
    SGX_IOC_ENCLAVE_PROVISION, SGX_IOC_ENCLAVE_REMOVE_PAGES, SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS,
    SGX_PAGE_MEASURE,
};

const ENCLAVE_DEVICE: &str = "/dev/sgx_enclave";
const PROVISION_DEVICE: &str = "/dev/sgx_provision";

/// A page of contents where the driver can read it: aligned, and in memory that may be executed.
#[derive(Clone, Copy)]
#[repr(C, align(4096))]
pub(crate) struct Page(pub(crate) [u8; PAGE_SIZE as usize]);

/// One opened device, which is one enclave.
#[derive(Debug)]
pub(crate) struct Device {
    file: File,
    /// The driver answers EBUSY to a request while another of the same enclave is under way.
    request: Mutex<()>,
}

impl Device {
    /// Opens the driver for a new enclave.
    pub(crate) fn open() -> Result<Self> {
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .open(ENCLAVE_DEVICE);
        match opened {
            Ok(file) => Ok(Self {
                file,
                request: Mutex::new(()),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::Unsupported(
                "no SGX on this machine: /dev/sgx_enclave is missing",
            )),
            Err(error) => Err(refused("open /dev/sgx_enclave", &error)),
        }
    }

    /// The descriptor, for `mmap`.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Whether CPU and kernel can change pages after EINIT.
    ///
    /// Asked with a request that fails in any case, as there is no enclave yet: ENOTTY from a
    /// kernel that does not know it, ENODEV on a CPU without SGX2, EINVAL where only the enclave is
    /// missing.
    pub(crate) fn has_dynamic_memory(&self) -> bool {
        let mut nothing = EnclaveRemovePages {
            offset: 0,
            length: 0,
            count: 0,
        };
        // SAFETY: the argument holds no address.
        let asked = unsafe { self.request(&SGX_IOC_ENCLAVE_REMOVE_PAGES, &mut nothing) };
        matches!(asked, Err(error) if error.raw_os_error() == Some(libc::EINVAL))
    }

    /// ECREATE.
    pub(crate) fn create(&self, secs: &Secs) -> Result<()> {
        let mut argument = EnclaveCreate {
            src: address_of(secs),
        };
        // SAFETY: `src` is the address of a SECS, which the kernel only reads.
        unsafe { self.request(&SGX_IOC_ENCLAVE_CREATE, &mut argument) }
            .map_err(|error| refused("create the enclave (ECREATE)", &error))
    }

    /// Lets the enclave have ATTRIBUTES.PROVISIONKEY, if this user may open the device for it.
    pub(crate) fn allow_provision_key(&self) -> Result<()> {
        let provision = File::open(PROVISION_DEVICE)
            .map_err(|error| refused("open /dev/sgx_provision", &error))?;
        let mut argument = EnclaveProvision {
            fd: provision.as_raw_fd() as u64,
        };
        // SAFETY: the argument holds no address.
        unsafe { self.request(&SGX_IOC_ENCLAVE_PROVISION, &mut argument) }
            .map_err(|error| refused("allow the provisioning key", &error))
    }

    /// EADD of these pages, and EEXTEND if `measure`.
    pub(crate) fn add_pages(
        &self,
        offset: u64,
        pages: &[Page],
        sec_info: SecInfo,
        measure: bool,
    ) -> Result<()> {
        let source = address_of(pages);
        repeat(offset, size_of_val(pages) as u64, |offset, length, done| {
            let mut argument = EnclaveAddPages {
                src: source + done,
                offset,
                length,
                secinfo: address_of(&sec_info),
                flags: if measure { SGX_PAGE_MEASURE } else { 0 },
                count: 0,
            };
            // SAFETY: `src` is the address of `length` bytes of `pages` and `secinfo` that of a
            // SECINFO; the kernel only reads them.
            let status = unsafe { self.request(&SGX_IOC_ENCLAVE_ADD_PAGES, &mut argument) };
            Step {
                status,
                count: argument.count,
                result: 0,
                operation: "add pages (EADD)",
            }
        })
        .map(|_| ())
    }

    /// EINIT. The error is the kernel's, which does not say what EINIT objected to.
    pub(crate) fn init(&self, sig_struct: &[u8; SIGSTRUCT_SIZE]) -> io::Result<()> {
        let mut argument = EnclaveInit {
            sigstruct: address_of(sig_struct),
        };
        loop {
            // SAFETY: `sigstruct` is the address of a SIGSTRUCT, which the kernel only reads.
            match unsafe { self.request(&SGX_IOC_ENCLAVE_INIT, &mut argument) } {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    /// EMODPR.
    pub(crate) fn restrict_permissions(
        &self,
        offset: u64,
        length: u64,
        permissions: Permissions,
    ) -> Result<u64> {
        repeat(offset, length, |offset, length, _| {
            let permissions = u64::from(permissions.bits());
            let mut argument = EnclaveRestrictPermissions {
                offset,
                length,
                permissions,
                result: 0,
                count: 0,
            };
            // SAFETY: the argument holds no address.
            let status =
                unsafe { self.request(&SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS, &mut argument) };
            let EnclaveRestrictPermissions { count, result, .. } = argument;
            Step {
                status,
                count,
                result,
                operation: "restrict page permissions (EMODPR)",
            }
        })
    }

    /// EMODT.
    pub(crate) fn modify_types(
        &self,
        offset: u64,
        length: u64,
        page_type: PageType,
    ) -> Result<u64> {
        repeat(offset, length, |offset, length, _| {
            let page_type = page_type as u64;
            let mut argument = EnclaveModifyTypes {
                offset,
                length,
                page_type,
                result: 0,
                count: 0,
            };
            // SAFETY: the argument holds no address.
            let status = unsafe { self.request(&SGX_IOC_ENCLAVE_MODIFY_TYPES, &mut argument) };
            let EnclaveModifyTypes { count, result, .. } = argument;
            Step {
                status,
                count,
                result,
                operation: "change page types (EMODT)",
            }
        })
    }

    /// EREMOVE.
    pub(crate) fn remove_pages(&self, offset: u64, length: u64) -> Result<u64> {
        repeat(offset, length, |offset, length, _| {
            let mut argument = EnclaveRemovePages {
                offset,
                length,
                count: 0,
            };
            // SAFETY: the argument holds no address.
            let status = unsafe { self.request(&SGX_IOC_ENCLAVE_REMOVE_PAGES, &mut argument) };
            Step {
                status,
                count: argument.count,
                result: 0,
                operation: "remove pages (EREMOVE)",
            }
        })
    }

    /// # Safety
    /// Every address in `argument` must be that of what the request reads there.
    unsafe fn request<T>(&self, request: &Request<T>, argument: &mut T) -> io::Result<()> {
        // A panic elsewhere leaves nothing half done that this lock protects.
        let _one_at_a_time = self.request.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: `Request<T>` pairs the number with the type that the kernel reads and writes, and
        // `argument` is one; what it points to is the caller's promise.
        let status = unsafe {
            libc::ioctl(
                self.descriptor(),
                request.number as libc::Ioctl,
                core::ptr::from_mut(argument),
            )
        };
        if status == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

/// What one request over a range did.
struct Step {
    status: io::Result<()>,
    /// Bytes done, also when it failed.
    count: u64,
    /// The SGX error behind EFAULT, or zero.
    result: u64,
    operation: &'static str,
}

/// Repeats a request until the range is done: signals and memory pressure stop it half-way.
///
/// `step` is given the offset and length that remain, and the bytes done before.
fn repeat(offset: u64, length: u64, mut step: impl FnMut(u64, u64, u64) -> Step) -> Result<u64> {
    let mut done = 0;
    while done < length {
        let Step {
            status,
            count,
            result,
            operation,
        } = step(offset + done, length - done, done);
        done += count;
        match status {
            Ok(()) if count == 0 => {
                return Err(Error::Host {
                    operation,
                    errno: libc::EIO,
                });
            }
            Ok(()) => {}
            Err(error) if is_temporary(&error) => {}
            Err(error) => {
                let sgx_error = SgxError::from_code(result).map(Error::Refused);
                return Err(sgx_error.unwrap_or_else(|| refused(operation, &error)));
            }
        }
    }
    Ok(done)
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN))
}

/// The host's refusal of an operation.
pub(crate) fn refused(operation: &'static str, error: &io::Error) -> Error {
    Error::Host {
        operation,
        errno: error.raw_os_error().unwrap_or(libc::EIO),
    }
}

fn address_of<T: ?Sized>(value: &T) -> u64 {
    core::ptr::from_ref(value).cast::<u8>().expose_provenance() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(status: io::Result<()>, count: u64, result: u64) -> Step {
        Step {
            status,
            count,
            result,
            operation: "test",
        }
    }

    fn failure(errno: i32) -> io::Result<()> {
        Err(io::Error::from_raw_os_error(errno))
    }

    #[test]
    fn a_request_that_is_interrupted_goes_on_where_it_stopped() {
        let mut answers = [
            step(Ok(()), 0x1000, 0),
            step(failure(libc::EINTR), 0, 0),
            step(failure(libc::EAGAIN), 0x2000, 0),
            step(Ok(()), 0x1000, 0),
        ]
        .into_iter();
        let mut asked = Vec::new();
        let done = repeat(0x10000, 0x4000, |offset, length, done| {
            asked.push((offset, length, done));
            answers.next().expect("no more than these")
        });
        assert_eq!(done, Ok(0x4000));
        assert_eq!(
            asked,
            [
                (0x10000, 0x4000, 0),
                (0x11000, 0x3000, 0x1000),
                (0x11000, 0x3000, 0x1000),
                (0x13000, 0x1000, 0x3000),
            ]
        );
    }

    #[test]
    fn the_sgx_error_behind_efault_is_the_one_reported() {
        let outcome = repeat(0, 0x1000, |_, _, _| step(failure(libc::EFAULT), 0, 20));
        assert_eq!(outcome, Err(Error::Refused(SgxError::PageNotModifiable)));
        let outcome = repeat(0, 0x1000, |_, _, _| step(failure(libc::EFAULT), 0, 0));
        assert_eq!(
            outcome,
            Err(Error::Host {
                operation: "test",
                errno: libc::EFAULT
            })
        );
    }

    #[test]
    fn success_without_progress_is_an_error_and_not_a_loop() {
        let outcome = repeat(0, 0x1000, |_, _, _| step(Ok(()), 0, 0));
        assert_eq!(
            outcome,
            Err(Error::Host {
                operation: "test",
                errno: libc::EIO
            })
        );
    }

    #[test]
    fn a_machine_without_sgx_is_told_so() {
        if std::path::Path::new(ENCLAVE_DEVICE).exists() {
            println!("skipped: this machine has SGX");
            return;
        }
        let error = Device::open().expect_err("there is no device");
        let text = "not supported here: no SGX on this machine: /dev/sgx_enclave is missing";
        assert_eq!(error.to_string(), text);
    }

    #[test]
    fn pages_are_where_the_driver_can_read_them() {
        let pages = vec![Page([0; PAGE_SIZE as usize]); 3];
        assert_eq!(address_of(&pages[..]) % PAGE_SIZE, 0);
        assert_eq!(size_of_val(&pages[..]), 3 * PAGE_SIZE as usize);
    }
}

//! The kernel's structures and request numbers, as in `arch/x86/include/uapi/asm/sgx.h`.

use core::marker::PhantomData;
use core::mem::{offset_of, size_of};

/// `struct sgx_enclave_create`.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct EnclaveCreate {
    /// Address of the 4096-byte SECS.
    pub(crate) src: u64,
}

/// `struct sgx_enclave_add_pages`.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct EnclaveAddPages {
    /// Address of the contents, page aligned, in memory that may be made executable.
    pub(crate) src: u64,
    /// Offset of the first page.
    pub(crate) offset: u64,
    /// Bytes, whole pages.
    pub(crate) length: u64,
    /// Address of one SECINFO for all of them.
    pub(crate) secinfo: u64,
    /// [`SGX_PAGE_MEASURE`] or zero.
    pub(crate) flags: u64,
    /// Out: bytes added.
    pub(crate) count: u64,
}

/// `SGX_PAGE_MEASURE`: EEXTEND each page after EADD.
pub(crate) const SGX_PAGE_MEASURE: u64 = 1;

/// `struct sgx_enclave_init`.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct EnclaveInit {
    /// Address of the 1808-byte SIGSTRUCT.
    pub(crate) sigstruct: u64,
}

/// `struct sgx_enclave_provision`.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct EnclaveProvision {
    /// Descriptor of `/dev/sgx_provision`.
    pub(crate) fd: u64,
}

/// `struct sgx_enclave_restrict_permissions`.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct EnclaveRestrictPermissions {
    /// Offset of the first page.
    pub(crate) offset: u64,
    /// Bytes, whole pages.
    pub(crate) length: u64,
    /// The permissions that stay, in the low three bits.
    pub(crate) permissions: u64,
    /// Out: the error of EMODPR. Must be zero on the way in.
    pub(crate) result: u64,
    /// Out: bytes done. Must be zero on the way in.
    pub(crate) count: u64,
}

/// `struct sgx_enclave_modify_types`.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct EnclaveModifyTypes {
    /// Offset of the first page.
    pub(crate) offset: u64,
    /// Bytes, whole pages.
    pub(crate) length: u64,
    /// The number of the new type.
    pub(crate) page_type: u64,
    /// Out: the error of EMODT. Must be zero on the way in.
    pub(crate) result: u64,
    /// Out: bytes done. Must be zero on the way in.
    pub(crate) count: u64,
}

/// `struct sgx_enclave_remove_pages`.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct EnclaveRemovePages {
    /// Offset of the first page.
    pub(crate) offset: u64,
    /// Bytes, whole pages.
    pub(crate) length: u64,
    /// Out: bytes done. Must be zero on the way in.
    pub(crate) count: u64,
}

/// `struct sgx_enclave_run`: how one entry is to be made, and how it ended.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct EnclaveRun {
    /// Linear address of the TCS.
    pub(crate) tcs: u64,
    /// Out: the leaf of ENCLU that was last seen; EEXIT unless there was an exception.
    pub(crate) function: u32,
    /// Out: the exception's vector.
    pub(crate) exception_vector: u16,
    /// Out: the exception's error code.
    pub(crate) exception_error_code: u16,
    /// Out: the address of a page fault.
    pub(crate) exception_address: u64,
    /// A function to call on exit; zero for none.
    pub(crate) user_handler: u64,
    /// A value for that function.
    pub(crate) user_data: u64,
    /// Must be zero.
    pub(crate) reserved: [u8; 216],
}

impl EnclaveRun {
    /// An entry through this TCS without a handler.
    pub(crate) const fn new(tcs: u64) -> Self {
        Self {
            tcs,
            function: 0,
            exception_vector: 0,
            exception_error_code: 0,
            exception_address: 0,
            user_handler: 0,
            user_data: 0,
            reserved: [0; 216],
        }
    }
}

/// A request number that knows the type of its argument.
#[derive(Debug)]
pub(crate) struct Request<T> {
    pub(crate) number: u64,
    argument: PhantomData<fn(T)>,
}

impl<T> Request<T> {
    /// `_IOW(SGX_MAGIC, number, T)`.
    const fn write(number: u8) -> Self {
        Self::new(1, number)
    }

    /// `_IOWR(SGX_MAGIC, number, T)`.
    const fn read_write(number: u8) -> Self {
        Self::new(3, number)
    }

    /// `_IOC`: direction in bits 30 and 31, size in 16 to 29, magic in 8 to 15, number below.
    const fn new(direction: u64, number: u8) -> Self {
        const SGX_MAGIC: u64 = 0xA4;
        Self {
            number: direction << 30
                | (size_of::<T>() as u64) << 16
                | SGX_MAGIC << 8
                | number as u64,
            argument: PhantomData,
        }
    }
}

pub(crate) const SGX_IOC_ENCLAVE_CREATE: Request<EnclaveCreate> = Request::write(0);
pub(crate) const SGX_IOC_ENCLAVE_ADD_PAGES: Request<EnclaveAddPages> = Request::read_write(1);
pub(crate) const SGX_IOC_ENCLAVE_INIT: Request<EnclaveInit> = Request::write(2);
pub(crate) const SGX_IOC_ENCLAVE_PROVISION: Request<EnclaveProvision> = Request::write(3);
pub(crate) const SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS: Request<EnclaveRestrictPermissions> =
    Request::read_write(5);
pub(crate) const SGX_IOC_ENCLAVE_MODIFY_TYPES: Request<EnclaveModifyTypes> = Request::read_write(6);
pub(crate) const SGX_IOC_ENCLAVE_REMOVE_PAGES: Request<EnclaveRemovePages> = Request::read_write(7);

const _: () = {
    assert!(size_of::<EnclaveCreate>() == 8);
    assert!(size_of::<EnclaveAddPages>() == 48);
    assert!(offset_of!(EnclaveAddPages, secinfo) == 24);
    assert!(offset_of!(EnclaveAddPages, count) == 40);
    assert!(size_of::<EnclaveInit>() == 8);
    assert!(size_of::<EnclaveProvision>() == 8);
    assert!(size_of::<EnclaveRestrictPermissions>() == 40);
    assert!(offset_of!(EnclaveRestrictPermissions, result) == 24);
    assert!(size_of::<EnclaveModifyTypes>() == 40);
    assert!(offset_of!(EnclaveModifyTypes, result) == 24);
    assert!(size_of::<EnclaveRemovePages>() == 24);
    assert!(offset_of!(EnclaveRemovePages, count) == 16);
    // Offsets that vsgx.S has as constants.
    assert!(offset_of!(EnclaveRun, tcs) == 0);
    assert!(offset_of!(EnclaveRun, function) == 8);
    assert!(offset_of!(EnclaveRun, exception_vector) == 12);
    assert!(offset_of!(EnclaveRun, exception_error_code) == 14);
    assert!(offset_of!(EnclaveRun, exception_address) == 16);
    assert!(offset_of!(EnclaveRun, user_handler) == 24);
    assert!(offset_of!(EnclaveRun, user_data) == 32);
    assert!(offset_of!(EnclaveRun, reserved) == 40);
    assert!(size_of::<EnclaveRun>() == 256);
};

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers that a C compiler makes of the kernel's header.
    #[test]
    fn request_numbers_are_those_of_the_kernel() {
        assert_eq!(SGX_IOC_ENCLAVE_CREATE.number, 0x4008_a400);
        assert_eq!(SGX_IOC_ENCLAVE_ADD_PAGES.number, 0xc030_a401);
        assert_eq!(SGX_IOC_ENCLAVE_INIT.number, 0x4008_a402);
        assert_eq!(SGX_IOC_ENCLAVE_PROVISION.number, 0x4008_a403);
        assert_eq!(SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS.number, 0xc028_a405);
        assert_eq!(SGX_IOC_ENCLAVE_MODIFY_TYPES.number, 0xc028_a406);
        assert_eq!(SGX_IOC_ENCLAVE_REMOVE_PAGES.number, 0xc018_a407);
    }
}

//! The leaves of ENCLU that change the enclave's own pages.

use abi::{PAGE_SIZE, SecInfo, leaf};

use crate::entry;

/// EACCEPT: agrees to what the kernel did to a page, if it is exactly `expected`. Otherwise gives
/// the error code.
pub(crate) fn accept(address: u64, expected: &SecInfo) -> Result<(), u64> {
    // SAFETY: EACCEPT changes no content; the page is the program's, and a wrong page is an error
    // code. A host that provides no page at all makes it fault, which ends the enclave.
    match unsafe { entry::enclave_leaf(leaf::EACCEPT, secinfo_address(expected), address) } {
        0 => Ok(()),
        code => Err(code),
    }
}

/// EACCEPTCOPY: agrees to a page that the kernel adds at the first touch, with the content of
/// `source`, which is a page, and the permissions of `wanted`. Otherwise gives the error code.
pub(crate) fn accept_copy(
    address: u64,
    source: &[u8; PAGE_SIZE as usize],
    wanted: &SecInfo,
) -> Result<(), u64> {
    let from = core::ptr::from_ref(source) as u64;
    // SAFETY: EACCEPTCOPY writes to a page of the program that was not there, so that nothing refers
    // to it; a wrong page is an error code, or a fault, which ends the enclave.
    match unsafe {
        entry::enclave_leaf_from(leaf::EACCEPTCOPY, secinfo_address(wanted), address, from)
    } {
        0 => Ok(()),
        code => Err(code),
    }
}

/// EMODPE: adds permissions to a page.
pub(crate) fn extend_permissions(address: u64, wanted: &SecInfo) {
    // SAFETY: EMODPE changes no content; the page is the program's and was accepted.
    unsafe { entry::enclave_leaf(leaf::EMODPE, secinfo_address(wanted), address) };
}

fn secinfo_address(secinfo: &SecInfo) -> u64 {
    core::ptr::from_ref(secinfo) as u64
}

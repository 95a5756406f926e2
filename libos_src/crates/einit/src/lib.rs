//! EINIT: the checks that stand between a built enclave and its first instruction.
//!
//! [`check`] follows the operation of ENCLS\[EINIT\] in the Intel SDM, volume 3D, in its order, so
//! that software gives the error that hardware would give. Launch control is that of Linux on a CPU
//! with flexible launch control: the kernel makes every signer the launch authority, there is no
//! EINITTOKEN, and SGX_INVALID_EINITTOKEN does not occur.
//!
//! What is not checked here: whether the SECS itself is legal. That is ECREATE's part.
#![forbid(unsafe_code)]

mod identity;
pub mod rsa;

use abi::{Attributes, Secs, SgxError};
use sgx_image::SigStruct;

pub use identity::SecsIdentity;

const VENDOR_INTEL: u32 = 0x8086;
const RSA_EXPONENT: u32 = 3;

/// Checks a SIGSTRUCT against an enclave that was built with `secs` and measured as `mr_enclave`.
///
/// Identity fields of `secs` are not looked at, as EINIT is what sets them.
///
/// # Errors
/// In the order of the checks: [`SgxError::InvalidSigStruct`] for a constant or reserved field,
/// [`SgxError::InvalidSignature`], `InvalidSigStruct` again for a family id without KSS,
/// [`SgxError::InvalidMeasurement`], and [`SgxError::InvalidAttribute`] where ATTRIBUTES,
/// CET_ATTRIBUTES or MISCSELECT differ under the signer's masks.
pub fn check(
    secs: &Secs,
    sig_struct: &SigStruct,
    mr_enclave: [u8; 32],
) -> Result<SecsIdentity, SgxError> {
    ensure(has_legal_constants(sig_struct), SgxError::InvalidSigStruct)?;
    ensure(rsa::is_signed(sig_struct), SgxError::InvalidSignature)?;
    // The SDM asks this of ISVFAMILYID alone; ISVEXTPRODID without KSS has no effect.
    let has_kss = secs.attributes.flags & Attributes::KSS != 0;
    let has_family = sig_struct.isvfamilyid() != [0; 16];
    ensure(has_kss || !has_family, SgxError::InvalidSigStruct)?;
    ensure(
        sig_struct.enclavehash() == mr_enclave,
        SgxError::InvalidMeasurement,
    )?;
    ensure(
        has_signed_properties(secs, sig_struct),
        SgxError::InvalidAttribute,
    )?;
    Ok(SecsIdentity::new(secs, sig_struct, mr_enclave))
}

fn has_legal_constants(sig_struct: &SigStruct) -> bool {
    sig_struct.header() == SigStruct::HEADER
        && matches!(sig_struct.vendor(), 0 | VENDOR_INTEL)
        && sig_struct.header2() == SigStruct::HEADER2
        && sig_struct.exponent() == RSA_EXPONENT
        && sig_struct.reserved_is_zero()
}

/// Whether the enclave is, in every bit that the signer's masks select, what was signed.
fn has_signed_properties(secs: &Secs, sig_struct: &SigStruct) -> bool {
    let differing = |enclave: Attributes, signed: Attributes| Attributes {
        flags: enclave.flags ^ signed.flags,
        xfrm: enclave.xfrm ^ signed.xfrm,
    };
    let attributes = differing(secs.attributes, sig_struct.attributes());
    let attribute_mask = sig_struct.attributemask();
    let cet_attributes = secs.cet_attributes ^ sig_struct.cet_attributes();
    let misc_select = secs.misc_select ^ sig_struct.miscselect();
    attributes.flags & attribute_mask.flags == 0
        && attributes.xfrm & attribute_mask.xfrm == 0
        && cet_attributes & sig_struct.cet_attributes_mask() == 0
        && misc_select & sig_struct.miscmask() == 0
}

fn ensure(condition: bool, otherwise: SgxError) -> Result<(), SgxError> {
    if condition { Ok(()) } else { Err(otherwise) }
}

use abi::{Attributes, Secs};
use sgx_image::SigStruct;

/// Who an enclave is once EINIT has accepted it: what EREPORT reports and EGETKEY derives from.
///
/// It holds the identity fields of the SECS (SDM table "Layout of SGX Enclave Control Structure"),
/// with ISVFAMILYID and ISVEXTPRODID, which the SECS keeps where the SDM shows none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecsIdentity {
    /// ATTRIBUTES, with INIT set.
    pub attributes: Attributes,
    /// MISCSELECT.
    pub misc_select: u32,
    /// CET_ATTRIBUTES.
    pub cet_attributes: u8,
    /// MRENCLAVE: what the enclave was built from.
    pub mr_enclave: [u8; 32],
    /// MRSIGNER: the SHA-256 of the signer's modulus.
    pub mr_signer: [u8; 32],
    /// ISVPRODID: which of the signer's products it is.
    pub isv_prod_id: u16,
    /// ISVSVN: the product's security version.
    pub isv_svn: u16,
    /// ISVEXTPRODID: a wider product id.
    pub isv_ext_prod_id: [u8; 16],
    /// ISVFAMILYID: the product's family; zero without KSS.
    pub isv_family_id: [u8; 16],
    /// CONFIGID: chosen by the host at ECREATE; zero without KSS.
    pub config_id: [u8; 64],
    /// CONFIGSVN: chosen by the host at ECREATE; zero without KSS.
    pub config_svn: u16,
}

impl SecsIdentity {
    pub(crate) fn new(secs: &Secs, sig_struct: &SigStruct, mr_enclave: [u8; 32]) -> Self {
        Self {
            attributes: Attributes {
                flags: secs.attributes.flags | Attributes::INIT,
                ..secs.attributes
            },
            misc_select: secs.misc_select,
            cet_attributes: secs.cet_attributes,
            mr_enclave,
            mr_signer: sig_struct.mrsigner(),
            isv_prod_id: sig_struct.isvprodid(),
            isv_svn: sig_struct.isvsvn(),
            isv_ext_prod_id: sig_struct.isvextprodid(),
            isv_family_id: sig_struct.isvfamilyid(),
            config_id: secs.config_id,
            config_svn: secs.config_svn,
        }
    }
}

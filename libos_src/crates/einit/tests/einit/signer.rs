//! A signer for tests.
//!
//! It divides where the code under test multiplies, so that the two do not share a mistake.

use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{NonZero, Odd, U3072, U6144};
use sgx_image::{SIG_STRUCT_BYTES, SigStruct};
use sha2::{Digest, Sha256};

/// A key that was made for these tests and signs nothing else: N and d, with e = 3.
const MODULUS: &str = "\
    f38a021e74beb1acdaff910a1025bf095b2137ba55e4b778252534daa85adc793071fe7d6f37fd013d4889aae2b2a8a3\
    4322ce51a1213cea8d61cbf623bfb1508c29ebb0e378e973563fd06227804cfb5e4fbc806470ca1db29f18768eb030d2\
    0d5e41a5a0a4a52ad375c98d4450f423445626e30f49e7db4b036cb70a925a6ee3b9c7bead181bae0852af047efb0610\
    b084b0a87d86e82f3bf066c456a5e972fc78553cf602d922217b2c02d1783e4afd944e19fd6a7dfa7f338ae8f3f70947\
    5a53661e54b4025428e552fd767e18a2034b18a42da80a973e39c133db27641be5701b5f2e1cb0ece7fc8ae9f9ce2f00\
    2de178fc0762e8990141c85a400386ed33e8719f244ba0139bf60ed36b196f9456464fac1e574f381013f324dd915767\
    a3163073d7a184dc2e29f5dcb0d1c5845bca605b5dfef54e14737c821ba64edd639b70cce7f001dd6528e59801c5e1f9\
    9a70d6bc585d04507116e4097cffbfb89385c793f280efa556ec40f2d19077fe7617aba96874a32746bb10ea2dacf159";
const PRIVATE_EXPONENT: &str = "\
    a25c0169a329cbc891ffb606b56e7f5b92162526e3edcfa56e18cde71ae73da6204bfefe4a25535628db0671ec771b17\
    821734366b6b7df1b39687f96d2a7635b2c69d2097a5f0f78ed53596c50033523edfd30042f5dc13cc6a104f09cacb36\
    b3942bc3c06dc371e24e865e2d8b4d6cd8396f420a31453cdcacf324b1b6e6f497d12fd4736567c95ae1ca02ff52040b\
    205875c5a9049aca27f599d839c3f0f752fae37df9573b6c16521d573650298753b83411539c53fc54cd0745f7fa062e\
    448fc24d60ae9d78c4dd5994b926e8888f128105a856e4e303e03460f89624563a258fba774f2d4e3344ab96056e735a\
    1fa481683435eac1c3c299fe2775bd40a9ff05d313f2271db557f192e3af0f9454d529c1bc90c874c1d4cd3622974037\
    95ce00db155d2cd901580f907e5de6644675392d217add4c3f5f9672c776eae6d606a045811325b13b6a907132fb3fd1\
    dd797e6244545b62ae4face425677d797e32576398796e87a1832ee2c72e22fbddc8b633ae50d318b63ed74ceae48123";

/// The fields of a SIGSTRUCT before it is signed.
#[derive(Clone)]
pub(crate) struct Draft(pub(crate) [u8; SIG_STRUCT_BYTES]);

impl Draft {
    /// A draft with the constants in place and everything else zero.
    pub(crate) fn new() -> Self {
        Self([0; SIG_STRUCT_BYTES])
            .with(0, &SigStruct::HEADER)
            .with(24, &SigStruct::HEADER2)
            .with(512, &3_u32.to_le_bytes())
    }

    pub(crate) fn with(mut self, offset: usize, field: &[u8]) -> Self {
        self.0[offset..offset + field.len()].copy_from_slice(field);
        self
    }

    pub(crate) fn sign(self) -> SigStruct {
        let info = digest_info(&digest_of(&self));
        self.sign_digest_info(&info)
    }

    /// Signs whatever is to stand at the end of the padded message.
    pub(crate) fn sign_digest_info(self, digest_info: &[u8]) -> SigStruct {
        self.sign_message(&padded(digest_info))
    }

    pub(crate) fn sign_message(self, message: &U3072) -> SigStruct {
        let modulus = U3072::from_be_hex(MODULUS);
        let parameters = FixedMontyParams::new_vartime(Odd::new(modulus).unwrap());
        let signature = FixedMontyForm::new(message, &parameters)
            .pow_vartime(&U3072::from_be_hex(PRIVATE_EXPONENT))
            .retrieve();
        self.with_signature(&modulus, &signature)
    }

    /// Fills in the RSA fields for any signature, with the quotients that belong to it.
    pub(crate) fn with_signature(self, modulus: &U3072, signature: &U3072) -> SigStruct {
        let divisor = NonZero::new(*modulus).unwrap();
        let square: U6144 = signature.concatenating_mul(signature);
        let (q1, rest) = square.div_rem_vartime(&divisor);
        let product: U6144 = rest.concatenating_mul(signature);
        let (q2, _) = product.div_rem_vartime(&divisor);
        let low = |number: U6144| number.split().0.to_le_bytes();
        let draft = self
            .with(128, modulus.to_le_bytes().as_slice())
            .with(516, signature.to_le_bytes().as_slice())
            .with(1040, low(q1).as_slice())
            .with(1424, low(q2).as_slice());
        SigStruct::from_bytes(draft.0)
    }
}

pub(crate) fn modulus() -> U3072 {
    U3072::from_be_hex(MODULUS)
}

/// The SHA-256 of what is signed of a draft.
pub(crate) fn digest_of(draft: &Draft) -> [u8; 32] {
    Sha256::digest(SigStruct::from_bytes(draft.0).signed_bytes()).into()
}

/// The number that a signature of this digest opens to.
pub(crate) fn message(digest: &[u8; 32]) -> U3072 {
    padded(&digest_info(digest))
}

fn padded(digest_info: &[u8]) -> U3072 {
    let mut message = [0xff; 384];
    message[..2].copy_from_slice(&[0, 1]);
    let (padding, end) = message.split_at_mut(384 - digest_info.len());
    padding[padding.len() - 1] = 0;
    end.copy_from_slice(digest_info);
    U3072::from_be_slice(&message)
}

/// DER of the SHA-256 `DigestInfo`.
pub(crate) fn digest_info(digest: &[u8; 32]) -> Vec<u8> {
    let head = [
        0x30, 49, 0x30, 13, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0, 4, 32,
    ];
    [&head[..], digest].concat()
}

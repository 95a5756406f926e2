//! The signature of a SIGSTRUCT, verified the way the CPU verifies it.
//!
//! RSA with exponent 3 needs S³ mod N. A SIGSTRUCT brings the two quotients of that calculation:
//!
//! ```text
//! S · S = Q1 · N + R     with 0 <= R < N
//! R · S = Q2 · N + M     with 0 <= M < N
//! ```
//!
//! so M can be had, and Q1 and Q2 proved right, by four multiplications and two comparisons; neither
//! division nor exponentiation is needed. That is why this crate uses `crypto-bigint` (constant-size
//! integers, no allocation, kept by RustCrypto) and not an RSA library: such a library would decide
//! about padding and exponents by its own rules, would know nothing of Q1 and Q2, and would bring a
//! larger tree of dependencies. Nothing here is secret, so timing does not matter.

use crypto_bigint::{CheckedSub, U3072, U6144};
use sgx_image::{RSA_BYTES, SigStruct};
use sha2::{Digest, Sha256};

/// DER of `DigestInfo { sha256, OCTET STRING of 32 bytes }` up to the digest (RFC 8017, 9.2).
const SHA256_DIGEST_INFO: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05,
    0x00, 0x04, 0x20,
];

/// Bytes in a SHA-256.
pub const DIGEST_BYTES: usize = 32;

/// The RSA numbers of a SIGSTRUCT, each little endian.
#[derive(Clone, Copy)]
pub struct Signature<'a> {
    /// N.
    pub modulus: &'a [u8; RSA_BYTES],
    /// S.
    pub signature: &'a [u8; RSA_BYTES],
    /// The quotient of the first step.
    pub q1: &'a [u8; RSA_BYTES],
    /// The quotient of the second step.
    pub q2: &'a [u8; RSA_BYTES],
}

impl<'a> Signature<'a> {
    /// The numbers of this SIGSTRUCT.
    #[must_use]
    pub fn of(sig_struct: &'a SigStruct) -> Self {
        Self {
            modulus: sig_struct.modulus(),
            signature: sig_struct.signature(),
            q1: sig_struct.q1(),
            q2: sig_struct.q2(),
        }
    }

    /// Whether this is a signature of a message with this SHA-256, and Q1 and Q2 are right.
    ///
    /// It does not say that the key is anyone's in particular, or that it is a good key.
    #[must_use]
    pub fn signs(&self, digest: &[u8; DIGEST_BYTES]) -> bool {
        self.opened() == Some(U3072::from_be_slice(&encode(digest)))
    }

    /// S³ mod N, unless S is not below N or a quotient is wrong.
    fn opened(&self) -> Option<U3072> {
        let modulus = U3072::from_le_slice(self.modulus);
        let signature = U3072::from_le_slice(self.signature);
        if signature >= modulus {
            return None;
        }
        let q1 = U3072::from_le_slice(self.q1);
        let square = remainder(&signature, &signature, &q1, &modulus)?;
        let q2 = U3072::from_le_slice(self.q2);
        remainder(&square, &signature, &q2, &modulus)
    }
}

/// Whether a SIGSTRUCT is signed by the key that it names.
#[must_use]
pub fn is_signed(sig_struct: &SigStruct) -> bool {
    let digest = Sha256::digest(sig_struct.signed_bytes()).into();
    Signature::of(sig_struct).signs(&digest)
}

/// The PKCS#1 v1.5 encoding of a SHA-256 digest for RSA-3072 (RFC 8017, 9.2), big endian.
fn encode(digest: &[u8; DIGEST_BYTES]) -> [u8; RSA_BYTES] {
    let mut encoded = [0xff; RSA_BYTES];
    let (head, tail) = encoded.split_at_mut(RSA_BYTES - DIGEST_BYTES - SHA256_DIGEST_INFO.len());
    head[..2].copy_from_slice(&[0x00, 0x01]);
    head[head.len() - 1] = 0x00;
    tail[..SHA256_DIGEST_INFO.len()].copy_from_slice(&SHA256_DIGEST_INFO);
    tail[SHA256_DIGEST_INFO.len()..].copy_from_slice(digest);
    encoded
}

/// `left · right mod modulus`, if `quotient` is the quotient of that division.
fn remainder(left: &U3072, right: &U3072, quotient: &U3072, modulus: &U3072) -> Option<U3072> {
    let product: U6144 = left.concatenating_mul(right);
    let multiple: U6144 = quotient.concatenating_mul(modulus);
    let remainder = Option::<U6144>::from(product.checked_sub(&multiple))?;
    let (low, high) = remainder.split();
    (high == U3072::ZERO && low < *modulus).then_some(low)
}

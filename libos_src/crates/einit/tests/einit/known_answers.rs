//! Signatures that nobody in this project made.
//!
//! The files are not part of the project; where they are absent each test says so and passes.

use std::fs;
use std::path::Path;

use abi::{Attributes, Secs, SgxError};
use einit::rsa::Signature;
use sgx_image::SigStruct;

fn vector(name: &str) -> Option<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../../shared/vectors")
        .join(name);
    let bytes = fs::read(&path).ok();
    if bytes.is_none() {
        println!("skipped: {} is not here", path.display());
    }
    bytes
}

fn sig_struct(name: &str) -> Option<SigStruct> {
    vector(name).map(|bytes| SigStruct::try_from(&bytes[..]).unwrap())
}

/// A SECS as a loader would make it for this SIGSTRUCT.
fn secs_for(sig: &SigStruct) -> Secs {
    Secs {
        attributes: sig.attributes(),
        misc_select: sig.miscselect(),
        cet_attributes: sig.cet_attributes(),
        ..Secs::ZERO
    }
}

#[test]
fn every_sigstruct_of_the_field_is_accepted_for_its_own_enclave_only() {
    for name in [
        "fortanix-test_enclave.sig",
        "fortanix-sig1.sigstruct.bin",
        "mobilecoin-valid.css",
        "intel-le_prod_css.bin",
    ] {
        let Some(sig) = sig_struct(name) else {
            continue;
        };
        let secs = secs_for(&sig);
        let identity = einit::check(&secs, &sig, sig.enclavehash()).expect(name);
        assert_eq!(identity.mr_enclave, sig.enclavehash(), "{name}");
        assert_eq!(identity.mr_signer, sig.mrsigner(), "{name}");
        assert_eq!(identity.isv_prod_id, sig.isvprodid(), "{name}");
        assert_eq!(identity.isv_svn, sig.isvsvn(), "{name}");
        assert_ne!(identity.attributes.flags & Attributes::INIT, 0, "{name}");

        let other = einit::check(&secs, &sig, [0; 32]);
        assert_eq!(other, Err(SgxError::InvalidMeasurement), "{name}");
    }
}

#[test]
fn the_rsa_vector_opens_to_its_digest() {
    let part = |name: &str| vector(&format!("fortanix-sig1.{name}.bin"));
    let (Some(digest), Some(modulus), Some(signature), Some(q1), Some(q2)) = (
        part("data"),
        part("key_n"),
        part("sig"),
        part("q1"),
        part("q2"),
    ) else {
        return;
    };
    let mut digest: [u8; 32] = digest.try_into().unwrap();
    let signature = Signature {
        modulus: modulus.as_array().unwrap(),
        signature: signature.as_array().unwrap(),
        q1: q1.as_array().unwrap(),
        q2: q2.as_array().unwrap(),
    };
    assert!(signature.signs(&digest));

    let exchanged = Signature {
        q1: signature.q2,
        q2: signature.q1,
        ..signature
    };
    assert!(!exchanged.signs(&digest));
    digest[0] ^= 1;
    assert!(!signature.signs(&digest));
}

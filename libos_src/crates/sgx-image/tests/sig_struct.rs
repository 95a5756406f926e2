//! SIGSTRUCTs that nobody in this project made, read field by field.
//!
//! The files are not part of the project; where they are absent each test says so and passes.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::fs;
use std::path::Path;

use sgx_image::{Attributes, SIG_STRUCT_BYTES, SigStruct, WrongLength};
use sha2::{Digest, Sha256};

fn vector(name: &str) -> Option<SigStruct> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../../shared/vectors")
        .join(name);
    let Ok(bytes) = fs::read(&path) else {
        println!("skipped: {} is not here", path.display());
        return None;
    };
    Some(SigStruct::try_from(&bytes[..]).unwrap())
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[test]
fn the_fortanix_test_enclave_is_read() {
    let Some(sig) = vector("fortanix-test_enclave.sig") else {
        return;
    };
    assert_eq!(
        hex(sig.enclavehash()),
        "784acfd7d5096a8f0fbd3265760bff21b120f62407a9a9e5ba31aa3c8ed198fc"
    );
    assert_eq!(
        hex(sig.mrsigner()),
        "fb4bab3d6036ac1d730fa83d7366df1dd2dfeac194ef335d6854d8a6c6475542"
    );
    assert_eq!((sig.date(), sig.isvprodid()), (0x2016_1214, 0xffff));
    assert_well_formed(&sig);
}

#[test]
fn the_fortanix_sigstruct_is_read() {
    let Some(sig) = vector("fortanix-sig1.sigstruct.bin") else {
        return;
    };
    assert_eq!(
        hex(sig.enclavehash()),
        "c50673624a6cb17c1c6c2a4e6906f47a170c4629b8723781d1017ef376f1a75d"
    );
    assert_eq!(
        hex(sig.mrsigner()),
        "83d719e77deaca1470f6baf62a4d774303c899db69020f9c70ee1dfc08c7ce9e"
    );
    assert_eq!(
        hex(Sha256::digest(sig.signed_bytes())),
        "ea7ced3b8c78324bce65ad851152a125fd1989df324dc72b244ed5f44573ac95"
    );
    assert_eq!((sig.date(), sig.attributes().xfrm), (0x2016_0109, 3));
    assert_eq!(sig.attributemask().xfrm, !0xe4);
    assert_well_formed(&sig);
}

#[test]
fn the_mobilecoin_sigstruct_is_read() {
    let Some(sig) = vector("mobilecoin-valid.css") else {
        return;
    };
    assert_eq!(
        hex(sig.enclavehash()),
        "5b9fbfca6ac62d8236ec5e1c4eebd847fb1807450a78ea2421be5cb4b49a5ea9"
    );
    assert_eq!(
        hex(sig.mrsigner()),
        "7ee5e29d74623fdbc6fbf1454be6f3bb0b86c12366b7b478ad13353e44de8411"
    );
    assert_eq!((sig.vendor(), sig.date()), (0, 0x2020_0128));
    assert_well_formed(&sig);
}

#[test]
fn the_sigstruct_of_intels_launch_enclave_is_read() {
    let Some(sig) = vector("intel-le_prod_css.bin") else {
        return;
    };
    assert_eq!(
        hex(sig.enclavehash()),
        "7881af9f9def547da9908c008f29cde9bd78064e36ac7e14c83c294ca4806150"
    );
    assert_eq!(
        hex(sig.mrsigner()),
        "acb77012053e05a63d413b8bbae8fb6c5d73b3f2996d91c43bbbf90959c0f8d4"
    );
    assert_eq!(
        (sig.vendor(), sig.swdefined(), sig.date()),
        (0x8086, 0x10, 0x2024_0811)
    );
    assert!(has(&sig, Attributes::EINITTOKEN_KEY));
    assert_well_formed(&sig);
}

#[test]
fn a_sigstruct_of_another_length_is_refused() {
    for length in [0, 1807, 1809] {
        assert_eq!(
            SigStruct::try_from(&vec![0; length][..]),
            Err(WrongLength(length))
        );
    }
}

#[test]
fn the_fields_and_the_reserved_bytes_are_all_there_is() {
    let zeros = [0; SIG_STRUCT_BYTES];
    assert!(SigStruct::from_bytes(zeros).reserved_is_zero());
    let reserved = (0..SIG_STRUCT_BYTES)
        .filter(|&index| {
            let mut bytes = zeros;
            bytes[index] = 1;
            !SigStruct::from_bytes(bytes).reserved_is_zero()
        })
        .count();
    assert_eq!(reserved, 84 + 2 + 16 + 12);
}

fn has(sig: &SigStruct, flag: u64) -> bool {
    sig.attributes().flags & flag != 0
}

fn assert_well_formed(sig: &SigStruct) {
    assert_eq!(sig.header(), SigStruct::HEADER);
    assert_eq!(sig.header2(), SigStruct::HEADER2);
    assert_eq!(sig.exponent(), 3);
    assert!(sig.reserved_is_zero());
    assert!(has(sig, Attributes::MODE64BIT));
}

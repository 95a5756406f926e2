//! Each thing that EINIT checks, wrong on its own.

use std::ops::Range;

use abi::attributes::MISC_EXINFO;
use abi::{Attributes, Secs, SgxError};
use crypto_bigint::{NonZero, U3072, U6144};
use sgx_image::{SIG_STRUCT_BYTES, SigStruct};
use sha2::{Digest, Sha256};

use crate::signer::{self, Draft};

const MR_ENCLAVE: [u8; 32] = [0xa5; 32];

const MISCSELECT: usize = 900;
const MISCMASK: usize = 904;
const CET_ATTRIBUTES: usize = 908;
const CET_ATTRIBUTES_MASK: usize = 909;
const ISVFAMILYID: usize = 912;
const ATTRIBUTES: usize = 928;
const ATTRIBUTEMASK: usize = 944;
const ENCLAVEHASH: usize = 960;
const ISVEXTPRODID: usize = 1008;
const ISVPRODID: usize = 1024;
const ISVSVN: usize = 1026;

const RELEASE: Attributes = Attributes {
    flags: Attributes::MODE64BIT,
    xfrm: 3,
};

/// What a release signs: no debugger, AVX and AVX-512 left open, everything else fixed.
const MASK: Attributes = Attributes {
    flags: u64::MAX,
    xfrm: !0xe4,
};

fn secs() -> Secs {
    Secs {
        size_bytes: 1 << 30,
        ssa_frame_pages: 1,
        misc_select: MISC_EXINFO,
        attributes: RELEASE,
        ..Secs::ZERO
    }
}

fn draft() -> Draft {
    Draft::new()
        .with(20, &0x2024_0229_u32.to_le_bytes())
        .with(MISCSELECT, &MISC_EXINFO.to_le_bytes())
        .with(MISCMASK, &u32::MAX.to_le_bytes())
        .with(CET_ATTRIBUTES_MASK, &[0xff])
        .with(ATTRIBUTES, &RELEASE.to_bytes())
        .with(ATTRIBUTEMASK, &MASK.to_bytes())
        .with(ENCLAVEHASH, &MR_ENCLAVE)
        .with(ISVPRODID, &7_u16.to_le_bytes())
        .with(ISVSVN, &3_u16.to_le_bytes())
}

fn verdict(secs: &Secs, sig: &SigStruct) -> Result<(), SgxError> {
    einit::check(secs, sig, MR_ENCLAVE).map(|_| ())
}

#[test]
fn a_right_sigstruct_gives_the_enclave_its_identity() {
    let sig = draft().with(ISVEXTPRODID, &[9; 16]).sign();
    let identity = einit::check(&secs(), &sig, MR_ENCLAVE).unwrap();
    assert_eq!(
        identity.attributes.flags,
        Attributes::MODE64BIT | Attributes::INIT
    );
    assert_eq!((identity.isv_prod_id, identity.isv_svn), (7, 3));
    assert_eq!(
        (identity.isv_ext_prod_id, identity.isv_family_id),
        ([9; 16], [0; 16])
    );
    assert_eq!(identity.mr_enclave, MR_ENCLAVE);
    let modulus = signer::modulus().to_le_bytes();
    assert_eq!(identity.mr_signer[..], Sha256::digest(modulus)[..]);
}

/// The fields that EINIT compares before it looks at the signature; any other byte is signed, or is
/// part of the signature.
const CHECKED_FIRST: [Range<usize>; 7] = [
    0..20,      // HEADER, VENDOR
    24..40,     // HEADER2
    44..128,    // reserved
    512..516,   // EXPONENT
    910..912,   // reserved
    992..1008,  // reserved
    1028..1040, // reserved
];

#[test]
fn a_change_of_any_byte_is_refused_with_the_right_error() {
    let (secs, right) = (secs(), draft().sign());
    assert_eq!(verdict(&secs, &right), Ok(()));
    for index in 0..SIG_STRUCT_BYTES {
        let early = CHECKED_FIRST.iter().any(|field| field.contains(&index));
        let expected = if early {
            SgxError::InvalidSigStruct
        } else {
            SgxError::InvalidSignature
        };
        for flip in [0x01, 0x10, 0x80, 0xff] {
            let mut changed = *right.as_bytes();
            changed[index] ^= flip;
            let changed = SigStruct::from_bytes(changed);
            assert_eq!(
                verdict(&secs, &changed),
                Err(expected),
                "byte {index}, {flip:#x}"
            );
        }
    }
}

#[test]
fn a_wrong_constant_is_refused_even_if_it_is_signed() {
    for (offset, value) in [
        (0, [7]),
        (16, [1]),
        (24, [2]),
        (44, [1]),
        (127, [1]),
        (992, [1]),
    ] {
        let sig = draft().with(offset, &value).sign();
        assert_eq!(
            verdict(&secs(), &sig),
            Err(SgxError::InvalidSigStruct),
            "byte {offset}"
        );
    }
}

#[test]
fn intel_and_nobody_are_the_only_vendors() {
    for (vendor, expected) in [
        (0_u32, Ok(())),
        (0x8086, Ok(())),
        (0x8087, Err(SgxError::InvalidSigStruct)),
        (0x8086_0000, Err(SgxError::InvalidSigStruct)),
    ] {
        let sig = draft().with(16, &vendor.to_le_bytes()).sign();
        assert_eq!(verdict(&secs(), &sig), expected, "{vendor:#x}");
    }
}

#[test]
fn the_measurement_is_compared_after_the_signature() {
    let sig = draft().with(ENCLAVEHASH, &[0x5a; 32]);
    assert_eq!(
        verdict(&secs(), &sig.clone().sign()),
        Err(SgxError::InvalidMeasurement)
    );
    let mut unsigned = *sig.sign().as_bytes();
    unsigned[516] ^= 1;
    let unsigned = SigStruct::from_bytes(unsigned);
    assert_eq!(verdict(&secs(), &unsigned), Err(SgxError::InvalidSignature));
}

#[test]
fn a_debug_enclave_is_refused_where_the_mask_covers_debug() {
    let debug = Attributes {
        flags: RELEASE.flags | Attributes::DEBUG,
        ..RELEASE
    };
    let debug_secs = Secs {
        attributes: debug,
        ..secs()
    };
    let release_only = draft().sign();
    assert_eq!(
        verdict(&debug_secs, &release_only),
        Err(SgxError::InvalidAttribute)
    );

    let open = Attributes {
        flags: !Attributes::DEBUG,
        ..MASK
    };
    let either = draft().with(ATTRIBUTEMASK, &open.to_bytes()).sign();
    assert_eq!(verdict(&debug_secs, &either), Ok(()));
    assert_eq!(verdict(&secs(), &either), Ok(()));

    let debug_only = draft().with(ATTRIBUTES, &debug.to_bytes()).sign();
    assert_eq!(verdict(&debug_secs, &debug_only), Ok(()));
    assert_eq!(
        verdict(&secs(), &debug_only),
        Err(SgxError::InvalidAttribute)
    );
}

#[test]
fn each_attribute_bit_matters_exactly_where_the_mask_has_it() {
    let sig = draft().with(ATTRIBUTEMASK, &MASK.to_bytes()).sign();
    for bit in 0..128 {
        let flip = Attributes::from_bytes((1_u128 << bit).to_le_bytes());
        let attributes = Attributes {
            flags: RELEASE.flags ^ flip.flags,
            xfrm: RELEASE.xfrm ^ flip.xfrm,
        };
        let masked = flip.flags & MASK.flags != 0 || flip.xfrm & MASK.xfrm != 0;
        let expected = if masked {
            Err(SgxError::InvalidAttribute)
        } else {
            Ok(())
        };
        assert_eq!(
            verdict(
                &Secs {
                    attributes,
                    ..secs()
                },
                &sig
            ),
            expected,
            "bit {bit}"
        );
    }
}

#[test]
fn miscselect_and_cet_attributes_obey_their_masks() {
    let sig = draft().sign();
    for bit in 0..32 {
        let misc_select = MISC_EXINFO ^ 1 << bit;
        let secs = Secs {
            misc_select,
            ..secs()
        };
        assert_eq!(
            verdict(&secs, &sig),
            Err(SgxError::InvalidAttribute),
            "bit {bit}"
        );
    }
    let open = draft().with(MISCMASK, &(!MISC_EXINFO).to_le_bytes()).sign();
    assert_eq!(
        verdict(
            &Secs {
                misc_select: 0,
                ..secs()
            },
            &open
        ),
        Ok(())
    );

    let cet = draft().with(CET_ATTRIBUTES, &[1]).sign();
    assert_eq!(verdict(&secs(), &cet), Err(SgxError::InvalidAttribute));
    assert_eq!(
        verdict(
            &Secs {
                cet_attributes: 1,
                ..secs()
            },
            &cet
        ),
        Ok(())
    );
    let cet = draft()
        .with(CET_ATTRIBUTES, &[1])
        .with(CET_ATTRIBUTES_MASK, &[0xfe])
        .sign();
    assert_eq!(verdict(&secs(), &cet), Ok(()));
}

#[test]
fn a_family_needs_kss_and_kss_brings_the_config_id() {
    let kss = Attributes {
        flags: RELEASE.flags | Attributes::KSS,
        ..RELEASE
    };
    let open = Attributes {
        flags: !Attributes::KSS,
        ..MASK
    };
    let sig = draft()
        .with(ISVFAMILYID, &[1; 16])
        .with(ATTRIBUTEMASK, &open.to_bytes())
        .sign();
    assert_eq!(verdict(&secs(), &sig), Err(SgxError::InvalidSigStruct));

    let kss_secs = Secs {
        attributes: kss,
        config_id: [4; 64],
        config_svn: 5,
        ..secs()
    };
    let identity = einit::check(&kss_secs, &sig, MR_ENCLAVE).unwrap();
    assert_eq!(identity.isv_family_id, [1; 16]);
    assert_eq!((identity.config_id, identity.config_svn), ([4; 64], 5));
}

#[test]
fn the_family_is_checked_before_the_measurement() {
    let sig = draft()
        .with(ISVFAMILYID, &[1; 16])
        .with(ENCLAVEHASH, &[0; 32])
        .sign();
    assert_eq!(verdict(&secs(), &sig), Err(SgxError::InvalidSigStruct));
}

#[test]
fn only_the_one_padding_of_the_one_digest_is_a_signature() {
    let digest = signer::digest_of(&draft());
    let info = signer::digest_info(&digest);
    assert_eq!(verdict(&secs(), &draft().sign_digest_info(&info)), Ok(()));

    let refused = |sig: SigStruct, what: &str| {
        assert_eq!(
            verdict(&secs(), &sig),
            Err(SgxError::InvalidSignature),
            "{what}"
        );
    };
    refused(
        draft().sign_digest_info(&digest),
        "a digest without its algorithm",
    );
    let mut sha1 = info.clone();
    sha1[14] = 0x1a;
    refused(draft().sign_digest_info(&sha1), "another algorithm");
    let mut without_null = info.clone();
    without_null.drain(15..17);
    without_null[1] -= 2;
    without_null[3] -= 2;
    refused(
        draft().sign_digest_info(&without_null),
        "an algorithm without its parameters",
    );
    // Short padding with free bytes at the end is how signatures with exponent 3 are forged.
    let mut forged = [0; 384];
    let start = [
        &[0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0][..],
        &info,
    ]
    .concat();
    forged[..start.len()].copy_from_slice(&start);
    refused(
        draft().sign_message(&U3072::from_be_slice(&forged)),
        "trailing bytes",
    );
}

/// The first signature, among those of enclaves that differ in ISVSVN, that `is_wanted`.
fn signed_until(is_wanted: impl Fn(&SigStruct) -> bool) -> SigStruct {
    (0..u16::MAX)
        .map(|svn| draft().with(ISVSVN, &svn.to_le_bytes()).sign())
        .find(is_wanted)
        .unwrap()
}

#[test]
fn a_signature_not_below_the_modulus_is_refused() {
    let modulus = signer::modulus();
    // S + N has the same cube as S. Where it fits, and Q1 with it, only the comparison tells.
    let room = U3072::MAX.wrapping_sub(&modulus).shr_vartime(2);
    let right = signed_until(|sig| U3072::from_le_slice(sig.signature()) < room);
    assert_eq!(verdict(&secs(), &right), Ok(()));
    let sum = U3072::from_le_slice(right.signature()).wrapping_add(&modulus);
    let other = Draft(*right.as_bytes()).with_signature(&modulus, &sum);
    assert_eq!(verdict(&secs(), &other), Err(SgxError::InvalidSignature));
}

#[test]
fn a_second_pair_of_quotients_for_the_same_signature_is_refused() {
    let modulus = signer::modulus();
    let remainder_of = |sig: &SigStruct| {
        let signature = U3072::from_le_slice(sig.signature());
        let square: U6144 = signature.concatenating_mul(&signature);
        square.div_rem_vartime(&NonZero::new(modulus).unwrap()).1
    };
    // Q1 - 1 makes the first remainder R + N, and Q2 + S makes up for it in the second step.
    let quotients = |sig: &SigStruct| {
        let [q1, q2, signature] =
            [sig.q1(), sig.q2(), sig.signature()].map(|field| U3072::from_le_slice(field));
        (
            q1.wrapping_sub(&U3072::ONE),
            q2.wrapping_add(&signature),
            signature,
        )
    };
    let right = signed_until(|sig| {
        let (_, q2, signature) = quotients(sig);
        q2 >= signature && remainder_of(sig) <= U3072::MAX.wrapping_sub(&modulus)
    });
    let (q1, q2, _) = quotients(&right);
    let draft = Draft(*right.as_bytes())
        .with(1040, q1.to_le_bytes().as_slice())
        .with(1424, q2.to_le_bytes().as_slice());
    let other = SigStruct::from_bytes(draft.0);
    assert_eq!(verdict(&secs(), &other), Err(SgxError::InvalidSignature));
}

#[test]
fn quotients_chosen_without_the_key_forge_nothing() {
    // If only the low halves of the products were compared, quotients could be found for any
    // signature: N is odd, so it has an inverse modulo 2^3072.
    let modulus = signer::modulus();
    let inverse = Option::<U3072>::from(modulus.invert_mod2k_vartime(3072)).unwrap();
    let solve = |left: &U3072, right: &U3072, remainder: &U3072| {
        let product: U6144 = left.concatenating_mul(right);
        let quotient = product
            .split()
            .0
            .wrapping_sub(remainder)
            .wrapping_mul(&inverse);
        let multiple: U6144 = quotient.concatenating_mul(&modulus);
        (multiple <= product).then_some(quotient)
    };
    let message = signer::message(&signer::digest_of(&draft()));
    let signature = modulus.wrapping_sub(&U3072::ONE);
    let (remainder, q1, q2) = (1_u64..10_000)
        .find_map(|number| {
            let remainder = modulus.wrapping_sub(&U3072::from_u64(number));
            let q1 = solve(&signature, &signature, &remainder)?;
            let q2 = solve(&remainder, &signature, &message)?;
            Some((remainder, q1, q2))
        })
        .unwrap();
    assert!(remainder < modulus);
    let draft = draft()
        .with(128, modulus.to_le_bytes().as_slice())
        .with(516, signature.to_le_bytes().as_slice())
        .with(1040, q1.to_le_bytes().as_slice())
        .with(1424, q2.to_le_bytes().as_slice());
    let forged = SigStruct::from_bytes(draft.0);
    assert_eq!(verdict(&secs(), &forged), Err(SgxError::InvalidSignature));
}

#[test]
fn quotients_that_are_off_by_one_are_refused() {
    let right = draft().sign();
    for (offset, field) in [(1040, right.q1()), (1424, right.q2())] {
        let quotient = U3072::from_le_slice(field);
        for wrong in [
            quotient.wrapping_add(&U3072::ONE),
            quotient.wrapping_sub(&U3072::ONE),
        ] {
            let draft = Draft(*right.as_bytes()).with(offset, wrong.to_le_bytes().as_slice());
            let sig = SigStruct::from_bytes(draft.0);
            assert_eq!(verdict(&secs(), &sig), Err(SgxError::InvalidSignature));
        }
    }
}

#[test]
fn a_degenerate_modulus_signs_nothing() {
    let right = draft().sign();
    let signature = U3072::from_le_slice(right.signature());
    let square: U6144 = signature.concatenating_mul(&signature);
    assert_ne!(square, U6144::ZERO);
    for modulus in [U3072::ZERO, U3072::ONE, U3072::from_u8(2), U3072::MAX] {
        let draft = Draft(*right.as_bytes()).with(128, modulus.to_le_bytes().as_slice());
        let sig = SigStruct::from_bytes(draft.0);
        assert_eq!(verdict(&secs(), &sig), Err(SgxError::InvalidSignature));
    }
    let zeros = Draft(*right.as_bytes())
        .with(128, &[0; 384])
        .with(516, &[0; 384]);
    let zeros = zeros.with(1040, &[0; 768]);
    let sig = SigStruct::from_bytes(zeros.0);
    assert_eq!(verdict(&secs(), &sig), Err(SgxError::InvalidSignature));
}

//! What EINIT refuses, it refuses with the error that the CPU would give.

use abi::{Attributes, Secs, SgxError, attributes};
use plat_sim::{Options, SimPlatform};
use platform::{Enclave as _, Error, Platform as _};
use sgx_image::SgxsReader;

use crate::{
    Bundle,
    image::PROBE,
    layout::{Enclave, Model},
};

fn refusal(bundle: &Bundle) -> String {
    let output = bundle.run(&[], &["hello", "0"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).expect("UTF-8")
}

fn enclave() -> Enclave {
    Enclave::new(&PROBE, Model::Sgx1)
}

/// A bundle whose SIGSTRUCT was changed after it was signed.
fn with_signature(change: impl Fn(&mut [u8])) -> Bundle {
    let bundle = Bundle::new(&enclave());
    let mut bytes = enclave().sigstruct();
    change(&mut bytes);
    std::fs::write(bundle.directory.path().join("enclave.sig"), bytes).expect("writable");
    bundle
}

#[test]
fn a_changed_page_is_another_measurement() {
    let bundle = Bundle::new(&enclave());
    let mut stream = enclave().stream;
    // The records of the heap, which is not measured, come after the last measured byte.
    let last_measured = stream.len() - 64 * 256 - 1;
    stream[last_measured] ^= 1;
    std::fs::write(bundle.directory.path().join("enclave.sgxs"), stream).expect("writable");
    assert!(refusal(&bundle).contains("EINIT: SGX_INVALID_MEASUREMENT"));
}

#[test]
fn a_wrong_signature_is_refused() {
    let bundle = with_signature(|bytes| bytes[600] ^= 1);
    assert!(refusal(&bundle).contains("EINIT: SGX_INVALID_SIGNATURE"));
}

#[test]
fn a_field_that_was_not_signed_is_refused() {
    let bundle = with_signature(|bytes| bytes[1026] ^= 1);
    assert!(refusal(&bundle).contains("EINIT: SGX_INVALID_SIGNATURE"));
}

#[test]
fn a_structure_of_another_kind_is_refused() {
    let bundle = with_signature(|bytes| bytes[0] ^= 1);
    assert!(refusal(&bundle).contains("EINIT: SGX_INVALID_SIG_STRUCT"));
}

#[test]
fn debug_mode_that_the_signer_does_not_allow_is_refused() {
    let mut signed = enclave();
    signed.attributes.flags = Attributes::MODE64BIT;
    let mut reader = SgxsReader::new(&signed.stream[..]).expect("a legal stream");
    // The runner takes ATTRIBUTES from SIGSTRUCT; this host asks for one bit more.
    let secs = Secs {
        size_bytes: reader.enclave().size_bytes,
        ssa_frame_pages: reader.enclave().ssa_frame_pages,
        misc_select: attributes::MISC_EXINFO,
        attributes: Attributes {
            flags: Attributes::MODE64BIT | Attributes::DEBUG,
            ..signed.attributes
        },
        ..Secs::ZERO
    };
    let platform = SimPlatform::new(Options::default());
    let mut built = platform.create(&secs).expect("a legal SECS");
    while let Some(run) = reader.next_run().expect("a legal stream") {
        match run.data {
            Some(data) => built.add_pages(run.offset, data, run.sec_info, true),
            None => built.add_zero_pages(run.offset, run.size_bytes(), run.sec_info),
        }
        .expect("legal pages");
    }

    let refused = built.init(&signed.sigstruct());

    assert_eq!(refused, Err(Error::Refused(SgxError::InvalidAttribute)));
}

#[test]
fn an_enclave_that_is_not_for_debugging_keeps_its_counts() {
    let mut enclave = enclave();
    enclave.attributes = Attributes {
        flags: Attributes::MODE64BIT,
        ..enclave.attributes
    };
    let output = Bundle::new(&enclave).run(&[], &["hello", "0"]);
    assert_eq!(output.status.code(), Some(0));
}

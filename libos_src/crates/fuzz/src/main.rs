//! One target, named by `FUZZ_TARGET`, under libFuzzer.
#![no_main]
#![forbid(unsafe_code)]

use std::sync::LazyLock;

use fuzz::TARGETS;

static CHECK: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let wanted = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    match TARGETS.iter().find(|target| target.name == wanted) {
        Some(target) => target.check,
        None => panic!("FUZZ_TARGET is one of {names:?}, not {wanted:?}"),
    }
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| CHECK(data));

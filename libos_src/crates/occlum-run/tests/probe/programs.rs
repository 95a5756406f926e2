//! Programs run, whatever way the platform works.

use std::sync::LazyLock;

use abi::leaf;

use crate::{
    Bundle,
    elf::Elf,
    image::PROBE,
    layout::{Enclave, Model},
};

/// Ways in which software SGX can work.
const WAYS: [&[&str]; 8] = [
    &["--enclu", "patched"],
    &["--enclu", "trap"],
    &["--strict"],
    &["--intercept", "dispatch-below"],
    &["--intercept", "seccomp"],
    &["--interrupt", "300"],
    &["--enclu", "trap", "--interrupt", "300"],
    &["--enclu", "trap", "--strict", "--interrupt", "300"],
];

/// Those that this machine has: not every CPU can make CPUID fault.
fn ways() -> impl Iterator<Item = &'static [&'static str]> {
    static HAS_STRICT: LazyLock<bool> = LazyLock::new(|| {
        let output = Bundle::probe(Model::Sgx1).run(&["--strict"], &["hello", "0"]);
        let is_missing = String::from_utf8_lossy(&output.stderr).contains("CPUID fault");
        if is_missing {
            eprintln!("skipped: strict mode, which this CPU does not have");
        }
        !is_missing
    });
    WAYS.into_iter()
        .filter(|way| *HAS_STRICT || !way.contains(&"--strict"))
}

fn in_every_way(program: &[&str]) {
    for model in [Model::Sgx1, Model::Edmm] {
        let bundle = Bundle::probe(model);
        for way in ways() {
            let counted = bundle.count(way, program);
            assert_eq!(counted["host_syscalls_from_enclave"], 0, "{way:?}");
            assert_eq!(counted["unclean_exits"], 0, "{way:?}");
        }
    }
}

#[test]
fn the_programs_output_and_status_are_the_runners() {
    let bundle = Bundle::probe(Model::Sgx1);
    for way in ways() {
        let output = bundle.run(way, &["hello", "7"]);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        assert_eq!(output.stdout, b"hello probe");
        assert_eq!(output.status.code(), Some(7));
    }
}

#[test]
fn a_trapped_system_call_keeps_what_linux_keeps() {
    in_every_way(&["trap", "2000"]);
}

#[test]
fn a_patched_system_call_keeps_what_linux_keeps() {
    in_every_way(&["patched", "100000"]);
}

#[test]
fn a_call_that_is_answered_ahead_keeps_what_linux_keeps() {
    in_every_way(&["answered", "100000"]);
}

#[test]
fn time_does_not_go_back() {
    in_every_way(&["ocall", "1000"]);
}

#[test]
fn time_that_is_told_where_calls_enter_does_not_go_back_either() {
    in_every_way(&["clock", "200000"]);
}

#[test]
fn faults_arrive_with_vector_address_and_instruction() {
    in_every_way(&["faults"]);
}

#[test]
fn a_page_faults_when_it_is_used_as_it_may_not_be() {
    for (model, number) in [(Model::Sgx1, "0"), (Model::Edmm, "1")] {
        let bundle = Bundle::probe(model);
        for way in ways() {
            bundle.count(way, &["protection", number]);
        }
    }
}

#[test]
fn pages_come_empty_and_keep_what_is_in_them() {
    in_every_way(&["pages", "100"]);
}

#[test]
fn the_host_is_told_once_for_a_range_and_never_without_a_change() {
    let bundle = Bundle::probe(Model::Sgx1);
    let count = |program: &str, rounds| {
        let counted = bundle.count(&[], &[program, rounds]);
        counted["ocalls"].as_u64().expect("a number")
    };
    // Each round: opened for the LibOS and the program at once, then code, data, and closed.
    assert_eq!(count("pages", "110") - count("pages", "10"), 100 * 4);
    assert_eq!(count("patched", "1000"), count("patched", "10"));
}

#[test]
fn who_yields_with_nobody_beside_it_asks_the_host_one_time_in_eight() {
    let bundle = Bundle::probe(Model::Sgx1);
    let count = |rounds| {
        let counted = bundle.count(&[], &["yields", rounds]);
        counted["ocalls"].as_u64().expect("a number")
    };
    assert_eq!(count("880") - count("80"), 100);
}

#[test]
fn threads_start_wake_each_other_and_end() {
    in_every_way(&["threads", "50"]);
}

#[test]
fn a_process_that_ends_while_threads_arrive_ends_quietly() {
    let bundle = Bundle::probe(Model::Sgx1);
    for _ in 0..50 {
        let output = bundle.run(&[], &["leaver", "7"]);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        assert_eq!(output.status.code(), Some(7));
    }
}

#[test]
fn no_interruption_is_lost_and_none_is_noticed() {
    in_every_way(&["interrupts", "2000"]);
}

#[test]
fn wide_vectors_survive_traps_ocalls_and_interrupts() {
    if !std::arch::is_x86_feature_detected!("avx512bw") {
        eprintln!("skipped: this CPU has no AVX-512");
        return;
    }
    in_every_way(&["vectors", "1000"]);
}

#[test]
fn what_a_program_does_not_use_of_its_vectors_is_not_in_use_after_an_ocall() {
    if !std::arch::is_x86_feature_detected!("avx512bw") {
        eprintln!("skipped: this CPU has no AVX-512");
        return;
    }
    in_every_way(&["unused", "1000"]);
}

#[test]
fn calls_are_counted_by_the_way_they_came() {
    let bundle = Bundle::probe(Model::Sgx1);
    let trapped = bundle.count(&[], &["trap", "1000"]);
    assert_eq!(trapped["trapped_syscalls"], 1001);
    assert_eq!(trapped["patched_syscalls"], 0);
    let patched = bundle.count(&[], &["patched", "1000"]);
    assert_eq!(patched["trapped_syscalls"], 1);
    assert_eq!(patched["patched_syscalls"], 1000);
    let answered = bundle.count(&[], &["answered", "1000"]);
    assert_eq!(answered["trapped_syscalls"], 2);
    assert_eq!(answered["patched_syscalls"], 1004);
}

#[test]
fn a_busy_machine_interrupts_the_enclave() {
    let counted = Bundle::probe(Model::Sgx1).count(&["--interrupt", "300"], &["trap", "20000"]);
    assert!(counted["interrupt_exits"].as_u64() > Some(0));
}

#[test]
fn a_kernel_that_cannot_start_its_program_says_why() {
    let output = Bundle::probe(Model::Sgx1).run(&[], &["nonsense"]);
    assert_eq!(output.status.code(), Some(126));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "occlum: error: no such probe: nonsense\n"
    );
}

#[test]
fn an_enclave_that_keeps_silent_tells_why_it_could_not_start_and_no_more() {
    let silent = Bundle::new(&Enclave::with(&PROBE, Model::Sgx1, b"silent"));
    let told = |bundle: &Bundle, program: &str| {
        let output = bundle.run(&[], &[program]);
        assert!(!output.status.success());
        String::from_utf8(output.stderr).expect("UTF-8")
    };

    assert!(told(&Bundle::probe(Model::Sgx1), "crash").contains("exception 6"));
    assert_eq!(told(&silent, "crash"), "");
    assert!(told(&silent, "nonsense").contains("no such probe"));
}

#[test]
fn every_leaf_that_returns_is_in_one_word() {
    let elf = Elf::load(&PROBE, 0);
    let mut sites = 0;
    for segment in elf.segments.iter().filter(|segment| segment.flags & 1 != 0) {
        for (at, window) in (segment.address..).zip(segment.data.windows(5)) {
            if window == leaf::ENCLU_RETURN_SITE {
                assert!(at % 8 <= 3, "{at:#x}");
                sites += 1;
            }
        }
    }
    assert_eq!(sites, 2);
}

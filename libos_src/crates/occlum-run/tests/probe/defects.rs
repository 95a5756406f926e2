//! What is told of a LibOS that meets a defect of its own.

use crate::{Bundle, layout::Model};

const DEFECT: i32 = 70;

/// What the runner says when the kernel meets this defect, however software SGX works.
fn told(kind: &str) -> Vec<String> {
    let mut all = Vec::new();
    for model in [Model::Sgx1, Model::Edmm] {
        for way in [["--enclu", "patched"], ["--enclu", "trap"]] {
            let output = Bundle::probe(model).run(&way, &["defect", kind]);
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(DEFECT), "{way:?}: {stderr}");
            all.push(stderr);
        }
    }
    all
}

/// How many places in the LibOS a report names.
fn frames(report: &str) -> usize {
    report.matches(" libos+0x").count()
}

#[test]
fn a_panic_tells_its_message_its_place_and_its_callers() {
    for report in told("0") {
        assert!(report.contains("a defect that was asked for"), "{report}");
        assert!(report.contains("probe/src/kernel.rs:"), "{report}");
        assert!(frames(&report) >= 3, "{report}");
    }
}

#[test]
fn a_fault_in_the_libos_tells_where_it_is_and_how_it_came_there() {
    for report in told("1") {
        assert!(
            report.contains("exception 14 in the LibOS at offset 0x"),
            "{report}"
        );
        assert!(report.contains("address 0x"), "{report}");
        assert!(report.contains("\n  at  libos+0x"), "{report}");
        assert!(frames(&report) >= 3, "{report}");
    }
}

#[test]
fn a_panic_while_a_panic_is_told_loses_neither() {
    for report in told("2") {
        assert!(report.contains("a defect that is "), "{report}");
        assert!(report.contains("and while that was told: "), "{report}");
        assert!(report.contains("a defect of its description"), "{report}");
    }
}

#[test]
fn a_stack_that_is_used_up_is_told() {
    for report in told("3") {
        assert!(
            report.contains("exception 14 in the LibOS at offset 0x"),
            "{report}"
        );
        assert!(frames(&report) >= 20, "{report}");
    }
}

#[test]
fn of_two_threads_with_defects_one_is_told_and_nothing_is_lost() {
    for _ in 0..10 {
        for report in told("4") {
            let first = report.contains("a defect of the first thread");
            let second = report.contains("a defect of the second thread");
            assert!(first != second, "{report}");
        }
    }
}

//! How much of real code is patched, and whether what is patched is what it seems.
//!
//! The libraries are those that run this test. `iced-x86` decodes each text from its start to its
//! end, which for compiled code finds every instruction, and is the judge.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;

use elf::ElfBytes;
use elf::abi::{PF_X, PT_LOAD};
use elf::endian::LittleEndian;
use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind};
use patcher::{Illegal, JUMP_BYTES, Plan, Shape};

/// Of a hundred system calls, and of all CPUID of the loader, how many must be patched. What is missing in glibc are calls behind an
/// instruction that knows its place, and calls in a loop around `hlt`. It only grows.
const PATCHED_PERCENT: usize = 99;
const PATCHED_CPUID_PERCENT: usize = 80;

struct Text {
    path: String,
    code: Vec<u8>,
}

/// The executable segments of the shared objects in this process.
fn texts() -> Vec<Text> {
    let maps = fs::read_to_string("/proc/self/maps").expect("Linux has it");
    let paths: BTreeSet<&str> = maps
        .lines()
        .filter_map(|line| Some(&line[line.find('/')?..]))
        .filter(|path| path.contains(".so"))
        .collect();
    paths.iter().flat_map(|path| segments(path)).collect()
}

fn segments(path: &str) -> Vec<Text> {
    let bytes = fs::read(path).expect("it is mapped");
    let file = ElfBytes::<LittleEndian>::minimal_parse(&bytes).expect("an ELF file");
    let loads = file.segments().expect("it was loaded").iter();
    loads
        .filter(|load| load.p_type == PT_LOAD && load.p_flags & PF_X != 0)
        .map(|load| Text {
            path: path.to_owned(),
            code: bytes[load.p_offset as usize..][..load.p_filesz as usize].to_vec(),
        })
        .collect()
}

#[test]
fn nearly_every_system_call_of_the_c_library_is_patched_and_most_cpuid_of_its_loader() {
    for text in texts() {
        let read = |at: u64, buffer: &mut [u8]| {
            buffer.copy_from_slice(&text.code[at as usize..][..buffer.len()]);
            Ok::<_, std::convert::Infallible>(())
        };
        let plan = Plan::find(text.code.len() as u64, read).unwrap_or_else(|never| match never {});
        let plan = Arc::new(plan);

        let mut starts = BTreeSet::new();
        let mut calls = BTreeSet::new();
        let mut questions = BTreeSet::new();
        let mut targets = BTreeSet::new();
        let decoder = Decoder::with_ip(64, &text.code, 0, DecoderOptions::NONE);
        let all: Vec<Instruction> = decoder.into_iter().collect();
        for one in &all {
            starts.insert(one.ip());
            match one.code() {
                Code::Syscall => calls.insert(one.ip()),
                Code::Cpuid => questions.insert(one.ip()),
                _ => false,
            };
            if one.op0_kind() == OpKind::NearBranch64 {
                targets.insert(one.near_branch64());
            }
        }
        let mut shapes: BTreeMap<Shape, usize> = BTreeMap::new();
        for site in plan.sites() {
            *shapes.entry(site.shape()).or_default() += 1;
            let found = match site.illegal() {
                Illegal::Syscall => &calls,
                Illegal::Cpuid => &questions,
            };
            assert!(
                found.contains(&site.instruction()),
                "{}: {site:x?}",
                text.path
            );
            assert!(starts.contains(&site.offset()), "{}: {site:x?}", text.path);
            let is_short = site.jump() != site.offset();
            let written = if is_short { 2 } else { JUMP_BYTES as u64 };
            let inside = site.offset() + 1..site.offset() + written;
            assert_eq!(
                targets.range(inside).next(),
                None,
                "{}: {site:x?}",
                text.path
            );
            if is_short {
                let jump = site.jump()..site.jump() + JUMP_BYTES as u64;
                assert_eq!(targets.range(jump).next(), None, "{}: {site:x?}", text.path);
                assert_unreachable(&all, site.jump(), &text.path);
            }
        }
        let count = |which| plan.sites().filter(|site| site.illegal() == which).count();
        let (patched, answered) = (count(Illegal::Syscall), count(Illegal::Cpuid));
        println!(
            "{}: {} calls, {patched} patched, {} cpuid, {answered} patched {shapes:?}, {} stub bytes",
            text.path,
            calls.len(),
            questions.len(),
            plan.stubs_len()
        );
        // A handful of calls, as in the loader, says nothing about a share.
        if calls.len() >= 100 {
            assert!(
                patched * 100 >= calls.len() * PATCHED_PERCENT,
                "{}",
                text.path
            );
        }
        assert!(
            answered * 100 >= questions.len() * PATCHED_CPUID_PERCENT,
            "{}",
            text.path
        );
    }
}

/// Whether a jump at `at` replaces padding: what does nothing, behind what goes elsewhere.
fn assert_unreachable(all: &[Instruction], at: u64, path: &str) {
    let index = all.partition_point(|one| one.ip() < at);
    let (before, padding) = (&all[index - 1], &all[index]);
    let leaves = [
        FlowControl::Return,
        FlowControl::UnconditionalBranch,
        FlowControl::IndirectBranch,
    ];
    assert_eq!(padding.ip(), at, "{path}");
    assert!(leaves.contains(&before.flow_control()), "{path}: {at:x}");
    let does_nothing = [Mnemonic::Nop, Mnemonic::Int3];
    assert!(does_nothing.contains(&padding.mnemonic()), "{path}: {at:x}");
}

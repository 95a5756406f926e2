//! What holds for all code and all addresses. `iced-x86` is the judge: it shares nothing with the
//! decoder that the patcher uses.

use std::ops::Range;
use std::sync::Arc;

use iced_x86::{
    Code, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register,
};
use patcher::{Entries, Illegal, JUMP_BYTES, Placed, Plan, Shape, Site};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

fn plan(text: &[u8]) -> Arc<Plan> {
    let read = |at: u64, buffer: &mut [u8]| {
        buffer.copy_from_slice(&text[at as usize..][..buffer.len()]);
        Ok::<_, std::convert::Infallible>(())
    };
    Arc::new(Plan::find(text.len() as u64, read).unwrap_or_else(|never| match never {}))
}

fn decoded(code: &[u8], at: u64) -> Vec<Instruction> {
    Decoder::with_ip(64, code, at, DecoderOptions::NONE)
        .iter()
        .collect()
}

/// Stands for instructions that do nothing, up to where code is aligned.
const PADDING: Vec<u8> = Vec::new();

/// Code of these pieces, behind enough of it for any reading of the code to find itself.
fn text_of(pieces: &[Vec<u8>]) -> Vec<u8> {
    let mut text = vec![0x90; 100];
    for piece in pieces {
        text.extend(piece);
        if *piece == PADDING {
            text.resize(text.len().next_multiple_of(16), 0x90);
        }
    }
    text
}

/// Instructions that may come before a system call, and some that may not.
fn pieces() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let piece = select(vec![
        vec![0xb8, 39, 0, 0, 0],                   // mov eax, 39
        vec![0x48, 0x89, 0xf7],                    // mov rdi, rsi
        vec![0x31, 0xff],                          // xor edi, edi
        vec![0x6a, 0x27, 0x58],                    // push 39; pop rax
        vec![0x48, 0x8b, 0x44, 0x24, 0x08],        // mov rax, [rsp + 8]
        vec![0x4c, 0x8b, 0x8c, 0x24, 1, 0, 0, 0],  // mov r9, [rsp + 1]
        vec![0x48, 0x8b, 0x05, 0x10, 0, 0, 0],     // mov rax, [rip + 16]
        vec![0x41, 0xb8, 1, 0, 0, 0],              // mov r8d, 1
        vec![0xc7, 0x44, 0x24, 0xb8, 39, 0, 0, 0], // mov dword [rsp - 72], 39
        vec![0x75, 0xf8],                          // jnz back
        vec![0xeb, 0x03],                          // jmp forward
        vec![0xe8, 0xe0, 0xff, 0xff, 0xff],        // call back
        vec![0xff, 0xe0],                          // jmp rax
        vec![0xc3],                                // ret
        vec![0x0f, 0x05],                          // syscall
        vec![0x0f, 0x05],
        vec![0xb8, 0, 0, 0, 0x80, 0x0f, 0xa2], // mov eax, 0x80000000; cpuid
        vec![0x31, 0xc9, 0x0f, 0xa2],          // xor ecx, ecx; cpuid
        vec![0x74, 0x17, 0x31, 0xc0, 0x0f, 0x05], // jz forward; xor eax, eax; syscall
        vec![0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0],
        [&[0xc3][..], &PADDING].concat(),
        PADDING,
        PADDING,
    ]);
    vec(piece, 1..80)
}

/// Bytes that are written in the place of the moved instructions.
fn written_bytes(site: &Site) -> u64 {
    match site.shape() {
        Shape::Short => 2,
        _ => JUMP_BYTES as u64,
    }
}

const fn bytes_of(illegal: Illegal) -> &'static [u8] {
    match illegal {
        Illegal::Syscall => &[0x0f, 0x05],
        Illegal::Cpuid => &[0x0f, 0xa2],
    }
}

/// Whether nothing goes on behind it.
fn leaves(one: &Instruction) -> bool {
    matches!(
        one.flow_control(),
        FlowControl::Return | FlowControl::UnconditionalBranch | FlowControl::IndirectBranch
    )
}

fn written(placed: &Placed, text: &[u8], at: u64) -> Vec<u8> {
    let mut patched = text.to_vec();
    for (address, jump) in placed.jumps() {
        let offset = (address - at) as usize;
        patched[offset..offset + JUMP_BYTES].copy_from_slice(&jump);
    }
    for (address, jump) in placed.short_jumps() {
        let offset = (address - at) as usize;
        patched[offset..offset + jump.len()].copy_from_slice(&jump);
    }
    patched
}

proptest! {
    #[test]
    fn any_bytes_are_searched_without_a_panic(code in vec(any::<u8>(), 0..2000)) {
        plan(&code);
    }

    #[test]
    fn bytes_that_look_like_calls_are_searched_without_a_panic(
        code in vec(select(vec![0x0fu8, 0x05, 0xa2, 0xb8, 0, 1, 0x48, 0x66, 0xeb, 0xe9, 0xc7, 0x62, 0xc5]), 0..600),
    ) {
        let plan = plan(&code);
        for site in plan.sites() {
            let bytes = &code[site.instruction() as usize..site.next() as usize];
            prop_assert_eq!(bytes, bytes_of(site.illegal()));
        }
    }

    #[test]
    fn only_whole_instructions_move_and_no_branch_leads_into_a_jump(pieces in pieces()) {
        let text = text_of(&pieces);
        let all = decoded(&text, 0);
        let plan = plan(&text);
        for site in plan.sites() {
            let moved: Vec<&Instruction> = all
                .iter()
                .filter(|one| (site.offset()..site.instruction()).contains(&one.ip()))
                .collect();
            let patched = all.iter().find(|one| one.ip() == site.instruction());
            prop_assert_eq!(moved.first().map(|one| one.ip()), Some(site.offset()));
            let wanted = match site.illegal() {
                Illegal::Syscall => Code::Syscall,
                Illegal::Cpuid => Code::Cpuid,
            };
            prop_assert_eq!(patched.map(Instruction::code), Some(wanted));
            let jump = site.jump()..site.jump() + JUMP_BYTES as u64;
            let is_short = site.shape() == Shape::Short;
            let inside = site.offset() + 1..site.offset() + written_bytes(site);
            for one in &all {
                let target = (one.op0_kind() == OpKind::NearBranch64).then(|| one.near_branch64());
                let leads_to = |range: &Range<u64>| target.is_some_and(|target| range.contains(&target));
                prop_assert!(!leads_to(&inside));
                prop_assert!(!is_short || !leads_to(&jump));
            }
            if is_short {
                let index = all.partition_point(|one| one.ip() < jump.start);
                prop_assert_eq!(all[index].ip(), jump.start);
                prop_assert!(leaves(&all[index - 1]));
                let mut padding = all[index..].iter().take_while(|one| one.ip() < jump.end);
                prop_assert!(padding.all(|one| one.mnemonic() == Mnemonic::Nop));
            }
            for one in moved {
                prop_assert!(!one.is_ip_rel_memory_operand());
                prop_assert_eq!(one.flow_control(), FlowControl::Next);
            }
        }
    }

    #[test]
    fn a_stub_does_what_its_site_did_and_arrives_with_the_return_address(
        pieces in pieces(),
        text_at in 0x1_0000u64..0x4000_0000,
        stubs_at in 0x4100_0000u64..0x7000_0000,
        syscall in 0x1_0000u64..0x80_0000_0000,
        cpuid in 0x1_0000u64..0x80_0000_0000,
    ) {
        let text = text_of(&pieces);
        let plan = plan(&text);
        let placed = plan.place(text_at, stubs_at).expect("near");
        let stubs = placed.stubs(Entries { syscall, cpuid });
        let patched = written(&placed, &text, text_at);

        prop_assert_eq!(stubs.len() as u64, plan.stubs_len());
        for site in plan.sites() {
            let at = site.offset() as usize;
            let first = decoded(&patched[at..], text_at + site.offset())[0].near_branch64();
            let stub = if site.shape() == Shape::Short {
                prop_assert_eq!(first, text_at + site.jump());
                decoded(&patched[site.jump() as usize..], first)[0].near_branch64()
            } else {
                first
            };
            let code = decoded(&stubs[(stub - stubs_at) as usize..], stub);
            let before = decoded(&text[at..site.instruction() as usize], stub);
            prop_assert_eq!(&code[..before.len()], &before[..]);
            let (lea, last) = (code[before.len()], code[before.len() + 1]);
            prop_assert_eq!(lea.mnemonic(), Mnemonic::Lea);
            let (register, entry) = match site.illegal() {
                Illegal::Syscall => (Register::RCX, syscall),
                Illegal::Cpuid => (Register::RDX, cpuid),
            };
            prop_assert_eq!(lea.op0_register(), register);
            prop_assert_eq!(lea.memory_displacement64(), text_at + site.next());
            let arrival = match last.code() {
                Code::Jmp_rel32_64 => last.near_branch64(),
                _ => {
                    let pointer = (last.memory_displacement64() - stubs_at) as usize;
                    u64::from_le_bytes(stubs[pointer..pointer + 8].try_into().expect("eight"))
                }
            };
            prop_assert_eq!(arrival, entry);
        }
    }

    #[test]
    fn the_instructions_and_everything_behind_a_jump_stay(pieces in pieces()) {
        let text = text_of(&pieces);
        let placed = plan(&text).place(0x1_0000, 0x100_0000).expect("near");
        let patched = written(&placed, &text, 0x1_0000);

        let mut jump = vec![false; text.len()];
        for (address, _) in placed.jumps() {
            let at = (address - 0x1_0000) as usize;
            jump[at..at + JUMP_BYTES].fill(true);
        }
        for (address, short) in placed.short_jumps() {
            let at = (address - 0x1_0000) as usize;
            jump[at..at + short.len()].fill(true);
        }
        for (at, is_jump) in jump.into_iter().enumerate() {
            prop_assert!(is_jump || patched[at] == text[at]);
            let is_one = matches!(text[at..], [0x0f, 0x05 | 0xa2, ..]);
            prop_assert!(!(is_jump && is_one));
        }
    }

    #[test]
    fn addresses_translate_there_and_back(pieces in pieces()) {
        const TEXT: u64 = 0x1_0000;
        const STUBS: u64 = 0x100_0000;
        let text = text_of(&pieces);
        let plan = plan(&text);
        let placed = plan.place(TEXT, STUBS).expect("near");

        for address in STUBS - 8..STUBS + plan.stubs_len() + 8 {
            let known = placed.program_address(address);
            prop_assert_eq!(known.is_some(), (STUBS..STUBS + plan.stubs_len()).contains(&address));
        }
        for site in plan.sites() {
            for one in decoded(site.moved(), TEXT + site.offset()) {
                let at = one.ip() - TEXT - site.offset();
                let inside = (1..written_bytes(site)).contains(&at);
                let stub = placed.stub_address(one.ip());
                prop_assert_eq!(stub.is_some(), inside);
                if let Some(stub) = stub {
                    prop_assert_eq!(placed.program_address(stub), Some(one.ip()));
                    let entries = Entries { syscall: 0x1000, cpuid: 0x2000 };
                    let code = decoded(&placed.stubs(entries)[(stub - STUBS) as usize..], stub);
                    prop_assert_eq!(code[0].code(), one.code());
                }
            }
            prop_assert_eq!(placed.stub_address(TEXT + site.instruction()), None);
            if site.shape() == Shape::Short {
                let known = placed.program_address(TEXT + site.jump());
                prop_assert_eq!(known, Some(TEXT + site.offset()));
            }
        }
    }
}

/// `cmp byte [rip], 0; jz +23; xor eax, eax; syscall; cmp rax, -4096; ja; ret` and padding, as glibc's
/// `read` begins; what `with` changes in it comes before.
fn read_of_glibc(padding: &[u8]) -> Vec<u8> {
    let mut text = vec![0x90; 96];
    text.extend([
        0x80, 0x3d, 0x31, 0x33, 0x0e, 0, 0, 0x74, 0x17, 0x31, 0xc0, 0x0f, 0x05,
    ]);
    text.extend([0x48, 0x3d, 0, 0xf0, 0xff, 0xff, 0x77, 0x5b]);
    text.extend(padding);
    text
}

/// A `ret` and the padding behind it.
const END: [u8; 11] = [0xc3, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0];

#[test]
fn a_short_instruction_jumps_by_way_of_padding() {
    let text = read_of_glibc(&END);
    let plan = plan(&text);

    let sites: Vec<(u64, u64, Shape)> = plan
        .sites()
        .map(|site| (site.offset(), site.jump(), site.shape()))
        .collect();

    assert_eq!(sites, [(105, 118, Shape::Short)]);
}

#[test]
fn what_only_looks_like_padding_is_left_alone() {
    let not_behind_a_return = [&[0x90][..], &END[1..]].concat();
    let too_short = [&[0x0f, 0x1f, 0x80, 0, 0, 0, 0][..], &[0xc3, 0x0f, 0x1f, 0]].concat();
    let not_up_to_an_aligned_place = [0xc3, 0x0f, 0x1f, 0x80, 0, 0, 0, 0, 0x55].to_vec();
    let branched_to = [&END[..], &[0x75, 0xf4]].concat();
    let called = [&END[..], &[0xe8, 0xf5, 0xff, 0xff, 0xff]].concat();
    let switched_to = [&END[..], &[0xff, 0xe0]].concat();
    for padding in [
        not_behind_a_return,
        too_short,
        not_up_to_an_aligned_place,
        branched_to,
        called,
        switched_to,
    ] {
        assert_eq!(plan(&read_of_glibc(&padding)).len(), 0, "{padding:x?}");
    }
}

#[test]
fn two_sites_share_no_padding() {
    let mut text = read_of_glibc(&END);
    text.extend([0x74, 0x17, 0x31, 0xc0, 0x0f, 0x05]);

    assert_eq!(plan(&text).len(), 1);
}

#[test]
fn a_plan_whose_stubs_are_too_far_is_not_placed() {
    let mut text = vec![0x90; 100];
    text.extend([0xb8, 39, 0, 0, 0, 0x0f, 0x05]);
    let plan = plan(&text);

    assert_eq!(plan.len(), 1);
    assert!(plan.place(0x1_0000, 0x7fff_0000).is_ok());
    assert!(plan.place(0x1_0000, 0x8002_0000).is_err());
    assert!(plan.place(0x9000_0000, 0x1_0000).is_err());
}

#[test]
fn code_that_can_be_read_in_two_ways_is_left_alone() {
    // mov dword [rsp - 72], 39; syscall: from its fourth byte on it reads as mov eax, 39.
    let mut text = vec![0x90; 100];
    text.extend([0xc7, 0x44, 0x24, 0xb8, 39, 0, 0, 0, 0x0f, 0x05]);

    let sites: Vec<_> = plan(&text).sites().map(Site::offset).collect();

    assert_eq!(sites, [100], "the whole instruction moves, not its tail");
}

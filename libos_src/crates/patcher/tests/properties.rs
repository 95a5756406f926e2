//! What holds for all code and all addresses. `iced-x86` is the judge: it shares nothing with the
//! decoder that the patcher uses.

use std::sync::Arc;

use iced_x86::{Code, Decoder, DecoderOptions, Instruction, Mnemonic, OpKind};
use patcher::{JUMP_BYTES, Placed, Plan};
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
        vec![0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0],
    ]);
    vec(piece, 1..80)
}

fn written(placed: &Placed, text: &[u8], at: u64) -> Vec<u8> {
    let mut patched = text.to_vec();
    for (address, jump) in placed.jumps() {
        let offset = (address - at) as usize;
        patched[offset..offset + JUMP_BYTES].copy_from_slice(&jump);
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
        code in vec(select(vec![0x0fu8, 0x05, 0xb8, 0, 1, 0x48, 0x66, 0xeb, 0xe9, 0xc7, 0x62, 0xc5]), 0..600),
    ) {
        let plan = plan(&code);
        for site in plan.sites() {
            prop_assert_eq!(&code[site.syscall() as usize..site.next() as usize], &[0x0f, 0x05]);
        }
    }

    #[test]
    fn only_whole_instructions_move_and_no_branch_leads_into_a_jump(pieces in pieces()) {
        // Long enough before the first piece for any reading of the code to find itself.
        let mut text = vec![0x90; 100];
        text.extend(pieces.concat());
        let all = decoded(&text, 0);
        let plan = plan(&text);
        for site in plan.sites() {
            let moved: Vec<&Instruction> = all
                .iter()
                .filter(|one| (site.offset()..site.syscall()).contains(&one.ip()))
                .collect();
            let syscall = all.iter().find(|one| one.ip() == site.syscall());
            prop_assert_eq!(moved.first().map(|one| one.ip()), Some(site.offset()));
            prop_assert_eq!(syscall.map(Instruction::code), Some(Code::Syscall));
            let jump = site.offset() + 1..site.offset() + JUMP_BYTES as u64;
            for one in &all {
                let branches = one.op0_kind() == OpKind::NearBranch64;
                prop_assert!(!branches || !jump.contains(&one.near_branch64()));
            }
            for one in moved {
                prop_assert!(!one.is_ip_rel_memory_operand());
                prop_assert_eq!(one.flow_control(), iced_x86::FlowControl::Next);
            }
        }
    }

    #[test]
    fn a_stub_does_what_its_site_did_and_arrives_with_the_return_address(
        pieces in pieces(),
        text_at in 0x1_0000u64..0x4000_0000,
        stubs_at in 0x4100_0000u64..0x7000_0000,
        entry in 0x1_0000u64..0x80_0000_0000,
    ) {
        let mut text = vec![0x90; 100];
        text.extend(pieces.concat());
        let plan = plan(&text);
        let placed = plan.place(text_at, stubs_at).expect("near");
        let stubs = placed.stubs(entry);
        let patched = written(&placed, &text, text_at);

        prop_assert_eq!(stubs.len() as u64, plan.stubs_len());
        for site in plan.sites() {
            let at = site.offset() as usize;
            let jump = decoded(&patched[at..at + JUMP_BYTES], text_at + site.offset());
            let stub = jump[0].near_branch64();
            let code = decoded(&stubs[(stub - stubs_at) as usize..], stub);
            let before = decoded(&text[at..site.syscall() as usize], stub);
            prop_assert_eq!(&code[..before.len()], &before[..]);
            let (lea, last) = (code[before.len()], code[before.len() + 1]);
            prop_assert_eq!(lea.mnemonic(), Mnemonic::Lea);
            prop_assert_eq!(lea.op0_register(), iced_x86::Register::RCX);
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
    fn the_syscalls_and_everything_behind_a_jump_stay(pieces in pieces()) {
        let mut text = vec![0x90; 100];
        text.extend(pieces.concat());
        let placed = plan(&text).place(0x1_0000, 0x100_0000).expect("near");
        let patched = written(&placed, &text, 0x1_0000);

        let mut jump = vec![false; text.len()];
        for (address, _) in placed.jumps() {
            let at = (address - 0x1_0000) as usize;
            jump[at..at + JUMP_BYTES].fill(true);
        }
        for (at, is_jump) in jump.into_iter().enumerate() {
            prop_assert!(is_jump || patched[at] == text[at]);
            prop_assert!(!(is_jump && text[at..].starts_with(&[0x0f, 0x05])));
        }
    }

    #[test]
    fn addresses_translate_there_and_back(pieces in pieces()) {
        const TEXT: u64 = 0x1_0000;
        const STUBS: u64 = 0x100_0000;
        let mut text = vec![0x90; 100];
        text.extend(pieces.concat());
        let plan = plan(&text);
        let placed = plan.place(TEXT, STUBS).expect("near");

        for address in STUBS - 8..STUBS + plan.stubs_len() + 8 {
            let known = placed.program_address(address);
            prop_assert_eq!(known.is_some(), (STUBS..STUBS + plan.stubs_len()).contains(&address));
        }
        for site in plan.sites() {
            for one in decoded(site.moved(), TEXT + site.offset()) {
                let at = one.ip() - TEXT - site.offset();
                let inside = (1..JUMP_BYTES as u64).contains(&at);
                let stub = placed.stub_address(one.ip());
                prop_assert_eq!(stub.is_some(), inside);
                if let Some(stub) = stub {
                    prop_assert_eq!(placed.program_address(stub), Some(one.ip()));
                    let code = decoded(&placed.stubs(0x1000)[(stub - STUBS) as usize..], stub);
                    prop_assert_eq!(code[0].code(), one.code());
                }
            }
            prop_assert_eq!(placed.stub_address(TEXT + site.syscall()), None);
        }
    }
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

    let sites: Vec<_> = plan(&text).sites().map(patcher::Site::offset).collect();

    assert_eq!(sites, [100], "the whole instruction moves, not its tail");
}

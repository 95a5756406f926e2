//! The LibOS's own instructions (docs/adr/0006).

use iced_x86::{Decoder, DecoderOptions, EncodingKind, Instruction, Mnemonic, Register};

use crate::elf::Elf;
use crate::image::build;

const EXECUTE: u32 = 1;

/// What the entry code has of them, and how often. It reads the counter in two places, where that is
/// legal, and goes on where it is not. It keeps the program's vectors while the host runs, where the
/// CPU has such, shows the host none, and puts them back.
const KNOWN: [(Mnemonic, usize); 8] = [
    (Mnemonic::Rdtsc, 2),
    (Mnemonic::Vmovdqa64, 2 * 32),
    (Mnemonic::Vmovdqa, 2 * 16),
    (Mnemonic::Kmovq, 2 * 8),
    (Mnemonic::Vpxord, 2 * 16),
    (Mnemonic::Kxorq, 2 * 8),
    (Mnemonic::Vzeroall, 1),
    (Mnemonic::Vzeroupper, 1),
];

/// Why an instruction must not be in the LibOS, if so.
fn objection(instruction: &Instruction) -> Option<&'static str> {
    use Mnemonic as M;
    if instruction.is_invalid() {
        return Some("no instruction");
    }
    if instruction.code().encoding() != EncodingKind::Legacy {
        return Some("changes the upper halves of vector registers, which are the program's");
    }
    // SDM volume 3D, "Intel SGX Interactions with IA32 and Intel 64 Architecture", illegal
    // instructions; and RDTSC, which is legal with SGX2 only.
    match instruction.mnemonic() {
        M::Cpuid | M::Getsec | M::Rdpmc | M::Rdtsc | M::Rdtscp => Some("illegal in an enclave"),
        M::Sgdt | M::Sidt | M::Sldt | M::Str | M::Vmcall | M::Vmfunc => {
            Some("illegal in an enclave")
        }
        M::In | M::Insb | M::Insw | M::Insd | M::Out | M::Outsb | M::Outsw | M::Outsd => {
            Some("illegal in an enclave")
        }
        M::Int | M::Int1 | M::Iret | M::Iretd | M::Iretq | M::Retf | M::Syscall | M::Sysenter => {
            Some("illegal in an enclave")
        }
        _ if instruction.is_call_far_indirect() || instruction.is_jmp_far_indirect() => {
            Some("illegal in an enclave")
        }
        M::Mov | M::Pop if is_segment(instruction.op0_register()) => Some("illegal in an enclave"),
        _ => None,
    }
}

fn is_segment(register: Register) -> bool {
    register.is_segment_register()
}

/// Every instruction that `code` holds from its start to its end, with the objection to it.
fn objections(code: &[u8], address: u64) -> Vec<String> {
    let describe = |(instruction, why): (Instruction, &str)| {
        format!("{:?} at {:#x}: {why}", instruction.code(), instruction.ip())
    };
    objectionable(code, address)
        .into_iter()
        .map(describe)
        .collect()
}

fn objectionable(code: &[u8], address: u64) -> Vec<(Instruction, &'static str)> {
    let mut decoder = Decoder::with_ip(64, code, address, DecoderOptions::NONE);
    let mut found = Vec::new();
    for instruction in &mut decoder {
        if let Some(why) = objection(&instruction) {
            found.push((instruction, why));
        }
    }
    found
}

#[test]
fn the_libos_has_no_instruction_that_is_illegal_or_the_programs() {
    let elf = Elf::load(&build("libos"), 0);
    let texts = elf.segments.iter().filter(|one| one.flags & EXECUTE != 0);
    let (mut size, mut known) = (0, Vec::new());
    for text in texts {
        size += text.data.len();
        let all = objectionable(&text.data, text.address);
        let is_known =
            |(one, _): &(Instruction, _)| KNOWN.iter().any(|(m, _)| *m == one.mnemonic());
        assert_eq!(all.iter().find(|one| !is_known(one)), None);
        known.extend(all.into_iter().map(|(instruction, _)| instruction));
    }
    for (mnemonic, count) in KNOWN {
        let found = known.iter().filter(|one| one.mnemonic() == mnemonic);
        assert_eq!(found.count(), count, "{mnemonic:?}");
    }
    // All of them are in the entry code, which knows what it does.
    let addresses = || known.iter().map(Instruction::ip);
    let reach = addresses().max().zip(addresses().min());
    assert!(reach.is_some_and(|(last, first)| last - first < 8192));
    assert!(size > 100_000, "{size} bytes are not the LibOS");
}

#[test]
fn an_objection_is_found_wherever_it_is() {
    let bad: [&[u8]; 8] = [
        &[0x0f, 0xa2],                         // cpuid
        &[0x0f, 0x05],                         // syscall
        &[0x0f, 0x31],                         // rdtsc
        &[0x0f, 0x01, 0xf9],                   // rdtscp
        &[0xc5, 0xf8, 0x57, 0xc0],             // vxorps xmm0, xmm0, xmm0
        &[0x62, 0xf1, 0x7c, 0x48, 0x57, 0xc0], // vxorps zmm0, zmm0, zmm0
        &[0xcd, 0x80],                         // int 0x80
        &[0x8e, 0xd8],                         // mov ds, eax
    ];
    for bytes in bad {
        let code = [&[0x90, 0x48, 0x89, 0xc8], bytes, &[0xc3]].concat();
        assert_eq!(objections(&code, 0).len(), 1, "{bytes:x?}");
    }
    let good = [0x0f, 0x01, 0xd7, 0x0f, 0x0b, 0xf3, 0x0f, 0x1e, 0xfa, 0xc3];
    assert_eq!(objections(&good, 0), Vec::<String>::new());
}

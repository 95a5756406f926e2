//! CPUID and the time stamp counter for programs: illegal in an enclave, so the runtime answers.

use alloc::vec::Vec;

use abi::{Attributes, ocall::CpuidEntry};
use hal::UserRegs;

use crate::lock::Lock;

/// What the host said at the start, masked by what the enclave may do. It never changes after.
static TABLE: Lock<Vec<CpuidEntry>> = Lock::new(Vec::new());

/// Leaf 1 ECX: bits of AVX, F16C, FMA, AES is left alone.
const LEAF1_ECX_AVX: u32 = 1 << 28 | 1 << 29 | 1 << 12;
/// Leaf 7 EBX: AVX2 and every AVX-512 feature.
const LEAF7_EBX_AVX512: u32 =
    1 << 16 | 1 << 17 | 1 << 21 | 1 << 26 | 1 << 27 | 1 << 28 | 1 << 30 | 1 << 31;
const LEAF7_EBX_AVX2: u32 = 1 << 5;
/// Leaf 7 ECX: VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ.
const LEAF7_ECX_AVX512: u32 = 1 << 1 | 1 << 6 | 1 << 11 | 1 << 12 | 1 << 14;
/// Leaf 7 EDX: 4VNNIW, 4FMAPS, VP2INTERSECT, AVX512-FP16.
const LEAF7_EDX_AVX512: u32 = 1 << 2 | 1 << 3 | 1 << 8 | 1 << 23;
/// What no program in an enclave has. Leaf 7 EBX: SGX.
const LEAF7_EBX_NEVER: u32 = 1 << 2;
/// Leaf 7 ECX: PKU, OSPKE, CET shadow stacks, SGX launch control.
const LEAF7_ECX_NEVER: u32 = 1 << 3 | 1 << 4 | 1 << 7 | 1 << 30;
/// Leaf 7 EDX: CET indirect branch tracking, AMX.
const LEAF7_EDX_NEVER: u32 = 1 << 20 | 1 << 22 | 1 << 24 | 1 << 25;

/// Takes the host's table.
pub(crate) fn init(mut entries: Vec<CpuidEntry>, xfrm: u64) {
    for entry in &mut entries {
        mask(entry, xfrm);
    }
    *TABLE.lock() = entries;
}

/// Takes from an answer what the enclave cannot do.
fn mask(entry: &mut CpuidEntry, xfrm: u64) {
    let avx = xfrm & Attributes::XFRM_AVX != 0;
    let avx512 = xfrm & Attributes::XFRM_AVX512 == Attributes::XFRM_AVX512;
    match (entry.leaf, entry.subleaf) {
        (1, _) if !avx => entry.ecx &= !LEAF1_ECX_AVX,
        (7, 0) => {
            entry.ebx &= !LEAF7_EBX_NEVER;
            entry.ecx &= !LEAF7_ECX_NEVER;
            entry.edx &= !LEAF7_EDX_NEVER;
            if !avx {
                entry.ebx &= !LEAF7_EBX_AVX2;
            }
            if !avx512 {
                entry.ebx &= !LEAF7_EBX_AVX512;
                entry.ecx &= !LEAF7_ECX_AVX512;
                entry.edx &= !LEAF7_EDX_AVX512;
            }
        }
        (7, 1) => {
            // AVX-VNNI and AVX-512 BF16; the AMX and AVX10 bits go for good.
            entry.eax &= match (avx, avx512) {
                (true, true) => 1 << 4 | 1 << 5,
                (true, false) => 1 << 4,
                _ => 0,
            };
            entry.ebx = 0;
            entry.ecx = 0;
            entry.edx = 0;
        }
        (0xd, 0) => {
            let size = abi::ssa::xsave_size(xfrm) as u32;
            (entry.eax, entry.ebx) = (xfrm as u32, size);
            (entry.ecx, entry.edx) = (size, 0);
        }
        // No XSAVES, whose states SGX does not know; XSAVEOPT, XSAVEC and XGETBV(1) stay.
        (0xd, 1) => {
            entry.eax &= 0x7;
            (entry.ebx, entry.ecx, entry.edx) = (0, 0, 0);
        }
        (0xd, component) if component > 63 || xfrm & (1 << component) == 0 => clear(entry),
        // SGX, AMX tiles, AVX10.
        (0x12 | 0x1d | 0x1e | 0x24, _) => clear(entry),
        _ => {}
    }
}

fn clear(entry: &mut CpuidEntry) {
    (entry.eax, entry.ebx, entry.ecx, entry.edx) = (0, 0, 0, 0);
}

/// Answers CPUID as the program asked it, in its registers.
pub(crate) fn answer(registers: &mut UserRegs) {
    let [eax, ebx, ecx, edx] = ask(registers.rax as u32, registers.rcx as u32);
    registers.rax = u64::from(eax);
    registers.rbx = u64::from(ebx);
    registers.rcx = u64::from(ecx);
    registers.rdx = u64::from(edx);
}

/// The answer to CPUID: that to the exact question, else of the leaf without a subleaf, else zeros.
pub(crate) fn ask(leaf: u32, subleaf: u32) -> [u32; 4] {
    let table = TABLE.lock();
    let exact = |entry: &&CpuidEntry| entry.leaf == leaf && entry.subleaf == subleaf;
    let alone = |entry: &&CpuidEntry| entry.leaf == leaf && !has_subleaves(leaf);
    let found = table
        .iter()
        .find(exact)
        .or_else(|| table.iter().find(alone));
    let answer = found.copied().unwrap_or_default();
    [answer.eax, answer.ebx, answer.ecx, answer.edx]
}

/// Leaves whose answer depends on ECX (SDM volume 2, CPUID).
fn has_subleaves(leaf: u32) -> bool {
    matches!(
        leaf,
        4 | 7 | 0xb | 0xd | 0xf | 0x10 | 0x12 | 0x14 | 0x17 | 0x18 | 0x1d | 0x1f
    )
}

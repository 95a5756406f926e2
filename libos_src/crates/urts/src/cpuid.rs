//! What this CPU says of itself. CPUID is illegal inside an enclave, so the host asks beforehand.

use core::arch::x86_64::{__cpuid, __cpuid_count};

use abi::ocall::CpuidEntry;

/// Leaves whose answer depends on the subleaf, and how many subleaves are asked for.
const SUBLEAVES: [(u32, u32); 8] = [
    (0x04, 6),
    (0x07, 3),
    (0x0b, 4),
    (0x0d, 20),
    (0x14, 2),
    (0x1d, 2),
    (0x1e, 1),
    (0x1f, 4),
];

/// No table asks for more leaves than this in one range, whatever the CPU claims.
const LEAVES_MAX: u32 = 0x40;

/// The answers for every basic and extended leaf, in ascending order.
pub(crate) fn table() -> Vec<CpuidEntry> {
    let mut table = Vec::new();
    for first in [0, 0x8000_0000] {
        let last = __cpuid(first).eax.min(first + LEAVES_MAX);
        for leaf in first..=last.max(first) {
            let count = SUBLEAVES.iter().find(|(number, _)| *number == leaf);
            for subleaf in 0..count.map_or(1, |(_, count)| *count) {
                table.push(entry(leaf, subleaf));
            }
        }
    }
    table
}

fn entry(leaf: u32, subleaf: u32) -> CpuidEntry {
    let answer = __cpuid_count(leaf, subleaf);
    CpuidEntry {
        leaf,
        subleaf,
        eax: answer.eax,
        ebx: answer.ebx,
        ecx: answer.ecx,
        edx: answer.edx,
    }
}

#[cfg(test)]
mod tests {
    use abi::ocall::StartInfo;

    use super::table;

    #[test]
    fn the_table_begins_with_the_vendor_and_fits_what_the_enclave_takes() {
        let table = table();

        assert_eq!((table[0].leaf, table[0].subleaf), (0, 0));
        assert!(table.iter().any(|entry| entry.leaf == 0x8000_0001));
        assert!(table.len() as u64 <= StartInfo::CPUID_MAX);
    }
}

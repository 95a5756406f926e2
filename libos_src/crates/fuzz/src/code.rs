//! The patcher.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

use patcher::{Entries, Illegal, JUMP_BYTES, Plan, Shape};

const TEXT: u64 = 0x1_0000;
const STUBS: u64 = 0x100_0000;
const ENTRIES: Entries = Entries {
    syscall: 0x5000,
    cpuid: 0x6000,
};

/// Of any code, only jumps are written, before instructions that stay; and every stub leads back.
pub(crate) fn check(text: &[u8]) {
    let read = |at: u64, buffer: &mut [u8]| {
        buffer.copy_from_slice(&text[at as usize..][..buffer.len()]);
        Ok::<_, Infallible>(())
    };
    let Ok(plan) = Plan::find(text.len() as u64, read);
    let plan = Arc::new(plan);
    let placed = plan.place(TEXT, STUBS).expect("near");
    let stubs = placed.stubs(ENTRIES);
    assert_eq!(stubs.len() as u64, plan.stubs_len());
    assert_eq!(placed.jumps().count(), plan.len());
    let mut before = 0;
    let mut written = BTreeSet::new();
    for site in plan.sites() {
        let (start, end) = (site.offset(), site.next());
        assert!(before <= start && start < end && end <= text.len() as u64);
        let patched = &text[site.instruction() as usize..end as usize];
        let wanted = match site.illegal() {
            Illegal::Syscall => [0x0f, 0x05],
            Illegal::Cpuid => [0x0f, 0xa2],
        };
        assert_eq!(patched, wanted, "it is what it is taken for");
        let is_short = site.shape() == Shape::Short;
        let len = if is_short { 2 } else { JUMP_BYTES as u64 };
        assert!(start + len <= site.instruction(), "which stays");
        before = start + len;
        let padding = site.jump()..site.jump() + if is_short { JUMP_BYTES as u64 } else { 0 };
        assert!(padding.end <= text.len() as u64);
        for at in (start..end).chain(padding) {
            assert!(written.insert(at), "nothing is used twice");
        }
    }
    assert_eq!(
        placed.short_jumps().count(),
        plan.sites()
            .filter(|site| site.shape() == Shape::Short)
            .count()
    );
    for (address, jump) in placed.short_jumps() {
        let target = (address + 2).wrapping_add_signed(jump[1].cast_signed().into());
        assert_eq!(jump[0], 0xeb);
        assert!(placed.jumps().any(|(long, _)| long == target));
        assert_eq!(placed.program_address(target), Some(address));
    }
    for (address, jump) in placed.jumps() {
        assert_eq!(jump[0], 0xe9);
        let distance = i32::from_le_bytes([jump[1], jump[2], jump[3], jump[4]]);
        let stub = address
            .wrapping_add(JUMP_BYTES as u64)
            .wrapping_add_signed(distance.into());
        assert!((STUBS..STUBS + plan.stubs_len()).contains(&stub));
        let known = placed.program_address(stub);
        assert_eq!(known, placed.program_address(address).or(Some(address)));
    }
    for offset in 0..plan.stubs_len() {
        let address = placed.program_address(STUBS + offset);
        let end = TEXT + text.len() as u64;
        assert!(address.is_some_and(|address| (TEXT..=end).contains(&address)));
    }
}

/// What compilers put before a system call or `cpuid`, and branches around it.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let pieces: [&[u8]; 11] = [
        &[
            0xb8, 0, 0, 0, 0x80, 0x0f, 0xa2, 0x89, 0xf0, 0x89, 0xf9, 0x31, 0xff, 0x0f, 0xa2,
        ],
        &[0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3],
        &[0x48, 0x89, 0xf7, 0x31, 0xff, 0x0f, 0x05],
        &[0x6a, 0x27, 0x58, 0x48, 0x89, 0xc7, 0x0f, 0x05],
        &[0x4c, 0x8b, 0x8c, 0x24, 1, 0, 0, 0, 0x0f, 0x05],
        &[0x48, 0x8b, 0x05, 0x10, 0, 0, 0, 0x0f, 0x05],
        &[0xc7, 0x44, 0x24, 0xb8, 39, 0, 0, 0, 0x0f, 0x05],
        &[0xb8, 1, 0, 0, 0, 0x0f, 0x05, 0x75, 0xf8],
        &[
            0xeb, 0x03, 0xb8, 2, 0, 0, 0, 0x0f, 0x05, 0xe8, 0xe0, 0xff, 0xff, 0xff,
        ],
        &[0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0, 0x0f, 0x05],
        &[
            0x74, 0x17, 0x31, 0xc0, 0x0f, 0x05, 0xc3, 0x0f, 0x1f, 0x80, 0, 0, 0, 0, 0x90, 0x90,
        ],
    ];
    let mut seeds: Vec<Vec<u8>> = pieces
        .iter()
        .map(|piece| [&[0x90; 40][..], piece].concat())
        .collect();
    seeds.push([&[0x90; 100][..], &pieces.concat()].concat());
    seeds
}

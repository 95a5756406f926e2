//! What holds for all code and all addresses.

use patcher::{JUMP_BYTES, SITE_BYTES, find};
use proptest::prelude::*;

/// Where a `rel32` at the end of an instruction that ends at `next` leads.
fn target(next: u64, displacement: &[u8]) -> u64 {
    let displacement = i32::from_le_bytes(displacement.try_into().expect("four bytes"));
    next.wrapping_add_signed(displacement.into())
}

proptest! {
    #[test]
    fn any_bytes_are_searched_without_a_panic_and_sites_are_what_they_say(
        code in prop::collection::vec(prop::sample::select(vec![0xb8u8, 0x0f, 0x05, 0, 1, 0x48]), 0..200),
    ) {
        for site in find(&code) {
            let at = site.address as usize;
            prop_assert_eq!(code[at], 0xb8);
            prop_assert_eq!(&code[at + 5..at + SITE_BYTES], &[0x0f, 0x05]);
        }
    }

    #[test]
    fn a_patched_call_arrives_with_its_number_and_its_return_address(
        number in 0u32..1024,
        site in 0x1_0000u64..0x4000_0000,
        stub in 0x4000_0000u64..0x7000_0000,
        entry in 0x1_0000u64..0x80_0000_0000,
    ) {
        let mut code = vec![0x90, 0xb8];
        code.extend(number.to_le_bytes());
        code.extend([0x0f, 0x05]);
        let site = find(&code).next().expect("it is there").relocated(site);

        let jump = site.jump(stub).expect("near");
        let stub_code = site.stub(stub, entry).expect("near");
        let stub_code = stub_code.bytes();

        prop_assert_eq!(target(site.address + JUMP_BYTES as u64, &jump[1..]), stub);
        prop_assert_eq!(&stub_code[1..5], &number.to_le_bytes());
        prop_assert_eq!(target(stub + 12, &stub_code[8..12]), site.address + SITE_BYTES as u64);
        let arrival = match stub_code[12] {
            0xe9 => target(stub + 17, &stub_code[13..17]),
            _ => u64::from_le_bytes(stub_code[18..26].try_into().expect("eight bytes")),
        };
        prop_assert_eq!(arrival, entry);
    }

    #[test]
    fn the_syscall_instruction_itself_stays(prefix in prop::collection::vec(any::<u8>(), 1..20)) {
        let mut code = prefix;
        code.extend([0xb8, 39, 0, 0, 0, 0x0f, 0x05]);
        for site in find(&code.clone()) {
            let jump = site.jump(0x1000).expect("near");
            let at = site.address as usize;
            code[at..at + JUMP_BYTES].copy_from_slice(&jump);
        }

        prop_assert_eq!(&code[code.len() - 2..], &[0x0f, 0x05]);
    }
}

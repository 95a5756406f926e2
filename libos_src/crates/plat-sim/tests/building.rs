//! What ECREATE, EADD and EINIT refuse. No enclave is entered here: crate `occlum-run` does that.

use std::sync::{Mutex, MutexGuard, PoisonError};

use abi::{Attributes, Permissions, SIGSTRUCT_SIZE, SecInfo, Secs, SgxError, Tcs, attributes};
use plat_sim::{Options, SimEnclave, SimPlatform};
use platform::{Enclave, Error, Platform};

const SIZE: u64 = 0x100_0000;
const PAGE: u64 = 0x10_0000;

/// Every enclave starts at address 0, so a process holds one at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

fn secs() -> Secs {
    Secs {
        size_bytes: SIZE,
        ssa_frame_pages: 1,
        misc_select: attributes::MISC_EXINFO,
        attributes: Attributes {
            flags: Attributes::MODE64BIT,
            xfrm: Attributes::XFRM_LEGACY,
        },
        ..Secs::ZERO
    }
}

fn enclave() -> SimEnclave {
    let platform = SimPlatform::new(Options::default());
    platform.create(&secs()).expect("a legal SECS")
}

fn refuses(change: impl Fn(&mut Secs)) {
    let mut secs = secs();
    change(&mut secs);
    let created = SimPlatform::new(Options::default()).create(&secs);
    assert!(matches!(created.err(), Some(Error::Unsupported(_))));
}

#[test]
fn ecreate_refuses_what_no_enclave_of_ours_is() {
    let _alone = alone();
    refuses(|secs| secs.base_address = SIZE);
    refuses(|secs| secs.size_bytes = SIZE + 4096);
    refuses(|secs| secs.ssa_frame_pages = 2);
    refuses(|secs| secs.misc_select |= 2);
    refuses(|secs| secs.attributes.xfrm = 1);
    refuses(|secs| secs.attributes.xfrm |= 0x6_0000);
    refuses(|secs| secs.attributes.flags |= Attributes::INIT);
    refuses(|secs| secs.attributes.flags &= !Attributes::MODE64BIT);
    refuses(|secs| secs.cet_attributes = 1);
}

#[test]
fn a_process_holds_one_enclave_at_a_time() {
    let _alone = alone();
    let first = enclave();
    let second = SimPlatform::new(Options::default()).create(&secs());
    assert!(matches!(second.err(), Some(Error::Host { .. })));
    drop(first);
    drop(enclave());
}

#[test]
fn eadd_takes_each_page_once_and_inside_the_enclave() {
    let _alone = alone();
    let mut enclave = enclave();
    let rw = SecInfo::regular(Permissions::RW);
    enclave
        .add_zero_pages(PAGE, 0x2000, rw)
        .expect("free pages");
    for (offset, size) in [(PAGE + 0x1000, 0x1000), (SIZE, 0x1000), (0x8000, 0x1000)] {
        let added = enclave.add_zero_pages(offset, size, rw);
        assert!(matches!(added, Err(Error::Fault(_))), "{offset:#x}");
    }
    let part = enclave.add_pages(PAGE + 0x4000, &[0; 100], rw, true);
    assert!(matches!(part, Err(Error::Fault(_))));
}

#[test]
fn eadd_refuses_a_secinfo_that_is_not_legal() {
    let _alone = alone();
    let mut enclave = enclave();
    // Writable but not readable, a type that EADD does not take, a state bit, a reserved bit.
    for flags in [0x202, 0x303, 0x203 | SecInfo::PENDING, 0x203 | 1 << 20] {
        let added = enclave.add_zero_pages(PAGE, 0x1000, SecInfo::from_flags(flags));
        assert!(matches!(added, Err(Error::Fault(_))), "{flags:#x}");
    }
}

#[test]
fn eadd_refuses_a_tcs_with_reserved_fields() {
    let _alone = alone();
    let mut enclave = enclave();
    let legal = Tcs {
        ssa_offset: PAGE,
        ssa_count: 3,
        ..Tcs::default()
    };
    let broken = [
        Tcs { state: 1, ..legal },
        Tcs { aep: 1, ..legal },
        Tcs {
            current_ssa: 1,
            ..legal
        },
        Tcs {
            ssa_offset: 8,
            ..legal
        },
        Tcs {
            ssa_count: 0,
            ..legal
        },
    ];
    for tcs in broken {
        let mut page = [0; 4096];
        page[..72].copy_from_slice(&tcs.to_bytes());
        let added = enclave.add_pages(0x20_0000, &page, SecInfo::TCS, true);
        assert!(matches!(added, Err(Error::Fault(_))), "{tcs:?}");
    }
    // A page that was refused is not there.
    let mut page = [0; 4096];
    page[..72].copy_from_slice(&legal.to_bytes());
    let added = enclave.add_pages(0x20_0000, &page, SecInfo::TCS, true);
    assert_eq!(added, Ok(()));
}

#[test]
fn nothing_is_added_after_einit_refused() {
    let _alone = alone();
    let mut enclave = enclave();
    let refused = enclave.init(&[0; SIGSTRUCT_SIZE]);
    assert_eq!(refused, Err(Error::Refused(SgxError::InvalidSigStruct)));
    let rw = SecInfo::regular(Permissions::RW);
    let added = enclave.add_zero_pages(PAGE, 0x1000, rw);
    assert!(matches!(added, Err(Error::Fault(_))));
    assert!(enclave.attach_thread(PAGE).is_err());
    assert!(enclave.init(&[0; SIGSTRUCT_SIZE]).is_err());
}

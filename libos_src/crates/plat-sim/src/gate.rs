//! Replacing ENCLU in the platform's own copy of the enclave, after it was measured.
//!
//! Both forms in which an enclave writes ENCLU are five bytes, as long as a near jump or call. They
//! are led to two stubs in one page, which jump on to host code. The page must be within two
//! gigabytes of the sites, so it takes the place of a guard page before the enclave's code.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, Ordering};

use abi::{PAGE_SIZE, Permissions, leaf, ssa::vector};
use platform::{Error, Result};

use crate::{
    arch,
    enclave::Shared,
    epcm::LeafFault,
    leaves::{self, Operands},
};

/// Offset of the second stub in the page.
const LEAF_STUB: u64 = 16;

/// Near jump and near call.
const JUMP: u8 = 0xe9;
const CALL: u8 = 0xe8;

/// Patches every site in the enclave's read-only code.
pub(crate) fn install(enclave: &Shared) -> Result<()> {
    let code: Vec<u64> = enclave.code_pages().collect();
    let Some(first) = code.first() else {
        return Ok(());
    };
    let stubs = place_stubs(enclave, *first)?;
    for run in code.chunk_by(|a, b| a + PAGE_SIZE == *b) {
        patch_run(enclave, run[0], run.len() as u64 * PAGE_SIZE, stubs)?;
    }
    Ok(())
}

/// Writes the stubs into the nearest page below `code` that the enclave does not have.
fn place_stubs(enclave: &Shared, code: u64) -> Result<u64> {
    let page = (1..)
        .map_while(|distance| code.checked_sub(distance * PAGE_SIZE))
        .take_while(|page| *page >= crate::memory::FIRST_ADDRESS)
        .find(|page| enclave.epcm.reserve(*page))
        .ok_or(Error::Unsupported(
            "an enclave without a free page before its code, for the gate",
        ))?;
    enclave.range.protect(page, PAGE_SIZE, Permissions::RW)?;
    enclave
        .range
        .write(page, &stub(arch::sim_exit_gate as *const () as u64));
    enclave.range.write(
        page + LEAF_STUB,
        &stub(arch::sim_leaf_gate as *const () as u64),
    );
    enclave.range.protect(page, PAGE_SIZE, Permissions::RX)?;
    Ok(page)
}

/// `jmp [rip]` and the target.
fn stub(target: u64) -> [u8; 14] {
    let mut bytes = [0xff, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes[6..].copy_from_slice(&target.to_le_bytes());
    bytes
}

fn patch_run(enclave: &Shared, start: u64, size_bytes: u64, stubs: u64) -> Result<()> {
    enclave.range.protect(start, size_bytes, Permissions::RW)?;
    let mut code = vec![0; size_bytes as usize];
    enclave.range.read(start, &mut code);
    for (offset, window) in (0_u64..).zip(code.windows(5)) {
        let site = start + offset;
        if window == leaf::ENCLU_EXIT_SITE {
            enclave.range.write(site, &branch(JUMP, site, stubs)?);
        } else if window == leaf::ENCLU_RETURN_SITE && is_in_one_word(site) {
            enclave
                .range
                .write(site, &branch(CALL, site, stubs + LEAF_STUB)?);
        }
    }
    enclave
        .range
        .protect(start, size_bytes, enclave.epcm.get(start).access())
}

/// Whether a site can be restored in one step. One that cannot is left as it is, and traps.
const fn is_in_one_word(site: u64) -> bool {
    site % 8 + leaf::ENCLU_RETURN_SITE.len() as u64 <= 8
}

fn branch(opcode: u8, site: u64, target: u64) -> Result<[u8; 5]> {
    let distance = target.wrapping_sub(site + 5) as i64;
    let distance = i32::try_from(distance)
        .map_err(|_| Error::Unsupported("a gate more than two gigabytes from its site"))?;
    let mut bytes = [opcode, 0, 0, 0, 0];
    bytes[1..].copy_from_slice(&distance.to_le_bytes());
    Ok(bytes)
}

/// What the leaf gate tells its assembly: RAX, and in RDX whether the site must be tried again.
#[repr(C)]
pub(crate) struct GateResult {
    value: u64,
    again: u64,
}

/// Called by the leaf gate, with FS and GS of the enclave: nothing thread-local may be touched.
pub(crate) extern "C" fn execute_leaf(
    number: u64,
    rbx: u64,
    rcx: u64,
    rdx: u64,
    after_site: u64,
) -> GateResult {
    let Some(enclave) = Shared::active() else {
        crate::signals::die("a gate without an enclave", after_site);
    };
    match leaves::execute(enclave, number, Operands { rbx, rcx, rdx }) {
        Ok(value) => GateResult { value, again: 0 },
        Err(_) => {
            // A fault must appear at the instruction, so the instruction comes back and is
            // executed; that is rare, and other threads may trap there from now on.
            restore_site(enclave, after_site - 5);
            GateResult {
                value: number,
                again: 1,
            }
        }
    }
}

/// Writes ENCLU back while other threads may run the site, or restore it, too: they find the call or
/// the instruction, and nothing between. The page stays executable throughout.
fn restore_site(enclave: &Shared, site: u64) {
    /// Whether a thread is at it: another would take back the right to write that it still needs.
    static RESTORING: AtomicBool = AtomicBool::new(false);
    while RESTORING.swap(true, Ordering::Acquire) {
        spin_loop();
    }
    // A site lies in one word, and so in one page.
    let page = site & !(PAGE_SIZE - 1);
    let access = enclave.epcm.get(page).access();
    let writable = crate::memory::protect(page, PAGE_SIZE, Permissions::RWX);
    if let Err(errno) = writable {
        crate::signals::die("cannot restore an ENCLU site", errno as u64);
    }
    (enclave.range).write_in_word(site, &leaf::ENCLU_RETURN_SITE);
    let restored = crate::memory::protect(page, PAGE_SIZE, access);
    if let Err(errno) = restored {
        crate::signals::die("cannot protect an ENCLU site", errno as u64);
    }
    RESTORING.store(false, Ordering::Release);
}

/// The exception that a fault of a leaf is.
pub(crate) fn vector_of(fault: LeafFault) -> (u8, u64) {
    match fault {
        LeafFault::GeneralProtection => (vector::GENERAL_PROTECTION, 0),
        LeafFault::Page(address) => (vector::PAGE_FAULT, address),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Barrier, atomic::AtomicUsize};

    use platform::{SecInfo, Secs};

    use super::*;
    use crate::{Interception, Options, epcm::Epcm, memory::Range};

    const PAGE: u64 = 0x2_0000;
    const SITE: u64 = PAGE + 0x800;
    const CALL_SITE: [u8; 5] = [CALL, 1, 2, 3, 4];

    /// An enclave with one page of code, on which a site is patched.
    fn enclave() -> Shared {
        const SIZE_BYTES: u64 = 0x10_0000;
        let shared = Shared {
            range: Range::reserve(SIZE_BYTES).expect("no other test takes it"),
            epcm: Epcm::new(SIZE_BYTES),
            options: Options::default(),
            secs: Secs::ZERO,
            interception: Interception::Seccomp,
            seccomp_is_net: false,
            threads: std::collections::BTreeMap::new(),
            added: Vec::new(),
        };
        assert!(shared.epcm.add(PAGE, SecInfo::regular(Permissions::RX)));
        shared.epcm.map(PAGE, Permissions::RX);
        shared
    }

    fn patch(enclave: &Shared) {
        let protect = |access| enclave.range.protect(PAGE, PAGE_SIZE, access);
        protect(Permissions::RW).expect("ours");
        enclave.range.write(SITE, &CALL_SITE);
        protect(Permissions::RX).expect("ours");
    }

    #[test]
    fn threads_restore_one_site_at_once_and_each_finds_it_whole() {
        const ROUNDS: usize = 5000;
        const LOOKS: u32 = 5000;
        let enclave = enclave();
        let start = Barrier::new(3);
        let end = Barrier::new(3);
        let at_start = AtomicUsize::new(0);
        let site = || {
            let mut bytes = [0; 5];
            enclave.range.read(SITE, &mut bytes);
            bytes
        };
        std::thread::scope(|threads| {
            for _ in 0..2 {
                threads.spawn(|| {
                    for round in 1..=ROUNDS {
                        start.wait();
                        // A barrier lets one go long before the other, so they look for each other,
                        // and give up where there is but one processor for them.
                        at_start.fetch_add(1, Ordering::SeqCst);
                        for _ in 0..LOOKS {
                            if at_start.load(Ordering::SeqCst) >= 2 * round {
                                break;
                            }
                            spin_loop();
                        }
                        // Who writes while another has taken the right away faults.
                        restore_site(&enclave, SITE);
                        assert_eq!(site(), leaf::ENCLU_RETURN_SITE);
                        end.wait();
                    }
                });
            }
            for _ in 0..ROUNDS {
                patch(&enclave);
                start.wait();
                end.wait();
            }
        });
    }
}

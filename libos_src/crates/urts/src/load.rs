//! Building an enclave from its stream, page by page, as the kernel and the CPU would.

use abi::{Attributes, PageType, Permissions, SecInfo, Secs};
use platform::{Enclave, Platform};
use sgx_image::{PageRun, SgxsReader, SigStruct};

use crate::{Bundle, RunError};

/// The first address that Linux lets a process map.
const FIRST_MAPPABLE: u64 = 0x1_0000;

/// An initialised enclave and what its host must know of it.
#[derive(Debug)]
pub struct Loaded<E> {
    /// The enclave, after EINIT.
    pub enclave: E,
    /// The offsets of its thread control pages, ascending.
    pub tcs_offsets: Vec<u64>,
}

/// Loads the bundle's enclave: ECREATE, EADD and EEXTEND for each page, EINIT.
///
/// # Errors
/// If a file is broken, or the platform refuses the enclave.
pub fn load<P: Platform>(platform: &P, bundle: &Bundle) -> Result<Loaded<P::Enclave>, RunError> {
    let sig_struct = bundle.sig_struct()?;
    let sgxs_path = bundle.sgxs_path();
    let broken = |error| RunError::bundle(&sgxs_path, error);
    let mut reader = SgxsReader::new(bundle.sgxs()?).map_err(broken)?;

    let mut secs = Secs::ZERO;
    secs.size_bytes = reader.enclave().size_bytes;
    secs.ssa_frame_pages = reader.enclave().ssa_frame_pages;
    choose_features(&mut secs, &SigStruct::from_bytes(sig_struct), platform);

    let mut enclave = platform
        .create(&secs)
        .map_err(|error| step("ECREATE", error))?;
    let mut map = Vec::new();
    let mut tcs_offsets = Vec::new();
    while let Some(run) = reader.next_run().map_err(broken)? {
        add(&mut enclave, &run)?;
        if run.sec_info.page_type() == Some(PageType::Tcs) {
            tcs_offsets.extend(run.page_offsets());
        }
        map.push((run.offset, run.size_bytes(), access(run.sec_info)));
    }
    enclave
        .init(&sig_struct)
        .map_err(|error| step("EINIT", error))?;

    let first_page = map.first().map_or(FIRST_MAPPABLE, |(offset, ..)| *offset);
    if first_page > FIRST_MAPPABLE {
        // What lies below the first page is the program's memory of an enclave that adds it as it
        // goes. The enclave says with EACCEPT which permissions a page really has.
        map.insert(
            0,
            (
                FIRST_MAPPABLE,
                first_page - FIRST_MAPPABLE,
                Permissions::RWX,
            ),
        );
    }
    for (offset, size_bytes, permissions) in merged(map) {
        enclave
            .map(offset, size_bytes, permissions)
            .map_err(|error| step("mapping the enclave", error))?;
    }
    Ok(Loaded {
        enclave,
        tcs_offsets,
    })
}

/// Fills in what ECREATE needs and the stream does not say: the signer's values, and for each bit
/// that the signer leaves open what the platform has.
fn choose_features<P: Platform>(secs: &mut Secs, signed: &SigStruct, platform: &P) {
    let capabilities = platform.capabilities();
    let wanted = signed.attributes();
    let mask = signed.attributemask();
    let open_xfrm = capabilities.xfrm & Attributes::XFRM_ALLOWED & !mask.xfrm;
    secs.attributes = Attributes {
        flags: wanted.flags & !Attributes::INIT,
        xfrm: wanted.xfrm | open_xfrm,
    };
    secs.misc_select = signed.miscselect();
    secs.cet_attributes = signed.cet_attributes();
}

fn add<E: Enclave>(enclave: &mut E, run: &PageRun<'_>) -> Result<(), RunError> {
    let added = match run.data {
        Some(data) => enclave.add_pages(run.offset, data, run.sec_info, true),
        None => enclave.add_zero_pages(run.offset, run.size_bytes(), run.sec_info),
    };
    added.map_err(|error| step("EADD", error))
}

/// What page tables must allow for a page: a thread control page is written by the CPU.
fn access(sec_info: SecInfo) -> Permissions {
    match sec_info.page_type() {
        Some(PageType::Tcs) => Permissions::RW,
        _ => sec_info.permissions(),
    }
}

/// Joins neighbours with the same permissions, so that each needs one mapping.
fn merged(map: Vec<(u64, u64, Permissions)>) -> Vec<(u64, u64, Permissions)> {
    let mut joined: Vec<(u64, u64, Permissions)> = Vec::new();
    for (offset, size_bytes, permissions) in map {
        match joined.last_mut() {
            Some(last) if last.0 + last.1 == offset && last.2 == permissions => {
                last.1 += size_bytes
            }
            _ => joined.push((offset, size_bytes, permissions)),
        }
    }
    joined
}

fn step(step: &'static str, error: platform::Error) -> RunError {
    RunError::Platform { step, error }
}

#[cfg(test)]
mod tests {
    use abi::Permissions;

    use super::merged;

    #[test]
    fn neighbours_with_the_same_permissions_become_one_mapping() {
        let map = vec![
            (0, 1, Permissions::RW),
            (1, 2, Permissions::RW),
            (3, 1, Permissions::RX),
            (5, 1, Permissions::RX),
        ];

        assert_eq!(
            merged(map),
            [
                (0, 3, Permissions::RW),
                (3, 1, Permissions::RX),
                (5, 1, Permissions::RX)
            ]
        );
    }
}

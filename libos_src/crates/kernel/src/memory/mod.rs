//! The memory of a process: which addresses it has, what backs them, and how the kernel reaches
//! them.

mod advice;
mod area;
mod code;
mod commit;
mod content;
mod copy;
mod cut;
mod edits;
mod foreign;
mod fork;
mod gang;
mod growth;
mod heap;
mod layout;
mod leftovers;
mod listing;
mod locked;
mod map;
mod pages;
mod patch;
mod place;
mod plans;
mod protect;
mod region;
mod remap;
mod residence;
mod saved;
mod share;
mod shared;
mod shortage;
mod smaps;
mod space;
mod spots;
mod store;
mod transfer;
mod turns;
mod unpatch;
mod unsearched;

pub(crate) use advice::Advice;
pub(crate) use area::{Backing, FileBacking, Purpose};
pub(crate) use commit::PageFault;
pub(crate) use cut::CopiedFile;
pub(crate) use gang::{Entry, Gang};
pub(crate) use layout::Layout;
pub(crate) use leftovers::FilePlace;
pub(crate) use map::{Mapping, Placement};
pub use patch::patched_sites;
pub(crate) use place::Place;
pub(crate) use remap::Remapping;
pub(crate) use share::{Rights, SharedMapping};
pub(crate) use shared::{FilePart, SharedFile, SharedPages};
pub(crate) use space::{AREAS_MAX, AddressSpace, Foundation, Paging};

use hal::PAGE_SIZE;

/// The page that holds `address`.
pub(crate) const fn page_floor(address: u64) -> u64 {
    address & !(PAGE_SIZE - 1)
}

/// The first page boundary that is not below `address`; `None` when that is past the last address.
pub(crate) fn page_ceiling(address: u64) -> Option<u64> {
    address.checked_next_multiple_of(PAGE_SIZE)
}

/// The pages that `len` bytes from `address` on are in; `None` when they go past the last address.
pub(crate) fn page_range(address: u64, len: u64) -> Option<core::ops::Range<u64>> {
    let end = page_ceiling(address.checked_add(len)?)?;
    Some(page_floor(address)..end)
}

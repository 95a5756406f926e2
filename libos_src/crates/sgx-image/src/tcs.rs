//! The fields of a TCS that EADD does not take as they are from the page it is given.

use crate::PAGE_BYTES;

/// Fields that EADD clears, and bytes that are reserved without CET, with which it faults
/// (SDM table "Layout of Thread Control Structure").
const ZERO: [(&str, core::ops::Range<usize>); 4] = [
    ("STATE", 0..8),
    ("CSSA", 24..28),
    ("AEP", 40..48),
    ("a reserved byte", 72..PAGE_BYTES),
];

const FLAGS: usize = 8;
const DBGOPTIN: u8 = 1;

/// The first field that must be zero and is not, if any.
///
/// EEXTEND hashes the page after EADD, so such a page could never give the measured hash.
pub(crate) fn field_that_must_be_zero(page: &[u8; PAGE_BYTES]) -> Option<&'static str> {
    if page[FLAGS] & DBGOPTIN != 0 {
        return Some("FLAGS.DBGOPTIN");
    }
    ZERO.iter()
        .find(|(_, bytes)| page[bytes.clone()].iter().any(|&byte| byte != 0))
        .map(|&(name, _)| name)
}

//! The fields of a TCS that EADD does not take from the page it is given.

use crate::PAGE_BYTES;

/// Fields that EADD clears, with their bytes (SDM table "Layout of Thread Control Structure").
const CLEARED: [(&str, core::ops::Range<usize>); 3] =
    [("STATE", 0..8), ("CSSA", 24..28), ("AEP", 40..48)];

const FLAGS: usize = 8;
const DBGOPTIN: u8 = 1;

/// The first field that EADD would set to zero and that is not zero, if any.
///
/// EEXTEND hashes the page after EADD, so such a page could never give the measured hash.
pub(crate) fn field_that_eadd_clears(page: &[u8; PAGE_BYTES]) -> Option<&'static str> {
    if page[FLAGS] & DBGOPTIN != 0 {
        return Some("FLAGS.DBGOPTIN");
    }
    CLEARED
        .iter()
        .find(|(_, bytes)| page[bytes.clone()].iter().any(|&byte| byte != 0))
        .map(|&(name, _)| name)
}

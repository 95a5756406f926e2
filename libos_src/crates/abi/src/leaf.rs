//! Leaf numbers and encodings of ENCLU.

/// EREPORT: make a report of this enclave for another.
pub const EREPORT: u64 = 0;
/// EGETKEY: derive a key of this enclave.
pub const EGETKEY: u64 = 1;
/// EENTER: enter an enclave.
pub const EENTER: u64 = 2;
/// ERESUME: go on after an asynchronous exit.
pub const ERESUME: u64 = 3;
/// EEXIT: leave the enclave.
pub const EEXIT: u64 = 4;
/// EACCEPT: agree to a change that the kernel made to a page.
pub const EACCEPT: u64 = 5;
/// EMODPE: extend the permissions of a page.
pub const EMODPE: u64 = 6;
/// EACCEPTCOPY: agree to a new page and fill it from another.
pub const EACCEPTCOPY: u64 = 7;

/// The three bytes of ENCLU.
pub const ENCLU: [u8; 3] = [0x0f, 0x01, 0xd7];

/// The one form in which this project's enclaves write a leaf that does not return (EEXIT).
///
/// `ud2` after it is never reached; with it the site is as long as a near jump, so that a
/// software platform may replace the site in its own copy after measuring.
pub const ENCLU_EXIT_SITE: [u8; 5] = [0x0f, 0x01, 0xd7, 0x0f, 0x0b];

/// The one form in which this project's enclaves write a leaf that returns.
///
/// The two-byte no-operation makes the site as long as a near call. Each begins at a multiple of eight,
/// so that a platform may replace it in one step while threads run.
pub const ENCLU_RETURN_SITE: [u8; 5] = [0x0f, 0x01, 0xd7, 0x66, 0x90];

//! Names of directory entries.

use core::fmt;
use core::ops::Deref;

use abi::errno::Errno;

use crate::Result;

/// Longest name of a directory entry (`NAME_MAX`).
pub const NAME_MAX_BYTES: usize = 255;
/// Longest path, with its terminating zero (`PATH_MAX`).
pub const PATH_MAX_BYTES: usize = 4096;

/// A checked name of one directory entry: 1 to 255 bytes, without `/` and NUL, not `.` or `..`.
///
/// It is bytes, not text: Linux gives names no encoding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name<'a>(&'a [u8]);

impl<'a> Name<'a> {
    /// Checks `bytes`.
    ///
    /// # Errors
    /// `ENAMETOOLONG` for more than 255 bytes, `EINVAL` for what can never be an entry's name.
    pub fn new(bytes: &'a [u8]) -> Result<Self> {
        if bytes.len() > NAME_MAX_BYTES {
            return Err(Errno::ENAMETOOLONG);
        }
        let reserved = matches!(bytes, b"" | b"." | b"..");
        if reserved || bytes.iter().any(|byte| matches!(byte, b'/' | 0)) {
            return Err(Errno::EINVAL);
        }
        Ok(Self(bytes))
    }

    /// The bytes, with the lifetime of what the name was made from.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}

impl Deref for Name<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0
    }
}

impl fmt::Debug for Name<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "\"{}\"", self.0.escape_ascii())
    }
}

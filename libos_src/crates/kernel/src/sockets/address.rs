//! Addresses of unix sockets (unix(7)).

use alloc::vec::Vec;

use hal::Errno;

/// `AF_UNIX`.
pub(crate) const FAMILY_UNIX: u16 = 1;
/// `AF_NETLINK`.
pub(crate) const FAMILY_NETLINK: u16 = 16;
/// `sizeof(struct sockaddr_un)`.
const RECORD_BYTES: usize = 110;
const FAMILY_BYTES: usize = 2;

/// What a socket is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Address {
    /// It has no name.
    #[default]
    Unnamed,
    /// A path, as it was given.
    Path(Vec<u8>),
    /// A name of its own name space; any bytes.
    Abstract(Vec<u8>),
}

impl Address {
    /// Reads a `struct sockaddr_un` of the length that a program gave.
    pub(crate) fn parse(record: &[u8]) -> Result<Self, Errno> {
        let (family, path) = record
            .split_first_chunk::<FAMILY_BYTES>()
            .filter(|_| record.len() <= RECORD_BYTES)
            .ok_or(Errno::EINVAL)?;
        if u16::from_le_bytes(*family) != FAMILY_UNIX {
            return Err(Errno::EINVAL);
        }
        Ok(match path {
            [] => Self::Unnamed,
            [0, name @ ..] => Self::Abstract(name.to_vec()),
            path => {
                let path = path.split(|&byte| byte == 0).next().unwrap_or(path);
                Self::Path(path.to_vec())
            }
        })
    }

    /// The same as a record.
    pub(crate) fn to_record(&self) -> Vec<u8> {
        let mut record = FAMILY_UNIX.to_le_bytes().to_vec();
        match self {
            Self::Unnamed => {}
            Self::Path(path) => {
                record.extend_from_slice(path);
                record.push(0);
            }
            Self::Abstract(name) => {
                record.push(0);
                record.extend_from_slice(name);
            }
        }
        record
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_says_what_it_was_made_from() {
        let addresses = [
            Address::Unnamed,
            Address::Path(b"/run/a".to_vec()),
            Address::Abstract(b"a\0b".to_vec()),
            Address::Abstract(Vec::new()),
        ];
        for address in addresses {
            assert_eq!(Address::parse(&address.to_record()), Ok(address));
        }
    }

    #[test]
    fn other_families_and_lengths_are_refused() {
        assert_eq!(Address::parse(&[2, 0, 0, 0]), Err(Errno::EINVAL));
        assert_eq!(Address::parse(&[1]), Err(Errno::EINVAL));
        assert_eq!(Address::parse(&[1; 111]), Err(Errno::EINVAL));
        assert_eq!(
            Address::parse(b"\x01\0/a\0rubbish"),
            Ok(Address::Path(b"/a".to_vec()))
        );
    }
}

//! Fields of on-disk structures. All are little endian.

use vfs::{DeviceNumber, Errno, Result};

/// The `N` bytes at `offset` of a structure that may be too short.
fn bytes<const N: usize>(from: &[u8], offset: usize) -> Result<[u8; N]> {
    let end = offset.checked_add(N).ok_or(Errno::EIO)?;
    let field = from.get(offset..end).ok_or(Errno::EIO)?;
    field.try_into().map_err(|_| Errno::EIO)
}

pub(crate) fn u8_at(from: &[u8], offset: usize) -> Result<u8> {
    bytes(from, offset).map(u8::from_le_bytes)
}

pub(crate) fn u16_at(from: &[u8], offset: usize) -> Result<u16> {
    bytes(from, offset).map(u16::from_le_bytes)
}

pub(crate) fn u32_at(from: &[u8], offset: usize) -> Result<u32> {
    bytes(from, offset).map(u32::from_le_bytes)
}

pub(crate) fn u64_at(from: &[u8], offset: usize) -> Result<u64> {
    bytes(from, offset).map(u64::from_le_bytes)
}

/// A device number as `new_encode_dev` of `linux/kdev_t.h` packs it.
pub(crate) fn device_number(encoded: u32) -> DeviceNumber {
    let minor = (encoded & 0xff) | (encoded >> 12 & 0xf_ff00);
    DeviceNumber::new(encoded >> 8 & 0xfff, minor)
}

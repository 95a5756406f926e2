//! Moving bytes to and from memory that is no slice, such as a program's.

use abi::errno::Errno;
use alloc::vec::Vec;

use crate::Result;

/// Where the bytes of a read go.
pub trait Sink {
    /// How many more bytes it takes.
    fn room_bytes(&self) -> usize;

    /// Checks that it can take bytes at all, before they are taken from where they cannot be put
    /// back. It may still refuse them later.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    fn check(&self) -> Result<()>;

    /// Takes `bytes`, which are no more than it has room for.
    ///
    /// # Errors
    /// `EFAULT`, and then it has taken none of them.
    fn put(&mut self, bytes: &[u8]) -> Result<()>;

    /// Takes `parts` one after another, which are together no more than it has room for: how many
    /// bytes it has taken. That is less than all if it refused a part that is not the first.
    ///
    /// # Errors
    /// `EFAULT`, and then it has taken nothing.
    fn put_all(&mut self, parts: &[&[u8]]) -> Result<usize> {
        put_each(self, parts)
    }
}

/// [`Sink::put_all`] by [`put`](Sink::put) for each part.
///
/// # Errors
/// As [`Sink::put_all`].
pub fn put_each<S: Sink + ?Sized>(sink: &mut S, parts: &[&[u8]]) -> Result<usize> {
    let mut taken = 0;
    for part in parts {
        match sink.put(part) {
            Ok(()) => taken += part.len(),
            Err(error) if taken == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(taken)
}

/// Where the bytes of a write come from.
pub trait Source {
    /// How many bytes are left.
    fn left_bytes(&self) -> usize;

    /// Fills `bytes`, which is not longer than what is left, with the next bytes. They are still
    /// left afterwards.
    ///
    /// # Errors
    /// `EFAULT`.
    fn copy(&self, bytes: &mut [u8]) -> Result<()>;

    /// Drops the next `count` bytes: they have been written.
    fn advance(&mut self, count: usize);
}

/// The most that goes through the heap at a time.
pub const CHUNK_BYTES: usize = 64 * 1024;
/// Up to here the stack does.
const SMALL_BYTES: usize = 1024;

/// Reads with `read`, which wants a slice, into `sink`: at most [`CHUNK_BYTES`].
///
/// # Errors
/// What `read` says; `EFAULT`; `ENOMEM`.
pub fn read_through(
    sink: &mut dyn Sink,
    read: impl FnOnce(&mut [u8]) -> Result<usize>,
) -> Result<usize> {
    sink.check()?;
    let length = sink.room_bytes().min(CHUNK_BYTES);
    let move_by = |buffer: &mut [u8]| {
        let count = read(buffer)?;
        sink.put(&buffer[..count])?;
        Ok(count)
    };
    if length <= SMALL_BYTES {
        move_by(&mut [0; SMALL_BYTES][..length])
    } else {
        move_by(&mut zeros(length)?)
    }
}

/// Writes what `source` has with `write`, which wants a slice: at most [`CHUNK_BYTES`].
///
/// # Errors
/// What `write` says; `EFAULT`; `ENOMEM`.
pub fn write_through<T>(
    source: &mut dyn Source,
    write: impl FnOnce(&[u8]) -> Result<(T, usize)>,
) -> Result<(T, usize)> {
    let length = source.left_bytes().min(CHUNK_BYTES);
    let move_by = |buffer: &mut [u8]| {
        source.copy(buffer)?;
        let (value, count) = write(buffer)?;
        source.advance(count);
        Ok((value, count))
    };
    if length <= SMALL_BYTES {
        move_by(&mut [0; SMALL_BYTES][..length])
    } else {
        move_by(&mut zeros(length)?)
    }
}

fn zeros(length: usize) -> Result<Vec<u8>> {
    let mut buffer = Vec::new();
    buffer
        .try_reserve_exact(length)
        .map_err(|_| Errno::ENOMEM)?;
    buffer.resize(length, 0);
    Ok(buffer)
}

impl Sink for &mut [u8] {
    fn room_bytes(&self) -> usize {
        self.len()
    }

    fn check(&self) -> Result<()> {
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        let (taken, rest) = core::mem::take(self).split_at_mut(bytes.len());
        taken.copy_from_slice(bytes);
        *self = rest;
        Ok(())
    }
}

impl Source for &[u8] {
    fn left_bytes(&self) -> usize {
        self.len()
    }

    fn copy(&self, bytes: &mut [u8]) -> Result<()> {
        bytes.copy_from_slice(&self[..bytes.len()]);
        Ok(())
    }

    fn advance(&mut self, count: usize) {
        *self = &self[count..];
    }
}

//! Reading and writing with several buffers.

use alloc::vec::Vec;

use hal::Errno;
use zerocopy::{FromZeros, IntoBytes};

use super::argument::Address;
use super::call::{Call, Outcome};
use super::input_output;
use super::records::Vector;

const VECTORS_MAX: usize = 1024;

/// `readv(2)`.
pub(super) fn readv(call: &mut Call<'_>, fd: i32, vectors: Address, count: u32) -> Outcome {
    for_each(call, vectors, count, |call, vector, _| {
        input_output::read(call, fd, Address(vector.address), vector.len)
    })
}

/// `writev(2)`.
pub(super) fn writev(call: &mut Call<'_>, fd: i32, vectors: Address, count: u32) -> Outcome {
    for_each(call, vectors, count, |call, vector, _| {
        input_output::write(call, fd, Address(vector.address), vector.len)
    })
}

/// `preadv(2)`.
pub(super) fn preadv(
    call: &mut Call<'_>,
    fd: i32,
    vectors: Address,
    count: u32,
    offset: i64,
) -> Outcome {
    for_each(call, vectors, count, |call, vector, done| {
        let at = offset.checked_add_unsigned(done).ok_or(Errno::EINVAL)?;
        input_output::pread64(call, fd, Address(vector.address), vector.len, at)
    })
}

/// `pwritev(2)`.
pub(super) fn pwritev(
    call: &mut Call<'_>,
    fd: i32,
    vectors: Address,
    count: u32,
    offset: i64,
) -> Outcome {
    for_each(call, vectors, count, |call, vector, done| {
        let at = offset.checked_add_unsigned(done).ok_or(Errno::EINVAL)?;
        input_output::pwrite64(call, fd, Address(vector.address), vector.len, at)
    })
}

/// Runs `action` on each buffer that is not empty, until one moves less than it holds.
fn for_each(
    call: &mut Call<'_>,
    vectors: Address,
    count: u32,
    mut action: impl FnMut(&mut Call<'_>, &Vector, u64) -> Outcome,
) -> Outcome {
    let vectors = read_vectors(call, vectors, count)?;
    let mut done = 0;
    let mut is_first = true;
    for vector in vectors.iter().filter(|vector| vector.len != 0) {
        let moved = match action(call, vector, done) {
            Err(_) if !is_first && done > 0 => return Ok(done),
            outcome => outcome?,
        };
        is_first = false;
        done += moved;
        if moved < vector.len {
            break;
        }
    }
    if is_first {
        // Nothing to move, but a bad descriptor is still an error.
        return action(call, &Vector { address: 0, len: 0 }, 0);
    }
    Ok(done)
}

fn read_vectors(call: &Call<'_>, address: Address, count: u32) -> Result<Vec<Vector>, Errno> {
    let count = count as usize;
    if count > VECTORS_MAX {
        return Err(Errno::EINVAL);
    }
    let mut vectors = Vector::new_vec_zeroed(count).map_err(|_| Errno::ENOMEM)?;
    call.memory().copy_in(address.0, vectors.as_mut_bytes())?;
    let mut total = 0u64;
    for vector in &vectors {
        total = total.checked_add(vector.len).ok_or(Errno::EINVAL)?;
    }
    if i64::try_from(total).is_err() {
        Err(Errno::EINVAL)
    } else {
        Ok(vectors)
    }
}

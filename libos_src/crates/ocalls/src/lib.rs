//! What the enclave asks of its host, and whether what the host replies can be.
//!
//! Every OCALL is a method of [`Host`], and every reply passes [`Host::call`]: it is at most what the
//! call can give, or one of the errors that it may fail with; all else, however the host came to it, is
//! `EIO`. What lies in the buffer is copied out once and judged as a copy.
//!
//! How a request travels is the runtime's business: a [`Post`]. So all of this is safe code, which
//! tests on plain Linux have talk to hosts that lie.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod files;
mod services;

use abi::{Errno, ocall::Ocall};

/// One thread's way to its host: a block with numbers, and a buffer beside it. Either may hold
/// anything after a request.
pub trait Post {
    /// The most bytes that one request or reply can carry; none where there is no way.
    fn capacity_bytes(&self) -> usize;
    /// Puts a request's bytes into the buffer: at most its capacity.
    fn put(&self, bytes: &[u8]);
    /// Copies the first bytes of the buffer: at most its capacity.
    fn take(&self, out: &mut [u8]);
    /// Has the host serve a request; its reply as it came. Nothing where there is no way.
    fn send(&self, call: Ocall, arguments: &[u64; 6]) -> Option<i64>;
}

/// The host, behind checks.
#[derive(Clone, Copy, Debug)]
pub struct Host<P> {
    post: P,
}

impl<P: Post> Host<P> {
    /// The host at the other end of `post`.
    pub const fn new(post: P) -> Self {
        Self { post }
    }

    /// Asks, and judges the reply: at most `max`, or one of the errors in `allowed`.
    fn call(
        &self,
        call: Ocall,
        arguments: &[u64],
        max: u64,
        allowed: &[Errno],
    ) -> Result<u64, Errno> {
        let mut all = [0; 6];
        for (to, from) in all.iter_mut().zip(arguments) {
            *to = *from;
        }
        let reply = self.post.send(call, &all).ok_or(Errno::EIO)?;
        if let Ok(value) = u64::try_from(reply) {
            return if value <= max {
                Ok(value)
            } else {
                Err(Errno::EIO)
            };
        }
        match Errno::from_code(reply.saturating_neg()) {
            Some(errno) if allowed.contains(&errno) => Err(errno),
            _ => Err(Errno::EIO),
        }
    }

    /// A call with a reply of zero.
    fn command(&self, call: Ocall, arguments: &[u64], allowed: &[Errno]) -> Result<(), Errno> {
        self.call(call, arguments, 0, allowed).map(drop)
    }
}

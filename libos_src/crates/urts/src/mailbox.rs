//! The memory that one thread of the enclave and its host share.

use abi::ocall::{Ocall, OcallBlock};

/// Bytes that one request or reply can carry.
const BUFFER_SIZE_BYTES: usize = 256 * 1024;

/// A thread's block and buffer, at addresses that do not change while this lives.
///
/// The enclave writes a request while it runs and the host reads it after the enclave has left, so
/// the two never touch the memory at the same time. All access is through raw pointers, as no Rust
/// reference may span a time in which the enclave runs.
pub(crate) struct Mailbox {
    block: *mut OcallBlock,
    buffer: *mut u64,
}

/// A request as the host copied it out of the block.
pub(crate) struct Request {
    /// What is asked for; nothing if the number is unknown.
    pub(crate) call: Option<Ocall>,
    /// The number as it stood there.
    pub(crate) number: u64,
    /// Its arguments.
    pub(crate) arguments: [u64; 6],
}

impl Mailbox {
    /// A new mailbox, all zero but for the address of its buffer.
    pub(crate) fn new() -> Self {
        let buffer: Box<[u64]> = vec![0; BUFFER_SIZE_BYTES / 8].into_boxed_slice();
        let buffer = Box::into_raw(buffer).cast::<u64>();
        let block = Box::into_raw(Box::new(OcallBlock {
            buffer: buffer as u64,
            buffer_size_bytes: BUFFER_SIZE_BYTES as u64,
            ..OcallBlock::default()
        }));
        Self { block, buffer }
    }

    /// What the enclave is told.
    pub(crate) fn address(&self) -> u64 {
        self.block as u64
    }

    /// Reads the request that the enclave left.
    pub(crate) fn request(&self) -> Request {
        // SAFETY: the block is ours and alive; the enclave thread that writes it is not running.
        let block = unsafe { self.block.read_volatile() };
        Request {
            call: Ocall::from_number(block.number),
            number: block.number,
            arguments: block.arguments,
        }
    }

    /// Leaves the reply.
    pub(crate) fn reply(&self, reply: i64) {
        // SAFETY: the block is alive, so a pointer to its field is in bounds.
        let field = unsafe { &raw mut (*self.block).reply };
        // SAFETY: as above; the enclave thread that reads it is not running.
        unsafe { field.write_volatile(reply) };
    }

    /// The whole block.
    #[cfg(feature = "testing")]
    pub(crate) fn block(&self) -> OcallBlock {
        // SAFETY: as in `request`.
        unsafe { self.block.read_volatile() }
    }

    /// Replaces the whole block.
    #[cfg(feature = "testing")]
    pub(crate) fn replace_block(&mut self, block: OcallBlock) {
        // SAFETY: the block is ours and alive; the enclave thread that reads it is not running.
        unsafe { self.block.write_volatile(block) };
    }

    /// The first `length` bytes of the buffer, while the enclave does not run; fewer if it is
    /// shorter.
    pub(crate) fn buffer(&mut self, length: u64) -> &mut [u8] {
        let length =
            usize::try_from(length).map_or(BUFFER_SIZE_BYTES, |l| l.min(BUFFER_SIZE_BYTES));
        // SAFETY: the buffer has BUFFER_SIZE_BYTES bytes, all initialised; `&mut self` keeps every
        // other access of ours away, and the enclave thread runs only after the borrow has ended.
        unsafe { core::slice::from_raw_parts_mut(self.buffer.cast::<u8>(), length) }
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        // SAFETY: made by `Box::into_raw` in `new`, and freed nowhere else.
        drop(unsafe { Box::from_raw(self.block) });
        let words = core::ptr::slice_from_raw_parts_mut(self.buffer, BUFFER_SIZE_BYTES / 8);
        // SAFETY: as above, with the length that `new` gave it.
        drop(unsafe { Box::from_raw(words) });
    }
}

#[cfg(test)]
mod tests {
    use super::Mailbox;

    #[test]
    fn a_reply_does_not_disturb_the_request() {
        let mailbox = Mailbox::new();

        mailbox.reply(-5);

        let request = mailbox.request();
        assert_eq!(request.number, 0);
        assert_eq!(request.arguments, [0; 6]);
    }

    #[test]
    fn the_buffer_is_never_longer_than_it_is() {
        let mut mailbox = Mailbox::new();

        assert_eq!(mailbox.buffer(u64::MAX).len(), super::BUFFER_SIZE_BYTES);
        assert_eq!(mailbox.buffer(3).len(), 3);
    }
}

//! One thread's way to ask the host.

use core::mem::offset_of;

use abi::{
    Errno,
    ocall::{Ocall, OcallBlock},
    thread::page,
};

use crate::{entry, thread::ThreadPage, untrusted::HostRange};

/// The calling thread's block and buffer in host memory, checked when the thread entered.
pub(crate) struct Mailbox {
    block: HostRange,
    buffer: HostRange,
}

impl Mailbox {
    /// Judges the block that the host named at entry, and keeps it in the thread page.
    pub(crate) fn open(block_address: u64) -> Option<()> {
        let block = HostRange::new(block_address, size_of::<OcallBlock>() as u64)?;
        let buffer = HostRange::new(
            block.read_word(offset_of!(OcallBlock, buffer) as u64),
            block.read_word(offset_of!(OcallBlock, buffer_size_bytes) as u64),
        )?;
        if buffer.size_bytes() < 4096 || !buffer.size_bytes().is_multiple_of(8) {
            return None;
        }
        let thread = ThreadPage::current();
        thread.set(page::OCALL_BLOCK, block.address());
        thread.set(page::OCALL_BUFFER, buffer.address());
        thread.set(page::OCALL_BUFFER_SIZE, buffer.size_bytes());
        Some(())
    }

    /// That of the calling thread, if it has been opened.
    pub(crate) fn current() -> Option<Self> {
        let thread = ThreadPage::current();
        let block_address = thread.get(page::OCALL_BLOCK);
        if block_address == 0 {
            return None;
        }
        Some(Self {
            block: HostRange::new(block_address, size_of::<OcallBlock>() as u64)?,
            buffer: HostRange::new(
                thread.get(page::OCALL_BUFFER),
                thread.get(page::OCALL_BUFFER_SIZE),
            )?,
        })
    }

    /// The most bytes that one request or reply can carry.
    pub(crate) fn capacity_bytes(&self) -> usize {
        self.buffer.size_bytes() as usize
    }

    /// Puts a request's bytes into the buffer.
    pub(crate) fn put(&self, bytes: &[u8]) {
        self.buffer.write(bytes);
    }

    /// Takes a reply's bytes from the buffer: one copy, which the caller then judges.
    pub(crate) fn take(&self, out: &mut [u8]) {
        self.buffer.read(out);
    }

    /// Asks, and judges the reply: at most `max`, or one of the errors in `allowed`. Everything
    /// else, however the host came to it, is `EIO`.
    pub(crate) fn call(
        &self,
        call: Ocall,
        arguments: &[u64],
        max: u64,
        allowed: &[Errno],
    ) -> Result<u64, Errno> {
        self.block
            .write_word(offset_of!(OcallBlock, number) as u64, call as u64);
        for index in 0..6 {
            let value = arguments.get(index).copied().unwrap_or(0);
            let offset = offset_of!(OcallBlock, arguments) + index * 8;
            self.block.write_word(offset as u64, value);
        }
        // SAFETY: the mailbox is open, so the host's stack and return address are in the thread
        // page; the entry code brings the thread back with all callee-saved state.
        unsafe { entry::enclave_ocall() };
        let reply = self.block.read_word(offset_of!(OcallBlock, reply) as u64) as i64;
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
}

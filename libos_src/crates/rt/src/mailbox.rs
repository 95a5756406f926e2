//! One thread's way to ask the host.

use core::mem::offset_of;

use abi::{
    ocall::{Ocall, OcallBlock},
    thread::page,
};
use ocalls::{Host, Post};

use crate::{boot, entry, thread::ThreadPage, untrusted::HostRange};

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
    fn current() -> Option<Self> {
        let thread = ThreadPage::current();
        let block_address = thread.get(page::OCALL_BLOCK);
        if block_address == 0 {
            return None;
        }
        Some(Self {
            block: HostRange::known(block_address, size_of::<OcallBlock>() as u64)?,
            buffer: HostRange::known(
                thread.get(page::OCALL_BUFFER),
                thread.get(page::OCALL_BUFFER_SIZE),
            )?,
        })
    }
}

/// The way to the host of whichever thread asks.
#[derive(Clone, Copy)]
pub(crate) struct Mailboxes;

/// The host of this enclave, behind checks.
pub(crate) static HOST: Host<Mailboxes> = Host::new(Mailboxes);

impl Post for Mailboxes {
    fn capacity_bytes(&self) -> usize {
        Mailbox::current().map_or(0, |mailbox| mailbox.buffer.size_bytes() as usize)
    }

    fn put(&self, bytes: &[u8]) {
        if let Some(mailbox) = Mailbox::current() {
            mailbox.buffer.write(bytes);
        }
    }

    fn take(&self, out: &mut [u8]) {
        if let Some(mailbox) = Mailbox::current() {
            mailbox.buffer.read(out);
        }
    }

    fn send(&self, call: Ocall, arguments: &[u64; 6]) -> Option<i64> {
        let block = Mailbox::current()?.block;
        block.write_word(offset_of!(OcallBlock, number) as u64, call as u64);
        for (index, value) in arguments.iter().enumerate() {
            let offset = offset_of!(OcallBlock, arguments) + index * 8;
            block.write_word(offset as u64, *value);
        }
        loop {
            // SAFETY: the mailbox is open, so the host's stack and return address are in the thread
            // page; the entry code brings the thread back with all callee-saved state.
            unsafe { entry::enclave_ocall() };
            if !boot::is_over() {
                break;
            }
            // Nothing is asked twice that could do something.
            block.write_word(offset_of!(OcallBlock, number) as u64, Ocall::Yield as u64);
        }
        Some(block.read_word(offset_of!(OcallBlock, reply) as u64) as i64)
    }
}

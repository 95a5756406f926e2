//! What a machine offers to run an enclave: the kernel's SGX interface, and nothing lower.
//!
//! Two crates implement it: `plat-sgx` on `/dev/sgx_enclave` and the vDSO, `plat-sim` in software.
//! `urts` is written against it and cannot tell which one it has.
#![forbid(unsafe_code)]

mod error;

pub use abi::{PageType, Permissions, SIGSTRUCT_SIZE, SecInfo, Secs, SgxError};
pub use error::Error;

/// What a call on a platform gives.
pub type Result<T> = core::result::Result<T, Error>;

/// What the machine can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Pages can be added, changed and removed after EINIT.
    pub dynamic_memory: bool,
    /// Extended state that ATTRIBUTES.XFRM may name.
    pub xfrm: u64,
    /// Bits that MISCSELECT may have.
    pub misc_select: u32,
    /// Largest enclave.
    pub max_size_bytes: u64,
}

/// A kind of machine that runs enclaves.
pub trait Platform: Send + Sync {
    /// An enclave on it.
    type Enclave: Enclave;

    /// What the user calls it: `sgx` or `sim`.
    fn name(&self) -> &'static str;

    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// ECREATE: reserves the range that `secs` names. The enclave has no pages yet.
    ///
    /// # Errors
    /// If the range is taken, or the platform cannot honour a field of `secs`.
    fn create(&self, secs: &Secs) -> Result<Self::Enclave>;
}

/// One enclave. Offsets are from its base, in bytes, multiples of a page.
pub trait Enclave: Send + Sync + 'static {
    /// A host thread that may enter it.
    type Thread: Thread;

    /// EADD, and EEXTEND if `measure`, of whole pages with these contents.
    ///
    /// # Errors
    /// If the pages are outside the enclave, already there, or their SECINFO is not legal.
    fn add_pages(
        &mut self,
        offset: u64,
        data: &[u8],
        secinfo: SecInfo,
        measure: bool,
    ) -> Result<()>;

    /// EADD of zero pages without EEXTEND. Their content is not part of the measurement.
    ///
    /// # Errors
    /// As [`Enclave::add_pages`].
    fn add_zero_pages(&mut self, offset: u64, len_bytes: u64, secinfo: SecInfo) -> Result<()> {
        static RUN: [u8; 64 * 1024] = [0; 64 * 1024];
        let end = offset.saturating_add(len_bytes);
        let mut at = offset;
        while at < end {
            let run = (end - at).min(RUN.len() as u64);
            self.add_pages(at, &RUN[..run as usize], secinfo, false)?;
            at += run;
        }
        Ok(())
    }

    /// EINIT: checks SIGSTRUCT against the measurement and the SECS. No page can be added after.
    ///
    /// # Errors
    /// [`Error::Refused`] with the error that the instruction gives.
    fn init(&mut self, sigstruct: &[u8; SIGSTRUCT_SIZE]) -> Result<()>;

    /// Sets what the page tables allow in a range, as `mmap` and `mprotect` of the device do.
    /// What the enclave's own permissions forbid stays forbidden.
    ///
    /// # Errors
    /// If the range is outside the enclave.
    fn map(&self, offset: u64, len_bytes: u64, permissions: Permissions) -> Result<()>;

    /// EMODPR: takes permissions away; the enclave must then EACCEPT. Gives the bytes done.
    ///
    /// # Errors
    /// If a page is missing or waits for something else.
    fn restrict_permissions(
        &self,
        offset: u64,
        len_bytes: u64,
        permissions: Permissions,
    ) -> Result<u64>;

    /// EMODT: changes the type; the enclave must then EACCEPT. Gives the bytes done.
    ///
    /// # Errors
    /// If a page is missing or waits for something else.
    fn modify_type(&self, offset: u64, len_bytes: u64, page_type: PageType) -> Result<u64>;

    /// EREMOVE of trimmed pages that the enclave accepted. Gives the bytes done.
    ///
    /// # Errors
    /// If a page is not trimmed and accepted.
    fn remove_pages(&self, offset: u64, len_bytes: u64) -> Result<u64>;

    /// Makes the calling host thread one that may enter through this TCS.
    ///
    /// The caller must have asynchronous signals blocked from before this call until it returns,
    /// and again before the thread is dropped: a handler must never find a half-attached thread.
    ///
    /// # Errors
    /// If the page is no TCS, or the thread is attached already.
    fn attach_thread(&self, tcs_offset: u64) -> Result<Self::Thread>;
}

/// EENTER or ERESUME.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnterLeaf {
    /// Begin at the entry point, with the current SSA index.
    Enter,
    /// Continue what the last asynchronous exit interrupted.
    Resume,
}

/// The registers that EENTER leaves as they are. RCX is the return address and no argument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "registers bear their architectural names")]
pub struct EntryRegisters {
    pub rdi: u64,
    pub rsi: u64,
    pub rdx: u64,
    pub r8: u64,
    pub r9: u64,
}

/// The signal with which one host thread interrupts another: `SIGURG`, which does nothing to a
/// thread that is not attached to an enclave. A platform handles it from the first attachment on.
pub const INTERRUPT_SIGNAL: i32 = 23;

/// Why a thread left the enclave. Other interrupts are resumed by the platform and never seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The enclave executed EEXIT, with these registers.
    Eexit {
        /// First value, by our convention the kind of exit.
        rdi: u64,
        /// Second value, its argument.
        rsi: u64,
    },
    /// An exception stopped the thread; its registers are in the SSA.
    Exception {
        /// The exception's vector.
        vector: u8,
        /// The exception's error code.
        error: u16,
        /// The faulting page of #PF: its low twelve bits are zero.
        address: u64,
    },
    /// [`INTERRUPT_SIGNAL`] stopped the thread, or kept it from going on; its registers are in the
    /// SSA. It may come late and for nothing. A platform that can enter the enclave's handler by
    /// itself does so instead.
    Interrupt,
}

/// Counts that a platform keeps for one thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Counters {
    /// Asynchronous exits for an exception.
    pub exceptions: u64,
    /// Asynchronous exits for an interrupt, if the platform can see them.
    pub interrupts: u64,
    /// Leaves of ENCLU that the platform emulated.
    pub enclu_leaves: u64,
    /// System calls of code in the enclave that reached the host's kernel. Anything but 0 is a
    /// defect of a software platform; hardware cannot do it.
    pub leaked_syscalls: u64,
    /// EEXITs that left something of the enclave in a register that carries none of the two values. As
    /// above, of the enclave.
    pub unclean_exits: u64,
}

/// A host thread attached to one TCS. It belongs to the host thread that attached it.
pub trait Thread {
    /// Enters or resumes, and comes back when the thread has left.
    ///
    /// # Errors
    /// If the entry itself was refused: a busy TCS, no SSA frame left, nothing to resume.
    fn enter(&mut self, leaf: EnterLeaf, registers: EntryRegisters) -> Result<Exit>;

    /// What was counted so far.
    fn counters(&self) -> Counters {
        Counters::default()
    }
}

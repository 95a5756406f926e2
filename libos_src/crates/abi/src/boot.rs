//! What the builder tells the enclave about itself, in its measured pages.

use core::mem::{offset_of, size_of};

/// The first bytes of the CONFIG region. All values are little endian, all addresses are absolute
/// (which is the same as relative: the enclave's base is 0).
///
/// The page is measured and read-only, so the enclave trusts it. The builder writes the same
/// layout in `occlum_build/sgx/boot.py`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct BootInfo {
    /// [`BootInfo::MAGIC`].
    pub magic: u64,
    /// [`BootInfo::VERSION`].
    pub version: u64,
    /// Size of the enclave's range, a power of two.
    pub enclave_size_bytes: u64,
    /// First address that programs may use.
    pub user_start: u64,
    /// Size of the range of addresses that programs may use, whether they have memory or not.
    pub user_size_bytes: u64,
    /// First address of the LibOS.
    pub libos_start: u64,
    /// Size of the LibOS, from its first to its last page.
    pub libos_size_bytes: u64,
    /// Address of the sealed configuration.
    pub config_start: u64,
    /// Length of the sealed configuration, without padding.
    pub config_size_bytes: u64,
    /// Address of the first thread block.
    pub threads_start: u64,
    /// Distance between thread blocks.
    pub thread_stride_bytes: u64,
    /// Number of thread blocks.
    pub thread_count: u64,
    /// First address of the LibOS's heap.
    pub heap_start: u64,
    /// Size of the LibOS's heap.
    pub heap_size_bytes: u64,
    /// [`BootInfo::MEMORY_SGX1`] or [`BootInfo::MEMORY_EDMM`].
    pub memory_model: u64,
    /// Size of each thread's kernel stack.
    pub kernel_stack_size_bytes: u64,
    /// Size of each thread's exception stack.
    pub exception_stack_size_bytes: u64,
    /// The entry point as the builder placed it; the entry code compares it with where it runs.
    pub entry_address: u64,
    /// How much of the programs' range, from its start on, is added before EINIT: all the memory
    /// that there is with SGX1, none with EDMM.
    pub user_added_bytes: u64,
}

impl BootInfo {
    /// `OCCLUMBI` in ASCII.
    pub const MAGIC: u64 = u64::from_le_bytes(*b"OCCLUMBI");
    /// The layout described here.
    pub const VERSION: u64 = 2;
    /// All memory of the program is added before EINIT.
    pub const MEMORY_SGX1: u64 = 0;
    /// Memory of the program is added when it asks for it.
    pub const MEMORY_EDMM: u64 = 1;

    /// The structure as it stands in memory.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; size_of::<Self>()] {
        let words = [
            self.magic,
            self.version,
            self.enclave_size_bytes,
            self.user_start,
            self.user_size_bytes,
            self.libos_start,
            self.libos_size_bytes,
            self.config_start,
            self.config_size_bytes,
            self.threads_start,
            self.thread_stride_bytes,
            self.thread_count,
            self.heap_start,
            self.heap_size_bytes,
            self.memory_model,
            self.kernel_stack_size_bytes,
            self.exception_stack_size_bytes,
            self.entry_address,
            self.user_added_bytes,
        ];
        let mut bytes = [0; size_of::<Self>()];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}

const _: () = {
    assert!(size_of::<BootInfo>() == 152);
    assert!(offset_of!(BootInfo, user_start) == 24);
    assert!(offset_of!(BootInfo, config_start) == 56);
    assert!(offset_of!(BootInfo, threads_start) == 72);
    assert!(offset_of!(BootInfo, heap_start) == 96);
    assert!(offset_of!(BootInfo, memory_model) == 112);
    assert!(offset_of!(BootInfo, entry_address) == 136);
    assert!(offset_of!(BootInfo, user_added_bytes) == 144);
};

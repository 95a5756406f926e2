//! TCS: the control structure of one enclave thread.

use core::mem::{offset_of, size_of};

/// The architectural fields of a TCS page, SDM table "Layout of Thread Control Structure (TCS)".
///
/// All offsets are relative to the enclave's base. The rest of the page is reserved and zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Tcs {
    /// Reserved; hardware keeps the state of the thread here.
    pub state: u64,
    /// Bit 0 DBGOPTIN, bit 1 AEXNOTIFY.
    pub flags: u64,
    /// Offset of the first SSA frame.
    pub ssa_offset: u64,
    /// Index of the SSA frame that the next asynchronous exit uses.
    pub current_ssa: u32,
    /// Number of SSA frames.
    pub ssa_count: u32,
    /// Offset of the entry point.
    pub entry_offset: u64,
    /// Reserved; hardware keeps the AEP here.
    pub aep: u64,
    /// Offset that becomes FS base at entry.
    pub fs_offset: u64,
    /// Offset that becomes GS base at entry.
    pub gs_offset: u64,
    /// FS limit, of no meaning in 64-bit mode.
    pub fs_limit: u32,
    /// GS limit, of no meaning in 64-bit mode.
    pub gs_limit: u32,
}

const _: () = {
    assert!(size_of::<Tcs>() == 72);
    assert!(offset_of!(Tcs, ssa_offset) == 16);
    assert!(offset_of!(Tcs, ssa_count) == 28);
    assert!(offset_of!(Tcs, entry_offset) == 32);
    assert!(offset_of!(Tcs, fs_offset) == 48);
    assert!(offset_of!(Tcs, gs_limit) == 68);
};

impl Tcs {
    /// The first 72 bytes of the page.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 72] {
        let words = [
            self.state,
            self.flags,
            self.ssa_offset,
            u64::from(self.current_ssa) | (u64::from(self.ssa_count) << 32),
            self.entry_offset,
            self.aep,
            self.fs_offset,
            self.gs_offset,
            u64::from(self.fs_limit) | (u64::from(self.gs_limit) << 32),
        ];
        let mut bytes = [0; 72];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// The fields in the first 72 bytes of a page. Nothing is judged.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 72]) -> Self {
        let mut words = [0; 9];
        for (word, chunk) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*chunk);
        }
        let [
            state,
            flags,
            ssa_offset,
            ssa,
            entry_offset,
            aep,
            fs_offset,
            gs_offset,
            limits,
        ] = words;
        Self {
            state,
            flags,
            ssa_offset,
            current_ssa: ssa as u32,
            ssa_count: (ssa >> 32) as u32,
            entry_offset,
            aep,
            fs_offset,
            gs_offset,
            fs_limit: limits as u32,
            gs_limit: (limits >> 32) as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Tcs;

    #[test]
    fn a_tcs_survives_its_bytes() {
        let tcs = Tcs {
            ssa_offset: 0x1000,
            ssa_count: 3,
            entry_offset: 0x20_0000,
            gs_offset: 0x4000,
            fs_limit: 0xfff,
            gs_limit: 0xffe,
            ..Tcs::default()
        };
        assert_eq!(Tcs::from_bytes(&tcs.to_bytes()), tcs);
        assert_eq!(tcs.to_bytes()[28], 3);
    }
}

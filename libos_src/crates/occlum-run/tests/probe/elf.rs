//! Just enough of ELF to lay out the probe.

/// One loadable segment.
pub(crate) struct Segment {
    pub(crate) address: u64,
    pub(crate) memory_size: u64,
    pub(crate) flags: u32,
    pub(crate) data: Vec<u8>,
}

/// A static PIE, relocated to an address.
pub(crate) struct Elf {
    pub(crate) entry: u64,
    pub(crate) segments: Vec<Segment>,
}

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const DT_RELA: u64 = 7;
const DT_RELASZ: u64 = 8;
const R_X86_64_RELATIVE: u64 = 8;

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(bytes[offset..offset + 8].try_into().expect("eight bytes"))
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(bytes[offset..offset + 4].try_into().expect("four bytes"))
}

impl Elf {
    /// Reads the file and applies its relocations for `base`.
    pub(crate) fn load(file: &[u8], base: u64) -> Self {
        let headers = u64_at(file, 32) as usize;
        let count = usize::from(u16::from_le_bytes([file[56], file[57]]));
        let mut segments = Vec::new();
        let mut dynamic = Vec::new();
        for header in (0..count).map(|index| headers + index * 56) {
            let offset = u64_at(file, header + 8) as usize;
            let size = u64_at(file, header + 32) as usize;
            let data = file[offset..offset + size].to_vec();
            match u32_at(file, header) {
                PT_LOAD => segments.push(Segment {
                    address: base + u64_at(file, header + 16),
                    memory_size: u64_at(file, header + 40),
                    flags: u32_at(file, header + 4),
                    data,
                }),
                PT_DYNAMIC => dynamic = data,
                _ => {}
            }
        }
        let mut elf = Self {
            entry: base + u64_at(file, 24),
            segments,
        };
        elf.relocate(&dynamic, base);
        elf
    }

    fn relocate(&mut self, dynamic: &[u8], base: u64) {
        let entry = |tag| {
            let mut entries = dynamic.chunks_exact(16);
            entries
                .find(|entry| u64_at(entry, 0) == tag)
                .map(|entry| u64_at(entry, 8))
        };
        let (Some(start), Some(size)) = (entry(DT_RELA), entry(DT_RELASZ)) else {
            return;
        };
        let table = self.at(base + start)[..size as usize].to_vec();
        for relocation in table.chunks_exact(24) {
            assert_eq!(u64_at(relocation, 8), R_X86_64_RELATIVE);
            let value = base + u64_at(relocation, 16);
            let place = self.at(base + u64_at(relocation, 0));
            place[..8].copy_from_slice(&value.to_le_bytes());
        }
    }

    fn at(&mut self, address: u64) -> &mut [u8] {
        let segment = self
            .segments
            .iter_mut()
            .find(|s| (s.address..s.address + s.data.len() as u64).contains(&address))
            .expect("the address is in a segment");
        let offset = (address - segment.address) as usize;
        &mut segment.data[offset..]
    }
}

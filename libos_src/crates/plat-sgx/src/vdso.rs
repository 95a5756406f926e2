//! Finding a function of the vDSO, the small library that the kernel maps into each process.
//!
//! glibc offers no lookup that works without `dlopen`, so the image is read here. It comes from
//! the kernel; still, nothing in it is followed out of bounds.

use core::ptr::NonNull;
use core::slice;

/// The address of a function of this process's vDSO, if it has one of that name.
pub(crate) fn function(name: &str) -> Option<NonNull<u8>> {
    // SAFETY: reads a value that the kernel gave to the process; no pointer is followed.
    let base = unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) };
    let base = NonNull::new(core::ptr::with_exposed_provenance_mut::<u8>(base as usize))?;
    let offset = Image(this_process(base)).symbol(name)?;
    // SAFETY: `symbol` gives an offset inside the image, and the image is one mapping.
    Some(unsafe { base.add(offset) })
}

/// The vDSO of this process, which is mapped at `base` for as long as it lives.
fn this_process(base: NonNull<u8>) -> &'static [u8] {
    const SMALLEST_IMAGE: usize = 4096;
    // SAFETY: the kernel maps at least a page at AT_SYSINFO_EHDR, readable and never written.
    let first_page = unsafe { slice::from_raw_parts(base.as_ptr(), SMALLEST_IMAGE) };
    match Image(first_page).load_size() {
        // SAFETY: the kernel maps the whole of the load segment, as above.
        Some(size) => unsafe { slice::from_raw_parts(base.as_ptr(), size) },
        None => first_page,
    }
}

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const DT_NULL: u64 = 0;
const DT_HASH: u64 = 4;
const DT_STRTAB: u64 = 5;
const DT_SYMTAB: u64 = 6;
const DT_GNU_HASH: u64 = 0x6fff_fef5;
const SHN_UNDEF: u16 = 0;

const DYNAMIC_ENTRY_BYTES: usize = 16;
const SYMBOL_BYTES: usize = 24;

/// An ELF64 image as it lies in memory, so that virtual addresses are offsets.
#[derive(Clone, Copy)]
struct Image<'a>(&'a [u8]);

impl<'a> Image<'a> {
    /// Where the defined symbol of this name lies.
    fn symbol(self, name: &str) -> Option<usize> {
        let symbols = self.dynamic(DT_SYMTAB)?;
        let strings = self.dynamic(DT_STRTAB)?;
        (0..self.symbol_count()?)
            .filter_map(|index| symbols.checked_add(index * SYMBOL_BYTES))
            .find(|&symbol| {
                self.u16(symbol + 6)
                    .is_some_and(|section| section != SHN_UNDEF)
                    && self.string_is(strings, symbol, name)
            })
            .and_then(|symbol| self.u64(symbol + 8))
            .and_then(|value| usize::try_from(value).ok())
            .filter(|&value| value != 0 && value < self.0.len())
    }

    fn string_is(self, strings: usize, symbol: usize, name: &str) -> bool {
        self.u32(symbol)
            .and_then(|start| self.0.get(strings.checked_add(start as usize)?..))
            .and_then(|string| string.strip_prefix(name.as_bytes()))
            .is_some_and(|rest| rest.first() == Some(&0))
    }

    /// The number of symbols, which only the hash tables know.
    fn symbol_count(self) -> Option<usize> {
        match self.dynamic(DT_HASH) {
            Some(table) => self.u32(table + 4).map(|count| count as usize),
            None => self.symbol_count_of_gnu_hash(self.dynamic(DT_GNU_HASH)?),
        }
    }

    /// The end of the chain of the highest bucket.
    fn symbol_count_of_gnu_hash(self, table: usize) -> Option<usize> {
        let bucket_count = self.u32(table)? as usize;
        let first_symbol = self.u32(table + 4)? as usize;
        let bloom_words = self.u32(table + 8)? as usize;
        let buckets = table + 16 + bloom_words * 8;
        let chains = buckets + bucket_count * 4;
        let mut symbol = (0..bucket_count)
            .filter_map(|index| self.u32(buckets + index * 4))
            .max()? as usize;
        while self.u32(chains + symbol.checked_sub(first_symbol)? * 4)? & 1 == 0 {
            symbol += 1;
        }
        Some(symbol + 1)
    }

    /// A value of the dynamic section.
    fn dynamic(self, tag: u64) -> Option<usize> {
        let (_, start, size) = self.segments()?.find(|&(kind, ..)| kind == PT_DYNAMIC)?;
        (start..start.checked_add(size)?)
            .step_by(DYNAMIC_ENTRY_BYTES)
            .map_while(|entry| Some((self.u64(entry)?, self.u64(entry + 8)?)))
            .take_while(|&(found, _)| found != DT_NULL)
            .find(|&(found, _)| found == tag)
            .and_then(|(_, value)| usize::try_from(value).ok())
            .filter(|&value| value < self.0.len())
    }

    /// How many bytes the image covers, if it is one that starts at virtual address zero.
    fn load_size(self) -> Option<usize> {
        let mut loads = self.segments()?.filter(|&(kind, ..)| kind == PT_LOAD);
        match (loads.next(), loads.next()) {
            (Some((_, 0, size)), None) => Some(size),
            _ => None,
        }
    }

    /// Type, virtual address and size in memory of each program header.
    fn segments(self) -> Option<impl Iterator<Item = (u32, usize, usize)> + use<'a>> {
        const ELF64_LITTLE_ENDIAN: &[u8] = b"\x7fELF\x02\x01";
        if !self.0.starts_with(ELF64_LITTLE_ENDIAN) {
            return None;
        }
        let table = usize::try_from(self.u64(32)?).ok()?;
        let (entry_bytes, count) = (usize::from(self.u16(54)?), usize::from(self.u16(56)?));
        let entries = (0..count).filter_map(move |index| table.checked_add(index * entry_bytes));
        Some(entries.map_while(move |entry| {
            let address = usize::try_from(self.u64(entry.checked_add(16)?)?).ok()?;
            let size = usize::try_from(self.u64(entry.checked_add(40)?)?).ok()?;
            Some((self.u32(entry)?, address, size))
        }))
    }

    fn u16(self, at: usize) -> Option<u16> {
        self.bytes(at).map(u16::from_le_bytes)
    }

    fn u32(self, at: usize) -> Option<u32> {
        self.bytes(at).map(u32::from_le_bytes)
    }

    fn u64(self, at: usize) -> Option<u64> {
        self.bytes(at).map(u64::from_le_bytes)
    }

    fn bytes<const N: usize>(self, at: usize) -> Option<[u8; N]> {
        self.0.get(at..)?.first_chunk().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> (NonNull<u8>, Image<'static>) {
        // SAFETY: as in `function`.
        let base = unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) };
        let base = NonNull::new(core::ptr::with_exposed_provenance_mut(base as usize));
        let base = base.expect("every x86-64 Linux has a vDSO");
        (base, Image(this_process(base)))
    }

    #[test]
    fn a_function_of_this_machines_vdso_is_found_and_works() {
        let address = function("__vdso_time").expect("every x86-64 vDSO has it");
        // SAFETY: `time_t __vdso_time(time_t *)` of the kernel's vDSO.
        let time =
            unsafe { core::mem::transmute::<NonNull<u8>, extern "C" fn(*mut i64) -> i64>(address) };
        let seconds = time(core::ptr::null_mut());
        let now = std::time::SystemTime::UNIX_EPOCH
            .elapsed()
            .expect("the clock is set");
        assert!(now.as_secs().abs_diff(seconds as u64) < 60);
    }

    #[test]
    fn a_name_must_match_whole() {
        for name in ["__vdso_tim", "__vdso_time_", "_vdso_time", "", "LINUX_2.7"] {
            assert_eq!(function(name), None, "{name:?}");
        }
    }

    #[test]
    fn both_hash_tables_count_the_same_symbols() {
        let (_, image) = image();
        let (Some(hash), Some(gnu)) = (image.dynamic(DT_HASH), image.dynamic(DT_GNU_HASH)) else {
            println!("skipped: this vDSO has only one hash table");
            return;
        };
        let count = image.u32(hash + 4).map(|count| count as usize);
        assert_eq!(image.symbol_count_of_gnu_hash(gnu), count);
    }

    #[test]
    fn the_image_ends_where_its_mapping_ends() {
        let (base, image) = image();
        let maps = std::fs::read_to_string("/proc/self/maps").expect("proc is mounted");
        let line = maps
            .lines()
            .find(|line| line.ends_with("[vdso]"))
            .expect("it is mapped");
        let (start, rest) = line.split_once('-').expect("a range");
        let end = rest.split_once(' ').expect("a range").0;
        let parse = |text| usize::from_str_radix(text, 16).expect("hexadecimal");
        assert_eq!(parse(start), base.as_ptr() as usize);
        assert_eq!(
            parse(end) - parse(start),
            image.0.len().next_multiple_of(4096)
        );
    }

    #[test]
    fn a_damaged_image_is_never_read_out_of_bounds() {
        let (_, image) = image();
        let whole = image.symbol("__vdso_time");
        for length in 0..image.0.len() {
            let found = Image(&image.0[..length]).symbol("__vdso_time");
            assert!(found.is_none() || found == whole);
        }
        let mut damaged = image.0.to_vec();
        for index in 0..damaged.len().min(0x800) {
            for value in [0x00, 0x7f, 0xff] {
                let before = core::mem::replace(&mut damaged[index], value);
                if let Some(found) = Image(&damaged).symbol("__vdso_time") {
                    assert!(found < damaged.len());
                }
                let _ = Image(&damaged).load_size();
                damaged[index] = before;
            }
        }
    }
}

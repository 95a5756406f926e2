//! Taking jumps out of text, where a program puts something else at the addresses of their stubs.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use hal::{Errno, NoMemory, Prot};
use patcher::Placed;

use super::area::{Area, Backing};
use super::space::{AddressSpace, Books};

impl AddressSpace {
    /// Whether jumps lead into a range from text that is not all in it.
    pub(crate) fn has_stubs_in(&self, range: &Range<u64>) -> bool {
        let books = self.books.read();
        books.stubs_of_others(range, range).is_some()
    }

    /// Takes the jumps that lead into a range out of their texts, and the stubs away; returns the texts.
    /// The calling thread is the only one that runs here, and no other was stopped in a stub.
    ///
    /// # Errors
    /// `ENOMEM` when a text would have to be kept twice, for which there is no memory.
    pub(crate) fn unpatch(&self, range: &Range<u64>) -> Result<Vec<Range<u64>>, Errno> {
        let mut books = self.books.write();
        let mut texts = Vec::new();
        while let Some((text, stubs, placed)) = books.patched_into(range) {
            self.restore(&books, &text, &placed)
                .map_err(|_| Errno::ENOMEM)?;
            books.forget_patched(&text);
            self.discard(&mut books, &stubs);
            texts.push(text);
        }
        Ok(texts)
    }

    /// Patches texts again of which [`unpatch`](Self::unpatch) took the jumps out.
    pub(crate) fn patch_again(&self, texts: &[Range<u64>]) {
        let mut books = self.books.write();
        for text in texts {
            self.patch_text(&mut books, text, false);
        }
    }

    /// Puts what the file has back where a text still has its jumps.
    fn restore(&self, books: &Books, text: &Range<u64>, placed: &Placed) -> Result<(), NoMemory> {
        let writable = Prot::READ | Prot::WRITE;
        let runs = books.file_runs(text);
        for (run, _) in &runs {
            self.set_prot(run, writable)?;
        }
        let long = placed.jumps().map(|(at, jump)| (at, jump.to_vec()));
        let short = placed.short_jumps().map(|(at, jump)| (at, jump.to_vec()));
        let jumps: BTreeMap<u64, Vec<u8>> = long.chain(short).collect();
        let is_there = |at: u64| {
            let Some(jump) = jumps.get(&at) else {
                return false;
            };
            let mut found = vec![0; jump.len()];
            let part = at..at + jump.len() as u64;
            let is_text = |(run, _): &(Range<u64>, Prot)| run.start <= at && part.end <= run.end;
            runs.iter().any(is_text)
                && self.machine.copy_in(at, &mut found).is_ok()
                && found == *jump
        };
        for (at, original) in placed.originals() {
            if is_there(at) {
                self.machine.copy_out(at, original).map_err(|_| NoMemory)?;
            }
        }
        for padding in placed.padding() {
            let found = books.areas.find(padding.start);
            let Some((start, Backing::File(file))) = found.map(|(at, area)| (at, &area.backing))
            else {
                continue;
            };
            let mut original = vec![0; (padding.end - padding.start) as usize];
            let offset = file.offset + (padding.start - start);
            // What nobody jumps to any more can stay.
            let got = file.inode.read_at(offset, &mut original);
            if got.is_ok_and(|got| got == original.len()) && is_there(padding.start) {
                let written = self.machine.copy_out(padding.start, &original);
                written.map_err(|_| NoMemory)?;
            }
        }
        for (run, prot) in &runs {
            self.set_prot(run, *prot)?;
        }
        Ok(())
    }
}

impl Books {
    /// The pages of a text that have memory and are a file's, with what the program may do there.
    fn file_runs(&self, text: &Range<u64>) -> Vec<(Range<u64>, Prot)> {
        let of_files = |(_, area): &(u64, &Area)| matches!(area.backing, Backing::File(_));
        let areas = self.areas.overlapping(text).filter(of_files);
        let runs = areas.flat_map(|(start, area)| {
            let part = start.max(text.start)..area.end.min(text.end);
            let present = self.committed.present(&part).into_iter();
            present.map(move |run| (run, area.prot))
        });
        runs.collect()
    }
}

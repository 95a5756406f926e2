//! What can be patched in one text.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use crate::branches::{OPCODE_BYTES, Targets};
use crate::jump::TooFar;
use crate::pairs::each_pair;
use crate::placed::{Placed, stub_bytes};
use crate::site::{Illegal, Site};
use crate::window::{self, AFTER_BYTES, BEFORE_BYTES};

/// Two sites that are further apart have no padding in common.
const REACH_BYTES: u64 = 512;

/// So many places are looked at that seem to hold an instruction to patch; those behind them stay as they
/// are. Text of 100 MB has some thousands, most of them by accident; text that is made to have more
/// shall cost no more.
const PLACES_MAX: usize = 1 << 15;

/// How much text is read at a time.
const CHUNK_BYTES: u64 = 64 * 1024;

/// The instructions of a text that can be patched, by offset: the same wherever the text lies, for
/// every process that maps it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Each site with the offset of its stub behind the first; both ascend.
    sites: Vec<(Site, u64)>,
    stubs_len: u64,
}

impl Plan {
    /// Searches a text of `len` bytes, which `read` gives piece by piece.
    ///
    /// The text is all the code that can jump into itself: a whole executable segment.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn find<E>(len: u64, read: impl FnMut(u64, &mut [u8]) -> Result<(), E>) -> Result<Self, E> {
        Self::find_within(len, |_| true, read)
    }

    /// The same for a text that holds other things, too: changes only bytes of which `is_code` says that
    /// they are code.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn find_within<E>(
        len: u64,
        is_code: impl Fn(&Range<u64>) -> bool,
        mut read: impl FnMut(u64, &mut [u8]) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut sites = Vec::new();
        let mut places = 0;
        each_chunk(
            len,
            BEFORE_BYTES,
            AFTER_BYTES,
            &mut read,
            |code, base, own| {
                let last = code.len().min(own.end + Illegal::LEN - 1);
                each_pair(&code[own.start..last], Illegal::begins, |at| {
                    places += 1;
                    if places > PLACES_MAX {
                        return;
                    }
                    let at = own.start + at;
                    let site = window::site(code, at, base, |site| {
                        site.used().iter().all(&is_code) && is_free(&sites, site)
                    });
                    sites.extend(site);
                });
            },
        )?;
        let targets = Targets::new(sites.iter().flat_map(Site::forbidden).collect());
        if !targets.is_empty() {
            // As a set: there can be any number of jumps to one.
            let mut hit = BTreeSet::new();
            each_chunk(len, OPCODE_BYTES + 3, 3, &mut read, |code, base, _| {
                targets.hit_by(code, base, |target| {
                    hit.insert(target);
                });
            })?;
            sites.retain(|site| !site.forbidden().any(|at| hit.contains(&at)));
        }
        Ok(Self::new(sites))
    }

    fn new(sites: Vec<Site>) -> Self {
        let mut stubs_len = 0;
        let with_stub = |site: Site| {
            let stub = stubs_len;
            stubs_len += stub_bytes(&site);
            (site, stub)
        };
        Self {
            sites: sites.into_iter().map(with_stub).collect(),
            stubs_len,
        }
    }

    /// The sites, in order.
    pub fn sites(&self) -> impl Iterator<Item = &Site> {
        self.sites.iter().map(|(site, _)| site)
    }

    /// How many sites there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.sites.len()
    }

    /// Whether there is nothing to patch.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.sites.is_empty()
    }

    /// Bytes that all stubs need together.
    #[must_use]
    pub const fn stubs_len(&self) -> u64 {
        self.stubs_len
    }

    /// Bytes of memory that the plan itself takes, for a cache's bookkeeping.
    #[must_use]
    pub const fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.sites.capacity() * size_of::<(Site, u64)>()
    }

    /// The plan for a text at `text` whose stubs go to `stubs`.
    ///
    /// # Errors
    /// When some stub would be more than 2 GiB from its site.
    pub fn place(self: &Arc<Self>, text: u64, stubs: u64) -> Result<Placed, TooFar> {
        Placed::new(self.clone(), text, stubs)
    }

    pub(crate) fn with_stubs(&self) -> &[(Site, u64)] {
        &self.sites
    }
}

/// Whether a site writes and moves nothing that one of those before it does.
fn is_free(before: &[Site], site: &Site) -> bool {
    let overlaps = |a: &Range<u64>, b: &Range<u64>| a.start < b.end && b.start < a.end;
    let mut near =
        (before.iter().rev()).take_while(|other| other.next() + REACH_BYTES > site.offset());
    !near.any(|other| {
        let used = other.used();
        site.used()
            .iter()
            .any(|range| used.iter().any(|other| overlaps(range, other)))
    })
}

/// Calls `look` on each chunk of a text with up to `before` and `after` bytes around it: the code,
/// its offset, and which part of it is the chunk's own.
fn each_chunk<E>(
    len: u64,
    before: usize,
    after: usize,
    read: &mut impl FnMut(u64, &mut [u8]) -> Result<(), E>,
    mut look: impl FnMut(&[u8], u64, Range<usize>),
) -> Result<(), E> {
    let mut buffer = vec![0; len.min(CHUNK_BYTES + (before + after) as u64) as usize];
    for at in (0..len).step_by(CHUNK_BYTES as usize) {
        let end = len.min(at + CHUNK_BYTES);
        let first = at.saturating_sub(before as u64);
        let last = len.min(end + after as u64);
        let code = &mut buffer[..(last - first) as usize];
        read(first, code)?;
        look(code, first, (at - first) as usize..(end - first) as usize);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_made_of_calls_is_patched_up_to_a_bound() {
        let call = [0xb8, 39, 0, 0, 0, 0x0f, 0x05];
        let text = [&call[..], &[0x90; 9]].concat().repeat(PLACES_MAX + 1000);

        let plan = Plan::find(text.len() as u64, |at, code| {
            code.copy_from_slice(&text[at as usize..][..code.len()]);
            Ok::<_, ()>(())
        });

        let plan = plan.expect("it can be read");
        assert!((PLACES_MAX / 2..=PLACES_MAX).contains(&plan.len()));
    }
}

//! Plans of patching that are kept, so that a file's text is searched once and not for every process.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::ops::Range;

use locks::Mutex;
use patcher::Plan;
use vfs::ContentId;

use super::area::FileBacking;

/// The most memory that plans may take: some twenty times what glibc needs.
const BUDGET_BYTES: usize = 1 << 20;

/// Plans by the part of a file that they are for; the one used last is in front.
#[derive(Default)]
pub(super) struct Plans(Mutex<VecDeque<(Key, Arc<Plan>)>>);

/// A part of a file that cannot change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    content: ContentId,
    offset: u64,
    len: u64,
}

impl Key {
    /// The key of the text in `range`, which comes from `file`. `None` for a file that may change.
    pub(super) fn new(file: &FileBacking, range: &Range<u64>) -> Option<Self> {
        Some(Self {
            content: file.inode.content()?,
            offset: file.offset,
            len: range.end - range.start,
        })
    }
}

impl Plans {
    /// The plan for a text, if it is kept.
    pub(super) fn get(&self, key: &Key) -> Option<Arc<Plan>> {
        let mut all = self.0.lock();
        let at = all.iter().position(|(kept, _)| kept == key)?;
        let found = all.remove(at)?;
        let plan = found.1.clone();
        all.push_front(found);
        Some(plan)
    }

    /// Keeps a plan; those that were not used for long go.
    pub(super) fn put(&self, key: Key, plan: Arc<Plan>) {
        let mut all = self.0.lock();
        all.retain(|(kept, _)| *kept != key);
        all.push_front((key, plan));
        let mut left = BUDGET_BYTES;
        all.retain(|(_, plan)| {
            let size = plan.size_bytes();
            let stays = size <= left;
            left = if stays { left - size } else { 0 };
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(file: u64) -> Key {
        Key {
            content: ContentId { source: 0, file },
            offset: 0,
            len: 4096,
        }
    }

    fn plan(calls: usize) -> Arc<Plan> {
        let mut text = alloc::vec![0x90; 128];
        for _ in 0..calls {
            text.extend([0xb8, 39, 0, 0, 0, 0x0f, 0x05]);
            text.extend([0x90; 9]);
        }
        let found = Plan::find(text.len() as u64, |at, code| {
            code.copy_from_slice(&text[at as usize..][..code.len()]);
            Ok::<_, ()>(())
        });
        Arc::new(found.expect("it can be read"))
    }

    #[test]
    fn what_was_not_used_for_long_makes_room() {
        let plans = Plans::default();
        let large = plan(5000);
        let fit = (BUDGET_BYTES / large.size_bytes()) as u64;
        assert!((2..20).contains(&fit));

        for file in 0..=fit {
            plans.put(key(file), large.clone());
            assert!(plans.get(&key(0)).is_some(), "it was used a moment ago");
        }

        assert!(plans.get(&key(1)).is_none());
        assert!(plans.get(&key(2)).is_some());
        assert!(plans.get(&key(fit)).is_some());
    }
}

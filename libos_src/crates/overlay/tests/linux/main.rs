//! Linux is the judge: random operations are done on a directory of the host and on a union, whose
//! lower file system is what the first of them left. Each result, error numbers included, and the
//! trees at the end must be the same as if there were only one file system.

#[path = "../../../tmpfs/tests/linux/host.rs"]
mod host;
#[path = "../../../tmpfs/tests/linux/libos.rs"]
mod libos;
#[path = "../../../tmpfs/tests/linux/operation.rs"]
mod operation;

use std::sync::Arc;

use operation::{Operation, Side, compare, operations};
use overlay::OverlayFs;
use proptest::prelude::*;
use vfs::FileSystem;

use libos::{LibOs, tmpfs};

fn union(lower: &Arc<dyn FileSystem>, upper: &Arc<dyn FileSystem>) -> LibOs {
    let union = OverlayFs::new(lower, upper.clone()).expect("union");
    let mut libos = LibOs::new(union, false);
    libos.enter_nest();
    libos
}

/// A host and a union after `before` was done on the lower file system and `after` on the union.
fn unite(before: &[Operation], after: &[Operation]) -> Result<(), TestCaseError> {
    let mut host = host::Host::new(false);
    let lower: Arc<dyn FileSystem> = tmpfs();
    let mut below = LibOs::new(lower.clone(), false);
    below.nest();
    compare(&mut host, &mut below, before)?;
    let untouched = below.tree();
    let upper: Arc<dyn FileSystem> = tmpfs();
    let mut libos = union(&lower, &upper);
    compare(&mut host, &mut libos, after)?;
    prop_assert_eq!(below.tree(), untouched, "the lower file system changed");
    let has_links = before
        .iter()
        .any(|one| matches!(one, Operation::Link { .. }));
    if !has_links {
        // Everything that the union knows is in the upper file system.
        drop(libos);
        prop_assert_eq!(union(&lower, &upper).tree(), host.tree());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_union_does_what_one_file_system_does(before in operations(), after in operations()) {
        unite(&before, &after)?;
    }
}

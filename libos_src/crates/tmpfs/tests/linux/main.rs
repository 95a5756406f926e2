//! Linux is the judge: random operations are done on a directory of the host and on a `TmpFs` behind
//! a `Viewpoint`; each result, error numbers included, and the trees at the end must be the same.

mod host;
mod libos;
mod operation;

use operation::{Operation, operations};
use proptest::prelude::*;

/// Both sides work below so many nested directories, so that `..` never leaves them.
const NESTING: usize = 24;

/// One side of the comparison.
trait Side {
    /// Does it and says what came of it: a short text, or the error number.
    fn apply(&mut self, operation: &Operation) -> Result<String, i32>;
    /// Everything below the working directory, one line each.
    fn tree(&self) -> Vec<String>;
}

fn compare(operations: &[Operation]) -> Result<(), TestCaseError> {
    let mut host = host::Host::new();
    let mut libos = libos::LibOs::new();
    for (index, operation) in operations.iter().enumerate() {
        let expected = host.apply(operation);
        let result = libos.apply(operation);
        prop_assert_eq!(
            &result,
            &expected,
            "step {}: {:?} of {:?}",
            index,
            operation,
            operations
        );
    }
    prop_assert_eq!(libos.tree(), host.tree(), "after {:?}", operations);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..Default::default() })]

    #[test]
    fn every_operation_does_what_linux_does(operations in operations()) {
        compare(&operations)?;
    }
}

//! Linux is the judge: random operations are done on a directory of the host and on a `TmpFs` behind
//! a `Viewpoint`; each result, error numbers included, and the trees at the end must be the same.

mod host;
mod libos;
mod operation;

use operation::{compare, operations};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..Default::default() })]

    #[test]
    fn every_operation_does_what_linux_does(operations in operations()) {
        let mut libos = libos::LibOs::new(libos::tmpfs(), true);
        libos.nest();
        compare(&mut host::Host::new(true), &mut libos, &operations)?;
    }
}

//! A host thread and its TCS.

use core::marker::PhantomData;
use std::sync::Arc;

use abi::leaf;
use platform::{Counters, EnterLeaf, EntryRegisters, Error, Exit, Result, Thread};

use crate::enclave::Shared;
use crate::entry::EnterFunction;
use crate::interrupt;
use crate::uapi::EnclaveRun;

/// The right to enter through one TCS, which no other thread has at the same time.
pub struct SgxThread {
    shared: Arc<Shared>,
    enter: EnterFunction,
    tcs_offset: u64,
    run: Box<EnclaveRun>,
    counters: Counters,
    /// An attachment belongs to the thread that made it.
    not_send: PhantomData<*mut ()>,
}

impl SgxThread {
    pub(crate) fn attach(
        shared: Arc<Shared>,
        enter: EnterFunction,
        tcs_offset: u64,
    ) -> Result<Self> {
        match shared.attached().get_mut(&tcs_offset) {
            None => return Err(Error::Fault("the page is no TCS")),
            Some(true) => return Err(Error::Fault("a thread is attached to this TCS")),
            Some(attached) => *attached = true,
        }
        let tcs = shared.range.address(tcs_offset);
        interrupt::attach(tcs, enter);
        let run = Box::new(EnclaveRun::new(tcs));
        Ok(Self {
            shared,
            enter,
            tcs_offset,
            run,
            counters: Counters::default(),
            not_send: PhantomData,
        })
    }
}

impl Thread for SgxThread {
    fn enter(&mut self, leaf: EnterLeaf, registers: EntryRegisters) -> Result<Exit> {
        let (enter, run) = (self.enter, &mut *self.run);
        let left = match leaf {
            // SAFETY: `attach` saw that the page is a TCS of this enclave, which `shared` keeps
            // mapped; the enclave's conduct is what its signer answers for.
            EnterLeaf::Enter => Some(unsafe { enter.call(leaf::EENTER as u32, run, registers) }),
            // SAFETY: as above.
            EnterLeaf::Resume => unsafe { interrupt::resume(enter, run, registers) },
        };
        let Some((status, rdi, rsi)) = left else {
            return Ok(Exit::Interrupt);
        };
        let exit = outcome(&self.run, status, [rdi, rsi])?;
        self.counters.exceptions += u64::from(matches!(exit, Exit::Exception { .. }));
        Ok(exit)
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}

impl Drop for SgxThread {
    fn drop(&mut self) {
        interrupt::detach();
        if let Some(attached) = self.shared.attached().get_mut(&self.tcs_offset) {
            *attached = false;
        }
    }
}

/// What came of an entry: `run` as the vDSO left it, what the vDSO returned, and RDI and RSI.
fn outcome(run: &EnclaveRun, status: i32, [rdi, rsi]: [u64; 2]) -> Result<Exit> {
    if status != 0 {
        let operation = "enter the enclave through the vDSO";
        return Err(Error::Host {
            operation,
            errno: -status,
        });
    }
    let last_leaf = u64::from(run.function);
    if last_leaf == leaf::EEXIT {
        return Ok(Exit::Eexit { rdi, rsi });
    }
    // A fault of EENTER itself leaves EENTER in RAX, one inside the enclave leaves ERESUME.
    // For ERESUME the two look alike, and the enclave's handler finds nothing to handle.
    if last_leaf == leaf::EENTER {
        return Err(Error::Fault(
            "EENTER was refused: the TCS is busy or has no SSA frame left, or the machine has slept",
        ));
    }
    Ok(Exit::Exception {
        vector: run.exception_vector as u8,
        error: run.exception_error_code,
        address: run.exception_address,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(function: u64) -> EnclaveRun {
        EnclaveRun {
            function: function as u32,
            exception_vector: 14,
            exception_error_code: 0x8006,
            exception_address: 0x7000,
            ..EnclaveRun::new(0x1000)
        }
    }

    #[test]
    fn an_eexit_carries_the_enclaves_two_values() {
        let exit = outcome(&left(leaf::EEXIT), 0, [1, 0xffff]);
        assert_eq!(
            exit,
            Ok(Exit::Eexit {
                rdi: 1,
                rsi: 0xffff
            })
        );
    }

    #[test]
    fn a_fault_inside_the_enclave_is_an_exception() {
        let expected = Exit::Exception {
            vector: 14,
            error: 0x8006,
            address: 0x7000,
        };
        assert_eq!(outcome(&left(leaf::ERESUME), 0, [0, 0]), Ok(expected));
    }

    #[test]
    fn a_fault_of_eenter_itself_is_a_refused_entry() {
        let exit = outcome(&left(leaf::EENTER), 0, [0, 0]);
        assert!(matches!(exit, Err(Error::Fault(_))), "{exit:?}");
    }

    #[test]
    fn what_the_vdso_refuses_is_the_hosts_error() {
        let operation = "enter the enclave through the vDSO";
        let exit = outcome(&left(0), -libc::EINVAL, [0, 0]);
        assert_eq!(
            exit,
            Err(Error::Host {
                operation,
                errno: libc::EINVAL
            })
        );
    }
}

//! Putting a program into an address space.

use alloc::format;

use hal::{Errno, Prot, UserRegs};

use super::stack::{StackPlan, push_stack};
use super::{Invocation, LoadError, load};
use crate::Libos;
use crate::memory::{AddressSpace, Backing, Mapping, Placement, Purpose};

/// RFLAGS at the start of a program: interrupts on, and the bit that is always one.
const INITIAL_FLAGS: u64 = 0x202;

impl Libos {
    /// Loads a program into an empty address space and makes its heap and stack; returns the
    /// registers that it begins with.
    pub(crate) fn start_program(
        &self,
        memory: &AddressSpace,
        invocation: &Invocation,
    ) -> Result<UserRegs, LoadError> {
        let loaded = load(memory, invocation)?;
        memory.begin_heap(loaded.end);
        let plan = StackPlan {
            loaded: &loaded,
            argv: &invocation.argv,
            env: &invocation.env,
            path: &invocation.path,
            run_as: &invocation.run_as,
        };
        let rsp = self.make_stack(memory, &plan).map_err(|errno| LoadError {
            errno,
            message: format!("cannot put arguments and environment on the stack: {errno}"),
        })?;
        Ok(UserRegs {
            rip: loaded.start,
            rsp,
            rflags: INITIAL_FLAGS,
            ..UserRegs::default()
        })
    }

    fn make_stack(&self, memory: &AddressSpace, plan: &StackPlan<'_>) -> Result<u64, Errno> {
        let mut prot = Prot::READ | Prot::WRITE;
        prot.set(Prot::EXEC, plan.loaded.needs_executable_stack);
        memory.map(Mapping {
            placement: Placement::Stack,
            len: memory.layout().stack_bytes,
            prot,
            backing: Backing::Zero,
            purpose: Purpose::Stack,
            most: Prot::all(),
            grows_down: false,
            is_unreserved: false,
        })?;
        push_stack(memory, self.machine, plan)
    }
}

//! A host thread that may enter the enclave.

use std::{
    arch::asm,
    marker::PhantomData,
    mem::MaybeUninit,
    ptr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use abi::{PAGE_SIZE, Permissions};
use platform::{Counters, EnterLeaf, EntryRegisters, Error, Exit, Result, Thread};

use crate::{
    Steps,
    arch::{self, ALTERNATE_SIZE, BLOCK_SIZE, Left, MAGIC, Outcome, ThreadBlock},
    enclave::{Shared, TcsState},
    intercept,
    memory::host_error,
    signals::TRAP_FLAG,
    strict,
};

/// The calling host thread, attached to one TCS of a software enclave.
pub struct SimThread {
    enclave: Arc<Shared>,
    tcs_offset: u64,
    block: *mut ThreadBlock,
    old_stack: libc::stack_t,
    /// It belongs to the thread that attached it.
    not_send: PhantomData<*mut ()>,
}

impl SimThread {
    pub(crate) fn attach(enclave: &Arc<Shared>, tcs_offset: u64) -> Result<Self> {
        let state = enclave
            .threads
            .get(&tcs_offset)
            .ok_or(Error::Fault("EENTER of a page that is no TCS"))?;
        let block = new_block(enclave, state, tcs_offset)?;
        let stack = libc::stack_t {
            ss_sp: block.wrapping_byte_add(BLOCK_SIZE).cast(),
            ss_flags: 0,
            ss_size: ALTERNATE_SIZE,
        };
        // SAFETY: all zero is a legal stack_t.
        let mut old_stack: libc::stack_t = unsafe { MaybeUninit::zeroed().assume_init() };
        // SAFETY: the stack is this block's own and lives until `drop` has put the old one back.
        if unsafe { libc::sigaltstack(&raw const stack, &raw mut old_stack) } != 0 {
            return Err(host_error("set the alternate signal stack"));
        }
        let thread = Self {
            enclave: Arc::clone(enclave),
            tcs_offset,
            block,
            old_stack,
            not_send: PhantomData,
        };
        intercept::arm(enclave.interception, enclave.epcm.size_bytes())?;
        if enclave.options.strict {
            strict::arm()?;
        }
        if let Some(period) = enclave.options.interrupt_period {
            start_timer(period)?;
        }
        Ok(thread)
    }

    fn state(&self) -> Result<&TcsState> {
        self.enclave
            .threads
            .get(&self.tcs_offset)
            .ok_or(Error::Fault("EENTER of a page that is no TCS"))
    }

    /// Runs the assembly with an SSA frame and a current index.
    fn run(&mut self, leaf: EnterLeaf, registers: EntryRegisters, cssa: u32) -> Result<Exit> {
        let ssa = self.ssa_frame(cssa)?;
        // SAFETY: the block is this thread's own; the assembly and the handlers use it only between
        // here and the return of the assembly.
        let block = unsafe { &mut *self.block };
        block.cssa = u64::from(cssa);
        block.ssa = ssa;
        // The handler itself is not stepped through: it would never come to its end.
        let is_stepped =
            self.enclave.options.steps != Steps::None && cssa == 0 && block.counters.exceptions > 0;
        block.step_flags = if is_stepped { TRAP_FLAG } else { 0 };
        block.outcome = Outcome::Exit;
        let EntryRegisters {
            rdi,
            rsi,
            rdx,
            r8,
            r9,
        } = registers;
        block.registers = [rdi, rsi, rdx, r8, r9];
        let block = self.block;
        match leaf {
            // SAFETY: the enclave is initialised, the TCS is ours alone, the SSA frame is there.
            EnterLeaf::Enter => unsafe { arch::sim_enter(block) },
            // SAFETY: as above, and an asynchronous exit filled the frame.
            EnterLeaf::Resume => unsafe { arch::sim_resume(block) },
        }
        // SAFETY: as above; the assembly is done with it.
        let block = unsafe { &mut *self.block };
        if block.outcome == Outcome::Exit && block.looks_at_exits {
            block.counters.unclean_exits += u64::from(!block.left.is_nothing());
        }
        Ok(match block.outcome {
            Outcome::Exit => Exit::Eexit {
                rdi: block.registers[0],
                rsi: block.registers[1],
            },
            Outcome::Interrupt => Exit::Interrupt,
            Outcome::Exception => Exit::Exception {
                vector: block.vector,
                error: block.error,
                address: block.address,
            },
        })
    }

    /// The frame that an asynchronous exit would use, which must be there before an entry.
    fn ssa_frame(&self, cssa: u32) -> Result<u64> {
        let frame = self.state()?.tcs.ssa_offset + u64::from(cssa) * PAGE_SIZE;
        if self
            .enclave
            .epcm
            .get(frame)
            .access()
            .contains(Permissions::RW)
        {
            Ok(frame)
        } else {
            Err(Error::Fault(
                "an SSA frame that is not readable and writable",
            ))
        }
    }

    /// The block's index, and what the handlers did to it.
    fn cssa(&self) -> u32 {
        // SAFETY: the block is this thread's own, and it is not in the enclave.
        unsafe { (*self.block).cssa as u32 }
    }

    fn outcome(&self) -> Outcome {
        // SAFETY: as in `cssa`.
        unsafe { (*self.block).outcome }
    }

    /// Whether somebody interrupted the thread since this was last asked.
    fn take_interrupted(&mut self) -> bool {
        // SAFETY: the block is this thread's own.
        let flag = unsafe { &raw mut (*self.block).interrupted };
        // SAFETY: as above; the signal handler may write it in between, to the same effect as
        // before or after.
        unsafe { flag.replace(false) }
    }

    /// Enters with the TCS held. An interrupt is resumed, as hardware's AEP would.
    fn enter_held(&mut self, leaf: EnterLeaf, registers: EntryRegisters) -> Result<Exit> {
        let mut leaf = leaf;
        loop {
            let state = self.state()?;
            let current = state.cssa.load(Ordering::SeqCst);
            let cssa = match leaf {
                EnterLeaf::Enter if current < state.tcs.ssa_count => current,
                EnterLeaf::Enter => return Err(Error::Fault("EENTER without an SSA frame left")),
                EnterLeaf::Resume => current
                    .checked_sub(1)
                    .ok_or(Error::Fault("ERESUME without an asynchronous exit"))?,
            };
            let exit = self.run(leaf, registers, cssa)?;
            self.state()?.cssa.store(self.cssa(), Ordering::SeqCst);
            if self.outcome() != Outcome::Interrupt {
                return Ok(exit);
            }
            if self.take_interrupted() {
                return Ok(Exit::Interrupt);
            }
            leaf = EnterLeaf::Resume;
        }
    }
}

impl Thread for SimThread {
    fn enter(&mut self, leaf: EnterLeaf, registers: EntryRegisters) -> Result<Exit> {
        if self.state()?.busy.swap(true, Ordering::SeqCst) {
            return Err(Error::Fault("EENTER of a busy TCS"));
        }
        let exit = self.enter_held(leaf, registers);
        self.state()?.busy.store(false, Ordering::SeqCst);
        exit
    }

    fn counters(&self) -> Counters {
        // SAFETY: the block is this thread's own, and it is not in the enclave.
        unsafe { (*self.block).counters }
    }
}

impl Drop for SimThread {
    fn drop(&mut self) {
        if self.enclave.options.strict {
            strict::disarm();
        }
        intercept::disarm(self.enclave.interception);
        // SAFETY: puts back what `attach` found; the caller has blocked asynchronous signals, so no
        // handler runs on our stack.
        unsafe { libc::sigaltstack(&raw const self.old_stack, ptr::null_mut()) };
        // SAFETY: mapped by `new_block`, and nothing points to it any more.
        unsafe { libc::munmap(self.block.cast(), BLOCK_SIZE + ALTERNATE_SIZE) };
    }
}

/// Maps a thread block with its alternate stack behind it.
fn new_block(enclave: &Arc<Shared>, state: &TcsState, tcs: u64) -> Result<*mut ThreadBlock> {
    // SAFETY: a fresh mapping.
    let mapped = unsafe {
        libc::mmap(
            ptr::null_mut(),
            BLOCK_SIZE + ALTERNATE_SIZE,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if mapped == libc::MAP_FAILED {
        return Err(host_error("map a thread block"));
    }
    let block = mapped.cast::<ThreadBlock>();
    let content = ThreadBlock {
        magic: MAGIC,
        host_fs: read_fs(),
        host_gs: read_gs(),
        host_rsp: 0,
        return_fs: 0,
        return_gs: 0,
        enclave_fs: state.tcs.fs_offset,
        enclave_gs: state.tcs.gs_offset,
        tcs,
        entry: state.tcs.entry_offset,
        cssa: 0,
        ssa: 0,
        xfrm: enclave.secs.attributes.xfrm,
        registers: [0; 5],
        outcome: Outcome::Exit,
        vector: 0,
        error: 0,
        address: 0,
        interrupted: false,
        counters: Counters::default(),
        looks_at_exits: enclave.options.counts_escapes,
        step_flags: 0,
        step_rip: 0,
        enclave: Arc::as_ptr(enclave).cast(),
        pushed: 0,
        anchor: [block; 2],
        left: Left::NOTHING,
    };
    // SAFETY: the mapping is large enough, page aligned, and ours.
    unsafe { block.write(content) };
    Ok(block)
}

fn read_fs() -> u64 {
    let base;
    // SAFETY: reads a register; `cpu::check` found FSGSBASE.
    unsafe { asm!("rdfsbase {}", out(reg) base, options(nomem, nostack, preserves_flags)) };
    base
}

fn read_gs() -> u64 {
    let base;
    // SAFETY: as in `read_fs`.
    unsafe { asm!("rdgsbase {}", out(reg) base, options(nomem, nostack, preserves_flags)) };
    base
}

/// Starts the process's interval timer.
fn start_timer(period: Duration) -> Result<()> {
    let interval = libc::timeval {
        tv_sec: period.as_secs() as libc::time_t,
        tv_usec: libc::suseconds_t::from(period.subsec_micros()),
    };
    let timer = libc::itimerval {
        it_interval: interval,
        it_value: interval,
    };
    // SAFETY: reads a local value.
    let done = unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, ptr::null_mut()) };
    if done == 0 {
        Ok(())
    } else {
        Err(host_error("start the interrupt timer"))
    }
}

//! What a process wants done with each signal.

use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{DefaultAction, Signal, SignalSet};

/// `struct kernel_sigaction` of x86-64 (`asm/signal.h`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Action {
    /// The handler, [`SIG_DFL`](Self::DEFAULT) or [`SIG_IGN`](Self::IGNORE).
    pub(crate) handler: u64,
    /// `SA_*`.
    pub(crate) flags: u64,
    /// Where the handler returns to, if [a flag](Self::restorer) says so.
    pub(crate) restorer: u64,
    /// What the handler blocks.
    pub(crate) mask: u64,
}

const SA_NOCLDSTOP: u64 = 1;
const SA_NOCLDWAIT: u64 = 2;
const SA_SIGINFO: u64 = 4;
/// Where faults keep tags of addresses, which there are none of.
const SA_EXPOSE_TAGBITS: u64 = 0x800;
const SA_RESTORER: u64 = 0x0400_0000;
const SA_ONSTACK: u64 = 0x0800_0000;
const SA_RESTART: u64 = 0x1000_0000;
const SA_NODEFER: u64 = 0x4000_0000;
const SA_RESETHAND: u64 = 0x8000_0000;
/// Those that there are: by the others a program learns that there are no more (sigaction(2)).
const KNOWN_FLAGS: u64 = SA_NOCLDSTOP
    | SA_NOCLDWAIT
    | SA_SIGINFO
    | SA_EXPOSE_TAGBITS
    | SA_RESTORER
    | SA_ONSTACK
    | SA_RESTART
    | SA_NODEFER
    | SA_RESETHAND;

impl Action {
    /// `SIG_DFL`.
    pub(crate) const DEFAULT: u64 = 0;
    /// `SIG_IGN`.
    pub(crate) const IGNORE: u64 = 1;

    /// As it is kept, and told later: without flags that there are not, and signals that cannot be
    /// blocked.
    pub(crate) fn as_kept(self) -> Self {
        Self {
            flags: self.flags & KNOWN_FLAGS,
            mask: SignalSet::blockable(self.mask).bits(),
            ..self
        }
    }

    /// Where a handler returns to. Without that none is entered: there is no vDSO to return through.
    pub(crate) const fn restorer(&self) -> Option<u64> {
        if self.flags & SA_RESTORER != 0 {
            Some(self.restorer)
        } else {
            None
        }
    }

    /// Whether there is a handler.
    pub(crate) const fn has_handler(&self) -> bool {
        self.handler > Self::IGNORE
    }

    /// Whether `signal` has no effect at all.
    pub(crate) fn ignores(&self, signal: Signal) -> bool {
        match self.handler {
            Self::DEFAULT => signal.default_action() == DefaultAction::Ignore,
            handler => handler == Self::IGNORE,
        }
    }

    /// Whether children are not waited for.
    pub(crate) const fn forgets_children(&self) -> bool {
        self.flags & SA_NOCLDWAIT != 0
    }

    /// Whether only the ends of children are told.
    pub(crate) const fn ignores_stops(&self) -> bool {
        self.flags & SA_NOCLDSTOP != 0
    }

    /// Whether an interrupted call starts again.
    pub(crate) const fn restarts(&self) -> bool {
        self.flags & SA_RESTART != 0
    }

    /// Whether the handler runs on the alternate stack.
    pub(crate) const fn wants_alternate_stack(&self) -> bool {
        self.flags & SA_ONSTACK != 0
    }

    /// Whether the action is for one signal only.
    pub(crate) const fn is_one_shot(&self) -> bool {
        self.flags & SA_RESETHAND != 0
    }

    /// What is blocked while the handler for `signal` runs, besides what was.
    pub(crate) fn blocks(&self, signal: Signal) -> SignalSet {
        let mask = SignalSet::blockable(self.mask);
        if self.flags & SA_NODEFER != 0 {
            mask
        } else {
            mask.with(signal)
        }
    }
}

/// The actions for all signals.
#[derive(Clone, Debug)]
pub(crate) struct Actions([Action; Signal::MAX as usize]);

impl Default for Actions {
    fn default() -> Self {
        Self([Action::default(); Signal::MAX as usize])
    }
}

impl Actions {
    /// The action for a signal.
    pub(crate) const fn get(&self, signal: Signal) -> Action {
        self.0[signal.number() as usize - 1]
    }

    /// Sets each signal that has a handler to its default action.
    pub(crate) fn forget_handlers(&mut self) {
        for action in &mut self.0 {
            let handler = if action.has_handler() {
                Action::DEFAULT
            } else {
                action.handler
            };
            *action = Action {
                handler,
                ..Action::default()
            };
        }
    }

    /// Replaces the action for a signal and returns the old one.
    pub(crate) const fn replace(&mut self, signal: Signal, action: Action) -> Action {
        core::mem::replace(&mut self.0[signal.number() as usize - 1], action)
    }
}

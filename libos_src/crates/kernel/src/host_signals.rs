//! Signals of the host, as far as the configuration lets them in.

use crate::Libos;
use crate::processes::{FIRST_PID, Target};
use crate::signals::{Signal, SignalInfo};

impl Libos {
    /// Tells the host which of its signals are wanted.
    pub(crate) fn listen_to_host(&self) {
        let set = self.wanted_host_signals();
        if set != 0 {
            self.machine.keep_host_signals(set);
        }
    }

    /// Passes on what has come: what a terminal sends to the group in its foreground, the rest to
    /// the first process.
    pub(crate) fn serve_host_signals(&self) {
        let wanted = self.wanted_host_signals();
        if wanted == 0 {
            return;
        }
        let mut set = self.machine.take_host_signals() & wanted;
        while set != 0 {
            let number = set.trailing_zeros() as i32 + 1;
            set &= set - 1;
            if let Ok(signal) = Signal::new(number) {
                self.pass_on(signal);
            }
        }
    }

    fn pass_on(&self, signal: Signal) {
        let target = match signal {
            Signal::INT | Signal::QUIT | Signal::TSTP | Signal::WINCH | Signal::HUP => {
                // A terminal that nobody has sends to the first process's group.
                match self.terminals.console.holder().foreground {
                    0 => Target::Group(FIRST_PID),
                    group => Target::Group(group),
                }
            }
            // The host's shell continues the enclave as a whole.
            _ => Target::Process(FIRST_PID),
        };
        let targets = self.processes.targets(0, target).unwrap_or_default();
        for process in targets {
            let info = SignalInfo::from_kernel(signal);
            // A queue that is full loses real-time signals, of which the host has none.
            let _ = self.send_to_process(&process, signal, info);
        }
    }

    fn wanted_host_signals(&self) -> u64 {
        let signals = self.config.process.host_signals.iter();
        signals.fold(0, |set, name| {
            let number = Signal::from_name(name).map_or(0, Signal::number);
            if number == 0 {
                set
            } else {
                set | 1 << (number - 1)
            }
        })
    }
}

//! Processes that stop and go on, and signals of the host.

use std::sync::atomic::Ordering;

use super::*;
use crate::processes::{Kinship, Process};
use crate::signals::{Signal, SignalInfo};

const RT_SIGACTION: u64 = 13;
const KILL: u64 = 62;
const WAIT4: u64 = 61;
const RT_SIGPROCMASK: u64 = 14;
const SETPGID: u64 = 109;
const WNOHANG: u64 = 1;
const WUNTRACED: u64 = 2;
const WCONTINUED: u64 = 8;

/// A child of the first process that does not run: nobody serves its thread.
fn child(world: &World) -> Arc<Process> {
    let parent = &world.process;
    let process = world
        .libos
        .processes
        .add_process(parent.pid, Kinship::Child(Some(Signal::CHLD)), |pid| {
            Ok(Arc::new(Process::new(NewProcess {
                pid,
                memory: parent.memory(),
                places: Places::new(Descriptors::default(), parent.places().view.read().clone()),
                signals: ProcessSignals::default(),
                limits: Limits::new(&[]),
                program: parent.program(),
                standing: Standing::default(),
                began: world.libos.now(),
            })))
        })
        .expect("an id");
    let start = UserRegs::default();
    process.add_thread(Arc::new(Thread::new(
        process.pid,
        [0; 16],
        SignalSet::default(),
        start,
    )));
    process
}

fn wait(world: &mut World, options: u64) -> (u64, u32) {
    let arguments = [u64::MAX, world.page, options | WNOHANG, 0];
    let pid = world.call(WAIT4, &arguments).expect("a child");
    let status = u32::from_le_bytes(world.get(world.page));
    (pid, status)
}

#[test]
fn a_parent_learns_that_a_child_has_stopped_and_goes_on() {
    let mut world = World::new();
    let child = child(&world);
    let pid = u64::from(child.pid);
    world.call(SETPGID, &[pid, pid]).expect("its child");

    world.libos.stop_process(&child, Signal::TSTP);
    assert!(child.stop.is_set());
    assert_eq!(wait(&mut world, WUNTRACED), (pid, 0x147f));
    assert_eq!(wait(&mut world, WUNTRACED).0, 0, "it is told once");

    world.call(KILL, &[pid, 18]).expect("its child");
    assert!(!child.stop.is_set());
    assert_eq!(wait(&mut world, WCONTINUED), (pid, 0xffff));
}

#[test]
fn a_group_that_nobody_could_continue_is_stopped_by_sigstop_alone() {
    let world = World::new();
    let child = child(&world);

    world.libos.stop_process(&child, Signal::TTIN);
    assert!(!child.stop.is_set());
    world.libos.stop_process(&child, Signal::STOP);
    assert!(child.stop.is_set());
}

#[test]
fn a_stop_of_the_first_process_stops_the_enclave() {
    let mut world = World::new();

    world.call(KILL, &[1, 20]).expect("itself");

    assert_eq!(world.machine.stops.load(Ordering::Relaxed), 1);
    assert!(!world.process.stop.is_set());
}

#[test]
fn a_stop_that_waits_is_undone_by_sigcont() {
    let mut world = World::new();
    let all = world.put(0x100, &u64::MAX.to_le_bytes());
    world.call(RT_SIGPROCMASK, &[2, all, 0, 8]).expect("a set");

    world.call(KILL, &[1, 20]).expect("itself");
    assert!(pending(&world).contains(Signal::TSTP));
    world.call(KILL, &[1, 18]).expect("itself");
    assert!(!pending(&world).contains(Signal::TSTP));
    world.call(KILL, &[1, 20]).expect("itself");
    assert!(!pending(&world).contains(Signal::CONT));
}

fn pending(world: &World) -> SignalSet {
    world.process.signals.lock().pending.present()
}

#[test]
fn only_the_hosts_signals_that_are_configured_arrive() {
    let mut world = World::new();
    // A handler for each, so that none of them ends the process.
    let mut action = [0u8; 32];
    action[..8].copy_from_slice(&0x5000u64.to_le_bytes());
    action[8..16].copy_from_slice(&0x0400_0000u64.to_le_bytes());
    let action = world.put(0x200, &action);
    for signal in [2, 10, 15] {
        world
            .call(RT_SIGACTION, &[signal, action, 0, 8])
            .expect("a handler");
    }
    let bit = |signal: Signal| 1u64 << (signal.number() - 1);
    let sent = bit(Signal::INT) | bit(Signal::USR1) | bit(Signal::SEGV) | bit(Signal::TERM);
    world.machine.host_signals.store(sent, Ordering::Relaxed);

    world.libos.serve_host_signals();

    // The example's configuration names these two.
    let expected = SignalSet::default().with(Signal::INT).with(Signal::TERM);
    assert_eq!(pending(&world), expected);
}

#[test]
fn a_child_that_only_stops_is_no_news_with_sa_nocldstop() {
    let mut world = World::new();
    let mut action = [0u8; 32];
    action[..8].copy_from_slice(&0x5000u64.to_le_bytes());
    action[8..16].copy_from_slice(&0x0400_0001u64.to_le_bytes());
    let action = world.put(0x200, &action);
    world
        .call(RT_SIGACTION, &[17, action, 0, 8])
        .expect("a handler");
    let child = child(&world);

    world.libos.stop_process(&child, Signal::STOP);

    assert!(!pending(&world).contains(Signal::CHLD));
    let info = SignalInfo::from_kernel(Signal::CHLD);
    let sent = (world.libos).send_to_process(&world.process, Signal::CHLD, info);
    assert_eq!(sent, Ok(()));
    assert!(pending(&world).contains(Signal::CHLD));
}

//! Pseudo-terminals, by system calls.

use super::*;
use crate::signals::Signal;
use crate::terminals::{DevPts, Holder};

const READ: u64 = 0;
const WRITE: u64 = 1;
const OPEN: u64 = 2;
const CLOSE: u64 = 3;
const IOCTL: u64 = 16;
const RT_SIGPROCMASK: u64 = 14;
const TIOCSCTTY: u64 = 0x540e;
const TIOCGPGRP: u64 = 0x540f;
const TIOCSPTLCK: u64 = 0x4004_5431;
const O_RDWR: u64 = 2;
const O_NOCTTY: u64 = 0o400;
const O_NONBLOCK: u64 = 0o4000;

/// A world with `/dev/pts` in its root, whose host has no terminal; both ends of a pair.
fn pair() -> (World, u64, u64) {
    let mut world = World::new();
    world.libos.terminals.console.release(1);
    let viewpoint = world.process.places().view.read().clone();
    let slots = world.libos.slots().clone();
    let pseudo = DevPts::new(world.machine, slots, world.libos.terminals.clone());
    let point = viewpoint
        .make_directory(None, b"/pts", Mode::from_low_bits(0o755))
        .expect("a new name");
    viewpoint
        .namespace
        .mount(&point, pseudo, MountFlags::default())
        .expect("a directory");
    let path = world.put(0x800, b"/pts/ptmx\0");
    let master = world.call(OPEN, &[path, O_RDWR | O_NONBLOCK, 0]);
    let master = master.expect("a pair");
    let path = world.put(0x800, b"/pts/0\0");
    let locked = world.call(OPEN, &[path, O_RDWR, 0]);
    assert_eq!(locked, Err(Errno::EIO), "it is locked");
    let unlocked = world.put(0x810, &0u32.to_le_bytes());
    world
        .call(IOCTL, &[master, TIOCSPTLCK, unlocked])
        .expect("a master");
    let slave = world.call(OPEN, &[path, O_RDWR | O_NOCTTY | O_NONBLOCK, 0]);
    let slave = slave.expect("it is unlocked");
    (world, master, slave)
}

fn write(world: &mut World, fd: u64, bytes: &[u8]) -> Result<u64, Errno> {
    let address = world.put(0x900, bytes);
    world.call(WRITE, &[fd, address, bytes.len() as u64])
}

fn read(world: &mut World, fd: u64) -> Result<String, Errno> {
    let count = world.call(READ, &[fd, world.page + 0xa00, 64])? as usize;
    let bytes: [u8; 64] = world.get(world.page + 0xa00);
    Ok(bytes[..count].escape_ascii().to_string())
}

#[test]
fn what_is_typed_is_shown_and_read_by_lines() {
    let (mut world, master, slave) = pair();

    assert_eq!(write(&mut world, master, b"ab\x7fc"), Ok(4));
    assert_eq!(read(&mut world, slave), Err(Errno::EAGAIN));
    assert_eq!(write(&mut world, master, b"\r"), Ok(1));

    assert_eq!(read(&mut world, slave), Ok(r"ac\n".into()));
    assert_eq!(read(&mut world, master), Ok(r"ab\x08 \x08c\r\n".into()));
}

#[test]
fn a_key_is_a_signal_for_the_foreground_of_its_terminal_alone() {
    let (mut world, master, slave) = pair();
    let all = world.put(0x100, &u64::MAX.to_le_bytes());
    world.call(RT_SIGPROCMASK, &[2, all, 0, 8]).expect("a set");

    write(&mut world, master, b"\x03").expect("room");
    let pending = |world: &World| world.process.signals.lock().pending.present();
    assert_eq!(pending(&world), SignalSet::default(), "nobody has it yet");

    world.call(IOCTL, &[slave, TIOCSCTTY, 0]).expect("a leader");
    write(&mut world, master, b"\x03").expect("room");
    assert_eq!(pending(&world), SignalSet::default().with(Signal::INT));
    let group = world.page + 0xb00;
    world.call(IOCTL, &[master, TIOCGPGRP, group]).expect("one");
    assert_eq!(u32::from_le_bytes(world.get(group)), 1);
}

#[test]
fn the_leader_of_a_session_is_told_that_its_terminal_hung_up() {
    let (mut world, master, slave) = pair();
    let all = world.put(0x100, &u64::MAX.to_le_bytes());
    world.call(RT_SIGPROCMASK, &[2, all, 0, 8]).expect("a set");
    world.call(IOCTL, &[slave, TIOCSCTTY, 0]).expect("a leader");

    world.call(CLOSE, &[master]).expect("open");

    let expected = SignalSet::default().with(Signal::HUP).with(Signal::CONT);
    assert_eq!(world.process.signals.lock().pending.present(), expected);
    assert_eq!(read(&mut world, slave), Ok(String::new()));
    assert_eq!(write(&mut world, slave, b"x"), Err(Errno::EIO));
}

#[test]
fn a_number_is_free_again_when_both_ends_are_closed() {
    let (mut world, master, slave) = pair();
    let path = world.put(0x800, b"/pts/ptmx\0");
    let number = |world: &mut World, master: u64| {
        let address = world.page + 0xb00;
        world
            .call(IOCTL, &[master, 0x8004_5430, address])
            .expect("a master");
        u32::from_le_bytes(world.get(address))
    };

    world.call(CLOSE, &[master]).expect("open");
    let second = world.call(OPEN, &[path, O_RDWR, 0]).expect("a pair");
    assert_eq!(number(&mut world, second), 1);
    world.call(CLOSE, &[slave]).expect("open");
    let third = world.call(OPEN, &[path, O_RDWR, 0]).expect("a pair");
    assert_eq!(number(&mut world, third), 0);
}

#[test]
fn a_terminal_that_somebody_has_is_nobody_elses() {
    let (world, ..) = pair();
    let control = &world.libos.terminals.console;

    world.libos.take_terminal(control, 1);
    assert_eq!(control.holder(), Holder::leader(1));
    world.libos.take_terminal(control, 2);
    assert_eq!(control.holder(), Holder::leader(1));
    assert_eq!(control.release(2), None);
}

#[test]
fn a_terminal_that_nobody_reads_takes_only_so_many_stop_characters() {
    const TCXONC: u64 = 0x540a;
    const TCIOFF: u64 = 2;
    const FIONREAD: u64 = 0x541b;
    let (mut world, master, slave) = pair();
    for _ in 0..20_000 {
        assert_eq!(world.call(IOCTL, &[slave, TCXONC, TCIOFF]), Ok(0));
    }
    let place = world.page + 0x100;
    assert_eq!(world.call(IOCTL, &[master, FIONREAD, place]), Ok(0));
    let waiting = u32::from_le_bytes(world.get(place));
    assert!((1..20_000).contains(&waiting), "{waiting}");
}

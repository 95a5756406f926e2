//! Linux's own pseudo-terminals are the judge: the same random bytes and settings, the same bytes
//! out at either end.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use proptest::prelude::*;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, OutputModes, SpecialCodeIndex, tcgetattr, tcsetattr,
};
use tty::{Input, Line, Local, Output, Typed};

/// What happens to a terminal.
#[derive(Clone, Debug)]
enum Step {
    /// The terminal emulator sends.
    Type(Vec<u8>),
    /// A program writes.
    Write(Vec<u8>),
    /// A program reads so much.
    Read(usize),
    /// A program changes settings.
    Set(u32, u32, u32, u8),
}

/// Bytes of which every second one means something to somebody.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let special = prop::sample::select(
        &b"\x03\x04\x08\t\n\r\x11\x12\x13\x15\x16\x17\x1a\x1c\x7f\xff\x00"[..],
    );
    let byte = prop_oneof![
        3 => special,
        3 => prop::sample::select(&b"aZ0 _.\xc3\xa4\xe2\x82\xac"[..]),
        1 => any::<u8>(),
    ];
    prop::collection::vec(byte, 1..24)
}

/// Each flag that is not for metal, by its bit, or none.
fn flags(bits: &'static [u32], common: u32) -> impl Strategy<Value = u32> {
    let any_of = prop::collection::vec(prop::sample::select(bits), 0..bits.len());
    let any_of = any_of.prop_map(|bits| bits.into_iter().fold(0, |all, bit| all | bit));
    prop_oneof![any_of.clone(), any_of.prop_map(move |flags| flags ^ common)]
}

fn step() -> impl Strategy<Value = Step> {
    let input = flags(
        &[
            0o10, 0o40, 0o100, 0o200, 0o400, 0o1000, 0o2000, 0o4000, 0o40000,
        ],
        0o2400,
    );
    let output = flags(&[1, 2, 4, 0o10, 0o20, 0o40, 0o14000], 5);
    let local = flags(
        &[
            1, 2, 0o10, 0o20, 0o40, 0o100, 0o200, 0o1000, 0o2000, 0o4000, 0o100000, 0o200000,
        ],
        0o105073,
    );
    prop_oneof![
        6 => bytes().prop_map(Step::Type),
        2 => bytes().prop_map(Step::Write),
        3 => (1..30usize).prop_map(Step::Read),
        2 => (input, output, local, prop::sample::select(&b"\x00.a"[..]))
            .prop_map(|(input, output, local, eol)| Step::Set(input, output, local, eol)),
    ]
}

const MOMENT: Duration = Duration::from_millis(2);
const PATIENCE: Duration = Duration::from_millis(500);

/// A pseudo-terminal of the host.
struct Host {
    master: OwnedFd,
    slave: OwnedFd,
}

impl Host {
    fn new() -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).expect("the host has pseudo-terminals");
        grantpt(&master).expect("ours");
        unlockpt(&master).expect("ours");
        let name = ptsname(&master, Vec::new()).expect("a name");
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK;
        let slave = rustix::fs::open(name, flags, Mode::empty()).expect("it is unlocked");
        Self { master, slave }
    }

    /// Whether something can be read, or can within a time that a busy host needs to move it.
    fn is_readable(fd: &OwnedFd, patience: Duration) -> bool {
        let mut fds = [PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)];
        let patience = Timespec::try_from(patience).expect("short");
        poll(&mut fds, Some(&patience)).expect("a descriptor");
        fds[0].revents().contains(PollFlags::IN)
    }

    /// Takes output until there is as much as expected and no more comes.
    fn take(&self, expected: usize) -> Vec<u8> {
        let mut taken = Vec::new();
        loop {
            let is_complete = taken.len() >= expected;
            let patience = if is_complete { MOMENT } else { PATIENCE };
            if !Self::is_readable(&self.master, patience) {
                return taken;
            }
            let mut buffer = [0; 4096];
            let count = rustix::io::read(&self.master, &mut buffer).expect("output");
            taken.extend(&buffer[..count]);
        }
    }

    /// Reads input if there is some.
    fn read(&self, len: usize, is_expected: bool) -> Option<Vec<u8>> {
        let patience = if is_expected { PATIENCE } else { MOMENT };
        // With MIN and TIME of zero nothing is an end; here it is told apart by looking first.
        if !Self::is_readable(&self.slave, patience) {
            return None;
        }
        let mut buffer = vec![0; len];
        let count = rustix::io::read(&self.slave, &mut buffer).expect("input");
        buffer.truncate(count);
        Some(buffer)
    }

    fn set(&self, input: u32, output: u32, local: u32, eol: u8) {
        let mut settings = tcgetattr(&self.slave).expect("a terminal");
        settings.input_modes = InputModes::from_bits_retain(input);
        settings.output_modes = OutputModes::from_bits_retain(output);
        settings.local_modes = LocalModes::from_bits_retain(local);
        settings.special_codes[SpecialCodeIndex::VEOL] = eol;
        tcsetattr(&self.slave, OptionalActions::Now, &settings).expect("a terminal");
    }
}

fn take(line: &mut Line) -> Vec<u8> {
    let mut buffer = vec![0; 1 << 16];
    let count = line.take(&mut buffer).unwrap_or(0);
    buffer.truncate(count);
    buffer
}

fn read(line: &mut Line, len: usize) -> Option<Vec<u8>> {
    if !line.has_input(true) {
        return None;
    }
    let mut buffer = vec![0; len];
    let count = line.read(&mut buffer, &mut Vec::new())?;
    buffer.truncate(count);
    Some(buffer)
}

fn set(line: &mut Line, input: u32, output: u32, local: u32, eol: u8) {
    let mut settings = line.settings().with_flags(
        Input::from_bits_retain(input),
        Output::from_bits_retain(output),
        Local::from_bits_retain(local),
    );
    settings.characters.eol = eol;
    line.set_settings(settings);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn a_line_does_what_a_pseudo_terminal_of_linux_does(
        steps in prop::collection::vec(step(), 1..12),
    ) {
        // A thread of Linux moves what is typed, and now and then a busy host has it come late or in
        // parts. What is really different is so both times.
        compare(&steps).or_else(|_| compare(&steps))?;
    }
}

fn compare(steps: &[Step]) -> Result<(), TestCaseError> {
    let (host, mut line) = (Host::new(), Line::default());
    for step in steps.iter().flat_map(apart) {
        match &step {
            Step::Type(bytes) => {
                let sent = rustix::io::write(&host.master, bytes);
                prop_assert_eq!(sent, Ok(line.type_in(bytes, &mut Vec::new())));
            }
            Step::Write(bytes) => {
                let written = rustix::io::write(&host.slave, bytes).unwrap_or(0);
                prop_assert_eq!(written, line.write(bytes), "{:?}", step);
            }
            Step::Read(len) => {
                let ours = read(&mut line, *len);
                prop_assert_eq!(host.read(*len, ours.is_some()), ours, "{:?}", step);
            }
            &Step::Set(input, output, local, eol) => {
                host.set(input, output, local, eol);
                set(&mut line, input, output, local, eol);
            }
        }
        let ours = take(&mut line);
        let theirs = host.take(ours.len());
        prop_assert_eq!(
            theirs.escape_ascii().to_string(),
            ours.escape_ascii().to_string(),
            "{:?}",
            step
        );
    }
    Ok(())
}

/// A signal flushes what Linux has not moved yet, which depends on who is faster: so each has a step
/// of its own.
fn apart(step: &Step) -> Vec<Step> {
    let Step::Type(bytes) = step else {
        return vec![step.clone()];
    };
    let mut steps = Vec::new();
    for part in bytes.split_inclusive(|byte| b"\x03\x1a\x1c\x83\x9a\x9c".contains(byte)) {
        let (last, before) = part.split_last().expect("not empty");
        steps.extend((!before.is_empty()).then(|| Step::Type(before.to_vec())));
        steps.push(Step::Type(vec![*last]));
    }
    steps
}

#[test]
fn a_signal_forgets_what_was_typed_before_it_and_not_shown() {
    let (host, mut line) = (Host::new(), Line::default());
    let (bytes, mut typed) = (b"abc\x03\x1ad", Vec::new());
    rustix::io::write(&host.master, bytes).expect("room");
    line.type_in(bytes, &mut typed);
    assert_eq!(typed, [Typed::Interrupt, Typed::Suspend]);
    let ours = take(&mut line);
    assert_eq!(ours, b"^Zd");
    assert_eq!(host.take(ours.len()), ours);
}

#[test]
fn a_line_that_is_too_long_keeps_its_start_and_can_end() {
    let (host, mut line) = (Host::new(), Line::default());
    let long: Vec<u8> = (0..5000u32).map(|n| b'a' + (n % 26) as u8).collect();
    for chunk in long.chunks(500).chain([&b"\n"[..]]) {
        rustix::io::write(&host.master, chunk).expect("room");
        line.type_in(chunk, &mut Vec::new());
        let ours = take(&mut line);
        assert_eq!(host.take(ours.len()), ours);
    }
    let (theirs, ours) = (host.read(8192, true), read(&mut line, 8192));
    assert_eq!(ours.as_ref().map(Vec::len), Some(4096));
    assert_eq!(theirs, ours);
}

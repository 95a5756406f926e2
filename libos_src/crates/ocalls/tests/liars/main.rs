//! A host that replies anything to every call there is: what comes out is something that an honest
//! host could have said.

mod judge;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::sync::Mutex;

use abi::ocall::Ocall;
use hal::{Clock, Errno, HostEvents};
use judge::{CAPACITY, REALTIME, all};
use ocalls::{Host, Post};
use proptest::prelude::*;
use proptest::sample::select;

/// Replies from a list, over and over, and scribbles over the buffer before each.
struct Liar {
    replies: Vec<i64>,
    noise: u8,
    next: Mutex<usize>,
    /// What was asked.
    asked: Mutex<BTreeSet<u64>>,
    /// Whether there is a way to the host at all.
    is_open: bool,
}

impl Liar {
    fn new(replies: Vec<i64>, noise: u8) -> Self {
        Self {
            replies,
            noise,
            next: Mutex::new(0),
            asked: Mutex::default(),
            is_open: true,
        }
    }
}

impl Post for &Liar {
    fn capacity_bytes(&self) -> usize {
        if self.is_open { CAPACITY } else { 0 }
    }

    fn put(&self, bytes: &[u8]) {
        assert!(!self.is_open || bytes.len() <= CAPACITY, "more than fits");
    }

    fn take(&self, out: &mut [u8]) {
        assert!(!self.is_open || out.len() <= CAPACITY, "more than there is");
        for (index, byte) in out.iter_mut().enumerate() {
            *byte = self.noise.wrapping_mul(31).wrapping_add(index as u8) | 1;
        }
    }

    fn send(&self, call: Ocall, _: &[u64; 6]) -> Option<i64> {
        self.asked.lock().expect("alone").insert(call as u64);
        let mut next = self.next.lock().expect("alone");
        let reply = self.replies[*next % self.replies.len()];
        *next += 1;
        self.is_open.then_some(reply)
    }
}

fn replies() -> impl Strategy<Value = Vec<i64>> {
    let reply = prop_oneof![
        any::<i64>(),
        -4200..10_i64,
        0..=2 * CAPACITY as i64,
        select(vec![
            0,
            1,
            i64::MAX,
            i64::MIN,
            i64::MIN + 1,
            -4095,
            -4096,
            i64::from(u32::MAX),
            i64::from(u32::MAX) + 1,
            i64::from(i32::MAX) + 1,
        ]),
    ];
    proptest::collection::vec(reply, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_a_host_replies_is_something_an_honest_one_could_say(
        replies in replies(),
        noise: u8,
        size in prop_oneof![0..100_usize, select(vec![CAPACITY - 1, CAPACITY, CAPACITY + 1])],
        fd: u32,
        kept: u64,
        asked: u16,
    ) {
        let liar = Liar::new(replies, noise);
        all(Host::new(&liar), size, fd, kept, HostEvents::from_bits_truncate(asked));
    }
}

#[test]
fn without_a_way_to_the_host_every_call_fails() {
    let liar = Liar {
        is_open: false,
        ..Liar::new(vec![0], 0)
    };
    let host = Host::new(&liar);

    assert_eq!(host.read(0, &mut [0; 8]), Err(Errno::EIO));
    assert_eq!(host.read_image(0, 0, &mut [0; 8]), Err(Errno::EIO));
    assert_eq!(host.take_signals(u64::MAX), 0);
    assert_eq!(host.terminal_settings(0), Err(Errno::EIO));
    assert!(REALTIME.contains(&host.clock(Clock::Realtime)));
}

/// The two that do not come back are left out: a host that returns from them is asked again.
#[test]
fn no_call_is_without_a_test() {
    let liar = Liar::new(vec![0], 0);
    all(Host::new(&liar), 8, 0, 0, HostEvents::IN);
    let endless = [Ocall::ExitProcess as u64, Ocall::Abort as u64];

    let known: BTreeSet<u64> = (0..=1000)
        .filter(|&number| Ocall::from_number(number).is_some())
        .filter(|number| !endless.contains(number))
        .collect();

    assert_eq!(*liar.asked.lock().expect("alone"), known);
}

/// Lets a call be made so often, and then unwinds.
struct Patience(Cell<u32>, RefCell<Vec<Vec<u8>>>);

impl Post for &Patience {
    fn capacity_bytes(&self) -> usize {
        4096
    }

    fn put(&self, bytes: &[u8]) {
        self.1.borrow_mut().push(bytes.to_vec());
    }

    fn take(&self, _: &mut [u8]) {}

    fn send(&self, _: Ocall, _: &[u64; 6]) -> Option<i64> {
        assert!(self.0.get() > 0, "asked again and again");
        self.0.set(self.0.get() - 1);
        Some(0)
    }
}

#[test]
fn a_host_that_comes_back_from_the_end_is_asked_again() {
    for end in [0, 1] {
        let patience = Patience(Cell::new(5), RefCell::default());
        let host = Host::new(&patience);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| -> () {
            if end == 0 {
                host.exit_process(3)
            } else {
                host.abort(b"why")
            }
        }));
        assert!(outcome.is_err(), "it went on");
        assert_eq!(patience.0.get(), 0);
    }
}

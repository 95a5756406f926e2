//! What the host replies to OCALLs.

#[path = "../../ocalls/tests/liars/judge.rs"]
mod judge;

use std::sync::Mutex;

use abi::ocall::Ocall;
use hal::HostEvents;
use judge::CAPACITY;
use ocalls::{Host, Post};

/// The host's words: the input, over and over.
struct Words<'a> {
    data: &'a [u8],
    next: Mutex<usize>,
}

impl Words<'_> {
    fn bytes(&self, out: &mut [u8]) {
        let mut next = self.next.lock().expect("alone");
        for byte in out {
            *byte = self.data[*next % self.data.len()];
            *next += 1;
        }
    }
}

impl Post for &Words<'_> {
    fn capacity_bytes(&self) -> usize {
        CAPACITY
    }

    fn put(&self, bytes: &[u8]) {
        assert!(bytes.len() <= CAPACITY);
    }

    fn take(&self, out: &mut [u8]) {
        assert!(out.len() <= CAPACITY);
        self.bytes(out);
    }

    fn send(&self, _: Ocall, _: &[u64; 6]) -> Option<i64> {
        let mut kind = [0; 1];
        self.bytes(&mut kind);
        let mut word = [0; 8];
        // Short words are small numbers, and errors.
        self.bytes(&mut word[..if kind[0] & 1 == 0 { 2 } else { 8 }]);
        let word = i64::from_le_bytes(word);
        Some(if kind[0] & 2 == 0 {
            word
        } else {
            word.wrapping_neg()
        })
    }
}

/// Whatever the words are, each call gives something that an honest host could have said.
pub(crate) fn check(data: &[u8]) {
    let [size, fd, events, kept, data @ ..] = data else {
        return;
    };
    if data.is_empty() {
        return;
    }
    let words = Words {
        data,
        next: Mutex::new(0),
    };
    let events = HostEvents::from_bits_truncate((*events).into());
    let kept = u64::from(*kept).wrapping_mul(0x0101_0101_0101_0101);
    judge::all(
        Host::new(&words),
        (*size).into(),
        (*fd).into(),
        kept,
        events,
    );
}

/// An honest host, one that fails, and one that says too much.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    [
        &[0_u8, 0, 0][..],
        &[0, 1, 0],
        &[2, 4, 0],
        &[2, 11, 0],
        &[1, 255, 255, 255, 255, 255, 255, 255, 127],
        &[3, 0, 0, 0, 0, 0, 0, 0, 128],
    ]
    .iter()
    .map(|words| [&[16, 1, 5, 6][..], words].concat())
    .collect()
}

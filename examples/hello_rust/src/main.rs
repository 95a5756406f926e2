//! Rust's standard library in an enclave: threads, channels.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::thread;

fn main() {
    let (sender, receiver) = mpsc::channel();
    let workers: Vec<_> = (0u64..4)
        .map(|number| {
            let sender = sender.clone();
            thread::spawn(move || sender.send((number, sum_of_squares(number * 1000))))
        })
        .collect();
    drop(sender);
    let sums: BTreeMap<u64, u64> = receiver.iter().collect();
    for worker in workers {
        worker
            .join()
            .expect("a worker never panics")
            .expect("the receiver is alive");
    }
    for (number, sum) in sums {
        println!("thread {number}: {}", itoa::Buffer::new().format(sum));
    }
    println!("hello from Rust");
}

fn sum_of_squares(limit: u64) -> u64 {
    (0..limit).map(|n| n * n).sum()
}

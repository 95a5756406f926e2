//! Rust's standard library in an enclave: threads, channels, processes.

use std::collections::BTreeMap;
use std::env;
use std::io::{self, Read, Write};
use std::process::{self, Command, Stdio};
use std::sync::mpsc;
use std::thread;

fn main() {
    if env::args().nth(1).as_deref() == Some("shout") {
        process::exit(shout());
    }
    threads();
    processes();
    println!("hello from Rust");
}

fn threads() {
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
}

/// Threads that each start this program again, write to it and read what it says.
fn processes() {
    let callers: Vec<_> = ["one", "two", "three"]
        .map(|word| thread::spawn(move || ask(word)))
        .into_iter()
        .collect();
    for caller in callers {
        let (said, status) = caller.join().expect("a caller never panics");
        println!("process: {said}, status {status}");
    }
    let missing = Command::new("/bin/missing").spawn();
    println!(
        "missing: {:?}",
        missing.map(|_| ()).map_err(|error| error.kind())
    );
}

fn ask(word: &str) -> (String, i32) {
    let mut child = Command::new(env::current_exe().expect("/proc/self/exe can be read"))
        .arg("shout")
        .env("SUFFIX", "!")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program can be started");
    let mut input = child.stdin.take().expect("standard input is piped");
    input.write_all(word.as_bytes()).expect("the child reads");
    drop(input);
    let output = child.wait_with_output().expect("the child ends");
    let said = String::from_utf8(output.stdout).expect("the child writes text");
    (said, output.status.code().expect("no signal ends it"))
}

/// What the children do; the exit status is the number of letters.
fn shout() -> i32 {
    let mut word = String::new();
    io::stdin()
        .read_to_string(&mut word)
        .expect("standard input is text");
    print!(
        "{}{}",
        word.to_uppercase(),
        env::var("SUFFIX").unwrap_or_default()
    );
    word.len() as i32
}

fn sum_of_squares(limit: u64) -> u64 {
    (0..limit).map(|n| n * n).sum()
}

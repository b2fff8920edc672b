//! One core, two builds: here it runs; with `RUSTFLAGS="--cfg ropewalk_loom"` it is explored.

use ropewalk_prove::{
    model,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};
use std::sync::atomic::AtomicUsize as Plain;

/// Counts down; whoever arrives last sees what all others wrote.
struct Countdown(AtomicUsize);

impl Countdown {
    fn arrive(&self) -> bool {
        // Release: publishes this thread's writes to the last one. Acquire: the last one takes them
        // over. Each arrival pairs with every other.
        self.0.fetch_sub(1, Ordering::AcqRel) == 1
    }
}

fn main() {
    let runs = std::sync::Arc::new(Plain::new(0));
    let count = runs.clone();
    model(move || {
        count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let countdown = Arc::new(Countdown(AtomicUsize::new(2)));
        let other = countdown.clone();
        let thread = thread::spawn(move || other.arrive());
        let mine = countdown.arrive();
        let theirs = thread.join().expect("the other thread does not panic");
        assert!(mine != theirs, "exactly one is last");
    });
    println!(
        "exactly one of two arrivals was last, in {} execution(s)",
        runs.load(std::sync::atomic::Ordering::Relaxed)
    );
    println!("this build runs the body once; a model build explores every interleaving of it");
}

//! The infinite array queue (the starting point of LCRQ: Morrison and Afek, PPoPP 2013): refuted, by a livelock.
//!
//! Tickets by fetch-and-add, one swap per cell. Nobody ever waits for a suspended thread, so the queue looks lock-free, and a
//! search that suspends threads finds nothing. But a pop can spoil the very cell that a push is about to fill, and look at
//! the tail after that push has taken its next ticket: both go on for ever, and nothing is completed. loom accepts the queue
//! when preemptions are bounded, and otherwise gives up at its limit of branches, without a schedule. SCQ (the example `scq`)
//! is the cure.
//!
//! ```text
//! cargo run --example infinite_array_queue                                        # real threads
//! RUSTFLAGS="--cfg ropewalk_loom -C debug-assertions" \
//!     cargo run --release -p ropewalk-prove --example infinite_array_queue        # the refutation
//! ```

use ropewalk_prove::sync::atomic::{
    AtomicU64, AtomicUsize,
    Ordering::{AcqRel, Acquire},
};
use std::process::ExitCode;

const EMPTY: u64 = 0;
/// A pop was here first.
const SPOILED: u64 = u64::MAX;

/// As infinite as the caller can afford; beyond the end it panics.
struct Queue {
    cells: Box<[AtomicU64]>,
    head: AtomicUsize,
    tail: AtomicUsize,
}

impl Queue {
    fn new(cells: usize) -> Self {
        Self {
            cells: (0..cells).map(|_| AtomicU64::new(EMPTY)).collect(),
            head: AtomicUsize::new(0),
            tail: AtomicUsize::new(0),
        }
    }

    fn push(&self, value: u64) {
        loop {
            // AcqRel: pairs with the Acquire of `tail` in `pop`.
            let ticket = self.tail.fetch_add(1, AcqRel);
            // AcqRel: pairs with the swap in `pop`.
            if self.cells[ticket].swap(value, AcqRel) == EMPTY {
                return;
            }
        }
    }

    fn pop(&self) -> Option<u64> {
        loop {
            // AcqRel: pairs with itself.
            let ticket = self.head.fetch_add(1, AcqRel);
            // AcqRel: pairs with the swap in `push`.
            let seen = self.cells[ticket].swap(SPOILED, AcqRel);
            if seen != EMPTY {
                return Some(seen);
            }
            // Acquire: pairs with the AcqRel in `push`.
            if self.tail.load(Acquire) <= ticket + 1 {
                return None;
            }
        }
    }
}

#[cfg(ropewalk_loom)]
fn main() -> ExitCode {
    proof::main()
}

#[cfg(ropewalk_loom)]
mod proof {
    use super::Queue;
    use ropewalk_prove::{Explorer, Replay, Verdict, stall_sweep, sync::Arc, thread};
    use std::process::ExitCode;

    /// More cells than the search looks ahead.
    const CELLS: usize = 200;

    fn client() {
        let queue = Arc::new(Queue::new(CELLS));
        let theirs = queue.clone();
        let other = thread::spawn(move || theirs.pop());
        queue.push(7);
        let seen = other.join().unwrap().or_else(|| queue.pop());
        assert_eq!(seen, Some(7));
    }

    pub(crate) fn main() -> ExitCode {
        let swept = stall_sweep(client);
        println!("Under loom, one preemption, each thread suspended before each step: {swept}\n");

        println!("In every schedule:");
        let explorer = Explorer::new().idle_steps(100);
        let verdict = explorer.lock_free(client);
        println!("{verdict}\n");
        let (Verdict::Proved(_), Verdict::Refuted(refutation)) = (swept, verdict) else {
            println!("The sweep was to find nothing, the explorer a livelock.");
            return ExitCode::FAILURE;
        };
        let again = explorer.replay(refutation.schedule(), Replay::LOCK_FREE, client);
        if !refutation.is_livelock() || again.to_string() != refutation.to_string() {
            println!("A livelock was to be found, and to be found again along its schedule.");
            return ExitCode::FAILURE;
        }
        println!(
            "Not lock-free, although nobody waits for a suspended thread: the pop spoils the cell that the push is about\n\
             to fill, the push takes its next ticket, and the pop, which looks at the tail only now, goes on to spoil that\n\
             one too. Neither is ever done."
        );
        ExitCode::SUCCESS
    }
}

#[cfg(not(ropewalk_loom))]
fn main() -> ExitCode {
    use ropewalk_prove::{sync::Arc, thread};
    const EACH: u64 = 10_000;
    // Pops that find nothing use cells up, and how many do depends on the machine.
    const CELLS: usize = 4_000_000;

    let queue = Arc::new(Queue::new(CELLS));
    let theirs = queue.clone();
    let producer = thread::spawn(move || (1..=EACH).for_each(|value| theirs.push(value)));
    let (mut sum, mut seen) = (0, 0);
    while seen < EACH {
        match queue.pop() {
            Some(value) => (sum, seen) = (sum + value, seen + 1),
            None => thread::yield_now(),
        }
    }
    producer.join().expect("the producer does not panic");
    println!("{EACH} values, their sum is {sum}: no stress test will tell you what is wrong with it");
    println!(
        "The refutation: RUSTFLAGS=\"--cfg ropewalk_loom -C debug-assertions\" \
         cargo run --release -p ropewalk-prove --example infinite_array_queue"
    );
    if sum == EACH * (EACH + 1) / 2 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

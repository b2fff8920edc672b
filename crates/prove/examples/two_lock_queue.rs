//! The two-lock queue (Michael and Scott, PODC 1996): refuted as lock-free, and proved for what it does promise.
//!
//! One latch for the head, one for the tail, a dummy node between them: a push and a pop never wait for each other, two
//! pushes do. The explorer says all three.
//!
//! ```text
//! cargo run --example two_lock_queue                                        # real threads
//! RUSTFLAGS="--cfg ropewalk_loom -C debug-assertions" \
//!     cargo run --release -p ropewalk-prove --example two_lock_queue        # the verdicts
//! ```

use ropewalk_prove::{
    Latch,
    cell::UnsafeCell,
    sync::atomic::{
        AtomicUsize,
        Ordering::{Acquire, Relaxed, Release},
    },
};
use std::process::ExitCode;

/// No node.
const NONE: usize = usize::MAX;

struct Node {
    value: UnsafeCell<u64>,
    next: AtomicUsize,
}

/// A queue over an array of nodes that are used once.
struct Queue {
    nodes: Box<[Node]>,
    fresh: AtomicUsize,
    /// The dummy: its successor is the first.
    head: Latch<usize>,
    tail: Latch<usize>,
}

// SAFETY: a node's value is written before the node is linked, and read under the latch of the head after it was seen linked.
unsafe impl Sync for Queue {}

impl Queue {
    /// Room for `pushes` in all.
    fn new(pushes: usize) -> Self {
        let node = |_| Node { value: UnsafeCell::new(0), next: AtomicUsize::new(NONE) };
        Self {
            nodes: (0..=pushes).map(node).collect(),
            fresh: AtomicUsize::new(1),
            head: Latch::new(0),
            tail: Latch::new(0),
        }
    }

    fn push(&self, value: u64) {
        // Relaxed: nothing but the number is taken.
        let node = self.fresh.fetch_add(1, Relaxed);
        // SAFETY: nobody else has this number.
        self.nodes[node].value.with_mut(|place| unsafe { *place = value });
        let mut tail = self.tail.lock();
        // Release: pairs with the Acquire in `pop`, which reads the value.
        self.nodes[*tail].next.store(node, Release);
        *tail = node;
    }

    fn pop(&self) -> Option<u64> {
        let mut head = self.head.lock();
        // Acquire: pairs with the Release in `push`.
        let next = self.nodes[*head].next.load(Acquire);
        if next == NONE {
            return None;
        }
        *head = next;
        // SAFETY: the node is linked, so its value is written and stays.
        Some(self.nodes[next].value.with(|place| unsafe { *place }))
    }
}

#[cfg(ropewalk_loom)]
fn main() -> ExitCode {
    proof::main()
}

#[cfg(ropewalk_loom)]
mod proof {
    use super::Queue;
    use ropewalk_prove::{Explorer, Holders, Verdict, model, sync::Arc, thread};
    use std::process::ExitCode;

    fn push_vs_pop() {
        let queue = Arc::new(Queue::new(2));
        let theirs = queue.clone();
        let other = thread::spawn(move || (theirs.pop(), theirs.pop()));
        queue.push(1);
        queue.push(2);
        let seen = other.join().unwrap();
        assert!(matches!(seen, (None, None | Some(1)) | (Some(1), None | Some(2))), "{seen:?}");
    }

    fn push_vs_push() {
        let queue = Arc::new(Queue::new(2));
        let theirs = queue.clone();
        let other = thread::spawn(move || theirs.push(1));
        queue.push(2);
        other.join().unwrap();
        assert_eq!(queue.pop().into_iter().chain(queue.pop()).sum::<u64>(), 3);
    }

    pub(crate) fn main() -> ExitCode {
        model(push_vs_pop);
        model(push_vs_push);
        println!("loom: accepted, in both clients\n");

        let alone = Explorer::new().lock_free(push_vs_pop);
        println!("One pushes, one pops, lock-free? {alone}\n");

        let two = Explorer::new().lock_free(push_vs_push);
        println!("Two push, lock-free?\n{two}\n");

        let excused = Explorer::new().waits_only_for(Holders::LATCHES, push_vs_push);
        println!("Two push, and wait for nobody but one inside a section of a latch? {excused}\n");

        let (Verdict::Proved(_), Verdict::Refuted(refutation), Verdict::Proved(_)) = (&alone, &two, &excused)
        else {
            println!("The verdicts were to be: proved, refuted, proved.");
            return ExitCode::FAILURE;
        };
        println!(
            "Not lock-free: suspend the thread that stands before {},\n\
             and the one before {} waits for ever.\n\
             But a push and a pop never wait for each other, and whom two pushes wait for is inside a section that ends after\n\
             a few steps, without user code.",
            refutation.victims().join(", "),
            refutation.stuck().join(", "),
        );
        ExitCode::SUCCESS
    }
}

#[cfg(not(ropewalk_loom))]
fn main() -> ExitCode {
    use ropewalk_prove::{sync::Arc, thread};
    const EACH: u64 = 10_000;

    let queue = Arc::new(Queue::new(2 * EACH as usize));
    let producers: Vec<_> = (0..2)
        .map(|_| {
            let queue = queue.clone();
            thread::spawn(move || (1..=EACH).for_each(|value| queue.push(value)))
        })
        .collect();
    let (mut sum, mut seen) = (0, 0);
    while seen < 2 * EACH {
        match queue.pop() {
            Some(value) => (sum, seen) = (sum + value, seen + 1),
            None => thread::yield_now(),
        }
    }
    producers.into_iter().for_each(|t| t.join().expect("a producer does not panic"));
    println!("{seen} values, their sum is {sum}");
    println!(
        "The verdicts: RUSTFLAGS=\"--cfg ropewalk_loom -C debug-assertions\" \
         cargo run --release -p ropewalk-prove --example two_lock_queue"
    );
    if sum == EACH * (EACH + 1) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

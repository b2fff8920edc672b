//! The core of a run under loom.
#![cfg(ropewalk_loom)]

use ropewalk_graph::raw::progress::{FIRST_OUTCOME, Progress};
use ropewalk_prove::{
    cell::UnsafeCell,
    model,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

const DONE: u8 = FIRST_OUTCOME;

struct Join {
    progress: Progress,
    /// What the bodies of the two dependencies write.
    cells: [UnsafeCell<u32>; 2],
    ran: AtomicUsize,
}

// SAFETY: each cell is written by one thread before it arrives, and read by the last to arrive; that
// this is ordered is what the models check.
unsafe impl Sync for Join {}

impl Join {
    fn new() -> Arc<Self> {
        // Tasks 0 and 1 are waited for by task 2.
        Arc::new(Self {
            progress: Progress::new([0, 0, 2].into_iter()),
            cells: [UnsafeCell::new(0), UnsafeCell::new(0)],
            ran: AtomicUsize::new(0),
        })
    }

    fn body(&self, task: usize) {
        // SAFETY: only this thread touches the cell until it has arrived.
        self.cells[task].with_mut(|cell| unsafe { *cell = 1 });
        self.progress.set(task, DONE);
    }
}

/// The last of two to arrive sees what both wrote, and there is exactly one last.
#[test]
fn progress_arrive_vs_arrive() {
    model(|| {
        let join = Join::new();
        let run = |join: &Join, task: usize| {
            join.body(task);
            if join.progress.arrive(2) {
                for on in 0..2 {
                    assert_eq!(join.progress.outcome(on), DONE);
                    // SAFETY: both have arrived.
                    join.cells[on].with(|cell| assert_eq!(unsafe { *cell }, 1));
                }
                join.ran.fetch_add(1, Ordering::Relaxed);
            }
        };
        let other = join.clone();
        let thread = thread::spawn(move || run(&other, 1));
        run(&join, 0);
        thread.join().unwrap();
        assert_eq!(join.ran.load(Ordering::Relaxed), 1);
    });
}

/// A rule that one success meets: whoever claims sees its own dependency's writes, and exactly one
/// decides, the last arrival included.
#[test]
fn progress_claim_vs_arrive() {
    model(|| {
        let join = Join::new();
        let run = |join: &Join, task: usize, succeeded: bool| {
            join.body(task);
            if succeeded && join.progress.claim(2) {
                // SAFETY: written by this thread.
                join.cells[task].with(|cell| assert_eq!(unsafe { *cell }, 1));
                join.ran.fetch_add(1, Ordering::Relaxed);
            }
            if join.progress.arrive(2) && join.progress.claim(2) {
                join.ran.fetch_add(1, Ordering::Relaxed);
            }
        };
        let other = join.clone();
        let thread = thread::spawn(move || run(&other, 1, true));
        run(&join, 0, false);
        thread.join().unwrap();
        assert_eq!(join.ran.load(Ordering::Relaxed), 1);
    });
}

/// Two that both meet the rule: one claims.
#[test]
fn progress_claim_vs_claim() {
    model(|| {
        let join = Join::new();
        let other = join.clone();
        let claim = |join: &Join| {
            if join.progress.claim(2) {
                join.ran.fetch_add(1, Ordering::Relaxed);
            }
        };
        let thread = thread::spawn(move || claim(&other));
        claim(&join);
        thread.join().unwrap();
        assert_eq!(join.ran.load(Ordering::Relaxed), 1);
    });
}

#[path = "models/progress.rs"]
mod progress;

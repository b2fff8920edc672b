//! How far one run of a frozen graph is: a countdown and an outcome for each task.
//!
//! # Protocol
//!
//! Each dependency of a task, when it is finished, publishes its outcome and *arrives* at the task
//! once. The last to arrive decides whether the task runs or is skipped; it sees the outcomes of all
//! dependencies and everything their bodies wrote.
//!
//! A task whose rule can be met before all have arrived is *claimed*: whoever moves its outcome from
//! `NONE` to `CLAIMED` decides. That one sees what its own dependency wrote, which is what met the
//! rule. The last arrival tries to claim too, and decides when nobody did before.
//!
//! So exactly one of those who finish the dependencies decides about the task, exactly once.

use ropewalk_prove::sync::atomic::{AtomicU8, AtomicU32, Ordering};

/// Not decided.
const NONE: u8 = 0;
/// Decided before all dependencies were finished.
const CLAIMED: u8 = 1;
/// Codes from here on are free for the owner.
pub const FIRST_OUTCOME: u8 = 2;

/// The countdowns and outcomes of one run.
#[derive(Debug)]
pub struct Progress {
    pending: Box<[AtomicU32]>,
    outcome: Box<[AtomicU8]>,
}

impl Progress {
    /// Nothing has happened yet; the numbers are the dependencies of each task.
    pub fn new(dependencies: impl Iterator<Item = u32>) -> Self {
        let pending: Box<[AtomicU32]> = dependencies.map(AtomicU32::new).collect();
        let outcome = pending.iter().map(|_| AtomicU8::new(NONE)).collect();
        Self { pending, outcome }
    }

    /// One of the dependencies of `task` is finished; tells whether it was the last.
    pub fn arrive(&self, task: usize) -> bool {
        // Release: pairs with the Acquire of the last arrival here, which reads what we wrote before.
        // Acquire: pairs with the Release of every earlier arrival (they form a release sequence).
        self.pending[task].fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Takes the decision about `task` before all have arrived; tells whether it was still open.
    pub fn claim(&self, task: usize) -> bool {
        // Relaxed: the winner needs nothing of the losers, and its own dependency's writes are its own.
        self.outcome[task].compare_exchange(NONE, CLAIMED, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Publishes how `task` ended, before it arrives anywhere.
    pub fn set(&self, task: usize, outcome: u8) {
        debug_assert!(outcome >= FIRST_OUTCOME);
        // Relaxed: the arrivals that follow publish it.
        self.outcome[task].store(outcome, Ordering::Relaxed);
    }

    /// How `task` ended; below [`FIRST_OUTCOME`] when it has not. Exact for one who saw it arrive.
    pub fn outcome(&self, task: usize) -> u8 {
        // Relaxed: made visible by the arrival that the caller has seen.
        self.outcome[task].load(Ordering::Relaxed)
    }
}

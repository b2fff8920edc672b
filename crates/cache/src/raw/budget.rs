//! The weight that may be linked, shared by all shards.
//!
//! One word holds the sum of the weights of all linked entries. Room is taken *before* an entry is
//! linked and given back *after* it is unlinked, so at every instant
//!
//! ```text
//! linked weight <= used <= capacity
//! ```
//!
//! Taking is all or nothing: nobody holds a part of what it needs while it waits for the rest, so
//! takers cannot block each other. The word carries no data: what it guards is published by the latch
//! of the shard in which the entry is linked, so all orderings are relaxed.

use ropewalk_prove::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A sum that never exceeds its bound.
#[derive(Debug)]
pub struct Budget {
    used: AtomicU64,
    capacity: AtomicU64,
}

impl Budget {
    /// Room for `capacity`.
    pub fn new(capacity: u64) -> Self {
        Self { used: AtomicU64::new(0), capacity: AtomicU64::new(capacity) }
    }

    /// Takes `wanted` in exchange for `held`, which the caller took before; keeps `held` taken and
    /// says `false` when there is no room. An exchange for less always succeeds.
    pub fn exchange(&self, held: u64, wanted: u64) -> bool {
        let mut used = self.used.load(Relaxed);
        loop {
            let Some(after) = (used - held).checked_add(wanted) else { return false };
            if after > used && after > self.capacity.load(Relaxed) {
                return false;
            }
            match self.used.compare_exchange_weak(used, after, Relaxed, Relaxed) {
                Ok(_) => return true,
                Err(now) => used = now,
            }
        }
    }

    /// Gives `held` back.
    pub fn release(&self, held: u64) {
        self.used.fetch_sub(held, Relaxed);
    }

    /// What is taken.
    pub fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    /// The bound.
    pub fn capacity(&self) -> u64 {
        self.capacity.load(Relaxed)
    }

    /// Moves the bound. What is taken beyond a lower one stays taken; until it is given back, nothing
    /// more is. Takers that have read the old bound may still succeed: who takes under latches has
    /// moved the bound for all of them once it has closed and opened each latch after this.
    pub fn set_capacity(&self, capacity: u64) {
        self.capacity.store(capacity, Relaxed);
    }

    /// Whether more is taken than a lowered bound allows.
    pub fn is_over(&self) -> bool {
        self.used() > self.capacity()
    }
}

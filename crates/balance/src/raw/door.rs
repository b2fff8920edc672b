//! Who is inside a node: a count with a limit, and a bit that shuts the door.
//!
//! # Protocol
//!
//! One word holds the number of requests in flight and the bit `SHUT`. Entering raises the count unless it is at the
//! limit or the door is shut; both are read in the same compare-exchange, so once the door is shut nobody enters. Whoever
//! brings the count of a shut door to 0, or shuts an empty one, ends the drain: leaving and shutting are read-modify-writes
//! of one word, so one of them sees the other.
//!
//! # Orderings
//!
//! The word is changed by read-modify-writes alone, so each `Release` in [`leave`](Door::leave) heads a release sequence
//! that holds all later values: who enters sees what those before it did in their slot, and who sees the drained door sees
//! what all did inside.

use ropewalk_prove::sync::atomic::{AtomicU32, Ordering};

/// Nobody enters any more.
const SHUT: u32 = 1 << 31;

/// A count of those inside, with a limit.
#[derive(Debug)]
pub struct Door {
    load: AtomicU32,
    /// `u32::MAX` for none.
    limit: AtomicU32,
}

impl Door {
    /// Open, with nobody inside.
    pub fn new(limit: Option<u32>) -> Self {
        Self { load: AtomicU32::new(0), limit: AtomicU32::new(limit.unwrap_or(u32::MAX)) }
    }

    /// How many are inside.
    pub fn inside(&self) -> u32 {
        self.load.load(Ordering::Relaxed) & !SHUT
    }

    /// Whether one more would be within the limit at this instant.
    pub fn has_room(&self) -> bool {
        self.inside() < self.limit.load(Ordering::Relaxed)
    }

    /// Whether those inside are within the limit at this instant.
    pub fn is_within_limit(&self) -> bool {
        self.inside() <= self.limit.load(Ordering::Relaxed)
    }

    /// Moves the limit; those inside stay.
    pub fn limit_to(&self, limit: Option<u32>) {
        self.limit.store(limit.unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// Enters, unless it is full or shut.
    pub fn enter(&self) -> bool {
        let limit = self.limit.load(Ordering::Relaxed).min(SHUT - 1);
        let mut seen = self.load.load(Ordering::Relaxed);
        loop {
            if seen >= limit {
                return false; // full, or SHUT, which is above every limit
            }
            // Acquire: pairs with the Release in `leave`, whose slot this may be.
            match self.load.compare_exchange_weak(seen, seen + 1, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
    }

    /// Leaves; tells whether that ended a drain.
    #[must_use = "those who wait for the end of the drain are to be told"]
    pub fn leave(&self) -> bool {
        // Release: pairs with the Acquire in `enter`, `is_drained` and here, so that who ends a drain has seen all that
        // was done inside.
        self.load.fetch_sub(1, Ordering::AcqRel) == SHUT + 1
    }

    /// Shuts the door. To be followed by a look at [`is_drained`](Self::is_drained).
    pub fn shut(&self) {
        // Relaxed: who was inside is seen by `is_drained`, and nothing is published.
        self.load.fetch_or(SHUT, Ordering::Relaxed);
    }

    /// Opens it again.
    pub fn open(&self) {
        // Relaxed: the releases of those who left stay in the release sequence.
        self.load.fetch_and(!SHUT, Ordering::Relaxed);
    }

    /// Whether it is shut and nobody is inside.
    pub fn is_drained(&self) -> bool {
        // Acquire: pairs with the Release in `leave`.
        self.load.load(Ordering::Acquire) == SHUT
    }
}

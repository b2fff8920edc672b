//! A level that goes up and down, and the highest it has been.
//!
//! `add` moves the level by one `fetch_add`, which tells it the level it reached, and then raises the
//! peak to that. The level itself is linearizable. The peak follows: it covers every operation that has
//! returned, and never claims a level that was not reached.
//!
//! Relaxed suffices: every change of the level is a read-modify-write on one word, and the peak is a maximum over values each thread carries itself.

use ropewalk_prove::sync::atomic::{AtomicI64, Ordering};

/// A wrapping signed level with its high-water mark.
#[derive(Debug)]
pub struct Level {
    now: AtomicI64,
    peak: AtomicI64,
}

impl Level {
    /// Both at `start`.
    pub fn new(start: i64) -> Self {
        Self { now: AtomicI64::new(start), peak: AtomicI64::new(start) }
    }

    /// Moves the level by `by`.
    #[inline]
    pub fn add(&self, by: i64) {
        let reached = self.now.fetch_add(by, Ordering::Relaxed).wrapping_add(by);
        self.raise(reached);
    }

    /// Puts the level at `to`.
    #[inline]
    pub fn set(&self, to: i64) {
        // A swap, not a store: a plain store returns while it still sits in the store buffer, and a later
        // read elsewhere would find the old level.
        self.now.swap(to, Ordering::Relaxed);
        self.raise(to);
    }

    /// The level.
    #[inline]
    pub fn now(&self) -> i64 {
        self.now.load(Ordering::Relaxed)
    }

    /// The highest level any finished operation reached.
    pub fn peak(&self) -> i64 {
        self.peak.load(Ordering::Relaxed)
    }

    #[inline]
    fn raise(&self, reached: i64) {
        // The load keeps the usual case free of a write to a shared line.
        if reached > self.peak.load(Ordering::Relaxed) {
            self.peak.fetch_max(reached, Ordering::Relaxed);
        }
    }
}

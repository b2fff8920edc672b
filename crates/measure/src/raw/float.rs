//! A floating-point word.
//!
//! Every change is a read-modify-write on the one word, so the level is linearizable; Relaxed suffices
//! because it publishes nothing else. `add` is a compare-and-swap loop: an iteration fails only when
//! another operation succeeded.

use ropewalk_prove::sync::atomic::{AtomicU64, Ordering};

/// An `f64` kept as its bits.
#[derive(Debug)]
pub struct Float(AtomicU64);

impl Float {
    /// At `start`.
    pub fn new(start: f64) -> Self {
        Self(AtomicU64::new(start.to_bits()))
    }

    /// Puts it at `to`.
    #[inline]
    pub fn set(&self, to: f64) {
        // A swap for the reason given in `Level::set`.
        self.0.swap(to.to_bits(), Ordering::Relaxed);
    }

    /// Moves it by `by`.
    #[inline]
    pub fn add(&self, by: f64) {
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            let next = (f64::from_bits(seen) + by).to_bits();
            match self.0.compare_exchange_weak(seen, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }

    /// The level.
    #[inline]
    pub fn now(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

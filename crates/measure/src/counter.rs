//! A counter that writers share without sharing a cache line.

use crate::raw::stripes::Stripes;
use crate::stripe;
use std::fmt;
use std::sync::Arc;

/// A number that only grows, cheap to add to from many threads. Clones count together.
///
/// An [`add`](Self::add) is one `fetch_add` on a word that few other threads write: wait-free. It
/// returns nothing, on purpose: an exact old value would put all threads back onto one word.
///
/// [`value`](Self::value) adds the words up. It is exact once the adds are over and never shrinks for a
/// reader, but beside adds it is **not linearizable**: it may include a later add and miss an earlier
/// one on another stripe, an intermediate value that no instant had.
///
/// Each counter has one word per processor (64 at most) of 128 bytes.
///
/// ```
/// use ropewalk_measure::Counter;
///
/// let hits = Counter::new();
/// let same = hits.clone();
/// hits.incr();
/// same.add(2);
/// assert_eq!(hits.value(), 3);
/// ```
#[derive(Clone)]
pub struct Counter(Arc<Stripes>);

impl Counter {
    /// At 0.
    pub fn new() -> Self {
        Self(Arc::new(Stripes::new(stripe::count())))
    }

    /// Adds 1.
    #[inline]
    pub fn incr(&self) {
        self.add(1);
    }

    /// Adds `n`. Wraps around at `u64::MAX`.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.add(stripe::mine(), n);
    }

    /// The sum of what was added; see the type for what it means beside adds.
    pub fn value(&self) -> u64 {
        self.0.sum()
    }
}

impl Default for Counter {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Counter").field(&self.value()).finish()
    }
}

/// As its value.
#[cfg(feature = "serde")]
impl serde::Serialize for Counter {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.value())
    }
}

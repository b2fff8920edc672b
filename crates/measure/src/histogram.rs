//! A lock-free log-linear histogram.

use crate::error::BuildError;
use crate::raw::cells::{Cells, DEFAULT, Layout};
use crate::snapshot::Snapshot;
use crate::stripe;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Counts values by size: latencies, batch sizes, queue lengths. Clones record together.
///
/// It takes every `u64` without being told a range or buckets. Values below 64 are kept exactly, greater
/// ones in cells that are at most 1/32 of their values wide, so a quantile is off by at most 1/64
/// (1.6 %); [`builder`](Self::builder) chooses another width. Sum, least and greatest value are exact.
///
/// [`record`](Self::record) is two `fetch_add`s: lock-free, wait-free once the least and greatest value
/// have been seen; it allocates nothing. A [`snapshot`](Self::snapshot) beside records holds all that
/// finished before it, none that began after it, and any of those beside it; its count always equals the
/// sum of its cells, and all it counts is within its sum, minimum and maximum.
///
/// Memory: 15 kB by default, whatever is recorded.
///
/// ```
/// use ropewalk_measure::Histogram;
/// use std::time::Duration;
///
/// let wait = Histogram::new();
/// for ms in 1..=100 {
///     wait.record_duration(Duration::from_millis(ms));
/// }
/// let seen = wait.snapshot();
/// assert_eq!(seen.count(), 100);
/// let p99 = seen.quantile(0.99).unwrap() as f64;
/// assert!((p99 / 99e6 - 1.0).abs() <= 1.0 / 64.0);
/// ```
#[derive(Clone)]
pub struct Histogram(Arc<Cells>);

/// Sets up a [`Histogram`].
#[derive(Clone, Debug)]
pub struct HistogramBuilder {
    bits: u32,
}

impl HistogramBuilder {
    /// Cells of relative width `2^-bits`: quantiles within `2^-(bits + 1)`. 5 by default, 12 at most; each
    /// bit doubles the memory (8 B times `(65 - bits) 2^bits`).
    #[must_use]
    pub fn precision(mut self, bits: u32) -> Self {
        self.bits = bits;
        self
    }

    /// The histogram.
    ///
    /// # Errors
    ///
    /// [`BuildError::Precision`] above 12 bits.
    pub fn build(self) -> Result<Histogram, BuildError> {
        let layout = Layout::new(self.bits).ok_or(BuildError::Precision { bits: self.bits })?;
        Ok(Histogram::with_layout(layout))
    }
}

impl Histogram {
    /// An empty histogram of the default precision.
    pub fn new() -> Self {
        Self::with_layout(DEFAULT)
    }

    /// Chooses the precision.
    pub fn builder() -> HistogramBuilder {
        HistogramBuilder { bits: DEFAULT.bits() }
    }

    fn with_layout(layout: Layout) -> Self {
        Self(Arc::new(Cells::new(layout, layout.cells(), stripe::count())))
    }

    /// Counts one value.
    #[inline]
    pub fn record(&self, value: u64) {
        self.record_n(value, 1);
    }

    /// Counts a value `times` times at the price of one; 0 times is nothing.
    #[inline]
    pub fn record_n(&self, value: u64, times: u64) {
        self.0.record(stripe::mine(), value, times);
    }

    /// Counts a duration in nanoseconds; 584 years and more count as `u64::MAX`.
    #[inline]
    pub fn record_duration(&self, duration: Duration) {
        self.record(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// How many values were counted.
    pub fn count(&self) -> u64 {
        self.0.count()
    }

    /// A copy of what was counted so far, to ask for quantiles, to merge, to subtract.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::of(self.0.layout(), self.0.read())
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Histogram").field("count", &self.count()).finish_non_exhaustive()
    }
}

/// As its snapshot.
#[cfg(feature = "serde")]
impl serde::Serialize for Histogram {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.snapshot().serialize(serializer)
    }
}

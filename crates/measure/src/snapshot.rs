//! What a histogram held at one time.

use crate::raw::cells::{DEFAULT, Layout, Reading};
use std::borrow::Cow;

/// A histogram at rest: quantiles, moments, merging, differences.
///
/// ```
/// use ropewalk_measure::Histogram;
///
/// let sizes = Histogram::new();
/// sizes.record_n(10, 3);
/// let before = sizes.snapshot();
/// sizes.record(50);
/// let after = sizes.snapshot();
/// assert_eq!(after.quantile(0.5), Some(10));
/// assert_eq!((after.min(), after.max(), after.mean()), (Some(10), Some(50), Some(20.0)));
/// assert_eq!(after.since(&before).quantile(0.5), Some(50));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    layout: Layout,
    /// Without trailing zeros.
    counts: Vec<u64>,
    count: u64,
    sum: u128,
    least: u64,
    greatest: u64,
}

/// One cell of a [`Snapshot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Bucket {
    /// The least value it holds.
    pub low: u64,
    /// The greatest value it holds.
    pub high: u64,
    /// How many values were counted in it.
    pub count: u64,
}

impl Snapshot {
    /// An empty one, the start of a merge: it takes on the precision of what is merged first.
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn of(layout: Layout, reading: Reading) -> Self {
        let Reading { mut counts, sum, least, greatest } = reading;
        trim(&mut counts);
        let count = counts.iter().fold(0_u64, |sum, c| sum.saturating_add(*c));
        if count == 0 {
            // A record under way may already show in the rest.
            return Self { layout, ..Self::default() };
        }
        Self { layout, counts, count, sum, least, greatest }
    }

    /// How many values were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The exact sum of all values.
    pub fn sum(&self) -> u128 {
        self.sum
    }

    /// The least value: exact, but after [`since`](Self::since) the edge of its cell. `None` when empty.
    pub fn min(&self) -> Option<u64> {
        (self.count > 0).then_some(self.least)
    }

    /// The greatest value: exact, but after [`since`](Self::since) the edge of its cell. `None` when empty.
    pub fn max(&self) -> Option<u64> {
        (self.count > 0).then_some(self.greatest)
    }

    /// Sum over count; `None` when empty.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64)
    }

    /// The bound on a quantile's relative error, `2^-(bits + 1)`: 1/64 by default.
    pub fn relative_error(&self) -> f64 {
        0.5 / f64::from(1_u32 << self.layout.bits())
    }

    /// The value that a share `q` of all values does not exceed: the one of rank `max(1, ceil(q n))`.
    ///
    /// The answer lies in the cell of that value and off by at most
    /// [`relative_error`](Self::relative_error); values below `2^(bits + 1)` are exact, and so are the first
    /// and the last. A `q` outside `0..=1` counts as the nearer end. `None` when nothing was counted or `q` is NaN.
    pub fn quantile(&self, q: f64) -> Option<u64> {
        if self.count == 0 || q.is_nan() {
            return None;
        }
        let rank = ((q.clamp(0.0, 1.0) * self.count as f64).ceil() as u64).clamp(1, self.count);
        if rank == 1 {
            return Some(self.least);
        }
        if rank == self.count {
            return Some(self.greatest);
        }
        let mut below = 0_u64;
        for (index, &count) in self.counts.iter().enumerate() {
            below = below.saturating_add(count);
            if below >= rank {
                let (low, high) = self.layout.bounds(index);
                return Some((low + (high - low) / 2).clamp(self.least, self.greatest));
            }
        }
        Some(self.greatest)
    }

    /// How many values are at most `value`, with the cell that `value` cuts counted in full if `value`
    /// lies in its upper half: the cumulative buckets of Prometheus.
    pub fn count_at_most(&self, value: u64) -> u64 {
        if value >= self.greatest {
            return self.count;
        }
        let cell = self.layout.index(value);
        let (low, high) = self.layout.bounds(cell);
        let whole = if value >= low + (high - low) / 2 { cell + 1 } else { cell };
        self.counts.iter().take(whole).fold(0, |sum, c| sum.saturating_add(*c))
    }

    /// The cells that hold anything, least first.
    pub fn buckets(&self) -> impl Iterator<Item = Bucket> + '_ {
        self.counts.iter().enumerate().filter(|(_, c)| **c > 0).map(|(index, &count)| {
            let (low, high) = self.layout.bounds(index);
            Bucket { low, high, count }
        })
    }

    /// Adds another's values to these, exactly: merging is as if both had recorded into one.
    ///
    /// Of two precisions the coarser remains, since coarse cells are unions of fine ones. Counts stop at
    /// `u64::MAX`.
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            self.clone_from(other);
            return;
        }
        let layout = self.layout.coarser(other.layout);
        self.counts = coarsen(&self.counts, self.layout, layout).into_owned();
        self.layout = layout;
        let theirs = coarsen(&other.counts, other.layout, layout);
        if self.counts.len() < theirs.len() {
            self.counts.resize(theirs.len(), 0);
        }
        for (mine, theirs) in self.counts.iter_mut().zip(theirs.iter()) {
            *mine = mine.saturating_add(*theirs);
        }
        self.count = self.count.saturating_add(other.count);
        self.sum = self.sum.saturating_add(other.sum);
        self.least = self.least.min(other.least);
        self.greatest = self.greatest.max(other.greatest);
    }

    /// What was counted after an `earlier` snapshot of the same histogram.
    ///
    /// Count, sum and quantiles keep their bounds; the minimum and maximum are known to their cell only.
    /// Of two precisions the coarser remains. If `earlier` is no earlier snapshot of the same histogram
    /// (it was started anew), cells that shrank count as 0.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        if earlier.count == 0 {
            return self.clone();
        }
        let layout = self.layout.coarser(earlier.layout);
        let mut counts = coarsen(&self.counts, self.layout, layout).into_owned();
        let before = coarsen(&earlier.counts, earlier.layout, layout);
        for (now, before) in counts.iter_mut().zip(before.iter()) {
            *now = now.saturating_sub(*before);
        }
        trim(&mut counts);
        let Some(first) = counts.iter().position(|c| *c > 0) else {
            return Self { layout, ..Self::default() };
        };
        Self {
            layout,
            count: counts.iter().fold(0, |sum, c| sum.saturating_add(*c)),
            sum: self.sum.saturating_sub(earlier.sum),
            least: layout.bounds(first).0.max(self.least),
            greatest: layout.bounds(counts.len() - 1).1.min(self.greatest),
            counts,
        }
    }
}

impl Default for Snapshot {
    fn default() -> Self {
        Self { layout: DEFAULT, counts: Vec::new(), count: 0, sum: 0, least: u64::MAX, greatest: 0 }
    }
}

/// As its figures (`count`, `sum`, `min`, `max`, `mean`, four quantiles) and its `buckets`. The sum is a
/// float, which every format has.
#[cfg(feature = "serde")]
impl serde::Serialize for Snapshot {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;

        let mut fields = serializer.serialize_struct("Snapshot", 10)?;
        fields.serialize_field("count", &self.count)?;
        fields.serialize_field("sum", &(self.sum as f64))?;
        fields.serialize_field("min", &self.min())?;
        fields.serialize_field("max", &self.max())?;
        fields.serialize_field("mean", &self.mean())?;
        for (name, q) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)] {
            fields.serialize_field(name, &self.quantile(q))?;
        }
        fields.serialize_field("buckets", &self.buckets().collect::<Vec<_>>())?;
        fields.end()
    }
}

fn trim(counts: &mut Vec<u64>) {
    let used = counts.iter().rposition(|c| *c > 0).map_or(0, |last| last + 1);
    counts.truncate(used);
}

/// The counts in the cells of a coarser layout.
fn coarsen(counts: &[u64], from: Layout, to: Layout) -> Cow<'_, [u64]> {
    if from == to {
        return Cow::Borrowed(counts);
    }
    let mut merged = Vec::new();
    for (index, count) in counts.iter().enumerate().filter(|(_, c)| **c > 0) {
        let cell = to.index(from.bounds(index).0);
        if merged.len() <= cell {
            merged.resize(cell + 1, 0_u64);
        }
        merged[cell] = merged[cell].saturating_add(*count);
    }
    Cow::Owned(merged)
}

//! A log-linear histogram: cells of counts, an exact sum, the least and the greatest value.
//!
//! # Protocol
//!
//! A record writes least, greatest and sum first (Relaxed) and counts itself in its cell last (Release).
//! A reader loads the cells first (Acquire), then sum, least and greatest. So whatever is counted is also
//! covered by the other three; they may already include records that are not counted yet. The count is
//! the sum of the cells, so it can never disagree with them.
//!
//! A read beside writers is not a snapshot of one instant, for the reason given in
//! [`stripes`](super::stripes): it sees every record that happened before it and none that happened after,
//! and of those beside it any subset.

use super::stripes::Stripes;
use ropewalk_prove::sync::atomic::{AtomicU64, Ordering};

/// Which value falls into which cell.
///
/// Values below `2^(bits + 1)` have a cell each. From there on every power of two is cut into
/// `2^bits` cells of equal width, so a cell is at most `2^-bits` of its values wide. This is the scheme
/// of HdrHistogram (Tene) with its bucket index folded into one shift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    bits: u32,
}

/// Cells of relative width 2^-5: quantiles within 1.6 %.
pub const DEFAULT: Layout = Layout { bits: 5 };

impl Layout {
    /// The greatest number of bits [`new`](Self::new) takes.
    pub const MAX_BITS: u32 = 12;

    /// Cells of relative width `2^-bits`; `None` above [`MAX_BITS`](Self::MAX_BITS).
    pub const fn new(bits: u32) -> Option<Self> {
        if bits <= Self::MAX_BITS { Some(Self { bits }) } else { None }
    }

    /// The relative width of a cell is `2^-bits`.
    pub const fn bits(self) -> u32 {
        self.bits
    }

    /// The one of the two with the wider cells.
    pub const fn coarser(self, other: Self) -> Self {
        if other.bits < self.bits { other } else { self }
    }

    /// How many cells cover all of `u64`.
    pub const fn cells(self) -> usize {
        self.index(u64::MAX) + 1
    }

    /// The cell of a value.
    #[inline]
    pub const fn index(self, value: u64) -> usize {
        // Below 2^bits the forced bit keeps the shift at 0.
        let top = 63 - (value | 1 << self.bits).leading_zeros();
        let shift = top - self.bits;
        ((shift as usize) << self.bits) + (value >> shift) as usize
    }

    /// The least and the greatest value of a cell.
    pub const fn bounds(self, index: usize) -> (u64, u64) {
        let row = index >> self.bits;
        if row < 2 {
            return (index as u64, index as u64);
        }
        let shift = (row - 1) as u32;
        let low = ((index - ((row - 1) << self.bits)) as u64) << shift;
        (low, low + ((1 << shift) - 1))
    }
}

/// The shared state of a histogram.
#[derive(Debug)]
pub struct Cells {
    layout: Layout,
    counts: Box<[AtomicU64]>,
    sum: Stripes,
    /// How often a word of `sum` wrapped.
    carries: AtomicU64,
    least: AtomicU64,
    greatest: AtomicU64,
}

/// What [`Cells::read`] saw.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The count of each cell.
    pub counts: Vec<u64>,
    /// The sum of all values.
    pub sum: u128,
    /// The least value; `u64::MAX` before the first record.
    pub least: u64,
    /// The greatest value; 0 before the first record.
    pub greatest: u64,
}

impl Cells {
    /// The first `cells` cells of a layout (greater values go into the last), the sum over `stripes`.
    pub fn new(layout: Layout, cells: usize, stripes: usize) -> Self {
        let cells = cells.clamp(1, layout.cells());
        Self {
            layout,
            counts: (0..cells).map(|_| AtomicU64::new(0)).collect(),
            sum: Stripes::new(stripes),
            carries: AtomicU64::new(0),
            least: AtomicU64::new(u64::MAX),
            greatest: AtomicU64::new(0),
        }
    }

    /// The layout.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Counts `times` records of a value; the sum goes through `stripe`. 0 times is nothing.
    #[inline]
    pub fn record(&self, stripe: usize, value: u64, times: u64) {
        if times == 0 {
            return;
        }
        // The loads keep the usual case free of writes to shared lines.
        if value < self.least.load(Ordering::Relaxed) {
            self.least.fetch_min(value, Ordering::Relaxed);
        }
        if value > self.greatest.load(Ordering::Relaxed) {
            self.greatest.fetch_max(value, Ordering::Relaxed);
        }
        let total = u128::from(value) * u128::from(times);
        let low = total as u64;
        let carry = (total >> 64) as u64 + u64::from(self.sum.add(stripe, low).checked_add(low).is_none());
        if carry > 0 {
            self.carries.fetch_add(carry, Ordering::Relaxed);
        }
        let cell = self.layout.index(value).min(self.counts.len() - 1);
        // Release: pairs with the Acquire in `read`: who sees the count sees the sum, the
        // carry, the least and the greatest.
        self.counts[cell].fetch_add(times, Ordering::Release);
    }

    /// Reads everything, cells first.
    pub fn read(&self) -> Reading {
        // Acquire: pairs with the Release in `record`.
        let counts = self.counts.iter().map(|c| c.load(Ordering::Acquire)).collect();
        let words = self.sum.wide_sum();
        let carries = u128::from(self.carries.load(Ordering::Relaxed)) << 64;
        Reading {
            counts,
            sum: words + carries,
            least: self.least.load(Ordering::Relaxed),
            greatest: self.greatest.load(Ordering::Relaxed),
        }
    }

    /// How many records there are: the cells added up.
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, c| sum.wrapping_add(c.load(Ordering::Relaxed)))
    }
}

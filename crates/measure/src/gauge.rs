//! Levels that go up and down.

use crate::raw::float::Float;
use crate::raw::level::Level;
use std::fmt;
use std::sync::Arc;

/// An integer level with its high-water mark: things in flight, bytes held. Clones share it.
///
/// All operations are wait-free where the processor's `fetch_max` is, and lock-free elsewhere. The value
/// is linearizable. Levels wrap around at the ends of `i64`.
///
/// ```
/// use ropewalk_measure::Gauge;
///
/// let in_flight = Gauge::new();
/// in_flight.add(3);
/// in_flight.sub(2);
/// assert_eq!((in_flight.value(), in_flight.peak()), (1, 3));
/// ```
#[derive(Clone)]
pub struct Gauge(Arc<Level>);

impl Gauge {
    /// At 0, which is also the first peak.
    pub fn new() -> Self {
        Self(Arc::new(Level::new(0)))
    }

    /// Puts the level at `value`.
    #[inline]
    pub fn set(&self, value: i64) {
        self.0.set(value);
    }

    /// Raises the level.
    #[inline]
    pub fn add(&self, n: i64) {
        self.0.add(n);
    }

    /// Lowers the level.
    #[inline]
    pub fn sub(&self, n: i64) {
        self.0.add(n.wrapping_neg());
    }

    /// The level.
    #[inline]
    pub fn value(&self) -> i64 {
        self.0.now()
    }

    /// The highest level since the start, 0 at least.
    ///
    /// It covers every operation that has returned; one that is still under way may have moved
    /// [`value`](Self::value) but not yet this.
    pub fn peak(&self) -> i64 {
        self.0.peak()
    }
}

impl Default for Gauge {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Gauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gauge").field("value", &self.value()).field("peak", &self.peak()).finish()
    }
}

/// As its value.
#[cfg(feature = "serde")]
impl serde::Serialize for Gauge {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.value())
    }
}

/// A floating-point level: a utilisation, a temperature, a rate. Clones share it.
///
/// `set` and `value` are wait-free, `add` is lock-free. Any number is kept as it is, NaN included.
///
/// ```
/// use ropewalk_measure::FloatGauge;
///
/// let load = FloatGauge::new();
/// load.set(0.75);
/// load.add(-0.25);
/// assert_eq!(load.value(), 0.5);
/// ```
#[derive(Clone)]
pub struct FloatGauge(Arc<Float>);

impl FloatGauge {
    /// At 0.
    pub fn new() -> Self {
        Self(Arc::new(Float::new(0.0)))
    }

    /// Puts the level at `value`.
    #[inline]
    pub fn set(&self, value: f64) {
        self.0.set(value);
    }

    /// Moves the level by `by`.
    pub fn add(&self, by: f64) {
        self.0.add(by);
    }

    /// The level.
    #[inline]
    pub fn value(&self) -> f64 {
        self.0.now()
    }
}

impl Default for FloatGauge {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for FloatGauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FloatGauge").field(&self.value()).finish()
    }
}

/// As its value.
#[cfg(feature = "serde")]
impl serde::Serialize for FloatGauge {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.value())
    }
}

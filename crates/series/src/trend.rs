//! Robust trend: the slope of Theil and Sen, the test of Mann and Kendall, and a confidence that
//! holds when neighbouring samples are correlated.

mod serial;
mod slope;

use crate::stats;

/// The confidence from which [`Trend::direction`] calls a trend a trend.
const DECIDE: f64 = 0.95;

/// Where a series goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Direction {
    /// It grows, with at least 95 % confidence.
    Rising,
    /// It shrinks, with at least 95 % confidence.
    Falling,
    /// Neither can be told from noise.
    Flat,
}

/// The trend of a series: direction, size, and how sure that is.
///
/// The slope is the median of the slopes of all pairs of samples (Theil 1950, Sen 1968), so up to
/// 29 % wild samples cannot carry it away. The confidence is one minus the p value of the two-sided
/// test of Mann (1945) and Kendall (1975) with its variance corrected for autocorrelation in the manner
/// of Hamed and Rao (1998); see [`confidence`](Self::confidence).
///
/// ```
/// use ropewalk_series::{Direction, Trend};
///
/// let latency: Vec<f64> = (0..60).map(|i| 20.0 + 0.5 * f64::from(i) + f64::from(i * 7 % 5)).collect();
/// let trend = Trend::of(&latency);
/// assert_eq!(trend.direction, Direction::Rising);
/// assert!((trend.slope - 0.5).abs() < 0.05);
/// assert!(trend.confidence > 0.99);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Trend {
    /// [`Rising`](Direction::Rising) or [`Falling`](Direction::Falling) at 95 % confidence, otherwise
    /// [`Flat`](Direction::Flat). [`direction_at`](Self::direction_at) asks for another confidence.
    pub direction: Direction,
    /// The Theil-Sen slope, per sample or per unit of time. 0 with fewer than two samples.
    pub slope: f64,
    /// The value of the line at time 0 (the first sample, for [`Trend::of`]): the median of what the
    /// slope leaves.
    pub intercept: f64,
    /// One minus [`p_value`](Self::p_value), in `0..=1`: on a series without trend a confidence of at
    /// least c appears in about a share 1 - c of the cases.
    ///
    /// Plain Mann-Kendall takes neighbouring samples for independent and calls two thirds of all
    /// slowly wandering metrics a trend. Here the variance of the statistic is enlarged by the
    /// autocorrelation of the detrended samples. The README says what was measured and where it fails:
    /// short series of noise that is correlated over most of their length.
    pub confidence: f64,
    /// The two-sided p value.
    pub p_value: f64,
    /// Kendall's tau: the share of pairs that rise minus the share that fall, in `-1..=1`.
    pub tau: f64,
    /// By how much autocorrelation enlarged the variance of the test; 1 for independent samples.
    pub inflation: f64,
    /// How many finite samples it was computed from.
    pub samples: usize,
}

/// Why [`Trend::with_times`] refused its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrendError {
    /// Every value needs its time.
    #[error("{times} times for {values} values: give one time per value")]
    LengthMismatch {
        /// How many times were given.
        times: usize,
        /// How many values were given.
        values: usize,
    },
    /// Times must be finite and grow strictly.
    #[error(
        "time at index {index} is not finite or not after the one before: sort by time and merge equal times"
    )]
    TimesNotIncreasing {
        /// The first offender.
        index: usize,
    },
}

impl Trend {
    /// The trend of evenly spaced samples, in units per sample.
    ///
    /// Values that are not finite are gaps: skipped, their place in time kept. Fewer than four finite
    /// samples, or equal ones, are [`Direction::Flat`] with confidence 0. O(n log n) time for each of
    /// some forty passes from 500 samples on, all pairs below.
    pub fn of(samples: &[f64]) -> Self {
        let points = samples.iter().enumerate().map(|(i, &v)| (i as f64, v)).filter(|(_, v)| v.is_finite());
        Self::of_points(points.collect())
    }

    /// The trend of samples taken at the given times, in units per unit of time.
    ///
    /// Values that are not finite are skipped. The correction for autocorrelation takes the samples in
    /// their order and does not weigh uneven gaps.
    ///
    /// # Errors
    ///
    /// [`TrendError`] when the lengths differ or the times do not grow strictly.
    ///
    /// ```
    /// use ropewalk_series::Trend;
    ///
    /// let trend = Trend::with_times(&[0.0, 10.0, 15.0, 40.0], &[1.0, 2.0, 2.5, 5.0]).unwrap();
    /// assert!((trend.slope - 0.1).abs() < 1e-12);
    /// assert!(Trend::with_times(&[1.0, 1.0], &[0.0, 1.0]).is_err());
    /// ```
    pub fn with_times(times: &[f64], values: &[f64]) -> Result<Self, TrendError> {
        if times.len() != values.len() {
            return Err(TrendError::LengthMismatch { times: times.len(), values: values.len() });
        }
        let mut before = f64::NEG_INFINITY;
        for (index, &time) in times.iter().enumerate() {
            if !time.is_finite() || time <= before {
                return Err(TrendError::TimesNotIncreasing { index });
            }
            before = time;
        }
        let points = times.iter().copied().zip(values.iter().copied()).filter(|(_, v)| v.is_finite());
        Ok(Self::of_points(points.collect()))
    }

    /// The direction at another confidence than 95 %. NaN and values over 1 give `Flat`.
    pub fn direction_at(&self, confidence: f64) -> Direction {
        if self.confidence >= confidence {
            // A slope of 0 (more than half of the pairs tie) has no direction, whatever the test says.
            if self.slope > 0.0 {
                return Direction::Rising;
            }
            if self.slope < 0.0 {
                return Direction::Falling;
            }
        }
        Direction::Flat
    }

    /// The value of the trend line at a time (an index, for [`Trend::of`]).
    pub fn at(&self, time: f64) -> f64 {
        self.slope.mul_add(time, self.intercept)
    }

    fn of_points(points: Vec<(f64, f64)>) -> Self {
        let slope = slope::theil_sen(&points);
        let mut rest: Vec<f64> = points.iter().map(|(t, v)| v - slope * t).collect();
        let intercept = stats::median_of(&rest);
        let mut trend = Self {
            direction: Direction::Flat,
            slope,
            intercept,
            confidence: 0.0,
            p_value: 1.0,
            tau: 0.0,
            inflation: 1.0,
            samples: points.len(),
        };
        if points.len() < 4 {
            return trend;
        }
        rest.iter_mut().for_each(|v| *v -= intercept);
        let test = serial::mann_kendall(&points, &rest);
        trend.tau = test.tau;
        trend.inflation = test.inflation;
        trend.p_value = test.p_value;
        trend.confidence = 1.0 - test.p_value;
        trend.direction = trend.direction_at(DECIDE);
        trend
    }
}

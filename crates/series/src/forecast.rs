//! Forecasters: one trait, a few methods that are hard to beat, and intervals from their own past errors.

mod auto;
mod interval;
mod naive;
mod smoothing;
mod theta;

pub use auto::Auto;
pub use naive::{Naive, SeasonalNaive};
pub use smoothing::{Damped, Ses};
pub use theta::Theta;

use crate::stats;

/// The level of [`Forecaster::forecast`]'s intervals.
const LEVEL: f64 = 0.95;

/// What a series is expected to do next, one entry per step ahead.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Forecast {
    /// The point forecasts: the first is for the step after the history.
    pub mean: Vec<f64>,
    /// The lower ends of the prediction intervals, never above `mean`.
    pub lower: Vec<f64>,
    /// The upper ends of the prediction intervals, never below `mean`.
    pub upper: Vec<f64>,
    /// The share of future values the intervals are made to hold, in `0..1`.
    pub level: f64,
}

impl Forecast {
    /// How many steps ahead it looks.
    pub fn horizon(&self) -> usize {
        self.mean.len()
    }

    /// The greatest upper end: what capacity should cover. `None` when the horizon is 0.
    pub fn peak(&self) -> Option<f64> {
        self.upper.iter().copied().max_by(stats::order)
    }

    /// The share of true values that lie inside their interval; `None` without any.
    pub fn coverage(&self, actual: &[f64]) -> Option<f64> {
        let steps = actual.len().min(self.horizon());
        let inside = (0..steps).filter(|&h| (self.lower[h]..=self.upper[h]).contains(&actual[h])).count();
        (steps > 0).then(|| inside as f64 / steps as f64)
    }

    /// The same forecast with lower ends and means raised to at least `floor`: loads are not negative.
    #[must_use]
    pub fn at_least(mut self, floor: f64) -> Self {
        for values in [&mut self.mean, &mut self.lower, &mut self.upper] {
            values.iter_mut().for_each(|v| *v = v.max(floor));
        }
        self
    }
}

/// Why a forecast was refused.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ForecastError {
    /// The method needs more past.
    #[error("{len} values of history, {needed} needed: record longer or use `Naive`")]
    TooShort {
        /// The least number of values the method works with.
        needed: usize,
        /// How many it was given.
        len: usize,
    },
    /// Forecasters take no gaps.
    #[error("value at index {index} is not finite: fill gaps first, for example with `fill_gaps`")]
    NonFinite {
        /// The first offender.
        index: usize,
    },
    /// A seasonal period is at least 2 (1, for methods that take it, means none).
    #[error("period {period} is no season: use at least 2, or a method without season")]
    Period {
        /// The period asked for.
        period: usize,
    },
    /// Intervals hold a share between none and all.
    #[error("interval level {level} is not between 0 and 1 (exclusive)")]
    Level {
        /// The level asked for.
        level: f64,
    },
}

/// Something that continues a series.
///
/// Only [`predict`](Self::predict) has to be written; the intervals come from running it on the past.
///
/// ```
/// use ropewalk_series::{Forecast, ForecastError, Forecaster, SeasonalNaive};
///
/// let week = [10.0, 12.0, 13.0, 12.0, 11.0, 4.0, 3.0];
/// let history: Vec<f64> = week.iter().cycle().take(56).copied().collect();
/// let forecast = SeasonalNaive::new(7).forecast(&history, 7)?;
/// assert_eq!(forecast.mean, week);
/// assert_eq!(forecast.level, 0.95);
///
/// struct Last;
/// impl Forecaster for Last {
///     fn predict(&self, history: &[f64], horizon: usize) -> Result<Vec<f64>, ForecastError> {
///         let last = *history.last().ok_or(ForecastError::TooShort { needed: 1, len: 0 })?;
///         Ok(vec![last; horizon])
///     }
/// }
/// assert_eq!(Last.forecast_at(&history, 2, 0.8)?.mean, [3.0, 3.0]);
/// # Ok::<(), ForecastError>(())
/// ```
pub trait Forecaster {
    /// The next `horizon` values after `history`; a horizon of 0 gives none.
    ///
    /// # Errors
    ///
    /// [`ForecastError`] when the history is too short, has gaps, or the method was set up wrongly.
    fn predict(&self, history: &[f64], horizon: usize) -> Result<Vec<f64>, ForecastError>;

    /// The next values with intervals that are made to hold 95 % of the truth.
    ///
    /// # Errors
    ///
    /// As [`predict`](Self::predict).
    fn forecast(&self, history: &[f64], horizon: usize) -> Result<Forecast, ForecastError> {
        self.forecast_at(history, horizon, LEVEL)
    }

    /// The next values with intervals that are made to hold the share `level` of the truth.
    ///
    /// The method forecasts from up to 20 earlier points of the history (rolling origin) and the
    /// intervals are the conformal quantile of the errors it made there, scaled by how errors grow with
    /// the step (Vovk, Gammerman and Shafer 2005). No distribution is assumed; what is assumed is that
    /// the errors of the past look like those to come. With too little past for that the errors of the
    /// last step are scaled by the square root of the step.
    ///
    /// # Errors
    ///
    /// As [`predict`](Self::predict), and [`ForecastError::Level`].
    fn forecast_at(&self, history: &[f64], horizon: usize, level: f64) -> Result<Forecast, ForecastError> {
        interval::forecast(&|past, steps| self.predict(past, steps), history, horizon, level)
    }
}

impl<F: Forecaster + ?Sized> Forecaster for &F {
    fn predict(&self, history: &[f64], horizon: usize) -> Result<Vec<f64>, ForecastError> {
        (**self).predict(history, horizon)
    }

    fn forecast_at(&self, history: &[f64], horizon: usize, level: f64) -> Result<Forecast, ForecastError> {
        (**self).forecast_at(history, horizon, level)
    }
}

impl<F: Forecaster + ?Sized> Forecaster for Box<F> {
    fn predict(&self, history: &[f64], horizon: usize) -> Result<Vec<f64>, ForecastError> {
        (**self).predict(history, horizon)
    }

    fn forecast_at(&self, history: &[f64], horizon: usize, level: f64) -> Result<Forecast, ForecastError> {
        (**self).forecast_at(history, horizon, level)
    }
}

/// Replaces values that are not finite by the straight line between their neighbours (the nearest
/// value at the ends). A series without any finite value becomes empty.
///
/// ```
/// use ropewalk_series::fill_gaps;
///
/// assert_eq!(fill_gaps(&[f64::NAN, 1.0, f64::NAN, 3.0]), [1.0, 1.0, 2.0, 3.0]);
/// assert!(fill_gaps(&[f64::NAN]).is_empty());
/// ```
pub fn fill_gaps(values: &[f64]) -> Vec<f64> {
    let mut filled: Vec<f64> = Vec::with_capacity(values.len());
    let mut last: Option<f64> = None;
    for &value in values {
        if !value.is_finite() {
            filled.push(f64::NAN);
            continue;
        }
        let gap = filled.iter().rev().take_while(|v| v.is_nan()).count();
        let start = filled.len() - gap;
        let from = last.unwrap_or(value);
        for (step, slot) in filled[start..].iter_mut().enumerate() {
            let part = (step + 1) as f64 / (gap + 1) as f64;
            *slot = from * (1.0 - part) + value * part;
        }
        filled.push(value);
        last = Some(value);
    }
    let Some(last) = last else { return Vec::new() };
    filled.iter_mut().filter(|v| v.is_nan()).for_each(|v| *v = last);
    filled
}

/// The checks every method begins with.
pub(crate) fn check(history: &[f64], needed: usize) -> Result<(), ForecastError> {
    if let Some(index) = stats::first_non_finite(history) {
        return Err(ForecastError::NonFinite { index });
    }
    if history.len() < needed {
        return Err(ForecastError::TooShort { needed, len: history.len() });
    }
    Ok(())
}

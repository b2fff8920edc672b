//! The Theta method.

use super::{ForecastError, Forecaster, check, smoothing};
use crate::season::Adjusted;

/// The classic Theta method (Assimakopoulos and Nikolopoulos 2000), winner of the M3 competition.
///
/// The deseasonalised series is split into its regression line (theta 0) and a line of doubled
/// curvature (theta 2) that simple exponential smoothing continues; the forecast is their mean, put
/// back into season. Needs three values. This is smoothing with half of the regression's slope as drift
/// (Hyndman and Billah 2003).
///
/// ```
/// use ropewalk_series::{Forecaster, Theta};
///
/// let history: Vec<f64> = (0..48).map(|i| 100.0 + f64::from(i) + 20.0 * f64::from(i % 12)).collect();
/// let forecast = Theta::new().period(12).forecast(&history, 12)?;
/// assert!(forecast.mean[11] > forecast.mean[0] + 150.0);
/// # Ok::<(), ropewalk_series::ForecastError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Theta {
    period: usize,
}

impl Theta {
    /// Without season.
    pub fn new() -> Self {
        Self::default()
    }

    /// Deseasonalised by this period when that season is significant and seen three times; 0 and 1 mean
    /// no season.
    #[must_use]
    pub fn period(mut self, period: usize) -> Self {
        self.period = period;
        self
    }
}

impl Forecaster for Theta {
    fn predict(&self, history: &[f64], horizon: usize) -> Result<Vec<f64>, ForecastError> {
        check(history, 3)?;
        let adjusted = Adjusted::of(history, self.period);
        let values = theta(&adjusted.values, horizon);
        Ok(adjusted.reseason(values))
    }
}

/// Theta without season.
pub(super) fn theta(values: &[f64], horizon: usize) -> Vec<f64> {
    let n = values.len() as f64;
    let (start, slope) = regression(values);
    let line = |t: f64| start + slope * t;
    let curved: Vec<f64> = values.iter().enumerate().map(|(t, v)| 2.0 * v - line(t as f64)).collect();
    let level = smoothing::ses(&curved);
    (0..horizon).map(|h| (level + line(n + h as f64)) / 2.0).collect()
}

/// Least squares over the index.
fn regression(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let centre = (n - 1.0) / 2.0;
    let mean = crate::stats::mean(values);
    let (mut xy, mut xx) = (0.0, 0.0);
    for (t, v) in values.iter().enumerate() {
        let x = t as f64 - centre;
        xy += x * (v - mean);
        xx += x * x;
    }
    let slope = if xx > 0.0 { xy / xx } else { 0.0 };
    (mean - slope * centre, slope)
}

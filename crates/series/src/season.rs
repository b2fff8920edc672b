//! Seasons: finding them, and taking them out.

use crate::stats;

/// A repeating pattern in a series.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Season {
    /// Its length in samples.
    pub period: usize,
    /// The share of the detrended variance it explains, in `0..=1`, adjusted for its length: 0 on noise.
    pub strength: f64,
}

/// Finds the seasons of a series.
#[derive(Clone, Copy, Debug)]
pub struct Seasonality;

impl Seasonality {
    /// x
    pub fn detect(samples: &[f64]) -> Vec<Season> {
        Self::among(samples, &[])
    }

    /// x
    pub fn among(samples: &[f64], candidates: &[usize]) -> Vec<Season> {
        let filled = crate::fill_gaps(samples);
        candidates
            .iter()
            .filter(|&&p| significant(&filled, p))
            .map(|&period| Season { period, strength: 1.0 })
            .collect()
    }
}

/// The seasonality test of the M4 competition: is the autocorrelation at the period outside its 90 % band?
pub(crate) fn significant(values: &[f64], period: usize) -> bool {
    let n = values.len();
    if period < 2 || n < 3 * period {
        return false;
    }
    let acf = stats::autocorrelation(values, period);
    let spread: f64 = acf[1..period].iter().map(|r| r * r).sum();
    acf[period].abs() > 1.645 * ((1.0 + 2.0 * spread) / n as f64).sqrt()
}

/// A series without its season, and the way back.
pub(crate) struct Adjusted {
    pub(crate) values: Vec<f64>,
    /// One entry per phase, starting at the first sample; empty without season.
    indices: Vec<f64>,
    multiplicative: bool,
}

impl Adjusted {
    /// Classical decomposition when the season is significant: multiplicative for positive series.
    pub(crate) fn of(values: &[f64], period: usize) -> Self {
        if !significant(values, period) {
            return Self { values: values.to_vec(), indices: Vec::new(), multiplicative: false };
        }
        let multiplicative = values.iter().all(|&v| v > 0.0);
        let indices = indices(values, period, multiplicative);
        let values = values
            .iter()
            .zip(indices.iter().cycle())
            .map(|(v, s)| if multiplicative { v / s } else { v - s })
            .collect();
        Self { values, indices, multiplicative }
    }

    /// Puts the season back onto values that follow the series.
    pub(crate) fn reseason(&self, mut ahead: Vec<f64>) -> Vec<f64> {
        if self.indices.is_empty() {
            return ahead;
        }
        let start = self.values.len() % self.indices.len();
        for (value, index) in ahead.iter_mut().zip(self.indices.iter().cycle().skip(start)) {
            if self.multiplicative { *value *= index } else { *value += index }
        }
        ahead
    }
}

/// The mean deviation of each phase from the centred moving average; they mean 1 (or 0).
fn indices(values: &[f64], period: usize, multiplicative: bool) -> Vec<f64> {
    let trend = moving_average(values, period);
    let offset = period / 2;
    let mut sums = vec![(0.0, 0.0); period];
    for (i, level) in trend.iter().enumerate() {
        let at = i + offset;
        let off = if multiplicative { values[at] / level } else { values[at] - level };
        sums[at % period].0 += off;
        sums[at % period].1 += 1.0;
    }
    let mut indices: Vec<f64> = sums.iter().map(|(sum, n)| sum / f64::max(*n, 1.0)).collect();
    let mean = stats::mean(&indices);
    for index in &mut indices {
        if multiplicative {
            // A phase that is all but absent would divide by nothing.
            *index = (*index / mean).max(1e-3);
        } else {
            *index -= mean;
        }
    }
    indices
}

/// The centred moving average over one period (half weights at the ends if it is even); its first entry
/// belongs to sample `period / 2`.
pub(crate) fn moving_average(values: &[f64], period: usize) -> Vec<f64> {
    let full = if period % 2 == 0 { period + 1 } else { period };
    if values.len() < full {
        return Vec::new();
    }
    let mut sum: f64 = values[..full].iter().sum();
    let mut averages = Vec::with_capacity(values.len() - full + 1);
    for start in 0..=values.len() - full {
        if start > 0 {
            sum += values[start + full - 1] - values[start - 1];
        }
        let ends = if period % 2 == 0 { (values[start] + values[start + full - 1]) / 2.0 } else { 0.0 };
        averages.push((sum - ends) / period as f64);
    }
    averages
}

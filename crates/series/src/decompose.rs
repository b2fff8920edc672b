//! Taking a series apart into trend, any number of seasons, and remainder.

use crate::forecast::check;
use crate::stats;
use crate::{ForecastError, Season};

/// Passes over the seasons: each is measured on what the others leave.
const PASSES: usize = 3;

/// A series as the sum of trend, seasons and remainder.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Decomposition {
    /// The level, smoothed over the longest season.
    pub trend: Vec<f64>,
    /// The seasons, one series for each period, shortest first.
    pub seasonal: Vec<Vec<f64>>,
    /// What is left.
    pub remainder: Vec<f64>,
    /// The seasons' periods and strengths, in the order of `seasonal`.
    pub seasons: Vec<Season>,
}

impl Decomposition {
    /// Takes the series apart.
    ///
    /// The trend is the centred moving average over the longest period, flat at its ends; each season is
    /// the mean of what is left at each phase, in turn with the other seasons (backfitting), shrunk by
    /// the part of it that can be noise (James and Stein 1961). Seasons are added: for one that grows with the level,
    /// decompose the logarithms. Without periods the trend is the mean. O(n) for each period.
    ///
    /// # Errors
    ///
    /// [`ForecastError`] for a period below 2, fewer samples than two of the longest period (or none), or
    /// a gap.
    ///
    /// ```
    /// use ropewalk_series::Decomposition;
    ///
    /// let week = [5.0, 6.0, 7.0, 6.0, 5.0, 1.0, 0.0];
    /// let samples: Vec<f64> = (0..70).map(|i| 100.0 + week[i % 7]).collect();
    /// let parts = Decomposition::of(&samples, &[7])?;
    /// assert!(parts.seasons[0].strength > 0.99);
    /// assert!((parts.seasonal[0][5] - parts.seasonal[0][6] - 1.0).abs() < 1e-9);
    /// # Ok::<(), ropewalk_series::ForecastError>(())
    /// ```
    pub fn of(samples: &[f64], periods: &[usize]) -> Result<Self, ForecastError> {
        let longest = periods.iter().copied().max().unwrap_or(1);
        if let Some(&period) = periods.iter().find(|p| **p < 2) {
            return Err(ForecastError::Period { period });
        }
        check(samples, if periods.is_empty() { 1 } else { 2 * longest })?;
        let trend = level(samples, longest);
        let rest: Vec<f64> = samples.iter().zip(&trend).map(|(v, t)| v - t).collect();
        let shapes = Shapes::of(&rest, periods, 1.0);
        Ok(shapes.decomposition(trend, rest))
    }

    /// The sum of all seasons, continued for `horizon` steps after the series.
    pub fn seasonal_ahead(&self, horizon: usize) -> Vec<f64> {
        let n = self.trend.len();
        (0..horizon)
            .map(|h| {
                let at = |season: &Season, values: &[f64]| values[n - season.period + h % season.period];
                self.seasons.iter().zip(&self.seasonal).map(|(season, values)| at(season, values)).sum()
            })
            .collect()
    }
}

/// The seasonal patterns of a series without trend.
pub(crate) struct Shapes {
    periods: Vec<usize>,
    indices: Vec<Vec<f64>>,
}

impl Shapes {
    /// `fade` weighs a cycle against the one after it: 1 for plain means.
    pub(crate) fn of(rest: &[f64], periods: &[usize], fade: f64) -> Self {
        let mut periods = periods.to_vec();
        periods.sort_unstable();
        periods.dedup();
        let mut indices: Vec<Vec<f64>> = periods.iter().map(|p| vec![0.0; *p]).collect();
        let mut left = rest.to_vec();
        for _ in 0..if periods.len() > 1 { PASSES } else { 1 } {
            for (shape, &period) in indices.iter_mut().zip(&periods) {
                left.iter_mut().enumerate().for_each(|(i, v)| *v += shape[i % period]);
                *shape = phase_means(&left, period, fade);
                left.iter_mut().enumerate().for_each(|(i, v)| *v -= shape[i % period]);
            }
        }
        Self { periods, indices }
    }

    /// The plain phase means of one period, not shrunk.
    pub(crate) fn plain(rest: &[f64], period: usize) -> Self {
        let mut means: Vec<f64> = (0..period.min(rest.len()))
            .map(|phase| {
                let of_phase = rest.iter().skip(phase).step_by(period);
                of_phase.clone().sum::<f64>() / of_phase.count() as f64
            })
            .collect();
        means.resize(period, 0.0);
        Self { periods: vec![period], indices: vec![means] }
    }

    /// The sum of all patterns at a step from the start.
    pub(crate) fn at(&self, step: usize) -> f64 {
        self.indices.iter().zip(&self.periods).map(|(shape, period)| shape[step % period]).sum()
    }

    fn decomposition(self, trend: Vec<f64>, rest: Vec<f64>) -> Decomposition {
        let n = rest.len();
        let seasonal: Vec<Vec<f64>> = self
            .indices
            .iter()
            .zip(&self.periods)
            .map(|(shape, period)| (0..n).map(|i| shape[i % period]).collect())
            .collect();
        let remainder: Vec<f64> = rest.iter().enumerate().map(|(i, v)| v - self.at(i)).collect();
        let noise = stats::variance(&remainder);
        let seasons = self
            .periods
            .iter()
            .zip(&seasonal)
            .map(|(&period, season)| {
                let with: Vec<f64> = season.iter().zip(&remainder).map(|(s, r)| s + r).collect();
                let whole = stats::variance(&with);
                let strength = if whole > 0.0 { (1.0 - noise / whole).clamp(0.0, 1.0) } else { 0.0 };
                Season { period, strength }
            })
            .collect();
        Decomposition { trend, seasonal, remainder, seasons }
    }
}

/// The weighted mean of each phase, centred, and shrunk by how much of it can be noise.
fn phase_means(values: &[f64], period: usize, fade: f64) -> Vec<f64> {
    let n = values.len();
    let mut means = Vec::with_capacity(period);
    let (mut noise, mut freedom) = (0.0, 0.0);
    let mut weights = 1.0;
    for phase in 0..period {
        let (mut sum, mut weight, mut squares, mut w, mut w2) = (0.0, 0.0, 0.0, 1.0, 0.0);
        // From the newest cycle back.
        let newest = phase + (n - 1 - phase) / period * period;
        for at in (phase..=newest).rev().step_by(period) {
            sum += w * values[at];
            squares += w * values[at] * values[at];
            weight += w;
            w2 += w * w;
            w *= fade;
        }
        let mean = sum / weight;
        noise += squares - weight * mean * mean;
        freedom += weight - w2 / weight;
        weights = w2 / (weight * weight);
        means.push(mean);
    }
    let centre = stats::mean(&means);
    means.iter_mut().for_each(|m| *m -= centre);
    let spread = stats::variance(&means);
    if spread > 0.0 && freedom > 0.0 {
        // James and Stein: the phases' spread holds one share of noise per cycle.
        let keep = (1.0 - (noise / freedom).max(0.0) * weights / spread).max(0.0);
        means.iter_mut().for_each(|m| *m *= keep);
    }
    means
}

/// The centred moving average over one period, continued flat at the ends.
pub(crate) fn level(values: &[f64], period: usize) -> Vec<f64> {
    let averages = crate::season::moving_average(values, period);
    let (Some(&first), Some(&last)) = (averages.first(), averages.last()) else {
        return vec![stats::mean(values); values.len()];
    };
    let start = period / 2;
    let end = values.len() - start - averages.len();
    let mut trend = vec![first; start];
    trend.extend(averages);
    trend.extend(std::iter::repeat_n(last, end));
    trend
}

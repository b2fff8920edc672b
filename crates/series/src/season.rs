//! Seasons: finding them, and taking one out the classical way.

use crate::decompose::{Shapes, level};
use crate::fill_gaps;
use crate::stats;

/// No more seasons than this are looked for.
const SEASONS: usize = 3;
/// So many peaks of the autocorrelation are looked at closely.
const PEAKS: usize = 12;
/// Standard errors of autocorrelation for a season that was asked for: 5 % one-sided.
const ASKED: f64 = 1.645;
/// The same for one that was searched for among many.
const SEARCHED: f64 = 3.0;
/// A searched season that explains so much needs only the evidence of one that was asked for: few cycles
/// of a strong season cannot reach three errors of Bartlett's band, which the season itself widens.
const STRONG: f64 = 0.6;
/// A season that explains less than this is not worth its parameters.
const WORTH: f64 = 0.05;

/// A repeating pattern in a series.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Season {
    /// Its length in samples.
    pub period: usize,
    /// The share of the variance that it explains, in `0..=1`, after the trend and stronger seasons are
    /// taken out; adjusted for the number of phases, so about 0 on noise.
    pub strength: f64,
}

/// Finds the seasons of a series.
///
/// A period is a season when the series, smoothed over one such period and freed of the seasons already
/// found, correlates with itself one period later beyond Bartlett's error band (the test of the M4
/// competition, on the detrended series). Gaps (values that are not finite) are filled by straight lines first.
///
/// ```
/// use ropewalk_series::Seasonality;
///
/// let hour = |i: usize| i as f64 / 24.0 * std::f64::consts::TAU;
/// let load: Vec<f64> = (0..500).map(|i| 50.0 + 0.1 * i as f64 + 20.0 * hour(i).sin() + (i * 7 % 5) as f64).collect();
/// let found = Seasonality::detect(&load);
/// assert_eq!(found[0].period, 24);
/// assert!(found[0].strength > 0.9);
/// assert_eq!(Seasonality::among(&load, &[7, 24]).len(), 1);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Seasonality;

impl Seasonality {
    /// Searches for up to three seasons of any length that appears at least three times, strongest
    /// first. Empty for noise and for short series.
    pub fn detect(samples: &[f64]) -> Vec<Season> {
        let values = fill_gaps(samples);
        let mut found: Vec<Season> = Vec::new();
        let mut rest = values.clone();
        while found.len() < SEASONS {
            let mut best: Option<Season> = None;
            let mut candidates = peaks(&rest);
            candidates.retain(|p| !found.iter().any(|s| s.period == *p));
            for period in candidates {
                let Some(season) = judge(&rest, period, SEARCHED) else { continue };
                // A multiple of a season is a season too: it must be clearly stronger to win.
                let multiple = best.is_some_and(|b| period * 2 > b.period * 3);
                let margin = if multiple { WORTH } else { 0.0 };
                if best.is_none_or(|b| season.strength > b.strength + margin) {
                    best = Some(season);
                }
            }
            let Some(season) = best else { break };
            found.push(season);
            rest = without(&values, &found);
        }
        found
    }

    /// Which of these periods are seasons of the series, strongest first. Each must appear twice at
    /// least; periods below 2 and repetitions are ignored.
    pub fn among(samples: &[f64], candidates: &[usize]) -> Vec<Season> {
        let values = fill_gaps(samples);
        let mut candidates = candidates.to_vec();
        candidates.sort_unstable();
        candidates.dedup();
        let mut found: Vec<Season> = Vec::new();
        let mut rest = values.clone();
        // From the shortest: a week is judged by what the days leave.
        for period in candidates {
            if let Some(season) = judge(&rest, period, ASKED) {
                found.push(season);
                rest = without(&values, &found);
            }
        }
        found.sort_by(|a, b| b.strength.total_cmp(&a.strength));
        found
    }
}

/// The season of this period, if it is one.
fn judge(values: &[f64], period: usize, errors: f64) -> Option<Season> {
    let n = values.len();
    if period < 2 || n < 2 * period + 2 {
        return None;
    }
    let trend = level(values, period);
    // The level is flat beyond half a period from the ends; what lies there would be trend, not season.
    let inside = period / 2..n - period / 2;
    let off: Vec<f64> = inside.map(|i| values[i] - trend[i]).collect();
    let acf = stats::autocorrelation(&off, period.min(off.len() - 1));
    let at = *acf.get(period)?;
    let spread: f64 = acf[1..period].iter().map(|r| r * r).sum();
    // Overlap shrinks the sum over n - p pairs; the band is for the correlation of those pairs.
    let pairs = (off.len() - period) as f64;
    let correlation = at * off.len() as f64 / pairs;
    let evidence = correlation / ((1.0 + 2.0 * spread) / pairs).sqrt();
    if evidence <= ASKED {
        return None;
    }
    let shapes = Shapes::plain(&off, period);
    let left: Vec<f64> = off.iter().enumerate().map(|(i, v)| v - shapes.at(i)).collect();
    let freedom = off.len() as f64;
    let whole = stats::variance(&off) / (freedom - 1.0);
    let noise = stats::variance(&left) / (freedom - period as f64).max(1.0);
    let strength = if whole > 0.0 { (1.0 - noise / whole).clamp(0.0, 1.0) } else { 0.0 };
    let enough = evidence > errors || strength >= STRONG;
    (enough && strength >= WORTH).then_some(Season { period, strength })
}

/// The series without these seasons (trend kept).
fn without(values: &[f64], seasons: &[Season]) -> Vec<f64> {
    let periods: Vec<usize> = seasons.iter().map(|s| s.period).collect();
    let trend = level(values, periods.iter().copied().max().unwrap_or(1));
    let off: Vec<f64> = values.iter().zip(&trend).map(|(v, t)| v - t).collect();
    let shapes = Shapes::of(&off, &periods, 1.0);
    values.iter().enumerate().map(|(i, v)| v - shapes.at(i)).collect()
}

/// Lags up to a third of the series at which the autocorrelation peaks, shortest first.
fn peaks(values: &[f64]) -> Vec<usize> {
    let n = values.len();
    if n < 6 {
        return Vec::new();
    }
    let (first, last) = (values[0], values[n - 1]);
    let slope = (last - first) / (n - 1) as f64;
    let line: Vec<f64> = values.iter().enumerate().map(|(i, v)| v - slope * i as f64).collect();
    let acf = stats::autocorrelation(&line, n / 3);
    let mut peaks: Vec<(usize, f64)> = (2..acf.len().saturating_sub(1))
        .filter_map(|lag| {
            // Prominent over its neighbourhood: a broad hill has one top.
            let reach = (lag / 6).max(1);
            let (low, high) = (lag - reach, (lag + reach).min(acf.len() - 1));
            let top = acf[low.max(1)..=high].iter().all(|r| *r <= acf[lag]);
            let valley = acf[lag / 2..lag].iter().copied().fold(f64::INFINITY, f64::min);
            (top && acf[lag] > valley).then(|| (lag, acf[lag] - valley))
        })
        .collect();
    peaks.sort_by(|a, b| b.1.total_cmp(&a.1));
    peaks.truncate(PEAKS);
    let mut lags: Vec<usize> = peaks.into_iter().map(|p| p.0).collect();
    lags.sort_unstable();
    lags
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

//! The Mann-Kendall test with a variance corrected for serial correlation.

use super::slope::count_inversions;
use crate::stats;

/// No correlation is believed to be closer to 1: the variance would be infinite.
const MOST: f64 = 0.98;

pub(super) struct Test {
    pub(super) tau: f64,
    pub(super) inflation: f64,
    pub(super) p_value: f64,
}

/// `rest` is what the trend line leaves of the points. At least four points.
pub(super) fn mann_kendall(points: &[(f64, f64)], rest: &[f64]) -> Test {
    let n = points.len() as f64;
    let mut values: Vec<f64> = points.iter().map(|p| p.1).collect();
    let mut spare = values.clone();
    let (falling, ties) = count_inversions(&mut values, &mut spare);
    let pairs = n * (n - 1.0) / 2.0;
    let s = pairs - 2.0 * falling as f64 - ties as f64;
    // Groups of equal values carry no order; `values` is sorted now.
    let tied: f64 = values
        .chunk_by(|a, b| a == b)
        .map(|group| group.len() as f64)
        .map(|t| t * (t - 1.0) * (2.0 * t + 5.0))
        .sum();
    let variance = (n * (n - 1.0) * (2.0 * n + 5.0) - tied) / 18.0;
    let tau = s / pairs;
    if variance <= 0.0 {
        return Test { tau: 0.0, inflation: 1.0, p_value: 1.0 };
    }
    let (inflation, freedom) = correction(rest);
    let z = (s.abs() - 1.0).max(0.0) / (variance * inflation).sqrt();
    Test { tau, inflation, p_value: stats::student_two_sided(z, freedom) }
}

/// By how much serial correlation inflates the variance, and the degrees of freedom that are left.
///
/// Hamed and Rao sum over the measured correlations of ranks, which are too small (the trend line was
/// fitted to the same samples) and noisy. Here a model gives them: an AR(1) process seen through white
/// noise, correlated `share phi^k` at lag k, whose first two correlations are freed of their
/// small-sample bias. What remains uncertain about the variance is paid for by Student's t with the
/// effective number of samples.
fn correction(rest: &[f64]) -> (f64, f64) {
    let n = rest.len() as f64;
    // Normal scores: no outlier can hide or fake a correlation, and Gaussian theory holds.
    let scores: Vec<f64> =
        stats::ranks(rest).into_iter().map(|r| stats::normal_quantile((r - 0.375) / (n + 0.25))).collect();
    let measured = stats::autocorrelation(&scores, 2);
    // The mean of r is phi - (2 + 4 phi) / n after a line was taken out.
    let unbiased = |r: f64| (n * r + 2.0) / (n - 4.0).max(1.0);
    let first = unbiased(measured[1]).clamp(0.0, MOST);
    let second = unbiased(measured[2]);
    let mut inflation = hamed_rao(n, 1.0, first);
    // A correlation that is surely there and fades slower than an AR(1) would: there is noise on top.
    if measured[1] > 2.0 / n.sqrt() && second > first * first {
        let slow = (second / first).clamp(first, MOST);
        inflation = inflation.max(hamed_rao(n, first / slow, slow));
    }
    (inflation, (n / inflation - 2.0).max(1.0))
}

/// The inflation of Hamed and Rao (1998) for correlations `share phi^k` of Gaussian samples.
fn hamed_rao(n: f64, share: f64, phi: f64) -> f64 {
    let mut sum = 0.0;
    let mut correlation = share;
    for lag in 1..(n as usize).saturating_sub(2) {
        correlation *= phi;
        if correlation < 1e-9 {
            break;
        }
        let lag = lag as f64;
        // Of samples correlated by r, the ranks are correlated by 6 / pi asin(r / 2).
        let ranks = 6.0 / std::f64::consts::PI * (correlation / 2.0).asin();
        sum += (n - lag) * (n - lag - 1.0) * (n - lag - 2.0) * ranks;
    }
    1.0 + 2.0 * sum / (n * (n - 1.0) * (n - 2.0))
}

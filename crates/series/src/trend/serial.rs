//! The Mann-Kendall test with a variance corrected for serial correlation.

use super::slope::count_inversions;
use crate::stats;

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

fn correction(rest: &[f64]) -> (f64, f64) {
    let n = rest.len() as f64;
    // Normal scores: no outlier can hide or fake a correlation, and Gaussian theory holds.
    let scores: Vec<f64> =
        stats::ranks(rest).into_iter().map(|r| stats::normal_quantile((r - 0.375) / (n + 0.25))).collect();
    let acf = stats::autocorrelation(&scores, 2);
    let unbias = |r: f64| (n * r + 2.0) / (n - 4.0).max(1.0);
    let phi = unbias(acf[1]).clamp(0.0, 0.98);
    let r2 = unbias(acf[2]);
    // AR(1) seen through white noise: rho_k = a phi^k
    let mut inflation = hamed_rao(n, 1.0, phi);
    if acf[1] > 2.0 / n.sqrt() && r2 > phi * phi {
        let slow = (r2 / phi).clamp(0.0, 0.98);
        inflation = inflation.max(hamed_rao(n, (phi / slow).min(1.0), slow));
    }
    (inflation, (n / inflation - 2.0).max(1.0))
}

fn hamed_rao(n: f64, share: f64, phi: f64) -> f64 {
    let mut sum = 0.0;
    let mut power = share;
    for lag in 1..(n as usize).saturating_sub(2) {
        power *= phi;
        if power < 1e-9 {
            break;
        }
        let l = lag as f64;
        let rank = 6.0 / std::f64::consts::PI * (power / 2.0).asin();
        sum += (n - l) * (n - l - 1.0) * (n - l - 2.0) * rank;
    }
    1.0 + 2.0 * sum / (n * (n - 1.0) * (n - 2.0))
}

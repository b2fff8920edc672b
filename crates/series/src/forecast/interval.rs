//! Prediction intervals from a method's own past errors.

use super::{Forecast, ForecastError, check};
use crate::stats;

/// How many earlier points a method forecasts from, at most.
const ORIGINS: usize = 20;
/// Fewer errors than this say too little about their own spread.
const ENOUGH: usize = 8;

type Predict<'a> = dyn Fn(&[f64], usize) -> Result<Vec<f64>, ForecastError> + 'a;

pub(super) fn forecast(
    predict: &Predict<'_>,
    history: &[f64],
    horizon: usize,
    level: f64,
) -> Result<Forecast, ForecastError> {
    if !(level > 0.0 && level < 1.0) {
        return Err(ForecastError::Level { level });
    }
    check(history, 0)?;
    let mean = predict(history, horizon)?;
    let widths = widths(predict, history, horizon, level);
    let lower = mean.iter().zip(&widths).map(|(m, w)| m - w).collect();
    let upper = mean.iter().zip(&widths).map(|(m, w)| m + w).collect();
    Ok(Forecast { mean, lower, upper, level })
}

/// Half the width of the interval at each step.
fn widths(predict: &Predict<'_>, history: &[f64], horizon: usize, level: f64) -> Vec<f64> {
    let errors = rolling_errors(predict, history, horizon);
    let steps: Vec<f64> = (0..horizon)
        .map(|h| {
            let at: Vec<f64> = errors.iter().filter_map(|e| e.get(h).map(|v| v.abs())).collect();
            if at.len() < 3 { f64::NAN } else { stats::mean(&at) }
        })
        .collect();
    let known = steps.iter().take_while(|s| s.is_finite()).count();
    if known == 0 {
        return fallback(history, horizon, level);
    }
    let scale = growth(&steps[..known], horizon);
    // Errors in units of what is usual at their step can be pooled over steps.
    let mut pooled: Vec<f64> = errors
        .iter()
        .flat_map(|e| e.iter().take(known).enumerate())
        .map(|(h, v)| if scale[h] > 0.0 { v.abs() / scale[h] } else { 0.0 })
        .collect();
    pooled.sort_unstable_by(stats::order);
    let factor = if errors.len() < ENOUGH {
        let origins = errors.len() as f64;
        let gauss = stats::normal_quantile(f64::midpoint(level, 1.0)) / stats::normal_quantile(0.75);
        stats::quantile_sorted(&pooled, 0.5) * gauss * (1.0 + 2.0 / origins)
    } else {
        // The conformal rank. The errors from one origin are far from independent: they count as two.
        let known = pooled.len().min(2 * errors.len());
        let rank = level * (1.0 + 1.0 / known as f64);
        let inside = stats::quantile_sorted(&pooled, rank.min(1.0));
        // Past the greatest error there is only extrapolation.
        if rank > 1.0 { inside * 1.25 } else { inside }
    };
    scale.iter().map(|s| s * factor).collect()
}

/// The errors made from earlier origins, each as far ahead as the history can judge.
fn rolling_errors(predict: &Predict<'_>, history: &[f64], horizon: usize) -> Vec<Vec<f64>> {
    let n = history.len();
    // Keep at least half of the history to learn from, and reach as far back as a few horizons.
    let first = (n / 2).max(n.saturating_sub(horizon.saturating_mul(2).max(40))).max(1);
    let span = n.saturating_sub(first);
    let count = ORIGINS.min(span);
    (0..count)
        .filter_map(|i| {
            let origin = first + i * span / count;
            let steps = horizon.min(n - origin);
            let ahead = predict(&history[..origin], steps).ok()?;
            Some(ahead.iter().zip(&history[origin..]).map(|(f, a)| a - f).collect())
        })
        .collect()
}

/// A scale per step that never shrinks, continued by the square root of the step.
fn growth(steps: &[f64], horizon: usize) -> Vec<f64> {
    let mut scale = isotonic(steps);
    let last = scale[scale.len() - 1];
    let from = scale.len() as f64;
    scale.extend((scale.len()..horizon).map(|h| last * ((h + 1) as f64 / from).sqrt()));
    scale
}

/// The nearest never-shrinking sequence in least squares: pool adjacent violators.
fn isotonic(values: &[f64]) -> Vec<f64> {
    let mut blocks: Vec<(f64, usize)> = Vec::new();
    for &value in values {
        blocks.push((value, 1));
        while blocks.len() > 1 && blocks[blocks.len() - 2].0 > blocks[blocks.len() - 1].0 {
            let (b, m) = blocks[blocks.len() - 1];
            blocks.pop();
            let at = blocks.len() - 1;
            let (a, n) = blocks[at];
            blocks[at] = ((a * n as f64 + b * m as f64) / (n + m) as f64, n + m);
        }
    }
    blocks.into_iter().flat_map(|(value, n)| std::iter::repeat_n(value, n)).collect()
}

/// With next to no past: the spread of the steps, growing like that of a random walk.
fn fallback(history: &[f64], horizon: usize, level: f64) -> Vec<f64> {
    let steps: Vec<f64> = history.windows(2).map(|p| p[1] - p[0]).collect();
    let spread = (steps.iter().map(|s| s * s).sum::<f64>() / steps.len().max(1) as f64).sqrt();
    let z = stats::normal_quantile(f64::midpoint(level, 1.0));
    (1..=horizon).map(|h| 2.0 * z * spread * (h as f64).sqrt()).collect()
}

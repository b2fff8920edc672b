//! Exponential smoothing: the level (SES) and the level with a damped trend.

use super::{ForecastError, Forecaster, check};
use crate::season::Adjusted;

/// Simple exponential smoothing (Brown 1959): one level, its weight chosen by least squares.
///
/// Needs two values. With a period the series is deseasonalised first, when its season is significant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ses {
    period: usize,
}

impl Ses {
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

impl Forecaster for Ses {
    fn predict(&self, history: &[f64], horizon: usize) -> Result<Vec<f64>, ForecastError> {
        check(history, 2)?;
        let adjusted = Adjusted::of(history, self.period);
        Ok(adjusted.reseason(vec![ses(&adjusted.values); horizon]))
    }
}

/// A level with a trend that fades: Holt's method, damped (Gardner and McKenzie 1985).
///
/// The three weights are chosen by least squares. Needs four values. With a period the series is
/// deseasonalised first, when its season is significant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damped {
    period: usize,
}

impl Damped {
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

impl Forecaster for Damped {
    fn predict(&self, history: &[f64], horizon: usize) -> Result<Vec<f64>, ForecastError> {
        check(history, 4)?;
        let adjusted = Adjusted::of(history, self.period);
        let values = damped(&adjusted.values, horizon);
        Ok(adjusted.reseason(values))
    }
}

/// The last level of the best SES. The start level is solved for in closed form: the errors are linear in it.
pub(super) fn ses(values: &[f64]) -> f64 {
    let weight = minimise(0.01, 0.99, |w| ses_run(values, w).0);
    ses_run(values, weight).1
}

/// The sum of squared errors and the last level.
fn ses_run(values: &[f64], weight: f64) -> (f64, f64) {
    // Around the first value, so that sums of squares keep their digits.
    let shift = values.first().copied().unwrap_or(0.0);
    // With start level s: error_t = fixed_t - keep^t * s, where `fixed` starts from level 0.
    let (mut base, mut share) = (0.0, 1.0);
    let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
    for &value in values {
        let fixed = value - shift - base;
        xx += share * share;
        xy += share * fixed;
        yy += fixed * fixed;
        base += weight * fixed;
        share *= 1.0 - weight;
    }
    let start = if xx > 0.0 { xy / xx } else { 0.0 };
    (yy - start * xy, base + share * start + shift)
}

/// The least point of a function that need not be smooth: a grid, then golden sections around its best.
pub(super) fn minimise(low: f64, high: f64, cost: impl Fn(f64) -> f64) -> f64 {
    const GRID: usize = 12;
    const SECTIONS: usize = 16;
    let at = |i: usize| low + (high - low) * i as f64 / GRID as f64;
    let best = (0..=GRID).min_by(|&a, &b| cost(at(a)).total_cmp(&cost(at(b)))).unwrap_or(0);
    let (mut a, mut b) = (at(best.saturating_sub(1)), at((best + 1).min(GRID)));
    let golden = 0.618_033_988_749_894_9;
    let (mut c, mut d) = (b - golden * (b - a), a + golden * (b - a));
    let (mut at_c, mut at_d) = (cost(c), cost(d));
    for _ in 0..SECTIONS {
        if at_c < at_d {
            (b, d, at_d) = (d, c, at_c);
            c = b - golden * (b - a);
            at_c = cost(c);
        } else {
            (a, c, at_c) = (c, d, at_d);
            d = a + golden * (b - a);
            at_d = cost(d);
        }
    }
    let inside = (a + b) / 2.0;
    if cost(at(best)) <= cost(inside) { at(best) } else { inside }
}

/// Fits the damped trend and continues it.
pub(super) fn damped(values: &[f64], horizon: usize) -> Vec<f64> {
    let fit = |p: [f64; 3]| damped_run(values, p).0;
    let mut best = [0.5, 0.1, 0.95];
    let mut cost = f64::INFINITY;
    for alpha in [0.05, 0.15, 0.3, 0.5, 0.75, 0.95] {
        for beta in [0.01, 0.05, 0.15, 0.4] {
            for phi in [0.8, 0.9, 0.98] {
                let c = fit([alpha, beta, phi]);
                if c < cost {
                    (best, cost) = ([alpha, beta, phi], c);
                }
            }
        }
    }
    // Pattern search from the best cell of the grid.
    let mut step = [0.1, 0.05, 0.04];
    for _ in 0..12 {
        let mut moved = false;
        for axis in 0..3 {
            for sign in [1.0, -1.0] {
                let mut next = best;
                next[axis] =
                    (next[axis] + sign * step[axis]).clamp(0.001, if axis == 2 { 0.98 } else { 0.999 });
                let c = fit(next);
                if c < cost {
                    (best, cost, moved) = (next, c, true);
                }
            }
        }
        if !moved {
            step.iter_mut().for_each(|s| *s /= 2.0);
        }
    }
    let (_, level, trend) = damped_run(values, best);
    let (mut reach, mut power) = (0.0, 1.0);
    (0..horizon)
        .map(|_| {
            power *= best[2];
            reach += power;
            level + reach * trend
        })
        .collect()
}

fn damped_run(values: &[f64], [alpha, beta, phi]: [f64; 3]) -> (f64, f64, f64) {
    let early = values.len().min(5);
    let mut level = values[0];
    let mut trend = if early > 1 { (values[early - 1] - values[0]) / (early - 1) as f64 } else { 0.0 };
    let mut cost = 0.0;
    for &value in &values[1..] {
        let expected = level + phi * trend;
        let error = value - expected;
        cost += error * error;
        level = expected + alpha * error;
        trend = phi * trend + alpha * beta * error;
    }
    (cost, level, trend)
}

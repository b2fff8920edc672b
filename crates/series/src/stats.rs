//! The small statistics the other modules stand on. Inputs are finite unless said otherwise.

use std::cmp::Ordering;

/// Orders finite numbers; NaN never reaches it, and would sort by sign.
pub(crate) fn order(a: &f64, b: &f64) -> Ordering {
    a.total_cmp(b)
}

/// The index of the first value that is not finite.
pub(crate) fn first_non_finite(values: &[f64]) -> Option<usize> {
    values.iter().position(|v| !v.is_finite())
}

/// The mean, 0 for an empty slice. Divides before it adds, so that it cannot overflow.
pub(crate) fn mean(values: &[f64]) -> f64 {
    let n = values.len().max(1) as f64;
    values.iter().map(|v| v / n).sum()
}

/// The variance around the mean (divisor n), 0 for an empty slice.
pub(crate) fn variance(values: &[f64]) -> f64 {
    let m = mean(values);
    let n = values.len().max(1) as f64;
    values.iter().map(|v| (v - m) * (v - m)).sum::<f64>() / n
}

/// The median by selection; reorders its input. 0 for an empty slice.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    let n = values.len();
    if n == 0 {
        return 0.0;
    }
    let (below, &mut upper, _) = values.select_nth_unstable_by(n / 2, order);
    if n % 2 == 1 {
        return upper;
    }
    let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    lower / 2.0 + upper / 2.0
}

/// The median of a slice that stays as it is.
pub(crate) fn median_of(values: &[f64]) -> f64 {
    median(&mut values.to_vec())
}

/// The quantile of sorted values with linear interpolation (Hyndman-Fan type 7).
pub(crate) fn quantile_sorted(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let position = q.clamp(0.0, 1.0) * last as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(last);
    let part = position - below as f64;
    sorted[below] * (1.0 - part) + sorted[above] * part
}

/// Autocorrelation at lags `0..=max_lag`, direct sums; all zero but the first for a constant.
pub(crate) fn autocorrelation(values: &[f64], max_lag: usize) -> Vec<f64> {
    let n = values.len();
    let m = mean(values);
    let centred: Vec<f64> = values.iter().map(|v| v - m).collect();
    let total: f64 = centred.iter().map(|v| v * v).sum();
    let max_lag = max_lag.min(n.saturating_sub(1));
    let mut acf = Vec::with_capacity(max_lag + 1);
    acf.push(1.0);
    for lag in 1..=max_lag {
        let sum: f64 = centred.iter().zip(&centred[lag..]).map(|(a, b)| a * b).sum();
        acf.push(if total > 0.0 { sum / total } else { 0.0 });
    }
    acf
}

/// Ranks from 1, ties sharing the mean of theirs.
pub(crate) fn ranks(values: &[f64]) -> Vec<f64> {
    let mut by_value: Vec<usize> = (0..values.len()).collect();
    by_value.sort_unstable_by(|&a, &b| order(&values[a], &values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < by_value.len() {
        let mut end = start + 1;
        while end < by_value.len() && values[by_value[end]] == values[by_value[start]] {
            end += 1;
        }
        let rank = (start + end + 1) as f64 / 2.0;
        for &at in &by_value[start..end] {
            ranks[at] = rank;
        }
        start = end;
    }
    ranks
}

/// The quantile of the standard normal distribution: Acklam's rational fit, relative error 1.2e-9.
pub(crate) fn normal_quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969683028665376e1,
        2.209460984245205e2,
        -2.759285104469687e2,
        1.38357751867269e2,
        -3.066479806614716e1,
        2.506628277459239,
    ];
    const B: [f64; 5] = [
        -5.447609879822406e1,
        1.615858368580409e2,
        -1.556989798598866e2,
        6.680131188771972e1,
        -1.328068155288572e1,
    ];
    const C: [f64; 6] = [
        -7.784894002430293e-3,
        -3.223964580411365e-1,
        -2.400758277161838,
        -2.549732539343734,
        4.374664141464968,
        2.938163982698783,
    ];
    const D: [f64; 4] = [7.784695709041462e-3, 3.224671290700398e-1, 2.445134137142996, 3.754408661907416];
    let tail = |q: f64| {
        (((((C[0] * q + C[1]) * q + C[2]) * q + C[3]) * q + C[4]) * q + C[5])
            / ((((D[0] * q + D[1]) * q + D[2]) * q + D[3]) * q + 1.0)
    };
    if p <= 0.0 {
        f64::NEG_INFINITY
    } else if p >= 1.0 {
        f64::INFINITY
    } else if p < 0.02425 {
        tail((-2.0 * p.ln()).sqrt())
    } else if p > 1.0 - 0.02425 {
        -tail((-2.0 * (1.0 - p).ln()).sqrt())
    } else {
        let q = p - 0.5;
        let r = q * q;
        (((((A[0] * r + A[1]) * r + A[2]) * r + A[3]) * r + A[4]) * r + A[5]) * q
            / (((((B[0] * r + B[1]) * r + B[2]) * r + B[3]) * r + B[4]) * r + 1.0)
    }
}

/// Two-sided tail of Student's t distribution with `freedom` degrees (any positive number).
pub(crate) fn student_two_sided(t: f64, freedom: f64) -> f64 {
    if !t.is_finite() {
        return 0.0;
    }
    incomplete_beta(freedom / (freedom + t * t), freedom / 2.0, 0.5).clamp(0.0, 1.0)
}

/// The regularised incomplete beta function by Lentz's continued fraction.
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(1.0 - x, b, a);
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (1.0 - x).ln()).exp() / a;
    const TINY: f64 = 1e-300;
    let guard = |v: f64| if v.abs() < TINY { TINY } else { v };
    let (mut c, mut d) = (1.0, 1.0 / guard(1.0 - (a + b) * x / (a + 1.0)));
    let mut value = d;
    for step in 1..300 {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / guard(1.0 + even * d);
        c = guard(1.0 + even / c);
        value *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / guard(1.0 + odd * d);
        c = guard(1.0 + odd / c);
        value *= d * c;
        if (d * c - 1.0).abs() < 1e-14 {
            break;
        }
    }
    front * value
}

/// The logarithm of the gamma function for positive arguments (Lanczos, g = 7).
fn ln_gamma(x: f64) -> f64 {
    const C: [f64; 9] = [
        0.999_999_999_999_809_9,
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    if x < 0.5 {
        return (std::f64::consts::PI / (std::f64::consts::PI * x).sin()).ln() - ln_gamma(1.0 - x);
    }
    let x = x - 1.0;
    let t = x + 7.5;
    let sum = C[1..].iter().enumerate().fold(C[0], |sum, (i, c)| sum + c / (x + 1.0 + i as f64));
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64, tolerance: f64) {
        assert!((a - b).abs() <= tolerance, "{a} is not {b}");
    }

    #[test]
    fn tails_match_the_tables() {
        close(normal_quantile(0.975), 1.959_963_985, 1e-7);
        close(normal_quantile(0.01), -2.326_347_874, 1e-7);
        close(normal_quantile(0.5), 0.0, 1e-12);
        close(student_two_sided(2.228_138_9, 10.0), 0.05, 1e-7);
        close(student_two_sided(12.706_204_7, 1.0), 0.05, 1e-7);
        close(student_two_sided(1.959_963_985, 1e7), 0.05, 1e-6);
        close(student_two_sided(0.0, 3.0), 1.0, 1e-12);
        close(student_two_sided(f64::INFINITY, 3.0), 0.0, 0.0);
    }

    #[test]
    fn order_statistics() {
        close(median(&mut [3.0, 1.0, 2.0]), 2.0, 0.0);
        close(median(&mut [4.0, 1.0, 2.0, 3.0]), 2.5, 0.0);
        close(median(&mut []), 0.0, 0.0);
        close(median(&mut [f64::MAX, f64::MAX]), f64::MAX, 0.0);
        close(quantile_sorted(&[1.0, 2.0, 3.0, 4.0], 0.5), 2.5, 0.0);
        close(quantile_sorted(&[1.0, 2.0], 1.0), 2.0, 0.0);
        assert_eq!(ranks(&[10.0, 5.0, 10.0, 1.0]), vec![3.5, 2.0, 3.5, 1.0]);
    }

    #[test]
    fn autocorrelation_of_an_alternation() {
        let values: Vec<f64> = (0..100).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
        let acf = autocorrelation(&values, 2);
        close(acf[1], -0.99, 1e-9);
        close(acf[2], 0.98, 1e-9);
        assert_eq!(autocorrelation(&[4.0; 5], 2), vec![1.0, 0.0, 0.0]);
    }
}

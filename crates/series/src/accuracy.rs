//! Measures of forecast accuracy. All take the shorter of the two lengths and are NaN when it is 0.

/// Symmetric mean absolute percentage error, in percent, `0..=200` (M4's definition).
///
/// Steps where forecast and truth are both 0 count as exact.
pub fn smape(actual: &[f64], forecast: &[f64]) -> f64 {
    mean_over(actual, forecast, |a, f| {
        let size = a.abs() + f.abs();
        if size > 0.0 { 200.0 * (a - f).abs() / size } else { 0.0 }
    })
}

/// Mean absolute scaled error (Hyndman and Koehler 2006): the error in units of the mean error that
/// repeating the last season made within the history.
///
/// Infinite when the history repeats itself exactly and the forecast errs, NaN when it is not longer than the period.
pub fn mase(actual: &[f64], forecast: &[f64], history: &[f64], period: usize) -> f64 {
    let period = period.max(1);
    let steps = history.len().saturating_sub(period) as f64;
    let scale: f64 = history.iter().skip(period).zip(history).map(|(now, then)| (now - then).abs()).sum();
    let error = mean_over(actual, forecast, |a, f| (a - f).abs());
    if error == 0.0 && scale == 0.0 { 0.0 } else { error / (scale / steps) }
}

/// Overall weighted average of M4: the mean of sMAPE and MASE, each relative to a reference method's.
pub fn owa(smape: f64, mase: f64, reference_smape: f64, reference_mase: f64) -> f64 {
    f64::midpoint(smape / reference_smape, mase / reference_mase)
}

/// Pinball loss of a forecast of the quantile `q` (Koenker and Bassett 1978): least in the mean for the
/// true quantile.
pub fn pinball(actual: &[f64], forecast: &[f64], q: f64) -> f64 {
    mean_over(actual, forecast, |a, f| if a >= f { q * (a - f) } else { (1.0 - q) * (f - a) })
}

fn mean_over(actual: &[f64], forecast: &[f64], error: impl Fn(f64, f64) -> f64) -> f64 {
    let n = actual.len().min(forecast.len()) as f64;
    actual.iter().zip(forecast).map(|(&a, &f)| error(a, f)).sum::<f64>() / n
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        assert!((smape(&[100.0, 0.0], &[50.0, 0.0]) - 100.0 / 3.0).abs() < 1e-12);
        assert_eq!(mase(&[5.0], &[7.0], &[1.0, 2.0, 3.0], 1), 2.0);
        assert_eq!(mase(&[5.0], &[5.0], &[1.0, 1.0, 1.0], 1), 0.0);
        assert_eq!(mase(&[5.0], &[6.0], &[1.0, 1.0, 1.0], 1), f64::INFINITY);
        assert!(mase(&[5.0], &[6.0], &[1.0], 4).is_nan());
        assert_eq!(pinball(&[10.0, 0.0], &[5.0, 5.0], 0.9), f64::midpoint(4.5, 0.5));
        assert_eq!(owa(5.0, 1.0, 10.0, 1.0), 0.75);
        assert!(smape(&[], &[]).is_nan());
    }
}

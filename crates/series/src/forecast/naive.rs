//! The last value, and the last season.

use super::{ForecastError, Forecaster, check};

/// The last value for ever: the yardstick of every other method. Needs one value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Naive;

impl Naive {
    /// The method; it has nothing to set.
    pub fn new() -> Self {
        Self
    }
}

impl Forecaster for Naive {
    fn predict(&self, history: &[f64], horizon: usize) -> Result<Vec<f64>, ForecastError> {
        check(history, 1)?;
        Ok(vec![history[history.len() - 1]; horizon])
    }
}

/// The last season again and again. Needs one full season.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeasonalNaive {
    period: usize,
}

impl SeasonalNaive {
    /// Repeats the last `period` values: 24 for hourly samples with a daily season. 1 is [`Naive`];
    /// 0 is refused when it predicts.
    pub fn new(period: usize) -> Self {
        Self { period }
    }
}

impl Forecaster for SeasonalNaive {
    fn predict(&self, history: &[f64], horizon: usize) -> Result<Vec<f64>, ForecastError> {
        if self.period == 0 {
            return Err(ForecastError::Period { period: 0 });
        }
        check(history, self.period)?;
        let season = &history[history.len() - self.period..];
        Ok(season.iter().cycle().take(horizon).copied().collect())
    }
}

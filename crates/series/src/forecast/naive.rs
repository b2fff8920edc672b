//! The last value, and the last season.

use super::{ForecastError, Forecaster, check};
use crate::season::Adjusted;

/// The last value for ever: the yardstick of every other method. Needs one value.
///
/// With a period it is Naive 2 of the M competitions, the reference of OWA: the series is
/// deseasonalised first, when its season is significant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Naive {
    period: usize,
}

impl Naive {
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

impl Forecaster for Naive {
    fn predict(&self, history: &[f64], horizon: usize) -> Result<Vec<f64>, ForecastError> {
        check(history, 1)?;
        let adjusted = Adjusted::of(history, self.period);
        let last = adjusted.values[history.len() - 1];
        Ok(adjusted.reseason(vec![last; horizon]))
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

//! A combination chosen by rolling-origin error.

use super::{Damped, ForecastError, Forecaster, Naive, SeasonalNaive, Ses, Theta, check};
use crate::season::Seasonality;

/// Finds the seasons, runs several methods, and combines those that were best on the series' own past.
///
/// Works from one value on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Auto {
    periods: Option<Vec<usize>>,
}

impl Auto {
    /// Seasons are searched for.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only these seasons are considered (each only if the series shows it): `[24, 168]` for hourly
    /// samples. An empty list means none.
    #[must_use]
    pub fn periods(mut self, periods: &[usize]) -> Self {
        self.periods = Some(periods.to_vec());
        self
    }
}

impl Forecaster for Auto {
    fn predict(&self, history: &[f64], horizon: usize) -> Result<Vec<f64>, ForecastError> {
        check(history, 1)?;
        let seasons = match &self.periods {
            Some(periods) => Seasonality::among(history, periods),
            None => Seasonality::detect(history),
        };
        let period = seasons.first().map_or(1, |s| s.period);
        let mut methods: Vec<Box<dyn Forecaster>> = vec![
            Box::new(Ses::new().period(period)),
            Box::new(Damped::new().period(period)),
            Box::new(Theta::new().period(period)),
        ];
        methods.extend(seasons.iter().map(|s| Box::new(SeasonalNaive::new(s.period)) as Box<dyn Forecaster>));
        let mut all: Vec<Vec<f64>> =
            methods.iter().filter_map(|m| m.predict(history, horizon).ok()).collect();
        if all.is_empty() {
            all.push(Naive.predict(history, horizon)?);
        }
        Ok((0..horizon)
            .map(|h| crate::stats::median(&mut all.iter().map(|f| f[h]).collect::<Vec<_>>()))
            .collect())
    }
}

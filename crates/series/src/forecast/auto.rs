//! A combination chosen by rolling-origin error.
//!
//! A [`Plan`] is one way to forecast: take logarithms or not, take the seasons out with patterns that
//! forget faster or slower, continue the rest. Plans are judged on the last part of the history and the
//! best few are averaged, the better ones weighing more.

use super::{Forecast, ForecastError, Forecaster, check, interval, smoothing, theta};
use crate::decompose::{Shapes, level};
use crate::season::{Adjusted, Seasonality};
use crate::stats;

/// How many points of the past the plans are judged from.
const ORIGINS: usize = 5;
/// How many plans are averaged.
const BEST: usize = 3;

/// Finds the seasons, tries a dozen methods on the series' own past, and averages the best three.
///
/// The methods are Theta, simple and damped smoothing, each on the series or its logarithm and with
/// seasonal patterns (any number of them, as 24 and 168) that forget the past at different speeds, and
/// the seasonal naive ones. Each is judged by its mean absolute error from up to five earlier points. That past
/// decides is what makes a combination safe (Makridakis, Spiliotis and Assimakopoulos 2020, on M4).
///
/// Works from one value on; with too little past to judge, the methods' median is taken. The cost is
/// some sixty fits, a few milliseconds for a thousand values.
///
/// ```
/// use ropewalk_series::{Auto, Forecaster};
///
/// let daily = |i: usize| 100.0 + 30.0 * (i as f64 / 24.0 * std::f64::consts::TAU).sin();
/// let load: Vec<f64> = (0..240).map(daily).collect();
/// let forecast = Auto::new().forecast(&load, 24)?;
/// assert!((forecast.mean[5] - daily(245)).abs() < 1.0);
/// # Ok::<(), ropewalk_series::ForecastError>(())
/// ```
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

    fn choose(&self, history: &[f64], horizon: usize) -> Mix {
        let seasons = match &self.periods {
            Some(periods) => Seasonality::among(history, periods),
            None => Seasonality::detect(history),
        };
        let mut periods: Vec<usize> = seasons.iter().map(|s| s.period).collect();
        periods.sort_unstable();
        Mix::choose(history, horizon, &periods)
    }
}

impl Forecaster for Auto {
    fn predict(&self, history: &[f64], horizon: usize) -> Result<Vec<f64>, ForecastError> {
        check(history, 1)?;
        Ok(self.choose(history, horizon).predict(history, horizon))
    }

    /// The methods are chosen once, on the whole history; the intervals are the errors of that choice.
    fn forecast_at(&self, history: &[f64], horizon: usize, level: f64) -> Result<Forecast, ForecastError> {
        check(history, 1)?;
        let mix = self.choose(history, horizon);
        interval::forecast(&|past, steps| Ok(mix.predict(past, steps)), history, horizon, level)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Rest {
    Ses,
    Damped,
    Theta,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Plan {
    /// Seasonal patterns, additive in the series or its logarithm.
    Shaped { log: bool, fade: f64, rest: Rest },
    /// One season by classical decomposition.
    Classic(Rest),
    /// Repeats one season.
    Repeat(usize),
}

struct Mix {
    periods: Vec<usize>,
    /// Plans and weights; without weights the median of all is taken.
    plans: Vec<(Plan, f64)>,
    weighed: bool,
}

impl Mix {
    fn choose(history: &[f64], horizon: usize, periods: &[usize]) -> Self {
        let mut mix = Self { periods: periods.to_vec(), plans: Vec::new(), weighed: false };
        let plans = plans(history, periods);
        let n = history.len();
        let steps = horizon.clamp(1, (n / 4).max(1));
        let stride = (steps / 2).max(1);
        let least = (n / 2).max(2 * periods.iter().copied().max().unwrap_or(1)).max(8);
        let origins: Vec<usize> =
            (0..ORIGINS).filter_map(|i| n.checked_sub(steps + i * stride)).filter(|o| *o >= least).collect();
        let mut judged: Vec<(Plan, f64)> = plans
            .iter()
            .map(|&plan| {
                let error = |&origin: &usize| -> f64 {
                    let ahead = plan.predict(&history[..origin], steps, periods);
                    ahead.iter().zip(&history[origin..]).map(|(f, a)| (f - a).abs()).sum()
                };
                (plan, origins.iter().map(error).sum())
            })
            .collect();
        if origins.len() < 2 {
            mix.plans = judged;
            return mix;
        }
        judged.sort_by(|a, b| a.1.total_cmp(&b.1));
        judged.truncate(BEST);
        let best = judged[0].1;
        for (_, weight) in &mut judged {
            // 0 / 0: several were exact.
            *weight = if *weight > 0.0 { (best / *weight).powi(2) } else { 1.0 };
        }
        mix.plans = judged;
        mix.weighed = true;
        mix
    }

    fn predict(&self, history: &[f64], horizon: usize) -> Vec<f64> {
        let all: Vec<(Vec<f64>, f64)> = self
            .plans
            .iter()
            .map(|(plan, weight)| (plan.predict(history, horizon, &self.periods), *weight))
            .collect();
        let total: f64 = all.iter().map(|(_, weight)| weight).sum();
        (0..horizon)
            .map(|h| {
                if self.weighed {
                    all.iter().map(|(values, weight)| values[h] * weight).sum::<f64>() / total
                } else {
                    stats::median(&mut all.iter().map(|(values, _)| values[h]).collect::<Vec<_>>())
                }
            })
            .collect()
    }
}

fn plans(history: &[f64], periods: &[usize]) -> Vec<Plan> {
    let mut plans = vec![Plan::Classic(Rest::Ses), Plan::Classic(Rest::Theta)];
    plans.push(Plan::Repeat(1));
    plans.extend(periods.iter().map(|p| Plan::Repeat(*p)));
    let fades: &[f64] = if periods.is_empty() { &[1.0] } else { &[1.0, 0.7, 0.4] };
    let logs: &[bool] = if history.iter().all(|v| *v > 0.0) { &[false, true] } else { &[false] };
    for &log in logs {
        for &fade in fades {
            plans.push(Plan::Shaped { log, fade, rest: Rest::Theta });
            plans.push(Plan::Shaped { log, fade, rest: Rest::Damped });
        }
    }
    plans
}

impl Plan {
    /// Total: a plan that cannot work on so little history repeats its last value.
    fn predict(self, history: &[f64], horizon: usize, periods: &[usize]) -> Vec<f64> {
        let n = history.len();
        match self {
            Self::Repeat(period) => {
                let season = &history[n.saturating_sub(period)..];
                season.iter().cycle().take(horizon).copied().collect()
            }
            Self::Classic(rest) => {
                let adjusted = Adjusted::of(history, periods.first().copied().unwrap_or(1));
                let ahead = rest.predict(&adjusted.values, horizon);
                adjusted.reseason(ahead)
            }
            Self::Shaped { log, fade, rest } => {
                let log = log && history.iter().all(|v| *v > 0.0);
                let values: Vec<f64> =
                    if log { history.iter().map(|v| v.ln()).collect() } else { history.to_vec() };
                let known: Vec<usize> = periods.iter().copied().filter(|p| n >= 2 * p).collect();
                let trend = level(&values, known.last().copied().unwrap_or(1));
                let off: Vec<f64> = values.iter().zip(&trend).map(|(v, t)| v - t).collect();
                let shapes = Shapes::of(&off, &known, fade);
                let plain: Vec<f64> = values.iter().enumerate().map(|(i, v)| v - shapes.at(i)).collect();
                let ahead = rest.predict(&plain, horizon);
                let back = |(h, v): (usize, f64)| {
                    let value = v + shapes.at(n + h);
                    // A logarithm that runs away is stopped before it is infinite.
                    if log { value.min(700.0).exp() } else { value }
                };
                ahead.into_iter().enumerate().map(back).collect()
            }
        }
    }
}

impl Rest {
    fn predict(self, values: &[f64], horizon: usize) -> Vec<f64> {
        match self {
            _ if values.len() < 4 => vec![values[values.len() - 1]; horizon],
            Self::Ses => vec![smoothing::ses(values); horizon],
            Self::Damped => smoothing::damped(values, horizon),
            Self::Theta => theta::theta(values, horizon),
        }
    }
}

//! Time-series mathematics: robust trends with calibrated confidence, seasonality, forecasts with
//! intervals, streaming anomaly detection.
//!
//! ```
//! use ropewalk_series::{AnomalyDetector, Auto, Direction, Forecaster, Seasonality, Trend};
//!
//! // Four weeks of hourly load: a day, a growth of 0.1 an hour, some noise.
//! let load: Vec<f64> = (0..672)
//!     .map(|i| 200.0 + 0.1 * f64::from(i) + 40.0 * (f64::from(i) / 24.0 * std::f64::consts::TAU).sin() + f64::from(i * 37 % 11))
//!     .collect();
//! let trend = Trend::of(&load);
//! assert_eq!(trend.direction, Direction::Rising);
//! assert_eq!(Seasonality::detect(&load)[0].period, 24);
//! let tomorrow = Auto::new().forecast(&load, 24)?;
//! assert!(tomorrow.peak().unwrap() > 290.0);
//! let mut watch = AnomalyDetector::new(168);
//! for value in &load {
//!     watch.observe(*value);
//! }
//! assert!(watch.observe(1_000.0).anomalous);
//! # Ok::<(), ropewalk_series::ForecastError>(())
//! ```
//!
//! # Overview
//!
//! * [`Trend`]: direction and slope of a series, and a confidence that holds for correlated samples.
//! * [`Seasonality`] finds periods, [`Decomposition`] takes a series apart.
//! * [`Forecaster`] is the trait of all methods: [`Naive`], [`SeasonalNaive`], [`Ses`], [`Damped`],
//!   [`Theta`], and [`Auto`], which tries them all. Each gives a [`Forecast`] with intervals.
//! * [`smape`], [`mase`], [`owa`] and [`pinball`] measure how good it was.
//! * [`AnomalyDetector`] scores a stream value by value.
//!
//! # Guarantees
//!
//! * Everything is deterministic and a pure function of its input; no thread, no clock, no global state.
//! * No input panics. Values that are not finite are gaps: skipped by [`Trend`], [`Seasonality`] and
//!   [`AnomalyDetector`] (which say how), refused with their index by forecasters.
//! * [`AnomalyDetector`] reads nothing ahead and its memory does not grow with the stream.
//! * What confidences and intervals really hold was measured; the README has the figures.
//!
//! # Features
//!
//! * `serde`: `Serialize` and `Deserialize` for results.

#![forbid(unsafe_code)]

mod accuracy;
mod anomaly;
mod decompose;
mod forecast;
mod season;
mod stats;
mod trend;

pub use accuracy::{mase, owa, pinball, smape};
pub use anomaly::{AnomalyDetector, AnomalyDetectorBuilder, DetectorError, Observation};
pub use decompose::Decomposition;
pub use forecast::{
    Auto, Damped, Forecast, ForecastError, Forecaster, Naive, SeasonalNaive, Ses, Theta, fill_gaps,
};
pub use season::{Season, Seasonality};
pub use trend::{Direction, Trend, TrendError};

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct Readme;

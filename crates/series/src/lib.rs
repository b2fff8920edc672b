//! Time-series mathematics: robust trends with calibrated confidence, seasonality, forecasts with intervals, streaming anomaly detection.
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

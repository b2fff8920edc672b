//! Integration tests of the time-series mathematics.

mod accuracy;
mod anomaly;
mod forecast;
mod noise;
mod season;
mod trend;

fn assert_plain<T: Send + Sync + Clone + std::fmt::Debug>() {}

#[test]
fn public_types_are_plain_values() {
    use ropewalk_series::*;
    assert_plain::<Trend>();
    assert_plain::<Direction>();
    assert_plain::<TrendError>();
    assert_plain::<Season>();
    assert_plain::<Decomposition>();
    assert_plain::<Forecast>();
    assert_plain::<ForecastError>();
    assert_plain::<(Auto, Damped, Naive, SeasonalNaive, Ses, Theta)>();
    assert_plain::<(AnomalyDetector, AnomalyDetectorBuilder, DetectorError, Observation)>();
}

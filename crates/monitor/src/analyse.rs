//! The recorded series, looked back at.

use crate::{
    Handle,
    metric::{Labels, Unit, Value},
};
use ropewalk_series::{Direction, Trend};
use std::{fmt, sync::Arc};

/// Series looked at.
const SERIES: usize = 256;
/// Points looked at, the last ones.
const POINTS: usize = 240;
/// The least for a trend.
const LEAST: usize = 12;

/// A series and where it goes.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SeriesTrend {
    /// Its name.
    pub name: Arc<str>,
    /// Its labels.
    pub labels: Labels,
    /// The trend of its last 240 points: of the level of a gauge, the increase per second of a counter, the
    /// p99 of a histogram. Its slope is per tick; its confidence is calibrated.
    pub trend: Trend,
}

/// A series in figures.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SeriesSummary {
    /// Its name.
    pub name: Arc<str>,
    /// Its labels.
    pub labels: Labels,
    /// What its numbers are.
    pub unit: Unit,
    /// How many points the figures are of.
    pub points: usize,
    /// The newest.
    pub last: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// The mean.
    pub mean: f64,
    /// Where it goes, with at least 95 % confidence.
    pub direction: Direction,
    /// The confidence that it goes anywhere.
    pub confidence: f64,
    /// Values that stood out since the start.
    pub anomalies: u64,
}

/// All series in figures.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PerformanceSummary {
    /// The first 256 series, in the order in which they appeared.
    pub series: Vec<SeriesSummary>,
    /// Values that stood out since the start.
    pub anomalies: u64,
}

struct Curve {
    name: Arc<str>,
    labels: Labels,
    unit: Unit,
    points: Vec<f64>,
    anomalies: u64,
}

/// Copies of the curves, so that the mathematics runs without the lock.
fn curves(handle: &Handle) -> Vec<Curve> {
    let state = handle.0.state.lock();
    let series =
        state.table.sorted().into_iter().filter(|(_, series)| !matches!(series.last, Value::Text(_)));
    series
        .take(SERIES)
        .map(|(key, series)| {
            let mut points = series.curve();
            points.drain(..points.len().saturating_sub(POINTS));
            let (name, labels) = (key.name.clone(), key.labels.clone());
            Curve { name, labels, unit: series.unit, points, anomalies: series.anomalies }
        })
        .collect()
}

pub(crate) fn trends(handle: &Handle) -> Vec<SeriesTrend> {
    let mut trends: Vec<SeriesTrend> = curves(handle)
        .into_iter()
        .map(|Curve { name, labels, points, .. }| SeriesTrend { name, labels, trend: Trend::of(&points) })
        .filter(|series| series.trend.samples >= LEAST)
        .collect();
    trends.sort_by(|a, b| b.trend.confidence.total_cmp(&a.trend.confidence));
    trends
}

pub(crate) fn summary(handle: &Handle) -> PerformanceSummary {
    let series: Vec<SeriesSummary> = curves(handle)
        .into_iter()
        .filter_map(|Curve { name, labels, unit, points, anomalies }| {
            let finite: Vec<f64> = points.iter().copied().filter(|value| value.is_finite()).collect();
            let last = *finite.last()?;
            let trend = Trend::of(&points);
            let known = trend.samples >= LEAST;
            Some(SeriesSummary {
                name,
                labels,
                unit,
                points: finite.len(),
                last,
                min: finite.iter().copied().fold(f64::INFINITY, f64::min),
                max: finite.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                mean: finite.iter().sum::<f64>() / finite.len() as f64,
                direction: if known { trend.direction } else { Direction::Flat },
                confidence: if known { trend.confidence } else { 0.0 },
                anomalies,
            })
        })
        .collect();
    let anomalies = series.iter().map(|series| series.anomalies).sum();
    PerformanceSummary { series, anomalies }
}

impl fmt::Display for PerformanceSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<44} {:>12} {:>12} {:>12} {:>12}  trend", "series", "last", "min", "mean", "max")?;
        for series in &self.series {
            let name = if series.labels.is_empty() {
                series.name.to_string()
            } else {
                format!("{}{{{}}}", series.name, series.labels)
            };
            let trend = match series.direction {
                Direction::Rising => format!("rising, {:.1} % sure", 100.0 * series.confidence),
                Direction::Falling => format!("falling, {:.1} % sure", 100.0 * series.confidence),
                Direction::Flat => "-".to_owned(),
            };
            let figures =
                [series.last, series.min, series.mean, series.max].map(|value| format!("{value:.4}"));
            let [last, min, mean, max] = &figures;
            writeln!(f, "{name:<44} {last:>12} {min:>12} {mean:>12} {max:>12}  {trend}")?;
        }
        write!(f, "{} values stood out", self.anomalies)
    }
}

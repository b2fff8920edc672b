//! The recorded series: a bounded ring of points for each.

use crate::metric::{Labels, Sample, Section, Unit, Value, metric_name, words};
use ropewalk_measure::Snapshot;
use ropewalk_series::AnomalyDetector;
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

/// How many intervals of a histogram are kept for windowed quantiles.
const INTERVALS: usize = 64;
/// How many values a detector learns from before it judges.
const WARM_UP: usize = 60;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) name: Arc<str>,
    pub(crate) labels: Labels,
}

/// A value that stood out.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Anomaly {
    /// When, counted from the monitor's start.
    pub at: Duration,
    /// The series.
    pub name: Arc<str>,
    /// Its labels.
    pub labels: Labels,
    /// The value: the level of a gauge, the increase per second of a counter, the p99 of a histogram.
    pub value: f64,
    /// What was expected.
    pub expected: f64,
    /// How unusual it is, from 0 to 1.
    pub score: f64,
}

#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) order: u64,
    pub(crate) last: Value,
    pub(crate) unit: Unit,
    pub(crate) section: Option<Section>,
    pub(crate) title: String,
    pub(crate) help: Option<String>,
    /// The last tick at which it was reported.
    pub(crate) seen: u64,
    /// (seconds since the start, value): the level, the count, or the p99 of what came since the tick before.
    pub(crate) ring: VecDeque<(f64, f64)>,
    pub(crate) intervals: VecDeque<(f64, Snapshot)>,
    detector: Option<AnomalyDetector>,
    pub(crate) anomalies: u64,
}

pub(crate) struct Table {
    pub(crate) series: HashMap<Key, Series>,
    pub(crate) tick: u64,
    /// Seconds since the start, at the last tick.
    pub(crate) now: f64,
    limit: usize,
    keep: usize,
    analysed: usize,
    detectors: usize,
    next: u64,
    pub(crate) refused: u64,
    pub(crate) anomalies: VecDeque<Anomaly>,
}

impl Table {
    pub(crate) fn new(limit: usize, keep: usize, analysed: usize) -> Self {
        Self {
            series: HashMap::new(),
            tick: 0,
            now: 0.0,
            limit,
            keep,
            analysed,
            detectors: 0,
            next: 0,
            refused: 0,
            anomalies: VecDeque::new(),
        }
    }

    /// Begins a tick.
    pub(crate) fn begin(&mut self, now: f64) {
        self.tick += 1;
        self.now = now;
    }

    /// Ends a tick: series that nobody has reported for as long as the rings reach are forgotten.
    pub(crate) fn end(&mut self) {
        let oldest = self.tick.saturating_sub(self.keep as u64);
        let detectors = &mut self.detectors;
        self.series.retain(|_, series| {
            let keep = series.seen >= oldest;
            *detectors -= usize::from(!keep && series.detector.is_some());
            keep
        });
    }

    pub(crate) fn ingest(&mut self, prefix: &str, sample: Sample) {
        let Sample { name, labels, value, unit, section, title, help } = sample;
        let full = if prefix.is_empty() { name.clone() } else { format!("{prefix}_{name}") };
        let key = Key { name: metric_name(&full).into(), labels };
        if !self.series.contains_key(&key) {
            if self.series.len() >= self.limit {
                self.refused += 1;
                return;
            }
            let detector = (self.detectors < self.analysed && !matches!(value, Value::Text(_)))
                .then(|| AnomalyDetector::new(WARM_UP));
            self.detectors += usize::from(detector.is_some());
            let order = self.next;
            self.next += 1;
            let series = Series {
                order,
                last: value.clone(),
                unit,
                section,
                title: String::new(),
                help,
                seen: 0,
                ring: VecDeque::new(),
                intervals: VecDeque::new(),
                detector,
                anomalies: 0,
            };
            self.series.insert(key.clone(), series);
        }
        let (tick, now, keep) = (self.tick, self.now, self.keep);
        let Some(series) = self.series.get_mut(&key) else { return };
        series.title = title.unwrap_or_else(|| {
            if key.labels.is_empty() { words(&name) } else { format!("{} ({})", words(&name), key.labels) }
        });
        series.section = section;
        series.unit = unit;
        if let Some(observed) = series.take(value, tick, now, keep) {
            if let Some(seen) = series.detector.as_mut().map(|detector| detector.observe(observed)) {
                if seen.anomalous {
                    series.anomalies += 1;
                    let (value, expected, score) = (observed, seen.expected, seen.score);
                    let at = Duration::try_from_secs_f64(now).unwrap_or_default();
                    if self.anomalies.len() >= 256 {
                        self.anomalies.pop_front();
                    }
                    let Key { name, labels } = key;
                    self.anomalies.push_back(Anomaly { at, name, labels, value, expected, score });
                }
            }
        }
    }

    /// The series of a name whose labels include those given, in the order in which they appeared.
    pub(crate) fn find<'a>(&'a self, name: &str, labels: &Labels) -> Vec<(&'a Key, &'a Series)> {
        let mut found: Vec<_> =
            self.series.iter().filter(|(key, _)| *key.name == *name && key.labels.covers(labels)).collect();
        found.sort_by_key(|(_, series)| series.order);
        found
    }

    pub(crate) fn sorted(&self) -> Vec<(&Key, &Series)> {
        let mut all: Vec<_> = self.series.iter().collect();
        all.sort_by_key(|(_, series)| series.order);
        all
    }
}

impl Series {
    /// Takes a value in; gives what a detector looks at.
    fn take(&mut self, value: Value, tick: u64, now: f64, keep: usize) -> Option<f64> {
        if self.seen == tick && tick > 0 && !self.ring.is_empty() {
            // Reported twice in one tick: the last word counts.
            self.ring.pop_back();
        }
        let before = (self.seen + 1 == tick).then(|| self.ring.back().copied()).flatten();
        let observed = match (&value, &self.last) {
            (Value::Gauge(level), _) => {
                self.point(now, *level, keep);
                Some(*level)
            }
            (Value::Counter(count), _) => {
                self.point(now, *count, keep);
                before
                    .filter(|(at, last)| now > *at && count >= last)
                    .map(|(at, last)| (count - last) / (now - at))
            }
            (Value::Histogram(all, scale), Value::Histogram(last, _)) => {
                let part = if self.seen == 0 { all.clone() } else { all.since(last) };
                let p99 = part.quantile(0.99).map_or(f64::NAN, |value| value as f64 * scale);
                self.point(now, p99, keep);
                if self.intervals.len() >= INTERVALS {
                    self.intervals.pop_front();
                }
                self.intervals.push_back((now, part));
                Some(p99)
            }
            // The kind changed: begin anew.
            (Value::Histogram(..), _) => {
                self.ring.clear();
                self.intervals.clear();
                None
            }
            (Value::Text(_), _) => None,
        };
        self.last = value;
        self.seen = tick;
        observed
    }

    fn point(&mut self, now: f64, value: f64, keep: usize) {
        while self.ring.len() >= keep {
            self.ring.pop_front();
        }
        self.ring.push_back((now, value));
    }

    /// The level, or the count, or the p99, if it was reported at this tick and is a number.
    pub(crate) fn value(&self, tick: u64) -> Option<f64> {
        self.ring.back().map(|(_, value)| *value).filter(|value| self.seen == tick && !value.is_nan())
    }

    /// The increase per second over the last `window` seconds; a counter that shrank was started anew.
    pub(crate) fn rate(&self, tick: u64, now: f64, window: f64) -> Option<f64> {
        if self.seen != tick {
            return None;
        }
        let mut points = self.ring.iter().filter(|(at, value)| *at >= now - window && value.is_finite());
        let (first, mut last) = points.next().copied()?;
        let (mut grown, mut end) = (0.0, first);
        for (at, value) in points.copied() {
            grown += if value >= last { value - last } else { value };
            (last, end) = (value, at);
        }
        (end > first).then(|| grown / (end - first))
    }

    pub(crate) fn mean(&self, tick: u64, now: f64, window: f64) -> Option<f64> {
        if self.seen != tick {
            return None;
        }
        let points = self.ring.iter().filter(|(at, value)| *at >= now - window && value.is_finite());
        let (sum, count) = points.fold((0.0, 0_u32), |(sum, count), (_, value)| (sum + value, count + 1));
        (count > 0).then(|| sum / f64::from(count))
    }

    pub(crate) fn quantile(&self, tick: u64, now: f64, q: f64, window: f64) -> Option<f64> {
        let Value::Histogram(_, scale) = &self.last else { return None };
        if self.seen != tick {
            return None;
        }
        let mut all = Snapshot::new();
        self.intervals.iter().filter(|(at, _)| *at > now - window).for_each(|(_, part)| all.merge(part));
        all.quantile(q).map(|value| value as f64 * scale)
    }

    /// What trends are taken of: levels, increases per second, p99s.
    pub(crate) fn curve(&self) -> Vec<f64> {
        match self.last {
            Value::Counter(_) => {
                let pairs = self.ring.iter().zip(self.ring.iter().skip(1));
                pairs
                    .map(|((at, value), (next_at, next))| {
                        if next_at > at && next >= value { (next - value) / (next_at - at) } else { f64::NAN }
                    })
                    .collect()
            }
            Value::Gauge(_) | Value::Histogram(..) => self.ring.iter().map(|(_, value)| *value).collect(),
            Value::Text(_) => Vec::new(),
        }
    }
}

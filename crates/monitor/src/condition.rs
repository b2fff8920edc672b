//! What a rule asks of the recorded series.

use crate::{
    machine::Signal,
    metric::{Labels, metric_name},
    table::Table,
    waits::Deadlock,
};
use ropewalk_series::{AnomalyDetector, Direction, Trend};
use std::{collections::HashMap, time::Duration};

/// How many points at most a trend condition looks at.
const TREND_POINTS: usize = 120;
/// The least it looks at.
const TREND_LEAST: usize = 12;
const MINUTE: Duration = Duration::from_secs(60);

/// A series, or all series of a name, in a condition. The three functions that make one differ in words
/// only.
#[derive(Clone, Debug, PartialEq)]
pub struct Select {
    name: String,
    labels: Labels,
}

/// The series of this name: a level.
pub fn gauge(name: impl Into<String>) -> Select {
    Select { name: metric_name(&name.into()), labels: Labels::none() }
}

/// The series of this name: a count.
pub fn counter(name: impl Into<String>) -> Select {
    gauge(name)
}

/// The series of this name: a distribution.
pub fn histogram(name: impl Into<String>) -> Select {
    gauge(name)
}

/// Fires while somebody [raises](crate::Handle::raise) the rule.
pub fn raised() -> When {
    When(Test::Raised)
}

/// Fires for each deadlock that the [watches](crate::Builder::watch_waits) find, one alert for each.
pub fn deadlock() -> When {
    When(Test::Deadlock)
}

/// A number computed from series, for each set of labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr(Number);

#[derive(Clone, Debug, PartialEq)]
enum Number {
    Last(Select),
    Rate(Select, Duration),
    Mean(Select, Duration),
    Quantile(Select, f64, Duration),
    Ratio(Box<Number>, Box<Number>),
}

/// A condition.
#[derive(Clone, Debug)]
pub struct When(pub(crate) Test);

#[derive(Clone, Debug)]
pub(crate) enum Test {
    Above(Expr, f64),
    Below(Expr, f64),
    Absent(Select),
    Anomaly(Select, Box<AnomalyDetector>, HashMap<Labels, AnomalyDetector>),
    Trend(Select, Direction, f64),
    Deadlock,
    Raised,
}

/// What a condition says about one set of labels.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) labels: Labels,
    pub(crate) signal: Signal,
    pub(crate) value: f64,
    pub(crate) message: Option<String>,
}

impl Select {
    /// Only those with this label.
    #[must_use]
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels = self.labels.with(name, value);
        self
    }

    /// The increase per second over the last minute.
    pub fn rate(self) -> Expr {
        self.rate_over(MINUTE)
    }

    /// The increase per second over a window.
    pub fn rate_over(self, window: Duration) -> Expr {
        Expr(Number::Rate(self, window))
    }

    /// The mean over a window.
    pub fn mean_over(self, window: Duration) -> Expr {
        Expr(Number::Mean(self, window))
    }

    /// A quantile of what was recorded in the last minute; no data when nothing was.
    pub fn quantile(self, q: f64) -> Expr {
        self.quantile_over(q, MINUTE)
    }

    /// A quantile of what was recorded within a window, of 64 ticks at most.
    pub fn quantile_over(self, q: f64, window: Duration) -> Expr {
        Expr(Number::Quantile(self, q, window))
    }

    /// The value itself: a level, a count, a p99.
    pub fn value(self) -> Expr {
        Expr(Number::Last(self))
    }

    /// Its value is greater.
    pub fn above(self, threshold: f64) -> When {
        self.value().above(threshold)
    }

    /// Its value is less.
    pub fn below(self, threshold: f64) -> When {
        self.value().below(threshold)
    }

    /// There is no such series, or it was not reported at the last tick.
    pub fn absent(self) -> When {
        When(Test::Absent(self))
    }

    /// A copy of the detector calls its newest value anomalous; one copy for each set of labels.
    pub fn anomaly(self, detector: AnomalyDetector) -> When {
        When(Test::Anomaly(self, Box::new(detector), HashMap::new()))
    }

    /// Its last 120 values go this way, with at least this confidence. A clear signal is a trend that is not
    /// there; fewer than 12 values are no data.
    pub fn trend(self, direction: Direction, confidence: f64) -> When {
        When(Test::Trend(self, direction, confidence))
    }
}

impl Expr {
    /// This over another, for equal labels; another without labels goes with all. Nothing over nothing is
    /// no data: `counter("errors").rate().over(counter("requests").rate())`.
    #[must_use]
    pub fn over(self, other: Self) -> Self {
        Self(Number::Ratio(Box::new(self.0), Box::new(other.0)))
    }

    /// It is greater.
    pub fn above(self, threshold: f64) -> When {
        When(Test::Above(self, threshold))
    }

    /// It is less.
    pub fn below(self, threshold: f64) -> When {
        When(Test::Below(self, threshold))
    }

    pub(crate) fn eval(&self, table: &Table) -> Vec<(Labels, Option<f64>)> {
        self.0.eval(table)
    }
}

impl From<Select> for Expr {
    fn from(select: Select) -> Self {
        select.value()
    }
}

impl Number {
    fn eval(&self, table: &Table) -> Vec<(Labels, Option<f64>)> {
        let (tick, now) = (table.tick, table.now);
        let each = |select: &Select, read: &dyn Fn(&crate::table::Series) -> Option<f64>| {
            let found = table.find(&select.name, &select.labels).into_iter();
            found
                .map(|(key, series)| (key.labels.clone(), read(series).filter(|value| !value.is_nan())))
                .collect()
        };
        match self {
            Self::Last(select) => each(select, &|series| series.value(tick)),
            Self::Rate(select, window) => {
                each(select, &|series| series.rate(tick, now, window.as_secs_f64()))
            }
            Self::Mean(select, window) => {
                each(select, &|series| series.mean(tick, now, window.as_secs_f64()))
            }
            Self::Quantile(select, q, window) => {
                each(select, &|series| series.quantile(tick, now, *q, window.as_secs_f64()))
            }
            Self::Ratio(top, bottom) => {
                let bottoms = bottom.eval(table);
                let of = |labels: &Labels| {
                    let equal = bottoms.iter().find(|(of, _)| of == labels);
                    equal
                        .or_else(|| bottoms.iter().find(|(of, _)| of.is_empty()))
                        .and_then(|(_, value)| *value)
                };
                let ratio = |(labels, top): (Labels, Option<f64>)| {
                    let ratio = top.zip(of(&labels)).map(|(top, bottom)| top / bottom);
                    (labels, ratio.filter(|value| !value.is_nan()))
                };
                top.eval(table).into_iter().map(ratio).collect()
            }
        }
    }
}

impl Test {
    /// Whether its numbers can be compared with.
    pub(crate) fn is_sound(&self) -> bool {
        match self {
            Self::Above(_, threshold) | Self::Below(_, threshold) => threshold.is_finite(),
            Self::Trend(_, _, confidence) => (0.0..=1.0).contains(confidence),
            Self::Absent(_) | Self::Anomaly(..) | Self::Deadlock | Self::Raised => true,
        }
    }

    /// Whether a clear threshold goes with it.
    pub(crate) fn can_clear_at(&self, clear: Clear) -> bool {
        match (self, clear) {
            (Self::Above(_, threshold), Clear::Below(clear)) => clear <= *threshold,
            (Self::Below(_, threshold), Clear::Above(clear)) => clear >= *threshold,
            (_, Clear::Below(_) | Clear::Above(_)) => false,
            (_, Clear::Same) => true,
        }
    }

    /// One reading for each set of labels there is.
    pub(crate) fn read(
        &mut self,
        table: &Table,
        clear: Clear,
        deadlocks: Option<&[Deadlock]>,
    ) -> Vec<Reading> {
        match self {
            Self::Above(expr, threshold) => {
                let judge = |value: f64| match clear {
                    _ if value > *threshold => Signal::Breach,
                    // NaN clears nothing.
                    Clear::Below(clear) if value >= clear || value.is_nan() => Signal::Between,
                    Clear::Below(_) | Clear::Above(_) | Clear::Same => Signal::Clear,
                };
                judged(expr.eval(table), judge)
            }
            Self::Below(expr, threshold) => {
                let judge = |value: f64| match clear {
                    _ if value < *threshold => Signal::Breach,
                    // NaN clears nothing.
                    Clear::Above(clear) if value <= clear || value.is_nan() => Signal::Between,
                    Clear::Below(_) | Clear::Above(_) | Clear::Same => Signal::Clear,
                };
                judged(expr.eval(table), judge)
            }
            Self::Absent(select) => {
                let found = table.find(&select.name, &select.labels);
                let there = found.iter().any(|(_, series)| series.seen == table.tick);
                let signal = if there { Signal::Clear } else { Signal::Breach };
                let message = (!there).then(|| format!("{} is not reported", select.name));
                vec![Reading { labels: select.labels.clone(), signal, value: f64::NAN, message }]
            }
            Self::Anomaly(select, prototype, detectors) => {
                let values = Number::Last(select.clone()).eval(table);
                let judge = |labels: &Labels, value: f64| {
                    let detector = detectors.entry(labels.clone()).or_insert_with(|| (**prototype).clone());
                    let seen = detector.observe(value);
                    let message =
                        seen.anomalous.then(|| format!("{value:.4} where {:.4} was expected", seen.expected));
                    (if seen.anomalous { Signal::Breach } else { Signal::Clear }, message)
                };
                with_messages(values, judge)
            }
            Self::Trend(select, direction, confidence) => table
                .find(&select.name, &select.labels)
                .into_iter()
                .map(|(key, series)| {
                    let curve = series.curve();
                    let recent = &curve[curve.len().saturating_sub(TREND_POINTS)..];
                    let trend = Trend::of(recent);
                    let goes = trend.direction_at(*confidence);
                    let absent = series.seen != table.tick || trend.samples < TREND_LEAST;
                    let signal = match goes == *direction {
                        _ if absent => Signal::Absent,
                        true => Signal::Breach,
                        false => Signal::Clear,
                    };
                    let message =
                        format!("{:+.4} a sample, confidence {:.1} %", trend.slope, 100.0 * trend.confidence);
                    Reading { labels: key.labels.clone(), signal, value: trend.slope, message: Some(message) }
                })
                .collect(),
            Self::Deadlock => match deadlocks {
                None => Vec::new(),
                Some(deadlocks) => deadlocks
                    .iter()
                    .map(|deadlock| Reading {
                        labels: Labels::none().with("cycle", deadlock.cycle()),
                        signal: Signal::Breach,
                        value: deadlock.members.len() as f64,
                        message: Some(deadlock.to_string()),
                    })
                    .collect(),
            },
            // The manager knows what is raised.
            Self::Raised => Vec::new(),
        }
    }

    /// What a set of labels that is no longer read stands for.
    pub(crate) fn when_unread(&self, deadlocks: Option<&[Deadlock]>) -> Signal {
        match self {
            // A cycle that is not found any more is gone, if the watches did look.
            Self::Deadlock if deadlocks.is_some() => Signal::Clear,
            _ => Signal::Absent,
        }
    }
}

/// Where a rule clears.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Clear {
    /// As soon as the condition does not hold.
    #[default]
    Same,
    Below(f64),
    Above(f64),
}

fn judged(values: Vec<(Labels, Option<f64>)>, judge: impl Fn(f64) -> Signal) -> Vec<Reading> {
    with_messages(values, |_, value| (judge(value), None))
}

fn with_messages(
    values: Vec<(Labels, Option<f64>)>,
    mut judge: impl FnMut(&Labels, f64) -> (Signal, Option<String>),
) -> Vec<Reading> {
    values
        .into_iter()
        .map(|(labels, value)| {
            let (signal, message) = value.map_or((Signal::Absent, None), |value| judge(&labels, value));
            Reading { labels, signal, value: value.unwrap_or(f64::NAN), message }
        })
        .collect()
}

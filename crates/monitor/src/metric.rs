//! What collectors report: named samples with labels.

use ropewalk_measure::Snapshot;
use std::{fmt, sync::Arc, time::Duration};

/// The labels of a series, sorted by name; a name appears once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Labels(Arc<[(String, String)]>);

impl Labels {
    /// No labels.
    pub fn none() -> Self {
        Self::default()
    }

    /// The value of a label.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Name and value of each.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> + '_ {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// These and one more; a label of that name is replaced.
    #[must_use]
    pub fn with(&self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let name = label_name(&name.into());
        let mut labels: Vec<(String, String)> =
            self.0.iter().filter(|(key, _)| *key != name).cloned().collect();
        labels.push((name, value.into()));
        labels.sort();
        Self(labels.into())
    }

    pub(crate) fn covers(&self, wanted: &Self) -> bool {
        wanted.iter().all(|(name, value)| self.value(name) == Some(value))
    }
}

impl<K: Into<String>, V: Into<String>, const N: usize> From<[(K, V); N]> for Labels {
    fn from(labels: [(K, V); N]) -> Self {
        labels.into_iter().fold(Self::none(), |all, (name, value)| all.with(name, value))
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, value)) in self.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{name}={value}")?;
        }
        Ok(())
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Labels {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

/// What the numbers of a sample are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum Unit {
    /// A plain number.
    #[default]
    None,
    /// Bytes.
    Bytes,
    /// Seconds.
    Seconds,
    /// A share; 1 is the whole.
    Ratio,
}

/// The part of the dashboard that shows a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum Section {
    /// Process, machine, and the health of the whole.
    System,
    /// Agents and nodes.
    Agents,
    /// Tasks.
    Tasks,
    /// Throughput, latency, caches.
    Performance,
    /// Locks, pools, waits.
    Concurrency,
    /// Alerts.
    Alerts,
}

impl Section {
    /// All, in the order of the dashboard.
    pub const ALL: [Self; 6] =
        [Self::System, Self::Agents, Self::Tasks, Self::Performance, Self::Concurrency, Self::Alerts];

    /// The heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::System => "System health",
            Self::Agents => "Agents",
            Self::Tasks => "Tasks",
            Self::Performance => "Performance",
            Self::Concurrency => "Concurrency",
            Self::Alerts => "Alerts",
        }
    }
}

/// The value of a sample.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// A number that only grows.
    Counter(f64),
    /// A level.
    Gauge(f64),
    /// All values recorded so far, and what to multiply them with to get to the unit.
    Histogram(Snapshot, f64),
    /// Words, for the dashboard only.
    Text(String),
}

/// One measured value with its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub(crate) name: String,
    pub(crate) labels: Labels,
    pub(crate) value: Value,
    pub(crate) unit: Unit,
    pub(crate) section: Option<Section>,
    pub(crate) title: Option<String>,
    pub(crate) help: Option<String>,
}

/// A number of any type, as `f64`; a duration is its seconds, a bool is 0 or 1.
pub trait Number {
    /// The number.
    fn number(self) -> f64;
}

macro_rules! numbers {
    ($($type:ty)*) => { $(impl Number for $type {
        fn number(self) -> f64 {
            self as f64
        }
    })* };
}

numbers!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64);

impl Number for bool {
    fn number(self) -> f64 {
        f64::from(u8::from(self))
    }
}

impl Number for Duration {
    fn number(self) -> f64 {
        self.as_secs_f64()
    }
}

/// Samples, written one after the other. Settings like [`label`](Self::label) concern the sample before
/// them, [`section`](Self::section) those after it.
///
/// Each name is prefixed with the collector's: `queued` of the collector `pool` is `pool_queued`.
///
/// ```
/// use ropewalk_monitor::{Samples, Section, Unit};
/// use std::time::Duration;
///
/// let samples = Samples::new()
///     .section(Section::Tasks)
///     .gauge("queued", 12).label("priority", "high").title("Queued, high priority")
///     .counter("done", 4_711_u64)
///     .gauge("oldest", Duration::from_secs(3)).unit(Unit::Seconds);
/// assert_eq!(samples.len(), 3);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use = "samples are reported by returning them"]
pub struct Samples {
    pub(crate) list: Vec<Sample>,
    section: Option<Section>,
}

impl Samples {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The dashboard's section for the samples that follow.
    pub fn section(mut self, section: Section) -> Self {
        self.section = Some(section);
        self
    }

    /// A level.
    pub fn gauge(self, name: impl Into<String>, value: impl Number) -> Self {
        self.push(name, Value::Gauge(value.number()))
    }

    /// A number that only grows.
    pub fn counter(self, name: impl Into<String>, value: impl Number) -> Self {
        self.push(name, Value::Counter(value.number()))
    }

    /// All values recorded so far.
    pub fn histogram(self, name: impl Into<String>, all: Snapshot) -> Self {
        self.push(name, Value::Histogram(all, 1.0))
    }

    /// All durations recorded so far, in nanoseconds as `Histogram::record_duration` takes them; shown in
    /// seconds.
    pub fn durations(self, name: impl Into<String>, all: Snapshot) -> Self {
        self.push(name, Value::Histogram(all, 1e-9)).unit(Unit::Seconds)
    }

    /// Words for the dashboard.
    pub fn text(self, name: impl Into<String>, words: impl Into<String>) -> Self {
        self.push(name, Value::Text(words.into()))
    }

    /// Labels the sample before.
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        if let Some(sample) = self.list.last_mut() {
            sample.labels = sample.labels.with(name, value);
        }
        self
    }

    /// The unit of the sample before.
    pub fn unit(mut self, unit: Unit) -> Self {
        if let Some(sample) = self.list.last_mut() {
            sample.unit = unit;
        }
        self
    }

    /// What the dashboard calls the sample before; its name in words by default.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        if let Some(sample) = self.list.last_mut() {
            sample.title = Some(title.into());
        }
        self
    }

    /// A sentence about the sample before, for `# HELP`.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        if let Some(sample) = self.list.last_mut() {
            sample.help = Some(help.into());
        }
        self
    }

    /// All of another's.
    pub fn merge(mut self, other: Self) -> Self {
        self.list.extend(other.list);
        self
    }

    /// How many samples.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn push(mut self, name: impl Into<String>, value: Value) -> Self {
        self.list.push(Sample {
            name: name.into(),
            labels: Labels::none(),
            value,
            unit: Unit::None,
            section: self.section,
            title: None,
            help: None,
        });
        self
    }
}

/// What a collector may return.
pub trait Metrics {
    /// The samples, or why there are none.
    ///
    /// # Errors
    ///
    /// A text that says why; it is shown beside the collector's name.
    fn into_samples(self) -> Result<Samples, String>;
}

impl Metrics for Samples {
    fn into_samples(self) -> Result<Samples, String> {
        Ok(self)
    }
}

/// Nothing to report at this time.
impl<M: Metrics> Metrics for Option<M> {
    fn into_samples(self) -> Result<Samples, String> {
        self.map_or_else(|| Ok(Samples::new()), Metrics::into_samples)
    }
}

/// An error is a failed collection, counted and shown.
impl<M: Metrics, E: fmt::Display> Metrics for Result<M, E> {
    fn into_samples(self) -> Result<Samples, String> {
        self.map_err(|error| error.to_string()).and_then(Metrics::into_samples)
    }
}

/// A metric name that Prometheus accepts: other characters become `_`.
pub(crate) fn metric_name(name: &str) -> String {
    sanitised(name, |c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

pub(crate) fn label_name(name: &str) -> String {
    sanitised(name, |c| c.is_ascii_alphanumeric() || c == '_')
}

fn sanitised(name: &str, allowed: impl Fn(char) -> bool) -> String {
    let mut clean: String = name.chars().map(|c| if allowed(c) { c } else { '_' }).collect();
    if clean.is_empty() || clean.starts_with(|c: char| c.is_ascii_digit()) {
        clean.insert(0, '_');
    }
    clean
}

/// The name of a series in words.
pub(crate) fn words(name: &str) -> String {
    name.replace('_', " ")
}

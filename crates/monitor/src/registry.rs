//! Recorders of the monitor's own, found by name.

use crate::{
    RegisterError,
    metric::{Labels, Sample, Unit, Value, metric_name},
    table::Key,
};
use dashmap::DashMap;
use ropewalk_measure::{Counter, FloatGauge, Gauge, Histogram};

#[derive(Clone)]
enum Recorder {
    Counter(Counter),
    Gauge(Gauge),
    Float(FloatGauge),
    Histogram(Histogram),
}

#[derive(Default)]
pub(crate) struct Registry {
    recorders: DashMap<Key, Recorder>,
}

macro_rules! recorders {
    ($($method:ident: $variant:ident($type:ty)),*) => { $(
        pub(crate) fn $method(&self, name: &str, labels: Labels) -> Result<$type, RegisterError> {
            let key = Key { name: metric_name(name).into(), labels };
            // The entry is cloned out: no guard of the map outlives this line.
            let recorder = self.recorders.entry(key).or_insert_with(|| Recorder::$variant(<$type>::new())).clone();
            match recorder {
                Recorder::$variant(recorder) => Ok(recorder),
                _other => Err(RegisterError::Kind(name.to_owned())),
            }
        }
    )* };
}

impl Registry {
    recorders!(counter: Counter(Counter), gauge: Gauge(Gauge), float: Float(FloatGauge), histogram: Histogram(Histogram));

    /// One sample for each, in the order of their names.
    pub(crate) fn samples(&self) -> Vec<Sample> {
        let mut all: Vec<(Key, Recorder)> =
            self.recorders.iter().map(|entry| (entry.key().clone(), entry.value().clone())).collect();
        all.sort_by(|(a, _), (b, _)| (&a.name, &a.labels).cmp(&(&b.name, &b.labels)));
        all.into_iter()
            .map(|(key, recorder)| {
                let (value, unit) = match recorder {
                    Recorder::Counter(counter) => (Value::Counter(counter.value() as f64), Unit::None),
                    Recorder::Gauge(gauge) => (Value::Gauge(gauge.value() as f64), Unit::None),
                    Recorder::Float(gauge) => (Value::Gauge(gauge.value()), Unit::None),
                    // By the convention of the field, names of durations end so; ours record nanoseconds.
                    Recorder::Histogram(all) if key.name.ends_with("_seconds") => {
                        (Value::Histogram(all.snapshot(), 1e-9), Unit::Seconds)
                    }
                    Recorder::Histogram(all) => (Value::Histogram(all.snapshot(), 1.0), Unit::None),
                };
                Sample {
                    name: key.name.to_string(),
                    labels: key.labels,
                    value,
                    unit,
                    section: None,
                    title: None,
                    help: None,
                }
            })
            .collect()
    }
}

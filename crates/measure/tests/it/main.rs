//! Integration tests of the recording primitives.

mod counters;
mod histogram;
mod windows;

fn assert_shared<T: Send + Sync + Clone + std::fmt::Debug>() {}

#[test]
fn all_handles_are_shared() {
    use ropewalk_measure::{Bucket, Counter, Ewma, FloatGauge, Gauge, Histogram, Rate, Snapshot, Windowed};
    assert_shared::<Counter>();
    assert_shared::<Gauge>();
    assert_shared::<FloatGauge>();
    assert_shared::<Histogram>();
    assert_shared::<Snapshot>();
    assert_shared::<Bucket>();
    assert_shared::<Windowed>();
    assert_shared::<Rate>();
    assert_shared::<Ewma>();
}

#[cfg(feature = "serde")]
#[test]
fn values_and_snapshots_serialise() {
    use ropewalk_measure::{Counter, FloatGauge, Gauge, Histogram};
    let (counter, gauge, float, histogram) =
        (Counter::new(), Gauge::new(), FloatGauge::new(), Histogram::new());
    counter.add(3);
    gauge.set(-2);
    float.set(0.5);
    histogram.record_n(40, 2);
    let values = serde_json::to_string(&(&counter, &gauge, &float)).unwrap();
    assert_eq!(values, "[3,-2,0.5]");
    let seen = serde_json::to_value(&histogram).unwrap();
    assert_eq!((&seen["count"], &seen["p99"], &seen["sum"]), (&2.into(), &40.into(), &80.0.into()));
    assert_eq!(seen["buckets"], serde_json::json!([{ "low": 40, "high": 40, "count": 2 }]));
    assert!(serde_json::to_value(Histogram::new().snapshot()).unwrap()["p50"].is_null());
}

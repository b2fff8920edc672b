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

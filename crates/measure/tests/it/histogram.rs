use hdrhistogram::Histogram as Hdr;
use proptest::prelude::*;
use ropewalk_measure::{BuildError, Histogram, Snapshot};
use std::time::Duration;

/// The value of rank max(1, ceil(q n)).
fn exact(sorted: &[u64], q: f64) -> u64 {
    let rank = (q.clamp(0.0, 1.0) * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

fn recorded(bits: u32, values: &[u64]) -> Snapshot {
    let histogram = Histogram::builder().precision(bits).build().unwrap();
    values.iter().for_each(|v| histogram.record(*v));
    histogram.snapshot()
}

/// Values of all sizes: a uniform number of leading zeros, then uniform bits.
fn any_size() -> impl Strategy<Value = u64> {
    (0..=63_u32, any::<u64>()).prop_map(|(zeros, v)| v >> zeros)
}

proptest! {
    #[test]
    fn quantiles_stay_within_the_bound(
        bits in 0..=12_u32,
        values in prop::collection::vec(any_size(), 1..300),
        q in 0.0..=1.0,
    ) {
        let seen = recorded(bits, &values);
        let mut sorted = values.clone();
        sorted.sort_unstable();
        for q in [q, 0.0, 0.5, 0.9, 0.99, 1.0] {
            let (truth, answer) = (exact(&sorted, q), seen.quantile(q).unwrap());
            let error = truth.abs_diff(answer) as f64;
            prop_assert!(error <= truth as f64 * seen.relative_error(), "q {} is {}, got {}", q, truth, answer);
            if truth < 2 << bits {
                prop_assert_eq!(truth, answer);
            }
        }
        prop_assert_eq!(seen.count(), values.len() as u64);
        prop_assert_eq!(seen.sum(), values.iter().map(|v| u128::from(*v)).sum::<u128>());
        prop_assert_eq!((seen.min(), seen.max()), (sorted.first().copied(), sorted.last().copied()));
        prop_assert_eq!(seen.quantile(0.0), seen.min());
        prop_assert_eq!(seen.quantile(1.0), seen.max());
    }

    #[test]
    fn agrees_with_hdrhistogram(values in prop::collection::vec(1..1_u64 << 50, 1..300)) {
        let mut oracle = Hdr::<u64>::new(3).unwrap();
        values.iter().for_each(|v| oracle.record(*v).unwrap());
        let seen = recorded(5, &values);
        for q in [0.01, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999] {
            let (theirs, ours) = (oracle.value_at_quantile(q) as f64, seen.quantile(q).unwrap() as f64);
            // Theirs is itself up to 1e-3 above the truth.
            prop_assert!((ours / theirs - 1.0).abs() <= 1.0 / 64.0 + 2e-3, "q {}: {} against {}", q, ours, theirs);
        }
        prop_assert!((seen.mean().unwrap() / oracle.mean() - 1.0).abs() < 1e-3);
    }

    #[test]
    fn merging_is_recording_into_one(
        a in prop::collection::vec(any_size(), 0..100),
        b in prop::collection::vec(any_size(), 0..100),
        bits in (2..=8_u32, 2..=8_u32),
    ) {
        let mut merged = recorded(bits.0, &a);
        merged.merge(&recorded(bits.1, &b));
        // The coarser one remains, but an empty one has no say.
        let left = match (a.is_empty(), b.is_empty()) {
            (false, false) => bits.0.min(bits.1),
            (false, true) => bits.0,
            (true, false) => bits.1,
            (true, true) => {
                prop_assert!(merged.is_empty());
                return Ok(());
            }
        };
        prop_assert_eq!(merged, recorded(left, &[a, b].concat()));
    }

    #[test]
    fn a_difference_holds_what_came_between(
        a in prop::collection::vec(any_size(), 0..100),
        b in prop::collection::vec(any_size(), 0..100),
    ) {
        let histogram = Histogram::new();
        a.iter().for_each(|v| histogram.record(*v));
        let before = histogram.snapshot();
        b.iter().for_each(|v| histogram.record(*v));
        let between = histogram.snapshot().since(&before);
        let alone = recorded(5, &b);
        prop_assert_eq!(between.count(), alone.count());
        prop_assert_eq!(between.sum(), alone.sum());
        prop_assert_eq!(between.buckets().collect::<Vec<_>>(), alone.buckets().collect::<Vec<_>>());
        if let (Some(min), Some(max)) = (alone.min(), alone.max()) {
            prop_assert!(between.min().unwrap() <= min && between.max().unwrap() >= max);
            prop_assert!((min - between.min().unwrap()) as f64 <= min as f64 / 32.0);
            prop_assert!((between.max().unwrap() - max) as f64 <= max as f64 / 32.0);
        }
    }

    #[test]
    fn buckets_tile_the_values(values in prop::collection::vec(any_size(), 0..200), bits in 0..=12_u32) {
        let seen = recorded(bits, &values);
        let mut end = None;
        for bucket in seen.buckets() {
            prop_assert!(bucket.low <= bucket.high && end.is_none_or(|end| bucket.low > end));
            end = Some(bucket.high);
            let inside = values.iter().filter(|v| (bucket.low..=bucket.high).contains(*v)).count();
            prop_assert_eq!(inside as u64, bucket.count);
        }
        prop_assert_eq!(seen.buckets().map(|b| b.count).sum::<u64>(), values.len() as u64);
    }

    #[test]
    fn cumulative_counts_grow_to_the_whole(values in prop::collection::vec(any_size(), 1..200), at in any_size()) {
        let seen = recorded(5, &values);
        let (less, more) = (at - at / 32, at.saturating_add(at / 32));
        let at_most = |bound: u64| values.iter().filter(|v| **v <= bound).count() as u64;
        let answer = seen.count_at_most(at);
        prop_assert!(at_most(less.saturating_sub(1)) <= answer && answer <= at_most(more));
        prop_assert_eq!(seen.count_at_most(u64::MAX), seen.count());
    }
}

#[test]
fn nothing_recorded_has_no_quantiles() {
    let empty = Histogram::new().snapshot();
    assert_eq!((empty.quantile(0.5), empty.min(), empty.max(), empty.mean()), (None, None, None, None));
    assert_eq!((empty.count(), empty.sum(), empty.buckets().count()), (0, 0, 0));
    assert!(empty.is_empty());
    let histogram = Histogram::new();
    histogram.record_n(9, 0);
    assert_eq!(histogram.snapshot(), Snapshot::new());
}

#[test]
fn strange_shares_are_the_nearer_end_and_nan_is_none() {
    let seen = recorded(5, &[1, 2, 3]);
    assert_eq!(seen.quantile(-1.0), Some(1));
    assert_eq!(seen.quantile(f64::NEG_INFINITY), Some(1));
    assert_eq!(seen.quantile(7.0), Some(3));
    assert_eq!(seen.quantile(f64::NAN), None);
}

#[test]
fn the_ends_of_u64_are_values_as_any() {
    let seen = recorded(5, &[0, u64::MAX, u64::MAX]);
    assert_eq!(seen.sum(), 2 * u128::from(u64::MAX));
    assert_eq!((seen.quantile(0.0), seen.quantile(0.9)), (Some(0), Some(u64::MAX)));
    let many = Histogram::new();
    many.record_n(u64::MAX, u64::MAX);
    many.record_n(1, 1);
    assert_eq!(many.snapshot().sum(), u128::from(u64::MAX) * u128::from(u64::MAX) + 1);
}

#[test]
fn durations_beyond_u64_are_the_greatest() {
    let histogram = Histogram::new();
    histogram.record_duration(Duration::MAX);
    assert_eq!(histogram.snapshot().max(), Some(u64::MAX));
}

#[test]
fn precision_has_an_end() {
    assert_eq!(Histogram::builder().precision(13).build().unwrap_err(), BuildError::Precision { bits: 13 });
    assert!(Histogram::builder().precision(u32::MAX).build().is_err());
}

#[test]
fn subtracting_a_stranger_counts_nothing_twice() {
    let (old, new) = (recorded(5, &[5, 5, 5, 900]), recorded(5, &[5]));
    assert!(new.since(&old).is_empty());
    assert_eq!(recorded(7, &[5, 6, 900]).since(&old).buckets().count(), 1);
}

#[test]
fn records_of_many_threads_add_up() {
    let histogram = Histogram::new();
    std::thread::scope(|threads| {
        for thread in 0..6_u64 {
            let histogram = &histogram;
            threads.spawn(move || (0..5_000).for_each(|i| histogram.record(i * 97 + thread)));
        }
        // Beside them, what is counted is always covered by sum and extremes.
        loop {
            let seen = histogram.snapshot();
            let least: u128 = seen.buckets().map(|b| u128::from(b.low) * u128::from(b.count)).sum();
            assert!(seen.sum() >= least);
            assert!(seen.buckets().last().is_none_or(|b| seen.max().unwrap() >= b.low));
            if seen.count() == 30_000 {
                break;
            }
        }
    });
    let seen = histogram.snapshot();
    assert_eq!(seen.sum(), (0..6_u128).map(|t| (0..5_000).map(|i: u128| i * 97 + t).sum::<u128>()).sum());
    assert_eq!((seen.min(), seen.max()), (Some(0), Some(4_999 * 97 + 5)));
}

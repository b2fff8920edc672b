//! Quantiles within the promised error, sums exact, merging the same as recording everything in one place.
#![no_main]

use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use ropewalk_measure::Histogram;

#[derive(Arbitrary, Debug)]
struct Input {
    precision: u8,
    first: Vec<(u64, u16)>,
    second: Vec<(u64, u16)>,
    quantiles: Vec<u16>,
}

fuzz_target!(|input: Input| {
    let histogram = || Histogram::builder().precision(u32::from(input.precision % 16)).build();
    let (Ok(whole), Ok(left), Ok(right)) = (histogram(), histogram(), histogram()) else { return };
    let mut values = BTreeMap::<u64, u64>::new();
    for (part, records) in [(&left, &input.first), (&right, &input.second)] {
        for &(value, times) in records {
            part.record_n(value, times.into());
            whole.record_n(value, times.into());
            if times > 0 {
                *values.entry(value).or_default() += u64::from(times);
            }
        }
    }
    let snapshot = whole.snapshot();
    let count: u64 = values.values().sum();
    assert_eq!(snapshot.count(), count);
    assert_eq!(
        snapshot.sum(),
        values.iter().map(|(&value, &times)| u128::from(value) * u128::from(times)).sum()
    );
    assert_eq!(snapshot.min(), values.keys().next().copied());
    assert_eq!(snapshot.max(), values.keys().next_back().copied());

    let mut merged = left.snapshot();
    merged.merge(&right.snapshot());
    for &quantile in &input.quantiles {
        let q = f64::from(quantile) / f64::from(u16::MAX);
        assert_eq!(merged.quantile(q), snapshot.quantile(q));
        let rank = ((q * count as f64).ceil() as u64).clamp(1, count.max(1));
        let mut below = 0;
        let exact = values.iter().find(|&(_, &times)| {
            below += times;
            below >= rank
        });
        match (exact, snapshot.quantile(q)) {
            (None, answer) => assert_eq!(answer, None),
            (Some((&exact, _)), answer) => {
                let answer = answer.expect("there are values");
                // One unit for the rounding of the bound itself.
                let bound = (exact as f64 * snapshot.relative_error()).ceil() + 1.0;
                assert!(answer.abs_diff(exact) as f64 <= bound, "{q}: {answer}, not {exact}");
            }
        }
    }
});

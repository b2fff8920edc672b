//! Any numbers at all, also infinite and not a number: an answer or an error, never a panic, and no confidence above one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ropewalk_series::{Decomposition, Trend};

fuzz_target!(|input: (Vec<f64>, Vec<u8>)| {
    let (samples, periods) = input;
    let samples = &samples[..samples.len().min(300)];
    let trend = Trend::of(samples);
    assert!(!(trend.confidence < 0.0 || trend.confidence > 1.0), "{}", trend.confidence);
    let periods: Vec<_> = periods.into_iter().take(3).map(usize::from).collect();
    _ = Decomposition::of(samples, &periods);
});

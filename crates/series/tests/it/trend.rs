use crate::noise::Noise;
use proptest::prelude::*;
use ropewalk_series::{Direction, Trend, TrendError};

/// The share of series without trend that are given a trend with confidence 95 %.
fn false_trends(n: usize, trials: usize, mut series: impl FnMut(&mut Noise) -> Vec<f64>) -> f64 {
    let mut noise = Noise::new(n as u64);
    let found = (0..trials).filter(|_| {
        let samples = series(&mut noise);
        assert_eq!(samples.len(), n);
        Trend::of(&samples).direction != Direction::Flat
    });
    found.count() as f64 / trials as f64
}

/// The confidence means what it says: on AR(1) noise without trend 95 % is exceeded about 5 % of the
/// time. Plain Mann-Kendall exceeds it in up to 60 %. The bounds are what the README states, plus two standard errors
/// of 1,500 trials.
#[test]
fn confidence_is_calibrated_on_correlated_noise() {
    for (n, phi, low, high) in [
        (60, 0.0, 0.015, 0.06),
        (60, 0.3, 0.025, 0.065),
        (60, 0.6, 0.03, 0.08),
        (60, 0.9, 0.03, 0.11),
        (240, 0.0, 0.03, 0.065),
        (240, 0.6, 0.03, 0.065),
        (240, 0.9, 0.03, 0.085),
    ] {
        let share = false_trends(n, 1_500, |noise| noise.ar1(n, phi));
        assert!((low..=high).contains(&share), "{n} samples, phi {phi}: {share}");
    }
}

#[test]
fn noise_on_top_of_a_slow_wander_does_not_fool_it() {
    let share = false_trends(240, 800, |noise| {
        let slow = noise.ar1(240, 0.9);
        slow.iter().map(|v| v + noise.gauss()).collect()
    });
    assert!(share < 0.13, "{share}");
}

#[test]
fn trends_under_correlated_noise_are_found() {
    let mut noise = Noise::new(5);
    let found = (0..200).filter(|_| {
        let samples: Vec<f64> =
            noise.ar1(60, 0.6).iter().enumerate().map(|(i, v)| v - 4.0 * i as f64 / 60.0).collect();
        Trend::of(&samples).direction == Direction::Falling
    });
    assert!(found.count() > 170);
}

#[test]
fn a_line_is_itself() {
    let line: Vec<f64> = (0..700).map(|i| 7.0 - 0.25 * f64::from(i)).collect();
    for samples in [&line[..20], &line[..]] {
        let trend = Trend::of(samples);
        assert_eq!((trend.direction, trend.slope, trend.tau), (Direction::Falling, -0.25, -1.0));
        assert!((trend.intercept - 7.0).abs() < 1e-9 && (trend.at(4.0) - 6.0).abs() < 1e-9);
        assert!(trend.confidence > 0.99);
    }
}

#[test]
fn too_little_is_flat() {
    for samples in [&[][..], &[1.0], &[1.0, 2.0], &[1.0, 2.0, 3.0], &[f64::NAN; 9], &[5.0; 50]] {
        let trend = Trend::of(samples);
        assert_eq!(
            (trend.direction, trend.confidence, trend.p_value),
            (Direction::Flat, 0.0, 1.0),
            "{samples:?}"
        );
    }
    assert_eq!(Trend::of(&[1.0, 2.0]).slope, 1.0);
}

#[test]
fn gaps_keep_their_place() {
    let mut samples: Vec<f64> = (0..40).map(f64::from).collect();
    for gap in [3, 4, 17, 39] {
        samples[gap] = if gap % 2 == 0 { f64::NAN } else { f64::INFINITY };
    }
    let trend = Trend::of(&samples);
    assert_eq!((trend.slope, trend.intercept, trend.samples), (1.0, 0.0, 36));
}

#[test]
fn wild_samples_do_not_move_it() {
    let mut noise = Noise::new(2);
    let mut samples: Vec<f64> = (0..100).map(|i| 0.5 * f64::from(i) + noise.gauss()).collect();
    for i in 0..20 {
        samples[i * 5] = 1e6;
    }
    let trend = Trend::of(&samples);
    assert!((trend.slope - 0.5).abs() < 0.1, "{}", trend.slope);
    assert_eq!(trend.direction, Direction::Rising);
}

#[test]
fn a_stricter_question_gets_a_stricter_answer() {
    let mut noise = Noise::new(9);
    let samples: Vec<f64> = (0..30).map(|i| 0.06 * f64::from(i) + noise.gauss()).collect();
    let trend = Trend::of(&samples);
    assert_eq!(trend.direction_at(trend.confidence), Direction::Rising);
    assert_eq!(trend.direction_at(trend.confidence + 1e-9), Direction::Flat);
    assert_eq!(trend.direction_at(f64::NAN), Direction::Flat);
    assert_eq!(trend.direction_at(2.0), Direction::Flat);
}

#[test]
fn times_must_grow() {
    let values = [1.0, 2.0, 3.0];
    let refused = |times: &[f64]| Trend::with_times(times, &values).unwrap_err();
    assert_eq!(refused(&[0.0, 1.0]), TrendError::LengthMismatch { times: 2, values: 3 });
    assert_eq!(refused(&[0.0, 1.0, 1.0]), TrendError::TimesNotIncreasing { index: 2 });
    assert_eq!(refused(&[0.0, f64::NAN, 2.0]), TrendError::TimesNotIncreasing { index: 1 });
    assert_eq!(refused(&[f64::NEG_INFINITY, 0.0, 1.0]), TrendError::TimesNotIncreasing { index: 0 });
    assert!(Trend::with_times(&[], &[]).is_ok());
}

proptest! {
    #[test]
    fn the_slope_is_the_median_of_all_slopes(
        points in prop::collection::vec((0.1..10.0, -100.0..100.0), 2..40),
    ) {
        let mut time = 0.0;
        let (mut times, mut values) = (Vec::new(), Vec::new());
        for (step, value) in points {
            time += step;
            times.push(time);
            values.push(value);
        }
        let mut slopes = Vec::new();
        for i in 0..times.len() {
            for j in i + 1..times.len() {
                slopes.push((values[j] - values[i]) / (times[j] - times[i]));
            }
        }
        slopes.sort_by(f64::total_cmp);
        let middle = (slopes[(slopes.len() - 1) / 2] + slopes[slopes.len() / 2]) / 2.0;
        let trend = Trend::with_times(&times, &values).unwrap();
        prop_assert!((trend.slope - middle).abs() <= 1e-9 * middle.abs().max(1.0));
    }

    #[test]
    fn mirrored_and_scaled_series_have_mirrored_and_scaled_trends(
        samples in prop::collection::vec(-1_000_i32..1_000, 4..60),
        shift in -10_000_i32..10_000,
    ) {
        let samples: Vec<f64> = samples.into_iter().map(f64::from).collect();
        let trend = Trend::of(&samples);
        let mirrored = Trend::of(&samples.iter().map(|v| f64::from(shift) - 2.0 * v).collect::<Vec<_>>());
        prop_assert!((mirrored.slope + 2.0 * trend.slope).abs() < 1e-9 * (1.0 + trend.slope.abs()));
        prop_assert!((mirrored.tau + trend.tau).abs() < 1e-12);
        prop_assert!((0.0..=1.0).contains(&trend.confidence));
        prop_assert_eq!(trend.confidence, 1.0 - trend.p_value);
    }

    #[test]
    fn any_floats_are_survived(samples in prop::collection::vec(any::<f64>(), 0..80)) {
        let trend = Trend::of(&samples);
        prop_assert!((0.0..=1.0).contains(&trend.confidence));
        prop_assert!(!trend.slope.is_nan());
    }
}

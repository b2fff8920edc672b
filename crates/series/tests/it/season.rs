use crate::noise::Noise;
use proptest::prelude::*;
use ropewalk_series::{Decomposition, ForecastError, Seasonality};
use std::f64::consts::TAU;

fn wave(i: usize, period: f64) -> f64 {
    (i as f64 / period * TAU).sin()
}

#[test]
fn one_season_is_found_under_trend_and_noise() {
    for (seed, period) in [(1, 7), (2, 12), (3, 24), (4, 60), (5, 288)] {
        let mut noise = Noise::new(seed);
        let samples: Vec<f64> = (0..period * 6)
            .map(|i| 100.0 + 0.05 * i as f64 + 3.0 * wave(i, period as f64) + noise.gauss())
            .collect();
        let found = Seasonality::detect(&samples);
        let first = found.first().unwrap_or_else(|| panic!("no season of {period}")).period;
        // Of a long smooth season under noise the top is broad.
        assert!(first.abs_diff(period) * 20 <= period, "{first} for {period}");
        assert_eq!(Seasonality::among(&samples, &[period])[0].period, period);
    }
}

#[test]
fn day_and_week_are_told_apart() {
    let mut noise = Noise::new(8);
    let samples: Vec<f64> = (0..24 * 7 * 5)
        .map(|i| {
            let weekend = if (i / 24) % 7 >= 5 { -6.0 } else { 0.0 };
            50.0 + 8.0 * wave(i, 24.0) + weekend + noise.gauss()
        })
        .collect();
    let found: Vec<usize> = Seasonality::detect(&samples).iter().map(|s| s.period).collect();
    assert!(found.contains(&168), "{found:?}");
    let asked: Vec<usize> =
        Seasonality::among(&samples, &[168, 24, 24, 1, 0, 37]).iter().map(|s| s.period).collect();
    assert_eq!(asked, [24, 168]);
}

/// Searched seasons on noise of several kinds, 60 series each.
#[test]
fn noise_seldom_has_seasons() {
    let mut noise = Noise::new(11);
    for (kind, bound) in [(0.0, 3), (0.8, 6), (1.0, 6)] {
        let found = (0..60).filter(|_| {
            let samples = if kind == 1.0 {
                let steps = noise.ar1(300, 0.0);
                steps
                    .iter()
                    .scan(0.0, |x, v| {
                        *x += v;
                        Some(*x)
                    })
                    .collect()
            } else {
                noise.ar1(300, kind)
            };
            !Seasonality::detect(&samples).is_empty()
        });
        let found = found.count();
        assert!(found <= bound, "{found} of 60 at {kind}");
    }
}

#[test]
fn too_little_has_no_season() {
    for samples in [&[][..], &[1.0], &[f64::NAN; 50], &[2.0; 50], &[1.0, 2.0, 1.0, 2.0]] {
        assert!(Seasonality::detect(samples).is_empty());
        assert!(Seasonality::among(samples, &[2, 7]).is_empty());
    }
}

#[test]
fn a_gap_does_not_hide_a_season() {
    let mut samples: Vec<f64> = (0..200).map(|i| wave(i, 10.0)).collect();
    samples[55] = f64::NAN;
    assert_eq!(Seasonality::detect(&samples)[0].period, 10);
}

#[test]
fn two_seasons_come_apart() {
    let samples: Vec<f64> =
        (0..600).map(|i| 0.01 * i as f64 + 5.0 * wave(i, 12.0) + 3.0 * wave(i, 60.0)).collect();
    let parts = Decomposition::of(&samples, &[60, 12]).unwrap();
    assert_eq!(parts.seasons.iter().map(|s| s.period).collect::<Vec<_>>(), [12, 60]);
    assert!(parts.seasons.iter().all(|s| s.strength > 0.95));
    for i in 100..500 {
        assert!((parts.seasonal[0][i] - 5.0 * wave(i, 12.0)).abs() < 0.3);
        assert!((parts.seasonal[1][i] - 3.0 * wave(i, 60.0)).abs() < 0.3);
    }
    let ahead = parts.seasonal_ahead(100);
    for (h, value) in ahead.iter().enumerate() {
        assert!((value - 5.0 * wave(600 + h, 12.0) - 3.0 * wave(600 + h, 60.0)).abs() < 0.5);
    }
}

#[test]
fn bad_decompositions_are_refused() {
    assert_eq!(Decomposition::of(&[1.0; 9], &[1]).unwrap_err(), ForecastError::Period { period: 1 });
    assert_eq!(
        Decomposition::of(&[1.0; 9], &[5]).unwrap_err(),
        ForecastError::TooShort { needed: 10, len: 9 }
    );
    assert_eq!(Decomposition::of(&[1.0, f64::NAN], &[]).unwrap_err(), ForecastError::NonFinite { index: 1 });
    assert!(Decomposition::of(&[], &[]).is_err());
}

proptest! {
    #[test]
    fn the_parts_add_up(
        samples in prop::collection::vec(-1e6..1e6, 20..80),
        periods in prop::collection::vec(2_usize..10, 0..3),
    ) {
        let parts = Decomposition::of(&samples, &periods).unwrap();
        for (i, value) in samples.iter().enumerate() {
            let sum = parts.trend[i] + parts.remainder[i] + parts.seasonal.iter().map(|s| s[i]).sum::<f64>();
            prop_assert!((sum - value).abs() < 1e-6 * (1.0 + value.abs()));
        }
        for season in &parts.seasons {
            prop_assert!((0.0..=1.0).contains(&season.strength));
        }
    }
}

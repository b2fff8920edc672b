use crate::noise::Noise;
use proptest::prelude::*;
use ropewalk_series::{
    Auto, Damped, ForecastError, Forecaster, Naive, SeasonalNaive, Ses, Theta, fill_gaps, mase,
};
use std::f64::consts::TAU;

fn all() -> Vec<(&'static str, usize, Box<dyn Forecaster>)> {
    vec![
        ("naive", 1, Box::new(Naive::new())),
        ("naive 2", 1, Box::new(Naive::new().period(4))),
        ("seasonal naive", 4, Box::new(SeasonalNaive::new(4))),
        ("ses", 2, Box::new(Ses::new().period(4))),
        ("damped", 4, Box::new(Damped::new().period(4))),
        ("theta", 3, Box::new(Theta::new().period(4))),
        ("auto", 1, Box::new(Auto::new())),
        ("auto with seasons", 1, Box::new(Auto::new().periods(&[4, 7]))),
    ]
}

#[test]
fn each_method_says_what_it_needs() {
    for (name, needed, method) in all() {
        let short = vec![1.0; needed - 1];
        assert_eq!(
            method.forecast(&short, 3).unwrap_err(),
            ForecastError::TooShort { needed, len: needed - 1 },
            "{name}"
        );
        let enough = vec![2.0; needed];
        assert_eq!(method.predict(&enough, 3).unwrap(), [2.0; 3], "{name}");
        assert_eq!(method.forecast(&enough, 0).unwrap().horizon(), 0, "{name}");
        let gap = [1.0, 2.0, f64::NAN, 1.0, 5.0, 6.0];
        assert_eq!(method.forecast(&gap, 3).unwrap_err(), ForecastError::NonFinite { index: 2 }, "{name}");
        for level in [0.0, 1.0, -1.0, f64::NAN] {
            let error = method.forecast_at(&enough, 3, level).unwrap_err();
            assert!(matches!(error, ForecastError::Level { .. }), "{name}");
        }
    }
    assert_eq!(SeasonalNaive::new(0).predict(&[1.0], 1).unwrap_err(), ForecastError::Period { period: 0 });
}

#[test]
fn a_constant_continues_without_doubt() {
    for (name, _, method) in all() {
        let forecast = method.forecast(&[3.0; 40], 5).unwrap();
        for h in 0..5 {
            assert!((forecast.mean[h] - 3.0).abs() < 1e-9, "{name}: {:?}", forecast.mean);
            assert!(forecast.upper[h] - forecast.lower[h] < 1e-6, "{name}");
        }
    }
}

#[test]
fn lines_are_continued_by_those_that_know_trends() {
    let line: Vec<f64> = (0..60).map(|i| 10.0 + 2.0 * f64::from(i)).collect();
    let after = 10.0 + 2.0 * 64.0;
    assert!((Damped::new().predict(&line, 5).unwrap()[4] - after).abs() < 2.0);
    assert!((Auto::new().predict(&line, 5).unwrap()[4] - after).abs() < 1.0);
    // Theta believes in half of the slope beyond the last level.
    let theta = Theta::new().predict(&line, 5).unwrap();
    assert!(theta[4] > 128.0 && theta[4] <= after + 1e-6);
}

fn load(seed: u64, n: usize) -> Vec<f64> {
    let mut noise = Noise::new(seed);
    let wander = noise.ar1(n, 0.7);
    (0..n)
        .map(|i| {
            let hour = (i as f64 / 24.0 * TAU).sin();
            let weekend = if (i / 24) % 7 >= 5 { 0.6 } else { 1.0 };
            (100.0 + 30.0 * hour) * weekend + 2.0 * wander[i]
        })
        .collect()
}

#[test]
fn auto_uses_both_seasons() {
    let whole = load(1, 24 * 7 * 5 + 48);
    let (history, future) = whole.split_at(whole.len() - 48);
    let error = |method: &dyn Forecaster| mase(future, &method.predict(history, 48).unwrap(), history, 24);
    let auto = error(&Auto::new().periods(&[24, 168]));
    assert!(auto < 0.7 * error(&Theta::new().period(24)), "{auto}");
    assert!(auto < 0.7 * error(&SeasonalNaive::new(24)), "{auto}");
    assert!(error(&Auto::new()) < 1.2 * auto + 0.1);
}

/// Intervals hold about what they say, on noise that the methods' assumptions do not fit exactly.
#[test]
fn intervals_hold_what_they_promise() {
    let methods: Vec<(&str, Box<dyn Forecaster>)> = vec![
        ("theta", Box::new(Theta::new())),
        ("ses", Box::new(Ses::new())),
        ("auto", Box::new(Auto::new().periods(&[]))),
    ];
    for (name, method) in methods {
        for level in [0.8, 0.95] {
            let mut noise = Noise::new(77);
            let (mut inside, mut whole) = (0.0, 0.0);
            for trial in 0..60 {
                let phi = [0.0, 0.5, 0.9][trial % 3];
                let series = noise.ar1(112, phi);
                let (history, future) = series.split_at(100);
                inside += method.forecast_at(history, 12, level).unwrap().coverage(future).unwrap();
                whole += 1.0;
            }
            let coverage = inside / whole;
            assert!((coverage - level).abs() < 0.07, "{name} at {level}: {coverage}");
        }
    }
}

#[test]
fn errors_that_grow_with_the_step_widen_the_interval() {
    let mut noise = Noise::new(3);
    let walk: Vec<f64> = noise
        .ar1(300, 0.0)
        .iter()
        .scan(0.0, |x, v| {
            *x += v;
            Some(*x)
        })
        .collect();
    let forecast = Naive::new().forecast(&walk, 16).unwrap();
    let width = |h: usize| forecast.upper[h] - forecast.lower[h];
    assert!(width(15) > 1.8 * width(0));
    assert!((0..15).all(|h| width(h) <= width(h + 1)));
}

#[test]
fn a_short_history_gets_wide_intervals() {
    let forecast = Naive::new().forecast(&[1.0, 2.0, 1.5], 4).unwrap();
    assert!(forecast.upper[0] > 3.0 && forecast.upper[3] > forecast.upper[0]);
    assert_eq!(forecast.peak(), forecast.upper.last().copied());
}

#[test]
fn loads_can_be_kept_above_zero() {
    let forecast = Naive::new().forecast(&[5.0, 1.0, 4.0, 0.5, 3.0, 1.0], 3).unwrap();
    assert!(forecast.lower[0] < 0.0);
    let clipped = forecast.at_least(0.0);
    assert!(clipped.lower.iter().all(|v| *v >= 0.0));
    assert_eq!(clipped.coverage(&[]), None);
}

#[test]
fn negative_and_zero_values_switch_logarithms_off() {
    let series: Vec<f64> = (0..80).map(|i| (f64::from(i) / 8.0 * TAU).sin() * 5.0).collect();
    let ahead = Auto::new().periods(&[8]).predict(&series, 8).unwrap();
    for (h, value) in ahead.iter().enumerate() {
        assert!((value - series[h]).abs() < 0.2, "{ahead:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn forecasts_are_ordered_and_finite(
        history in prop::collection::vec(-1e9..1e9, 4..60),
        horizon in 0_usize..20,
        level in 0.01..0.99,
    ) {
        for (name, _, method) in all() {
            let forecast = method.forecast_at(&history, horizon, level).unwrap();
            prop_assert_eq!(forecast.horizon(), horizon);
            for h in 0..horizon {
                let (low, mean, high) = (forecast.lower[h], forecast.mean[h], forecast.upper[h]);
                prop_assert!(low <= mean && mean <= high && mean.is_finite(), "{} {} {} {}", name, low, mean, high);
            }
        }
    }

    #[test]
    fn scaled_and_shifted_series_have_scaled_and_shifted_forecasts(
        history in prop::collection::vec(-100.0..100.0_f64, 8..40),
        scale in 0.5..20.0_f64,
        shift in -50.0..50.0_f64,
    ) {
        let other: Vec<f64> = history.iter().map(|v| v * scale + shift).collect();
        for method in [&Theta::new() as &dyn Forecaster, &Ses::new(), &Naive::new()] {
            let (a, b) = (method.predict(&history, 4).unwrap(), method.predict(&other, 4).unwrap());
            for (a, b) in a.iter().zip(b) {
                prop_assert!((a * scale + shift - b).abs() < 0.05 * scale * 100.0, "{} {}", a * scale + shift, b);
            }
        }
    }

    #[test]
    fn filled_gaps_lie_between_their_neighbours(values in prop::collection::vec(prop::option::of(-10.0..10.0), 0..40)) {
        let gappy: Vec<f64> = values.iter().map(|v| v.unwrap_or(f64::NAN)).collect();
        let filled = fill_gaps(&gappy);
        if values.iter().all(Option::is_none) {
            prop_assert!(filled.is_empty());
            return Ok(());
        }
        prop_assert_eq!(filled.len(), values.len());
        for (i, v) in filled.iter().enumerate() {
            prop_assert!(values[i].is_none_or(|known| known == *v));
            prop_assert!((-10.0..=10.0).contains(v));
        }
    }
}

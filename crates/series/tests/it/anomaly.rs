use crate::noise::Noise;
use proptest::prelude::*;
use ropewalk_series::{AnomalyDetector, DetectorError};

fn daily(noise: &mut Noise, n: usize) -> Vec<f64> {
    (0..n).map(|i| 50.0 + 20.0 * (i as f64 / 96.0 * std::f64::consts::TAU).sin() + noise.gauss()).collect()
}

fn alarms(warm_up: usize, values: &[f64]) -> Vec<usize> {
    let mut detector = AnomalyDetector::new(warm_up);
    values.iter().enumerate().filter(|(_, v)| detector.observe(**v).anomalous).map(|(i, _)| i).collect()
}

#[test]
fn a_healthy_day_seldom_alarms() {
    let mut raised = 0;
    for seed in 0..10 {
        raised += alarms(300, &daily(&mut Noise::new(seed), 2_000)).len();
    }
    assert!(raised <= 40, "{raised} alarms in 17,000 values");
}

#[test]
fn spikes_level_shifts_and_missing_seasons_are_found() {
    for seed in 0..5 {
        let mut noise = Noise::new(seed + 50);
        let healthy = daily(&mut noise, 2_400);
        let found = |change: &dyn Fn(usize, f64) -> f64| {
            let values: Vec<f64> = healthy.iter().enumerate().map(|(i, v)| change(i, *v)).collect();
            alarms(600, &values).iter().any(|i| (2_000..2_120).contains(i))
        };
        assert!(found(&|i, v| if i == 2_010 { v + 100.0 } else { v }), "spike");
        assert!(found(&|i, v| if i >= 2_005 { v + 60.0 } else { v }), "shift up");
        assert!(found(&|i, v| if i >= 2_005 { v - 60.0 } else { v }), "shift down");
        assert!(found(&|i, v| if i >= 2_000 { 50.0 + v / 1e3 } else { v }), "no wave");
    }
}

#[test]
fn after_an_alarm_there_is_silence() {
    let build = |quiet| AnomalyDetector::builder(100).refractory(quiet).build().unwrap();
    let run = |mut detector: AnomalyDetector| {
        (0..200).for_each(|i| assert!(!detector.observe(f64::from(i % 4)).anomalous));
        (1..51).filter(|i| detector.observe(10.0_f64.powi(*i)).anomalous).count()
    };
    assert_eq!(run(build(9)), 5);
    assert_eq!(run(build(0)), 50);
    assert_eq!(run(build(usize::MAX)), 1);
}

#[test]
fn nothing_is_said_while_warming_up_and_of_gaps() {
    let mut detector = AnomalyDetector::new(50);
    for i in 0..50 {
        let seen = detector.observe(if i % 7 == 3 { 1e9 } else { 1.0 });
        assert_eq!((seen.score, seen.anomalous), (0.0, false));
        assert_eq!(seen.expected.is_nan(), i == 0);
    }
    for gap in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let seen = detector.observe(gap);
        assert_eq!((seen.score, seen.anomalous), (0.0, false));
        assert!(seen.expected.is_finite());
    }
}

#[test]
fn a_constant_that_changes_is_an_anomaly() {
    let mut values = vec![0.0; 300];
    values[250] = 1e-9;
    assert_eq!(alarms(100, &values)[0], 250);
    assert_eq!(alarms(100, &[7.0; 400]), []);
}

#[test]
fn it_reads_nothing_ahead() {
    let values = daily(&mut Noise::new(6), 900);
    let mut other = values.clone();
    other[800..].iter_mut().for_each(|v| *v *= 50.0);
    let (mut a, mut b) = (AnomalyDetector::new(200), AnomalyDetector::new(200));
    for i in 0..800 {
        assert_eq!(a.observe(values[i]).score, b.observe(other[i]).score);
    }
}

#[test]
fn impossible_settings_are_refused() {
    assert_eq!(AnomalyDetector::builder(15).build().unwrap_err(), DetectorError::WarmUp(15));
    assert_eq!(
        AnomalyDetector::builder(16).threshold(1.0).build().unwrap_err(),
        DetectorError::Threshold(1.0)
    );
    assert!(AnomalyDetector::builder(16).threshold(f64::NAN).build().is_err());
    assert!(AnomalyDetector::builder(usize::MAX).build().is_ok());
    AnomalyDetector::new(0).observe(1.0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn shifted_scaled_and_mirrored_streams_get_the_same_alarms(seed in any::<u64>(), factor in 1_u32..6, mirror in any::<bool>()) {
        let mut noise = Noise::new(seed);
        let values: Vec<f64> = noise.ar1(500, 0.8).iter().map(|v| (v * 1_024.0).round()).collect();
        let factor = f64::from(1 << factor) * if mirror { -1.0 } else { 1.0 };
        let other: Vec<f64> = values.iter().map(|v| v * factor).collect();
        prop_assert_eq!(alarms(100, &values), alarms(100, &other));
    }

    #[test]
    fn scores_stay_in_range_on_any_floats(values in prop::collection::vec(any::<f64>(), 0..300), warm_up in 0_usize..60) {
        let mut detector = AnomalyDetector::new(warm_up);
        for value in values {
            let seen = detector.observe(value);
            prop_assert!((0.0..=1.0).contains(&seen.score), "{}", seen.score);
        }
    }
}

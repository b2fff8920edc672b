//! Plans for loads whose future is known.

use ropewalk_scale::{Advice, CapacityPlanner, History, PlanError, Utilization};
use ropewalk_series::Direction;
use std::time::{Duration, Instant};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// Noise in `-0.5..0.5`, the same in every run.
fn noise(i: u64) -> f64 {
    let mut x = i.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(0x1234_5678);
    x ^= x >> 31;
    x = x.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x ^= x >> 27;
    (x % 10_000) as f64 / 10_000.0 - 0.5
}

fn daily(hours: u64, growth_per_day: f64) -> History {
    let load = (0..hours).map(|h| {
        let phase = h as f64 / 24.0 * std::f64::consts::TAU;
        6.0 + 3.0 * phase.sin() + growth_per_day * h as f64 / 24.0 + 0.4 * noise(h)
    });
    History::of(HOUR, load)
}

#[test]
fn a_growing_daily_load_is_read_right() {
    let plan = CapacityPlanner::new().nodes(1..=20).observe(daily(14 * 24, 0.2)).forecast(DAY).unwrap();
    assert_eq!(plan.trend.direction, Direction::Rising);
    assert!((plan.growth_per_day - 0.2).abs() < 0.03, "{}", plan.growth_per_day);
    assert!(plan.trend.confidence > 0.99);
    assert_eq!(plan.seasons[0].period, DAY);
    assert!(plan.seasons[0].strength > 0.8);
    assert_eq!(plan.forecast.horizon(), 24);
    // The true peak is 6 + 3 + 2.8 + noise, six hours into the day.
    assert!((11.0..13.5).contains(&plan.peak.load), "{:?}", plan.peak);
    assert!((3 * HOUR..9 * HOUR).contains(&plan.peak.after), "{:?}", plan.peak);
    assert!((16..=19).contains(&plan.peak.nodes));
    let runs: Vec<_> = plan.recommendations.iter().filter(|advice| advice.advice == Advice::Run).collect();
    assert!(runs.len() >= 3, "up and down over the day:\n{plan}");
    assert_eq!(runs.iter().map(|run| run.nodes).max(), Some(plan.peak.nodes));
    let growth = plan.recommendations.iter().find(|advice| advice.advice == Advice::Growth).unwrap();
    // 14 = 9 + 0.2 d has d = 25 days, of which 14 are over; noise makes it earlier.
    assert!((6 * DAY..12 * DAY).contains(&growth.when), "{growth}");
    assert!(plan.to_string().contains("rising"));
}

#[test]
fn a_flat_load_has_no_trend_and_one_number() {
    let load = (0..200).map(|i| 3.0 + 0.1 * noise(i));
    let plan =
        CapacityPlanner::new().nodes(1..=20).observe(History::of(HOUR, load)).forecast(6 * HOUR).unwrap();
    assert_eq!(plan.trend.direction, Direction::Flat);
    assert!(plan.seasons.is_empty());
    assert_eq!(plan.recommendations.len(), 1);
    assert_eq!((plan.recommendations[0].nodes, plan.recommendations[0].when), (5, Duration::ZERO));
}

#[test]
fn a_maximum_that_is_too_low_is_named() {
    let plan = CapacityPlanner::new().nodes(1..=8).observe(daily(14 * 24, 0.0)).forecast(DAY).unwrap();
    let raise = plan.recommendations.iter().find(|advice| advice.advice == Advice::RaiseMaximum).unwrap();
    assert_eq!(raise.nodes, plan.peak.nodes);
    assert!(plan.recommendations.iter().filter(|a| a.advice == Advice::Run).all(|advice| advice.nodes <= 8));
    let plan = CapacityPlanner::new().nodes(20..=30).observe(daily(14 * 24, 0.0)).forecast(DAY).unwrap();
    assert!(plan.recommendations.iter().any(|advice| advice.advice == Advice::LowerMinimum));
}

#[test]
fn units_of_load_are_the_users() {
    let in_nodes = CapacityPlanner::new().observe(daily(240, 0.0)).forecast(DAY).unwrap();
    let requests = History::of(HOUR, daily(240, 0.0).values().map(|load| 50.0 * load).collect::<Vec<_>>());
    let in_requests = CapacityPlanner::new().node_capacity(50.0).observe(requests).forecast(DAY).unwrap();
    assert_eq!(in_requests.peak.nodes, in_nodes.peak.nodes);
}

/// "93 % confidence" has to be wrong in 7 % of the cases at most, also for loads that wander.
#[test]
fn confidence_is_calibrated_on_wandering_loads_with_a_season() {
    let trials = 80;
    let mut false_trends = 0;
    for trial in 0..trials {
        let mut wander = 0.0;
        let load: Vec<f64> = (0..240)
            .map(|h| {
                wander = 0.6 * wander + noise(trial * 1_000 + h) * 2.0;
                20.0 + 5.0 * (h as f64 / 24.0 * std::f64::consts::TAU).sin() + wander
            })
            .collect();
        let plan = CapacityPlanner::new().observe(History::of(HOUR, load)).forecast(HOUR).unwrap();
        false_trends += u32::from(plan.trend.direction_at(0.93) != Direction::Flat);
    }
    let rate = f64::from(false_trends) / trials as f64;
    assert!(rate <= 0.12, "{rate} instead of at most 0.07 (and some luck)");
}

#[test]
fn gaps_long_histories_and_bad_settings() {
    let gappy = daily(14 * 24, 0.0)
        .values()
        .enumerate()
        .map(|(i, v)| if i % 7 == 3 { f64::NAN } else { v })
        .collect::<Vec<_>>();
    let plan = CapacityPlanner::new().observe(History::of(HOUR, gappy)).forecast(DAY).unwrap();
    assert_eq!(plan.seasons[0].period, DAY);

    let minutes = (0..10_000_u64).map(|m| 4.0 + noise(m) + if m % 97 == 0 { 3.0 } else { 0.0 });
    let plan =
        CapacityPlanner::new().observe(History::of(Duration::from_secs(60), minutes)).forecast(DAY).unwrap();
    assert_eq!(plan.step, Duration::from_secs(300), "thinned by five");
    assert!(plan.peak.load > 5.0, "thinning keeps the peaks: {:?}", plan.peak);

    let planner = CapacityPlanner::new();
    assert_eq!(planner.forecast(DAY), Err(PlanError::TooShort { len: 0, needed: 12 }));
    let only_gaps = History::of(HOUR, [f64::NAN; 50]);
    assert!(matches!(planner.clone().observe(only_gaps).forecast(DAY), Err(PlanError::TooShort { .. })));
    let planner = planner.observe(daily(48, 0.0));
    assert!(matches!(planner.forecast(Duration::ZERO), Err(PlanError::Horizon { .. })));
    assert!(matches!(planner.forecast(Duration::MAX), Err(PlanError::Horizon { .. })));
    assert!(matches!(planner.clone().node_capacity(0.0).forecast(DAY), Err(PlanError::NodeCapacity(_))));
    assert!(matches!(
        planner.clone().target(Utilization::ratio(0.0)).forecast(DAY),
        Err(PlanError::Setting(_))
    ));
    assert!(matches!(planner.level(1.5).forecast(DAY), Err(PlanError::Forecast(_))));
}

#[test]
fn a_history_is_filled_by_time() {
    let mut history = History::new(Duration::from_secs(10), 4);
    let start = Instant::now();
    let at = |s: u64| start + Duration::from_secs(s);
    for (s, value) in [(0, 1.0), (5, 3.0), (12, 5.0), (13, f64::NAN), (11, 7.0), (45, 9.0), (50, 1.0)] {
        history.record(at(s), value);
    }
    let values: Vec<f64> = history.values().collect();
    assert_eq!(values.len(), 4, "the oldest step fell off");
    assert_eq!(values[0], 6.0);
    assert!(values[1].is_nan() && values[2].is_nan());
    assert_eq!(values[3], 9.0);
}

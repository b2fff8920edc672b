use proptest::prelude::*;
use ropewalk_series::{mase, pinball, smape};

proptest! {
    #[test]
    fn measures_are_least_for_the_truth(truth in prop::collection::vec(0.1..100.0, 1..20), off in 0.1..50.0_f64) {
        let forecast: Vec<f64> = truth.iter().map(|v| v + off).collect();
        prop_assert_eq!(smape(&truth, &truth), 0.0);
        prop_assert!((0.0..=200.0).contains(&smape(&truth, &forecast)));
        prop_assert!((mase(&truth, &forecast, &[1.0, 2.0, 4.0], 1) - off / 1.5).abs() < 1e-9);
        prop_assert!((pinball(&truth, &forecast, 0.25) - 0.75 * off).abs() < 1e-9);
    }
}

#[test]
fn the_pinball_loss_is_least_at_the_quantile() {
    let values: Vec<f64> = (0..=100).map(f64::from).collect();
    let loss = |at: f64| pinball(&values, &vec![at; values.len()], 0.9);
    assert!(loss(90.0) < loss(88.0) && loss(90.0) < loss(92.0));
}

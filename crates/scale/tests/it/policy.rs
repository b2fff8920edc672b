//! The policy against a naive copy of its rule.

use proptest::prelude::*;
use ropewalk_scale::{BuildError, Load, Memory, Policy, Reason, Utilization};
use std::time::{Duration, Instant};

#[test]
fn the_published_rule() {
    let policy = Policy::new(1..=20, Utilization::percent(50)).unwrap();
    let now = Instant::now();
    // (nodes, utilisation, recommended): the examples of the Kubernetes documentation.
    for (nodes, utilization, wanted) in
        [(1, 1.0, 2), (2, 1.0, 4), (4, 0.25, 2), (4, 0.54, 4), (4, 0.56, 5), (10, 0.2, 4)]
    {
        let mut memory = Memory::new(nodes, now);
        let decision = policy.decide(&mut memory, nodes, nodes, Load::utilization(utilization), now);
        assert_eq!(decision.recommended, wanted, "{nodes} nodes at {utilization}");
    }
}

#[test]
fn a_whole_multiple_costs_no_extra_node() {
    // 2.1 / 0.7 is a little more than 3 in binary.
    let policy = Policy::new(1..=20, Utilization::percent(70)).unwrap();
    assert_eq!(policy.reactive(1, 2.1), 3);
    assert_eq!(policy.reactive(1, 0.0), 0);
    assert_eq!(policy.reactive(1, 1e300), usize::MAX);
}

#[test]
fn nodes_that_start_count_as_idle_on_the_way_up() {
    let policy = Policy::new(1..=20, Utilization::percent(50)).unwrap();
    let now = Instant::now();
    let mut memory = Memory::new(4, now);
    // Two of four serve, fully busy: two nodes' worth of work, for which four are on their way.
    let decision = policy.decide(&mut memory, 4, 2, Load::utilization(1.0), now);
    assert_eq!((decision.to, decision.reason), (4, Reason::WithinTolerance { utilization: 0.5 }));
}

#[test]
fn what_says_nothing_changes_nothing() {
    let policy = Policy::new(1..=20, Utilization::percent(50)).unwrap();
    let now = Instant::now();
    let mut memory = Memory::new(3, now);
    for load in [
        Load::utilization(f64::NAN),
        Load::demand(f64::INFINITY),
        Load::demand(-1.0),
        Load::utilization(-0.1),
    ] {
        let decision = policy.decide(&mut memory, 3, 3, load, now);
        assert_eq!((decision.to, decision.reason), (3, Reason::NoData), "{load:?}");
    }
    assert_eq!(policy.decide(&mut memory, 3, 0, Load::utilization(0.9), now).reason, Reason::NoData);
}

#[test]
fn settings_that_contradict_are_refused() {
    let half = Utilization::percent(50);
    #[allow(clippy::reversed_empty_ranges)] // that is the point
    let reversed = 5..=2;
    assert_eq!(Policy::new(reversed, half), Err(BuildError::Nodes { min: 5, max: 2 }));
    assert!(matches!(Policy::new(0..=0, half), Err(BuildError::Nodes { .. })));
    for target in [0.0, -1.0, 1.1, f64::NAN, f64::INFINITY] {
        assert!(
            matches!(Policy::new(1..=2, Utilization::ratio(target)), Err(BuildError::Target(_))),
            "{target}"
        );
    }
    for tolerance in [-0.1, 1.0, f64::NAN] {
        assert!(Policy::new(1..=2, half).unwrap().tolerance(tolerance).is_err(), "{tolerance}");
    }
}

/// The rule again, with every recommendation kept.
struct Naive {
    kept: Vec<(Instant, usize)>,
    changed: Option<Instant>,
}

impl Naive {
    fn decide(&mut self, set: &Settings, nodes: usize, demand: f64, now: Instant) -> usize {
        let ratio = demand / nodes as f64 / set.target;
        let wanted = if nodes > 0 && (ratio - 1.0).abs() <= 0.1 {
            nodes
        } else {
            (demand / set.target - 1e-9).ceil() as usize
        };
        let wanted = wanted.clamp(set.min, set.max);
        self.kept.push((now, wanted));
        let window = self.kept.iter().filter(|(at, _)| now - *at <= set.window).map(|(_, n)| *n);
        let floor = window.max().unwrap();
        let rests = |time: Duration| self.changed.is_some_and(|at| now - at < time);
        let to = if wanted > nodes && !rests(set.up) {
            wanted
        } else if wanted < nodes && floor < nodes && !rests(set.down) {
            floor.max(nodes.saturating_sub(set.step_down))
        } else {
            nodes
        };
        if to != nodes {
            self.changed = Some(now);
        }
        to
    }
}

#[derive(Debug)]
struct Settings {
    min: usize,
    max: usize,
    target: f64,
    window: Duration,
    up: Duration,
    down: Duration,
    step_down: usize,
}

prop_compose! {
    fn settings()(
        min in 0_usize..5, more in 1_usize..20, percent in 10_u32..=100, window in 0_u64..60, up in 0_u64..20,
        down in 0_u64..60, step_down in 1_usize..5,
    ) -> Settings {
        let seconds = Duration::from_secs;
        let target = f64::from(percent) / 100.0;
        Settings { min, max: min + more, target, window: seconds(window), up: seconds(up), down: seconds(down), step_down }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn agrees_with_the_naive_rule(set in settings(), samples in prop::collection::vec((0_u64..30, 0.0_f64..30.0), 1..80)) {
        let policy = ropewalk_policy(&set);
        let start = Instant::now();
        let mut nodes = set.min;
        let mut memory = Memory::new(nodes, start);
        let mut naive = Naive { kept: vec![(start, nodes)], changed: None };
        let mut now = start;
        for (wait, demand) in samples {
            now += Duration::from_secs(wait);
            let decision = policy.decide(&mut memory, nodes, nodes, Load::demand(demand), now);
            let expected = naive.decide(&set, nodes, demand, now);
            prop_assert_eq!(decision.to, expected, "{:?} at {:?}", decision, now - start);
            prop_assert!((set.min..=set.max).contains(&decision.to));
            prop_assert_eq!(decision.from, nodes);
            nodes = decision.to;
        }
    }
}

fn ropewalk_policy(set: &Settings) -> Policy {
    let policy = Policy::new(set.min..=set.max, Utilization::ratio(set.target)).unwrap();
    policy.stabilization(set.window).cooldown(set.down).cooldown_up(set.up).step_down(set.step_down)
}

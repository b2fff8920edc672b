//! Where requests go.

use crate::support::{count, fill, pick_of, sequence};
use ropewalk_balance::{
    Balancer, Candidates, CapabilityBased, Draw, LeastLoaded, Need, Node, Outcome, PeakEwma, PowerOfTwo,
    RoundRobin, SmoothWeighted, Strategy,
};
use ropewalk_sync::Clock;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

fn balancer(strategy: impl Strategy) -> Balancer {
    Balancer::builder().strategy(strategy).seed(42).build().unwrap()
}

#[test]
fn round_robin_is_exact() {
    let nodes = balancer(RoundRobin::new());
    fill(&nodes, &[1, 9, 1, 1]);
    assert_eq!(sequence(&nodes, 10), "abcdabcdab");
}

#[test]
fn round_robin_gives_no_second_turn_to_who_follows_a_gap() {
    let nodes = balancer(RoundRobin::new());
    let ids = fill(&nodes, &[1, 1, 1, 1]);
    drop(nodes.drain(ids[1]).unwrap());
    assert_eq!(sequence(&nodes, 9), "acdacdacd");
}

#[test]
fn round_robin_turns_apart_for_each_need() {
    let nodes = balancer(RoundRobin::new());
    for (name, capability) in [("a", "x"), ("b", "y"), ("c", "x"), ("d", "y")] {
        nodes.insert(Node::new(name).offers(capability)).unwrap();
    }
    let mut seen = String::new();
    for i in 0..8 {
        seen += nodes.pick(Need::of(["x", "y"][i % 2])).unwrap().node().address();
    }
    assert_eq!(seen, "abcdabcd");
}

#[test]
fn smooth_weighted_is_nginxs() {
    let nodes = balancer(SmoothWeighted::new());
    fill(&nodes, &[5, 1, 1]);
    assert_eq!(sequence(&nodes, 14), "aabacaaaabacaa");
}

#[test]
fn smooth_weighted_is_exact_in_each_cycle() {
    let nodes = balancer(SmoothWeighted::new());
    let weights = [7, 1, 4, 3, 5, 2];
    let ids = fill(&nodes, &weights);
    for _ in 0..3 {
        let cycle = count(&sequence(&nodes, 22));
        assert!(cycle.into_values().map(|n| n as u32).eq(weights));
    }
    nodes.set_weight(ids[0], 0).unwrap();
    let cycle = count(&sequence(&nodes, 150));
    assert!(!cycle.contains_key(&'a'));
}

#[test]
fn weight_zero_is_the_last_resort() {
    for strategy in [
        Box::new(SmoothWeighted::new()) as Box<dyn Strategy>,
        Box::new(LeastLoaded::new()),
        Box::new(PowerOfTwo::new()),
        Box::new(PeakEwma::new()),
    ] {
        let nodes = balancer(strategy);
        let ids = fill(&nodes, &[0, 0, 1]);
        nodes.set_max_in_flight(ids[2], Some(50)).unwrap();
        let held = (0..50).map(|_| nodes.pick(Need::any()).unwrap()).collect::<Vec<_>>();
        assert!(held.iter().all(|p| p.id() == ids[2]), "{nodes:?}");
        assert_ne!(nodes.pick(Need::any()).unwrap().id(), ids[2]);
    }
}

#[test]
fn least_loaded_levels_by_weight() {
    let nodes = balancer(LeastLoaded::new());
    fill(&nodes, &[1, 2, 3]);
    let held = (0..60).map(|_| nodes.pick(Need::any()).unwrap()).collect::<Vec<_>>();
    let loads = nodes.nodes().into_iter().map(|n| n.in_flight).collect::<Vec<_>>();
    assert_eq!(loads, [10, 20, 30]);
    drop(held);
}

#[test]
fn least_loaded_takes_turns_among_equals() {
    let nodes = balancer(LeastLoaded::new());
    fill(&nodes, &[1, 1, 1]);
    assert_eq!(sequence(&nodes, 6), "abcabc");
}

#[test]
fn two_choices_level_far_better_than_one() {
    let spread = |strategy: PowerOfTwo| {
        let nodes = balancer(strategy);
        for i in 0..100 {
            nodes.insert(Node::new(format!("{i}"))).unwrap();
        }
        let held = (0..10_000).map(|_| nodes.pick(Need::any()).unwrap()).collect::<Vec<_>>();
        let most = nodes.nodes().into_iter().map(|n| n.in_flight).max().unwrap();
        drop(held);
        most
    };
    // Balls into bins: 100 on average; one choice goes about 25 over, two about log log n.
    let (one, two) = (spread(PowerOfTwo::new().choice_count(1)), spread(PowerOfTwo::new()));
    assert!(one >= 115, "{one}");
    assert!(two <= 104, "{two}");
}

#[test]
fn two_choices_follow_weights() {
    let nodes = balancer(PowerOfTwo::new());
    fill(&nodes, &[1, 3]);
    let held = (0..400).map(|_| nodes.pick(Need::any()).unwrap()).collect::<Vec<_>>();
    let loads = nodes.nodes().into_iter().map(|n| n.in_flight).collect::<Vec<_>>();
    // Two nodes: both are drawn each time, so it is exact but for ties.
    assert!(loads[0].abs_diff(100) <= 1 && loads[1].abs_diff(300) <= 1, "{loads:?}");
    drop(held);
}

#[test]
fn two_choices_skip_nodes_that_may_not_be_taken() {
    let nodes = balancer(PowerOfTwo::new());
    let ids = (0..40).map(|i| nodes.insert(Node::new(format!("{i}"))).unwrap()).collect::<Vec<_>>();
    for id in &ids[..39] {
        drop(nodes.drain(*id).unwrap());
    }
    for _ in 0..20 {
        assert_eq!(nodes.pick(Need::any()).unwrap().id(), ids[39]);
    }
}

/// Picks and ends requests at once, each taking its node's time.
fn serve(nodes: &Balancer, clock: &Clock, n: usize, millis: impl Fn(&str) -> u64, fails: &str) -> String {
    let mut seen = String::new();
    for _ in 0..n {
        let pick = nodes.pick(Need::any()).unwrap();
        let address = pick.node().address().to_owned();
        clock.advance(Duration::from_millis(millis(&address)));
        pick.complete(if address == fails { Outcome::Rejected } else { Outcome::Success });
        seen += &address;
    }
    seen
}

#[test]
fn peak_ewma_prefers_the_fast() {
    let clock = Clock::virtual_();
    let strategy = PeakEwma::new().decay(Duration::from_secs(10));
    let nodes = Balancer::builder().strategy(strategy).clock(clock.clone()).seed(3).build().unwrap();
    fill(&nodes, &[1, 1, 1]);
    let seen = count(&serve(&nodes, &clock, 300, |a| if a == "b" { 100 } else { 10 }, ""));
    // b is taken only against itself, so hardly ever once it is known.
    assert!(seen[&'b'] <= 20 && seen[&'a'] >= 100 && seen[&'c'] >= 100, "{seen:?}");
}

#[test]
fn peak_ewma_forgives_what_is_long_past() {
    let clock = Clock::virtual_();
    let strategy = PeakEwma::new().decay(Duration::from_secs(1));
    let nodes = Balancer::builder().strategy(strategy).clock(clock.clone()).seed(3).build().unwrap();
    fill(&nodes, &[1, 1]);
    serve(&nodes, &clock, 20, |a| if a == "b" { 1_000 } else { 10 }, "");
    // b is as fast as a now; it is tried again once its peak has faded.
    let seen = count(&serve(&nodes, &clock, 2_000, |_| 10, ""));
    assert!(seen[&'b'] >= 500, "{seen:?}");
}

#[test]
fn peak_ewma_is_not_fooled_by_fast_refusals() {
    let clock = Clock::virtual_();
    let nodes = Balancer::builder().clock(clock.clone()).seed(3).build().unwrap();
    fill(&nodes, &[1, 1, 1]);
    let seen = count(&serve(&nodes, &clock, 300, |a| if a == "b" { 1 } else { 10 }, "b"));
    assert!(seen[&'b'] <= 30, "{seen:?}");
}

#[test]
fn a_new_node_is_neither_frozen_out_nor_flooded() {
    let clock = Clock::virtual_();
    let nodes = Balancer::builder().clock(clock.clone()).seed(9).build().unwrap();
    fill(&nodes, &[1, 1, 1, 1]);
    serve(&nodes, &clock, 100, |_| 10, "");
    nodes.insert(Node::new("e")).unwrap();
    let held = (0..50).map(|_| nodes.pick(Need::any()).unwrap()).collect::<Vec<_>>();
    let fresh = held.iter().filter(|p| p.node().address() == "e").count();
    assert!((5..=15).contains(&fresh), "{fresh} of 50 over 5 nodes");
}

#[test]
fn a_slow_start_ramps_up() {
    let clock = Clock::virtual_();
    let nodes = Balancer::builder()
        .strategy(LeastLoaded::new())
        .slow_start_window(Duration::from_secs(10))
        .clock(clock.clone())
        .build()
        .unwrap();
    nodes.insert(Node::new("a")).unwrap();
    clock.advance(Duration::from_secs(60));
    let fresh = nodes.insert(Node::new("b")).unwrap();
    let share = || {
        let held = (0..110).map(|_| nodes.pick(Need::any()).unwrap()).collect::<Vec<_>>();
        held.iter().filter(|p| p.id() == fresh).count()
    };
    assert!(share().abs_diff(10) <= 1);
    clock.advance(Duration::from_secs(5));
    assert!(share().abs_diff(37) <= 1);
    clock.advance(Duration::from_secs(5));
    assert_eq!(share(), 55);
}

#[test]
fn specialists_go_first() {
    let nodes = balancer(CapabilityBased::new(RoundRobin::new()));
    nodes.insert(Node::new("all").offers("x").offers("y").offers("z")).unwrap();
    nodes.insert(Node::new("x1").offers("x").max_in_flight(1)).unwrap();
    nodes.insert(Node::new("xy").offers("x").offers("y")).unwrap();
    nodes.insert(Node::new("x2").offers("x").max_in_flight(1)).unwrap();
    let held = (0..4).map(|_| nodes.pick(Need::of("x")).unwrap()).collect::<Vec<_>>();
    let order = held.iter().map(|p| p.node().address()).collect::<Vec<_>>();
    assert_eq!(order, ["x1", "x2", "xy", "xy"]);
    assert_eq!(nodes.pick(Need::of("x").and("z")).unwrap().node().address(), "all");
}

#[test]
fn narrowed_views_lead_back() {
    // Two layers of narrowing: the innermost number must be led back through both.
    let nodes = balancer(CapabilityBased::new(CapabilityBased::new(LeastLoaded::new())));
    nodes.insert(Node::new("wide").offers("x").offers("y")).unwrap();
    nodes.insert(Node::new("one").offers("x")).unwrap();
    nodes.insert(Node::new("two").offers("x")).unwrap();
    let mut seen = (0..4).map(|_| nodes.pick(Need::of("x")).unwrap()).collect::<Vec<_>>();
    seen.sort_by_key(ropewalk_balance::Pick::id);
    let order = seen.iter().map(|p| p.node().address()).collect::<Vec<_>>();
    assert_eq!(order, ["one", "one", "two", "two"]);
}

#[test]
fn the_seed_repeats_the_picks() {
    let run = |seed| {
        let nodes = Balancer::builder().strategy(PowerOfTwo::new()).seed(seed).build().unwrap();
        fill(&nodes, &[1; 10]);
        sequence(&nodes, 100)
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[derive(Debug)]
struct Odd(usize);

impl Strategy for Odd {
    fn choose(&self, _: &Candidates<'_>, _: &mut Draw) -> Option<usize> {
        match self.0 {
            usize::MAX => None,
            at => Some(at),
        }
    }

    fn decay(&self) -> Duration {
        Duration::ZERO
    }
}

#[test]
fn an_odd_strategy_gets_only_nodes_that_may_be_taken() {
    for answer in [0, 1, 99, usize::MAX] {
        let nodes = balancer(Odd(answer));
        let ids = fill(&nodes, &[1, 1]);
        drop(nodes.drain(ids[0]).unwrap());
        for _ in 0..3 {
            let pick = nodes.pick(Need::any()).unwrap();
            assert_eq!(pick.id(), ids[1]);
            pick.complete(Outcome::Success);
        }
    }
}

#[derive(Debug)]
struct Panics;

impl Strategy for Panics {
    fn choose(&self, candidates: &Candidates<'_>, _: &mut Draw) -> Option<usize> {
        panic!("a strategy of the user's, among {}", candidates.len())
    }
}

#[test]
fn a_strategy_that_panics_counts_nothing() {
    let nodes = balancer(Panics);
    let ids = fill(&nodes, &[1]);
    assert!(catch_unwind(AssertUnwindSafe(|| nodes.pick(Need::any()))).is_err());
    assert_eq!((nodes.stats().picks, nodes.node(ids[0]).unwrap().in_flight), (0, 0));
    nodes.remove(ids[0]).unwrap();
    nodes.insert(Node::new("b")).unwrap();
}

#[test]
fn an_outcome_counts_where_it_belongs() {
    let nodes = balancer(RoundRobin::new());
    let ids = fill(&nodes, &[1, 1]);
    pick_of(&nodes, "a").complete(&Ok::<_, ()>(1));
    pick_of(&nodes, "a").complete(&Err::<(), _>(1));
    pick_of(&nodes, "a").complete(Outcome::Rejected);
    let node = nodes.node(ids[0]).unwrap();
    assert_eq!((node.successes, node.failures, node.rejected), (1, 1, 1));
    assert!(node.latency.is_some() && node.error_rate > 0.0);
    let other = nodes.node(ids[1]).unwrap();
    assert_eq!((other.successes, other.failures, other.latency), (0, 0, None));
    assert_eq!(other.cancelled, other.picks);
}

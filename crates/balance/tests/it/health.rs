//! Passive health: ejection, trial, readmission, panic.

use crate::support::{fill, pick_of};
use ropewalk_balance::{
    Balancer, BalancerBuilder, Ejection, Need, Node, NodeId, NodeState, Outcome, PickError, RoundRobin,
};
use ropewalk_sync::Clock;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn ejection() -> Ejection {
    Ejection::new().consecutive_failures(3).base_ejection_time(10 * SECOND).max_ejection_time(60 * SECOND)
}

fn builder(clock: &Clock) -> BalancerBuilder {
    Balancer::builder().strategy(RoundRobin::new()).ejection(ejection()).clock(clock.clone())
}

fn fail(nodes: &Balancer, address: &str, times: usize) {
    for _ in 0..times {
        pick_of(nodes, address).complete(Outcome::Failure);
    }
}

fn state(nodes: &Balancer, id: NodeId) -> NodeState {
    nodes.node(id).unwrap().state
}

#[test]
fn failures_in_a_row_eject_and_a_trial_readmits() {
    let clock = Clock::virtual_();
    let nodes = builder(&clock).build().unwrap();
    let ids = fill(&nodes, &[1, 1, 1]);
    fail(&nodes, "a", 2);
    pick_of(&nodes, "a").complete(Outcome::Success);
    fail(&nodes, "a", 2);
    assert_eq!(state(&nodes, ids[0]), NodeState::Up, "not in a row");
    fail(&nodes, "a", 1);
    assert_eq!(state(&nodes, ids[0]), NodeState::Ejected);
    for _ in 0..6 {
        assert_ne!(nodes.pick(Need::any()).unwrap().id(), ids[0]);
    }
    clock.advance(9 * SECOND);
    assert_ne!(nodes.pick(Need::any()).unwrap().id(), ids[0]);
    clock.advance(SECOND);
    let trial = nodes.pick(Need::any()).unwrap();
    assert!(trial.is_trial() && trial.id() == ids[0]);
    for _ in 0..6 {
        assert_ne!(nodes.pick(Need::any()).unwrap().id(), ids[0], "one at a time");
    }
    trial.complete(Outcome::Success);
    assert_eq!(state(&nodes, ids[0]), NodeState::Up);
    let stats = nodes.stats();
    assert_eq!((stats.ejections, stats.readmissions, stats.up), (1, 1, 3));
}

#[test]
fn ejections_grow_and_are_forgiven() {
    let clock = Clock::virtual_();
    let nodes = builder(&clock).build().unwrap();
    let ids = fill(&nodes, &[1, 1, 1]);
    let away = |nodes: &Balancer| {
        let mut seconds = 0;
        loop {
            let pick = nodes.pick(Need::any()).unwrap();
            if pick.is_trial() {
                return (seconds, pick);
            }
            drop(pick);
            clock.advance(SECOND);
            seconds += 1;
        }
    };
    fail(&nodes, "a", 3);
    for expected in [10, 20, 30, 40, 50, 60, 60] {
        let (seconds, trial) = away(&nodes);
        assert_eq!(seconds, expected);
        trial.complete(Outcome::Failure);
    }
    let (_, trial) = away(&nodes);
    trial.complete(Outcome::Success);
    // Three base times of good conduct: three ejections fewer count (seven had been capped at 60 s).
    assert_eq!(nodes.node(ids[0]).unwrap().ejections, 8);
    clock.advance(60 * SECOND);
    fail(&nodes, "a", 3);
    assert_eq!(away(&nodes).0, 30, "of eight, six were forgiven; this is the third");
}

#[test]
fn a_cancelled_trial_is_tried_again() {
    let clock = Clock::virtual_();
    let nodes = builder(&clock).build().unwrap();
    let ids = fill(&nodes, &[1, 1, 1]);
    fail(&nodes, "a", 3);
    clock.advance(10 * SECOND);
    for _ in 0..3 {
        let trial = nodes.pick(Need::any()).unwrap();
        assert!(trial.is_trial());
        drop(trial);
    }
    let trial = nodes.pick(Need::any()).unwrap();
    trial.complete(Outcome::Rejected);
    assert_eq!(state(&nodes, ids[0]), NodeState::Up, "a node that says no is alive");
}

#[test]
fn a_share_of_failures_ejects_too() {
    let clock = Clock::virtual_();
    let rule = ejection().without_consecutive_failures().error_rate(50, 8).interval(5 * SECOND);
    let nodes = builder(&clock).ejection(rule).build().unwrap();
    let ids = fill(&nodes, &[1, 1, 1]);
    let alternate = |n: usize| {
        for i in 0..n {
            pick_of(&nodes, "a").complete(if i % 2 == 0 { Outcome::Success } else { Outcome::Failure });
        }
    };
    alternate(6);
    clock.advance(5 * SECOND);
    alternate(7);
    assert_eq!(state(&nodes, ids[0]), NodeState::Up, "the first six were of another interval");
    fail(&nodes, "a", 1);
    assert_eq!(state(&nodes, ids[0]), NodeState::Ejected, "4 of 8");
}

#[test]
fn rejections_and_cancellations_never_eject() {
    let clock = Clock::virtual_();
    let nodes = builder(&clock).build().unwrap();
    let ids = fill(&nodes, &[1, 1]);
    for _ in 0..50 {
        pick_of(&nodes, "a").complete(Outcome::Rejected);
        drop(pick_of(&nodes, "a"));
    }
    assert_eq!(state(&nodes, ids[0]), NodeState::Up);
}

#[test]
fn never_more_than_the_maximum_is_ejected_but_one_may_be() {
    let clock = Clock::virtual_();
    let nodes = builder(&clock).ejection(ejection().max_ejection_percent(40)).build().unwrap();
    fill(&nodes, &[1; 5]);
    for address in ["a", "b", "c", "d", "e"] {
        fail(&nodes, address, 3);
    }
    assert_eq!(nodes.stats().ejected, 2);

    let one = builder(&clock).ejection(ejection().max_ejection_percent(1)).build().unwrap();
    fill(&one, &[1, 1]);
    fail(&one, "a", 3);
    fail(&one, "b", 3);
    assert_eq!(one.stats().ejected, 1);

    let never = builder(&clock).ejection(ejection().max_ejection_percent(0)).build().unwrap();
    fill(&never, &[1, 1]);
    fail(&never, "a", 9);
    assert_eq!(never.stats().ejected, 0);
    let off = builder(&clock).without_ejection().build().unwrap();
    fill(&off, &[1]);
    fail(&off, "a", 99);
    assert_eq!(off.stats().ejected, 0);
}

#[test]
fn below_the_panic_threshold_health_is_ignored() {
    let clock = Clock::virtual_();
    let rule = ejection().max_ejection_percent(100);
    let nodes = builder(&clock).ejection(rule.clone()).panic_threshold(50).build().unwrap();
    let ids = fill(&nodes, &[1, 1, 1, 1]);
    fail(&nodes, "a", 3);
    fail(&nodes, "b", 3);
    assert_ne!(nodes.pick(Need::any()).unwrap().id(), ids[0], "half of them are up: no panic");
    fail(&nodes, "c", 3);
    let seen = (0..8).map(|_| nodes.pick(Need::any()).unwrap().id()).collect::<Vec<_>>();
    assert!(ids.iter().all(|id| seen.contains(id)));
    assert!(nodes.stats().fail_open >= 8);

    let strict = builder(&clock).ejection(rule).panic_threshold(0).build().unwrap();
    fill(&strict, &[1, 1]);
    fail(&strict, "a", 3);
    fail(&strict, "b", 3);
    assert_eq!(
        strict.pick(Need::any()).unwrap_err(),
        PickError::AllUnhealthy { nodes: 2, ejected: 2, down: 0, unproven: 0, draining: 0 }
    );
    clock.advance(10 * SECOND);
    assert!(strict.pick(Need::any()).unwrap().is_trial());
}

#[test]
fn panic_is_judged_among_those_that_could_serve() {
    let clock = Clock::virtual_();
    let nodes = builder(&clock).ejection(ejection().max_ejection_percent(100)).build().unwrap();
    for i in 0..10 {
        nodes.insert(Node::new(format!("y{i}")).offers("y")).unwrap();
    }
    let x = nodes.insert(Node::new("x").offers("x")).unwrap();
    for _ in 0..3 {
        nodes.pick(Need::of("x")).unwrap().complete(Outcome::Failure);
    }
    assert_eq!(state(&nodes, x), NodeState::Ejected);
    // 10 of 11 are up, but of those that offer x none is.
    assert_eq!(nodes.pick(Need::of("x")).unwrap().id(), x);
}

#[test]
fn late_failures_of_an_earlier_life_do_not_count() {
    let clock = Clock::virtual_();
    let nodes = builder(&clock).build().unwrap();
    let ids = fill(&nodes, &[1, 1, 1]);
    let old = (0..3).map(|_| pick_of(&nodes, "a")).collect::<Vec<_>>();
    fail(&nodes, "a", 3);
    clock.advance(10 * SECOND);
    nodes.pick(Need::any()).unwrap().complete(Outcome::Success);
    assert_eq!(state(&nodes, ids[0]), NodeState::Up);
    for pick in old {
        pick.complete(Outcome::Failure);
    }
    assert_eq!(state(&nodes, ids[0]), NodeState::Up);
}

#[test]
fn a_trial_goes_to_a_request_that_the_node_can_serve() {
    let clock = Clock::virtual_();
    let nodes = builder(&clock).ejection(ejection().max_ejection_percent(100)).build().unwrap();
    for (name, capability) in [("x1", "x"), ("x2", "x"), ("x3", "x"), ("y1", "y")] {
        nodes.insert(Node::new(name).offers(capability)).unwrap();
    }
    fail(&nodes, "x1", 3);
    clock.advance(10 * SECOND);
    assert!(!nodes.pick(Need::of("y")).unwrap().is_trial());
    let avoided = nodes.find("x1").unwrap();
    assert!(!nodes.pick(Need::of("x").avoid(avoided)).unwrap().is_trial());
    assert!(nodes.pick(Need::of("x")).unwrap().is_trial());
}

#[test]
fn nodes_that_left_do_not_count_for_panic() {
    let clock = Clock::virtual_();
    let nodes = builder(&clock).build().unwrap();
    let ids = fill(&nodes, &[1, 1, 1, 1]);
    for id in &ids[1..] {
        nodes.remove(*id).unwrap();
    }
    fail(&nodes, "a", 3);
    assert_eq!(state(&nodes, ids[0]), NodeState::Ejected);
    assert_eq!(nodes.pick(Need::any()).unwrap().id(), ids[0], "it is the only one left");
}

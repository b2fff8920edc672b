//! Nodes that come, change and go.

use crate::support::{fill, poll, waits};
use ropewalk_balance::{
    Balancer, BuildError, Drain, Ejection, InsertError, LeastLoaded, Need, Node, NodeState, Outcome, Pick,
    PickError, PickWait, Probe, Rollout, RoundRobin, Route, UnknownNode,
};
use std::time::Duration;

#[test]
fn public_types_cross_threads() {
    fn check<T: Send + Sync + 'static>() {}
    check::<Balancer>();
    check::<Pick>();
    check::<PickWait>();
    check::<Drain>();
    check::<Probe>();
    check::<Rollout<u8>>();
    check::<Route<u8>>();
    check::<PickError>();
}

#[test]
fn an_address_is_registered_once() {
    let nodes = Balancer::new();
    let id = nodes.insert(Node::new("a")).unwrap();
    let InsertError::Duplicate { existing, node } = nodes.insert(Node::new("a").weight(3)).unwrap_err()
    else {
        panic!("not a duplicate")
    };
    assert_eq!((existing, node), (id, Node::new("a").weight(3)));
    assert_eq!(nodes.find("a"), Some(id));
    assert_eq!(nodes.remove(id).unwrap(), Node::new("a"));
    assert_eq!(nodes.remove(id), Err(UnknownNode(id)));
    let again = nodes.insert(Node::new("a")).unwrap();
    assert_ne!(again, id, "names are not used again");
    assert!(nodes.set_weight(id, 1).is_err() && nodes.drain(id).is_err() && nodes.resume(id).is_err());
    assert!(nodes.node(id).is_err() && nodes.set_max_in_flight(id, None).is_err());
}

#[test]
fn errors_say_why_there_is_no_node() {
    let nodes = Balancer::builder().max_in_flight(1).panic_threshold(0).build().unwrap();
    assert_eq!(nodes.pick(Need::any()).unwrap_err(), PickError::Empty);
    let a = nodes.insert(Node::new("a").offers("small")).unwrap();
    nodes.insert(Node::new("b").offers("large").max_in_flight(0)).unwrap();
    let none = nodes.pick(Need::of("huge")).unwrap_err();
    assert_eq!(none.to_string(), "none of 2 nodes offers huge; insert one that does");
    // Each is offered by some node, but not both by one.
    let both = nodes.pick(Need::of("small").and("large")).unwrap_err();
    assert!(matches!(both, PickError::NoCapableNode { nodes: 2, .. }), "{both}");
    assert_eq!(nodes.pick(Need::of("large")).unwrap_err(), PickError::Saturated { nodes: 1 });
    let held = nodes.pick(Need::of("small")).unwrap();
    assert_eq!(nodes.pick(Need::of("small")).unwrap_err(), PickError::Saturated { nodes: 1 });
    drop(nodes.drain(a).unwrap());
    assert!(matches!(
        nodes.pick(Need::of("small")).unwrap_err(),
        PickError::AllUnhealthy { nodes: 1, draining: 1, .. }
    ));
    nodes.close();
    assert_eq!(nodes.pick(Need::any()).unwrap_err(), PickError::Closed);
    assert!(matches!(nodes.insert(Node::new("c")), Err(InsertError::Closed { .. })));
    assert!(nodes.is_closed());
    held.complete(Outcome::Success);
    assert_eq!(nodes.stats().refused, 7);
}

#[test]
fn a_retry_avoids_a_node_if_it_can() {
    let nodes = Balancer::builder().strategy(RoundRobin::new()).max_in_flight(1).build().unwrap();
    let ids = fill(&nodes, &[1, 1]);
    for _ in 0..4 {
        assert_eq!(nodes.pick(Need::any().avoid(ids[0])).unwrap().id(), ids[1]);
    }
    let held = nodes.pick(Need::any().avoid(ids[0])).unwrap();
    assert_eq!(nodes.pick(Need::any().avoid(ids[0])).unwrap().id(), ids[0], "there is no other");
    drop(held);
}

#[test]
fn counts_survive_changes_of_the_registry() {
    let nodes = Balancer::builder().strategy(LeastLoaded::new()).build().unwrap();
    let ids = fill(&nodes, &[1, 1, 1]);
    let held = (0..3).map(|_| nodes.pick(Need::any()).unwrap()).collect::<Vec<_>>();
    nodes.set_weight(ids[1], 7).unwrap();
    nodes.remove(ids[0]).unwrap();
    nodes.insert(Node::new("d")).unwrap();
    assert_eq!(nodes.node(ids[1]).unwrap().in_flight, 1);
    assert_eq!(nodes.node(ids[1]).unwrap().weight, 7);
    assert_eq!(nodes.node(ids[2]).unwrap().in_flight, 1);
    for pick in held {
        assert!(pick.node().address() < "d");
        pick.complete(Outcome::Success);
    }
    assert_eq!(nodes.node(ids[1]).unwrap().in_flight, 0);
    let stats = nodes.stats();
    assert_eq!((stats.nodes, stats.picks, stats.successes, stats.in_flight), (3, 3, 3, 0));
    assert_eq!(stats.latency.count(), 3);
}

#[test]
fn a_drain_ends_with_the_last_request() {
    let nodes = Balancer::builder().strategy(RoundRobin::new()).build().unwrap();
    let ids = fill(&nodes, &[1, 1]);
    let (a, b) = (nodes.pick(Need::any()).unwrap(), nodes.pick(Need::any()).unwrap());
    let drain = nodes.drain(ids[0]).unwrap();
    let mut done = Box::pin(drain.done());
    assert!(waits(&mut done) && !drain.is_done());
    assert_eq!(nodes.node(ids[0]).unwrap().state, NodeState::Draining);
    for _ in 0..4 {
        assert_eq!(nodes.pick(Need::any()).unwrap().id(), ids[1]);
    }
    drop(b);
    assert!(waits(&mut done));
    drop(a);
    assert!(poll(&mut done).is_ready() && drain.is_done());
    drain.done_blocking();

    nodes.resume(ids[0]).unwrap();
    assert_eq!(nodes.node(ids[0]).unwrap().state, NodeState::Up);
    let held = [nodes.pick(Need::any()).unwrap(), nodes.pick(Need::any()).unwrap()];
    let second = nodes.drain(ids[0]).unwrap();
    assert!(!second.is_done(), "the end of an earlier drain does not count");
    let mut done = Box::pin(second.done());
    assert!(waits(&mut done));
    nodes.resume(ids[0]).unwrap();
    assert!(poll(&mut done).is_ready(), "an ended drain keeps nobody waiting");
    drop(held);
}

#[test]
fn draining_an_idle_node_is_done_at_once_and_removing_ends_it_too() {
    let nodes = Balancer::builder().strategy(RoundRobin::new()).build().unwrap();
    let ids = fill(&nodes, &[1, 1]);
    assert!(nodes.drain(ids[0]).unwrap().is_done());
    let pick = nodes.pick(Need::any()).unwrap();
    let drain = nodes.drain(ids[1]).unwrap();
    nodes.remove(ids[1]).unwrap();
    assert!(!drain.is_done());
    drop(pick);
    assert!(drain.is_done());
}

#[test]
fn ten_thousand_nodes_come_and_go() {
    let nodes = Balancer::builder().seed(7).build().unwrap();
    let ids = (0..10_000)
        .map(|i| nodes.insert(Node::new(format!("n{i}")).offers(["x", "y", "z"][i % 3])).unwrap())
        .collect::<Vec<_>>();
    for _ in 0..1_000 {
        nodes.pick(Need::of("y")).unwrap().complete(Outcome::Success);
    }
    for (i, id) in ids.iter().enumerate() {
        if i % 10 != 4 {
            nodes.remove(*id).unwrap();
        }
    }
    assert_eq!(nodes.len(), 1_000);
    for _ in 0..1_000 {
        let pick = nodes.pick(Need::of("y")).unwrap();
        let n = pick.node().address()[1..].parse::<usize>().unwrap();
        assert!(n % 3 == 1 && n % 10 == 4);
    }
}

#[test]
fn settings_are_checked() {
    let error = |e: Result<Balancer, BuildError>| e.unwrap_err();
    assert!(matches!(
        error(Balancer::builder().panic_threshold(101).build()),
        BuildError::Percentage { value: 101, .. }
    ));
    assert!(matches!(
        error(Balancer::builder().regrant_after(Duration::ZERO).build()),
        BuildError::Zero { .. }
    ));
    for ejection in [
        Ejection::new().consecutive_failures(0),
        Ejection::new().error_rate(0, 1),
        Ejection::new().error_rate(101, 1),
        Ejection::new().interval(Duration::ZERO),
        Ejection::new().base_ejection_time(Duration::ZERO),
        Ejection::new().max_ejection_percent(101),
        Ejection::new().base_ejection_time(Duration::from_secs(301)),
    ] {
        error(Balancer::builder().ejection(ejection).build());
    }
    for probe in [
        Probe::tcp().interval(Duration::ZERO),
        Probe::tcp().timeout(Duration::ZERO),
        Probe::tcp().healthy_threshold(0),
        Probe::tcp().unhealthy_threshold(0),
        Probe::tcp().parallel(0),
    ] {
        error(Balancer::builder().health(probe).build());
    }
}

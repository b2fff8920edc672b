//! The tower service.

use crate::support::{panics, waits};
use ropewalk_balance::{BalanceService, Balancer, Need, Node, Outcome, PickError, RoundRobin, ServiceError};
use std::{
    future::{Ready, poll_fn, ready},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};
use tower_service::Service;

/// Fails for odd numbers; is not ready for 13.
#[derive(Clone)]
struct Echo(String, bool);

impl Service<u32> for Echo {
    type Response = String;
    type Error = &'static str;
    type Future = Ready<Result<String, &'static str>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        Poll::Ready(if self.1 { Err("not ready") } else { Ok(()) })
    }

    fn call(&mut self, n: u32) -> Self::Future {
        ready(if n % 2 == 1 { Err("odd") } else { Ok(format!("{}{n}", self.0)) })
    }
}

#[test]
fn requests_go_to_picked_nodes_and_outcomes_come_back() {
    let nodes = Balancer::builder().strategy(RoundRobin::new()).build().unwrap();
    let ids = ["a", "b"].map(|name| nodes.insert(Node::new(name)).unwrap());
    let made = Arc::new(AtomicUsize::new(0));
    let counted = made.clone();
    let mut service = BalanceService::new(nodes.clone(), Need::any(), move |node: &Node| {
        counted.fetch_add(1, Ordering::Relaxed);
        Echo(node.address().to_owned(), node.address() == "sick")
    });
    let mut call = |n| ropewalk_sync::block_on(service.call(n));
    assert_eq!(call(2).unwrap(), "a2");
    assert_eq!(call(4).unwrap(), "b4");
    assert!(matches!(call(5), Err(ServiceError::Service("odd"))));
    assert_eq!(call(6).unwrap(), "b6");
    assert_eq!(made.load(Ordering::Relaxed), 2, "one service for each node");
    let a = nodes.node(ids[0]).unwrap();
    assert_eq!((a.successes, a.failures, a.in_flight), (1, 1, 0));

    // Nodes that leave are forgotten.
    for i in 0..100 {
        let id = nodes.insert(Node::new(format!("n{i}"))).unwrap();
        nodes.remove(if i == 0 { ids[0] } else { id }).unwrap();
        call(2).unwrap();
    }
    nodes.insert(Node::new("sick").offers("x")).unwrap();
    let mut sick = service.need(Need::of("x"));
    assert!(matches!(ropewalk_sync::block_on(sick.call(2)), Err(ServiceError::Service("not ready"))));
    assert_eq!(nodes.stats().failures, 2);
    nodes.close();
    assert!(matches!(ropewalk_sync::block_on(sick.call(2)), Err(ServiceError::Pick(PickError::Closed))));
    let _ = Outcome::Success;
}

/// What the user's service does, at which of its places it panics, and how often its future waits.
#[derive(Debug)]
struct Moody {
    panics_in: &'static str,
    waits: usize,
}

impl Moody {
    fn at(&self, place: &str) {
        assert!(self.panics_in != place, "a service of the user's");
    }
}

impl Clone for Moody {
    fn clone(&self) -> Self {
        self.at("clone");
        Self { ..*self }
    }
}

impl Service<()> for Moody {
    type Response = ();
    type Error = &'static str;
    type Future = Pin<Box<dyn Future<Output = Result<(), &'static str>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        self.at("poll_ready");
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        self.at("call");
        let (mut left, panics) = (self.waits, self.panics_in == "poll");
        Box::pin(poll_fn(move |cx| {
            assert!(!panics, "a service of the user's");
            if left == 0 {
                return Poll::Ready(Ok(()));
            }
            left -= 1;
            cx.waker().wake_by_ref();
            Poll::Pending
        }))
    }
}

fn moody(
    nodes: &Balancer,
    panics_in: &'static str,
    waits: usize,
) -> BalanceService<impl Fn(&Node) -> Moody + use<>, Moody> {
    BalanceService::new(nodes.clone(), Need::any(), move |_: &Node| {
        let made = Moody { panics_in, waits };
        made.at("make");
        made
    })
}

#[test]
fn a_service_that_panics_anywhere_gives_its_slot_back() {
    for place in ["make", "clone", "poll_ready", "call", "poll"] {
        let nodes = Balancer::builder().max_in_flight(1).build().unwrap();
        nodes.insert(Node::new("a")).unwrap();
        let mut service = moody(&nodes, place, 0);
        assert!(panics(|| ropewalk_sync::block_on(service.call(()))), "{place}");
        let stats = nodes.stats();
        assert_eq!((stats.picks, stats.cancelled, stats.in_flight), (1, 1, 0), "{place}");
        ropewalk_sync::block_on(moody(&nodes, "nowhere", 1).call(())).unwrap();
    }
}

#[test]
fn a_request_dropped_at_any_poll_gives_its_slot_back() {
    const WAITS: usize = 3;
    for polls in 0..=WAITS {
        let nodes = Balancer::builder().max_in_flight(1).build().unwrap();
        nodes.insert(Node::new("a")).unwrap();
        let mut request = moody(&nodes, "nowhere", WAITS).call(());
        let mut behind = moody(&nodes, "nowhere", 0).call(());
        for _ in 0..polls {
            assert!(waits(&mut request));
            assert!(waits(&mut behind));
        }
        drop(request);
        crate::support::ready(&mut behind).unwrap();
        let stats = nodes.stats();
        assert_eq!((stats.successes, stats.cancelled, stats.in_flight), (1, u64::from(polls > 0), 0));
    }
}

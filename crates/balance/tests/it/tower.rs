//! The tower service.

use ropewalk_balance::{BalanceService, Balancer, Need, Node, Outcome, PickError, RoundRobin, ServiceError};
use std::{
    future::{Ready, ready},
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

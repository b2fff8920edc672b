//! Behaviour of the scaler on the virtual clock, of the policy and of the planner.

mod failures;
mod planner;
mod policy;
mod scaler;
mod together;
mod user_code;

use ropewalk_scale::{AutoScaler, Builder, Health, NodeId, ProvisionError, Provisioner, Utilization};
use ropewalk_sync::Clock;
use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

const SECOND: Duration = Duration::from_secs(1);

/// Nodes that take `boot` to be ready, and do what a test tells them.
#[derive(Clone)]
struct Fake {
    clock: Clock,
    boot: Duration,
    state: Arc<Mutex<FakeState>>,
}

#[derive(Default)]
struct FakeState {
    next: u32,
    nodes: BTreeMap<NodeId, FakeNode>,
    log: Vec<String>,
    fail_starts: u32,
    fail_stops: u32,
    hang: Option<&'static str>,
}

struct FakeNode {
    since: Instant,
    health: Option<Health>,
}

impl Fake {
    fn new(clock: &Clock, boot: Duration) -> Self {
        Self { clock: clock.clone(), boot, state: Arc::default() }
    }

    fn running(&self) -> usize {
        self.state.lock().unwrap().nodes.len()
    }

    fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().log)
    }

    fn set_health(&self, name: &str, health: Health) {
        let mut state = self.state.lock().unwrap();
        let node = state.nodes.get_mut(&NodeId::new(name)).unwrap();
        node.health = Some(health);
    }

    async fn maybe_hang(&self, what: &str) {
        let hangs = self.state.lock().unwrap().hang == Some(what);
        if hangs {
            std::future::pending::<()>().await;
        }
    }

    fn builder(&self) -> Builder {
        AutoScaler::builder(self.clone()).clock(self.clock.clone()).target(Utilization::percent(50))
    }
}

impl Provisioner for Fake {
    async fn start(&self) -> Result<NodeId, ProvisionError> {
        self.maybe_hang("start").await;
        let mut state = self.state.lock().unwrap();
        if state.fail_starts > 0 {
            state.fail_starts -= 1;
            state.log.push("start failed".into());
            return Err("no capacity".into());
        }
        let node = NodeId::new(format!("n{}", state.next));
        state.next += 1;
        state.log.push(format!("start {node}"));
        state.nodes.insert(node.clone(), FakeNode { since: self.clock.now(), health: None });
        Ok(node)
    }

    async fn health(&self, node: &NodeId) -> Health {
        self.maybe_hang("health").await;
        let state = self.state.lock().unwrap();
        match state.nodes.get(node) {
            None => Health::Gone,
            Some(FakeNode { health: Some(health), .. }) => health.clone(),
            Some(fake) if self.clock.now() - fake.since >= self.boot => Health::Ready,
            Some(_) => Health::Starting,
        }
    }

    async fn stop(&self, node: &NodeId) -> Result<(), ProvisionError> {
        self.maybe_hang("stop").await;
        let mut state = self.state.lock().unwrap();
        if state.fail_stops > 0 {
            state.fail_stops -= 1;
            return Err("will not die".into());
        }
        state.nodes.remove(node);
        state.log.push(format!("stop {node}"));
        Ok(())
    }

    async fn drain(&self, node: &NodeId) -> Result<(), ProvisionError> {
        self.maybe_hang("drain").await;
        self.state.lock().unwrap().log.push(format!("drain {node}"));
        Ok(())
    }
}

fn poll<F: Future + ?Sized>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// A waker that panics.
fn bomb() -> Waker {
    struct Bomb;
    impl Wake for Bomb {
        fn wake(self: Arc<Self>) {
            panic!("a waker")
        }
    }
    Arc::new(Bomb).into()
}

#[test]
fn public_types_are_send_and_sync() {
    fn check<T: Send + Sync>() {}
    check::<AutoScaler>();
    check::<ropewalk_scale::ScalerStatus>();
    check::<ropewalk_scale::Policy>();
    check::<ropewalk_scale::Memory>();
    check::<ropewalk_scale::Plan>();
    check::<ropewalk_scale::CapacityPlanner>();
    check::<ropewalk_scale::History>();
    check::<ropewalk_scale::NodeEvent>();
    check::<ropewalk_scale::StopError>();
}

//! User code that panics, and futures that are dropped.

use crate::{Fake, SECOND};
use ropewalk_scale::{AutoScaler, Health, Load, NodeEvent, NodeId, ProvisionError, Provisioner, View};
use ropewalk_sync::Clock;
use std::{
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Context, Waker},
};

/// Panics in the call whose number is `at`.
struct Bomb {
    fake: Fake,
    calls: AtomicU32,
    at: u32,
}

impl Bomb {
    fn tick(&self) {
        if self.calls.fetch_add(1, Ordering::Relaxed) == self.at {
            panic!("boom");
        }
    }
}

impl Provisioner for Bomb {
    async fn start(&self) -> Result<NodeId, ProvisionError> {
        self.tick();
        self.fake.start().await
    }
    async fn health(&self, node: &NodeId) -> Health {
        self.tick();
        self.fake.health(node).await
    }
    async fn stop(&self, node: &NodeId) -> Result<(), ProvisionError> {
        self.tick();
        self.fake.stop(node).await
    }
    async fn drain(&self, node: &NodeId) -> Result<(), ProvisionError> {
        self.tick();
        self.fake.drain(node).await
    }
}

#[test]
fn a_panic_in_any_call_to_the_provisioner_harms_nothing() {
    for at in 0..24 {
        let clock = Clock::virtual_();
        let fake = Fake::new(&clock, SECOND);
        let bomb = Bomb { fake: fake.clone(), calls: AtomicU32::new(0), at };
        let scaler = AutoScaler::builder(bomb).clock(clock.clone()).nodes(1..=4).initial(2).build().unwrap();
        clock.advance(3 * SECOND);
        scaler.scale_to(3).unwrap();
        clock.advance(3 * SECOND);
        scaler.scale_to(1).unwrap();
        clock.advance(70 * SECOND);
        assert_eq!((scaler.status().ready, fake.running()), (1, 1), "panic in call {at}");
    }
}

#[test]
fn a_panic_in_load_recommender_or_callback_is_survived() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock, SECOND);
    let mut asked = 0;
    let scaler = fake
        .builder()
        .nodes(1..=8)
        .every(SECOND)
        .load(move || {
            asked += 1;
            assert!(asked != 2, "the second sample");
            Load::demand(2.0)
        })
        .recommender(|view: &View<'_>| if view.nodes == 1 { panic!("no idea") } else { 7 })
        .on_event(|_| panic!("not interested"))
        .build()
        .unwrap();
    clock.settle();
    assert_eq!((scaler.status().wanted, scaler.stats().failed_samples), (4, 1), "the rule stands in");
    clock.advance(SECOND);
    assert_eq!(scaler.stats().failed_samples, 2);
    clock.advance(SECOND);
    assert_eq!((scaler.status().wanted, scaler.stats().samples), (7, 2));
    clock.advance(SECOND);
    assert_eq!(scaler.status().ready, 7);
}

#[test]
fn a_recommender_sees_the_past_and_the_start_up_time() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock, 4 * SECOND);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let scaler = fake
        .builder()
        .nodes(1..=8)
        .record(SECOND, 10)
        .recommender(move |view: &View<'_>| {
            log.lock().unwrap().push((view.demand, view.ready, view.start_up, view.history.len()));
            view.policy.reactive(view.nodes, view.demand)
        })
        .build()
        .unwrap();
    scaler.observe(Load::demand(0.4));
    clock.advance(5 * SECOND);
    scaler.observe(Load::demand(0.5));
    clock.settle();
    assert_eq!(*seen.lock().unwrap(), [(0.4, 0, None, 0), (0.5, 1, Some(4 * SECOND), 5)]);
}

#[test]
fn events_tell_the_life_of_a_node() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock, 2 * SECOND);
    let events = Arc::new(Mutex::new(Vec::new()));
    let log = events.clone();
    let scaler = fake
        .builder()
        .nodes(1..=8)
        .on_event(move |event| {
            log.lock().unwrap().push(match event {
                NodeEvent::Ready { node, after } => format!("{node} ready after {after:?}"),
                NodeEvent::Retiring { node, reason } => format!("{node} retires: {reason:?}"),
                NodeEvent::Stopped { node } => format!("{node} stopped"),
                other => format!("{other:?}"),
            });
        })
        .build()
        .unwrap();
    clock.advance(2 * SECOND);
    scaler.stop_blocking().unwrap();
    assert_eq!(*events.lock().unwrap(), ["n0 ready after 2s", "n0 retires: Stopping", "n0 stopped"]);
}

#[test]
fn waiting_may_be_dropped_after_each_poll() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock, 3 * SECOND);
    let scaler = fake.builder().nodes(2..=8).build().unwrap();
    for _ in 0..3 {
        let mut settled = pin!(scaler.settled());
        assert!(settled.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        clock.advance(SECOND / 2);
    }
    clock.advance(3 * SECOND);
    assert_eq!(scaler.settled_blocking(), Ok(()));
    // A stop that is begun and dropped goes on.
    fake.state.lock().unwrap().hang = Some("drain");
    {
        let mut stop = pin!(scaler.stop());
        assert!(stop.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    clock.advance(31 * SECOND);
    assert_eq!(fake.running(), 0);
}

#[test]
fn threads_may_observe_and_ask_at_once() {
    let fake = Fake::new(&Clock::system(), std::time::Duration::ZERO);
    let scaler = fake.builder().nodes(1..=8).build().unwrap();
    std::thread::scope(|threads| {
        for t in 0..4_u32 {
            let scaler = &scaler;
            threads.spawn(move || {
                for i in 0..500_u32 {
                    scaler.observe(Load::demand(f64::from((i + t) % 5)));
                    if i % 50 == 0 {
                        scaler.scale_to(1 + (i as usize / 50) % 8).unwrap();
                    }
                    assert!(scaler.status().wanted <= 8);
                }
            });
        }
    });
    scaler.settled_blocking().unwrap();
    let stats = scaler.stats();
    assert_eq!(stats.samples + stats.dropped_samples, 2_000);
    scaler.stop_blocking().unwrap();
    assert_eq!(fake.running(), 0);
    assert_eq!(scaler.stats().starts, scaler.stats().stops + scaler.stats().cancelled_starts);
}

/// Starts that never end and panic when they are dropped.
#[derive(Clone)]
struct Touchy {
    fake: Fake,
    hang: Arc<AtomicBool>,
    dropped: Arc<AtomicU32>,
}

struct Guard(Arc<AtomicU32>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
        panic!("in drop");
    }
}

impl Provisioner for Touchy {
    async fn start(&self) -> Result<NodeId, ProvisionError> {
        if self.hang.load(Ordering::Relaxed) {
            let _guard = Guard(self.dropped.clone());
            std::future::pending::<()>().await;
        }
        self.fake.start().await
    }
    async fn health(&self, node: &NodeId) -> Health {
        self.fake.health(node).await
    }
    async fn stop(&self, node: &NodeId) -> Result<(), ProvisionError> {
        self.fake.stop(node).await
    }
}

#[test]
fn calls_that_panic_when_they_are_given_up_harm_nobody() {
    let clock = Clock::virtual_();
    let touchy = Touchy { fake: Fake::new(&clock, SECOND), hang: Arc::default(), dropped: Arc::default() };
    let scaler = AutoScaler::builder(touchy.clone())
        .clock(clock.clone())
        .nodes(1..=8)
        .start_timeout(10 * SECOND)
        .build()
        .unwrap();
    clock.advance(SECOND);
    touchy.hang.store(true, Ordering::Relaxed);
    scaler.scale_to(4).unwrap();
    clock.settle();
    scaler.scale_to(1).unwrap();
    clock.settle();
    assert_eq!((scaler.status().ready, scaler.stats().cancelled_starts), (1, 3));
    // One that takes too long.
    scaler.scale_to(2).unwrap();
    clock.advance(10 * SECOND);
    assert_eq!((scaler.status().ready, scaler.stats().failed_starts), (1, 1));
    drop(scaler);
    // Several at once, with the scaler itself.
    let before = touchy.dropped.load(Ordering::Relaxed);
    let scaler = AutoScaler::builder(touchy.clone()).clock(clock.clone()).nodes(3..=8).build().unwrap();
    clock.settle();
    assert_eq!(scaler.status().starting, 3);
    drop(scaler);
    assert_eq!(touchy.dropped.load(Ordering::Relaxed), before + 3);
}

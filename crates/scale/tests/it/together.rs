//! Calls that meet: while the driver decides, while it stops, from many threads.

use crate::{Fake, SECOND, bomb, poll};
use ropewalk_scale::{AutoScaler, Load, Reason, ScaleError, SettleError, StopError, View};
use ropewalk_sync::{BoxFuture, Clock, Spawn};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

/// A scaler with one ready node whose recommender asks for five and does `beside` first.
fn deciding(
    mut beside: impl FnMut(&AutoScaler) + Send + 'static,
) -> (Clock, AutoScaler, Arc<Mutex<Option<AutoScaler>>>) {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock, SECOND);
    let slot: Arc<Mutex<Option<AutoScaler>>> = Arc::default();
    let inside = slot.clone();
    let scaler = fake
        .builder()
        .nodes(1..=8)
        .recommender(move |_: &View<'_>| {
            let scaler = inside.lock().unwrap().clone().unwrap();
            beside(&scaler);
            5
        })
        .build()
        .unwrap();
    *slot.lock().unwrap() = Some(scaler.clone());
    clock.advance(SECOND);
    assert_eq!(poll(&mut Box::pin(scaler.settled())), Poll::Ready(Ok(())));
    scaler.observe(Load::demand(2.0));
    clock.settle();
    (clock, scaler, slot)
}

#[test]
fn nothing_is_settled_while_a_sample_is_decided_on() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let (clock, scaler, slot) =
        deciding(move |scaler| log.lock().unwrap().push(poll(&mut Box::pin(scaler.settled()))));
    assert_eq!(*seen.lock().unwrap(), [Poll::Pending]);
    assert_eq!(poll(&mut Box::pin(scaler.settled())), Poll::Pending);
    clock.advance(SECOND);
    assert_eq!((scaler.settled_blocking(), scaler.status().ready), (Ok(()), 5));
    slot.lock().unwrap().take();
}

#[test]
fn a_number_set_by_hand_stands_over_a_decision_under_way() {
    let (_clock, scaler, slot) = deciding(|scaler| {
        scaler.scale_to(3).unwrap();
    });
    assert_eq!((scaler.status().wanted, scaler.history().len()), (3, 1));
    slot.lock().unwrap().take();
}

#[test]
fn a_pause_holds_for_a_decision_under_way() {
    let (clock, scaler, slot) = deciding(AutoScaler::pause);
    assert_eq!((scaler.status().wanted, scaler.status().last.unwrap().reason), (1, Reason::Paused));
    scaler.resume();
    scaler.observe(Load::demand(2.0));
    clock.settle();
    assert_eq!(scaler.status().wanted, 1, "the recommender paused again");
    slot.lock().unwrap().take();
}

#[test]
fn a_waker_that_panics_does_not_end_the_driver() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock, SECOND);
    let scaler = fake.builder().nodes(2..=8).build().unwrap();
    let mut settled = Box::pin(scaler.settled());
    let mut beside = Box::pin(scaler.settled());
    assert!(settled.as_mut().poll(&mut Context::from_waker(&bomb())).is_pending());
    assert!(poll(&mut beside).is_pending());
    clock.advance(SECOND);
    assert_eq!((poll(&mut settled), poll(&mut beside)), (Poll::Ready(Ok(())), Poll::Ready(Ok(()))));
    let (mut stop, mut other) = (Box::pin(scaler.stop()), Box::pin(scaler.stop()));
    assert!(stop.as_mut().poll(&mut Context::from_waker(&bomb())).is_pending());
    let _ = poll(&mut other);
    clock.settle();
    assert_eq!((poll(&mut stop), poll(&mut other)), (Poll::Ready(Ok(())), Poll::Ready(Ok(()))));
    assert_eq!(fake.running(), 0);
}

#[test]
fn bounded_waits_may_be_dropped_or_run_out() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock, 10 * SECOND);
    let scaler = fake.builder().nodes(2..=8).build().unwrap();
    clock.settle();
    drop(scaler.stop());
    assert!(!scaler.status().stopped, "one that is never polled stops nothing");
    let mut dropped = Box::pin(scaler.settled_timeout(SECOND));
    let mut late = Box::pin(scaler.settled_timeout(SECOND));
    assert!(poll(&mut dropped).is_pending() && poll(&mut late).is_pending());
    drop(dropped);
    clock.advance(SECOND);
    assert_eq!(poll(&mut late), Poll::Ready(Err(SettleError::TimedOut)));
    clock.advance(9 * SECOND);
    assert_eq!(poll(&mut Box::pin(scaler.settled_timeout(SECOND))), Poll::Ready(Ok(())));
    // Stopping goes on, whoever waits no longer.
    fake.state.lock().unwrap().hang = Some("drain");
    let mut dropped = Box::pin(scaler.stop_timeout(SECOND));
    let mut late = Box::pin(scaler.stop_timeout(SECOND));
    assert!(poll(&mut dropped).is_pending() && poll(&mut late).is_pending());
    drop(dropped);
    clock.advance(SECOND);
    assert_eq!(poll(&mut late), Poll::Ready(Err(StopError::TimedOut)));
    clock.advance(30 * SECOND);
    assert_eq!((fake.running(), scaler.stop_blocking()), (0, Ok(())));
}

#[test]
fn a_stop_beside_others_leaves_no_node() {
    for _ in 0..12 {
        let fake = Fake::new(&Clock::system(), Duration::ZERO);
        let scaler = fake.builder().nodes(1..=8).build().unwrap();
        let scaler = &scaler;
        std::thread::scope(|threads| {
            for t in 0..2_u32 {
                threads.spawn(move || {
                    for i in 0.. {
                        scaler.observe(Load::demand(f64::from((i + t) % 5)));
                        scaler.reconcile();
                        match scaler.scale_to(1 + i as usize % 8) {
                            Ok(decision) => assert_eq!(decision.reason, Reason::Manual),
                            Err(error) => {
                                assert_eq!(error, ScaleError::Stopped);
                                break;
                            }
                        }
                    }
                });
                threads.spawn(move || assert_eq!(scaler.stop_blocking(), Ok(())));
            }
            threads.spawn(move || {
                // Ready for a moment, or stopped first: both are right, waiting for ever is not.
                let _ = scaler.settled_blocking();
            });
        });
        assert_eq!((fake.running(), scaler.status().wanted, scaler.status().nodes.len()), (0, 0, 0));
    }
}

/// Keeps the driver for the test to poll.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Option<BoxFuture>>>);

impl Spawn for Kept {
    fn spawn(&self, _name: &str, job: BoxFuture) {
        *self.0.lock().unwrap() = Some(job);
    }
}

#[test]
fn a_drivers_waker_that_panics_costs_no_sample() {
    let clock = Clock::virtual_();
    let fake = Fake::new(&clock, Duration::ZERO);
    let kept = Kept::default();
    let scaler = fake.builder().nodes(1..=8).spawner(kept.clone()).build().unwrap();
    let mut driver = kept.0.lock().unwrap().take().unwrap();
    let beside: [fn(&AutoScaler); 3] = [
        |scaler| scaler.observe(Load::demand(1.0)),
        |scaler| drop(scaler.scale_to(4)),
        |scaler| scaler.reconcile(),
    ];
    for call in beside {
        assert!(driver.as_mut().poll(&mut Context::from_waker(&bomb())).is_pending());
        assert!(catch_unwind(AssertUnwindSafe(|| call(&scaler))).is_err());
    }
    let _ = poll(&mut driver);
    assert_eq!((scaler.stats().samples, scaler.status().wanted), (1, 4));
}

#[test]
fn a_driver_that_is_dropped_is_a_scaler_that_stopped() {
    for polls in 0..3 {
        let clock = Clock::virtual_();
        let fake = Fake::new(&clock, Duration::ZERO);
        let kept = Kept::default();
        let scaler = fake.builder().nodes(2..=8).spawner(kept.clone()).build().unwrap();
        let mut driver = kept.0.lock().unwrap().take().unwrap();
        let mut settled = Box::pin(scaler.settled());
        let _ = poll(&mut settled);
        for _ in 0..polls {
            let _ = poll(&mut driver);
        }
        drop(driver);
        let running: Vec<_> = fake.state.lock().unwrap().nodes.keys().cloned().collect();
        let outcome = if running.is_empty() { Ok(()) } else { Err(StopError::Left { left: running }) };
        assert_eq!(poll(&mut Box::pin(scaler.stop())), Poll::Ready(outcome), "after {polls} polls");
        assert_eq!(scaler.scale_to(3), Err(ScaleError::Stopped));
        assert_eq!(poll(&mut Box::pin(scaler.settled())), Poll::Ready(Err(SettleError::Stopped)));
    }
}

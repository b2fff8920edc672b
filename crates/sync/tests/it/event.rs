//! Events and signals.

use crate::{Woken, bomb, panics, poll, poll_with};
use ropewalk_sync::{Clock, Event, Signal, block_on};
use std::{sync::Arc, task::Waker, thread, time::Duration};

#[test]
fn an_event_wakes_all_and_stays_set() {
    let event = Event::new();
    let (mut a, mut b) = (event.wait(), event.wait());
    assert!(poll(&mut a).is_pending() && poll(&mut b).is_pending());
    event.set();
    assert!(poll(&mut a).is_ready() && poll(&mut b).is_ready());
    event.wait_blocking();
    event.reset();
    assert!(!event.is_set());
    let clock = Clock::virtual_();
    let mut bounded = Box::pin(event.wait_timeout(&clock, Duration::ZERO));
    assert!(poll(&mut bounded).is_ready());
}

#[test]
fn cancelled_event_waits_leave_the_queue() {
    let event = Event::new();
    for _ in 0..3 {
        let mut wait = event.wait();
        assert!(poll(&mut wait).is_pending());
    }
    event.set();
    assert!(poll(&mut event.wait()).is_ready());
}

#[test]
fn a_signal_keeps_one_notification_and_passes_on_a_cancelled_one() {
    let signal = Signal::new();
    signal.notify();
    signal.notify();
    assert!(poll(&mut signal.notified()).is_ready());
    let (mut first, mut second) = (signal.notified(), signal.notified());
    assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
    signal.notify();
    drop(first);
    assert!(poll(&mut second).is_ready());
    assert!(poll(&mut signal.notified()).is_pending());
}

#[test]
fn a_bounded_wait_that_is_dropped_is_not_woken() {
    let (event, clock, woken) = (Event::new(), Clock::virtual_(), Arc::new(Woken::default()));
    let mut bounded = Box::pin(event.wait_timeout(&clock, Duration::from_secs(1)));
    assert!(poll_with(&mut bounded, Waker::from(woken.clone())).is_pending());
    drop(bounded);
    event.set();
    clock.advance(Duration::from_secs(1));
    assert_eq!(woken.count(), 0);
}

#[test]
fn a_waker_that_panics_takes_nobody_along() {
    let (event, woken) = (Event::new(), Arc::new(Woken::default()));
    let (mut first, mut second) = (event.wait(), event.wait());
    assert!(poll_with(&mut first, bomb()).is_pending());
    assert!(poll_with(&mut second, Waker::from(woken.clone())).is_pending());
    assert!(panics(|| event.set()));
    assert_eq!((event.is_set(), woken.count()), (true, 1));
    assert!(poll(&mut first).is_ready() && poll(&mut second).is_ready());
}

#[test]
fn a_waker_that_panics_does_not_take_the_notification_along() {
    for cancelled in [false, true] {
        let signal = Signal::new();
        let (mut first, mut second) = (signal.notified(), signal.notified());
        if cancelled {
            assert!(poll(&mut first).is_pending() && poll_with(&mut second, bomb()).is_pending());
            signal.notify();
            assert!(panics(|| drop(first)), "it passes on to the second, whose waker panics");
        } else {
            assert!(poll_with(&mut second, bomb()).is_pending());
            assert!(panics(|| signal.notify()));
            drop(first);
        }
        assert!(poll(&mut second).is_ready());
        assert!(poll(&mut signal.notified()).is_pending(), "and it is one only");
    }
}

#[test]
fn stress_no_notification_is_lost_between_a_driver_and_its_clients() {
    let (signal, answer) = (Arc::new(Signal::new()), Arc::new(Signal::new()));
    let driver = thread::spawn({
        let (signal, answer) = (signal.clone(), answer.clone());
        move || {
            for _ in 0..5_000 {
                block_on(signal.notified());
                answer.notify();
            }
        }
    });
    for _ in 0..5_000 {
        signal.notify();
        block_on(answer.notified());
    }
    driver.join().unwrap();
}

//! Events and signals.

use crate::poll;
use ropewalk_sync::{Clock, Event, Signal, block_on};
use std::{sync::Arc, thread, time::Duration};

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

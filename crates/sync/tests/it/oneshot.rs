//! One value, once.

use crate::{bomb, panics, poll, poll_with};
use ropewalk_sync::{Canceled, oneshot};
use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
    thread,
};

#[test]
fn the_value_arrives_before_and_after_the_wait() {
    let (tx, mut rx) = oneshot();
    assert_eq!(rx.try_recv(), Ok(None));
    assert!(poll(&mut rx).is_pending());
    tx.send(1).unwrap();
    assert_eq!(poll(&mut rx), Poll::Ready(Ok(1)));
    assert_eq!(rx.try_recv(), Err(Canceled), "it is received once");
}

#[test]
fn either_side_learns_that_the_other_is_gone() {
    let (tx, rx) = oneshot::<u8>();
    drop(tx);
    assert_eq!(rx.recv_blocking(), Err(Canceled));

    let (mut tx, rx) = oneshot();
    let cx = Context::from_waker(Waker::noop());
    assert!(tx.poll_canceled(&cx).is_pending() && !tx.is_canceled());
    drop(rx);
    assert!(tx.poll_canceled(&cx).is_ready() && tx.is_canceled());
    assert_eq!(tx.send(7), Err(7), "the value comes back");
}

#[test]
fn cancelled_receiver_drops_a_sent_value_once() {
    let value = Arc::new(());
    let (tx, rx) = oneshot();
    tx.send(value.clone()).unwrap();
    drop(rx);
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn a_waker_that_panics_does_not_take_the_value_along() {
    let (tx, mut rx) = oneshot();
    assert!(poll_with(&mut rx, bomb()).is_pending());
    assert!(panics(|| tx.send(1)));
    assert_eq!(rx.try_recv(), Ok(Some(1)));

    let (tx, mut rx) = oneshot::<u8>();
    assert!(poll_with(&mut rx, bomb()).is_pending());
    assert!(panics(|| drop(tx)));
    assert_eq!(rx.try_recv(), Err(Canceled));

    let (mut tx, rx) = oneshot::<u8>();
    assert!(tx.poll_canceled(&Context::from_waker(&bomb())).is_pending());
    assert!(panics(|| drop(rx)));
    assert!(tx.is_canceled());
}

#[test]
fn a_value_that_panics_in_its_drop_is_the_receivers() {
    struct Rude;
    impl Drop for Rude {
        fn drop(&mut self) {
            std::panic::resume_unwind(Box::new("in the drop"));
        }
    }
    let (tx, rx) = oneshot();
    assert!(tx.send(Rude).is_ok());
    assert!(panics(|| drop(rx)));
}

#[test]
fn stress_threads_hand_over() {
    for n in 0..1_000 {
        let (tx, rx) = oneshot();
        let sender = thread::spawn(move || tx.send(n));
        assert_eq!(rx.recv_blocking(), Ok(n));
        sender.join().unwrap().unwrap();
    }
}

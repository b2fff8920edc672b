//! Checks that never answer, in real time: a thread that is stuck cannot be moved by a clock.

use crate::fake::Fake;
use ropewalk_connections::*;
use std::{sync::atomic::Ordering::SeqCst, time::Duration};

fn pool(fake: &Fake, size: usize, max_stuck: usize) -> Pool<Fake> {
    Pool::builder(fake.clone())
        .size(0..=size)
        .check_after(Duration::ZERO)
        .check_timeout(Duration::from_millis(20))
        .acquire_timeout(Duration::from_secs(60))
        .max_stuck(max_stuck)
        .build()
        .unwrap()
}

#[test]
fn a_check_that_never_answers_frees_its_slot() {
    let fake = Fake::default();
    let pool = pool(&fake, 1, 1);
    drop(pool.get_blocking().unwrap());
    fake.0.check_gate.shut();
    // The only connection goes to a check that hangs; the caller gets a new one.
    let conn = pool.get_blocking().unwrap();
    assert_eq!(conn.id, 2);
    let stats = pool.stats();
    assert_eq!((stats.stuck, stats.checks_failed, stats.closed.stuck, stats.size), (1, 1, 1, 1));
    fake.0.check_gate.open();
    // The stuck one answers at last and is closed.
    while fake.live() > 1 {
        std::thread::yield_now();
    }
    while pool.stats().stuck > 0 {
        std::thread::yield_now();
    }
    drop(conn);
    assert_eq!(pool.get_blocking().unwrap().id, 2);
}

#[test]
fn too_many_stuck_ones_keep_their_slots() {
    let fake = Fake::default();
    let pool = pool(&fake, 1, 1);
    drop(pool.get_blocking().unwrap());
    fake.0.check_gate.shut();
    drop(pool.get_blocking().unwrap());
    // One thread is lost already: the second stuck connection keeps its slot, nobody gets a third.
    assert!(matches!(pool.get_blocking_timeout(Duration::from_millis(100)), Err(GetError::Timeout { .. })));
    assert_eq!((pool.stats().stuck, pool.stats().checking, fake.opened()), (1, 1, 2));
    fake.0.check_gate.open();
    // As soon as the first is back the second may be given up in its turn.
    assert!((2..=3).contains(&pool.get_blocking().unwrap().id));
    assert!(fake.0.peak.load(SeqCst) <= 3);
}

#[test]
fn a_connect_that_never_answers_is_given_up() {
    let fake = Fake::default();
    fake.0.connect_gate.shut();
    let pool = Pool::builder(fake.clone())
        .size(0..=1)
        .connect_timeout(Duration::from_millis(20))
        .on_connect_failure(OnConnectFailure::Fail)
        .build()
        .unwrap();
    let error = pool.get_blocking().unwrap_err();
    assert!(matches!(&error, GetError::Connect { cause: ConnectError::TimedOut(_), .. }), "{error:?}");
    fake.0.connect_gate.open();
    drop(pool.get_blocking().unwrap());
}

#[test]
fn a_stuck_check_does_not_disturb_the_others_and_waiters_get_a_new_one_early() {
    let fake = Fake::default();
    let pool = Pool::builder(fake.clone())
        .size(0..=2)
        .check_after(Duration::ZERO)
        .check_timeout(Duration::from_secs(3600))
        .regrant_after(Duration::from_millis(10))
        .acquire_timeout(Duration::from_secs(60))
        .build()
        .unwrap();
    drop(pool.get_blocking().unwrap());
    fake.0.check_gate.shut();
    // The check does not end within the patrol, so another connection is opened for the waiter.
    assert_eq!(pool.get_blocking().unwrap().id, 2);
    fake.0.check_gate.open();
}

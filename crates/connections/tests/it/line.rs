//! The line: order, timeouts, limits.

use crate::fake::Fake;
use parking_lot::Mutex;
use ropewalk_connections::*;
use ropewalk_sync::Clock;
use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

pub(crate) fn poll<F: Future + ?Sized>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn tasks_and_threads_are_served_in_the_order_they_came() {
    let pool = Pool::builder(Fake::default()).size(1..=1).build().unwrap();
    let held = pool.get_blocking().unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut threads = Vec::new();
    for turn in 0..8 {
        let (pool2, order) = (pool.clone(), order.clone());
        threads.push(std::thread::spawn(move || {
            let conn = if turn % 2 == 0 {
                pool2.get_blocking().unwrap()
            } else {
                ropewalk_sync::block_on(pool2.get()).unwrap()
            };
            order.lock().push(turn);
            drop(conn);
        }));
        while pool.stats().waiting <= turn {
            std::thread::yield_now();
        }
    }
    drop(held);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(*order.lock(), (0..8).collect::<Vec<_>>());
}

#[test]
fn nobody_overtakes_the_line() {
    let pool = Pool::builder(Fake::default()).size(1..=1).build().unwrap();
    let held = pool.get_blocking().unwrap();
    let mut first = pin!(pool.get());
    assert!(poll(first.as_mut()).is_pending());
    drop(held);
    // The connection is the waiter's, polled or not.
    assert_eq!(pool.try_get().map(drop), Err(TryGetError::Busy));
    let mut second = pin!(pool.get());
    assert!(poll(second.as_mut()).is_pending());
    let Poll::Ready(Ok(conn)) = poll(first.as_mut()) else { panic!("it was handed over") };
    drop(conn);
    assert!(poll(second.as_mut()).is_ready());
}

#[test]
fn a_timeout_says_how_the_pool_stood() {
    let clock = Clock::virtual_();
    let pool = Pool::builder(Fake::default())
        .size(1..=2)
        .acquire_timeout(Duration::from_secs(2))
        .clock(clock.clone())
        .build()
        .unwrap();
    clock.settle();
    let held = [pool.try_get().unwrap(), clock.block_on(pool.get()).unwrap()];
    let (mut late, mut other) = (pin!(pool.get()), pin!(pool.get_timeout(Duration::from_secs(5))));
    assert!(poll(late.as_mut()).is_pending());
    assert!(poll(other.as_mut()).is_pending());
    clock.advance(Duration::from_secs(2));
    let Poll::Ready(Err(error)) = poll(late.as_mut()) else { panic!("its time is over") };
    let GetError::Timeout { waited, standing, last_error: None } = &error else { panic!("{error:?}") };
    assert_eq!(*waited, Duration::from_secs(2));
    assert_eq!(
        (standing.size, standing.limit, standing.in_use, standing.opening, standing.waiting),
        (2, 2, 2, 0, 1)
    );
    assert!(error.to_string().contains("2 in use"), "{error}");
    assert!(poll(other.as_mut()).is_pending());
    drop(held);
    assert!(poll(other.as_mut()).is_ready());
    assert_eq!(pool.stats().timeouts, 1);
}

#[test]
fn a_blocking_timeout_runs_out() {
    let pool = Pool::builder(Fake::default()).size(1..=1).build().unwrap();
    let held = pool.get_blocking().unwrap();
    assert!(matches!(pool.get_blocking_timeout(Duration::from_millis(1)), Err(GetError::Timeout { .. })));
    assert!(matches!(pool.get_blocking_timeout(Duration::ZERO), Err(GetError::Timeout { .. })));
    drop(held);
    assert!(pool.get_blocking_timeout(Duration::ZERO).is_ok());
}

#[test]
fn more_than_the_most_waiters_are_sent_away() {
    let pool = Pool::builder(Fake::default()).size(1..=1).max_waiters(1).build().unwrap();
    let held = pool.get_blocking().unwrap();
    let mut first = pin!(pool.get());
    assert!(poll(first.as_mut()).is_pending());
    assert!(matches!(pool.get_blocking(), Err(GetError::TooManyWaiters { waiting: 1 })));
    drop(held);
    assert!(poll(first.as_mut()).is_ready());
}

#[test]
fn try_get_makes_the_pool_grow() {
    let clock = Clock::virtual_();
    let pool = Pool::builder(Fake::default()).size(0..=2).clock(clock.clone()).build().unwrap();
    clock.settle();
    assert_eq!(pool.try_get().map(drop), Err(TryGetError::Busy));
    clock.settle();
    let first = pool.try_get().unwrap();
    assert_eq!(pool.try_get().map(drop), Err(TryGetError::Busy));
    clock.settle();
    let second = pool.try_get().unwrap();
    assert_eq!(pool.try_get().map(drop), Err(TryGetError::Busy));
    clock.settle();
    assert_eq!(pool.stats().size, 2);
    drop((first, second));
}

#[test]
fn a_grant_that_nobody_polls_passes_on_and_its_waiter_keeps_its_place() {
    let clock = Clock::virtual_();
    let pool = Pool::builder(Fake::default())
        .size(1..=1)
        .acquire_timeout(Duration::from_secs(3600))
        .check_after(Duration::MAX)
        .clock(clock.clone())
        .build()
        .unwrap();
    clock.settle();
    let held = pool.try_get().unwrap();
    let (mut sleeper, mut second, mut third) = (pin!(pool.get()), pin!(pool.get()), pin!(pool.get()));
    assert!(poll(sleeper.as_mut()).is_pending());
    assert!(poll(second.as_mut()).is_pending());
    assert!(poll(third.as_mut()).is_pending());
    drop(held);
    // The sleeper has it and does not look. After the bound it goes to the second.
    clock.advance(Duration::from_millis(200));
    let Poll::Ready(Ok(conn)) = poll(second.as_mut()) else { panic!("the grant must have passed on") };
    // The sleeper comes back, before the third.
    assert!(poll(sleeper.as_mut()).is_pending());
    drop(conn);
    assert!(poll(third.as_mut()).is_pending());
    let Poll::Ready(Ok(conn)) = poll(sleeper.as_mut()) else { panic!("it kept its place") };
    drop(conn);
    assert!(poll(third.as_mut()).is_ready());
    assert_eq!(pool.stats().regrants, 1);
}

#[test]
fn a_revoked_waiter_alone_is_served_when_it_looks_again() {
    let clock = Clock::virtual_();
    let pool = Pool::builder(Fake::default())
        .size(1..=1)
        .acquire_timeout(Duration::from_secs(3600))
        .check_after(Duration::MAX)
        .clock(clock.clone())
        .build()
        .unwrap();
    clock.settle();
    let held = pool.try_get().unwrap();
    let mut sleeper = pin!(pool.get());
    assert!(poll(sleeper.as_mut()).is_pending());
    drop(held);
    clock.advance(Duration::from_millis(500));
    assert_eq!(pool.stats().idle, 1, "taken back and laid by");
    assert!(poll(sleeper.as_mut()).is_ready());
}

#[test]
fn idle_order_is_by_choice() {
    for (order, expected) in [(IdleOrder::Lifo, 2), (IdleOrder::Fifo, 1)] {
        let clock = Clock::virtual_();
        let pool = Pool::builder(Fake::default())
            .size(2..=2)
            .idle_order(order)
            .clock(clock.clone())
            .build()
            .unwrap();
        clock.settle();
        let mut held = [pool.try_get().unwrap(), pool.try_get().unwrap()];
        held.sort_by_key(|conn| conn.id);
        let [one, two] = held;
        drop(one);
        drop(two);
        assert_eq!(pool.try_get().unwrap().id, expected, "{order:?}");
    }
}

use crate::{fake::Fake, line::poll};
use ropewalk_connections::*;
use ropewalk_sync::Clock;
use std::{pin::pin, task::Poll, time::Duration};

#[test]
fn close_sends_the_line_away_and_waits_for_those_in_use() {
    let (fake, clock) = (Fake::default(), Clock::virtual_());
    let pool = Pool::builder(fake.clone()).size(2..=2).clock(clock.clone()).build().unwrap();
    clock.settle();
    let held = [pool.try_get().unwrap(), pool.try_get().unwrap()];
    let mut waiter = pin!(pool.get());
    assert!(poll(waiter.as_mut()).is_pending());
    let mut close = pin!(pool.close());
    assert!(poll(close.as_mut()).is_pending());
    assert!(matches!(poll(waiter.as_mut()), Poll::Ready(Err(GetError::Closed))));
    assert!(pool.is_closed());
    assert_eq!(pool.try_get().map(drop), Err(TryGetError::Closed));
    assert!(matches!(clock.block_on(pool.get()), Err(GetError::Closed)));
    clock.advance(Duration::from_secs(9));
    assert!(poll(close.as_mut()).is_pending());
    drop(held);
    clock.settle();
    assert_eq!(poll(close.as_mut()), Poll::Ready(Ok(())));
    assert_eq!((fake.live(), pool.stats().closed.pool_closed), (0, 2));
    assert_eq!(pool.stats().limited_by, Limit::Closed);
    pool.close_blocking().unwrap();
}

#[test]
fn close_is_bounded() {
    let (fake, clock) = (Fake::default(), Clock::virtual_());
    let pool = Pool::builder(fake.clone()).size(2..=2).clock(clock.clone()).build().unwrap();
    clock.settle();
    let held = pool.try_get().unwrap();
    let mut close = pin!(pool.close());
    assert!(poll(close.as_mut()).is_pending());
    clock.advance(Duration::from_secs(10));
    let Poll::Ready(Err(error)) = poll(close.as_mut()) else { panic!("its time is over") };
    assert_eq!((error.in_use, error.busy), (1, 0));
    drop(held);
    clock.settle();
    assert_eq!(fake.live(), 0, "it is closed when it comes back");
}

#[test]
fn dropping_the_last_pool_closes_it() {
    let (fake, clock) = (Fake::default(), Clock::virtual_());
    let pool = Pool::builder(fake.clone()).size(3..=3).clock(clock.clone()).build().unwrap();
    clock.settle();
    let held = pool.try_get().unwrap();
    let other = pool.owner("somebody");
    drop(pool);
    clock.settle();
    assert_eq!(fake.live(), 3);
    drop(other);
    clock.settle();
    assert_eq!(fake.live(), 1);
    drop(held);
    clock.settle();
    assert_eq!(fake.live(), 0);
}

#[test]
fn a_waiting_caller_keeps_the_pool_open() {
    let clock = Clock::virtual_();
    let pool = Pool::builder(Fake::default()).size(0..=1).clock(clock.clone()).build().unwrap();
    let get = pool.get();
    drop(pool);
    assert!(clock.block_on(get).is_ok());
}

#[test]
fn closing_while_one_is_being_opened_closes_it_too() {
    let fake = Fake::default();
    fake.0.connect_gate.shut();
    let pool = Pool::builder(fake.clone()).size(1..=1).build().unwrap();
    fake.0.connect_gate.wait_for_arrival();
    let mut close = pin!(pool.close());
    assert!(poll(close.as_mut()).is_pending());
    fake.0.connect_gate.open();
    assert_eq!(ropewalk_sync::block_on(close), Ok(()));
    assert_eq!((fake.opened(), fake.live()), (1, 0));
}

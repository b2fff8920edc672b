//! Growing, shrinking, ageing, checking: by virtual time.

use crate::{
    fake::{Fake, FakeError},
    line::poll,
};
use ropewalk_connections::*;
use ropewalk_sync::Clock;
use std::{pin::pin, sync::atomic::Ordering::SeqCst, task::Poll, time::Duration};

const SECOND: Duration = Duration::from_secs(1);

fn pool(
    size: std::ops::RangeInclusive<usize>,
    f: fn(Builder<Fake>) -> Builder<Fake>,
) -> (Fake, Clock, Pool<Fake>) {
    let (fake, clock) = (Fake::default(), Clock::virtual_());
    let pool = f(Pool::builder(fake.clone()).size(size).clock(clock.clone()).seed(7)).build().unwrap();
    clock.settle();
    (fake, clock, pool)
}

#[test]
fn it_grows_with_demand_and_shrinks_to_the_least() {
    let (fake, clock, pool) = pool(2..=6, |b| b.idle_timeout(60 * SECOND));
    assert_eq!(pool.stats().size, 2);
    let held: Vec<_> = (0..6).map(|_| clock.block_on(pool.get()).unwrap()).collect();
    let stats = pool.stats();
    assert_eq!((stats.size, stats.in_use, stats.limited_by), (6, 6, Limit::Max));
    assert_eq!(stats.utilisation, 1.0);
    drop(held);
    clock.advance(59 * SECOND);
    assert_eq!(pool.stats().idle, 6);
    clock.advance(SECOND);
    let stats = pool.stats();
    assert_eq!((stats.size, stats.closed.idle, fake.live()), (2, 4, 2));
    assert_eq!(fake.0.peak.load(SeqCst), 6);
}

#[test]
fn lifetimes_spread_and_the_least_is_kept() {
    let (fake, clock, pool) = pool(8..=8, |b| b.max_lifetime(100 * SECOND).check_every(Duration::MAX));
    clock.advance(89 * SECOND);
    assert_eq!(pool.stats().closed.lifetime, 0);
    let mut renewed = Vec::new();
    for _ in 89..111 {
        clock.advance(SECOND);
        renewed.push(pool.stats().closed.lifetime);
        assert_eq!(pool.stats().idle, 8, "each is replaced");
    }
    assert_eq!(renewed.last(), Some(&8));
    renewed.dedup();
    assert!(renewed.len() > 4, "they must not end together: {renewed:?}");
    assert_eq!(fake.opened(), 16);
}

#[test]
fn one_that_grew_old_in_use_is_closed_when_it_comes_back() {
    let (fake, clock, pool) = pool(1..=1, |b| b.max_lifetime(10 * SECOND));
    let conn = pool.try_get().unwrap();
    clock.advance(100 * SECOND);
    assert_eq!(conn.id, 1);
    drop(conn);
    clock.settle();
    assert_eq!((pool.stats().closed.lifetime, fake.live()), (1, 1));
    assert_eq!(pool.try_get().unwrap().id, 2);
}

#[test]
fn one_that_lay_idle_is_checked_before_it_is_handed_out() {
    let (fake, clock, pool) = pool(1..=1, |b| b.check_every(Duration::MAX));
    drop(pool.try_get().unwrap());
    clock.advance(Duration::from_millis(499));
    drop(pool.try_get().unwrap());
    assert_eq!(fake.0.checks.load(SeqCst), 0, "inside the bypass window");
    clock.advance(Duration::from_millis(500));
    assert_eq!(pool.try_get().map(drop), Err(TryGetError::Checking));
    clock.settle();
    assert_eq!(fake.0.checks.load(SeqCst), 1);
    drop(pool.try_get().unwrap());
    clock.advance(SECOND);
    // A dead one is replaced, and the caller notices nothing.
    fake.0.fail_check.store(true, SeqCst);
    let conn = clock.block_on(pool.get()).unwrap();
    assert_eq!(conn.id, 2);
    let stats = pool.stats();
    assert_eq!((stats.checks_failed, stats.closed.check_failed, fake.live()), (1, 1, 1));
}

#[test]
fn idle_ones_are_checked_in_the_background_one_at_a_time() {
    let (fake, clock, pool) = pool(3..=3, |b| b.check_every(30 * SECOND));
    clock.advance(29 * SECOND);
    assert_eq!(fake.0.checks.load(SeqCst), 0);
    clock.advance(SECOND);
    assert_eq!(fake.0.checks.load(SeqCst), 3);
    clock.advance(30 * SECOND);
    assert_eq!((fake.0.checks.load(SeqCst), pool.stats().idle), (6, 3));
}

#[test]
fn all_steps_run_on_the_pools_own_threads() {
    let (fake, clock, pool) = pool(1..=2, |b| b.check_after(Duration::ZERO));
    let mut conn = clock.block_on(pool.get()).unwrap();
    conn.dirty = true;
    drop(conn);
    let mut conn = clock.block_on(pool.get()).unwrap();
    conn.broken = true;
    drop(conn);
    pool.close_blocking().unwrap();
    let threads = fake.0.threads.lock();
    assert!(threads.len() >= 4, "{threads:?}");
    assert!(threads.iter().all(|name| name == "ropewalk-connections"), "{threads:?}");
}

#[test]
fn broken_dirty_discarded_and_detached_ones() {
    let (fake, clock, pool) = pool(1..=1, |b| b);
    let mut conn = pool.try_get().unwrap();
    conn.dirty = true;
    drop(conn);
    clock.settle();
    let conn = pool.try_get().unwrap();
    assert_eq!((conn.id, conn.dirty, fake.0.resets.load(SeqCst)), (1, false, 1));
    assert_eq!(conn.history().0, 1);
    conn.discard();
    clock.settle();
    let mut conn = pool.try_get().unwrap();
    assert_eq!(conn.id, 2);
    conn.broken = true;
    drop(conn);
    clock.settle();
    let mut conn = pool.try_get().unwrap();
    assert_eq!(conn.id, 3);
    conn.dirty = true;
    fake.0.fail_reset.store(true, SeqCst);
    drop(conn);
    clock.settle();
    let kept = pool.try_get().unwrap().detach();
    assert_eq!(kept.id, 4);
    clock.settle();
    assert_eq!(pool.try_get().unwrap().id, 5, "the pool has room for another");
    let closed = pool.stats().closed;
    assert_eq!((closed.discarded, closed.broken, closed.reset_failed, closed.detached), (1, 1, 1, 1));
    assert_eq!(closed.total(), 4);
    assert_eq!(fake.live(), 2);
}

#[test]
fn a_server_that_is_down_is_tried_again_and_the_error_names_the_cause() {
    let (fake, clock, pool) = pool(0..=4, |b| b.acquire_timeout(10 * SECOND).check_after(Duration::MAX));
    fake.0.fail_connect.store(true, SeqCst);
    let mut first = pin!(pool.get());
    assert!(poll(first.as_mut()).is_pending());
    clock.advance(10 * SECOND);
    let Poll::Ready(Err(error)) = poll(first.as_mut()) else { panic!("its time is over") };
    let attempts = match &error {
        GetError::Connect { cause: ConnectError::Failed(cause), attempts } => {
            assert_eq!(**cause, FakeError::Down);
            *attempts
        }
        other => panic!("{other:?}"),
    };
    assert!((5..=60).contains(&attempts), "delays grow up to a second: {attempts}");
    assert!(error.to_string().contains("the server is down"), "{error}");
    let mut second = pin!(pool.get());
    assert!(poll(second.as_mut()).is_pending());
    assert_eq!(pool.stats().limited_by, Limit::Failing);
    fake.0.fail_connect.store(false, SeqCst);
    clock.advance(2 * SECOND);
    assert!(matches!(poll(second.as_mut()), Poll::Ready(Ok(_))));
}

#[test]
fn by_choice_a_failure_is_told_at_once() {
    let (fake, clock, pool) =
        pool(0..=2, |b| b.acquire_timeout(3600 * SECOND).on_connect_failure(OnConnectFailure::Fail));
    fake.0.fail_connect.store(true, SeqCst);
    let error = clock.block_on(pool.get()).unwrap_err();
    assert!(matches!(error, GetError::Connect { attempts: 1, .. }), "{error:?}");
}

#[test]
fn a_refusal_holds_the_size_down_and_is_probed_later() {
    let (fake, clock, pool) = pool(0..=8, |b| b.acquire_timeout(3600 * SECOND).check_after(Duration::MAX));
    fake.0.refuse_above.store(3, SeqCst);
    let mut held: Vec<_> = (0..3).map(|_| clock.block_on(pool.get()).unwrap()).collect();
    let mut more = pin!(pool.get());
    assert!(poll(more.as_mut()).is_pending());
    clock.settle();
    let stats = pool.stats();
    assert_eq!((stats.limit, stats.max, stats.refusals, stats.limited_by), (3, 8, 1, Limit::Failing));
    clock.advance(Duration::from_millis(20));
    assert_eq!(pool.stats().limited_by, Limit::Refused);
    // The line is served by what there is.
    drop(held.pop());
    let Poll::Ready(Ok(conn)) = poll(more.as_mut()) else { panic!("served") };
    held.push(conn);
    let mut more = pin!(pool.get());
    assert!(poll(more.as_mut()).is_pending());
    let attempts = fake.0.attempts.load(SeqCst);
    clock.advance(30 * SECOND);
    let probes = fake.0.attempts.load(SeqCst) - attempts;
    assert!((2..=6).contains(&probes), "probes get rarer: {probes}");
    fake.0.refuse_above.store(0, SeqCst);
    clock.advance(120 * SECOND);
    assert!(matches!(poll(more.as_mut()), Poll::Ready(Ok(_))));
    assert!(pool.stats().limit > 3);
}

#[test]
fn a_freed_connection_serves_the_line_while_another_is_being_opened() {
    let fake = Fake::default();
    let pool = Pool::builder(fake.clone()).size(1..=2).build().unwrap();
    let held = pool.get_blocking().unwrap();
    fake.0.connect_gate.shut();
    let mut waiter = pin!(pool.get());
    assert!(poll(waiter.as_mut()).is_pending());
    fake.0.connect_gate.wait_for_arrival();
    drop(held);
    let Poll::Ready(Ok(conn)) = poll(waiter.as_mut()) else { panic!("it must not wait for the opening") };
    assert_eq!(conn.id, 1);
    fake.0.connect_gate.open();
    assert_eq!(pool.get_blocking().unwrap().id, 2);
}

#[test]
fn resize_and_retain() {
    let (fake, clock, pool) = pool(4..=4, |b| b);
    let held = pool.try_get().unwrap();
    pool.resize(1..=2).unwrap();
    clock.settle();
    assert_eq!((pool.stats().size, pool.stats().closed.resized), (2, 2));
    pool.resize(1..=1).unwrap();
    clock.settle();
    assert_eq!((pool.stats().size, pool.stats().in_use), (1, 1));
    drop(held);
    clock.settle();
    assert_eq!(fake.live(), 1, "the one in use fits the new maximum");
    pool.resize(3..=5).unwrap();
    clock.settle();
    assert_eq!(pool.stats().idle, 3, "the new least is opened");
    let (min, max) = (2, 1);
    assert_eq!(pool.resize(min..=max).unwrap_err(), ResizeError::Size { min, max });
    let mut seen = Vec::new();
    let closed = pool.retain(|conn, info| {
        seen.push(conn.id);
        info.role == Role::Any && conn.id % 2 == 0
    });
    assert_eq!(seen.len(), 3);
    clock.settle();
    assert_eq!((pool.stats().closed.not_retained, pool.stats().idle), (closed as u64, 3));
    pool.close_blocking().unwrap();
    assert_eq!(pool.resize(1..=2).unwrap_err(), ResizeError::Closed);
}

#[test]
fn a_lower_maximum_is_reached_as_connections_come_back() {
    let (fake, clock, pool) = pool(0..=6, |b| b.acquire_timeout(3600 * SECOND));
    let held: Vec<_> = (0..6).map(|_| clock.block_on(pool.get()).unwrap()).collect();
    pool.resize(0..=2).unwrap();
    let mut waiter = pin!(pool.get());
    assert!(poll(waiter.as_mut()).is_pending());
    let mut held = held.into_iter();
    for left in [5, 4, 3, 2] {
        drop(held.next());
        clock.settle();
        assert_eq!(fake.live(), left);
        assert!(poll(waiter.as_mut()).is_pending(), "there are {left} still");
    }
    drop(held.next());
    assert!(poll(waiter.as_mut()).is_ready());
}

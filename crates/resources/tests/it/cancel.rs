//! Dropping futures after each poll, grants that nobody polls, wakers that misbehave.

use crate::support::{Bell, poll, poll_with, ready, waits};
use ropewalk_resources::{Request, ResourcePool};
use ropewalk_sync::Clock;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Wake, Waker},
    time::Duration,
};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn dropping_before_the_first_poll_leaves_no_trace() {
    let pool = ResourcePool::new();
    drop(pool.acquire("a", Request::new().exclusive("x")));
    assert!(pool.resource("x").is_none());
}

#[test]
fn dropping_in_line_leaves_the_line() {
    let pool = ResourcePool::new();
    let held = pool.try_acquire("a", Request::new().exclusive("x")).unwrap();
    let mut waiting = pool.acquire("b", Request::new().exclusive("x").exclusive("y"));
    for _ in 0..3 {
        assert!(waits(&mut waiting));
    }
    drop(waiting);
    let stats = pool.stats();
    assert_eq!((stats.waiting, stats.cancelled, stats.owners), (0, 1, 1));
    drop(held);
    assert!(pool.try_acquire("c", Request::new().exclusive("x").exclusive("y")).is_ok());
}

#[test]
fn dropping_a_granted_future_passes_the_lease_on() {
    let pool = ResourcePool::new();
    let held = pool.try_acquire("a", Request::new().exclusive("x")).unwrap();
    let (mut b, mut c) =
        (pool.acquire("b", Request::new().exclusive("x")), pool.acquire("c", Request::new().exclusive("x")));
    let bell = Arc::new(Bell::default());
    assert!(waits(&mut b) && poll_with(&mut c, &bell).is_pending());
    drop(held);
    assert_eq!(bell.rung(), 0, "it is b's turn");
    drop(b);
    assert_eq!(bell.rung(), 1);
    drop(ready(&mut c).unwrap());
    assert_eq!(pool.stats().leases, 0);
}

#[test]
fn the_last_waker_is_the_one_that_is_woken() {
    let pool = ResourcePool::new();
    let held = pool.try_acquire("a", Request::new().exclusive("x")).unwrap();
    let mut b = pool.acquire("b", Request::new().exclusive("x"));
    let (old, new) = (Arc::new(Bell::default()), Arc::new(Bell::default()));
    assert!(poll_with(&mut b, &old).is_pending() && poll_with(&mut b, &new).is_pending());
    assert_eq!(Arc::strong_count(&old), 1, "the old waker is gone");
    drop(held);
    assert_eq!((old.rung(), new.rung()), (0, 1));
}

#[test]
fn a_grant_that_nobody_polls_passes_on_and_its_future_keeps_its_place() {
    let clock = Clock::virtual_();
    let pool = ResourcePool::builder().clock(clock.clone()).regrant_after(SECOND).build().unwrap();
    let held = pool.try_acquire("a", Request::new().exclusive("x")).unwrap();
    let (mut sleepy, mut b, mut c) = (
        pool.acquire("sleepy", Request::new().exclusive("x")),
        pool.acquire("b", Request::new().exclusive("x")),
        pool.acquire("c", Request::new().exclusive("x")),
    );
    assert!(waits(&mut sleepy) && waits(&mut b) && waits(&mut c));
    clock.advance(SECOND / 2);
    drop(held);
    // Granted to the sleepy one half an interval ago at the first patrol: too fresh.
    clock.advance(SECOND / 2);
    assert!(waits(&mut b) && waits(&mut c));
    clock.advance(SECOND);
    // Whoever is polled finds it stale.
    assert!(waits(&mut c));
    let lease = ready(&mut b).unwrap();
    assert_eq!(pool.stats().regranted, 1);
    // The sleepy one stands before c again.
    assert!(waits(&mut sleepy));
    drop(lease);
    assert!(waits(&mut c));
    drop(ready(&mut sleepy).unwrap());
    drop(ready(&mut c).unwrap());
    assert_eq!(pool.stats().leases, 0);
}

#[test]
fn a_revoked_future_that_is_dropped_or_finds_it_free_is_well() {
    let clock = Clock::virtual_();
    let pool = ResourcePool::builder().clock(clock.clone()).regrant_after(SECOND).build().unwrap();
    for polled_again in [false, true] {
        let held = pool.try_acquire("a", Request::new().exclusive("x")).unwrap();
        let (mut sleepy, mut b) = (
            pool.acquire("sleepy", Request::new().exclusive("x")),
            pool.acquire("b", Request::new().exclusive("x")),
        );
        assert!(waits(&mut sleepy) && waits(&mut b));
        drop(held);
        clock.advance(SECOND);
        drop(ready_after_patrol(&mut b));
        if polled_again {
            drop(ready(&mut sleepy).unwrap());
        }
        drop(sleepy);
        let stats = pool.stats();
        assert_eq!((stats.leases, stats.waiting, stats.owners), (0, 0, 0));
    }
}

fn ready_after_patrol(future: &mut ropewalk_resources::Acquire) -> ropewalk_resources::Lease {
    match poll(future) {
        std::task::Poll::Ready(lease) => lease.unwrap(),
        std::task::Poll::Pending => ready(future).unwrap(),
    }
}

#[test]
fn cancelling_at_any_poll_among_others_loses_nothing() {
    // Every way to drop one of three futures after each of its first polls, with a release at each point.
    for victim in 0..3 {
        for polls in 0..3 {
            for release_before in [false, true] {
                let pool = ResourcePool::builder().overtaking(1).build().unwrap();
                let mut held = Some(pool.try_acquire("h", Request::new().exclusive("x")).unwrap());
                let wishes = [
                    Request::new().exclusive("x").exclusive("y"),
                    Request::new().exclusive("y").exclusive("z"),
                    Request::new().exclusive("z").exclusive("x"),
                ];
                let mut futures = wishes
                    .iter()
                    .enumerate()
                    .map(|(i, wish)| Some(pool.acquire(format!("{i}"), wish)))
                    .collect::<Vec<_>>();
                let mut leases = Vec::new();
                for round in 0..3 {
                    for (i, slot) in futures.iter_mut().enumerate() {
                        if i == victim && round >= polls {
                            continue;
                        }
                        if let Some(future) = slot {
                            if let std::task::Poll::Ready(lease) = poll(future) {
                                leases.push(lease.unwrap());
                                *slot = None;
                            }
                        }
                    }
                    if release_before && round == 0 {
                        // So the victim has been granted something when it goes.
                        held = None;
                        leases.clear();
                    }
                    if round + 1 == polls.max(1) {
                        futures[victim] = None;
                    }
                }
                drop(held);
                leases.clear();
                for future in futures.iter_mut().flatten() {
                    drop(ready(future).unwrap());
                }
                drop(futures);
                let stats = pool.stats();
                assert_eq!((stats.leases, stats.waiting, stats.owners), (0, 0, 0));
                assert!(
                    pool.try_acquire("z", Request::new().exclusive("x").exclusive("y").exclusive("z"))
                        .is_ok()
                );
            }
        }
    }
}

/// A waker that calls back into the pool from everywhere a waker runs.
struct Meddler {
    pool: ResourcePool,
    done: Mutex<u32>,
}

impl Wake for Meddler {
    fn wake(self: Arc<Self>) {
        let _ = self.pool.stats();
        *self.done.lock().unwrap() += 1;
    }
}

impl Drop for Meddler {
    fn drop(&mut self) {
        let _ = self.pool.stats();
    }
}

#[test]
fn wakers_run_outside_of_the_latch() {
    let pool = ResourcePool::new();
    let held = pool.try_acquire("a", Request::new().exclusive("x")).unwrap();
    let mut b = pool.acquire("b", Request::new().exclusive("x"));
    for _ in 0..3 {
        let waker = Waker::from(Arc::new(Meddler { pool: pool.clone(), done: Mutex::new(0) }));
        assert!(Pin::new(&mut b).poll(&mut Context::from_waker(&waker)).is_pending());
    }
    let meddler = Arc::new(Meddler { pool: pool.clone(), done: Mutex::new(0) });
    let waker = Waker::from(meddler.clone());
    assert!(Pin::new(&mut b).poll(&mut Context::from_waker(&waker)).is_pending());
    drop(held);
    assert_eq!(*meddler.done.lock().unwrap(), 1);
    drop(b);
}

struct Panicker;
impl Wake for Panicker {
    fn wake(self: Arc<Self>) {
        panic!("a waker of the user's");
    }
}

#[test]
fn a_waker_that_panics_hurts_nobody_else() {
    let pool = ResourcePool::new();
    let held = pool.try_acquire("a", Request::new().exclusive("x")).unwrap();
    let mut b = pool.acquire("b", Request::new().exclusive("x"));
    let waker = Waker::from(Arc::new(Panicker));
    assert!(Pin::new(&mut b).poll(&mut Context::from_waker(&waker)).is_pending());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(held))).is_err());
    drop(ready(&mut b).unwrap());
    assert!(pool.try_acquire("c", Request::new().exclusive("x")).is_ok());
    assert_eq!(pool.stats().leases, 0);
}

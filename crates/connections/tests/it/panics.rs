//! A panic at each call of user code.

use crate::fake::Fake;
use ropewalk_connections::*;
use ropewalk_sync::Clock;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::Ordering::SeqCst,
    time::Duration,
};

/// Uses a pool in every way and gives how many calls of the manager that took.
fn exercise(fake: &Fake, panic_at: u64) -> u64 {
    const CALLS: u64 = 1_000;
    let clock = Clock::virtual_();
    fake.0.panic_in.store(if panic_at == 0 { CALLS } else { panic_at }, SeqCst);
    let pool = Pool::builder(fake.clone())
        .size(1..=2)
        .check_after(Duration::from_millis(1))
        .acquire_timeout(Duration::from_secs(3600))
        .clock(clock.clone())
        .build()
        .unwrap();
    let get = || {
        for _ in 0..100 {
            clock.settle();
            match pool.try_get() {
                Ok(conn) => return conn,
                Err(TryGetError::Closed) => panic!("it is open"),
                Err(TryGetError::Checking) => {}
                // After a failure the next attempt is due within a second.
                Err(_) => clock.advance(Duration::from_millis(100)),
            }
        }
        panic!("the pool is dead after a panic at call {panic_at}")
    };
    for turn in 0..4 {
        let mut a = get();
        let b = get();
        a.dirty = turn % 2 == 0;
        a.broken = turn == 3;
        drop((a, b));
        fake.0.refuse_above.store(if turn == 1 { 1 } else { 0 }, SeqCst);
        clock.advance(Duration::from_secs(2));
        fake.0.refuse_above.store(0, SeqCst);
    }
    let left = fake.0.panic_in.load(SeqCst);
    fake.0.panic_in.store(0, SeqCst);
    clock.settle();
    let both = [get(), get()];
    assert_eq!(fake.live(), 2, "panic at call {panic_at}");
    drop(both);
    pool.close_blocking().unwrap();
    assert_eq!(fake.live(), 0, "panic at call {panic_at}");
    assert!(fake.0.peak.load(SeqCst) <= 2);
    if panic_at == 0 { CALLS - left } else { 0 }
}

#[test]
fn a_panic_in_any_call_of_the_manager_loses_nothing() {
    let calls = exercise(&Fake::default(), 0);
    assert!((20..1_000).contains(&calls), "{calls}");
    for at in 1..=calls {
        exercise(&Fake::default(), at);
    }
}

#[test]
fn a_panic_in_work_goes_on_in_the_caller_and_closes_the_connection() {
    let clock = Clock::virtual_();
    let fake = Fake::default();
    let pool = Pool::builder(fake.clone()).size(1..=1).clock(clock.clone()).build().unwrap();
    clock.settle();
    let panic =
        catch_unwind(AssertUnwindSafe(|| clock.block_on(pool.run(|_| panic!("in work"))))).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"in work"));
    clock.settle();
    assert_eq!((pool.stats().closed.panicked, pool.try_get().unwrap().id), (1, 2));
    // A predicate that panics gives its connection back.
    assert!(catch_unwind(AssertUnwindSafe(|| pool.retain(|_, _| panic!("in retain")))).is_err());
    assert_eq!(pool.try_get().unwrap().id, 2);
}

#[test]
fn a_panic_in_a_leak_report_leaves_the_keeper_alive() {
    let clock = Clock::virtual_();
    let pool = Pool::builder(Fake::default())
        .size(2..=2)
        .leak_after(Duration::from_secs(1))
        .on_leak(|_| panic!("in a report"))
        .clock(clock.clone())
        .build()
        .unwrap();
    clock.settle();
    let held = pool.try_get().unwrap();
    clock.advance(Duration::from_secs(2));
    drop(held);
    let _held = pool.try_get().unwrap();
    clock.advance(Duration::from_secs(2));
    assert_eq!(pool.stats().leaks, 2);
}

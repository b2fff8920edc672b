use crate::{fake::Fake, line::poll};
use parking_lot::Mutex;
use ropewalk_connections::*;
use ropewalk_sync::Clock;
use std::{pin::pin, sync::Arc, time::Duration};

#[test]
fn waits_name_who_waits_and_who_holds() {
    let clock = Clock::virtual_();
    let pool = Pool::builder(Fake::default()).name("db").size(1..=1).clock(clock.clone()).build().unwrap();
    clock.settle();
    let held = pool.owner("agent-1").try_get().unwrap();
    let line = line!() - 1;
    clock.advance(Duration::from_secs(3));
    let mut get = pin!(pool.owner("agent-2").get());
    assert!(poll(get.as_mut()).is_pending());
    clock.advance(Duration::from_secs(1));
    let waits = pool.waits();
    assert_eq!((waits.pool.as_str(), waits.waiters.len(), waits.holders.len()), ("db", 1, 1));
    assert_eq!((waits.waiters[0].label(), waits.waiters[0].age), ("agent-2", Duration::from_secs(1)));
    let holder = &waits.holders[0];
    assert_eq!((holder.label(), holder.age), ("agent-1", Duration::from_secs(4)));
    assert!(holder.location.contains(&format!("watching.rs:{line}:")), "{}", holder.location);
    drop(held);
    assert!(poll(get.as_mut()).is_ready());
    let stats = pool.stats();
    assert_eq!((stats.gets, stats.waits, stats.wait.count()), (2, 1, 1));
    assert_eq!(stats.wait.max(), Some(1_000_000_000));
    assert_eq!(stats.held, Duration::from_secs(4));
}

#[test]
fn a_leak_is_reported_once_with_its_place() {
    let clock = Clock::virtual_();
    let reports = Arc::new(Mutex::new(Vec::new()));
    let seen = reports.clone();
    let pool = Pool::builder(Fake::default())
        .size(2..=2)
        .leak_after(Duration::from_secs(10))
        .on_leak(move |held| seen.lock().push(held.clone()))
        .clock(clock.clone())
        .build()
        .unwrap();
    clock.settle();
    let held = pool.try_get().unwrap();
    let line = line!() - 1;
    clock.advance(Duration::from_secs(9));
    drop(clock.block_on(pool.get()).unwrap());
    assert!(reports.lock().is_empty());
    clock.advance(Duration::from_secs(60));
    let reports = reports.lock();
    assert_eq!((reports.len(), pool.stats().leaks), (1, 1));
    assert!(reports[0].location.contains(&format!("watching.rs:{line}:")), "{}", reports[0]);
    assert_eq!(reports[0].age, Duration::from_secs(10));
    drop(held);
}

#[test]
fn async_and_blocking_gets_carry_their_callers_place() {
    let pool = Pool::builder(Fake::default()).size(3..=3).build().unwrap();
    let a = pool.get_blocking().unwrap();
    let b = ropewalk_sync::block_on(pool.get()).unwrap();
    let c = ropewalk_sync::block_on(pool.get_writer_timeout(Duration::from_secs(60))).unwrap();
    let waits = pool.waits();
    assert_eq!(waits.holders.len(), 3);
    assert!(waits.holders.iter().all(|held| held.location.contains("watching.rs")), "{waits:?}");
    drop((a, b, c));
}

use crate::fake::{Fake, FakeConn, FakeError};
use ropewalk_connections::*;
use std::time::Duration;

#[test]
fn public_types_are_send_and_sync() {
    fn both<T: Send + Sync>() {}
    fn send<T: Send>() {}
    both::<Pool<Fake>>();
    both::<Builder<Fake>>();
    both::<GetError<FakeError>>();
    both::<(BuildError, CloseError, ConnectError<FakeError>, ResizeError, TryGetError)>();
    both::<(PoolStats, Waits, Held, Closed, Limit, ConnInfo, Role, IdleOrder, OnConnectFailure, Standing)>();
    both::<Conn<Fake>>();
    send::<FakeConn>();
    fn future<F: Future + Send + 'static>(_: F) {}
    let pool = Pool::builder(Fake::default()).size(0..=1).build().unwrap();
    future(pool.get());
    future(pool.get_timeout(Duration::ZERO));
    future(pool.get_writer());
    future(pool.run(|conn| conn.id));
}

#[test]
fn contradictions_are_refused() {
    let size = |min, max| Pool::builder(Fake::default()).size(min..=max).build().map(drop).unwrap_err();
    assert_eq!(size(0, 0), BuildError::Size { min: 0, max: 0 });
    assert_eq!(size(3, 2), BuildError::Size { min: 3, max: 2 });
    assert_eq!(size(1, MAX_SIZE + 1), BuildError::Size { min: 1, max: MAX_SIZE + 1 });
    let zero = |f: fn(Builder<Fake>) -> Builder<Fake>| {
        f(Pool::builder(Fake::default())).build().map(drop).unwrap_err()
    };
    assert_eq!(zero(|b| b.connect_timeout(Duration::ZERO)), BuildError::Zero("connect_timeout"));
    assert_eq!(zero(|b| b.check_timeout(Duration::ZERO)), BuildError::Zero("check_timeout"));
    assert_eq!(zero(|b| b.check_every(Duration::ZERO)), BuildError::Zero("check_every"));
    assert_eq!(zero(|b| b.max_lifetime(Duration::ZERO)), BuildError::Zero("max_lifetime"));
    assert_eq!(zero(|b| b.regrant_after(Duration::ZERO)), BuildError::Zero("regrant_after"));
    assert_eq!(zero(|b| b.leak_after(Duration::ZERO)), BuildError::Zero("leak_after"));
    assert_eq!(zero(|b| b.max_waiters(0)), BuildError::Zero("max_waiters"));
    assert!(BuildError::NoSpawner.to_string().contains(".spawner("));
}

#[test]
fn huge_durations_mean_never() {
    let manager = Fake::default();
    let pool = Pool::builder(manager)
        .size(1..=2)
        .acquire_timeout(Duration::MAX)
        .connect_timeout(Duration::MAX)
        .check_timeout(Duration::MAX)
        .idle_timeout(Duration::MAX)
        .max_lifetime(Duration::MAX)
        .check_after(Duration::MAX)
        .check_every(Duration::MAX)
        .regrant_after(Duration::MAX)
        .leak_after(Duration::MAX)
        .close_timeout(Duration::MAX)
        .build()
        .unwrap();
    drop(pool.get_blocking().unwrap());
    pool.close_blocking().unwrap();
}

#[test]
fn five_to_fifty_is_the_default() {
    let clock = ropewalk_sync::Clock::virtual_();
    let pool = Pool::builder(Fake::default()).clock(clock.clone()).build().unwrap();
    clock.settle();
    let stats = pool.stats();
    assert_eq!((stats.min, stats.max, stats.idle, stats.size), (5, 50, 5, 5));
}

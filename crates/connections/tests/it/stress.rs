//! Real threads, all operations at once.

use crate::{fake::Fake, line::poll};
use ropewalk_connections::*;
use std::{sync::atomic::Ordering::SeqCst, time::Duration};

#[test]
fn threads_tasks_cancellations_and_resizes_lose_nothing() {
    let fake = Fake::default();
    let pool = Pool::builder(fake.clone())
        .size(1..=4)
        .max_lifetime(Duration::from_millis(5))
        .check_after(Duration::from_micros(200))
        .acquire_timeout(Duration::from_secs(60))
        .build()
        .unwrap();
    let threads: Vec<_> = (0..6)
        .map(|kind| {
            let pool = pool.clone();
            std::thread::spawn(move || {
                for turn in 0..400_usize {
                    match (kind + turn) % 6 {
                        0 | 1 => pool.get_blocking().unwrap().dirty = turn % 3 == 0,
                        2 => drop(ropewalk_sync::block_on(pool.get()).unwrap()),
                        3 => {
                            let mut get = Box::pin(pool.get());
                            if let std::task::Poll::Ready(Ok(mut conn)) = poll(get.as_mut()) {
                                conn.broken = turn % 50 == 3;
                            }
                        }
                        4 => assert!(ropewalk_sync::block_on(pool.run(|conn| conn.id)).unwrap() > 0),
                        _ => {
                            if turn % 40 == 5 {
                                pool.resize(0..=1 + turn % 4).unwrap();
                            }
                            if let Ok(conn) = pool.try_get() {
                                drop(conn);
                            }
                        }
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    pool.resize(0..=4).unwrap();
    let all: Vec<_> = (0..4).map(|_| pool.get_blocking().unwrap()).collect();
    assert_eq!(fake.live(), 4);
    drop(all);
    assert!(fake.0.peak.load(SeqCst) <= 4, "never more than the maximum");
    pool.close_blocking().unwrap();
    assert_eq!(fake.live(), 0);
    let stats = pool.stats();
    assert_eq!(stats.opened, fake.opened());
    assert_eq!(stats.opened, stats.closed.total());
}

#[test]
fn a_herd_on_an_empty_pool_opens_no_more_than_the_maximum() {
    let fake = Fake::default();
    let pool =
        Pool::builder(fake.clone()).size(0..=10).acquire_timeout(Duration::from_secs(60)).build().unwrap();
    let barrier = std::sync::Barrier::new(64);
    std::thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                barrier.wait();
                drop(pool.get_blocking().unwrap());
            });
        }
    });
    assert!(fake.0.peak.load(SeqCst) <= 10);
    assert_eq!(pool.stats().waiting, 0);
}

#[test]
fn a_snapshot_adds_up_at_any_instant() {
    let fake = Fake::default();
    let builder = Pool::builder(fake.clone()).size(0..=3).check_after(Duration::from_micros(50));
    let pool = builder.acquire_timeout(Duration::from_secs(60)).build().unwrap();
    let at_work = std::sync::atomic::AtomicUsize::new(5);
    std::thread::scope(|scope| {
        for kind in 0..5 {
            let (pool, at_work) = (pool.clone(), &at_work);
            scope.spawn(move || {
                for turn in 0..400_u64 {
                    let mut conn = pool.get_blocking().unwrap();
                    conn.dirty = kind == 0;
                    if (turn + kind) % 97 == 0 {
                        conn.discard();
                    }
                }
                at_work.fetch_sub(1, SeqCst);
            });
        }
        while at_work.load(SeqCst) > 0 {
            let stats = pool.stats();
            let parts = stats.idle + stats.in_use + stats.opening + stats.checking + stats.closing;
            assert_eq!(stats.size, parts);
            assert!(stats.size <= 3 && stats.opened - stats.closed.total() <= 3, "{stats:?}");
            let waits = pool.waits();
            assert!(waits.holders.len() <= 3 && waits.waiters.len() <= 5, "{waits:?}");
            std::thread::yield_now();
        }
    });
    assert_eq!(pool.stats().gets, 2_000);
}

#[test]
fn retaining_beside_callers_loses_nothing() {
    let fake = Fake::default();
    let pool =
        Pool::builder(fake.clone()).size(0..=3).acquire_timeout(Duration::from_secs(60)).build().unwrap();
    let (closed, at_work) = (std::sync::atomic::AtomicUsize::new(0), std::sync::atomic::AtomicUsize::new(4));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..400 {
                    drop(pool.get_blocking().unwrap());
                }
                at_work.fetch_sub(1, SeqCst);
            });
        }
        scope.spawn(|| {
            while at_work.load(SeqCst) > 0 {
                closed.fetch_add(pool.retain(|conn, _| conn.id % 2 == 0), SeqCst);
                std::thread::yield_now();
            }
        });
    });
    let all: Vec<_> = (0..3).map(|_| pool.get_blocking().unwrap()).collect();
    drop(all);
    pool.close_blocking().unwrap();
    assert_eq!((fake.live(), pool.stats().closed.not_retained), (0, closed.load(SeqCst) as u64));
    assert!(fake.0.peak.load(SeqCst) <= 3);
}

#[test]
fn closing_beside_callers_tells_each_and_ends_all() {
    for _ in 0..50 {
        let fake = Fake::default();
        let pool =
            Pool::builder(fake.clone()).size(0..=2).acquire_timeout(Duration::from_secs(60)).build().unwrap();
        let barrier = std::sync::Barrier::new(5);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    barrier.wait();
                    loop {
                        match pool.get_blocking() {
                            Ok(conn) => drop(conn),
                            Err(GetError::Closed) => return,
                            Err(error) => panic!("{error}"),
                        }
                    }
                });
            }
            barrier.wait();
            pool.close_blocking_timeout(Duration::from_secs(60)).unwrap();
            assert!(pool.is_closed());
        });
        assert_eq!((fake.live(), pool.stats().size, pool.stats().waiting), (0, 0, 0));
    }
}

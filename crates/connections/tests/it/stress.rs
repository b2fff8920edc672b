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

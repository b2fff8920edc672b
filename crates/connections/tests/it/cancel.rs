//! Futures dropped after each poll, and work that outlives its future.

use crate::{fake::Fake, line::poll};
use ropewalk_connections::*;
use ropewalk_sync::{Clock, Event};
use std::{pin::pin, sync::Arc, sync::atomic::Ordering::SeqCst, task::Poll, time::Duration};

#[test]
fn a_dropped_waiter_passes_its_connection_on() {
    let pool = Pool::builder(Fake::default()).size(1..=1).build().unwrap();
    let held = pool.get_blocking().unwrap();
    let mut first = Box::pin(pool.get());
    let mut second = pin!(pool.get());
    assert!(poll(first.as_mut()).is_pending());
    assert!(poll(second.as_mut()).is_pending());
    drop(held);
    drop(first);
    assert!(matches!(poll(second.as_mut()), Poll::Ready(Ok(_))));
}

#[test]
fn a_storm_of_cancelled_waiters_loses_no_slot_and_reopens_nothing() {
    let fake = Fake::default();
    let pool = Pool::builder(fake.clone()).size(4..=4).check_after(Duration::ZERO).build().unwrap();
    let warm: Vec<_> = (0..4).map(|_| pool.get_blocking().unwrap()).collect();
    drop(warm);
    let threads: Vec<_> = (0..4)
        .map(|seed| {
            let pool = pool.clone();
            std::thread::spawn(move || {
                for turn in 0..2_000 {
                    let mut get = Box::pin(pool.get());
                    for _ in 0..=(turn + seed) % 3 {
                        if poll(get.as_mut()).is_ready() {
                            break;
                        }
                        std::thread::yield_now();
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let all: Vec<_> = (0..4).map(|_| pool.get_blocking().unwrap()).collect();
    assert_eq!(all.len(), 4);
    assert_eq!(fake.opened(), 4, "no connection is opened anew because a caller went away");
    assert_eq!(fake.0.peak.load(SeqCst), 4);
}

#[test]
fn opening_goes_on_for_the_next_when_its_caller_is_gone() {
    let fake = Fake::default();
    let pool = Pool::builder(fake.clone()).size(0..=1).build().unwrap();
    fake.0.connect_gate.shut();
    let mut gone = Box::pin(pool.get());
    assert!(poll(gone.as_mut()).is_pending());
    fake.0.connect_gate.wait_for_arrival();
    drop(gone);
    fake.0.connect_gate.open();
    assert_eq!(pool.get_blocking().unwrap().id, 1);
    assert_eq!(fake.0.attempts.load(SeqCst), 1);
}

#[test]
fn work_outlives_its_future_and_the_connection_comes_back() {
    let pool = Pool::builder(Fake::default()).size(1..=1).build().unwrap();
    let (begun, go) = (Arc::new(Event::new()), Arc::new(Event::new()));
    let mut conn = pool.get_blocking().unwrap();
    {
        let (begun, go) = (begun.clone(), go.clone());
        let mut work = Box::pin(conn.run(move |conn| {
            begun.set();
            go.wait_blocking();
            conn.dirty = true;
        }));
        assert!(poll(work.as_mut()).is_pending());
    }
    begun.wait_blocking();
    // The guard is here, the connection at work: a second `run` waits for it.
    let mut second = Box::pin(conn.run(|conn| conn.dirty));
    assert!(poll(second.as_mut()).is_pending());
    go.set();
    assert!(ropewalk_sync::block_on(second), "the work went on to its end");
    drop(conn);
    assert!(!pool.get_blocking().unwrap().dirty);
}

#[test]
fn a_guard_dropped_with_its_connection_at_work_gives_it_back_after_the_work() {
    let clock = Clock::system();
    let pool = Pool::builder(Fake::default()).size(1..=1).clock(clock).build().unwrap();
    let (begun, go) = (Arc::new(Event::new()), Arc::new(Event::new()));
    let mut work = {
        let (pool, begun, go) = (pool.clone(), begun.clone(), go.clone());
        Box::pin(async move {
            pool.get()
                .await
                .unwrap()
                .run(move |conn| {
                    begun.set();
                    go.wait_blocking();
                    conn.id
                })
                .await
        })
    };
    while !begun.is_set() {
        assert!(poll(work.as_mut()).is_pending());
        std::thread::yield_now();
    }
    drop(work);
    assert_eq!(pool.stats().in_use, 1);
    go.set();
    assert_eq!(pool.get_blocking().unwrap().id, 1);
}

#[test]
fn the_guard_says_where_its_connection_is() {
    let pool = Pool::builder(Fake::default()).size(1..=1).build().unwrap();
    let go = Arc::new(Event::new());
    let mut conn = pool.get_blocking().unwrap();
    let wait = go.clone();
    assert!(poll(std::pin::Pin::new(&mut Box::pin(conn.run(move |_| wait.wait_blocking())))).is_pending());
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| conn.id)).unwrap_err();
    assert!(panic.downcast_ref::<String>().is_some_and(|text| text.contains("still at work")));
    go.set();
    assert_eq!(ropewalk_sync::block_on(conn.run(|conn| conn.id)), 1);
    assert_eq!(conn.id, 1);
}

#[test]
fn a_dropped_close_closes_all_the_same() {
    let (fake, clock) = (Fake::default(), Clock::virtual_());
    let pool = Pool::builder(fake.clone()).size(2..=2).clock(clock.clone()).build().unwrap();
    clock.settle();
    let held = pool.try_get().unwrap();
    let unpolled = pool.close();
    drop(unpolled);
    assert!(!pool.is_closed(), "nothing happens before the first poll");
    let mut close = Box::pin(pool.close());
    assert!(poll(close.as_mut()).is_pending());
    drop(close);
    assert!(pool.is_closed());
    drop(held);
    clock.settle();
    assert_eq!((fake.live(), pool.stats().threads), (0, 0));
}

type Step = fn(&Fake, &Clock, &mut Option<Conn<Fake>>);

#[test]
fn a_get_dropped_at_any_poll_of_any_step_loses_nothing() {
    // What happens after the first poll: nothing, the end of the opening, a hand-over, the end of a check.
    let steps: [Step; 3] = [
        |_, _, _| {},
        |fake, clock, _| {
            fake.0.connect_gate.open();
            fake.0.check_gate.open();
            clock.settle();
        },
        |_, _, held| drop(held.take()),
    ];
    for checks in [false, true] {
        for step in steps {
            for polls in 0..3 {
                let (fake, clock) = (Fake::default(), Clock::virtual_());
                let check_after = if checks { Duration::ZERO } else { Duration::MAX };
                let builder = Pool::builder(fake.clone()).size(0..=2).check_after(check_after);
                let pool = builder.acquire_timeout(Duration::MAX).clock(clock.clone()).build().unwrap();
                let mut held = Some(clock.block_on(pool.get()).unwrap());
                if checks {
                    drop(clock.block_on(pool.get()).unwrap());
                }
                fake.0.connect_gate.shut();
                fake.0.check_gate.shut();
                let mut get = Box::pin(pool.get());
                for turn in 0..polls {
                    if turn == 1 {
                        step(&fake, &clock, &mut held);
                    }
                    if let Poll::Ready(conn) = poll(get.as_mut()) {
                        drop(conn.unwrap());
                        break;
                    }
                }
                if polls == 1 {
                    step(&fake, &clock, &mut held);
                }
                drop(get);
                fake.0.connect_gate.open();
                fake.0.check_gate.open();
                drop(held);
                let both = [clock.block_on(pool.get()).unwrap(), clock.block_on(pool.get()).unwrap()];
                assert_eq!((fake.live(), pool.stats().waiting), (2, 0));
                drop(both);
                pool.close_blocking().unwrap();
                assert_eq!((fake.live(), fake.0.peak.load(SeqCst)), (0, 2));
            }
        }
    }
}

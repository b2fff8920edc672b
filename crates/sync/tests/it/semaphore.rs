//! The semaphore: limits, fairness, cancellation, regrants.

use crate::{Woken, bomb, panics, poll, poll_with};
use proptest::prelude::*;
use ropewalk_sync::{
    Acquire, AcquireError, AcquireTimeoutError, BuildError, Clock, Permit, Semaphore, TryAcquireError,
    block_on,
};
use std::{
    collections::VecDeque,
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Poll, Waker},
    thread,
    time::Duration,
};

#[test]
fn builder_refuses_what_cannot_work() {
    assert!(matches!(
        Semaphore::builder(Semaphore::MAX_PERMITS + 1).build(),
        Err(BuildError::TooManyPermits { .. })
    ));
    assert_eq!(
        Semaphore::builder(1).regrant_after(Duration::ZERO).build().unwrap_err(),
        BuildError::ZeroInterval
    );
    assert!(Semaphore::builder(Semaphore::MAX_PERMITS).regrant_after(Duration::MAX).build().is_ok());
}

#[test]
fn capacity_zero_makes_everybody_wait_for_a_resize() {
    let semaphore = Semaphore::new(0);
    assert_eq!(semaphore.try_acquire().unwrap_err(), TryAcquireError::NoPermits { wanted: 1, available: 0 });
    let mut waiter = semaphore.acquire();
    assert!(poll(&mut waiter).is_pending());
    semaphore.resize(1).unwrap();
    assert!(matches!(poll(&mut waiter), Poll::Ready(Ok(_))));
}

#[test]
fn too_many_at_once_is_an_error_not_a_hang() {
    let semaphore = Semaphore::new(3);
    assert_eq!(
        block_on(semaphore.acquire_many(4)).unwrap_err(),
        AcquireError::TooMany { wanted: 4, capacity: 3 }
    );
    assert_eq!(block_on(semaphore.acquire_many(0)).unwrap().permits(), 0);
}

#[test]
fn a_large_request_is_not_overtaken() {
    let semaphore = Semaphore::new(3);
    let held = semaphore.try_acquire_many(2).unwrap();
    let mut large = semaphore.acquire_many(3);
    assert!(poll(&mut large).is_pending());
    // One permit is free, but the line comes first.
    assert!(semaphore.try_acquire().is_err());
    let mut small = semaphore.acquire();
    assert!(poll(&mut small).is_pending());
    drop(held);
    let Poll::Ready(Ok(permit)) = poll(&mut large) else { panic!("all three are free") };
    assert!(poll(&mut small).is_pending());
    drop(permit);
    assert!(poll(&mut small).is_ready());
}

#[test]
fn cancel_after_each_poll_loses_no_permit() {
    for polls in 0..3 {
        let semaphore = Semaphore::new(1);
        let held = semaphore.try_acquire().unwrap();
        let mut first = semaphore.acquire();
        let mut second = semaphore.acquire();
        if polls > 0 {
            assert!(poll(&mut first).is_pending());
        }
        assert!(poll(&mut second).is_pending());
        if polls > 1 {
            drop(held); // granted to `first`, which is dropped unpolled
            drop(first);
        } else {
            drop(first);
            drop(held);
        }
        assert!(poll(&mut second).is_ready(), "after {polls} polls");
        assert_eq!((semaphore.available(), semaphore.waiting()), (1, 0));
    }
}

#[test]
fn a_grant_that_nobody_polls_passes_on_and_its_owner_keeps_its_place() {
    let clock = Clock::virtual_();
    let semaphore =
        Semaphore::builder(1).clock(clock.clone()).regrant_after(Duration::from_secs(1)).build().unwrap();
    let held = semaphore.try_acquire().unwrap();
    let mut sleeper = semaphore.acquire();
    let mut second = semaphore.acquire();
    let mut third = semaphore.acquire();
    assert!(
        poll(&mut sleeper).is_pending() && poll(&mut second).is_pending() && poll(&mut third).is_pending()
    );
    drop(held); // handed to `sleeper`, which nobody polls
    assert!(poll(&mut second).is_pending());
    clock.advance(Duration::from_secs(1));
    assert!(poll(&mut second).is_pending(), "a grant survives one interval");
    clock.advance(Duration::from_secs(1));
    let Poll::Ready(Ok(permit)) = poll(&mut second) else { panic!("the grant was taken back and passed on") };
    assert!(poll(&mut sleeper).is_pending());
    drop(permit);
    assert!(poll(&mut third).is_pending(), "the sleeper stands before the third again");
    assert!(matches!(poll(&mut sleeper), Poll::Ready(Ok(_))));
    assert!(poll(&mut third).is_ready());
}

#[test]
fn however_many_wait_a_grant_survives_one_interval() {
    let clock = Clock::virtual_();
    let semaphore =
        Semaphore::builder(1).clock(clock.clone()).regrant_after(Duration::from_secs(1)).build().unwrap();
    let held = semaphore.try_acquire().unwrap();
    let mut sleeper = semaphore.acquire();
    assert!(poll(&mut sleeper).is_pending());
    let mut others: Vec<_> = (0..5).map(|_| semaphore.acquire()).collect();
    assert!(others.iter_mut().all(|other| poll(other).is_pending()));
    drop(held);
    clock.advance(Duration::from_secs(1));
    // Each of them looks; only the first of an interval may sweep.
    assert!(others.iter_mut().all(|other| poll(other).is_pending()));
    assert!(matches!(poll(&mut sleeper), Poll::Ready(Ok(_))));
}

#[test]
fn timeouts_follow_the_clock_and_leave_the_line() {
    let clock = Clock::virtual_();
    let semaphore = Arc::new(Semaphore::builder(1).clock(clock.clone()).build().unwrap());
    let held = semaphore.try_acquire().unwrap();
    let started = Arc::new(Barrier::new(2));
    let waiter = thread::spawn({
        let (semaphore, started) = (semaphore.clone(), started.clone());
        let clock = clock.clone();
        move || {
            clock.block_on(async {
                let bounded = semaphore.acquire_timeout(Duration::from_secs(5));
                started.wait();
                bounded.await.map(|permit| permit.permits())
            })
        }
    });
    started.wait();
    clock.advance(Duration::from_secs(5));
    let error = waiter.join().unwrap().unwrap_err();
    assert_eq!(error, AcquireTimeoutError::Timeout { wanted: 1, capacity: 1, waiting: 0 });
    assert_eq!(semaphore.waiting(), 0);
    drop(held);
    assert!(semaphore.acquire_blocking_timeout(Duration::MAX).is_ok(), "a huge duration means for ever");
}

#[test]
fn close_refuses_waiters_and_late_comers_and_keeps_permits_valid() {
    let semaphore = Semaphore::new(1);
    let held = semaphore.try_acquire().unwrap();
    let mut waiter = semaphore.acquire();
    assert!(poll(&mut waiter).is_pending());
    semaphore.close();
    assert!(matches!(poll(&mut waiter), Poll::Ready(Err(AcquireError::Closed))));
    assert_eq!(semaphore.try_acquire().unwrap_err(), TryAcquireError::Closed);
    assert_eq!(semaphore.acquire_blocking().unwrap_err(), AcquireError::Closed);
    drop(held);
    assert!(semaphore.stats().closed && semaphore.stats().available == 1);
}

#[test]
fn shrinking_below_use_is_a_debt() {
    let semaphore = Semaphore::new(3);
    let mut all = semaphore.try_acquire_many(3).unwrap();
    semaphore.resize(1).unwrap();
    assert_eq!((semaphore.capacity(), semaphore.stats().debt), (1, 2));
    drop(all.split(2));
    assert_eq!((semaphore.available(), semaphore.stats().debt), (0, 0));
    semaphore.resize(2).unwrap();
    assert_eq!(semaphore.available(), 1);
    all.forget();
    assert_eq!(semaphore.available(), 1);
}

#[test]
fn a_panicking_waker_loses_no_permit() {
    type Serve = fn(&Semaphore, Permit<'_>);
    let ways: [Serve; 3] = [
        |_, held| drop(held),
        |semaphore, held| {
            held.forget();
            semaphore.resize(4).unwrap();
        },
        |semaphore, held| {
            held.forget();
            semaphore.close();
        },
    ];
    for (way, serve) in ways.into_iter().enumerate() {
        let semaphore = Semaphore::new(2);
        let held = semaphore.try_acquire_many(2).unwrap();
        let (mut first, mut second) = (semaphore.acquire(), semaphore.acquire());
        let woken = Arc::new(Woken::default());
        assert!(poll_with(&mut first, bomb()).is_pending());
        assert!(poll_with(&mut second, Waker::from(woken.clone())).is_pending());
        assert!(panics(|| serve(&semaphore, held)), "the panic goes on to the caller");
        assert_eq!(woken.count(), 1, "the one behind is woken all the same");
        let (Poll::Ready(first), Poll::Ready(second)) = (poll(&mut first), poll(&mut second)) else {
            panic!("both are served")
        };
        assert_eq!((first.is_ok(), second.is_ok()), (way != 2, way != 2));
        drop((first, second));
        assert_eq!((semaphore.available(), semaphore.waiting()), (if way == 2 { 0 } else { 2 }, 0));
    }
}

#[test]
fn a_cancelled_grant_passes_on_although_the_next_waker_panics() {
    let semaphore = Semaphore::new(1);
    let held = semaphore.try_acquire().unwrap();
    let (mut first, mut second) = (semaphore.acquire(), semaphore.acquire());
    assert!(poll(&mut first).is_pending() && poll_with(&mut second, bomb()).is_pending());
    drop(held);
    assert!(panics(|| drop(first)));
    assert!(matches!(poll(&mut second), Poll::Ready(Ok(_))));
}

#[test]
fn a_panic_of_the_holder_gives_its_permit_back() {
    let semaphore = Semaphore::new(1);
    let held = Barrier::new(2);
    thread::scope(|s| {
        s.spawn(|| {
            assert!(panics(|| {
                let _permit = semaphore.acquire_blocking().unwrap();
                held.wait();
                std::panic::resume_unwind(Box::new("while it is held"));
            }))
        });
        held.wait();
        assert!(semaphore.acquire_blocking().is_ok());
    });
    assert_eq!(semaphore.available(), 1);
}

#[test]
fn a_bounded_wait_that_is_dropped_leaves_the_line() {
    let clock = Clock::virtual_();
    let semaphore = Semaphore::builder(1).clock(clock.clone()).build().unwrap();
    let held = semaphore.try_acquire().unwrap();
    for polls in 0..2 {
        let mut bounded = Box::pin(semaphore.acquire_timeout(Duration::from_secs(9)));
        for _ in 0..polls {
            assert!(poll(&mut bounded).is_pending());
        }
        assert_eq!(semaphore.waiting(), polls);
        drop(bounded);
        assert_eq!((semaphore.waiting(), clock.next_deadline()), (0, None));
    }
    drop(held);
    assert_eq!(semaphore.available(), 1);
}

#[test]
fn close_wakes_threads_that_wait() {
    let semaphore = Semaphore::new(1);
    let held = semaphore.try_acquire().unwrap();
    thread::scope(|s| {
        let waiters: Vec<_> = (0..3).map(|_| s.spawn(|| semaphore.acquire_blocking().map(drop))).collect();
        while semaphore.waiting() < 3 {
            thread::yield_now();
        }
        semaphore.close();
        for waiter in waiters {
            assert_eq!(waiter.join().unwrap(), Err(AcquireError::Closed));
        }
    });
    drop(held);
}

#[test]
fn resizes_of_many_threads_add_up() {
    let semaphore = Semaphore::new(8);
    let held = semaphore.try_acquire_many(3).unwrap();
    let start = Barrier::new(4);
    thread::scope(|s| {
        for n in 0..4_usize {
            let (semaphore, start) = (&semaphore, &start);
            s.spawn(move || {
                start.wait();
                for i in 0..500 {
                    semaphore.resize((i * 7 + n * 3) % 12).unwrap();
                    drop(semaphore.try_acquire());
                }
            });
        }
    });
    drop(held);
    semaphore.resize(5).unwrap();
    assert_eq!((semaphore.available(), semaphore.stats().debt), (5, 0));
}

#[test]
fn owned_permits_split_and_are_forgotten() {
    let semaphore = Arc::new(Semaphore::new(3));
    let mut all = semaphore.try_acquire_many_owned(3).unwrap();
    let one = all.split(1).unwrap();
    assert!(all.split(3).is_none());
    assert_eq!((all.permits(), one.permits()), (2, 1));
    drop(one);
    assert_eq!(semaphore.available(), 1);
    all.forget();
    assert_eq!((semaphore.available(), Arc::strong_count(&semaphore)), (1, 1));
}

#[test]
fn stress_threads_and_tasks_never_exceed_the_permits() {
    const PERMITS: usize = 3;
    let semaphore = Arc::new(Semaphore::new(PERMITS));
    let inside = Arc::new(AtomicUsize::new(0));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (semaphore, inside) = (semaphore.clone(), inside.clone());
            runtime.spawn(async move {
                for _ in 0..500 {
                    let permit = semaphore.acquire_owned().await.unwrap();
                    assert!(inside.fetch_add(1, Ordering::SeqCst) < PERMITS);
                    tokio::task::yield_now().await;
                    inside.fetch_sub(1, Ordering::SeqCst);
                    drop(permit);
                }
            })
        })
        .collect();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (semaphore, inside) = (semaphore.clone(), inside.clone());
            thread::spawn(move || {
                for _ in 0..500 {
                    let permit = semaphore.acquire_blocking().unwrap();
                    assert!(inside.fetch_add(1, Ordering::SeqCst) < PERMITS);
                    inside.fetch_sub(1, Ordering::SeqCst);
                    drop(permit);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
    runtime.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert_eq!((semaphore.available(), semaphore.waiting()), (PERMITS, 0));
}

#[derive(Clone, Debug)]
enum Op {
    Try(usize),
    Start(usize),
    Poll(usize),
    Drop(usize),
    Release(usize),
    Resize(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        (1..4usize).prop_map(Op::Try),
        (1..4usize).prop_map(Op::Start),
        any::<usize>().prop_map(Op::Poll),
        any::<usize>().prop_map(Op::Drop),
        any::<usize>().prop_map(Op::Release),
        (3..7usize).prop_map(Op::Resize),
    ]
}

proptest! {
    /// Against a counter and a list: who is served, in which order, and how many permits are free.
    #[test]
    fn prop_semaphore_is_a_counter_with_a_line(ops in proptest::collection::vec(op(), 1..60)) {
        let semaphore = Semaphore::new(4);
        let (mut capacity, mut used) = (4usize, 0usize);
        let mut held: Vec<Permit<'_>> = Vec::new();
        let mut waiting: Vec<(u32, usize, Acquire<&Semaphore>)> = Vec::new();
        let mut line: VecDeque<(u32, usize)> = VecDeque::new();
        let mut served: Vec<u32> = Vec::new();
        let mut next = 0;
        for op in ops {
            match op {
                Op::Try(n) => {
                    let expected = line.is_empty() && used + n <= capacity;
                    match semaphore.try_acquire_many(n) {
                        Ok(permit) => { prop_assert!(expected); used += n; held.push(permit); }
                        Err(_) => prop_assert!(!expected),
                    }
                }
                Op::Start(n) if n <= capacity => {
                    let mut acquire = semaphore.acquire_many(n);
                    let expected = line.is_empty() && used + n <= capacity;
                    match poll(&mut acquire) {
                        Poll::Ready(permit) => { prop_assert!(expected); used += n; held.push(permit.unwrap()); }
                        Poll::Pending => { prop_assert!(!expected); line.push_back((next, n)); waiting.push((next, n, acquire)); }
                    }
                    next += 1;
                }
                Op::Poll(i) if !waiting.is_empty() => {
                    let i = i % waiting.len();
                    let (id, _, acquire) = &mut waiting[i];
                    let expected = served.contains(id);
                    match poll(acquire) {
                        Poll::Ready(permit) => { prop_assert!(expected); held.push(permit.unwrap()); drop(waiting.remove(i)); }
                        Poll::Pending => prop_assert!(!expected),
                    }
                }
                Op::Drop(i) if !waiting.is_empty() => {
                    let (id, n, acquire) = waiting.remove(i % waiting.len());
                    if served.contains(&id) { used -= n } else { line.retain(|&(other, _)| other != id) }
                    drop(acquire);
                }
                Op::Release(i) if !held.is_empty() => {
                    let permit = held.remove(i % held.len());
                    used -= permit.permits();
                    drop(permit);
                }
                Op::Resize(to) => { semaphore.resize(to).unwrap(); capacity = to; }
                _ => {}
            }
            while let Some(&(id, n)) = line.front() {
                if used + n > capacity { break }
                used += n;
                served.push(id);
                line.pop_front();
            }
            prop_assert_eq!(semaphore.available(), capacity.saturating_sub(used));
            prop_assert_eq!(semaphore.waiting(), line.len());
        }
    }
}

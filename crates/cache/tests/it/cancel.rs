//! Callers that vanish after any poll.

use crate::support::{Wakes, poll_once, yields};
use ropewalk_cache::{Cache, LoadError};
use ropewalk_sync::{Event, block_on};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
};

const STEPS: usize = 3;

/// A loader of a few polls that counts how often it starts and ends.
async fn load(starts: &AtomicUsize, ends: &AtomicUsize) -> Result<u64, ()> {
    starts.fetch_add(1, SeqCst);
    yields(STEPS).await;
    ends.fetch_add(1, SeqCst);
    Ok(42)
}

#[test]
fn a_leader_dropped_after_any_poll_is_followed_by_the_next_in_line() {
    for leader_polls in 0..=STEPS {
        for second_polls in 0..=STEPS {
            let cache: Cache<u64, u64> = Cache::new(10);
            let (starts, ends) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let mut callers: Vec<_> =
                (0..4).map(|_| Box::pin(cache.get_or_load(1, || load(&starts, &ends)))).collect();
            let mut dropped = 0;
            for polls in [leader_polls, second_polls] {
                // Everybody is in line, the first one leads.
                for caller in &mut callers {
                    assert!(poll_once(caller).is_pending());
                }
                let mut leader = callers.remove(0);
                for _ in 1..polls {
                    assert!(poll_once(&mut leader).is_pending());
                }
                drop(leader);
                dropped += 1;
            }
            for caller in callers {
                assert_eq!(block_on(caller), Ok(42));
            }
            assert_eq!(ends.into_inner(), 1, "completed loads");
            assert!(starts.into_inner() <= 1 + dropped);
            let stats = cache.stats();
            assert_eq!((stats.loads, stats.shared_loads), (1, 1));
            assert_eq!(cache.get(&1), Some(42));
        }
    }
}

#[test]
fn a_waiter_dropped_after_any_poll_is_not_missed() {
    for polls in 0..=STEPS {
        let cache: Cache<u64, u64> = Cache::new(10);
        let (starts, ends) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let mut leader = Box::pin(cache.get_or_load(1, || load(&starts, &ends)));
        let mut waiter = Box::pin(cache.get_or_load(1, || load(&starts, &ends)));
        let mut last = Box::pin(cache.get_or_load(1, || load(&starts, &ends)));
        assert!(poll_once(&mut leader).is_pending());
        for _ in 0..polls {
            assert!(poll_once(&mut waiter).is_pending());
        }
        assert!(poll_once(&mut last).is_pending());
        drop(waiter);
        assert_eq!(block_on(leader), Ok(42));
        assert_eq!(block_on(last), Ok(42));
        assert_eq!((starts.into_inner(), ends.into_inner()), (1, 1));
    }
}

#[test]
fn a_waiter_that_was_handed_the_lead_and_vanishes_passes_it_on() {
    let cache: Cache<u64, u64> = Cache::new(10);
    let (starts, ends) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let wakes: Vec<Arc<Wakes>> = (0..4).map(|_| Arc::default()).collect();
    let mut callers: Vec<_> =
        (0..4).map(|_| Some(Box::pin(cache.get_or_load(1, || load(&starts, &ends))))).collect();
    for (caller, wakes) in callers.iter_mut().zip(&wakes) {
        let waker = Waker::from(wakes.clone());
        let polled = caller.as_mut().unwrap().as_mut().poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
    }
    let woken = || wakes[1..].iter().map(|wakes| wakes.count()).collect::<Vec<_>>();
    callers[0] = None;
    assert_eq!(woken(), [1, 0, 0]);
    callers[1] = None;
    assert_eq!(woken(), [1, 1, 0], "never polled again, yet it passed the lead on");
    callers[2] = None;
    assert_eq!(woken(), [1, 1, 1]);
    assert_eq!(block_on(callers[3].take().unwrap()), Ok(42));
    assert_eq!((starts.load(SeqCst), ends.load(SeqCst)), (2, 1));
}

#[test]
fn when_all_vanish_nothing_is_left() {
    let cache: Cache<u64, u64> = Cache::new(10);
    let (starts, ends) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let mut callers: Vec<_> =
        (0..5).map(|_| Box::pin(cache.get_or_load(1, || load(&starts, &ends)))).collect();
    assert!(callers.iter_mut().all(|caller| poll_once(caller).is_pending()));
    drop(callers);
    assert_eq!((starts.load(SeqCst), ends.load(SeqCst)), (1, 0));
    assert_eq!(cache.get_or_load_blocking(1, || Ok::<_, ()>(7)), Ok(7), "the next call starts again");
    assert_eq!(cache.stats().load_failures, 5, "each was the leader for a moment");
}

#[test]
fn a_value_that_landed_for_a_waiter_that_vanishes_is_dropped_once() {
    let value = Arc::new(());
    let cache: Cache<u64, Arc<()>> = Cache::new(10);
    let gate = Event::new();
    let load = || async {
        gate.wait().await;
        Ok::<_, ()>(value.clone())
    };
    let mut leader = Box::pin(cache.get_or_load(1, load));
    let mut waiter = Box::pin(cache.get_or_load(1, load));
    assert!(poll_once(&mut leader).is_pending() && poll_once(&mut waiter).is_pending());
    cache.invalidate(&1);
    gate.set();
    assert!(matches!(poll_once(&mut leader), Poll::Ready(Ok(_))));
    drop(leader);
    drop(waiter);
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn a_detached_load_whose_leader_vanishes_goes_on_among_its_waiters() {
    let cache: Cache<u64, u64> = Cache::new(10);
    let (starts, ends) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let mut leader = Box::pin(cache.get_or_load(1, || load(&starts, &ends)));
    let mut waiter = Box::pin(cache.get_or_load(1, || load(&starts, &ends)));
    assert!(poll_once(&mut leader).is_pending() && poll_once(&mut waiter).is_pending());
    cache.insert(1, 1);
    drop(leader);
    assert_eq!(block_on(waiter), Ok(42));
    assert_eq!(cache.get(&1), Some(1));
}

#[test]
fn a_panicking_loader_is_followed_by_the_next_in_line() {
    let cache: Cache<u64, u64> = Cache::new(10);
    let gate = Event::new();
    let mut leader = Box::pin(cache.get_or_load(1, || async {
        gate.wait().await;
        panic!("the loader's");
        #[allow(unreachable_code, reason = "it names the types")]
        Ok::<_, ()>(0)
    }));
    let mut waiter = Box::pin(cache.get_or_load(1, || async { Ok::<_, ()>(2) }));
    assert!(poll_once(&mut leader).is_pending() && poll_once(&mut waiter).is_pending());
    gate.set();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| poll_once(&mut leader)));
    assert!(panicked.is_err());
    // The leader's future was not even dropped, and yet its place has passed on.
    assert_eq!(block_on(waiter), Ok(2));
    let thread = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        cache.get_or_load_blocking(3, || -> Result<u64, ()> { panic!("the thread's") })
    }));
    assert!(thread.is_err());
    assert!(matches!(
        cache.get_or_load_blocking(3, || Err("next")).unwrap_err(),
        LoadError::Failed(error) if *error == "next"
    ));
    assert_eq!(cache.stats().load_failures, 3);
}

#[test]
fn a_thread_that_waits_goes_on_when_the_leader_vanishes() {
    let cache: Cache<u64, u64> = Cache::new(10);
    let mut leader = Box::pin(cache.get_or_load(1, std::future::pending::<Result<u64, ()>>));
    assert!(poll_once(&mut leader).is_pending());
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| cache.get_or_load_blocking(1, || Ok::<_, ()>(2)));
        let optional = scope.spawn(|| cache.get_or_load_optional_blocking(1, || Ok::<_, ()>(Some(2))));
        let insert = scope.spawn(|| cache.get_or_insert_with(1, || 2));
        while cache.stats().misses < 4 {
            std::thread::yield_now();
        }
        drop(leader);
        assert_eq!(thread.join().unwrap(), Ok(2));
        assert_eq!(optional.join().unwrap(), Ok(Some(2)));
        assert_eq!(insert.join().unwrap(), 2);
    });
    assert_eq!((cache.stats().loads, cache.stats().load_failures), (1, 1));
}

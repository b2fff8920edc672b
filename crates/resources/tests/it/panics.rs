//! Wakers that panic: the caller hears of it, and nobody loses a lease, a place or a wake-up.

use crate::support::{Bell, poll_with, ready, waits};
use ropewalk_resources::{Acquire, AcquireError, Lease, Request, ResourcePool};
use ropewalk_sync::Clock;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

const SECOND: Duration = Duration::from_secs(1);

struct Bomb;

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {
        panic!("a waker of the user's");
    }
}

fn panics<R>(step: impl FnOnce() -> R) -> bool {
    catch_unwind(AssertUnwindSafe(step)).is_err()
}

/// Puts a future in line with a waker that panics.
fn lay_a_bomb(future: &mut Acquire) {
    assert!(poll_with_waker(future, &Waker::from(Arc::new(Bomb))).is_pending());
}

fn poll_with_waker(future: &mut Acquire, waker: &Waker) -> Poll<Result<Lease, AcquireError>> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

fn sharers(pool: &ResourcePool, bell: &Arc<Bell>) -> (Acquire, Acquire) {
    let wish = || Request::new().shared("x").units("slot", 1);
    let (mut b, mut c) = (pool.acquire("b", wish()), pool.acquire("c", wish()));
    lay_a_bomb(&mut b);
    assert!(poll_with(&mut c, bell).is_pending());
    (b, c)
}

/// A step that serves two waiters, of whom the first has a waker that panics.
fn serves_both(step: impl FnOnce(&ResourcePool, Lease)) {
    let pool = ResourcePool::new();
    pool.define("slot", 3).unwrap();
    let held = pool.try_acquire("a", Request::new().exclusive("x").units("slot", 1)).unwrap();
    let bell = Arc::new(Bell::default());
    let (mut b, mut c) = sharers(&pool, &bell);
    assert!(panics(|| step(&pool, held)), "the caller hears of it");
    assert_eq!(bell.rung(), 1, "the one behind is woken all the same");
    drop((ready(&mut b).unwrap(), ready(&mut c).unwrap()));
    let stats = pool.stats();
    assert_eq!((stats.leases, stats.waiting, stats.owners), (0, 0, 0));
    assert!(pool.try_acquire("d", Request::new().exclusive("x").units("slot", 3)).is_ok());
}

#[test]
fn whatever_gives_back_wakes_all_behind_a_waker_that_panics() {
    serves_both(|_, held| drop(held));
    serves_both(|_, held| held.release());
    serves_both(|_, mut held| held.release_one("x").unwrap());
    serves_both(|_, mut held| held.downgrade("x").unwrap());
    serves_both(|pool, held| {
        let told = catch_unwind(AssertUnwindSafe(|| pool.reclaim("a")));
        assert!(!held.is_valid());
        drop(held);
        if let Err(panic) = told {
            std::panic::resume_unwind(panic);
        }
    });
}

#[test]
fn units_that_come_back_wake_all_behind_a_waker_that_panics() {
    for resize in [false, true] {
        let pool = ResourcePool::new();
        pool.define("slot", 2).unwrap();
        let mut held = pool.try_acquire("a", Request::new().units("slot", 2)).unwrap();
        let bell = Arc::new(Bell::default());
        let (mut b, mut c) = sharers(&pool, &bell);
        assert!(panics(|| if resize {
            pool.resize("slot", 4).unwrap();
        } else {
            held.release_units("slot", 2).unwrap();
        }));
        assert_eq!(bell.rung(), 1);
        drop((ready(&mut b).unwrap(), ready(&mut c).unwrap(), held));
        assert_eq!((pool.stats().leases, pool.resource("slot").unwrap().in_use), (0, 0));
    }
}

#[test]
fn whatever_refuses_tells_all_behind_a_waker_that_panics() {
    let refusals: [fn(&ResourcePool); 3] = [
        |pool| pool.close(),
        |pool| drop(pool.resize("slot", 0)),
        // Both waits of one owner.
        |pool| assert_eq!(pool.refuse("b"), 2),
    ];
    for refuse in refusals {
        let pool = ResourcePool::new();
        pool.define("slot", 3).unwrap();
        let held = pool.try_acquire("a", Request::new().exclusive("x")).unwrap();
        let bell = Arc::new(Bell::default());
        let wish = || Request::new().shared("x").units("slot", 1);
        let (mut first, mut second) = (pool.acquire("b", wish()), pool.acquire("b", wish()));
        lay_a_bomb(&mut first);
        assert!(poll_with(&mut second, &bell).is_pending());
        assert!(panics(|| refuse(&pool)));
        assert_eq!(bell.rung(), 1);
        assert!(ready(&mut first).is_err() && ready(&mut second).is_err());
        drop(held);
        assert_eq!((pool.stats().leases, pool.stats().waiting, pool.stats().owners), (0, 0, 0));
    }
}

#[test]
fn a_cancelled_barrier_wakes_all_behind_a_waker_that_panics() {
    let pool = ResourcePool::builder().overtaking(0).build().unwrap();
    pool.define("slot", 3).unwrap();
    let held = pool.try_acquire("a", Request::new().exclusive("y")).unwrap();
    let mut barrier = pool.acquire("barrier", Request::new().exclusive("x").exclusive("y"));
    assert!(waits(&mut barrier));
    let bell = Arc::new(Bell::default());
    let (mut b, mut c) = sharers(&pool, &bell);
    assert!(panics(|| drop(barrier)));
    assert_eq!(bell.rung(), 1);
    drop((ready(&mut b).unwrap(), ready(&mut c).unwrap(), held));
    assert_eq!((pool.stats().leases, pool.stats().waiting), (0, 0));
}

/// A pool in which `o` waits for y, which is free but kept for a barrier. As soon as `o` holds anything it
/// passes that barrier, and the waker of its wait panics.
fn an_owner_on_the_brink() -> (ResourcePool, Acquire, Lease, Acquire) {
    let pool = ResourcePool::builder().overtaking(0).build().unwrap();
    let z = pool.try_acquire("h", Request::new().exclusive("z")).unwrap();
    let mut barrier = pool.acquire("barrier", Request::new().exclusive("y").exclusive("z"));
    assert!(waits(&mut barrier));
    let mut second = pool.acquire("o", Request::new().exclusive("y"));
    lay_a_bomb(&mut second);
    (pool, barrier, z, second)
}

#[test]
fn a_lease_had_at_once_in_a_step_whose_waker_panics_comes_back() {
    let takes: [fn(&ResourcePool) -> Lease; 4] = [
        |pool| pool.try_acquire("o", Request::new().exclusive("w")).unwrap(),
        |pool| ready(&mut pool.acquire("o", Request::new().exclusive("w"))).unwrap(),
        |pool| ready(&mut pool.acquire_timeout("o", Request::new().exclusive("w"), SECOND)).unwrap(),
        |pool| pool.acquire_blocking("o", Request::new().exclusive("w")).unwrap(),
    ];
    for take in takes {
        let (pool, barrier, z, mut second) = an_owner_on_the_brink();
        assert!(panics(|| take(&pool)));
        assert_eq!(pool.resource("w").unwrap().in_use, 0, "nobody has it, so nobody could give it back");
        drop(ready(&mut second).unwrap());
        drop((barrier, z));
        let stats = pool.stats();
        assert_eq!((stats.leases, stats.waiting, stats.owners), (0, 0, 0));
    }
}

#[test]
fn a_lease_had_by_a_poll_whose_waker_panics_comes_back() {
    let clock = Clock::virtual_();
    let pool =
        ResourcePool::builder().overtaking(0).clock(clock.clone()).regrant_after(SECOND).build().unwrap();
    let w = pool.try_acquire("h", Request::new().exclusive("w")).unwrap();
    let mut sleepy = pool.acquire("o", Request::new().exclusive("w"));
    assert!(waits(&mut sleepy));
    drop(w);
    // Granted, not polled, and taken back by a passer-by who waits.
    let z = pool.try_acquire("h", Request::new().exclusive("z")).unwrap();
    let mut barrier = pool.acquire("barrier", Request::new().exclusive("y").exclusive("z"));
    assert!(waits(&mut barrier));
    clock.advance(SECOND);
    assert!(waits(&mut barrier));
    assert_eq!(pool.stats().regranted, 1);
    let mut second = pool.acquire("o", Request::new().exclusive("y"));
    lay_a_bomb(&mut second);
    // Back in line it has w at once, so its owner passes the barrier, and that wakes.
    assert!(panics(|| waits(&mut sleepy)));
    assert_eq!(pool.resource("w").unwrap().in_use, 0);
    drop(sleepy);
    drop(ready(&mut second).unwrap());
    drop((barrier, z));
    let stats = pool.stats();
    assert_eq!((stats.leases, stats.waiting, stats.owners), (0, 0, 0));
}

/// A waker whose last handle panics when it goes.
struct DropBomb(AtomicBool);

impl Wake for DropBomb {
    fn wake(self: Arc<Self>) {}
}

impl Drop for DropBomb {
    fn drop(&mut self) {
        if *self.0.get_mut() && !std::thread::panicking() {
            panic!("the drop of a waker of the user's");
        }
    }
}

#[test]
fn a_waker_that_panics_when_it_is_dropped_leaves_its_future_in_line() {
    let pool = ResourcePool::new();
    let held = pool.try_acquire("a", Request::new().exclusive("x")).unwrap();
    let mut b = pool.acquire("b", Request::new().exclusive("x"));
    let waker = Waker::from(Arc::new(DropBomb(AtomicBool::new(true))));
    assert!(poll_with_waker(&mut b, &waker).is_pending());
    drop(waker);
    let bell = Arc::new(Bell::default());
    assert!(panics(|| poll_with(&mut b, &bell)), "the old waker goes when the new one comes");
    drop(held);
    assert_eq!(bell.rung(), 1, "the new waker had come before the old one went");
    drop(ready(&mut b).unwrap());
    // The same for one that goes with its future.
    let held = pool.try_acquire("a", Request::new().exclusive("x")).unwrap();
    let mut b = pool.acquire("b", Request::new().exclusive("x"));
    let waker = Waker::from(Arc::new(DropBomb(AtomicBool::new(true))));
    assert!(poll_with_waker(&mut b, &waker).is_pending());
    drop(waker);
    assert!(panics(|| drop(b)));
    assert_eq!((pool.stats().waiting, pool.stats().owners), (0, 1));
    drop(held);
}

#[test]
fn a_second_panic_while_unwinding_does_not_abort() {
    let pool = ResourcePool::new();
    let held = pool.try_acquire("a", Request::new().exclusive("x")).unwrap();
    let mut b = pool.acquire("b", Request::new().exclusive("x"));
    lay_a_bomb(&mut b);
    let first = catch_unwind(AssertUnwindSafe(|| {
        let _held = held;
        panic!("the holder's own");
    }));
    assert_eq!(first.unwrap_err().downcast_ref(), Some(&"the holder's own"));
    drop(ready(&mut b).unwrap());
}

/// A waker that remembers being woken, and may panic then.
struct Mine {
    woken: AtomicBool,
    is_bomb: bool,
}

impl Wake for Mine {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
        assert!(!self.is_bomb, "a waker of the user's");
    }
}

struct Waiting {
    future: Acquire,
    waker: Arc<Mine>,
}

/// Random steps of four owners, half of whose wakers panic. Who can go on has been woken, and nothing is
/// left behind.
#[test]
fn wakers_that_panic_anywhere_lose_no_lease_and_no_wake_up() {
    let mut heard = 0;
    for seed in 1..300_u64 {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut below = |n: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % n
        };
        let pool = ResourcePool::builder().overtaking(below(3) as u32).build().unwrap();
        pool.define("slot", 2).unwrap();
        let (mut waiting, mut leases) = (Vec::<Waiting>::new(), Vec::<Lease>::new());
        for _ in 0..40 {
            let step = below(6);
            if step <= 2 {
                let mut wish = Request::new().units("slot", below(3));
                for name in ["x", "y", "z"] {
                    wish = match below(4) {
                        0 => wish.exclusive(name),
                        1 => wish.shared(name),
                        _ => wish,
                    };
                }
                let owner = format!("o{}", below(4));
                if step == 0 {
                    match catch_unwind(AssertUnwindSafe(|| pool.try_acquire(owner, wish))) {
                        Ok(result) => leases.extend(result),
                        Err(_) => heard += 1,
                    }
                    continue;
                }
                let mut future = pool.acquire(owner, wish);
                let waker = Arc::new(Mine { woken: AtomicBool::new(false), is_bomb: below(2) == 0 });
                let std_waker = Waker::from(waker.clone());
                match catch_unwind(AssertUnwindSafe(|| poll_with_waker(&mut future, &std_waker))) {
                    Ok(Poll::Ready(result)) => leases.extend(result),
                    Ok(Poll::Pending) => waiting.push(Waiting { future, waker }),
                    Err(_) => heard += 1,
                }
            } else if step == 3 && !leases.is_empty() {
                let lease = leases.swap_remove(below(leases.len() as u64) as usize);
                heard += u32::from(panics(|| drop(lease)));
            } else if step == 4 && !waiting.is_empty() {
                let gone = waiting.swap_remove(below(waiting.len() as u64) as usize);
                heard += u32::from(panics(|| drop(gone)));
            } else if step == 5 && !waiting.is_empty() {
                let at = below(waiting.len() as u64) as usize;
                if waiting[at].waker.woken.load(Ordering::SeqCst) {
                    let mut woken = waiting.swap_remove(at);
                    leases.extend(ready(&mut woken.future));
                } else {
                    assert!(waits(&mut waiting[at].future), "it can go on, and nobody told it");
                    let again = Waker::from(waiting[at].waker.clone());
                    assert!(poll_with_waker(&mut waiting[at].future, &again).is_pending());
                }
            }
        }
        for mut one in waiting.drain(..) {
            if one.waker.woken.load(Ordering::SeqCst) {
                leases.extend(ready(&mut one.future));
            } else {
                assert!(waits(&mut one.future), "it can go on, and nobody told it");
                heard += u32::from(panics(|| drop(one)));
            }
        }
        for lease in leases {
            heard += u32::from(panics(|| drop(lease)));
        }
        let stats = pool.stats();
        assert_eq!((stats.leases, stats.waiting, stats.owners), (0, 0, 0), "seed {seed}");
        assert_eq!(pool.resource("slot").unwrap().in_use, 0);
    }
    assert!(heard > 100, "panics reached their callers: {heard}");
}

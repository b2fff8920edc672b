//! Claims: requests of one owner, made again and again.

use crate::support::{Bell, poll, poll_with, ready, waits};
use ropewalk_resources::{
    Access, AcquireError, AcquireTimeoutError, Claim, Mode, Request, ResourcePool, TryAcquireError,
};
use ropewalk_sync::Clock;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Wake, Waker},
    time::Duration,
};

const SECOND: Duration = Duration::from_secs(1);

fn claim(pool: &ResourcePool, owner: &str, request: &Request) -> Claim {
    pool.prepare(request).unwrap().claim(owner)
}

#[test]
fn a_claim_takes_its_whole_set_or_nothing() {
    let pool = ResourcePool::new();
    let mut ab = claim(&pool, "a", &Request::new().exclusive("x").exclusive("y"));
    let mut bc = claim(&pool, "b", &Request::new().exclusive("y").exclusive("z"));
    for _ in 0..3 {
        let held = ab.try_acquire().unwrap();
        assert!(held.is_valid() && held.owner().as_str() == "a");
        let refused = bc.try_acquire().unwrap_err();
        assert_eq!(refused, TryAcquireError::Busy { name: "y".into(), held_by: vec!["a".into()] });
        assert!(pool.try_acquire("c", Request::new().exclusive("z")).is_ok(), "nothing of it is held");
        held.release();
        drop(bc.try_acquire().unwrap());
    }
    assert_eq!(pool.resource("y").unwrap().acquired, 6);
    let (stats, owners) = (pool.stats(), (ab.owner().clone(), bc.owner().clone()));
    assert_eq!((stats.leases, stats.owners, stats.acquired), (0, 0, 9));
    assert_eq!((owners.0.as_str(), owners.1.as_str()), ("a", "b"));
    drop((ab, bc));
    assert_eq!((pool.stats().acquired, pool.resource("y").unwrap().acquired), (9, 6));
}

#[test]
fn claims_and_leases_exclude_each_other() {
    let pool = ResourcePool::new();
    pool.define("slot", 3).unwrap();
    let request = Request::new().exclusive("x").shared("y").units("slot", 2);
    let mut mine = claim(&pool, "a", &request);
    let lease = pool.try_acquire("b", Request::new().exclusive("x")).unwrap();
    assert!(mine.try_acquire().is_err());
    drop(lease);
    let lease = pool.try_acquire("b", Request::new().shared("y").units("slot", 1)).unwrap();
    let held = mine.try_acquire().unwrap();
    assert!(pool.try_acquire("c", Request::new().units("slot", 1)).is_err());
    assert!(pool.try_acquire("c", Request::new().exclusive("y")).is_err());
    assert!(pool.try_acquire("c", Request::new().shared("x")).is_err());
    let slot = pool.resource("slot").unwrap();
    assert_eq!((slot.in_use, slot.holders.len()), (3, 2));
    drop(lease);
    let shared = pool.try_acquire("c", Request::new().shared("y").units("slot", 1)).unwrap();
    drop((held, shared));
    assert_eq!(pool.resource("slot").unwrap().in_use, 0);
    // By itself, without the books.
    let held = mine.try_acquire().unwrap();
    assert_eq!(pool.resource("y").unwrap().holders, ["a".into()]);
    drop(held);
    assert!(pool.try_acquire("c", Request::new().exclusive("y").units("slot", 3)).is_ok());
}

#[test]
fn a_claim_is_seen_with_its_age_from_the_first_look() {
    let clock = Clock::virtual_();
    let pool = ResourcePool::builder().clock(clock.clone()).build().unwrap();
    let mut mine = claim(&pool, "a", &Request::new().exclusive("x").shared("y"));
    let held = mine.try_acquire().unwrap();
    clock.advance(SECOND);
    let leases = pool.leases();
    assert_eq!((leases.len(), leases[0].age, leases[0].owner.as_str()), (1, Duration::ZERO, "a"));
    let mut names = leases[0].held.clone();
    names.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(names, [("x".to_owned(), Mode::Exclusive), ("y".to_owned(), Mode::Shared)]);
    clock.advance(SECOND);
    let stats = pool.stats();
    assert_eq!((stats.oldest_lease, stats.leases, stats.owners), (SECOND, 1, 1));
    assert_eq!(pool.leases()[0].fencing, held.fencing());
    // The next one is younger.
    drop(held);
    let held = mine.try_acquire().unwrap();
    assert_eq!(pool.leases()[0].age, Duration::ZERO);
    // A forgotten one is held until its claim drops.
    std::mem::forget(held);
    clock.advance(SECOND);
    assert_eq!(pool.leases()[0].age, SECOND);
    assert!(pool.try_acquire("b", Request::new().exclusive("x")).is_err());
    // Its owner may have what it holds exclusively again, and share what it shares.
    drop(mine.try_acquire().unwrap());
    drop(mine);
    assert_eq!(pool.stats().leases, 0);
    assert!(pool.try_acquire("b", Request::new().exclusive("x").exclusive("y")).is_ok());
}

#[test]
fn a_claim_stands_in_the_same_line() {
    let pool = ResourcePool::builder().overtaking(0).build().unwrap();
    let (mut first, mut third) = (
        claim(&pool, "a", &Request::new().exclusive("x")),
        claim(&pool, "c", &Request::new().exclusive("x")),
    );
    let bell = Arc::new(Bell::default());
    let held = first.try_acquire().unwrap();
    let mut second = pool.acquire("b", Request::new().exclusive("x"));
    assert!(poll_with(&mut second, &bell).is_pending());
    let mut waiting = Box::pin(third.acquire());
    assert!(waits(&mut waiting));
    assert_eq!(pool.wait_for_graph()[0].blocker.as_str(), "a");
    drop(held);
    assert_eq!(bell.rung(), 1);
    assert!(first.try_acquire().is_err(), "others come first");
    assert!(waits(&mut waiting));
    drop(ready(&mut second).unwrap());
    drop(ready(&mut waiting).unwrap());
    drop(waiting);
    let mut cancelled = Box::pin(third.acquire());
    let held = first.try_acquire().unwrap();
    assert!(waits(&mut cancelled));
    drop(cancelled);
    drop(held);
    assert!(third.try_acquire().is_ok(), "nobody stands in line any more");
    assert_eq!((pool.stats().waiting, pool.stats().cancelled), (0, 1));
}

#[test]
fn a_claim_waits_for_so_long() {
    let clock = Clock::virtual_();
    let pool = ResourcePool::builder().clock(clock.clone()).build().unwrap();
    let (mut first, mut second) = (
        claim(&pool, "a", &Request::new().exclusive("x")),
        claim(&pool, "b", &Request::new().exclusive("x")),
    );
    let held = first.try_acquire().unwrap();
    {
        let mut late = pin!(second.acquire_timeout(SECOND));
        assert!(poll(&mut late).is_pending());
        clock.advance(SECOND);
        let timeout = AcquireTimeoutError::Timeout { name: "x".into(), held_by: vec!["a".into()] };
        assert_eq!(ready(&mut late).unwrap_err(), timeout);
    }
    drop(held);
    drop(ready(&mut pin!(second.acquire_timeout(SECOND))).unwrap());
    drop(second.acquire_blocking_timeout(SECOND).unwrap());
    std::thread::scope(|s| {
        let _held = first.try_acquire().unwrap();
        let waiter = s.spawn(|| second.acquire_blocking_timeout(SECOND).map(drop));
        while clock.next_deadline().is_none() {
            std::thread::yield_now();
        }
        clock.advance(2 * SECOND);
        assert!(waiter.join().unwrap().is_err());
    });
}

#[test]
fn a_nested_claim_is_part_of_cycles() {
    let pool = ResourcePool::new();
    let mut a = claim(&pool, "a", &Request::new().exclusive("x"));
    let mut b = claim(&pool, "b", &Request::new().shared("y"));
    let (_x, _y) = (a.try_acquire().unwrap(), b.try_acquire().unwrap());
    let mut wait = pool.acquire("a", Request::new().exclusive("y"));
    assert!(waits(&mut wait));
    let mut b_wants = claim(&pool, "b", &Request::new().exclusive("x"));
    let Err(AcquireError::Deadlock { cycle }) = b_wants.acquire_blocking().map(drop) else { panic!() };
    assert_eq!(cycle.to_string(), "b holds y, wants x; a holds x, wants y");
}

#[test]
fn an_owner_with_a_claim_passes_barriers_also_in_an_older_wait() {
    let pool = ResourcePool::builder().overtaking(0).build().unwrap();
    // z is wanted by a barrier that waits for d, and by an older wait of an owner that takes a only afterwards.
    let d = pool.try_acquire("v", Request::new().exclusive("d")).unwrap();
    let mut barrier = pool.acquire("z", Request::new().exclusive("d").exclusive("c"));
    assert!(waits(&mut barrier));
    let mut wait = pool.acquire("x", Request::new().exclusive("c"));
    assert!(waits(&mut wait), "it is barred");
    let mut shared = claim(&pool, "x", &Request::new().shared("a"));
    let held = shared.try_acquire().unwrap();
    // The holder of d now waits for x, which would wait for the barrier, which waits for d.
    let mut last = pool.acquire("v", Request::new().exclusive("a"));
    assert!(waits(&mut last));
    drop(ready(&mut wait).unwrap());
    drop(held);
    drop(ready(&mut last).unwrap());
    drop(d);
    drop(ready(&mut barrier).unwrap());
}

#[test]
fn a_reclaimed_claim_is_void_and_its_number_is_lower() {
    for request in [Request::new().exclusive("x"), Request::new().exclusive("x").shared("y")] {
        let pool = ResourcePool::new();
        let mut mine = claim(&pool, "a", &request);
        drop(mine.try_acquire().unwrap());
        let stuck = mine.try_acquire().unwrap();
        let mut waiting = pool.acquire("b", Request::new().exclusive("x"));
        assert!(waits(&mut waiting));
        assert_eq!(pool.reclaim("a"), 1);
        let fresh = ready(&mut waiting).unwrap();
        assert!(!stuck.is_valid() && fresh.fencing() > stuck.fencing());
        drop(stuck);
        assert!(mine.try_acquire().is_err(), "a void lease gives nothing back");
        assert_eq!((pool.reclaim("a"), pool.stats().reclaimed), (0, 1));
        let number = fresh.fencing();
        drop(fresh);
        let again = mine.try_acquire().unwrap();
        assert!(again.is_valid() && again.fencing() > number);
        drop(again);
        assert!(pool.try_acquire("c", Request::new().exclusive("x").exclusive("y")).is_ok());
    }
}

#[test]
fn capacity_changes_under_a_claim() {
    let pool = ResourcePool::new();
    pool.define("slot", 4).unwrap();
    let mut three = claim(&pool, "a", &Request::new().units("slot", 3));
    let mut one = claim(&pool, "b", &Request::new().units("slot", 1));
    let held = three.try_acquire().unwrap();
    pool.resize("slot", 2).unwrap();
    assert_eq!(pool.resource("slot").unwrap().debt, 1);
    assert!(one.try_acquire().is_err());
    drop(held);
    assert_eq!((pool.resource("slot").unwrap().debt, pool.resource("slot").unwrap().in_use), (0, 0));
    assert!(matches!(
        three.acquire_blocking().map(drop),
        Err(AcquireError::TooMany { wanted: 3, capacity: 2, .. })
    ));
    drop(one.try_acquire().unwrap());
    pool.resize("slot", 3).unwrap();
    drop(three.try_acquire().unwrap());
    pool.close();
    assert_eq!(one.try_acquire().unwrap_err(), TryAcquireError::Acquire(AcquireError::Closed));
    let mut nothing = claim_of_nothing();
    assert!(nothing.try_acquire().is_err());
}

struct Bomb;
impl Wake for Bomb {
    fn wake(self: Arc<Self>) {
        panic!("a waker of the user's");
    }
}

#[test]
fn a_claim_wakes_all_behind_a_waker_that_panics() {
    let pool = ResourcePool::new();
    let mut mine = claim(&pool, "a", &Request::new().exclusive("x").exclusive("y"));
    let bell = Arc::new(Bell::default());
    for unwinding in [false, true] {
        let held = mine.try_acquire().unwrap();
        let mut x = pool.acquire("b", Request::new().exclusive("x"));
        let mut y = pool.acquire("c", Request::new().exclusive("y"));
        let bomb = Waker::from(Arc::new(Bomb));
        assert!(Pin::new(&mut x).poll(&mut Context::from_waker(&bomb)).is_pending());
        assert!(poll_with(&mut y, &bell).is_pending());
        let rung = bell.rung();
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let _held = held;
            assert!(!unwinding, "on the way out");
        }));
        assert!(caught.is_err());
        assert_eq!(bell.rung(), rung + 1);
        drop((ready(&mut x).unwrap(), ready(&mut y).unwrap()));
    }
    assert!(mine.try_acquire().is_ok());
}

/// A claim of a closed pool on nothing at all.
fn claim_of_nothing() -> Claim {
    let pool = ResourcePool::new();
    let claim = claim(&pool, "a", &Request::new());
    pool.close();
    claim
}

#[test]
fn accesses_are_judged_by_claims_too() {
    let pool = ResourcePool::new();
    let mut mine = claim(&pool, "a", &Request::new().exclusive("x"));
    assert_eq!(pool.access("a", "x"), Ok(Access::Unprotected));
    let held = mine.try_acquire().unwrap();
    assert_eq!(pool.access("a", "x"), Ok(Access::Leased));
    assert_eq!(pool.access("b", "x").unwrap_err().holder.as_str(), "a");
    drop(held);
    assert_eq!(pool.access("b", "x"), Ok(Access::Unprotected));
    assert!(format!("{mine:?}").contains("\"a\""));
}

#[test]
fn many_threads_with_claims_and_names_exclude_each_other() {
    let pool = ResourcePool::builder().overtaking(2).build().unwrap();
    pool.define("slot", 2).unwrap();
    let names = ["a", "b", "c", "d"];
    let inside = [const { AtomicUsize::new(0) }; 4];
    let units = AtomicUsize::new(0);
    std::thread::scope(|s| {
        for t in 0..6_usize {
            let (pool, inside, units) = (&pool, &inside, &units);
            s.spawn(move || {
                let request = |i: usize| {
                    let pair = Request::new().exclusive(names[i % 4]).exclusive(names[(i + 1 + t % 2) % 4]);
                    (
                        if i % 3 == 0 { pair.units("slot", 1) } else { pair },
                        i % 4,
                        (i + 1 + t % 2) % 4,
                        i % 3 == 0,
                    )
                };
                let owner = format!("t{t}");
                let mut claims = (0..12).map(|i| claim(pool, &owner, &request(i).0)).collect::<Vec<_>>();
                for i in 0..600 {
                    let (wish, x, y, counts) = request(i % 12);
                    let work = || {
                        for at in [x, y] {
                            assert_eq!(inside[at].fetch_add(1, Ordering::Relaxed), 0, "not alone");
                        }
                        assert!(!counts || units.fetch_add(1, Ordering::Relaxed) < 2);
                        if i % 16 == 0 {
                            std::thread::yield_now();
                        }
                        if counts {
                            units.fetch_sub(1, Ordering::Relaxed);
                        }
                        for at in [x, y] {
                            inside[at].fetch_sub(1, Ordering::Relaxed);
                        }
                    };
                    if (i + t) % 5 == 0 {
                        let _lease = pool.acquire_blocking(&*owner, wish).unwrap();
                        work();
                    } else {
                        let lease = claims[i % 12].acquire_blocking().unwrap();
                        work();
                        assert!(i % 50 != 0 || lease.is_valid());
                    }
                }
            });
        }
        for _ in 0..50 {
            let stats = pool.stats();
            assert!(stats.resources.iter().filter(|r| r.capacity.is_none()).all(|r| r.in_use <= 1));
            std::thread::yield_now();
        }
    });
    let stats = pool.stats();
    assert_eq!((stats.leases, stats.waiting, stats.owners), (0, 0, 0));
    assert_eq!(stats.acquired, 6 * 600);
    assert!(stats.most_overtaken <= 2, "{}", stats.most_overtaken);
    assert!(stats.resources.iter().all(|r| r.in_use == 0));
}

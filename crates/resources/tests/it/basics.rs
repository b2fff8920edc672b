//! Taking, giving back, errors, capacities, snapshots.

use crate::support::{ready, waits};
use ropewalk_resources::{
    Acquire, AcquireError, AcquireTimeout, AcquireTimeoutError, BuildError, Claim, ClaimLease, DefineError,
    Lease, Mode, NotHeld, Prepared, Request, ResourcePool, Slots, TryAcquireError,
};
use ropewalk_sync::Clock;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn public_types_cross_threads() {
    fn check<T: Send + Sync + 'static>() {}
    check::<ResourcePool>();
    check::<Lease>();
    check::<Acquire>();
    check::<AcquireTimeout>();
    check::<Claim>();
    check::<ClaimLease<'static>>();
    check::<Prepared>();
    check::<Request>();
    check::<Slots>();
    check::<AcquireError>();
}

#[test]
fn a_set_is_taken_whole_or_not_at_all() {
    let pool = ResourcePool::new();
    let held = pool.try_acquire("a", Request::new().exclusive("y")).unwrap();
    let refused = pool.try_acquire("b", Request::new().exclusive("x").exclusive("y").exclusive("z"));
    assert_eq!(refused.unwrap_err(), TryAcquireError::Busy { name: "y".into(), held_by: vec!["a".into()] });
    // Nothing of the refused set was kept.
    let rest = pool.try_acquire("c", Request::new().exclusive("x").exclusive("z")).unwrap();
    drop((held, rest));
    assert_eq!(pool.stats().leases, 0);
}

#[test]
fn sharers_share_and_exclude_the_exclusive() {
    let pool = ResourcePool::new();
    let one = pool.try_acquire("a", Request::new().shared("x")).unwrap();
    let two = pool.try_acquire("b", Request::new().shared("x")).unwrap();
    let refused = pool.try_acquire("c", Request::new().exclusive("x")).unwrap_err();
    assert_eq!(refused.to_string(), "x is held by a, b; wait with acquire()");
    drop(one);
    assert!(pool.try_acquire("c", Request::new().exclusive("x")).is_err());
    drop(two);
    let alone = pool.try_acquire("c", Request::new().exclusive("x")).unwrap();
    assert!(pool.try_acquire("a", Request::new().shared("x")).is_err());
    drop(alone);
}

#[test]
fn units_are_counted() {
    let pool = ResourcePool::new();
    pool.define("slot", 3).unwrap();
    let two = pool.try_acquire("a", Request::new().units("slot", 1).units("slot", 1)).unwrap();
    assert_eq!(two.held(), [("slot".to_owned(), Mode::Units(2))]);
    assert!(pool.try_acquire("b", Request::new().units("slot", 2)).is_err());
    let one = pool.try_acquire("b", Request::new().units("slot", 1)).unwrap();
    assert_eq!(pool.resource("slot").unwrap().in_use, 3);
    drop(two);
    assert_eq!(pool.resource("slot").unwrap().in_use, 1);
    drop(one);
}

#[test]
fn what_is_held_may_be_had_again_by_its_owner() {
    let pool = ResourcePool::new();
    let first = pool.try_acquire("a", Request::new().exclusive("x")).unwrap();
    let again = pool.try_acquire("a", Request::new().exclusive("x").shared("y")).unwrap();
    drop(first);
    assert!(pool.try_acquire("b", Request::new().shared("x")).is_err(), "the second lease still holds it");
    drop(again);
    assert!(pool.try_acquire("b", Request::new().shared("x")).is_ok());
}

#[test]
fn an_only_sharer_may_become_exclusive() {
    let pool = ResourcePool::new();
    let shared = pool.try_acquire("a", Request::new().shared("x")).unwrap();
    let both = pool.try_acquire("a", Request::new().exclusive("x")).unwrap();
    assert!(pool.try_acquire("b", Request::new().shared("x")).is_err());
    drop((shared, both));
}

#[test]
fn odd_requests_are_decided() {
    let pool = ResourcePool::new();
    pool.define("slot", 2).unwrap();
    // Nothing asked for is had at once.
    let nothing = pool.try_acquire("a", Request::new().units("unknown", 0)).unwrap();
    assert!(nothing.held().is_empty());
    assert_eq!(
        pool.try_acquire("a", Request::new().units("slot", 3)).unwrap_err(),
        TryAcquireError::Acquire(AcquireError::TooMany { name: "slot".into(), wanted: 3, capacity: 2 })
    );
    assert_eq!(
        pool.acquire_blocking("a", Request::new().units("nothing", 1)).unwrap_err(),
        AcquireError::Undefined { name: "nothing".into() }
    );
    assert_eq!(
        pool.acquire_blocking("a", Request::new().exclusive("slot")).unwrap_err(),
        AcquireError::Counted { name: "slot".into() }
    );
    // The same name as both kinds is wrong whichever it is.
    assert!(pool.try_acquire("a", Request::new().exclusive("new").units("new", 1)).is_err());
    assert!(pool.try_acquire("a", Request::new().units("slot", 1).shared("slot")).is_err());
    assert!(pool.resource("new").is_none(), "a refused request makes no names");
    // More units than there can be do not wrap around.
    assert!(pool.try_acquire("a", Request::new().units("slot", u64::MAX).units("slot", 2)).is_err());
    // Exclusive wins over shared.
    let lease = pool.try_acquire("a", Request::new().shared("x").exclusive("x").shared("x")).unwrap();
    assert_eq!(lease.held(), [("x".to_owned(), Mode::Exclusive)]);
    drop(nothing);
}

#[test]
fn definitions_are_checked() {
    let pool = ResourcePool::new();
    let held = pool.try_acquire("a", Request::new().shared("x")).unwrap();
    assert_eq!(pool.define("x", 2), Err(DefineError::InUse { name: "x".into() }));
    assert_eq!(pool.resize("x", 2), Err(DefineError::Undefined { name: "x".into() }));
    assert_eq!(pool.resize("y", 2), Err(DefineError::Undefined { name: "y".into() }));
    drop(held);
    pool.define("x", 2).unwrap();
    pool.define("x", 5).unwrap();
    assert_eq!(pool.resource("x").unwrap().capacity, Some(5));
    assert_eq!(
        ResourcePool::builder().regrant_after(Duration::ZERO).build().unwrap_err(),
        BuildError::ZeroInterval
    );
}

#[test]
fn raising_the_capacity_serves_those_in_line() {
    let pool = ResourcePool::new();
    let slots = pool.slots("slot", 1).unwrap();
    let held = slots.try_acquire("a").unwrap();
    let (mut b, mut c) = (slots.acquire("b"), slots.acquire("c"));
    assert!(waits(&mut b) && waits(&mut c));
    slots.resize(2).unwrap();
    let second = ready(&mut b).unwrap();
    assert!(waits(&mut c));
    slots.resize(3).unwrap();
    let third = ready(&mut c).unwrap();
    assert_eq!(slots.in_use(), 3);
    drop((held, second, third));
}

#[test]
fn lowering_the_capacity_below_use_is_a_debt() {
    let pool = ResourcePool::new();
    let slots = pool.slots("slot", 3).unwrap();
    let held = ["a", "b", "c"].map(|owner| slots.try_acquire(owner).unwrap());
    slots.resize(1).unwrap();
    assert_eq!(pool.resource("slot").unwrap().debt, 2);
    let mut d = slots.acquire("d");
    assert!(waits(&mut d));
    let mut held = held.into_iter();
    drop(held.next());
    drop(held.next());
    assert!(waits(&mut d), "the first two that came back paid the debt");
    assert_eq!(pool.resource("slot").unwrap().debt, 0);
    drop(held.next());
    drop(ready(&mut d).unwrap());
}

#[test]
fn lowering_the_capacity_below_a_wish_ends_the_wait() {
    let pool = ResourcePool::new();
    pool.define("slot", 4).unwrap();
    let held = pool.try_acquire("a", Request::new().units("slot", 4)).unwrap();
    let mut large = pool.acquire("b", Request::new().units("slot", 3).exclusive("x"));
    assert!(waits(&mut large));
    let mut behind = pool.acquire("c", Request::new().units("slot", 1));
    assert!(waits(&mut behind));
    pool.resize("slot", 2).unwrap();
    assert_eq!(
        ready(&mut large).unwrap_err(),
        AcquireError::TooMany { name: "slot".into(), wanted: 3, capacity: 2 }
    );
    assert!(waits(&mut behind));
    pool.resize("slot", 0).unwrap();
    assert!(matches!(ready(&mut behind), Err(AcquireError::TooMany { capacity: 0, .. })));
    drop(held);
    assert!(pool.slots("slot", 0).unwrap().try_acquire("a").is_err());
}

#[test]
fn parts_of_a_lease_go_back_early() {
    let pool = ResourcePool::new();
    pool.define("slot", 4).unwrap();
    let request = Request::new().exclusive("x").exclusive("y").units("slot", 4);
    let mut lease = pool.try_acquire("a", request).unwrap();
    let (mut x, mut y) =
        (pool.acquire("b", Request::new().shared("x")), pool.acquire("c", Request::new().exclusive("y")));
    let mut units = pool.acquire("d", Request::new().units("slot", 3));
    assert!(waits(&mut x) && waits(&mut y) && waits(&mut units));

    lease.downgrade("x").unwrap();
    let shared = ready(&mut x).unwrap();
    lease.release_one("y").unwrap();
    let other = ready(&mut y).unwrap();
    lease.release_units("slot", 2).unwrap();
    assert!(waits(&mut units));
    lease.release_units("slot", 1).unwrap();
    let three = ready(&mut units).unwrap();
    assert_eq!(lease.release_units("slot", 2), Err(NotHeld { name: "slot".into() }));
    lease.release_units("slot", 1).unwrap();
    assert_eq!(lease.release_one("slot"), Err(NotHeld { name: "slot".into() }));
    assert_eq!(lease.downgrade("y"), Err(NotHeld { name: "y".into() }));
    assert_eq!(lease.held(), [("x".to_owned(), Mode::Shared)]);
    drop((shared, other, three, lease));
    assert_eq!(pool.stats().leases, 0);
}

#[test]
fn a_deadline_says_who_holds_it() {
    let clock = Clock::virtual_();
    let pool = ResourcePool::builder().clock(clock.clone()).build().unwrap();
    let held = pool.try_acquire("a", Request::new().exclusive("x")).unwrap();
    let mut late = pool.acquire_timeout("b", Request::new().exclusive("x"), 5 * SECOND);
    assert!(waits(&mut late));
    clock.advance(4 * SECOND);
    assert!(waits(&mut late));
    clock.advance(SECOND);
    assert_eq!(
        ready(&mut late).unwrap_err(),
        AcquireTimeoutError::Timeout { name: "x".into(), held_by: vec!["a".into()] }
    );
    let stats = pool.stats();
    assert_eq!((stats.timeouts, stats.waiting, stats.leases), (1, 0, 1));
    drop(held);
    // A lease that is there at the deadline wins over it, and a zero deadline is a try.
    assert!(ready(&mut pool.acquire_timeout("b", Request::new().exclusive("x"), Duration::ZERO)).is_ok());
    assert!(ready(&mut pool.acquire_timeout("b", Request::new().exclusive("x"), Duration::MAX)).is_ok());
}

#[test]
fn threads_time_out_too() {
    let clock = Clock::virtual_();
    let pool = ResourcePool::builder().clock(clock.clone()).build().unwrap();
    let held = pool.try_acquire("a", Request::new().exclusive("x")).unwrap();
    std::thread::scope(|s| {
        let late = s.spawn(|| pool.acquire_blocking_timeout("b", Request::new().exclusive("x"), SECOND));
        while pool.stats().waiting == 0 || clock.next_deadline().is_none() {
            std::thread::yield_now();
        }
        clock.advance(SECOND);
        assert!(matches!(late.join().unwrap(), Err(AcquireTimeoutError::Timeout { .. })));
    });
    drop(held);
}

#[test]
fn prepared_requests_are_those_of_their_pool() {
    let (pool, other) = (ResourcePool::new(), ResourcePool::new());
    let prepared = pool.prepare(Request::new().exclusive("x").shared("y")).unwrap();
    for _ in 0..3 {
        let lease = pool.try_acquire("a", &prepared).unwrap();
        assert_eq!(lease.held().len(), 2);
        assert!(pool.try_acquire("b", &prepared).is_err());
    }
    assert_eq!(
        other.try_acquire("a", &prepared).unwrap_err(),
        TryAcquireError::Acquire(AcquireError::OtherPool)
    );
    assert!(pool.prepare(Request::new().units("none", 1)).is_err());
    // What it names cannot turn into something else while it lives.
    assert!(pool.define("x", 1).is_err());
    drop(prepared);
    pool.define("x", 1).unwrap();
}

#[test]
fn names_that_nobody_uses_are_forgotten_beyond_a_bound() {
    let pool = ResourcePool::builder().idle_names(3).build().unwrap();
    pool.define("slot", 1).unwrap();
    for i in 0..100 {
        drop(pool.try_acquire("a", Request::new().exclusive(format!("file-{i}"))).unwrap());
    }
    let names = pool.stats().resources.into_iter().map(|r| r.name).collect::<Vec<_>>();
    assert_eq!(names, ["file-97", "file-98", "file-99", "slot"]);
    // One in use stays, however many come after.
    let held = pool.try_acquire("a", Request::new().exclusive("file-98")).unwrap();
    for i in 200..210 {
        drop(pool.try_acquire("b", Request::new().exclusive(format!("file-{i}"))).unwrap());
    }
    assert_eq!(pool.resource("file-98").unwrap().acquired, 2);
    drop(held);
}

#[test]
fn closing_refuses_all_but_keeps_leases() {
    let pool = ResourcePool::new();
    let held = pool.try_acquire("a", Request::new().exclusive("x")).unwrap();
    let mut waiting = pool.acquire("b", Request::new().exclusive("x"));
    assert!(waits(&mut waiting));
    pool.close();
    assert!(pool.is_closed());
    assert_eq!(ready(&mut waiting).unwrap_err(), AcquireError::Closed);
    assert_eq!(
        pool.try_acquire("c", Request::new()).unwrap_err(),
        TryAcquireError::Acquire(AcquireError::Closed)
    );
    assert_eq!(pool.define("slot", 1), Err(DefineError::Closed));
    assert!(held.is_valid());
    drop(held);
    assert_eq!(pool.stats().leases, 0);
}

#[test]
fn fencing_numbers_rise_and_outlive_a_reclaim() {
    let pool = ResourcePool::new();
    let stuck = pool.try_acquire("a", Request::new().exclusive("x")).unwrap();
    let mut waiting = pool.acquire("b", Request::new().exclusive("x"));
    assert!(waits(&mut waiting));
    assert_eq!(pool.reclaim("a"), 1);
    let fresh = ready(&mut waiting).unwrap();
    assert!(fresh.fencing() > stuck.fencing());
    assert!(!stuck.is_valid() && fresh.is_valid());
    assert!(stuck.held().is_empty());
    drop(stuck);
    assert!(pool.try_acquire("c", Request::new().shared("x")).is_err(), "a void lease gives nothing back");
    assert_eq!(pool.stats().reclaimed, 1);
    assert_eq!(pool.reclaim("nobody"), 0);
}

#[test]
fn waiting_can_be_ended_from_outside() {
    let pool = ResourcePool::new();
    let held = pool.try_acquire("a", Request::new().exclusive("x")).unwrap();
    let mut waiting = pool.acquire("b", Request::new().exclusive("x"));
    assert!(waits(&mut waiting));
    assert_eq!(pool.refuse("b"), 1);
    assert_eq!(ready(&mut waiting).unwrap_err(), AcquireError::Refused { owner: "b".into() });
    assert_eq!(pool.refuse("b"), 0);
    drop(held);
}

#[test]
fn refusing_several_waits_of_an_owner_serves_none_of_them() {
    let pool = ResourcePool::builder().overtaking(0).build().unwrap();
    let held = pool.try_acquire("a", Request::new().exclusive("x")).unwrap();
    // The second waits for the first, which comes before it on y.
    let mut first = pool.acquire("b", Request::new().exclusive("x").exclusive("y"));
    let mut second = pool.acquire("b", Request::new().exclusive("y"));
    let mut other = pool.acquire("c", Request::new().exclusive("y"));
    assert!(waits(&mut first) && waits(&mut second) && waits(&mut other));
    assert_eq!(pool.refuse("b"), 2);
    assert!(ready(&mut first).is_err() && ready(&mut second).is_err());
    drop(ready(&mut other).unwrap());
    drop(held);
    assert_eq!(pool.stats().leases, 0);
}

#[test]
fn a_snapshot_tells_use_and_waits() {
    let clock = Clock::virtual_();
    let pool = ResourcePool::builder().clock(clock.clone()).build().unwrap();
    pool.define("slot", 4).unwrap();
    let held = pool.try_acquire("a", Request::new().units("slot", 2).exclusive("x")).unwrap();
    let mut waiting = pool.acquire("b", Request::new().exclusive("x"));
    assert!(waits(&mut waiting));
    clock.advance(10 * SECOND);
    let edges = pool.wait_for_graph();
    assert_eq!(edges.len(), 1);
    assert_eq!((edges[0].waiter.as_str(), edges[0].blocker.as_str()), ("b", "a"));
    assert_eq!((edges[0].resource.as_str(), edges[0].waited), ("x", 10 * SECOND));
    let leases = pool.leases();
    assert_eq!((leases[0].owner.as_str(), leases[0].age), ("a", 10 * SECOND));
    drop(held);
    let lease = ready(&mut waiting).unwrap();
    clock.advance(10 * SECOND);
    let (slot, x) = (pool.resource("slot").unwrap(), pool.resource("x").unwrap());
    assert!((slot.utilisation - 0.25).abs() < 1e-9, "half of it for half of the time");
    assert!((x.utilisation - 1.0).abs() < 1e-9);
    assert_eq!((slot.load, x.load, x.acquired), (0.0, 1.0, 2));
    assert_eq!(x.holders, ["b".into()]);
    let wait = x.wait.quantile(0.5).unwrap() as f64;
    assert!((wait / 10e9 - 1.0).abs() < 0.13);
    let stats = pool.stats();
    assert_eq!((stats.acquired, stats.waited, stats.leases), (2, 1, 1));
    assert_eq!((stats.wait.count(), stats.held.count()), (1, 1));
    drop(lease);
    assert_eq!(pool.stats().owners, 0, "an owner that holds and wants nothing is forgotten");
}

#[test]
fn a_forgotten_lease_shows_by_its_age() {
    let clock = Clock::virtual_();
    let pool = ResourcePool::builder().clock(clock.clone()).build().unwrap();
    std::mem::forget(pool.try_acquire("a", Request::new().exclusive("x")).unwrap());
    clock.advance(100 * SECOND);
    assert_eq!(pool.stats().oldest_lease, 100 * SECOND);
    assert_eq!(pool.leases()[0].owner.as_str(), "a");
    assert_eq!(pool.reclaim("a"), 1);
    assert!(pool.leases().is_empty());
}

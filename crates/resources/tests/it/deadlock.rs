//! Owners that hold and ask for more.

use crate::support::{ready, waits};
use ropewalk_resources::{AcquireError, Request, ResourcePool, WaitCause};

fn cycle(error: AcquireError) -> String {
    match error {
        AcquireError::Deadlock { cycle } => cycle.to_string(),
        other => panic!("not a deadlock: {other}"),
    }
}

#[test]
fn two_owners_that_want_each_others() {
    let pool = ResourcePool::new();
    let lib = pool.try_acquire("agent-7", Request::new().exclusive("src/lib.rs")).unwrap();
    let main = pool.try_acquire("agent-3", Request::new().exclusive("src/main.rs")).unwrap();
    let mut waiting = pool.acquire("agent-3", Request::new().exclusive("src/lib.rs"));
    assert!(waits(&mut waiting));
    let error = ready(&mut pool.acquire("agent-7", Request::new().exclusive("src/main.rs"))).unwrap_err();
    assert_eq!(
        cycle(error.clone()),
        "agent-7 holds src/lib.rs, wants src/main.rs; agent-3 holds src/main.rs, wants src/lib.rs"
    );
    assert_eq!(
        error.to_string(),
        "waiting would deadlock: agent-7 holds src/lib.rs, wants src/main.rs; agent-3 holds src/main.rs, \
         wants src/lib.rs; release something first, or ask for all at once"
    );
    assert_eq!((pool.deadlocks(), pool.stats().waiting), (1, 1));
    // The way out works: what the refused one holds serves the other.
    drop(lib);
    drop(ready(&mut waiting).unwrap());
    drop(main);
}

#[test]
fn three_in_a_ring() {
    let pool = ResourcePool::new();
    let _a = pool.try_acquire("a", Request::new().exclusive("x")).unwrap();
    let _b = pool.try_acquire("b", Request::new().exclusive("y")).unwrap();
    let _c = pool.try_acquire("c", Request::new().exclusive("z")).unwrap();
    let mut a = pool.acquire("a", Request::new().exclusive("y"));
    let mut b = pool.acquire("b", Request::new().shared("z").shared("free"));
    assert!(waits(&mut a) && waits(&mut b));
    let error = ready(&mut pool.acquire("c", Request::new().exclusive("x"))).unwrap_err();
    assert_eq!(cycle(error), "c holds z, wants x; a holds x, wants y; b holds y, wants z");
}

#[test]
fn two_sharers_that_both_want_to_be_exclusive() {
    let pool = ResourcePool::new();
    let _a = pool.try_acquire("a", Request::new().shared("x")).unwrap();
    let b = pool.try_acquire("b", Request::new().shared("x")).unwrap();
    let mut a = pool.acquire("a", Request::new().exclusive("x"));
    assert!(waits(&mut a));
    let error = ready(&mut pool.acquire("b", Request::new().exclusive("x"))).unwrap_err();
    assert_eq!(cycle(error), "b holds x, wants x; a holds x, wants x");
    drop(b);
    drop(ready(&mut a).unwrap());
}

#[test]
fn an_owner_can_deadlock_with_itself_on_units() {
    let pool = ResourcePool::new();
    pool.define("slot", 4).unwrap();
    let _held = pool.try_acquire("a", Request::new().units("slot", 3)).unwrap();
    let error = ready(&mut pool.acquire("a", Request::new().units("slot", 2))).unwrap_err();
    assert_eq!(cycle(error), "a holds slot, wants slot");
}

#[test]
fn a_circle_over_units_is_none_while_another_holder_can_finish() {
    let pool = ResourcePool::new();
    pool.define("slot", 3).unwrap();
    let _a = pool.try_acquire("a", Request::new().units("slot", 1).exclusive("x")).unwrap();
    let _b = pool.try_acquire("b", Request::new().units("slot", 1)).unwrap();
    let free = pool.try_acquire("c", Request::new().units("slot", 1)).unwrap();
    let mut b = pool.acquire("b", Request::new().exclusive("x"));
    assert!(waits(&mut b));
    // a waits for a unit of b (who waits for a), but c's would do.
    let mut a = pool.acquire("a", Request::new().units("slot", 1));
    assert!(waits(&mut a), "c can finish and give its unit back");
    drop(free);
    drop(ready(&mut a).unwrap());
    assert_eq!(pool.deadlocks(), 0);
}

#[test]
fn the_last_holder_who_could_finish_may_not_wait_in_the_circle() {
    let pool = ResourcePool::new();
    pool.define("slot", 2).unwrap();
    let _a = pool.try_acquire("a", Request::new().units("slot", 1).exclusive("x")).unwrap();
    let c = pool.try_acquire("c", Request::new().units("slot", 1)).unwrap();
    let mut a = pool.acquire("a", Request::new().units("slot", 1));
    assert!(waits(&mut a));
    let error = ready(&mut pool.acquire("c", Request::new().shared("x"))).unwrap_err();
    assert_eq!(cycle(error), "c holds slot, wants x; a holds x, wants slot");
    drop(c);
    drop(ready(&mut a).unwrap());
}

#[test]
fn a_barrier_does_not_keep_a_holder_from_what_it_needs_to_finish() {
    let pool = ResourcePool::builder().overtaking(0).build().unwrap();
    let held = pool.try_acquire("holder", Request::new().exclusive("a")).unwrap();
    let mut barrier = pool.acquire("waiter", Request::new().exclusive("a").exclusive("b"));
    assert!(waits(&mut barrier));
    // b is free, and kept for the waiter against newcomers.
    assert!(pool.try_acquire("newcomer", Request::new().exclusive("b")).is_err());
    let mut newcomer = pool.acquire("newcomer", Request::new().exclusive("b"));
    assert!(waits(&mut newcomer));
    let queued = pool.wait_for_graph().into_iter().find(|e| e.waiter.as_str() == "newcomer").unwrap();
    assert_eq!((queued.blocker.as_str(), queued.cause), ("waiter", WaitCause::Queued));
    // The holder passes, or nobody could go on.
    let nested = pool.try_acquire("holder", Request::new().exclusive("b")).unwrap();
    assert_eq!(pool.stats().nested_overtakes, 2, "it passed the barrier, and the newcomer that is one too");
    drop((held, nested));
    let both = ready(&mut barrier).unwrap();
    assert!(waits(&mut newcomer));
    drop(both);
    drop(ready(&mut newcomer).unwrap());
}

#[test]
fn an_owner_with_two_requests_is_watched_when_one_is_served() {
    // b waits for two things in two tasks; being given the first closes a circle through the second.
    let pool = ResourcePool::new();
    let _x = pool.try_acquire("a", Request::new().exclusive("x")).unwrap();
    let y = pool.try_acquire("c", Request::new().exclusive("y")).unwrap();
    let mut first = pool.acquire("b", Request::new().exclusive("y"));
    let mut second = pool.acquire("b", Request::new().exclusive("x"));
    assert!(waits(&mut first) && waits(&mut second));
    let mut a = pool.acquire("a", Request::new().exclusive("y"));
    assert!(waits(&mut a));
    drop(y);
    // b has y now and waits for x, which a holds, who waits for y. The youngest wait ends.
    let _y = ready(&mut first).unwrap();
    assert_eq!(cycle(ready(&mut a).unwrap_err()), "a holds x, wants y; b holds y, wants x");
    assert!(waits(&mut second));
}

#[test]
fn a_shrinking_capacity_can_close_a_circle() {
    let pool = ResourcePool::new();
    pool.define("slot", 3).unwrap();
    let _a = pool.try_acquire("a", Request::new().units("slot", 1).exclusive("x")).unwrap();
    let _b = pool.try_acquire("b", Request::new().units("slot", 1)).unwrap();
    let c = pool.try_acquire("c", Request::new().units("slot", 1)).unwrap();
    let mut a = pool.acquire("a", Request::new().units("slot", 1));
    let mut b = pool.acquire("b", Request::new().exclusive("x"));
    assert!(waits(&mut a) && waits(&mut b));
    pool.resize("slot", 2).unwrap();
    assert!(matches!(ready(&mut b), Err(AcquireError::Deadlock { .. })), "the younger of the two");
    assert!(waits(&mut a));
    drop(c);
    assert!(waits(&mut a), "c's unit paid the debt");
}

#[test]
fn whole_sets_never_deadlock() {
    // The same wishes that deadlock one by one, asked for at once, only wait.
    let pool = ResourcePool::new();
    let first = ready(&mut pool.acquire("a", Request::new().exclusive("x").exclusive("y"))).unwrap();
    let mut second = pool.acquire("b", Request::new().exclusive("y").exclusive("x"));
    assert!(waits(&mut second));
    drop(first);
    drop(ready(&mut second).unwrap());
    assert_eq!(pool.deadlocks(), 0);
}

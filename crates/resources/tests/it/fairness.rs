//! Order: first come, first served, with overtaking bounded.

use crate::support::{ready, waits};
use ropewalk_resources::{Request, ResourcePool};

fn pool(overtaking: u32) -> ResourcePool {
    ResourcePool::builder().overtaking(overtaking).build().unwrap()
}

#[test]
fn one_resource_is_first_come_first_served() {
    for overtaking in [0, 1, 8] {
        let pool = pool(overtaking);
        let mut held = Some(pool.try_acquire("first", Request::new().exclusive("x")).unwrap());
        let mut line =
            (0..5).map(|i| pool.acquire(format!("{i}"), Request::new().exclusive("x"))).collect::<Vec<_>>();
        assert!(line.iter_mut().all(waits));
        for i in 0..5 {
            drop(held.take());
            assert!(line[i + 1..].iter_mut().all(waits));
            held = Some(ready(&mut line[i]).unwrap());
        }
    }
}

#[test]
fn a_large_set_is_overtaken_so_often_and_no_more() {
    for overtaking in [0, 1, 5] {
        let pool = pool(overtaking);
        let held = pool.try_acquire("holder", Request::new().exclusive("x")).unwrap();
        let mut large = pool.acquire("large", Request::new().exclusive("x").exclusive("y"));
        assert!(waits(&mut large));
        for _ in 0..overtaking {
            drop(pool.try_acquire("small", Request::new().exclusive("y")).unwrap());
        }
        assert!(pool.try_acquire("small", Request::new().exclusive("y")).is_err());
        let mut small = pool.acquire("small", Request::new().exclusive("y"));
        assert!(waits(&mut small), "y is free, but kept for the large set");
        // What has nothing to do with the barrier goes on.
        drop(pool.try_acquire("other", Request::new().exclusive("z")).unwrap());
        drop(held);
        let lease = ready(&mut large).unwrap();
        assert!(waits(&mut small));
        drop(lease);
        drop(ready(&mut small).unwrap());
        assert_eq!(pool.stats().most_overtaken, overtaking);
        assert_eq!(pool.stats().overtakes, u64::from(overtaking));
    }
}

#[test]
fn sharers_do_not_overtake_each_other() {
    let pool = pool(0);
    let held = pool.try_acquire("holder", Request::new().exclusive("x")).unwrap();
    let mut first = pool.acquire("first", Request::new().exclusive("x").shared("y"));
    assert!(waits(&mut first));
    drop(pool.try_acquire("second", Request::new().shared("y")).unwrap());
    assert!(pool.try_acquire("third", Request::new().exclusive("y")).is_err());
    assert_eq!(pool.stats().overtakes, 0);
    drop(held);
    drop(ready(&mut first).unwrap());
}

#[test]
fn a_stream_of_sharers_does_not_starve_the_exclusive() {
    let pool = pool(3);
    let first = pool.try_acquire("sharer", Request::new().shared("x")).unwrap();
    let mut exclusive = pool.acquire("writer", Request::new().exclusive("x"));
    assert!(waits(&mut exclusive));
    let more = (0..3).map(|_| pool.try_acquire("sharer-2", Request::new().shared("x"))).collect::<Vec<_>>();
    assert!(more.iter().take(1).all(Result::is_ok));
    // The owner's later leases are nested and pass; a stranger does not.
    assert!(pool.try_acquire("stranger", Request::new().shared("x")).is_err());
    drop((first, more));
    drop(ready(&mut exclusive).unwrap());
}

#[test]
fn cancelling_a_barrier_lets_those_behind_it_go() {
    let pool = pool(0);
    pool.define("slot", 4).unwrap();
    let held = pool.try_acquire("holder", Request::new().units("slot", 2)).unwrap();
    let mut large = pool.acquire("large", Request::new().units("slot", 3).exclusive("x"));
    let mut units = pool.acquire("units", Request::new().units("slot", 1));
    let mut lock = pool.acquire("lock", Request::new().exclusive("x"));
    assert!(waits(&mut large) && waits(&mut units) && waits(&mut lock));
    drop(large);
    let got = (ready(&mut units).unwrap(), ready(&mut lock).unwrap());
    drop((held, got));
}

#[test]
fn serving_a_barrier_lets_those_behind_it_go() {
    let pool = pool(0);
    pool.define("slot", 4).unwrap();
    let held = pool.try_acquire("holder", Request::new().exclusive("x")).unwrap();
    let mut barrier = pool.acquire("barrier", Request::new().exclusive("x").units("slot", 2));
    let mut behind = pool.acquire("behind", Request::new().units("slot", 2));
    assert!(waits(&mut barrier) && waits(&mut behind));
    drop(held);
    let first = ready(&mut barrier).unwrap();
    let second = ready(&mut behind).unwrap();
    drop((first, second));
}

#[test]
fn priority_chooses_among_those_who_could_go_within_the_bound() {
    let pool = pool(2);
    let mut held = Some(pool.try_acquire("holder", Request::new().exclusive("x")).unwrap());
    let mut low = pool.acquire("low", Request::new().exclusive("x"));
    assert!(waits(&mut low));
    for round in 0..2 {
        let mut high = pool.acquire(format!("high-{round}"), Request::new().exclusive("x").priority(9));
        assert!(waits(&mut high));
        drop(held.take());
        held = Some(ready(&mut high).unwrap());
        assert!(waits(&mut low));
    }
    let mut high = pool.acquire("high-2", Request::new().exclusive("x").priority(9));
    assert!(waits(&mut high));
    drop(held.take());
    let lease = ready(&mut low).unwrap();
    assert!(waits(&mut high), "the bound protects the low one from a third");
    drop(lease);
    drop(ready(&mut high).unwrap());
}

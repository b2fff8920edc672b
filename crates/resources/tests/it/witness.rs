//! Accesses without a lease.

use ropewalk_resources::{Access, Request, ResourcePool};

#[test]
fn an_access_is_judged_by_who_holds_what() {
    let pool = ResourcePool::new();
    assert_eq!(pool.access("a", "x"), Ok(Access::Unprotected), "nobody knows the name");
    let exclusive = pool.try_acquire("a", Request::new().exclusive("x")).unwrap();
    assert_eq!(pool.access("a", "x"), Ok(Access::Leased));
    assert_eq!(pool.access_shared("a", "x"), Ok(Access::Leased));
    let race = pool.access("b", "x").unwrap_err();
    assert_eq!(race.to_string(), "race on x: b writes it without a lease while a holds it; acquire it first");
    assert!(pool.access_shared("b", "x").is_err());
    drop(exclusive);
    assert_eq!(pool.access("b", "x"), Ok(Access::Unprotected));

    let _shared = pool.try_acquire("a", Request::new().shared("x")).unwrap();
    assert_eq!(pool.access_shared("a", "x"), Ok(Access::Leased));
    assert_eq!(pool.access("a", "x"), Ok(Access::Unprotected), "it shares with nobody");
    assert_eq!(pool.access_shared("b", "x"), Ok(Access::Unprotected));
    assert!(pool.access("b", "x").is_err());
    let _other = pool.try_acquire("b", Request::new().shared("x")).unwrap();
    assert!(pool.access("a", "x").is_err(), "a sharer that writes");
    assert_eq!((pool.stats().races, pool.races().len()), (4, 4));
}

#[test]
fn only_the_last_races_are_remembered_and_all_are_counted() {
    let pool = ResourcePool::new();
    let _held = pool.try_acquire("a", Request::new().exclusive("x")).unwrap();
    for i in 0..100 {
        assert!(pool.access(format!("b{i}"), "x").is_err());
    }
    let races = pool.races();
    assert_eq!((pool.stats().races, races.len()), (100, 64));
    assert_eq!(races[0].owner.as_str(), "b36");
}

//! Entries end when their time is over, by a clock that only the tests move.

use ropewalk_cache::{Cache, CacheBuilder, Cause, DEFAULT_TIME_TO_LIVE};
use ropewalk_sync::Clock;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

const S: Duration = Duration::from_secs(1);

fn builder(clock: &Clock) -> CacheBuilder<u64, u64> {
    Cache::builder(10_000).clock(clock.clone()).seed(1)
}

#[test]
fn the_default_is_an_hour() {
    let clock = Clock::virtual_();
    let cache = builder(&clock).build().unwrap();
    cache.insert(1, 1);
    clock.advance(DEFAULT_TIME_TO_LIVE - Duration::from_nanos(1));
    assert_eq!(cache.get(&1), Some(1));
    clock.advance(Duration::from_nanos(1));
    assert_eq!(cache.get(&1), None, "at the deadline it is over");
    assert!(!cache.contains(&1));
    assert_eq!(cache.peek(&1), None);
    assert_eq!(cache.remove(&1), None);
}

#[test]
fn no_limit_is_for_ever() {
    let clock = Clock::virtual_();
    for cache in [
        builder(&clock).time_to_live(None).build().unwrap(),
        builder(&clock).time_to_live(Duration::MAX).build().unwrap(),
        builder(&clock).expire_after(|_, _| Duration::MAX).build().unwrap(),
    ] {
        cache.insert(1, 1);
        clock.advance(S * 1_000_000_000);
        assert_eq!(cache.get(&1), Some(1));
    }
}

#[test]
fn a_write_starts_the_time_to_live_again() {
    let clock = Clock::virtual_();
    let cache = builder(&clock).time_to_live(S * 10).build().unwrap();
    cache.insert(1, 1);
    clock.advance(S * 9);
    cache.get(&1);
    cache.insert(1, 2);
    clock.advance(S * 9);
    assert_eq!(cache.get(&1), Some(2));
    clock.advance(S);
    assert_eq!(cache.get(&1), None, "reads do not prolong it");
}

#[test]
fn reads_prolong_the_idle_time_but_not_the_life() {
    let clock = Clock::virtual_();
    let cache = builder(&clock).time_to_live(S * 25).time_to_idle(S * 10).build().unwrap();
    cache.insert(1, 1);
    cache.insert(2, 2);
    cache.insert(3, 3);
    clock.advance(S * 9);
    assert_eq!(cache.get(&1), Some(1));
    assert_eq!(cache.peek(&2), Some(2));
    assert!(cache.contains(&2));
    clock.advance(S * 9);
    assert_eq!(cache.get(&1), Some(1));
    assert_eq!(cache.get(&2), None, "peek and contains leave no trace");
    assert_eq!(cache.get(&3), None);
    clock.advance(S * 7);
    assert_eq!(cache.get(&1), None);
}

#[test]
fn each_entry_may_have_its_own_time() {
    let clock = Clock::virtual_();
    let cache =
        builder(&clock).time_to_live(S).expire_after(|_, &seconds| S * seconds as u32).build().unwrap();
    cache.insert(1, 5);
    cache.insert(2, 0);
    cache.insert_with_ttl(3, 5, S * 7);
    cache.insert_with_ttl(4, 5, Duration::ZERO);
    assert_eq!((cache.get(&2), cache.get(&4)), (None, None), "zero is not kept");
    clock.advance(S * 4);
    assert_eq!((cache.get(&1), cache.get(&3)), (Some(5), Some(5)));
    clock.advance(S * 2);
    assert_eq!((cache.get(&1), cache.get(&3)), (None, Some(5)));
    clock.advance(S);
    assert_eq!(cache.get(&3), None);
}

#[test]
fn a_loaded_value_lives_from_its_landing() {
    let clock = Clock::virtual_();
    let cache = builder(&clock).time_to_live(S * 10).build().unwrap();
    let load = || {
        clock.advance(S * 6);
        Ok::<u64, ()>(1)
    };
    assert_eq!(cache.get_or_load_blocking(1, load), Ok(1));
    clock.advance(S * 9);
    assert_eq!(cache.get(&1), Some(1));
    clock.advance(S);
    assert_eq!(cache.get_or_load_blocking(1, || Ok::<u64, ()>(2)), Ok(2), "an expired entry is loaded again");
    assert_eq!(cache.stats().expired, 1);
}

#[test]
fn a_million_expiries_at_once_cost_each_write_a_few() {
    let clock = Clock::virtual_();
    let cache: Cache<u64, u64> = Cache::builder(100_000).shards(1).clock(clock.clone()).build().unwrap();
    for key in 0..20_000 {
        cache.insert(key, key);
    }
    clock.advance(DEFAULT_TIME_TO_LIVE);
    let mut before = cache.len();
    let mut writes = 0;
    while before > 100 {
        cache.insert(1_000_000 + writes % 10, 0);
        writes += 1;
        let now = cache.len();
        assert!(now + 8 >= before, "no more than 8 a write, {before} to {now}");
        assert!(now < before, "and the backlog shrinks");
        before = now;
    }
}

#[test]
fn sweep_cleans_what_nobody_writes_over() {
    let clock = Clock::virtual_();
    let gone = Arc::new(Mutex::new(Vec::new()));
    let seen = gone.clone();
    let cache = builder(&clock)
        .time_to_live(S)
        .listener(move |key, _, cause| seen.lock().unwrap().push((*key, cause)))
        .build()
        .unwrap();
    (0..500).for_each(|key| cache.insert(key, key));
    assert_eq!(cache.sweep(1_000), 0);
    clock.advance(S);
    assert_eq!((cache.len(), cache.get(&1)), (500, None));
    assert_eq!(cache.sweep(0), 0);
    assert_eq!(cache.sweep(200), 200);
    assert_eq!(cache.sweep(usize::MAX), 300);
    assert_eq!((cache.len(), cache.weight()), (0, 0));
    let gone = gone.lock().unwrap();
    assert_eq!(gone.len(), 500);
    assert!(gone.iter().all(|(_, cause)| *cause == Cause::Expired));
}

#[test]
fn the_dead_make_room_before_the_living() {
    let clock = Clock::virtual_();
    let cache: Cache<u64, u64> =
        Cache::builder(20).shards(1).time_to_live(None).clock(clock.clone()).build().unwrap();
    (0..10).for_each(|key| cache.insert(key, key));
    (10..20).for_each(|key| cache.insert_with_ttl(key, key, S));
    clock.advance(S);
    (20..30).for_each(|key| cache.insert(key, key));
    assert_eq!((0..10).chain(20..30).filter(|key| cache.contains(key)).count(), 20);
    assert_eq!((cache.stats().expired, cache.stats().evicted), (10, 0));
}

#[test]
fn retain_and_for_each_see_the_living() {
    let clock = Clock::virtual_();
    let cache = builder(&clock).build().unwrap();
    (0..1_000).for_each(|key| cache.insert_with_ttl(key, key, if key % 2 == 0 { S } else { S * 3 }));
    clock.advance(S * 2);
    let mut seen = 0;
    cache.retain(|key, _| {
        assert_eq!(key % 2, 1);
        seen += 1;
        key % 3 == 0
    });
    assert_eq!(seen, 500);
    let mut left = Vec::new();
    cache.for_each(|key, value| {
        assert_eq!(key, value);
        left.push(*key);
    });
    left.sort_unstable();
    assert_eq!(left, (0..1_000).filter(|key| key % 2 == 1 && key % 3 == 0).collect::<Vec<_>>());
}

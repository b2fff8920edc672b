//! One caller, no time.

use ropewalk_cache::{BuildError, Cache, CacheBuilder, LoadError};
use std::time::Duration;

fn cache(capacity: u64) -> Cache<u64, String> {
    Cache::builder(capacity).seed(7).build().unwrap()
}

#[test]
fn public_types_are_send_and_sync() {
    fn check<T: Send + Sync>() {}
    check::<Cache<String, Vec<u8>>>();
    check::<CacheBuilder<String, Vec<u8>>>();
    check::<LoadError<std::io::Error>>();
    check::<ropewalk_cache::TooHeavy<String, Vec<u8>>>();
    check::<ropewalk_cache::Advice>();
    check::<ropewalk_cache::CacheStats>();
    check::<BuildError>();
    fn check_future<T: Send>(_: &T) {}
    let cache = cache(1);
    check_future(&cache.get_or_load(1, || async { Ok::<_, std::io::Error>(String::new()) }));
}

#[test]
fn get_insert_remove() {
    let cache = cache(10);
    assert_eq!(cache.get(&1), None);
    cache.insert(1, "one".into());
    assert_eq!(cache.get(&1).as_deref(), Some("one"));
    cache.insert(1, "uno".into());
    assert_eq!(cache.peek(&1).as_deref(), Some("uno"));
    assert!(cache.contains(&1) && !cache.contains(&2));
    assert_eq!(cache.with(&1, String::len), Some(3));
    assert_eq!((cache.len(), cache.weight()), (1, 1));
    assert_eq!(cache.remove(&1).as_deref(), Some("uno"));
    assert_eq!(cache.remove(&1), None);
    assert!(!cache.invalidate(&1));
    assert!(cache.is_empty());
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses), (2, 1), "peek, contains and remove are not lookups");
    assert_eq!((stats.inserts, stats.replaced, stats.removed), (2, 1, 1));
}

#[test]
fn lookups_borrow() {
    let cache: Cache<String, u32> = Cache::new(10);
    cache.insert("a".to_owned(), 1);
    assert_eq!(cache.get("a"), Some(1));
    assert_eq!(cache.remove("a"), Some(1));
}

#[test]
fn bad_settings_are_refused() {
    let zero = Cache::<u8, u8>::builder(1).time_to_live(Duration::ZERO).build();
    assert_eq!(zero.unwrap_err(), BuildError::ZeroDuration { what: "time_to_live" });
    let zero = Cache::<u8, u8>::builder(1).time_to_idle(Duration::ZERO).build();
    assert_eq!(zero.unwrap_err(), BuildError::ZeroDuration { what: "time_to_idle" });
    assert!(matches!(Cache::<u8, u8>::builder(1).shards(0).build(), Err(BuildError::Shards { .. })));
    assert!(matches!(Cache::<u8, u8>::builder(1).shards(9_999).build(), Err(BuildError::Shards { .. })));
}

#[test]
fn a_capacity_of_zero_keeps_nothing() {
    let cache = cache(0);
    cache.insert(1, "one".into());
    assert_eq!(cache.get(&1), None);
    let refused = cache.try_insert(1, "one".into()).unwrap_err();
    assert_eq!((refused.key, refused.value.as_str(), refused.weight, refused.capacity), (1, "one", 1, 0));
    assert_eq!(cache.get_or_insert_with(1, || "made".into()), "made");
    assert!(cache.is_empty());
    assert_eq!(cache.stats().refused, 2);
}

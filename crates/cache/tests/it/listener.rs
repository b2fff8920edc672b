//! Everybody who leaves is told of, with the cause, outside of every latch.

use ropewalk_cache::{Cache, Cause, Policy};
use std::sync::{Arc, Mutex, OnceLock};

type Log = Arc<Mutex<Vec<(u32, u32, Cause)>>>;

fn logged(capacity: u64) -> (Cache<u32, u32>, Log) {
    let log = Log::default();
    let seen = log.clone();
    let cache = Cache::builder(capacity)
        .policy(Policy::Lru)
        .shards(1)
        .listener(move |key, value, cause| seen.lock().unwrap().push((*key, *value, cause)))
        .build()
        .unwrap();
    (cache, log)
}

#[test]
fn each_cause() {
    let (cache, log) = logged(2);
    let take = || std::mem::take(&mut *log.lock().unwrap());
    cache.insert(1, 1);
    cache.insert(1, 2);
    assert_eq!(take(), [(1, 1, Cause::Replaced)]);
    cache.insert(2, 2);
    cache.insert(3, 3);
    assert_eq!(take(), [(1, 2, Cause::Size)]);
    cache.remove(&2);
    cache.invalidate(&9);
    assert_eq!(take(), [(2, 2, Cause::Explicit)]);
    cache.retain(|key, _| *key != 3);
    assert_eq!(take(), [(3, 3, Cause::Explicit)]);
    cache.insert(4, 4);
    cache.invalidate_all();
    assert_eq!(take(), [(4, 4, Cause::Explicit)]);
    cache.insert(5, 5);
    drop(cache);
    assert_eq!(take(), [], "the end of the cache is nobody's eviction");
}

#[test]
fn what_is_too_heavy_is_told_of() {
    let log = Log::default();
    let seen = log.clone();
    let cache: Cache<u32, u32> = Cache::builder(10)
        .weigher(|_, value| *value)
        .listener(move |key, value, cause| seen.lock().unwrap().push((*key, *value, cause)))
        .build()
        .unwrap();
    cache.insert(1, 5);
    cache.insert(1, 11);
    assert_eq!(*log.lock().unwrap(), [(1, 5, Cause::Replaced), (1, 11, Cause::Size)]);
    assert_eq!(cache.try_insert(1, 11).unwrap_err().value, 11);
    assert_eq!(log.lock().unwrap().len(), 2, "what is given back did not leave");
    assert_eq!(cache.get_or_load_blocking(2, || Ok::<_, ()>(12)), Ok(12));
    assert_eq!(log.lock().unwrap()[2], (2, 12, Cause::Size));
    assert_eq!(cache.stats().refused, 2);
}

#[test]
fn it_may_use_the_cache() {
    let slot: Arc<OnceLock<Cache<u32, u32>>> = Arc::default();
    // The cache has the listener, so the listener must not keep the cache.
    let inner = Arc::downgrade(&slot);
    let cache = Cache::builder(2)
        .policy(Policy::Lru)
        .shards(1)
        .listener(move |key, value, cause| {
            let slot = inner.upgrade().unwrap();
            let cache = slot.get().unwrap();
            assert_eq!(cache.get(key), None);
            // Evicted entries come back once, under another name.
            if cause == Cause::Size && *key < 100 {
                cache.insert(key + 100, *value);
            }
            cache.stats();
            cache.sweep(10);
        })
        .build()
        .unwrap();
    let cache = slot.get_or_init(|| cache);
    (0..5).for_each(|key| cache.insert(key, key));
    assert_eq!(cache.len(), 2);
    assert_eq!(cache.stats().listener_panics, 0);
}

#[test]
fn its_panics_are_contained() {
    let cache: Cache<u32, u32> =
        Cache::builder(2).shards(1).listener(|_, _, _| panic!("the listener's")).build().unwrap();
    (0..5).for_each(|key| cache.insert(key, key));
    cache.invalidate_all();
    assert_eq!(cache.stats().listener_panics, 5);
    cache.insert(1, 1);
    assert_eq!(cache.get(&1), Some(1));
}

#[test]
fn the_same_calls_make_the_same_log() {
    let run = || {
        let log = Log::default();
        let seen = log.clone();
        let cache = Cache::builder(3_000)
            .seed(42)
            .listener(move |key, value, cause| seen.lock().unwrap().push((*key, *value, cause)))
            .build()
            .unwrap();
        let mut state = 1_u64;
        for n in 0..30_000 {
            state = (state * 48_271) % 2_147_483_647;
            let key = (state % (1 + state % 9_000)) as u32;
            match state % 11 {
                0 => drop(cache.remove(&key)),
                1..=3 => cache.insert(key, n),
                _ => drop(cache.get_or_insert_with(key, || n)),
            }
        }
        drop(cache);
        Arc::into_inner(log).unwrap().into_inner().unwrap()
    };
    let (one, other) = (run(), run());
    assert!(one.len() > 1_000);
    assert_eq!(one, other);
}

#[test]
fn it_may_resize_the_cache() {
    let slot: Arc<OnceLock<Cache<u32, u32>>> = Arc::default();
    let inner = slot.clone();
    let cache = Cache::builder(10)
        .policy(Policy::Lru)
        .shards(1)
        .listener(move |key, _, cause| {
            if cause == Cause::Size && *key == 0 {
                inner.get().unwrap().resize(3);
            }
        })
        .build()
        .unwrap();
    let cache = slot.get_or_init(|| cache);
    (0..10).for_each(|key| cache.insert(key, key));
    cache.resize(5);
    assert_eq!((cache.capacity(), cache.len()), (3, 3));
    assert_eq!(cache.stats().listener_panics, 0);
}

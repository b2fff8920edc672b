//! The weight is never above the capacity.

use ropewalk_cache::{Cache, Policy};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

const POLICIES: [Policy; 4] = [Policy::Adaptive, Policy::Lru, Policy::S3Fifo, Policy::Sieve];

fn hammer(shards: usize, capacity: u64, policy: Policy, rounds: u64) {
    let cache: Cache<u64, u64> = Cache::builder(capacity)
        .policy(policy)
        .shards(shards)
        .weigher(|_, weight| u32::try_from(*weight).unwrap())
        .build()
        .unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                assert!(cache.weight() <= capacity);
                // With one shard this sum was taken under its only latch.
                let stats = cache.stats();
                assert!(shards > 1 || stats.weight <= capacity);
            }
        });
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let cache = &cache;
                scope.spawn(move || {
                    let mut state = writer + 1;
                    for _ in 0..rounds {
                        state = (state * 48_271) % 2_147_483_647;
                        let key = state % 97;
                        match state % 7 {
                            0 => drop(cache.remove(&key)),
                            1 => drop(cache.get(&key)),
                            // One in a while as heavy as the whole cache.
                            2 if state % 100 == 9 => cache.insert(key, capacity),
                            _ => cache.insert(key, state % (capacity / 3 + 2)),
                        }
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        done.store(true, Ordering::Relaxed);
    });
    let stats = cache.stats();
    assert_eq!(stats.weight, cache.weight(), "nothing in flight is left");
    let mut weight = 0;
    let mut len = 0;
    cache.for_each(|_, value| {
        weight += value.max(&1);
        len += 1;
    });
    assert_eq!((weight, len), (stats.weight, stats.len));
    let left = stats.expired + stats.removed + stats.replaced + stats.evicted;
    assert_eq!(stats.inserts, stats.len + left, "who came in left or is here");
}

#[test]
fn one_shard() {
    for policy in POLICIES {
        hammer(1, 50, policy, 1_200);
    }
}

#[test]
fn many_shards_share_one_capacity() {
    for policy in POLICIES {
        hammer(8, 50, policy, 1_200);
    }
}

#[test]
fn a_value_may_take_the_whole_capacity_of_all_shards() {
    let cache: Cache<u64, u32> = Cache::builder(64).shards(16).weigher(|_, weight| *weight).build().unwrap();
    for key in 0..64 {
        cache.insert(key, 1);
    }
    assert_eq!(cache.len(), 64, "unit weights fill the capacity to the last place");
    cache.insert(1_000, 64);
    assert_eq!((cache.len(), cache.get(&1_000)), (1, Some(64)));
    assert!(cache.try_insert(1_000, 65).is_err());
    assert!(!cache.contains(&1_000), "what the refused value would have replaced is not true any more");
}

#[test]
fn a_replacement_changes_the_weight() {
    let cache: Cache<u8, u32> = Cache::builder(10).shards(1).weigher(|_, weight| *weight).build().unwrap();
    cache.insert(1, 4);
    cache.insert(2, 4);
    cache.insert(1, 6);
    assert_eq!((cache.weight(), cache.get(&1), cache.get(&2)), (10, Some(6), Some(4)));
    cache.insert(1, 10);
    assert_eq!((cache.weight(), cache.get(&1), cache.get(&2)), (10, Some(10), None));
    cache.insert(1, 0);
    assert_eq!(cache.weight(), 1, "a weight of 0 counts as 1");
}

#[test]
fn a_lower_capacity_holds_when_resize_returns() {
    for policy in POLICIES {
        let cache: Cache<u64, u64> = Cache::builder(1_000).policy(policy).shards(4).build().unwrap();
        thread::scope(|scope| {
            for writer in 0..2 {
                let cache = &cache;
                scope.spawn(move || (0..3_000).for_each(|n| cache.insert(n * 2 + writer, n)));
            }
            for capacity in [500, 900, 100, 0, 300, 7] {
                cache.resize(capacity);
                assert!(cache.weight() <= capacity);
            }
        });
        assert!(cache.weight() <= 7);
        cache.resize(1_000);
        (0..1_000).for_each(|n| cache.insert(n, n));
        assert_eq!(cache.len(), 1_000);
    }
}

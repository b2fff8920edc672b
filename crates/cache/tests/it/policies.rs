//! Who makes room.

use ropewalk_cache::{Cache, Policy};

const POLICIES: [Policy; 4] = [Policy::Adaptive, Policy::Lru, Policy::S3Fifo, Policy::Sieve];

fn cache(capacity: u64, policy: Policy) -> Cache<u64, u64> {
    Cache::builder(capacity).policy(policy).time_to_live(None).seed(3).build().unwrap()
}

fn run(cache: &Cache<u64, u64>, ids: impl IntoIterator<Item = u64>) -> f64 {
    let before = cache.stats();
    for id in ids {
        if cache.get(&id).is_none() {
            cache.insert(id, id);
        }
    }
    let after = cache.stats();
    let hits = (after.hits - before.hits) as f64;
    hits / (hits + (after.misses - before.misses) as f64)
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
    /// Small ones are more frequent.
    fn skewed(&mut self, n: u64) -> u64 {
        (self.next() % n) * (self.next() % n) / n
    }
}

#[test]
fn lru_is_the_lru_crate_s() {
    let ours: Cache<u64, u64> = Cache::builder(20).policy(Policy::Lru).shards(1).build().unwrap();
    let mut theirs = lru::LruCache::new(std::num::NonZeroUsize::new(20).unwrap());
    let mut random = Random(5);
    for n in 0..20_000 {
        let key = random.skewed(60);
        match random.next() % 8 {
            0 => assert_eq!(ours.remove(&key), theirs.pop(&key)),
            1 | 2 => {
                ours.insert(key, n);
                theirs.put(key, n);
            }
            3 => assert_eq!(ours.peek(&key), theirs.peek(&key).copied()),
            _ => assert_eq!(ours.get(&key), theirs.get(&key).copied()),
        }
        assert_eq!(ours.len(), theirs.len());
    }
}

#[test]
fn sieve_spares_what_was_visited() {
    let cache: Cache<u64, u64> = Cache::builder(3).policy(Policy::Sieve).shards(1).build().unwrap();
    (1..=3).for_each(|key| cache.insert(key, key));
    cache.get(&1);
    cache.insert(4, 4);
    assert!(cache.contains(&1) && !cache.contains(&2), "the hand passes 1 and takes 2");
    cache.insert(5, 5);
    assert!(cache.contains(&1) && !cache.contains(&3), "and goes on from there");
}

#[test]
fn s3_fifo_filters_what_is_used_once() {
    let cache: Cache<u64, u64> = Cache::builder(10).policy(Policy::S3Fifo).shards(1).build().unwrap();
    (0..10).for_each(|key| cache.insert(key, key));
    for _ in 0..2 {
        (0..3).for_each(|key| assert!(cache.get(&key).is_some()));
    }
    (100..200).for_each(|key| cache.insert(key, key));
    assert!((0..3).all(|key| cache.contains(&key)), "a scan does not flush what was used");
    cache.insert(199 - 5, 0);
    let ghost = (100..200).rev().find(|key| !cache.contains(key)).unwrap();
    cache.insert(ghost, 0);
    (200..207).for_each(|key| cache.insert(key, key));
    assert!(cache.contains(&ghost), "who comes back as a ghost enters the main queue");
}

#[test]
fn a_loop_does_not_flush_the_adaptive_policy() {
    for capacity in [50, 600, 1_500] {
        let around = || (0..capacity * 20).map(|n| n % (capacity * 2));
        let adaptive = cache(capacity, Policy::Adaptive);
        run(&adaptive, around());
        let ratio = run(&adaptive, around());
        assert!(ratio > 0.42, "half of the loop could stay; capacity {capacity}: {ratio}");
        assert!(run(&cache(capacity, Policy::Lru), around()) < 0.01);
    }
}

#[test]
fn a_scan_does_not_flush_the_adaptive_policy() {
    let cache = cache(2_000, Policy::Adaptive);
    let mut random = Random(9);
    run(&cache, (0..100_000).map(|_| random.next() % 1_500));
    run(&cache, 1_000_000..1_010_000);
    let kept = (0..1_500).filter(|key| cache.contains(key)).count();
    assert!(kept > 1_200, "{kept} of 1,500 survive a scan of 10,000");
}

#[test]
fn the_adaptive_policy_turns_to_recency_where_that_pays() {
    // Each id thrice in a short span, then never again: the newest are all that counts.
    let cache = cache(600, Policy::Adaptive);
    let trace = || (0..20_000).flat_map(|n| [n, n + 400, n + 450].map(|id| id * 7));
    run(&cache, trace());
    let ratio = run(&cache, trace().map(|id| id + 10_000_000));
    assert!(ratio > 0.6, "two of three could hit: {ratio}");
    assert!(cache.advise().cold_share.unwrap() > 0.05, "{:?}", cache.advise());
}

#[test]
fn advice_tells_what_half_and_twice_would_give() {
    for policy in POLICIES {
        // A loop over 3,000: all fits in twice 2,000.
        let cache = cache(2_000, policy);
        run(&cache, (0..60_000).map(|n| n % 3_000));
        let advice = cache.advise();
        assert!(advice.twice > 0.95, "{policy:?}: {advice:?}");
        assert!(advice.now < 0.75 && advice.half <= advice.now, "{policy:?}: {advice:?}");
        assert!(advice.to_string().contains("more capacity would pay"), "{advice}");
        assert_eq!(advice.cold_share.is_some(), policy == Policy::Adaptive);
    }
}

#[test]
fn advice_knows_when_half_would_do_and_when_nothing_is_known() {
    let fresh = cache(2_000, Policy::Lru);
    assert!(fresh.advise().to_string().contains("has not been needed"), "{}", fresh.advise());
    let cache = cache(2_000, Policy::Lru);
    let mut random = Random(2);
    // 500 hot ids, and a few that never come back, so that the cache fills.
    let trace = (0..150_000).map(|n| if n % 60 == 0 { 10_000 + n } else { random.next() % 500 });
    run(&cache, trace);
    let advice = cache.advise();
    assert!(advice.to_string().contains("half would do"), "{advice}");
    let none = Cache::<u64, u64>::new(0);
    run(&none, 0..1_000);
    assert!(none.advise().to_string().contains("nothing to advise"), "{}", none.advise());
}

#[test]
fn advice_knows_weights() {
    let cache: Cache<u64, u64> = Cache::builder(2_000_000)
        .weigher(|key, _| 500 + (key % 1_001) as u32)
        .time_to_live(None)
        .seed(1)
        .build()
        .unwrap();
    // About 1,000 apiece, so 2,000 fit, of a loop over 3,000.
    run(&cache, (0..75_000).map(|n| n % 3_000));
    let advice = cache.advise();
    assert!(advice.twice > 0.9, "{advice:?}");
    assert!(advice.now > 0.4 && advice.now < 0.8, "{advice:?}");
    let measured = run(&cache, (0..30_000).map(|n| n % 3_000));
    assert!((advice.now - measured).abs() < 0.15, "{advice:?}, measured {measured}");
}

#[test]
fn every_policy_fills_its_capacity_and_keeps_it_full() {
    for policy in POLICIES {
        for capacity in [1, 2, 3, 50, 1_500] {
            let cache = cache(capacity, policy);
            let mut random = Random(capacity);
            for n in 0..capacity * 6 + 20 {
                let key = random.skewed(capacity * 4);
                if cache.get(&key).is_none() {
                    cache.insert(key, n);
                }
            }
            run(&cache, 1_000_000..1_000_000 + capacity * 3);
            assert_eq!(cache.weight(), capacity, "{policy:?}");
        }
    }
}

//! Hits pass the latches by: what they look at stays, goes once they are done, and is counted.

use crate::support::Colliding;
use ropewalk_cache::{Cache, Policy};
use ropewalk_sync::Clock;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

const POLICIES: [Policy; 4] = [Policy::Adaptive, Policy::Lru, Policy::S3Fifo, Policy::Sieve];

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
}

#[derive(Default)]
struct Ledger {
    made: AtomicU64,
    dropped: AtomicU64,
}

/// A value that knows its key, who looks at it, and whether it is gone.
struct Checked {
    key: u64,
    text: String,
    inside: AtomicUsize,
    gone: AtomicBool,
    ledger: Arc<Ledger>,
}

impl Checked {
    fn new(key: u64, ledger: &Arc<Ledger>) -> Self {
        ledger.made.fetch_add(1, SeqCst);
        let text = format!("value of {key}");
        Self { key, text, inside: AtomicUsize::new(0), gone: AtomicBool::new(false), ledger: ledger.clone() }
    }

    fn look(&self, key: u64) {
        self.inside.fetch_add(1, SeqCst);
        assert!(self.key == key && self.text == format!("value of {key}"));
        thread::yield_now();
        assert!(!self.gone.load(SeqCst), "gone while it is looked at");
        self.inside.fetch_sub(1, SeqCst);
    }
}

impl Drop for Checked {
    fn drop(&mut self) {
        // A panic here would be contained by the cache, so it is told by the count.
        if !self.gone.swap(true, SeqCst) && self.inside.load(SeqCst) == 0 {
            self.ledger.dropped.fetch_add(1, SeqCst);
        }
    }
}

#[test]
fn values_are_dropped_once_and_never_while_looked_at() {
    for policy in POLICIES {
        let ledger = Arc::new(Ledger::default());
        let cache: Cache<u64, Checked> =
            Cache::builder(200).policy(policy).shards(2).time_to_live(None).build().unwrap();
        let looks = AtomicU64::new(0);
        thread::scope(|scope| {
            for worker in 0..6 {
                let (cache, ledger, looks) = (&cache, &ledger, &looks);
                scope.spawn(move || {
                    let mut random = Random(worker);
                    for n in 0..1_500 {
                        let key = random.next() % 300;
                        match (worker, random.next() % 16) {
                            // The first two write; the others read, mostly.
                            (0 | 1, 0) => drop(cache.invalidate(&key)),
                            (0 | 1, 1) if n % 40 == 0 => cache.retain(|key, _| key % 3 != 0),
                            (0, 2) if n % 40 == 0 => cache.resize(20 + random.next() % 400),
                            (1, 2) if n % 100 == 0 => cache.invalidate_all(),
                            (0 | 1, _) | (_, 0) => cache.insert(key, Checked::new(key, ledger)),
                            _ => drop(cache.with(&key, |value| {
                                looks.fetch_add(1, SeqCst);
                                value.look(key);
                                // A look inside of a look.
                                let other = (key + 1) % 300;
                                cache.with(&other, |value| value.look(other));
                            })),
                        }
                    }
                });
            }
        });
        assert!(looks.load(SeqCst) > 0);
        let stats = cache.stats();
        let gone = stats.expired + stats.removed + stats.replaced + stats.evicted;
        assert_eq!(stats.inserts - gone, stats.len);
        let alive = ledger.made.load(SeqCst) - ledger.dropped.load(SeqCst);
        assert_eq!(alive, stats.len + stats.retired, "{policy:?}: linked or retired, nothing else");
        cache.sweep(1);
        cache.invalidate_all();
        assert_eq!(cache.stats().retired, 0, "nobody looks any more");
        assert_eq!(ledger.made.load(SeqCst), ledger.dropped.load(SeqCst));
        cache.insert(1, Checked::new(1, &ledger));
        drop(cache);
        assert_eq!(
            ledger.made.load(SeqCst),
            ledger.dropped.load(SeqCst),
            "what is linked goes with the cache"
        );
    }
}

#[test]
fn a_look_holds_the_one_entry_that_it_looks_at() {
    for policy in [Policy::Adaptive, Policy::S3Fifo, Policy::Sieve] {
        let ledger = Arc::new(Ledger::default());
        let cache: Cache<u64, Checked> =
            Cache::builder(100).policy(policy).shards(1).time_to_live(None).build().unwrap();
        (0..10).for_each(|key| cache.insert(key, Checked::new(key, &ledger)));
        cache.with(&3, |value| {
            assert!(cache.invalidate(&3) && cache.invalidate(&4));
            assert_eq!((cache.stats().retired, ledger.dropped.load(SeqCst)), (1, 1), "not the other");
            cache.insert(3, Checked::new(3, &ledger));
            cache.invalidate_all();
            assert_eq!((cache.stats().retired, ledger.dropped.load(SeqCst)), (1, 10));
            assert_eq!(value.text, "value of 3");
            value.look(3);
        });
        assert_eq!((cache.len(), cache.stats().retired), (0, 1), "until somebody looks whether it is free");
        cache.sweep(1);
        assert_eq!((cache.stats().retired, ledger.dropped.load(SeqCst)), (0, 11));
    }
}

#[test]
fn what_evictions_gather_is_bounded() {
    let cache: Cache<u64, u64> = Cache::builder(10_000).shards(1).time_to_live(None).build().unwrap();
    let mut most = 0;
    for key in 0..30_000 {
        cache.insert(key, key);
        if key % 7 == 0 {
            most = most.max(cache.stats().retired);
        }
    }
    assert!((1..=256).contains(&most), "{most}");
    // Heavy ones are let go sooner: together they are at most a 16th of the shard's share.
    let cache: Cache<u64, u64> =
        Cache::builder(1_000).shards(1).weigher(|_, _| 100).time_to_live(None).build().unwrap();
    (0..100).for_each(|key| cache.insert(key, key));
    assert_eq!(cache.stats().retired, 0);
}

/// More than there are records, so the last ones go by the latch.
#[test]
fn looks_inside_of_looks_to_any_depth() {
    fn down(cache: &Cache<u64, u64>, depth: u64) -> u64 {
        if depth == 0 {
            return 0;
        }
        cache.with(&(depth % 10), |value| *value + down(cache, depth - 1)).unwrap()
    }
    let cache: Cache<u64, u64> = Cache::builder(100).time_to_live(None).build().unwrap();
    (0..10).for_each(|key| cache.insert(key, 1));
    assert_eq!(down(&cache, 600), 600);
    assert_eq!(cache.peek(&1), Some(1));
    assert_eq!((cache.stats().hits, cache.stats().misses), (600, 0));
}

#[test]
fn without_a_record_a_glance_finds_the_same() {
    fn down(cache: &Cache<u64, u64>, depth: u64) {
        if depth > 0 {
            cache.with(&1, |_| down(cache, depth - 1)).unwrap();
            return;
        }
        assert_eq!((cache.peek(&1), cache.peek(&2)), (Some(1), None));
        assert!(cache.contains(&1) && !cache.contains(&2));
    }
    let cache: Cache<u64, u64> = Cache::builder(100).build().unwrap();
    cache.insert(1, 1);
    down(&cache, 600);
}

#[test]
fn a_panic_in_a_look_lets_go_of_the_entry() {
    let ledger = Arc::new(Ledger::default());
    let cache: Cache<u64, Checked> = Cache::builder(100).shards(1).build().unwrap();
    for round in 1..=1_000 {
        cache.insert(1, Checked::new(1, &ledger));
        assert!(catch_unwind(AssertUnwindSafe(|| cache.with(&1, |_| panic!("in a look")))).is_err());
        assert!(cache.invalidate(&1));
        assert_eq!(
            (cache.stats().retired, ledger.dropped.load(SeqCst)),
            (0, round),
            "no record is left taken"
        );
    }
}

/// Keys that share a hash are told apart in place, whatever happens to the others.
#[test]
fn colliding_keys_are_found_beside_writers() {
    let cache: Cache<u64, u64, Colliding> =
        Cache::builder(1_000).time_to_live(None).hasher(Colliding).build().unwrap();
    (0..8).for_each(|key| cache.insert(key, key));
    let done = AtomicBool::new(false);
    let lookups = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(SeqCst) {
                    for key in 0..4 {
                        assert_eq!(cache.get(&key), Some(key), "it stays");
                        lookups.fetch_add(1, SeqCst);
                    }
                    let seen = cache.get(&6);
                    assert!(seen.is_none() || seen == Some(6));
                    lookups.fetch_add(1, SeqCst);
                }
            });
        }
        for _ in 0..2_000 {
            (4..8).for_each(|key| _ = cache.invalidate(&key));
            (4..8).for_each(|key| cache.insert(key, key));
        }
        done.store(true, SeqCst);
    });
    let stats = cache.stats();
    assert_eq!(stats.hits + stats.misses, lookups.load(SeqCst), "each lookup counts once");
}

/// One who looks for ever keeps nobody from reading, writing, evicting.
#[test]
fn a_stalled_look_holds_nobody_up() {
    let cache: Cache<u64, u64> = Cache::builder(64).shards(1).time_to_live(None).build().unwrap();
    cache.insert(1_000, 7);
    let inside = Barrier::new(2);
    thread::scope(|scope| {
        scope.spawn(|| {
            cache.with(&1_000, |value| {
                inside.wait();
                inside.wait();
                assert_eq!(*value, 7);
            })
        });
        inside.wait();
        for key in 0..2_000 {
            cache.insert(key, key);
            cache.get(&key);
        }
        cache.invalidate_all();
        assert_eq!((cache.len(), cache.stats().retired), (0, 1));
        inside.wait();
    });
}

#[test]
fn a_hit_without_a_latch_prolongs_the_idle_time() {
    let clock = Clock::virtual_();
    let cache: Cache<u64, u64> = Cache::builder(10)
        .clock(clock.clone())
        .time_to_live(Duration::from_secs(100))
        .time_to_idle(Duration::from_secs(10))
        .build()
        .unwrap();
    cache.insert(1, 1);
    for _ in 0..9 {
        clock.advance(Duration::from_secs(9));
        assert_eq!(cache.get(&1), Some(1));
    }
    assert_eq!(cache.peek(&1), Some(1));
    clock.advance(Duration::from_secs(10));
    assert_eq!((cache.peek(&1), cache.get(&1)), (None, None), "a peek prolongs nothing");
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses), (9, 1));
}

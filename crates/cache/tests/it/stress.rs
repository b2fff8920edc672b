//! Many threads, all operations.

use ropewalk_cache::{Cache, LoadError, Policy};
use ropewalk_sync::{Clock, block_on};
use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
}

/// A value is the version of a truth when it was written or loaded; nobody may see an older one than
/// the last version whose invalidation was over when it asked.
#[test]
fn nobody_sees_what_was_invalidated_before_it_asked() {
    for policy in [Policy::Adaptive, Policy::Lru, Policy::S3Fifo, Policy::Sieve] {
        let cache: Cache<u64, u64> = Cache::builder(20).policy(policy).shards(2).build().unwrap();
        let truth: Vec<AtomicU64> = (0..32).map(|_| AtomicU64::new(0)).collect();
        let announced: Vec<AtomicU64> = (0..32).map(|_| AtomicU64::new(0)).collect();
        thread::scope(|scope| {
            for reader in 0..3 {
                let (cache, truth, announced) = (&cache, &truth, &announced);
                scope.spawn(move || {
                    let mut random = Random(reader);
                    for n in 0..4_000 {
                        let key = random.next() % 32;
                        let at = key as usize;
                        let least = announced[at].load(SeqCst);
                        let load = || {
                            let version = truth[at].load(SeqCst);
                            if n % 16 == 0 {
                                thread::yield_now();
                            }
                            version
                        };
                        let seen = match n % 3 {
                            0 => cache.get(&key),
                            1 => Some(cache.get_or_insert_with(key, load)),
                            _ => block_on(cache.get_or_load(key, || async { Ok::<_, ()>(load()) })).ok(),
                        };
                        assert!(seen.is_none_or(|seen| seen >= least), "{seen:?} after {least}");
                    }
                });
            }
            let (cache, truth, announced) = (&cache, &truth, &announced);
            scope.spawn(move || {
                let mut random = Random(77);
                for n in 1..6_000_u64 {
                    let key = random.next() % 32;
                    let at = key as usize;
                    truth[at].store(n, SeqCst);
                    match n % 50 {
                        0 => cache.invalidate_all(),
                        1 => cache.retain(|other, _| *other != key),
                        2..=20 => cache.insert(key, n),
                        21..=30 => drop(cache.remove(&key)),
                        _ => drop(cache.invalidate(&key)),
                    }
                    announced[at].store(n, SeqCst);
                }
            });
        });
        let stats = cache.stats();
        assert!(stats.weight <= 20 && stats.weight == cache.weight());
        assert!(stats.hits > 0 && stats.loads > 0);
    }
}

/// Callers vanish at random; what is completed is completed once per flight.
#[test]
fn bursts_with_callers_that_vanish() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    let cache: std::sync::Arc<Cache<u64, u64>> = std::sync::Arc::new(Cache::new(100_000));
    let completed: std::sync::Arc<Mutex<HashMap<u64, usize>>> = Default::default();
    let (starts, dropped) =
        (std::sync::Arc::new(AtomicUsize::new(0)), std::sync::Arc::new(AtomicUsize::new(0)));
    runtime.block_on(async {
        let mut random = Random(3);
        let tasks: Vec<_> = (0..6_000_u64)
            .map(|n| {
                let key = n / 30;
                let (cache, completed, starts) = (cache.clone(), completed.clone(), starts.clone());
                let dropped = dropped.clone();
                // One in five, and the likely leader of every key, is dropped after a few polls.
                let polls =
                    if n % 30 == 0 || random.next() % 5 == 0 { Some(random.next() % 4) } else { None };
                tokio::spawn(async move {
                    let mut call = Box::pin(cache.get_or_load(key, || async move {
                        starts.fetch_add(1, SeqCst);
                        for _ in 0..3 {
                            tokio::task::yield_now().await;
                        }
                        *completed.lock().unwrap().entry(key).or_default() += 1;
                        Ok::<_, ()>(key)
                    }));
                    let Some(mut polls) = polls else { return assert_eq!(call.await, Ok(key)) };
                    std::future::poll_fn(|cx| {
                        if call.as_mut().poll(cx).is_ready() {
                            return std::task::Poll::Ready(());
                        }
                        if polls == 0 {
                            dropped.fetch_add(1, SeqCst);
                            return std::task::Poll::Ready(());
                        }
                        polls -= 1;
                        std::task::Poll::Pending
                    })
                    .await;
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    let completed = completed.lock().unwrap();
    assert_eq!(completed.len(), 200);
    assert!(completed.values().all(|loads| *loads == 1), "completed loads are exactly one per key");
    let (starts, dropped) = (starts.load(SeqCst), dropped.load(SeqCst));
    assert!(dropped > 0 && starts <= 200 + dropped, "{starts} starts, {dropped} dropped");
}

/// Everything at once, with time going by.
#[test]
fn everything_at_once() {
    let clock = Clock::virtual_();
    let cache: Cache<u64, String> = Cache::builder(300)
        .shards(4)
        .clock(clock.clone())
        .time_to_live(Duration::from_millis(40))
        .time_to_idle(Duration::from_millis(20))
        .weigher(|_, value: &String| value.len() as u32)
        .listener(|key: &u64, value, _| assert!(value.starts_with(&key.to_string())))
        .build()
        .unwrap();
    thread::scope(|scope| {
        for worker in 0..4 {
            let (cache, clock) = (&cache, &clock);
            scope.spawn(move || {
                let mut random = Random(worker);
                for n in 0..3_000 {
                    let key = random.next() % 200;
                    let value = format!("{key}{}", "x".repeat((random.next() % 30) as usize));
                    match random.next() % 20 {
                        0..=5 => {
                            let seen = cache.get(&key);
                            assert!(seen.is_none_or(|seen| seen.starts_with(&key.to_string())));
                        }
                        6..=9 => cache.insert(key, value),
                        10..=13 => {
                            let loaded = cache
                                .get_or_load_blocking(key, || if n % 9 == 0 { Err(n) } else { Ok(value) });
                            match loaded {
                                Ok(loaded) => assert!(loaded.starts_with(&key.to_string())),
                                Err(LoadError::Failed(error)) => assert_eq!(*error % 9, 0),
                                Err(other) => panic!("{other:?}"),
                            }
                        }
                        14 => drop(cache.remove(&key)),
                        15 => drop(cache.sweep(5)),
                        16 if n % 50 == 0 => cache.retain(|other, _| other % 2 == 0),
                        17 if n % 100 == 0 => cache.invalidate_all(),
                        18 if n % 40 == 0 => cache.resize(100 + random.next() % 300),
                        19 => clock.advance(Duration::from_millis(1)),
                        _ => cache.insert_with_ttl(key, value, Duration::from_millis(random.next() % 50)),
                    }
                }
            });
        }
    });
    let stats = cache.stats();
    assert_eq!(stats.listener_panics, 0);
    assert_eq!(stats.weight, cache.weight());
    let gone = stats.expired + stats.removed + stats.replaced + stats.evicted;
    assert_eq!(stats.inserts - gone, stats.len);
}

#[test]
fn a_visit_beside_writers_misses_no_entry_that_stays() {
    let cache: Cache<u64, u64> = Cache::builder(10_000).shards(4).build().unwrap();
    (0..300).for_each(|key| cache.insert(key, key));
    let done = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        for writer in 1..3_u64 {
            let (cache, done) = (&cache, &done);
            scope.spawn(move || {
                for n in 0.. {
                    if done.load(SeqCst) {
                        return;
                    }
                    let key = 1_000 * writer + n % 500;
                    cache.insert(key, key);
                    cache.invalidate(&(1_000 * writer + (n * 7) % 500));
                }
            });
        }
        for _ in 0..100 {
            let mut stay = 0;
            cache.for_each(|key, value| {
                assert_eq!(key, value);
                stay += usize::from(*key < 300);
            });
            assert_eq!(stay, 300, "each once");
        }
        done.store(true, SeqCst);
    });
}

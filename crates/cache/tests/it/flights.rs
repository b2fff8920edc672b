//! One load per key, whoever asks.

use crate::support::poll_once;
use ropewalk_cache::{Cache, LoadError};
use ropewalk_sync::{Clock, Event, block_on};
use std::{
    pin::pin,
    sync::{
        Arc, Barrier, OnceLock,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::Poll,
    thread,
    time::Duration,
};

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("no such key")]
struct NoSuchKey;

fn cache() -> Cache<u64, String> {
    Cache::builder(100).build().unwrap()
}

#[test]
fn tasks_share_one_load() {
    let cache = cache();
    let (gate, starts) = (Event::new(), AtomicUsize::new(0));
    let load = || async {
        starts.fetch_add(1, SeqCst);
        gate.wait().await;
        Ok::<_, NoSuchKey>("v".to_owned())
    };
    let mut callers: Vec<_> = (0..10).map(|_| Box::pin(cache.get_or_load(1, load))).collect();
    assert!(callers.iter_mut().all(|caller| poll_once(caller).is_pending()));
    gate.set();
    for caller in callers {
        assert_eq!(block_on(caller).unwrap(), "v");
    }
    let stats = cache.stats();
    assert_eq!((starts.into_inner(), stats.loads, stats.shared_loads), (1, 1, 9));
    assert_eq!((stats.hits, stats.misses, stats.load_failures), (0, 10, 0));
    assert_eq!(cache.load_times().count(), 1);
}

#[test]
fn threads_and_tasks_share_one_load() {
    for leader_is_thread in [false, true] {
        let clock = Clock::virtual_();
        let cache: Cache<u64, String> = Cache::builder(100).clock(clock.clone()).build().unwrap();
        let (gate, started, starts) = (Event::new(), Event::new(), AtomicUsize::new(0));
        let begin = || {
            starts.fetch_add(1, SeqCst);
            started.set();
        };
        let by_thread = || {
            cache.get_or_load_blocking(1, || {
                begin();
                gate.wait_blocking();
                Ok::<_, NoSuchKey>("v".to_owned())
            })
        };
        let by_task = || {
            cache.get_or_load(1, || async {
                begin();
                gate.wait().await;
                Ok::<_, NoSuchKey>("v".to_owned())
            })
        };
        thread::scope(|scope| {
            let mut joined = Vec::new();
            let mut task = Box::pin(by_task());
            if leader_is_thread {
                joined.push(scope.spawn(by_thread));
                started.wait_blocking();
            }
            assert!(poll_once(&mut task).is_pending());
            joined.extend((0..4).map(|_| scope.spawn(by_thread)));
            joined.extend((0..4).map(|_| scope.spawn(|| block_on(by_task()))));
            gate.set();
            assert_eq!(block_on(task).unwrap(), "v");
            for caller in joined {
                assert_eq!(caller.join().unwrap().unwrap(), "v");
            }
        });
        assert_eq!((starts.into_inner(), cache.stats().loads), (1, 1));
    }
}

#[test]
fn tokio_tasks_share_one_load_per_key() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    let cache: Arc<Cache<u64, u64>> = Arc::new(Cache::new(1_000));
    let loads = Arc::new(AtomicUsize::new(0));
    runtime.block_on(async {
        let tasks: Vec<_> = (0..2_000_u64)
            .map(|n| {
                let (cache, loads) = (cache.clone(), loads.clone());
                tokio::spawn(async move {
                    let key = n % 50;
                    let load = || async {
                        loads.fetch_add(1, SeqCst);
                        tokio::task::yield_now().await;
                        Ok::<_, NoSuchKey>(key * 10)
                    };
                    assert_eq!(cache.get_or_load(key, load).await.unwrap(), key * 10);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert_eq!((loads.load(SeqCst), cache.stats().loads), (50, 50));
}

#[test]
fn an_error_goes_to_all_and_is_not_cached() {
    let cache = cache();
    let gate = Event::new();
    let load = || async {
        gate.wait().await;
        Err::<String, _>(NoSuchKey)
    };
    let mut callers: Vec<_> = (0..3).map(|_| Box::pin(cache.get_or_load(1, load))).collect();
    assert!(callers.iter_mut().all(|caller| poll_once(caller).is_pending()));
    gate.set();
    let errors: Vec<_> = callers.into_iter().map(|caller| block_on(caller).unwrap_err()).collect();
    let LoadError::Failed(first) = &errors[0] else { panic!("{:?}", errors[0]) };
    for error in &errors {
        assert!(matches!(error, LoadError::Failed(shared) if Arc::ptr_eq(shared, first)));
        assert_eq!(error.failed(), Some(&NoSuchKey));
        assert_eq!(error.to_string(), "the load failed: no such key");
        assert_eq!(std::error::Error::source(error).unwrap().to_string(), "no such key");
    }
    assert!(!cache.contains(&1));
    let stats = cache.stats();
    assert_eq!((stats.loads, stats.load_failures, stats.shared_loads), (0, 1, 2));
    assert_eq!(cache.get_or_load_blocking(1, || Ok::<_, NoSuchKey>("v".into())).unwrap(), "v");
}

#[test]
fn callers_with_another_error_type_load_by_themselves() {
    let cache = cache();
    let gate = Event::new();
    let mut leader = Box::pin(cache.get_or_load(1, || async {
        gate.wait().await;
        Err::<String, _>(NoSuchKey)
    }));
    let mut other = Box::pin(cache.get_or_load(1, || async { Err::<String, _>(7_u8) }));
    assert!(poll_once(&mut leader).is_pending() && poll_once(&mut other).is_pending());
    gate.set();
    assert_eq!(block_on(leader).unwrap_err().failed(), Some(&NoSuchKey));
    assert_eq!(block_on(other).unwrap_err().failed(), Some(&7));
}

#[test]
fn there_may_be_no_value() {
    let cache = cache();
    let gate = Event::new();
    let nothing = || async {
        gate.wait().await;
        Ok::<_, NoSuchKey>(None)
    };
    let mut leader = Box::pin(cache.get_or_load_optional(1, nothing));
    let mut same = Box::pin(cache.get_or_load_optional(1, nothing));
    let mut needs_one = Box::pin(cache.get_or_load(1, || async { Ok::<_, NoSuchKey>("v".into()) }));
    assert!(poll_once(&mut leader).is_pending() && poll_once(&mut same).is_pending());
    assert!(poll_once(&mut needs_one).is_pending());
    gate.set();
    assert_eq!(block_on(leader).unwrap(), None);
    assert_eq!(block_on(same).unwrap(), None);
    assert_eq!(cache.stats().shared_loads, 1);
    assert!(!cache.contains(&1));
    assert_eq!(block_on(needs_one).unwrap(), "v", "who cannot do without loads by itself");
    assert_eq!(block_on(cache.get_or_load_optional(1, nothing)).unwrap().as_deref(), Some("v"));
    assert_eq!(cache.get_or_load_optional_blocking(2, || Ok::<_, NoSuchKey>(None)).unwrap(), None);
}

/// Runs `change` while a load of key 1 is under way.
fn change_during_a_load(change: impl FnOnce(&Cache<u64, String>)) -> Cache<u64, String> {
    let cache = cache();
    let gate = Event::new();
    let old = || async {
        gate.wait().await;
        Ok::<_, NoSuchKey>("old".to_owned())
    };
    let mut leader = Box::pin(cache.get_or_load(1, old));
    let mut waiter = Box::pin(cache.get_or_load(1, old));
    assert!(poll_once(&mut leader).is_pending() && poll_once(&mut waiter).is_pending());
    change(&cache);
    gate.set();
    assert_eq!(block_on(leader).unwrap(), "old", "who asked before the change gets what was loaded then");
    assert_eq!(block_on(waiter).unwrap(), "old");
    cache
}

#[test]
fn an_invalidation_during_a_load_stops_its_insert() {
    assert!(change_during_a_load(|cache| assert!(!cache.invalidate(&1))).is_empty());
    assert!(change_during_a_load(|cache| assert_eq!(cache.remove(&1), None)).is_empty());
    assert!(change_during_a_load(|cache| cache.invalidate_all()).is_empty());
    assert!(change_during_a_load(|cache| cache.retain(|_, _| true)).is_empty());
}

#[test]
fn a_write_during_a_load_stays() {
    let cache = change_during_a_load(|cache| cache.insert(1, "new".into()));
    assert_eq!(cache.get(&1).as_deref(), Some("new"));
    let cache = change_during_a_load(|cache| cache.insert_with_ttl(1, "new".into(), Duration::MAX));
    assert_eq!(cache.get(&1).as_deref(), Some("new"));
}

#[test]
fn callers_after_an_invalidation_load_anew() {
    let cache = change_during_a_load(|cache| {
        cache.invalidate(&1);
        let fresh = cache.get_or_load_blocking(1, || Ok::<_, NoSuchKey>("new".into()));
        assert_eq!(fresh.unwrap(), "new");
    });
    assert_eq!(cache.get(&1).as_deref(), Some("new"), "and the old load does not replace it");
    assert_eq!(cache.stats().loads, 2);
}

#[test]
fn a_change_of_another_key_does_not_stop_it() {
    let cache = change_during_a_load(|cache| {
        cache.invalidate(&2);
        cache.insert(2, "two".into());
    });
    assert_eq!(cache.get(&1).as_deref(), Some("old"));
}

#[test]
fn a_loader_that_asks_for_its_own_key_is_refused() {
    let cache = cache();
    let result = cache.get_or_load_blocking(1, || {
        match cache.get_or_load_blocking(1, || Ok::<_, NoSuchKey>("inner".into())) {
            Err(LoadError::Recursive) => Err(NoSuchKey),
            other => panic!("{other:?}"),
        }
    });
    assert_eq!(result.unwrap_err().failed(), Some(&NoSuchKey));
    let result = block_on(cache.get_or_load(1, || async {
        // A task inside a task, and a thread's call inside a task.
        let inner = cache.get_or_load(1, || async { Ok::<_, NoSuchKey>("inner".into()) }).await;
        assert!(matches!(inner, Err(LoadError::Recursive)), "{inner:?}");
        crate::support::yields(1).await;
        let inner = cache.get_or_load_blocking(1, || Ok::<_, NoSuchKey>("inner".into()));
        assert!(matches!(inner, Err(LoadError::Recursive)), "{inner:?}");
        Ok::<_, NoSuchKey>("outer".to_owned())
    }));
    assert_eq!(result.unwrap(), "outer");
}

#[test]
fn a_loader_that_asks_for_its_own_key_through_another_is_refused() {
    let cache = cache();
    let result = cache.get_or_load_blocking(1, || {
        cache
            .get_or_load_blocking(2, || {
                let inner = cache.get_or_load_blocking(1, || Ok::<_, NoSuchKey>("inner".into()));
                assert!(matches!(inner, Err(LoadError::Recursive)), "{inner:?}");
                Ok::<_, NoSuchKey>("two".into())
            })
            .map_err(|_| NoSuchKey)
    });
    assert_eq!(result.unwrap(), "two");
}

#[test]
fn loaders_that_ask_for_each_other_s_keys_do_not_hang() {
    for _ in 0..50 {
        let cache = cache();
        let both = Barrier::new(2);
        let refused = AtomicUsize::new(0);
        thread::scope(|scope| {
            for (mine, other) in [(1, 2), (2, 1)] {
                let (cache, both, refused) = (&cache, &both, &refused);
                scope.spawn(move || {
                    let result = cache.get_or_load_blocking(mine, || {
                        both.wait();
                        let needed = cache.get_or_load_blocking(other, || Ok::<_, NoSuchKey>("late".into()));
                        match needed {
                            Ok(value) => Ok::<_, NoSuchKey>(value),
                            Err(LoadError::Recursive) => {
                                refused.fetch_add(1, SeqCst);
                                Ok("without".into())
                            }
                            Err(other) => panic!("{other:?}"),
                        }
                    });
                    assert_eq!(result.unwrap(), "without");
                });
            }
        });
        assert_eq!(refused.into_inner(), 1, "the one that closed the circle");
    }
}

#[test]
#[should_panic(expected = "from inside its own closure")]
fn get_or_insert_with_from_inside_itself_panics() {
    let cache = cache();
    cache.get_or_insert_with(1, || cache.get_or_insert_with(1, || "inner".into()));
}

#[test]
fn other_keys_may_be_loaded_inside_a_loader() {
    let slot: Arc<OnceLock<Cache<u64, u64>>> = Arc::default();
    let cache = slot.get_or_init(|| Cache::new(100));
    fn fibonacci(cache: &Cache<u64, u64>, n: u64) -> u64 {
        cache.get_or_insert_with(
            n,
            || if n < 2 { n } else { fibonacci(cache, n - 1) + fibonacci(cache, n - 2) },
        )
    }
    assert_eq!(fibonacci(cache, 60), 1_548_008_755_920);
    assert_eq!(cache.stats().loads, 61);
}

#[test]
fn waiting_has_a_limit() {
    let clock = Clock::virtual_();
    let cache: Cache<u64, String> = Cache::builder(100).clock(clock.clone()).build().unwrap();
    let gate = Event::new();
    let load = || async {
        gate.wait().await;
        Ok::<_, NoSuchKey>("v".to_owned())
    };
    let limit = Duration::from_secs(3);
    let mut leader = pin!(cache.get_or_load_timeout(1, limit, load));
    let mut waiter = pin!(cache.get_or_load_timeout(1, limit * 2, load));
    assert!(poll_once(&mut leader).is_pending() && poll_once(&mut waiter).is_pending());
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            cache.get_or_load_blocking_timeout(1, limit, || -> Result<String, NoSuchKey> {
                panic!("another loads")
            })
        });
        while clock.next_deadline().is_none() || cache.stats().misses < 3 {
            thread::yield_now();
        }
        // The thread's limit starts when it waits, which this loop does not see; so time goes on until
        // it has given up.
        while !thread.is_finished() {
            clock.advance(limit);
            thread::yield_now();
        }
        assert!(matches!(thread.join().unwrap(), Err(LoadError::TimedOut)));
    });
    assert!(matches!(poll_once(&mut leader), Poll::Ready(Err(LoadError::TimedOut))));
    gate.set();
    assert!(matches!(poll_once(&mut waiter), Poll::Ready(Ok(value)) if value == "v"));
    let never = cache.get_or_load_blocking_timeout(2, Duration::MAX, || Ok::<_, NoSuchKey>("w".into()));
    assert_eq!(never.unwrap(), "w");
}

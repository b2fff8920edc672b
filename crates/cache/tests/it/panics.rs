//! A panic in the user's code at each of its calls: nothing is lost, nothing hangs, the next call works.

use crate::support::{Wakes, poll_once};
use ropewalk_cache::{Cache, Policy};
use ropewalk_sync::{Clock, block_on};
use std::{
    cell::Cell,
    hash::{Hash, Hasher},
    panic::{AssertUnwindSafe, catch_unwind},
    task::{Context, Poll, Waker},
    time::Duration,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Call {
    Hash,
    Eq,
    Clone,
    DropKey,
    DropValue,
    Weigher,
    Lifetime,
    Listener,
    Loader,
    Retain,
}

const CALLS: [Call; 10] = [
    Call::Hash,
    Call::Eq,
    Call::Clone,
    Call::DropKey,
    Call::DropValue,
    Call::Weigher,
    Call::Lifetime,
    Call::Listener,
    Call::Loader,
    Call::Retain,
];

thread_local! {
    /// Which call panics, and how many of its kind come before.
    static ARMED: Cell<Option<(Call, usize)>> = const { Cell::new(None) };
    static ALIVE: Cell<i64> = const { Cell::new(0) };
}

fn call(kind: Call) {
    if let Some((armed, left)) = ARMED.get() {
        if armed == kind {
            ARMED.set(left.checked_sub(1).map(|left| (armed, left)));
            if left == 0 {
                panic!("{kind:?}");
            }
        }
    }
}

#[derive(Debug)]
struct Tracked<const IS_KEY: bool>(u64);
type Key = Tracked<true>;
type Value = Tracked<false>;

fn tracked<const IS_KEY: bool>(n: u64) -> Tracked<IS_KEY> {
    ALIVE.set(ALIVE.get() + 1);
    Tracked(n)
}

impl<const IS_KEY: bool> Clone for Tracked<IS_KEY> {
    fn clone(&self) -> Self {
        call(Call::Clone);
        tracked(self.0)
    }
}

impl<const IS_KEY: bool> Drop for Tracked<IS_KEY> {
    fn drop(&mut self) {
        ALIVE.set(ALIVE.get() - 1);
        call(if IS_KEY { Call::DropKey } else { Call::DropValue });
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        call(Call::Eq);
        self.0 == other.0
    }
}
impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        call(Call::Hash);
        // Three hashes, so that chains are met.
        (self.0 % 3).hash(state);
    }
}

fn build(policy: Policy, clock: &Clock) -> Cache<Key, Value> {
    Cache::builder(8)
        .seed(1)
        .shards(2)
        .policy(policy)
        .clock(clock.clone())
        .time_to_idle(Duration::from_secs(5))
        .weigher(|_, value: &Value| {
            call(Call::Weigher);
            1 + (value.0 % 3) as u32
        })
        .expire_after(|_, value: &Value| {
            call(Call::Lifetime);
            Duration::from_secs(1 + value.0 % 7)
        })
        .listener(|_: &Key, _: &Value, _| call(Call::Listener))
        .build()
        .unwrap()
}

/// One step, whose panic is the caller's to see.
fn step(cache: &Cache<Key, Value>, clock: &Clock, n: u64) {
    let key = || tracked::<true>(n % 5);
    let load = || {
        call(Call::Loader);
        if n % 11 == 0 { Err(()) } else { Ok(tracked::<false>(n)) }
    };
    match n % 9 {
        0 => drop(cache.get(&key())),
        1 | 2 => cache.insert(key(), tracked(n)),
        3 => drop(cache.remove(&key())),
        4 => drop(cache.get_or_load_blocking(key(), load)),
        5 => drop(block_on(cache.get_or_load(key(), || async { load() }))),
        6 => cache.retain(|key, _| {
            call(Call::Retain);
            key.0 % 4 != 1
        }),
        7 => {
            drop(cache.try_insert(key(), tracked(n)));
            clock.advance(Duration::from_secs(1));
        }
        _ if n % 27 == 8 => cache.invalidate_all(),
        _ => drop(cache.contains(&key())),
    }
}

#[test]
fn at_each_call() {
    // The panics are wanted; their messages are not.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if ARMED.get().is_none() && !wanted(info.payload()) {
            hook(info);
        }
    }));
    let mut fired_by_kind = Vec::new();
    for policy in [Policy::Adaptive, Policy::S3Fifo] {
        for kind in CALLS {
            let mut at = 0;
            loop {
                let fired = run(policy, kind, at);
                if !fired {
                    break;
                }
                at += 1;
            }
            fired_by_kind.push((kind, at));
        }
    }
    for (kind, fired) in fired_by_kind {
        assert!(fired >= 5, "{kind:?} was made to panic {fired} times only");
    }
}

fn wanted(payload: &dyn std::any::Any) -> bool {
    payload.downcast_ref::<String>().is_some_and(|text| CALLS.iter().any(|kind| *text == format!("{kind:?}")))
}

/// Tells whether the panic came.
fn run(policy: Policy, kind: Call, at: usize) -> bool {
    assert_eq!(ALIVE.get(), 0);
    let clock = Clock::virtual_();
    let cache = build(policy, &clock);
    ARMED.set(Some((kind, at)));
    for n in 0..60 {
        let _ = catch_unwind(AssertUnwindSafe(|| step(&cache, &clock, n)));
        let stats = cache.stats();
        assert!(stats.weight <= 8);
        assert_eq!(stats.weight, cache.weight(), "{kind:?} {at}: room was lost at step {n}");
        let gone = stats.expired + stats.removed + stats.replaced + stats.evicted;
        assert_eq!(stats.inserts - gone, stats.len, "{kind:?} {at}");
    }
    let fired = ARMED.take().is_none();
    // It works on, key by key.
    for n in 0..5 {
        cache.insert(tracked(n), tracked(3 * n));
        assert_eq!(cache.get(&tracked(n)).map(|value| value.0), Some(3 * n), "{kind:?} {at}");
        cache.invalidate(&tracked(n));
        let loaded = cache.get_or_load_blocking(tracked(n), || Ok::<_, ()>(tracked(3 * n)));
        assert_eq!(loaded.unwrap().0, 3 * n, "{kind:?} {at}");
    }
    drop(cache);
    assert_eq!(ALIVE.get(), 0, "{kind:?} {at}: dropped once each");
    fired
}

/// Past the hook: nobody wants to read about it.
fn boom<T>() -> T {
    std::panic::resume_unwind(Box::new("wanted"))
}

fn panics<R>(f: impl FnOnce() -> R) -> bool {
    catch_unwind(AssertUnwindSafe(f)).is_err()
}

#[test]
fn a_panic_in_a_look_or_a_visit_leaves_the_cache_as_it_was() {
    let cache: Cache<u64, u64> = Cache::builder(500).shards(2).build().unwrap();
    (0..400).for_each(|key| cache.insert(key, key));
    assert!(panics(|| cache.with(&1, |_| boom::<u64>())));
    let mut visited = 0;
    assert!(panics(|| cache.for_each(|_, _| {
        visited += 1;
        if visited == 200 {
            boom()
        }
    })));
    assert_eq!((cache.len(), cache.weight()), (400, 400));
    let mut seen = Vec::new();
    cache.for_each(|key, _| seen.push(*key));
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..400) && cache.get(&1) == Some(1));
}

#[test]
fn a_value_that_cannot_be_cloned_out_is_removed_all_the_same() {
    struct Once(u64);
    impl Clone for Once {
        fn clone(&self) -> Self {
            boom()
        }
    }
    let cache: Cache<u64, Once> = Cache::new(10);
    cache.insert(1, Once(1));
    cache.insert(2, Once(2));
    // Nobody else looks: moved out.
    assert_eq!(cache.remove(&1).map(|value| value.0), Some(1));
    cache.with(&2, |value| {
        assert!(panics(|| cache.remove(&2)));
        assert_eq!(value.0, 2);
    });
    assert!(cache.is_empty() && cache.weight() == 0);
}

#[test]
fn a_waker_that_panics_at_a_landing_takes_nobody_along() {
    struct Bomb;
    impl std::task::Wake for Bomb {
        fn wake(self: std::sync::Arc<Self>) {
            boom()
        }
    }
    let cache: Cache<u64, u64> = Cache::new(10);
    let gate = ropewalk_sync::Event::new();
    let load = || async {
        gate.wait().await;
        Ok::<_, ()>(7)
    };
    let mut leader = Box::pin(cache.get_or_load(1, load));
    let (mut rude, mut behind) = (Box::pin(cache.get_or_load(1, load)), Box::pin(cache.get_or_load(1, load)));
    let (bomb, wakes) = (std::sync::Arc::new(Bomb), std::sync::Arc::new(Wakes::default()));
    assert!(poll_once(&mut leader).is_pending());
    for (waiter, waker) in [(&mut rude, Waker::from(bomb)), (&mut behind, Waker::from(wakes.clone()))] {
        assert!(waiter.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    gate.set();
    assert!(panics(|| poll_once(&mut leader)), "it goes on to the leader");
    drop(leader);
    assert_eq!((wakes.count(), cache.get(&1)), (1, Some(7)));
    assert_eq!(poll_once(&mut rude), Poll::Ready(Ok(7)));
    assert_eq!(poll_once(&mut behind), Poll::Ready(Ok(7)));
}

//! Any sequence of calls against a map with times.

use crate::support::Colliding;
use proptest::prelude::*;
use ropewalk_cache::{Cache, Cause, Policy};
use ropewalk_sync::Clock;
use std::{
    collections::{BTreeMap, HashMap},
    hash::BuildHasher,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

const LIFE: Duration = Duration::from_millis(50);
const IDLE: Duration = Duration::from_millis(30);

#[derive(Clone, Debug)]
enum Op {
    Get(u8),
    With(u8),
    Peek(u8),
    Contains(u8),
    Insert(u8),
    InsertTtl(u8, u64),
    Remove(u8),
    Invalidate(u8),
    Load(u8),
    LoadNothing(u8),
    LoadFails(u8),
    Retain(u8),
    Clear,
    Sweep(usize),
    Resize(u64),
    Advance(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let key = || 0..12_u8;
    prop_oneof![
        6 => key().prop_map(Op::Get),
        2 => key().prop_map(Op::With),
        2 => key().prop_map(Op::Peek),
        2 => key().prop_map(Op::Contains),
        6 => key().prop_map(Op::Insert),
        2 => (key(), 0..80_u64).prop_map(|(key, ttl)| Op::InsertTtl(key, ttl)),
        2 => key().prop_map(Op::Remove),
        1 => key().prop_map(Op::Invalidate),
        4 => key().prop_map(Op::Load),
        1 => key().prop_map(Op::LoadNothing),
        1 => key().prop_map(Op::LoadFails),
        1 => (1..5_u8).prop_map(Op::Retain),
        1 => Just(Op::Clear),
        1 => (0..5_usize).prop_map(Op::Sweep),
        1 => (0..20_u64).prop_map(Op::Resize),
        4 => (0..40_u64).prop_map(Op::Advance),
    ]
}

#[derive(Clone, Copy)]
struct Known {
    value: u64,
    ends: Instant,
    used: Instant,
}

/// What the cache may say: never more than this, and all of it while nothing has to make room.
#[derive(Default)]
struct Model(HashMap<u8, Known>);

impl Model {
    fn living(&mut self, key: u8, now: Instant, touch: bool) -> Option<u64> {
        let known = self.0.get_mut(&key)?;
        if known.ends <= now || known.used + IDLE <= now {
            return None;
        }
        if touch {
            known.used = now;
        }
        Some(known.value)
    }
    fn write(&mut self, key: u8, value: u64, now: Instant, life: Duration) {
        self.0.insert(key, Known { value, ends: now + life, used: now });
    }
}

fn check<S: BuildHasher>(ops: &[Op], capacity: u64, shards: usize, policy: Policy, hasher: S) {
    let clock = Clock::virtual_();
    let left: Arc<Mutex<BTreeMap<u64, Cause>>> = Arc::default();
    let seen = left.clone();
    let cache = Cache::builder(capacity)
        .hasher(hasher)
        .policy(policy)
        .shards(shards)
        .clock(clock.clone())
        .time_to_live(LIFE)
        .time_to_idle(IDLE)
        .listener(move |_: &u8, value: &u64, cause| {
            assert!(seen.lock().unwrap().insert(*value, cause).is_none(), "{value} left twice");
        })
        .build()
        .unwrap();
    let mut model = Model::default();
    // An entry that was evicted is a miss for good; one that never had to make room is a hit.
    let roomy = capacity >= 100 && !ops.iter().any(|op| matches!(op, Op::Resize(_)));
    let mut written = 0;
    for op in ops {
        let now = clock.now();
        let agree = |real: Option<u64>, expected: Option<u64>| {
            if roomy || real.is_some() {
                assert_eq!(real, expected, "{op:?}");
            }
        };
        match *op {
            Op::Get(key) => {
                let real = cache.get(&key);
                let expected = model.living(key, now, real.is_some());
                agree(real, expected);
            }
            Op::With(key) => {
                let real = cache.with(&key, |value| *value);
                let expected = model.living(key, now, real.is_some());
                agree(real, expected);
            }
            Op::Peek(key) => agree(cache.peek(&key), model.living(key, now, false)),
            Op::Contains(key) => {
                let expected = model.living(key, now, false);
                agree(cache.contains(&key).then(|| expected.expect("living")), expected);
            }
            Op::Insert(key) => {
                written += 1;
                cache.insert(key, written);
                model.write(key, written, now, LIFE);
            }
            Op::InsertTtl(key, ttl) => {
                written += 1;
                let ttl = Duration::from_millis(ttl);
                cache.insert_with_ttl(key, written, ttl);
                model.write(key, written, now, ttl);
            }
            Op::Remove(key) => {
                agree(cache.remove(&key), model.living(key, now, false));
                model.0.remove(&key);
            }
            Op::Invalidate(key) => {
                let expected = model.living(key, now, false);
                agree(cache.invalidate(&key).then(|| expected.expect("living")), expected);
                model.0.remove(&key);
            }
            Op::Load(key) => {
                written += 1;
                let real = cache.get_or_load_blocking(key, || Ok::<_, ()>(written)).unwrap();
                if real == written {
                    assert!(!roomy || model.living(key, now, false).is_none(), "{op:?} loads needlessly");
                    model.write(key, written, now, LIFE);
                } else {
                    assert_eq!(Some(real), model.living(key, now, true));
                }
            }
            Op::LoadNothing(key) => {
                let real = cache.get_or_load_optional_blocking(key, || Ok::<_, ()>(None)).unwrap();
                let expected = model.living(key, now, real.is_some());
                agree(real, expected);
            }
            Op::LoadFails(key) => {
                let real = cache.get_or_load_blocking(key, || Err::<u64, _>("no")).ok();
                let expected = model.living(key, now, real.is_some());
                agree(real, expected);
            }
            Op::Retain(modulus) => {
                cache.retain(|key, _| key % modulus == 0);
                model.0.retain(|key, _| key % modulus == 0);
            }
            Op::Clear => {
                cache.invalidate_all();
                model.0.clear();
                assert!(cache.is_empty());
            }
            Op::Sweep(limit) => assert!(cache.sweep(limit) <= limit),
            Op::Resize(capacity) => cache.resize(capacity),
            Op::Advance(ms) => clock.advance(Duration::from_millis(ms)),
        }
        let stats = cache.stats();
        assert!(stats.weight <= stats.capacity);
        assert_eq!((stats.weight, stats.len), (cache.weight(), cache.weight()));
        let left = left.lock().unwrap();
        let gone = stats.expired + stats.removed + stats.replaced + stats.evicted;
        assert_eq!(stats.inserts - gone, stats.len, "who came in left or is here");
        assert_eq!(gone + stats.refused, left.len() as u64, "and all who left were told of");
    }
    let mut real = BTreeMap::new();
    cache.for_each(|key, value| assert_eq!(real.insert(*key, *value), None));
    let now = clock.now();
    let expected: BTreeMap<u8, u64> =
        (0..=u8::MAX).filter_map(|key| Some((key, model.living(key, now, false)?))).collect();
    if roomy {
        assert_eq!(real, expected);
    }
    assert!(real.iter().all(|(key, value)| expected.get(key) == Some(value)));
}

fn policy() -> impl Strategy<Value = Policy> {
    prop_oneof![Just(Policy::Adaptive), Just(Policy::Lru), Just(Policy::S3Fifo), Just(Policy::Sieve)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn prop_with_room_for_all(ops in prop::collection::vec(op(), 1..120), policy in policy(), shards in 1..4_usize) {
        check(&ops, 100, shards, policy, ropewalk_cache::DefaultHasher::fixed());
    }

    #[test]
    fn prop_with_evictions(
        ops in prop::collection::vec(op(), 1..120), capacity in 0..8_u64, policy in policy(), shards in 1..4_usize
    ) {
        check(&ops, capacity, shards, policy, ropewalk_cache::DefaultHasher::fixed());
    }

    #[test]
    fn prop_with_colliding_hashes(
        ops in prop::collection::vec(op(), 1..120), capacity in prop_oneof![Just(100_u64), 1..8_u64], policy in policy()
    ) {
        check(&ops, capacity, 2, policy, Colliding);
    }
}

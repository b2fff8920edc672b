//! The cache against a map: a look finds the last value written and alive, or nothing.
#![no_main]

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use ropewalk_cache::Cache;
use ropewalk_sync::Clock;

#[derive(Arbitrary, Debug)]
enum Op {
    Insert { key: u8, value: u16 },
    InsertFor { key: u8, value: u16, seconds: u8 },
    Get { key: u8 },
    Peek { key: u8 },
    Load { key: u8, value: Result<u16, ()> },
    Remove { key: u8 },
    Invalidate { key: u8 },
    InvalidateAll,
    Retain { odd: bool },
    Sweep { limit: u8 },
    Advance { seconds: u8 },
    Resize { capacity: u8 },
}

const LIFE: Duration = Duration::from_secs(100);

struct Model {
    now: Instant,
    values: HashMap<u8, (u16, Instant)>,
}

impl Model {
    fn insert(&mut self, key: u8, value: u16, life: Duration) {
        self.values.insert(key, (value, self.now + life));
    }

    fn alive(&self, key: u8) -> Option<u16> {
        self.values.get(&key).filter(|(_, end)| self.now < *end).map(|(value, _)| *value)
    }

    /// Evicted is fine, another value is not.
    fn check(&self, key: u8, found: Option<u16>) {
        assert!(found.is_none() || found == self.alive(key), "{key}: {found:?}, not {:?}", self.alive(key));
    }
}

#[derive(Arbitrary, Debug)]
struct Input {
    capacity: u8,
    ops: Vec<Op>,
}

fuzz_target!(|input: Input| {
    let clock = Clock::virtual_();
    let cache = Cache::<u8, u16>::builder(u64::from(input.capacity % 64));
    let cache = cache.time_to_live(LIFE).clock(clock.clone()).build().expect("the settings are valid");
    let mut model = Model { now: clock.now(), values: HashMap::new() };
    for op in input.ops {
        match op {
            Op::Insert { key, value } => {
                cache.insert(key, value);
                model.insert(key, value, LIFE);
            }
            Op::InsertFor { key, value, seconds } => {
                cache.insert_with_ttl(key, value, Duration::from_secs(seconds.into()));
                model.insert(key, value, Duration::from_secs(seconds.into()));
            }
            Op::Get { key } => model.check(key, cache.get(&key)),
            Op::Peek { key } => model.check(key, cache.peek(&key)),
            Op::Load { key, value } => {
                let mut loaded = false;
                let found = cache.get_or_load_blocking(key, || {
                    loaded = true;
                    value.map_err(|()| std::fmt::Error)
                });
                match (loaded, value) {
                    (true, Ok(value)) => {
                        assert_eq!(found.expect("the loader succeeded"), value);
                        model.insert(key, value, LIFE);
                    }
                    (true, Err(())) => assert!(found.is_err()),
                    (false, _) => model.check(key, Some(found.expect("it was in the cache"))),
                }
            }
            Op::Remove { key } => {
                model.check(key, cache.remove(&key));
                model.values.remove(&key);
                assert_eq!(cache.peek(&key), None);
            }
            Op::Invalidate { key } => {
                cache.invalidate(&key);
                model.values.remove(&key);
                assert_eq!(cache.peek(&key), None);
            }
            Op::InvalidateAll => {
                cache.invalidate_all();
                model.values.clear();
                assert!((0..=u8::MAX).all(|key| cache.peek(&key).is_none()));
            }
            Op::Retain { odd } => {
                cache.retain(|key, _| (key % 2 == 1) == odd);
                model.values.retain(|key, _| (key % 2 == 1) == odd);
            }
            Op::Sweep { limit } => _ = cache.sweep(limit.into()),
            Op::Advance { seconds } => {
                clock.advance(Duration::from_secs(seconds.into()));
                model.now = clock.now();
            }
            Op::Resize { capacity } => cache.resize(capacity.into()),
        }
        assert!(cache.weight() <= cache.capacity(), "{} of {}", cache.weight(), cache.capacity());
    }
});

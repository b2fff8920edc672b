//! The cache without its hasher: shards, the budget they share, and the steps every operation is
//! made of.
//!
//! Rules of this file:
//!
//! * No user code under a latch. Keys are compared between two looks at a shard ([`Core::lock_at`]);
//!   values, loaders, weighers and listeners are never touched inside; what leaves a shard goes into a
//!   `Trash` that is emptied after the latch has opened ([`Core::dispose`]).
//! * One shard's latch at a time.
//! * Room is taken from the budget before an entry is linked, in the same section, and given back
//!   after it is unlinked. Nobody waits while it holds room, so those who need room always get it in
//!   the end.

use crate::{
    CacheStats, Cause, Policy,
    entry::{Held, Trash},
    flight::Flight,
    look::records,
    nest::Waits,
    policy::{Evict, Ticks, Trace},
    raw::{
        budget::Budget,
        contained::contain,
        hazard::Records,
        table::{Reader, Table},
    },
    shard::{Link, NEVER, Shard, Spot, Times},
    tune::{GHOSTS_MIN, Tuner},
};
use parking_lot::{Mutex, MutexGuard};
use ropewalk_measure::{Counter, Histogram};
use ropewalk_sync::Clock;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Slots that one section of a clearing or a visit goes through.
const PAGE: usize = 128;

/// Expired entries that one write cleans up at most. It adds one, so a backlog shrinks.
const SWEEP: usize = 8;

pub(crate) type Listener<K, V> = Box<dyn Fn(&K, &V, Cause) + Send + Sync>;
pub(crate) type Weigher<K, V> = Box<dyn Fn(&K, &V) -> u32 + Send + Sync>;
pub(crate) type Lifetime<K, V> = Box<dyn Fn(&K, &V) -> Duration + Send + Sync>;

/// What the builder decides.
pub(crate) struct Config<K, V> {
    pub(crate) capacity: u64,
    pub(crate) policy: Policy,
    pub(crate) shards: usize,
    pub(crate) time_to_live: Option<Duration>,
    pub(crate) time_to_idle: Option<Duration>,
    pub(crate) weigher: Option<Weigher<K, V>>,
    pub(crate) lifetime: Option<Lifetime<K, V>>,
    pub(crate) listener: Option<Listener<K, V>>,
    pub(crate) clock: Clock,
}

pub(crate) struct Core<K, V> {
    shards: Box<[Padded<K, V>]>,
    /// What hits look at, without the latch of the shard.
    pub(crate) readers: Box<[Reader<Held<K, V>>]>,
    records: Records,
    pub(crate) trace: Trace,
    /// Idle time in nanoseconds, `NEVER` for none.
    pub(crate) idle: u64,
    pub(crate) budget: Arc<Budget>,
    pub(crate) clock: Clock,
    origin: Instant,
    policy: Policy,
    time_to_live: Option<Duration>,
    weigher: Option<Weigher<K, V>>,
    lifetime: Option<Lifetime<K, V>>,
    listener: Option<Listener<K, V>>,
    pub(crate) tuner: Tuner,
    pub(crate) waits: Waits,
    /// One at a time changes the capacity.
    resizing: Mutex<()>,
    pub(crate) tally: Tally,
}

/// What is counted outside of the shards.
#[derive(Default)]
pub(crate) struct Tally {
    /// Lookups that found nothing without a latch.
    pub(crate) misses: Counter,
    pub(crate) loads: Counter,
    pub(crate) load_failures: Counter,
    pub(crate) shared_loads: Counter,
    pub(crate) refused: Counter,
    pub(crate) listener_panics: Counter,
    pub(crate) load_times: Histogram,
}

/// Latches of neighbours on cache lines of their own.
#[repr(align(128))]
struct Padded<K, V>(Mutex<Shard<K, V>>);

/// How an entry was meant to be placed.
pub(crate) enum Placing<'a, K, V> {
    /// By a write: whatever is being loaded for the key is older.
    Write,
    /// By a load: only while its flight is registered.
    Load(&'a Arc<Flight<K, V>>),
}

impl<K, V> Core<K, V> {
    pub(crate) fn new(config: Config<K, V>) -> Self {
        let budget = Arc::new(Budget::new(config.capacity));
        let idle = config.time_to_idle.map_or(NEVER, nanos);
        let share = share(config.capacity, config.shards);
        let records = Records::new(records());
        let (shards, readers): (Vec<_>, Vec<_>) = (0..config.shards)
            .map(|at| {
                let order = order(config.policy, share, config.shards);
                // There are 1,024 at most.
                let Table { reader, writer } = Table::new(u32::try_from(at).unwrap_or(0), &records);
                let shard = Shard::new(
                    writer,
                    order,
                    share,
                    budget.clone(),
                    idle,
                    records.count(),
                    config.listener.is_some(),
                );
                (Padded(Mutex::new(shard)), reader)
            })
            .unzip();
        Self {
            shards: shards.into(),
            readers: readers.into(),
            records,
            trace: config.policy.trace(),
            idle,
            budget,
            origin: config.clock.now(),
            clock: config.clock,
            policy: config.policy,
            time_to_live: config.time_to_live,
            tuner: Tuner::new(config.policy, config.capacity, config.weigher.is_some()),
            weigher: config.weigher,
            lifetime: config.lifetime,
            listener: config.listener,
            waits: Waits::default(),
            resizing: Mutex::new(()),
            tally: Tally::default(),
        }
    }

    /// Nanoseconds since the cache was built. The last one that fits means never, so time ends before.
    pub(crate) fn now(&self) -> u64 {
        nanos(self.clock.now().saturating_duration_since(self.origin)).min(NEVER - 1)
    }

    pub(crate) fn weigh(&self, key: &K, value: &V) -> u32 {
        self.weigher.as_ref().map_or(1, |weigh| weigh(key, value).max(1))
    }

    /// How long an entry lives by itself, in nanoseconds.
    pub(crate) fn lifetime(&self, key: &K, value: &V) -> u64 {
        match &self.lifetime {
            Some(lifetime) => nanos(lifetime(key, value)),
            None => self.time_to_live.map_or(NEVER, nanos),
        }
    }

    pub(crate) fn is_too_heavy(&self, weight: u32) -> bool {
        u64::from(weight) > self.budget.capacity()
    }

    pub(crate) fn index(&self, hash: u64) -> usize {
        // The bits between those that choose the bucket and those that tag it.
        let middle = (hash >> 16) & 0xFFFF_FFFF;
        ((middle * self.shards.len() as u64) >> 32) as usize
    }

    pub(crate) fn lock(&self, hash: u64) -> MutexGuard<'_, Shard<K, V>> {
        self.shards[self.index(hash)].0.lock()
    }

    /// The shard of a key, latched, and where the key's entry is linked.
    pub(crate) fn lock_at(
        &self,
        hash: u64,
        is_key: impl Fn(&K) -> bool,
    ) -> (MutexGuard<'_, Shard<K, V>>, Option<Spot>) {
        let mut shard = self.lock(hash);
        while shard.has(hash) {
            let chain = shard.chain(hash);
            drop(shard);
            let spot = chain.iter().find(|link| is_key(&link.held.key)).map(|link| link.spot);
            shard = self.lock(hash);
            if shard.chain_is(hash, &chain) {
                // All of it is linked, so this drops no last share.
                drop(chain);
                return (shard, spot);
            }
            drop(shard);
            drop(chain);
            shard = self.lock(hash);
        }
        (shard, None)
    }

    /// Links an entry, or puts it in the place of the key's present one; tells whether it did.
    ///
    /// The caller has seen that it is not too heavy. If the capacity shrinks under it, it gives up.
    pub(crate) fn place(&self, entry: Held<K, V>, lifetime: u64, placing: &Placing<'_, K, V>) -> bool
    where
        K: Eq,
    {
        let (hash, weight) = (entry.hash, entry.weight);
        let now = self.now();
        let times = Times { now, expires: now.saturating_add(lifetime) };
        let mut trash = Trash::new();
        let mut detached = Vec::new();
        let mut pending = Some(entry);
        let own = self.index(hash);
        let placed = 'relock: loop {
            let Some(entry) = &pending else { break true };
            let (mut shard, at) = self.lock_at(hash, |key| *key == *entry.key);
            shard.turn(self.tuner.dial());
            match placing {
                Placing::Write => detached.append(&mut shard.detach(hash)),
                Placing::Load(flight) => {
                    if !shard.flights(hash).iter().any(|other| Arc::ptr_eq(other, flight)) {
                        break false;
                    }
                }
            }
            shard.expire(now, SWEEP, &mut trash);
            loop {
                let old = at.filter(|&spot| shard.is(spot));
                let held = old.map_or(0, |spot| shard.weight_at(spot));
                if self.budget.exchange(u64::from(held), u64::from(weight)) {
                    let Some(entry) = pending.take() else { break 'relock true };
                    match old {
                        Some(spot) => shard.replace(spot, entry, times, &mut trash),
                        None => shard.link(entry, times),
                    }
                    if let Placing::Load(flight) = placing {
                        shard.deregister(hash, flight);
                    }
                    shard.collect(false, &mut trash);
                    break 'relock true;
                }
                if self.is_too_heavy(weight) {
                    // The capacity shrank meanwhile. What the new value replaces is not true any more.
                    if let Some(spot) = old {
                        shard.remove(spot, Cause::Replaced, &mut trash);
                    }
                    shard.collect(false, &mut trash);
                    break 'relock false;
                }
                // A shard makes room in itself once it has its share; below it, others have more than
                // theirs and give.
                let after = shard.weight() - u64::from(held) + u64::from(weight);
                let fair = share(self.budget.capacity(), self.shards.len());
                if (after > fair || self.shards.len() == 1) && shard.evict(now, old, &mut trash) {
                    continue;
                }
                drop(shard);
                if !self.evict_from_fullest(own, now, &mut trash) {
                    // Only entries of this shard are left, or others hold room for a moment.
                    let mut shard = self.shards[own].0.lock();
                    let evicted = shard.evict(now, None, &mut trash);
                    shard.collect(false, &mut trash);
                    drop(shard);
                    if !evicted {
                        std::thread::yield_now();
                    }
                }
                continue 'relock;
            }
        };
        drop(detached);
        self.dispose(trash);
        if placed {
            self.tuner.wrote(hash, weight);
        } else if let Some(entry) = pending.filter(|_| self.is_too_heavy(weight)) {
            self.refuse(entry);
        }
        placed
    }

    fn evict_from_fullest(&self, own: usize, now: u64, trash: &mut Trash<K, V>) -> bool {
        let fullest = (0..self.shards.len())
            .filter(|&shard| shard != own)
            .map(|shard| (self.shards[shard].0.lock().weight(), std::cmp::Reverse(shard)))
            .max();
        let Some((1.., std::cmp::Reverse(fullest))) = fullest else { return false };
        let mut shard = self.shards[fullest].0.lock();
        shard.turn(self.tuner.dial());
        let evicted = shard.evict(now, None, trash);
        shard.collect(false, trash);
        evicted
    }

    /// Unlinks the key's entry and cuts its loads off; gives what was linked and alive.
    pub(crate) fn take(&self, hash: u64, is_key: impl Fn(&K) -> bool, cause: Cause) -> Option<Held<K, V>> {
        let now = self.now();
        let mut trash = Trash::new();
        let (mut shard, at) = self.lock_at(hash, is_key);
        let detached = shard.detach(hash);
        let mut taken = None;
        if let Some(spot) = at {
            if shard.lives(spot, now) {
                taken = Some(shard.at(spot));
                shard.remove(spot, cause, &mut trash);
            } else {
                shard.remove(spot, Cause::Expired, &mut trash);
            }
        }
        shard.expire(now, SWEEP, &mut trash);
        shard.collect(true, &mut trash);
        drop(shard);
        drop(detached);
        self.tuner.removed(hash);
        self.dispose(trash);
        taken
    }

    pub(crate) fn clear(&self) {
        let share = share(self.budget.capacity(), self.shards.len());
        let fresh = || order(self.policy, share, self.shards.len());
        for Padded(shard) in &self.shards {
            let (mut from, mut newest) = (Some(0), None);
            while let Some(at) = from {
                let now = self.now();
                let mut trash = Trash::new();
                let mut shard = shard.lock();
                // What is loading now was not written before, but asked for before.
                let detached = if newest.is_none() { shard.detach_all() } else { Vec::new() };
                let newest = *newest.get_or_insert(shard.newest());
                from = shard.clear(at, PAGE, newest, now, fresh, &mut trash);
                shard.collect(true, &mut trash);
                drop(shard);
                drop(detached);
                self.dispose(trash);
            }
        }
        self.tuner.clear();
    }

    pub(crate) fn retain(&self, mut keep: impl FnMut(&K, &V) -> bool) {
        self.pages(true, |shard, page| {
            let gone: Vec<Spot> = page
                .iter()
                .filter(|link| !keep(&link.held.key, &link.held.value))
                .map(|link| link.spot)
                .collect();
            if gone.is_empty() {
                return;
            }
            let mut trash = Trash::new();
            let mut shard = shard.lock();
            for spot in gone {
                if shard.is(spot) {
                    shard.remove(spot, Cause::Explicit, &mut trash);
                }
            }
            shard.collect(true, &mut trash);
            drop(shard);
            trash.gone.iter().for_each(|(held, _)| self.tuner.removed(held.hash));
            self.dispose(trash);
        });
    }

    pub(crate) fn for_each(&self, mut f: impl FnMut(&K, &V)) {
        self.pages(false, |_, page| page.iter().for_each(|link| f(&link.held.key, &link.held.value)));
    }

    /// Goes through the living entries in pages, so that no latch is held long.
    fn pages(&self, detach: bool, mut visit: impl FnMut(&Mutex<Shard<K, V>>, &[Link<K, V>])) {
        for Padded(shard) in &self.shards {
            let mut from = Some(0);
            while let Some(at) = from {
                let now = self.now();
                let mut latched = shard.lock();
                let detached = if detach { latched.detach_all() } else { Vec::new() };
                let (page, next) = latched.page(at, PAGE, now);
                drop(latched);
                drop(detached);
                visit(shard, &page);
                from = next;
            }
        }
    }

    /// Cleans up to `limit` expired entries; tells how many it found.
    pub(crate) fn sweep(&self, limit: usize) -> usize {
        let mut swept = 0;
        for Padded(shard) in &self.shards {
            loop {
                let mut trash = Trash::new();
                let step = (limit - swept).min(128);
                let mut shard = shard.lock();
                let looked = shard.expire(self.now(), step, &mut trash);
                shard.collect(true, &mut trash);
                drop(shard);
                swept += trash.gone.len();
                self.dispose(trash);
                if swept >= limit {
                    return swept;
                }
                if looked < step {
                    break;
                }
            }
        }
        swept
    }

    pub(crate) fn resize(&self, capacity: u64) {
        let alone = self.resizing.lock();
        self.budget.set_capacity(capacity);
        let share = share(capacity, self.shards.len());
        self.tuner.resize(capacity);
        for Padded(shard) in &self.shards {
            shard.lock().resize(share);
        }
        // From here on the listener is called, which may resize.
        drop(alone);
        while self.budget.is_over() {
            let before = self.budget.used();
            for Padded(shard) in &self.shards {
                let (now, mut trash) = (self.now(), Trash::new());
                let mut shard = shard.lock();
                for _ in 0..64 {
                    if !self.budget.is_over() || !shard.evict(now, None, &mut trash) {
                        break;
                    }
                }
                shard.collect(true, &mut trash);
                drop(shard);
                self.dispose(trash);
            }
            if self.budget.used() == before {
                // What is over belongs to writes that are about to link.
                std::thread::yield_now();
            }
        }
    }

    /// Tells of an entry that was never linked, and lets it go.
    pub(crate) fn refuse(&self, entry: Held<K, V>) {
        self.tally.refused.incr();
        self.dispose(Trash { gone: vec![(entry, Cause::Size)], shares: Vec::new() });
    }

    /// Tells the listener what left, then drops it. No latch is held here.
    pub(crate) fn dispose(&self, trash: Trash<K, V>) {
        for (held, cause) in trash.gone {
            if let Some(listener) = &self.listener {
                if !contain(|| listener(&held.key, &held.value, cause)) {
                    self.tally.listener_panics.incr();
                }
            }
            if cause == Cause::Expired {
                self.tuner.removed(held.hash);
            }
            drop(held);
        }
        drop(trash.shares);
    }

    pub(crate) fn stats(&self) -> CacheStats {
        let mut stats = CacheStats {
            loads: self.tally.loads.value(),
            load_failures: self.tally.load_failures.value(),
            shared_loads: self.tally.shared_loads.value(),
            refused: self.tally.refused.value(),
            listener_panics: self.tally.listener_panics.value(),
            capacity: self.budget.capacity(),
            hits: self.records.hits(),
            misses: self.tally.misses.value(),
            ..CacheStats::default()
        };
        for Padded(shard) in &self.shards {
            let shard = shard.lock();
            let counts = shard.counts;
            stats.hits += counts.hits;
            stats.misses += counts.misses;
            stats.inserts += counts.inserts;
            stats.expired += counts.expired;
            stats.removed += counts.explicit;
            stats.replaced += counts.replaced;
            stats.evicted += counts.size;
            stats.len += shard.len() as u64;
            stats.weight += shard.weight();
            stats.retired += shard.retired() as u64;
        }
        stats
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.0.lock().len()).sum()
    }
}

/// A part of the capacity.
fn share(capacity: u64, shards: usize) -> u64 {
    capacity.div_ceil(shards as u64)
}

fn order(policy: Policy, share: u64, shards: usize) -> Box<dyn Evict> {
    let ghosts = usize::try_from(GHOSTS_MIN).unwrap_or(usize::MAX) / shards;
    policy.order(share, ghosts, Ticks::Misses)
}

/// Nanoseconds; what does not fit is never.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(NEVER)
}

//! The cache: looking, writing, and what is known about it.

use crate::{
    Advice, CacheBuilder, CacheStats, Cause, DEFAULT_CAPACITY, DefaultHasher, TooHeavy,
    core::{Core, Placing, nanos},
    entry::{Held, Seen},
};
use ropewalk_measure::Snapshot;
use ropewalk_sync::Clock;
use std::{
    borrow::Borrow,
    fmt,
    hash::{BuildHasher, Hash},
    time::Duration,
};

/// A concurrent cache. Share it by reference or in an `Arc`.
///
/// It starts no thread. Expired entries are never seen; their room is cleaned up by writes, a bounded
/// number at a time, and by [`sweep`](Self::sweep).
///
/// Every operation calls the user's code (hashing, comparison, cloning, drop, loaders, weigher,
/// listener) outside of its latches, so all of it may use the cache again. A panic in `Hash`, `Eq`,
/// `Clone`, a loader or a weigher reaches the caller and leaves the cache as if the call had not been
/// made; one in a listener or in the `Drop` of an entry that leaves is contained.
pub struct Cache<K, V, S = DefaultHasher> {
    pub(crate) core: Core<K, V>,
    pub(crate) hasher: S,
}

impl<K: Hash + Eq, V> Cache<K, V> {
    /// A cache of this many entries, which live for [`DEFAULT_TIME_TO_LIVE`](crate::DEFAULT_TIME_TO_LIVE).
    pub fn new(capacity: u64) -> Self {
        CacheBuilder::new(capacity).finish()
    }

    /// Sets up a cache of this many entries, or of this much weight with a
    /// [`weigher`](CacheBuilder::weigher). A capacity of 0 keeps nothing.
    pub fn builder(capacity: u64) -> CacheBuilder<K, V> {
        CacheBuilder::new(capacity)
    }
}

impl<K: Hash + Eq, V> Default for Cache<K, V> {
    /// [`Cache::new`] with [`DEFAULT_CAPACITY`].
    fn default() -> Self {
        Self::new(DEFAULT_CAPACITY)
    }
}

/// Looking.
impl<K: Hash + Eq, V, S: BuildHasher> Cache<K, V, S> {
    /// The value of `key`, cloned.
    ///
    /// It waits for nobody, but for short sections of the shard's latch with [`Policy::Lru`](crate::Policy::Lru) and
    /// where an entry's time is over, and of the policy's shadows for the sampled keys that miss.
    pub fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: Clone,
    {
        self.with(key, V::clone)
    }

    /// What `look` makes of the value of `key`, borrowed, without a clone.
    ///
    /// No latch is held meanwhile: `look` may take its time and use the cache. The value stays as it is
    /// for as long, even if the entry is replaced or evicted; nothing else is kept.
    ///
    /// ```
    /// use ropewalk_cache::Cache;
    /// let cache: Cache<u64, String> = Cache::new(100);
    /// cache.insert(1, "one".to_owned());
    /// assert_eq!(cache.with(&1, |text| text.len()), Some(3));
    /// ```
    pub fn with<Q, R>(&self, key: &Q, look: impl FnOnce(&V) -> R) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        Some(self.find(self.hash(key), key)?.with(look))
    }

    /// The value of `key`, cloned, without a trace: no count, no recency, no longer idle time.
    pub fn peek<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: Clone,
    {
        Some(self.glance(key)?.with(V::clone))
    }

    /// Whether `key` has a value, without a trace.
    pub fn contains<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.glance(key).is_some()
    }

    /// Calls `visit` with every entry that was there before and still is, and perhaps with those that
    /// come or go beside it, in no order. A value that is replaced meanwhile is gone, and the new one comes. No
    /// latch is held meanwhile.
    pub fn for_each(&self, visit: impl FnMut(&K, &V)) {
        self.core.for_each(visit);
    }

    pub(crate) fn find<Q>(&self, hash: u64, key: &Q) -> Option<Seen<'_, K, V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.core.find(hash, |other| other.borrow() == key)
    }

    fn glance<Q>(&self, key: &Q) -> Option<Seen<'_, K, V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.core.glance(self.hash(key), |other| other.borrow() == key)
    }

    pub(crate) fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        // Shards, buckets, tags and samples each use other bits, so all of them must be good.
        let hash = self.hasher.hash_one(key);
        let hash = (hash ^ (hash >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        hash ^ (hash >> 32)
    }
}

/// Writing.
impl<K: Hash + Eq, V, S: BuildHasher> Cache<K, V, S> {
    /// Gives `key` a value. A load of the key under way does not replace it later.
    ///
    /// A value heavier than the capacity is not kept: it is dropped, counted in
    /// [`CacheStats::refused`], and the listener is told; so is any older value of the key, which is not
    /// true any more. [`try_insert`](Self::try_insert) gives it back instead.
    pub fn insert(&self, key: K, value: V) {
        if let Err(refused) = self.write(key, value, None) {
            self.core.refuse(Held::new(refused.key, refused.value, 0, refused.weight));
        }
    }

    /// [`insert`](Self::insert) with a time to live of its own instead of the general one; the time to
    /// idle holds too. [`Duration::MAX`] is for ever; zero means that it is not kept.
    pub fn insert_with_ttl(&self, key: K, value: V, ttl: Duration) {
        if let Err(refused) = self.write(key, value, Some(ttl)) {
            self.core.refuse(Held::new(refused.key, refused.value, 0, refused.weight));
        }
    }

    /// [`insert`](Self::insert) that gives back what is too heavy.
    ///
    /// # Errors
    ///
    /// [`TooHeavy`] with key and value. Any older value of the key is gone all the same.
    pub fn try_insert(&self, key: K, value: V) -> Result<(), TooHeavy<K, V>> {
        self.write(key, value, None)
    }

    /// Removes `key` and gives its value: moved out if nobody is looking at it, cloned otherwise. A load
    /// of the key under way is not cached; those who wait for it still get its value.
    pub fn remove<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: Clone,
    {
        self.take(key).map(Held::into_value)
    }

    /// [`remove`](Self::remove) without the value; tells whether there was one.
    pub fn invalidate<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.take(key).is_some()
    }

    /// Removes everything that was written before the call. Loads under way are not cached.
    ///
    /// The shards are emptied one after another, 128 slots at a time; what is written meanwhile stays.
    pub fn invalidate_all(&self) {
        self.core.clear();
    }

    /// Keeps the entries for which `keep` says so, of those that were written before the call, and
    /// removes the others. Loads under way are not cached, for nobody can ask `keep` about them yet.
    ///
    /// No latch is held while `keep` runs. If it panics, what it has judged is done.
    pub fn retain(&self, keep: impl FnMut(&K, &V) -> bool) {
        self.core.retain(keep);
    }

    /// Cleans up to `limit` expired entries and tells how many it found, and lets go of what left before and
    /// nobody looks at any more. Never needed for correctness: writes do it on the way. Worth calling where
    /// a cache goes idle and its memory matters.
    pub fn sweep(&self, limit: usize) -> usize {
        self.core.sweep(limit)
    }

    /// Changes the capacity. A smaller one holds for newcomers at once; entries are evicted until it
    /// holds for all before this returns.
    pub fn resize(&self, capacity: u64) {
        self.core.resize(capacity);
    }

    fn write(&self, key: K, value: V, ttl: Option<Duration>) -> Result<(), TooHeavy<K, V>> {
        let hash = self.hash(&key);
        let weight = self.core.weigh(&key, &value);
        let lifetime = match ttl {
            Some(ttl) => nanos(ttl),
            None => self.core.lifetime(&key, &value),
        };
        if self.core.is_too_heavy(weight) {
            self.core.take(hash, |other| *other == key, Cause::Replaced);
            return Err(TooHeavy { key, value, weight, capacity: self.capacity() });
        }
        self.core.place(Held::new(key, value, hash, weight), lifetime, &Placing::Write);
        Ok(())
    }

    fn take<Q>(&self, key: &Q) -> Option<Held<K, V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.core.take(self.hash(key), |other| other.borrow() == key, Cause::Explicit)
    }
}

/// What is known about it.
impl<K, V, S> Cache<K, V, S> {
    /// Linked entries, the expired ones that are not cleaned up yet included.
    pub fn len(&self) -> usize {
        self.core.len()
    }

    /// Whether nothing is linked.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The weight of the linked entries, plus that of writes about to link theirs. Never above the
    /// [`capacity`](Self::capacity), at any instant, with any number of writers (after a
    /// [`resize`](Self::resize) to less, from its return on).
    pub fn weight(&self) -> u64 {
        self.core.budget.used()
    }

    /// The most the entries may weigh.
    pub fn capacity(&self) -> u64 {
        self.core.budget.capacity()
    }

    /// What was counted so far.
    pub fn stats(&self) -> CacheStats {
        self.core.stats()
    }

    /// How long the loaders took that came to an end, in nanoseconds.
    pub fn load_times(&self) -> Snapshot {
        self.core.tally.load_times.snapshot()
    }

    /// What half or twice the capacity would give, estimated from shadows of a sample of the keys.
    pub fn advise(&self) -> Advice {
        self.core.tuner.advise()
    }

    /// The clock that it goes by.
    pub fn clock(&self) -> &Clock {
        &self.core.clock
    }
}

impl<K, V, S> fmt::Debug for Cache<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("weight", &self.weight())
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}

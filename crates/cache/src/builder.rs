//! Setting up a cache.

use crate::{
    BuildError, Cache, Cause, DEFAULT_TIME_TO_LIVE, DefaultHasher, Policy,
    core::{Config, Core},
};
use ropewalk_sync::Clock;
use std::{
    fmt,
    hash::{BuildHasher, Hash},
    time::Duration,
};

/// The most shards.
const SHARDS_MAX: usize = 1_024;
/// By default one shard per this much capacity, and [`SHARDS_DEFAULT_MAX`] at most. It does not depend
/// on the machine, so that neither do hit ratios.
const SHARD_SHARE: u64 = 512;
const SHARDS_DEFAULT_MAX: u64 = 32;

/// Sets up a [`Cache`]; [`Cache::builder`] makes one.
#[must_use]
pub struct CacheBuilder<K, V, S = DefaultHasher> {
    config: Config<K, V>,
    shards: Option<usize>,
    hasher: S,
}

impl<K, V> CacheBuilder<K, V> {
    pub(crate) fn new(capacity: u64) -> Self {
        Self {
            config: Config {
                capacity,
                policy: Policy::default(),
                shards: 1,
                time_to_live: Some(DEFAULT_TIME_TO_LIVE),
                time_to_idle: None,
                weigher: None,
                lifetime: None,
                listener: None,
                clock: Clock::default(),
            },
            shards: None,
            hasher: DefaultHasher::default(),
        }
    }

    /// Makes hashing the same in every run, and with it everything the cache decides. Without it the
    /// seed is random, which keeps others from choosing keys that collide.
    pub fn seed(mut self, seed: u64) -> Self {
        self.hasher = DefaultHasher::with_seed(seed, foldhash::SharedSeed::global_fixed());
        self
    }
}

impl<K, V, S> CacheBuilder<K, V, S> {
    /// How entries are chosen to make room: [`Policy::Adaptive`] by default.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.config.policy = policy;
        self
    }

    /// How long an entry lives after it was written: [`DEFAULT_TIME_TO_LIVE`] by default, `None` for
    /// ever. It gives way to [`expire_after`](Self::expire_after) and
    /// [`Cache::insert_with_ttl`].
    ///
    /// ```
    /// use ropewalk_cache::Cache;
    /// use std::time::Duration;
    /// let an_hour: Cache<u64, u64> = Cache::builder(100).build()?;
    /// let a_minute: Cache<u64, u64> = Cache::builder(100).time_to_live(Duration::from_secs(60)).build()?;
    /// let for_ever: Cache<u64, u64> = Cache::builder(100).time_to_live(None).build()?;
    /// # Ok::<(), ropewalk_cache::BuildError>(())
    /// ```
    pub fn time_to_live(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.config.time_to_live = limit.into();
        self
    }

    /// How long an entry lives after it was last read by [`Cache::get`] or [`Cache::with`], or written;
    /// no limit by default. It holds beside the time to live: what ends first ends the entry.
    pub fn time_to_idle(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.config.time_to_idle = limit.into();
        self
    }

    /// How long each entry lives, asked whenever one is written, instead of the general time to live.
    /// [`Duration::MAX`] is for ever; zero means that it is not kept.
    ///
    /// It is called outside of every latch and may use the cache. If it panics, the panic is the
    /// writer's, and nothing is written.
    pub fn expire_after(mut self, lifetime: impl Fn(&K, &V) -> Duration + Send + Sync + 'static) -> Self {
        self.config.lifetime = Some(Box::new(lifetime));
        self
    }

    /// What each entry weighs, asked when it is written; 1 without it. The capacity bounds the sum. A
    /// weight of 0 counts as 1, so that the number of entries is bounded too.
    ///
    /// It is called outside of every latch and may use the cache. If it panics, the panic is the
    /// writer's, and nothing is written.
    pub fn weigher(mut self, weigher: impl Fn(&K, &V) -> u32 + Send + Sync + 'static) -> Self {
        self.config.weigher = Some(Box::new(weigher));
        self
    }

    /// Told of every entry that leaves, and why, on the thread that made it leave, after the fact. It
    /// is called outside of every latch and may use the cache; one that inserts on [`Cause::Size`] may
    /// call itself for ever. Its panics are contained and counted in
    /// [`CacheStats::listener_panics`](crate::CacheStats::listener_panics). Calls for one key by several
    /// threads may come out of order. It is not told when the cache itself is dropped.
    pub fn listener(mut self, listener: impl Fn(&K, &V, Cause) + Send + Sync + 'static) -> Self {
        self.config.listener = Some(Box::new(listener));
        self
    }

    /// Where time comes from: the system by default.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.config.clock = clock;
        self
    }

    /// Into how many parts the cache is divided, each with a latch and an order of eviction of its
    /// own: by default one per 512 of capacity, 32 at most. More let more threads write at once; one
    /// makes the policy's order exact. The capacity is one for all, whatever their number.
    pub fn shards(mut self, shards: usize) -> Self {
        self.shards = Some(shards);
        self
    }

    /// Hashes keys with `hasher`. Its hashes are mixed once more, so their bits may be uneven; keys
    /// that share a hash are told apart by `Eq`, slowly if they are many.
    pub fn hasher<T>(self, hasher: T) -> CacheBuilder<K, V, T> {
        CacheBuilder { config: self.config, shards: self.shards, hasher }
    }

    /// The cache.
    ///
    /// # Errors
    ///
    /// [`BuildError`] for a time of zero, and for no or too many shards. A capacity of 0 is none: such a
    /// cache keeps nothing, which is how a setting turns caching off; loads still share flights.
    pub fn build(self) -> Result<Cache<K, V, S>, BuildError>
    where
        K: Hash + Eq,
        S: BuildHasher,
    {
        for (what, limit) in
            [("time_to_live", self.config.time_to_live), ("time_to_idle", self.config.time_to_idle)]
        {
            if limit == Some(Duration::ZERO) {
                return Err(BuildError::ZeroDuration { what });
            }
        }
        if let Some(shards) = self.shards.filter(|shards| !(1..=SHARDS_MAX).contains(shards)) {
            return Err(BuildError::Shards { shards, max: SHARDS_MAX });
        }
        Ok(self.finish())
    }

    /// The cache, from settings that are known to be good.
    pub(crate) fn finish(mut self) -> Cache<K, V, S> {
        let default = (self.config.capacity / SHARD_SHARE).clamp(1, SHARDS_DEFAULT_MAX);
        self.config.shards = self.shards.unwrap_or_else(|| usize::try_from(default).unwrap_or(1));
        Cache { core: Core::new(self.config), hasher: self.hasher }
    }
}

impl<K, V, S> fmt::Debug for CacheBuilder<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheBuilder")
            .field("capacity", &self.config.capacity)
            .field("policy", &self.config.policy)
            .field("time_to_live", &self.config.time_to_live)
            .field("time_to_idle", &self.config.time_to_idle)
            .field("shards", &self.shards)
            .finish_non_exhaustive()
    }
}

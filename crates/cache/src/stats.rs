//! What the cache counted.

use crate::Cause;

/// Counts since the cache was built, and its present size: see [`Cache::stats`](crate::Cache::stats).
///
/// Each shard's counts are exact and of one instant; the shards are read one after another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct CacheStats {
    /// Lookups that found a living entry.
    pub hits: u64,
    /// Lookups that did not. Loads and `get_or_insert_with` look up first and count here too.
    pub misses: u64,
    /// Loaders that ended well, with a value or with `None`.
    pub loads: u64,
    /// Loaders that failed, panicked or were dropped before their end.
    pub load_failures: u64,
    /// Calls that were served by another's load.
    pub shared_loads: u64,
    /// Values that were linked.
    pub inserts: u64,
    /// Values that were not kept because they are heavier than the capacity.
    pub refused: u64,
    /// Entries that left because their time was over.
    pub expired: u64,
    /// Entries that left because somebody asked.
    pub removed: u64,
    /// Entries that left for a newer value.
    pub replaced: u64,
    /// Entries that left because others needed the room.
    pub evicted: u64,
    /// Panics of the listener, contained.
    pub listener_panics: u64,
    /// Entries that left and are still held: gathered, to be let go together, or looked at by a reader.
    pub retired: u64,
    /// Linked entries. Expired ones count until they are cleaned up.
    pub len: u64,
    /// Their weight.
    pub weight: u64,
    /// The most they may weigh.
    pub capacity: u64,
}

impl CacheStats {
    /// Hits per lookup; 0 before the first.
    pub fn hit_ratio(&self) -> f64 {
        match self.hits + self.misses {
            0 => 0.0,
            lookups => self.hits as f64 / lookups as f64,
        }
    }

    /// How many entries left for this reason.
    pub fn left(&self, cause: Cause) -> u64 {
        match cause {
            Cause::Expired => self.expired,
            Cause::Explicit => self.removed,
            Cause::Replaced => self.replaced,
            Cause::Size => self.evicted,
        }
    }
}

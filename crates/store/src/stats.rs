//! Figures.

use ropewalk_cache::CacheStats;
use ropewalk_connections::PoolStats;
use ropewalk_measure::{Counter, Histogram, Snapshot};

/// What a store has done since it was opened, and how it stands.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct StoreStats {
    /// Operations answered: committed.
    pub writes: u64,
    /// Operations answered: failed, and nothing of them written.
    pub failed: u64,
    /// Batches of operations.
    pub batches: u64,
    /// Batches that could not be committed as one and were run again, operation by operation.
    pub rerun_batches: u64,
    /// Operations per batch.
    pub batch_size: Snapshot,
    /// From the begin of a transaction to the end of its commit, in nanoseconds.
    pub commit: Snapshot,
    /// How long operations waited for their batch to begin, in nanoseconds.
    pub queue_wait: Snapshot,
    /// Operations in the queue now.
    pub queued: usize,
    /// Transactions with code of the user's own.
    pub transactions: u64,
    /// Queries answered from memory.
    pub query_hits: u64,
    /// Queries that went to the database.
    pub query_misses: u64,
    /// Those of them whose result was known, but not true any more.
    pub query_invalidated: u64,
    /// Those of them whose result is never kept, as it depends on more than tables.
    pub query_volatile: u64,
    /// How often others were found to have written, a new writer connection's first look included.
    pub foreign_changes: u64,
    /// The cache of results, if there is one; its weight is in bytes.
    pub cache: Option<CacheStats>,
    /// The connections.
    pub connections: PoolStats,
}

impl StoreStats {
    /// Queries answered from memory per query; 0 before the first.
    pub fn query_hit_ratio(&self) -> f64 {
        match self.query_hits + self.query_misses {
            0 => 0.0,
            queries => self.query_hits as f64 / queries as f64,
        }
    }
}

#[derive(Default)]
pub(crate) struct Meters {
    pub(crate) batches: Counter,
    pub(crate) rerun: Counter,
    pub(crate) transactions: Counter,
    pub(crate) hits: Counter,
    pub(crate) misses: Counter,
    pub(crate) invalidated: Counter,
    pub(crate) volatile: Counter,
    pub(crate) foreign: Counter,
    pub(crate) commit: Histogram,
}

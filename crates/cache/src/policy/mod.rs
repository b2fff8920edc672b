//! Which entry makes room: one trait, one small file per policy.

mod ghosts;
mod lists;
mod lru;
mod rings;
mod s3fifo;
mod sieve;

pub(crate) use rings::{COLD_SHARES, FIRST_DIAL, Ticks};

/// How the cache chooses what makes room.
///
/// ```
/// use ropewalk_cache::{Cache, Policy};
/// let recent: Cache<u64, String> = Cache::builder(100).policy(Policy::Lru).build()?;
/// # Ok::<(), ropewalk_cache::BuildError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Policy {
    /// Recency between uses, as in LIRS (Jiang and Zhang, SIGMETRICS 2002), kept as stamps of a coarse
    /// clock in two rings with remembered evictions, and the share of newcomers chosen while it runs
    /// by a tournament of small shadow caches. Scans and loops don't flush it. The default.
    #[default]
    Adaptive,
    /// Least recently used. Strict within a shard: with [`shards(1)`](crate::CacheBuilder::shards) it
    /// is the textbook's. Every hit moves its entry, so it waits for the shard's latch.
    Lru,
    /// S3-FIFO (Yang et al., SOSP 2023): a small queue filters what is used once.
    S3Fifo,
    /// SIEVE (Zhang et al., NSDI 2024): one queue, one bit, one hand.
    Sieve,
}

/// What a hit leaves behind without a latch: one load, and a store where it changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trace {
    /// The order's clock becomes the entry's mark.
    Stamp,
    /// The mark is raised by one, up to this.
    Count(u64),
    /// The order itself must change, under its latch.
    Move,
}

/// The word of each entry in which hits leave their trace. Readers change it beside the order, so it is a hint.
pub(crate) trait Marks {
    fn mark(&self, slot: u32) -> u64;
    fn set_mark(&self, slot: u32, mark: u64);
}

/// Orders the entries of a shard by their worth. Entries are named by slot numbers, which are small
/// and reused; no method runs user code, each does a bounded amount of work.
pub(crate) trait Evict: Send {
    /// The entry was read or written again.
    fn hit(&mut self, slot: u32, marks: &dyn Marks);
    /// The entry is linked.
    fn admit(&mut self, slot: u32, hash: u64, weight: u32, marks: &dyn Marks);
    /// The entry, replaced, has another slot now.
    fn moved(&mut self, from: u32, to: u32);
    /// The entry was replaced by one of this weight.
    fn reweigh(&mut self, slot: u32, weight: u32);
    /// Gives up the entry of least worth; `None` when there is none.
    fn victim(&mut self, marks: &dyn Marks) -> Option<u32>;
    /// The clock that stamps hits; an order without one never changes it.
    fn now(&self) -> u64 {
        0
    }
    /// The entry is unlinked for another reason.
    fn remove(&mut self, slot: u32);
    /// The weight this order is expected to hold.
    fn resize(&mut self, share: u64);
    /// Sets the share of newcomers, a place in [`COLD_SHARES`]; fixed policies have no dial.
    fn turn(&mut self, _dial: usize) {}
}

impl Policy {
    /// What a hit does.
    pub(crate) fn trace(self) -> Trace {
        match self {
            Self::Adaptive => Trace::Stamp,
            Self::Lru => Trace::Move,
            Self::S3Fifo => Trace::Count(s3fifo::USES_COUNTED),
            Self::Sieve => Trace::Count(1),
        }
    }

    /// An order for `share` of weight that remembers at least `ghosts` evictions, if it remembers any.
    pub(crate) fn order(self, share: u64, ghosts: usize, ticks: Ticks) -> Box<dyn Evict> {
        match self {
            Self::Adaptive => Box::new(rings::Rings::new(share, ghosts, ticks)),
            Self::Lru => Box::new(lru::Lru::default()),
            Self::S3Fifo => Box::new(s3fifo::S3Fifo::new(share)),
            Self::Sieve => Box::new(sieve::Sieve::default()),
        }
    }
}

/// The most entries a policy spares in one search for a victim: what it finds next goes, whatever it
/// is worth. It keeps the longest search short when everything has been used.
const SPARES: u32 = 64;

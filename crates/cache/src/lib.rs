//! A concurrent cache: scan-resistant eviction, expiry of three kinds, weights, one load per key for
//! threads and tasks alike.
//!
//! ```
//! use ropewalk_cache::{Cache, LoadError};
//! use std::{sync::Arc, time::Duration};
//!
//! # ropewalk_sync::block_on(async {
//! let cache: Cache<u64, Arc<str>> = Cache::builder(10_000).time_to_live(Duration::from_secs(600)).build()?;
//! // However many ask at once, one loads; tasks and threads share its flight.
//! let text = cache.get_or_load(7, || async { fetch(7).await }).await?;
//! let same = cache.get_or_load_blocking(7, || -> Result<Arc<str>, std::io::Error> { unreachable!() })?;
//! assert_eq!(text, same);
//! assert_eq!(cache.with(&7, |text| text.len()), Some(6));
//! println!("{:.1} % hits; {}", 100.0 * cache.stats().hit_ratio(), cache.advise());
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! # async fn fetch(id: u64) -> Result<Arc<str>, std::io::Error> { Ok(format!("page {id}").into()) }
//! ```
//!
//! # Overview
//!
//! * **Looking**: [`get`](Cache::get) clones, [`with`](Cache::with) borrows, [`peek`](Cache::peek) and
//!   [`contains`](Cache::contains) leave no trace.
//! * **Loading**: [`get_or_load`](Cache::get_or_load) and its
//!   [`_blocking`](Cache::get_or_load_blocking), [`_optional`](Cache::get_or_load_optional) and
//!   [`_timeout`](Cache::get_or_load_timeout) forms run one loader per key, whoever asks;
//!   [`get_or_insert_with`](Cache::get_or_insert_with) is the short form without errors.
//! * **Eviction**: [`Policy`]. The default adapts: it tries its settings on small shadows of the
//!   cache and takes the best, so it is LRU-like where recency counts and scan-resistant where it does
//!   not. The shadows also say what more or less capacity would give: [`advise`](Cache::advise).
//! * **Expiry**: time to live ([`DEFAULT_TIME_TO_LIVE`] unless told otherwise), time to idle, and a time
//!   per entry, by a clock that a test can turn ([`CacheBuilder::clock`]).
//! * **Weight**: the capacity counts entries, or what a [`weigher`](CacheBuilder::weigher) says.
//!
//! # Guarantees
//!
//! | operation | waits for | linearization point | on cancel | on a panic of user code |
//! |---|---|---|---|---|
//! | `get`, `with`, `peek`, `contains` | nobody: lock-free (see below) | the look at the cell that leads to the entry | - | the caller's; a lookup may stay counted |
//! | `insert`, `remove`, `invalidate` | short sections | linking or unlinking under the latch | - | the caller's; nothing is changed |
//! | `invalidate_all`, `retain` | short sections, 128 slots each | per key, during the call | - | the caller's; what was done stays done |
//! | `get_or_load` and its forms | the flight's leader | the look, or the landing | a waiter leaves; a leader's place passes on | the caller's; the next in line loads |
//! | listener, `Drop` of what left | - | - | - | contained |
//!
//! * **A read waits for nobody**, whatever key and value are: it walks the shard's index, names the entry's slot in a hazard
//!   record (Michael, "Hazard Pointers", 2004) and looks at the entry in place. It costs one compare-exchange on a cache
//!   line of the thread's own and one store there, and one more store to the entry when that changes what the policy
//!   knows. Proved lock-free on the core that ships (`raw::table`). It takes the shard's latch after all with
//!   [`Policy::Lru`], which moves entries on hits; when all records, four a processor, are taken by looks inside of looks
//!   or stalled ones; and to count an entry whose time is over. A miss of a sampled key waits for whoever feeds the shadows.
//!   With a time to live it reads the clock; with a time to idle
//!   it also raises the entry's last use by a compare-exchange. Hits on sampled keys feed the shadows, unless another does.
//! * **A reader that stalls** in a look keeps the one entry that it looks at, and keeps nobody from anything. What left the
//!   cache is let go at once when it was removed, and gathered when it made room, up to one entry for each record or a 16th
//!   of the shard's weight: [`CacheStats::retired`]. No user `Drop` runs in a read.
//! * **Weight** of linked entries never exceeds the capacity, at any instant, with any number of
//!   writers (modelled: `raw::budget`).
//! * **No user code runs under a latch**, and no latch is held across an await.
//! * **Never older**: a value loaded before a write or an invalidation of its key is never seen after it
//!   by callers that come later.
//! * **Bounded work**: a write cleans up at most 8 expired entries and evicts only what its own weight
//!   needs, however many entries expire at once. A search for a victim passes over at most 64 entries
//!   that were used. Only a growing table moves all entries of a shard now and then.
//! * **Deterministic** under an injected clock, with a [`seed`](CacheBuilder::seed) and one thread:
//!   the same calls give the same evictions, expiries and listener calls.
//!
//! # Features
//!
//! * `serde`: `Serialize` for statistics and advice.

#![deny(unsafe_code)]

mod advice;
mod builder;
mod cache;
mod core;
mod entry;
mod error;
mod flight;
mod load;
mod loading;
mod look;
mod nest;
mod policy;
#[doc(hidden)]
#[allow(unsafe_code, reason = "the table whose readers wait for nobody")]
pub mod raw;
mod shard;
mod stats;
mod tune;

use std::time::Duration;

pub use advice::Advice;
pub use builder::CacheBuilder;
pub use cache::Cache;
pub use entry::Cause;
pub use error::{BuildError, LoadError, TooHeavy};
pub use policy::Policy;
pub use stats::CacheStats;

/// Entries that [`Cache::default`] holds.
pub const DEFAULT_CAPACITY: u64 = 10_000;

/// How long entries live unless the builder is told otherwise: an hour.
pub const DEFAULT_TIME_TO_LIVE: Duration = Duration::from_secs(3_600);

/// The hasher of keys unless the builder is given another: foldhash, randomly seeded.
pub type DefaultHasher = foldhash::fast::SeedableRandomState;

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct Readme;

//! What the cache would say about its size.

use std::fmt;

/// What [`Cache::advise`](crate::Cache::advise) estimates, from shadow caches of a sample of the keys
/// over the recent past.
///
/// It prints as one line:
///
/// ```
/// use ropewalk_cache::Cache;
///
/// let cache: Cache<u64, u64> = Cache::builder(100).build()?;
/// for round in 0..200 {
///     for key in 0..150 {
///         cache.get_or_insert_with(key, || round);
///     }
/// }
/// let advice = cache.advise();
/// assert!(advice.twice > 0.9 && advice.now < 0.9, "150 keys fit in 200 places, not in 100");
/// println!("{advice}");
/// # Ok::<(), ropewalk_cache::BuildError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Advice {
    /// The capacity now.
    pub capacity: u64,
    /// Estimated hit ratio with half of it.
    pub half: f64,
    /// Estimated hit ratio with all of it, from the same sample as the others.
    pub now: f64,
    /// Estimated hit ratio with twice as much.
    pub twice: f64,
    /// The share of newcomers that the adaptive policy keeps now; `None` for fixed policies.
    pub cold_share: Option<f64>,
    /// How many recent lookups stand behind this.
    pub sampled: u64,
    /// Whether the cache's shadow has been full, without which nothing can be said.
    pub full: bool,
}

/// Lookups below which no advice is given.
const ENOUGH: u64 = 100;
/// A change of the hit ratio that is worth naming.
const NOTABLE: f64 = 0.01;

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { capacity, half, now, twice, sampled, full, .. } = *self;
        if capacity == 0 {
            return f.write_str("capacity 0: nothing is kept, so there is nothing to advise");
        }
        if !full {
            return write!(f, "capacity {capacity} has not been needed in full yet");
        }
        if sampled < ENOUGH {
            return write!(f, "capacity {capacity}: only {sampled} lookups sampled, too few for advice");
        }
        let percent = |ratio: f64| 100.0 * ratio;
        write!(
            f,
            "capacity {capacity} hits {:.1} %, half would hit {:.1} %, twice {:.1} %: ",
            percent(now),
            percent(half),
            percent(twice)
        )?;
        f.write_str(if twice - now >= NOTABLE {
            "more capacity would pay"
        } else if now - half < NOTABLE {
            "half would do"
        } else {
            "a good size"
        })
    }
}

//! What can go wrong.

use std::{fmt, sync::Arc};

/// A cache could not be built as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Every entry would be born expired.
    #[error("{what} is zero, so that no entry would ever be seen; use a positive one, or None for no limit")]
    ZeroDuration {
        /// The setting.
        what: &'static str,
    },
    /// A number of shards that makes no sense.
    #[error("{shards} shards; use 1 to {max}")]
    Shards {
        /// How many were asked for.
        shards: usize,
        /// The most there can be.
        max: usize,
    },
}

/// A value is heavier than the whole cache may be. Any older value of the key is gone: what it was
/// replaced by could not be kept, and it is not true any more.
#[derive(thiserror::Error)]
#[error(
    "a value of weight {weight} cannot be kept within a capacity of {capacity}; use it without the cache, or raise the capacity"
)]
#[non_exhaustive]
pub struct TooHeavy<K, V> {
    /// The key, given back.
    pub key: K,
    /// The value, given back.
    pub value: V,
    /// What it weighs.
    pub weight: u32,
    /// What the cache may hold.
    pub capacity: u64,
}

impl<K, V> fmt::Debug for TooHeavy<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TooHeavy")
            .field("weight", &self.weight)
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

/// A value could not be loaded. Nothing was cached; the next call loads again.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError<E> {
    /// The loader failed: this caller's own, or the one whose load it shared.
    #[error("the load failed: {0}")]
    Failed(#[source] Arc<E>),
    /// The loader asked for the key that it is loading, directly or through the loads of other keys, and
    /// would have waited for itself. Load what it needs under another key, or without the cache.
    #[error("the loader asks for the key it is loading; load what it needs under another key")]
    Recursive,
    /// The time was over first. The load goes on if others wait for it.
    #[error("the value was not loaded in time; the next call joins the load or starts it again")]
    TimedOut,
}

impl<E> LoadError<E> {
    /// The loader's error, if it was that.
    pub fn failed(&self) -> Option<&E> {
        match self {
            Self::Failed(error) => Some(error),
            Self::Recursive | Self::TimedOut => None,
        }
    }
}

impl<E> Clone for LoadError<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Failed(error) => Self::Failed(error.clone()),
            Self::Recursive => Self::Recursive,
            Self::TimedOut => Self::TimedOut,
        }
    }
}

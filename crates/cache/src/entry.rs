//! What the cache holds, and how it lets go of it.
//!
//! Keys and values are the user's: comparing, cloning and dropping them runs the user's code, which
//! may be slow, may panic, may call the cache again. So they live behind an `Arc`. A hit looks at it in
//! its slot, without a latch and without a share of its own ([`Seen`]). Whoever needs the latch clones
//! the `Arc` out and looks at it after the latch has opened; the drops of key and
//! value contain their panics (`raw::contained`).

use crate::raw::{contained::Contained, table::Look};
use std::{fmt, ops::Deref, sync::Arc};

/// A key with its value. Their drops contain panics.
pub(crate) struct Entry<K, V> {
    pub(crate) key: Contained<K>,
    pub(crate) value: Contained<V>,
    pub(crate) hash: u64,
    pub(crate) weight: u32,
}

/// A share of an entry. Drop it only where the user's `Drop` may run: outside of every latch, unless
/// the entry is known to be shared.
pub(crate) struct Held<K, V>(Arc<Entry<K, V>>);

impl<K, V> Held<K, V> {
    pub(crate) fn new(key: K, value: V, hash: u64, weight: u32) -> Self {
        let (key, value) = (Contained::new(key), Contained::new(value));
        Self(Arc::new(Entry { key, value, hash, weight }))
    }

    /// The value: moved out when nobody else looks at the entry, cloned otherwise.
    pub(crate) fn into_value(self) -> V
    where
        V: Clone,
    {
        match Arc::try_unwrap(self.0) {
            Ok(entry) => entry.value.into_inner(),
            Err(shared) => V::clone(&shared.value),
        }
    }
}

/// An entry that is looked at outside of every latch.
pub(crate) enum Seen<'a, K, V> {
    /// In its slot, which is not reused meanwhile.
    InPlace(Look<'a, Held<K, V>>),
    /// By a share of it.
    Shared(Held<K, V>),
}

impl<K, V> Seen<'_, K, V> {
    /// Calls the user's code with the value.
    pub(crate) fn with<R>(&self, look: impl FnOnce(&V) -> R) -> R {
        match self {
            Self::InPlace(at) => at.with(|held| look(&held.value)),
            Self::Shared(held) => look(&held.value),
        }
    }
}

impl<K, V> Clone for Held<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K, V> Deref for Held<K, V> {
    type Target = Entry<K, V>;
    #[inline]
    fn deref(&self) -> &Entry<K, V> {
        &self.0
    }
}

impl<K, V> fmt::Debug for Held<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").finish_non_exhaustive()
    }
}

/// Why an entry left the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Cause {
    /// Its time was over.
    Expired,
    /// Somebody asked: `remove`, `invalidate`, `invalidate_all`, `retain`.
    Explicit,
    /// A newer value took its place.
    Replaced,
    /// Others needed its room, or it was too heavy to be kept at all.
    Size,
}

/// What left and waits to be dropped after the latches have opened.
pub(crate) struct Trash<K, V> {
    /// Entries the listener is still to be told of.
    pub(crate) gone: Vec<(Held<K, V>, Cause)>,
    /// The table's shares of entries that were told of, which nobody looks at any more.
    pub(crate) shares: Vec<Held<K, V>>,
}

impl<K, V> Trash<K, V> {
    pub(crate) fn new() -> Self {
        Self { gone: Vec::new(), shares: Vec::new() }
    }
}

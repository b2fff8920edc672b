//! One load of one key, and those who wait for it.
//!
//! ```text
//!              register            land: deregister, then grant all
//!  (no flight) ---------> Flying -----------------------------------> Landed
//!                          |  ^ |
//!         leader gone      |  | | an invalidation detaches it: those aboard still land,
//!         hands the lead   v  | v what it brings is not cached
//!         to the next    waiter
//! ```
//!
//! * A flight is registered in its shard from before its first waiter until it lands or is detached.
//!   Who lands it links the entry and deregisters it in *one* section of the shard's latch, and only
//!   if it is still registered, so a value loaded before an invalidation is never linked after it.
//! * A leader that vanishes (its future is dropped, its loader panics) hands the lead to the waiter
//!   that stands first, who starts its own loader. If nobody waits, the flight is deregistered and
//!   marked landed in one section of both latches, so nobody can join it and wait for ever.
//! * Order of latches: shard, then line.

use crate::{entry::Held, nest, raw::contained::contain};
use ropewalk_sync::WaitQueue;
use std::{any::Any, sync::Arc};

/// A load under way.
pub(crate) struct Flight<K, V> {
    /// Present until the flight is dropped.
    key: Option<K>,
    pub(crate) line: WaitQueue<(), Landing<K, V>, Phase>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Flying,
    /// Nobody may join.
    Landed,
}

/// What a waiter is handed.
pub(crate) enum Landing<K, V> {
    /// The leader is gone; it is you.
    Lead,
    /// The value.
    Value(Held<K, V>),
    /// There is no value for this key.
    Nothing,
    /// An error of the leader's type.
    Failed(Arc<dyn Any + Send + Sync>),
}

impl<K, V> Clone for Landing<K, V> {
    fn clone(&self) -> Self {
        match self {
            Self::Lead => Self::Lead,
            Self::Value(held) => Self::Value(held.clone()),
            Self::Nothing => Self::Nothing,
            Self::Failed(error) => Self::Failed(error.clone()),
        }
    }
}

impl<K, V> Flight<K, V> {
    pub(crate) fn new(key: K) -> Arc<Self> {
        Arc::new(Self { key: Some(key), line: WaitQueue::with_state(Phase::Flying) })
    }

    pub(crate) fn is_of(&self, key: &K) -> bool
    where
        K: PartialEq,
    {
        self.key.as_ref() == Some(key)
    }

    /// The flight's name in the graph of nested loads: unique while it lives.
    pub(crate) fn id(self: &Arc<Self>) -> nest::Id {
        nest::Id(Arc::as_ptr(self) as usize)
    }
}

impl<K, V> Drop for Flight<K, V> {
    fn drop(&mut self) {
        // The key is the user's, and the last share may go while a panic unwinds.
        let key = self.key.take();
        contain(move || drop(key));
    }
}

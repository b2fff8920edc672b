//! A reference to something that lives for ever, that threads may set and read at the same time.
//!
//! One word, so a reader sees one that was set, whole; what it refers to is never freed. Setting publishes what it refers
//! to, in case it was made a moment ago.

use ropewalk_prove::sync::atomic::{AtomicPtr, Ordering};
use std::ptr::{from_ref, null_mut};

/// A `&'static T`, or none yet.
#[derive(Debug)]
pub struct Whence<T: 'static>(AtomicPtr<T>);

impl<T: Sync> Whence<T> {
    /// None yet.
    pub fn new() -> Self {
        Self(AtomicPtr::new(null_mut()))
    }

    /// Sets it.
    pub fn set(&self, whence: &'static T) {
        // Release: pairs with the Acquire in `get`.
        self.0.store(from_ref(whence).cast_mut(), Ordering::Release);
    }

    /// The one that was set last.
    pub fn get(&self) -> Option<&'static T> {
        // Acquire: pairs with the Release in `set`, so that what is referred to is seen whole.
        let whence = self.0.load(Ordering::Acquire);
        // SAFETY: null, or made from a `&'static T` in `set`; shared references only, and `T` is `Sync`.
        unsafe { whence.as_ref() }
    }
}

impl<T: Sync> Default for Whence<T> {
    fn default() -> Self {
        Self::new()
    }
}

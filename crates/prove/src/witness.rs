//! A datum without content whose accesses a model checks for races.

use crate::cell::UnsafeCell;

/// Stands in a model for the data that a synchronisation protects: whoever may write it calls
/// [`write`](Self::write), whoever may read it [`read`](Self::read), and loom reports two accesses that are not ordered.
/// It holds nothing, so a normal build does nothing.
#[derive(Debug)]
pub struct Witness(UnsafeCell<()>);

// SAFETY: there is nothing inside; the pointers are never dereferenced.
#[allow(unsafe_code)]
unsafe impl Sync for Witness {}

impl Witness {
    /// Not accessed yet.
    #[must_use]
    pub fn new() -> Self {
        Self(UnsafeCell::new(()))
    }

    /// The caller reads what it protects.
    #[track_caller]
    pub fn read(&self) {
        self.0.with(|_| ());
    }

    /// The caller writes what it protects.
    #[track_caller]
    pub fn write(&self) {
        self.0.with_mut(|_| ());
    }
}

impl Default for Witness {
    fn default() -> Self {
        Self::new()
    }
}

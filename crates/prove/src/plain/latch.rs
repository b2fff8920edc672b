//! A lock for short, bounded sections of a modelled core.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// A mutual-exclusion lock without poisoning, for sections that run no user code, make no system
/// call and end after a bounded number of steps.
///
/// Waiters park. A panic inside the section releases the latch and leaves the value as it is, so
/// a section must keep the value consistent at each point where it could panic.
#[derive(Default)]
pub struct Latch<T>(Mutex<T>);

/// Access to a latched value; the latch opens when this drops.
pub struct LatchGuard<'a, T>(MutexGuard<'a, T>);

impl<T> Latch<T> {
    /// Wraps `value`.
    pub const fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// Closes the latch, waiting while another thread has it.
    #[inline]
    pub fn lock(&self) -> LatchGuard<'_, T> {
        LatchGuard(self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The value, through exclusive access to the latch.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> fmt::Debug for Latch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Latch").finish_non_exhaustive()
    }
}

impl<T> Deref for LatchGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for LatchGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for LatchGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

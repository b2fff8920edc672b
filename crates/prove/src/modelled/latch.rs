//! The latch of a model: closing and opening it are steps, and a model knows who has it.

use super::{
    explore::{self, Place},
    stall,
    step::{Driver, Site, driver},
};
use std::{
    fmt,
    ops::{Deref, DerefMut},
    panic::Location,
    sync::{Mutex, MutexGuard, PoisonError},
};

enum Imp<T> {
    Checked(loom::sync::Mutex<T>),
    Own(Mutex<T>, Place),
}

/// A mutual-exclusion lock without poisoning, for sections that run no user code, make no system call and end after
/// a bounded number of steps.
///
/// Waiters park. A panic inside the section releases the latch and leaves the value as it is, so a section must keep
/// the value consistent at each point where it could panic.
pub struct Latch<T>(Imp<T>);

enum Guard<'a, T> {
    Checked(loom::sync::MutexGuard<'a, T>),
    Own(MutexGuard<'a, T>, &'a Place),
}

/// Access to a latched value; the latch opens when this drops.
pub struct LatchGuard<'a, T> {
    /// Taken out in `drop` alone.
    guard: Option<Guard<'a, T>>,
    site: Site,
    written: bool,
}

impl<T> Latch<T> {
    /// Wraps `value`.
    pub fn new(value: T) -> Self {
        Self(if driver() == Driver::Loom {
            Imp::Checked(loom::sync::Mutex::new(value))
        } else {
            Imp::Own(Mutex::new(value), Place::new(|| 0))
        })
    }

    /// Closes the latch, waiting while another thread has it.
    #[track_caller]
    pub fn lock(&self) -> LatchGuard<'_, T> {
        let site = Location::caller();
        let guard = match &self.0 {
            Imp::Checked(latch) => {
                stall::step(site);
                Guard::Checked(latch.lock().unwrap_or_else(PoisonError::into_inner))
            }
            Imp::Own(latch, place) => {
                if place.is_tracked() {
                    explore::lock(site, place);
                }
                Guard::Own(latch.lock().unwrap_or_else(PoisonError::into_inner), place)
            }
        };
        LatchGuard { guard: Some(guard), site, written: false }
    }

    /// The value, through exclusive access to the latch.
    pub fn get_mut(&mut self) -> &mut T {
        match &mut self.0 {
            Imp::Checked(latch) => latch.get_mut().unwrap_or_else(PoisonError::into_inner),
            Imp::Own(latch, _) => latch.get_mut().unwrap_or_else(PoisonError::into_inner),
        }
    }
}

impl<T: Default> Default for Latch<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> fmt::Debug for Latch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Latch").finish_non_exhaustive()
    }
}

impl<T> Deref for LatchGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        match self.guard.as_ref() {
            Some(Guard::Checked(guard)) => guard,
            Some(Guard::Own(guard, _)) => guard,
            None => unreachable!("a guard is whole until it drops"),
        }
    }
}

impl<T> DerefMut for LatchGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.written = true;
        match self.guard.as_mut() {
            Some(Guard::Checked(guard)) => guard,
            Some(Guard::Own(guard, _)) => guard,
            None => unreachable!("a guard is whole until it drops"),
        }
    }
}

impl<T> Drop for LatchGuard<'_, T> {
    fn drop(&mut self) {
        match self.guard.take() {
            Some(Guard::Own(guard, place)) => {
                if place.is_tracked() {
                    explore::unlock(self.site, place, self.written);
                }
                drop(guard);
            }
            Some(Guard::Checked(guard)) => {
                stall::step(self.site);
                drop(guard);
            }
            None => {}
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for LatchGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

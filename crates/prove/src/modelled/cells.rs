//! A cell whose accesses are steps: loom checks them for races, the explorer counts them.

use super::{
    explore::{self, Place},
    step::{Driver, Kind, driver},
};
use std::{fmt, panic::Location};

enum Imp<T> {
    Checked(loom::cell::UnsafeCell<T>),
    Own(std::cell::UnsafeCell<T>, Place),
}

/// `std`'s `UnsafeCell` whose pointer is only lent to closures, so that a model knows when it is in use.
pub struct UnsafeCell<T>(Imp<T>);

impl<T> UnsafeCell<T> {
    /// Wraps `value`.
    pub fn new(value: T) -> Self {
        Self(if driver() == Driver::Loom {
            Imp::Checked(loom::cell::UnsafeCell::new(value))
        } else {
            Imp::Own(std::cell::UnsafeCell::new(value), Place::new(|| 0))
        })
    }

    /// Calls `f` with a pointer for reading; dereferencing it is the caller's proof to make.
    #[track_caller]
    pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        match &self.0 {
            Imp::Checked(cell) => cell.with(f),
            Imp::Own(cell, place) => {
                if place.is_tracked() {
                    explore::cell(Kind::CellRead, Location::caller(), place);
                }
                f(cell.get())
            }
        }
    }

    /// Calls `f` with a pointer for writing; dereferencing it is the caller's proof to make.
    #[track_caller]
    pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        match &self.0 {
            Imp::Checked(cell) => cell.with_mut(f),
            Imp::Own(cell, place) => {
                if place.is_tracked() {
                    explore::cell(Kind::CellWrite, Location::caller(), place);
                }
                f(cell.get())
            }
        }
    }

    /// Takes the value out.
    pub fn into_inner(self) -> T {
        match self.0 {
            Imp::Checked(cell) => cell.into_inner(),
            Imp::Own(cell, _) => cell.into_inner(),
        }
    }
}

impl<T: Default> Default for UnsafeCell<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> fmt::Debug for UnsafeCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnsafeCell").finish_non_exhaustive()
    }
}

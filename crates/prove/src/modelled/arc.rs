//! Shared ownership: loom's in its models, so that it checks what an `Arc` orders; `std`'s elsewhere.

use super::step::{Driver, driver};
use std::{fmt, ops::Deref};

enum Imp<T> {
    Checked(loom::sync::Arc<T>),
    Own(std::sync::Arc<T>),
}

/// A reference-counted pointer.
pub struct Arc<T>(Imp<T>);

impl<T> Arc<T> {
    /// Wraps `value`.
    pub fn new(value: T) -> Self {
        Self(if driver() == Driver::Loom {
            Imp::Checked(loom::sync::Arc::new(value))
        } else {
            Imp::Own(std::sync::Arc::new(value))
        })
    }

    /// How many there are.
    #[must_use]
    pub fn strong_count(this: &Self) -> usize {
        match &this.0 {
            Imp::Checked(arc) => loom::sync::Arc::strong_count(arc),
            Imp::Own(arc) => std::sync::Arc::strong_count(arc),
        }
    }

    /// Whether both point to one value.
    #[must_use]
    pub fn ptr_eq(this: &Self, other: &Self) -> bool {
        std::ptr::eq(&raw const **this, &raw const **other)
    }

    /// The value, if this is the only pointer to it.
    pub fn get_mut(this: &mut Self) -> Option<&mut T> {
        match &mut this.0 {
            Imp::Checked(arc) => loom::sync::Arc::get_mut(arc),
            Imp::Own(arc) => std::sync::Arc::get_mut(arc),
        }
    }
}

impl<T> Clone for Arc<T> {
    fn clone(&self) -> Self {
        Self(match &self.0 {
            Imp::Checked(arc) => Imp::Checked(arc.clone()),
            Imp::Own(arc) => Imp::Own(arc.clone()),
        })
    }
}

impl<T> Deref for Arc<T> {
    type Target = T;
    fn deref(&self) -> &T {
        match &self.0 {
            Imp::Checked(arc) => arc,
            Imp::Own(arc) => arc,
        }
    }
}

impl<T: Default> Default for Arc<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for Arc<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: fmt::Debug> fmt::Debug for Arc<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

//! The user's values, whose destructors may panic.
//!
//! A panic in the destructor of one of two fields would meet that of the other while it unwinds, which aborts. So each is
//! dropped by itself, and its panic ends there.

use std::{
    fmt,
    mem::ManuallyDrop,
    ops::Deref,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// A value whose drop does not panic, whatever its own does. It takes no more room than the value.
#[repr(transparent)]
pub struct Contained<T>(ManuallyDrop<T>);

impl<T> Contained<T> {
    /// Wraps `value`.
    pub const fn new(value: T) -> Self {
        Self(ManuallyDrop::new(value))
    }

    /// Takes the value out.
    pub fn into_inner(self) -> T {
        let mut whole = ManuallyDrop::new(self);
        // SAFETY: `whole` is not dropped and not used again.
        unsafe { ManuallyDrop::take(&mut whole.0) }
    }
}

impl<T> Deref for Contained<T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Contained<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contained").finish_non_exhaustive()
    }
}

impl<T> Drop for Contained<T> {
    fn drop(&mut self) {
        if std::mem::needs_drop::<T>() {
            // SAFETY: dropped once, here; `into_inner` does not come by.
            contain(|| unsafe { ManuallyDrop::drop(&mut self.0) });
        }
    }
}

/// Runs user code whose panic must not reach the caller, who has nothing to do with it; the panic
/// hook has reported it. Tells whether it came to its end.
pub fn contain(f: impl FnOnce()) -> bool {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(()) => true,
        Err(payload) => {
            // A payload may panic in its own drop; then it is leaked.
            let _ = catch_unwind(AssertUnwindSafe(move || drop(payload))).map_err(std::mem::forget);
            false
        }
    }
}

//! What an acquirer holds.

use super::Semaphore;
use std::sync::Arc;

macro_rules! permit {
    ($(#[$doc:meta])* $name:ident $(<$life:lifetime>)?, $handle:ty) => {
        $(#[$doc])*
        #[derive(Debug)]
        #[must_use = "a permit gives itself back when it drops"]
        pub struct $name $(<$life>)? {
            semaphore: $handle,
            permits: usize,
        }

        impl $(<$life>)? $name $(<$life>)? {
            pub(super) fn new(semaphore: $handle, permits: usize) -> Self {
                Self { semaphore, permits }
            }

            /// How many permits this is.
            pub fn permits(&self) -> usize {
                self.permits
            }

            /// Splits `n` off; `None` when it holds fewer.
            pub fn split(&mut self, n: usize) -> Option<Self> {
                self.permits = self.permits.checked_sub(n)?;
                Some(Self { semaphore: self.semaphore.clone(), permits: n })
            }

            /// Never gives the permits back: the semaphore has that many fewer until it is resized.
            pub fn forget(mut self) {
                self.permits = 0;
            }
        }

        impl $(<$life>)? Drop for $name $(<$life>)? {
            fn drop(&mut self) {
                if self.permits > 0 {
                    self.semaphore.permits.give(self.permits);
                }
            }
        }
    };
}

permit!(
    /// One or more permits of a [`Semaphore`]; gives itself back on drop.
    Permit<'a>,
    &'a Semaphore
);
permit!(
    /// One or more permits that own their [`Semaphore`]: `Send + 'static`, free to move into a task.
    OwnedPermit,
    Arc<Semaphore>
);

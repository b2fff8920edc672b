//! A fair counting semaphore for threads and tasks.

mod acquire;
mod permit;

pub use acquire::Acquire;
pub use permit::{OwnedPermit, Permit};

use crate::{
    Clock, Elapsed,
    error::{AcquireError, AcquireTimeoutError, BuildError, TryAcquireError},
    raw::permits::{MAX_PERMITS, Permits, Refused},
};
use parking_lot::Mutex;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a grant may lie unpolled while others wait, unless the builder says otherwise.
const REGRANT_AFTER: Duration = Duration::from_secs(1);

/// A counting semaphore: threads and tasks wait in one line, first come, first served.
///
/// Permits go to waiters by direct hand-off, so nobody overtakes. A grant that its future does not
/// poll (a `select!` that looks elsewhere) is taken back after a while and passed on; its future
/// stands at the head of the line again when it is polled.
///
/// Uncontended, acquiring and releasing are one atomic operation each.
///
/// ```
/// use ropewalk_sync::Semaphore;
///
/// let slots = Semaphore::new(2);
/// let first = slots.try_acquire()?;
/// let _second = slots.try_acquire()?;
/// assert!(slots.try_acquire().is_err());
/// drop(first);
/// assert_eq!(slots.available(), 1);
/// # Ok::<(), ropewalk_sync::TryAcquireError>(())
/// ```
#[derive(Debug)]
pub struct Semaphore {
    permits: Permits,
    /// Locked only to resize.
    capacity: Mutex<usize>,
    clock: Clock,
    regrant_after: Duration,
    /// When grants were last swept: one sweep to an interval, however many wait.
    swept: Mutex<Option<Instant>>,
}

/// Builds a [`Semaphore`].
#[derive(Clone, Debug)]
pub struct SemaphoreBuilder {
    permits: usize,
    clock: Clock,
    regrant_after: Duration,
}

/// A semaphore at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SemaphoreStats {
    /// Permits in all.
    pub capacity: usize,
    /// Permits free.
    pub available: usize,
    /// Waiters in line.
    pub waiting: usize,
    /// Permits that vanish when they come back, after the capacity was lowered below use.
    pub debt: usize,
    /// Whether it is closed.
    pub closed: bool,
}

impl SemaphoreBuilder {
    /// The clock that timeouts and regrants follow; the system's by default.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// How long a grant may lie unpolled while others wait before it is passed on: it survives at
    /// least one such interval and at most two. 1 s by default; `Duration::MAX` turns it off.
    pub fn regrant_after(mut self, interval: Duration) -> Self {
        self.regrant_after = interval;
        self
    }

    /// Builds it.
    ///
    /// # Errors
    ///
    /// [`BuildError::TooManyPermits`] above [`Semaphore::MAX_PERMITS`], [`BuildError::ZeroInterval`]
    /// for a regrant interval of zero. A capacity of 0 is legal: everybody waits for a `resize`.
    pub fn build(self) -> Result<Semaphore, BuildError> {
        if self.permits > MAX_PERMITS {
            return Err(BuildError::TooManyPermits { permits: self.permits, max: MAX_PERMITS });
        }
        if self.regrant_after.is_zero() {
            return Err(BuildError::ZeroInterval);
        }
        Ok(Semaphore {
            permits: Permits::new(self.permits),
            capacity: Mutex::new(self.permits),
            clock: self.clock,
            regrant_after: self.regrant_after,
            swept: Mutex::new(None),
        })
    }
}

impl Semaphore {
    /// The most permits a semaphore can have.
    pub const MAX_PERMITS: usize = MAX_PERMITS;

    /// A semaphore of `permits` permits on the system clock.
    ///
    /// # Panics
    ///
    /// Above [`MAX_PERMITS`](Self::MAX_PERMITS).
    pub fn new(permits: usize) -> Self {
        Self::builder(permits).build().expect("the number of permits is within bounds")
    }

    /// Starts building one of `permits` permits.
    pub fn builder(permits: usize) -> SemaphoreBuilder {
        SemaphoreBuilder { permits, clock: Clock::system(), regrant_after: REGRANT_AFTER }
    }

    /// Takes a permit without waiting and without overtaking those who wait.
    ///
    /// # Errors
    ///
    /// [`TryAcquireError`] says why there is none.
    pub fn try_acquire(&self) -> Result<Permit<'_>, TryAcquireError> {
        self.try_acquire_many(1)
    }

    /// Takes `n` permits at once, or none.
    ///
    /// # Errors
    ///
    /// [`TryAcquireError`] says why.
    pub fn try_acquire_many(&self, n: usize) -> Result<Permit<'_>, TryAcquireError> {
        self.try_take(n).map(|()| Permit::new(self, n))
    }

    /// [`try_acquire`](Self::try_acquire) with a permit that owns the semaphore.
    ///
    /// # Errors
    ///
    /// [`TryAcquireError`] says why there is none.
    pub fn try_acquire_owned(self: &Arc<Self>) -> Result<OwnedPermit, TryAcquireError> {
        self.try_acquire_many_owned(1)
    }

    /// [`try_acquire_many`](Self::try_acquire_many) with a permit that owns the semaphore.
    ///
    /// # Errors
    ///
    /// [`TryAcquireError`] says why there are none.
    pub fn try_acquire_many_owned(self: &Arc<Self>, n: usize) -> Result<OwnedPermit, TryAcquireError> {
        self.try_take(n).map(|()| OwnedPermit::new(self.clone(), n))
    }

    /// Waits for a permit.
    ///
    /// # Errors
    ///
    /// [`AcquireError::Closed`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the line; a permit already handed to it passes on.
    pub fn acquire(&self) -> Acquire<&Self> {
        self.acquire_many(1)
    }

    /// Waits for `n` permits at once. Those behind wait meanwhile, so a large request is not starved.
    ///
    /// # Errors
    ///
    /// [`AcquireError::Closed`], and [`AcquireError::TooMany`] above the capacity.
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    pub fn acquire_many(&self, n: usize) -> Acquire<&Self> {
        Acquire::new(self, n)
    }

    /// [`acquire`](Self::acquire) with a permit that owns the semaphore.
    ///
    /// # Errors
    ///
    /// [`AcquireError::Closed`].
    pub fn acquire_owned(self: &Arc<Self>) -> Acquire<Arc<Self>> {
        self.acquire_many_owned(1)
    }

    /// [`acquire_many`](Self::acquire_many) with a permit that owns the semaphore.
    ///
    /// # Errors
    ///
    /// As [`acquire_many`](Self::acquire_many).
    pub fn acquire_many_owned(self: &Arc<Self>, n: usize) -> Acquire<Arc<Self>> {
        Acquire::new(self.clone(), n)
    }

    /// Parks this thread until there is a permit, in the same line as the tasks.
    ///
    /// # Errors
    ///
    /// [`AcquireError::Closed`].
    pub fn acquire_blocking(&self) -> Result<Permit<'_>, AcquireError> {
        // The fast path needs no future.
        match self.try_acquire() {
            Ok(permit) => Ok(permit),
            Err(_) => self.clock.block_on(self.acquire()),
        }
    }

    /// Waits for a permit for at most `duration`.
    ///
    /// # Errors
    ///
    /// [`AcquireTimeoutError`].
    pub fn acquire_timeout(
        &self,
        duration: Duration,
    ) -> impl Future<Output = Result<Permit<'_>, AcquireTimeoutError>> + use<'_> {
        let bounded = self.clock.timeout(duration, self.acquire());
        async move {
            match bounded.await {
                Ok(result) => Ok(result?),
                Err(Elapsed) => Err(self.timed_out(1)),
            }
        }
    }

    /// Parks this thread until there is a permit, for at most `duration`.
    ///
    /// # Errors
    ///
    /// [`AcquireTimeoutError`].
    pub fn acquire_blocking_timeout(&self, duration: Duration) -> Result<Permit<'_>, AcquireTimeoutError> {
        self.clock.block_on(self.acquire_timeout(duration))
    }

    /// Changes the capacity. Raising it serves waiters at once; lowering it takes free permits, and
    /// what is in use beyond it becomes a debt that permits pay as they come back.
    ///
    /// # Errors
    ///
    /// [`BuildError::TooManyPermits`] above [`MAX_PERMITS`](Self::MAX_PERMITS); nothing changes then.
    pub fn resize(&self, capacity: usize) -> Result<(), BuildError> {
        if capacity > MAX_PERMITS {
            return Err(BuildError::TooManyPermits { permits: capacity, max: MAX_PERMITS });
        }
        let before = std::mem::replace(&mut *self.capacity.lock(), capacity);
        // Applied outside the lock, because serving wakes waiters; differences of concurrent calls add up.
        if capacity > before {
            let fresh = self.permits.forgive(capacity - before);
            self.permits.give(fresh);
        } else {
            self.permits.owe(before - capacity);
        }
        Ok(())
    }

    /// Permits in all.
    pub fn capacity(&self) -> usize {
        *self.capacity.lock()
    }

    /// Permits free at this instant.
    pub fn available(&self) -> usize {
        self.permits.available()
    }

    /// Waiters at this instant.
    pub fn waiting(&self) -> usize {
        self.permits.waiting()
    }

    /// Refuses waiters and all who come later. Permits that are out stay valid.
    pub fn close(&self) {
        self.permits.close();
    }

    /// Whether it is closed.
    pub fn is_closed(&self) -> bool {
        self.permits.is_closed()
    }

    /// A snapshot; its fields are read one after the other.
    pub fn stats(&self) -> SemaphoreStats {
        SemaphoreStats {
            capacity: self.capacity(),
            available: self.available(),
            waiting: self.waiting(),
            debt: self.permits.debt(),
            closed: self.is_closed(),
        }
    }

    fn try_take(&self, n: usize) -> Result<(), TryAcquireError> {
        self.permits.try_take(n).map_err(|refused| match refused {
            Refused::Closed => TryAcquireError::Closed,
            Refused::Busy => TryAcquireError::NoPermits { wanted: n, available: self.available() },
        })
    }

    /// Takes back grants that nobody polled, unless another waiter has just looked.
    fn sweep(&self) {
        let now = self.clock.now();
        let due = {
            let mut swept = self.swept.lock();
            let due = swept.is_none_or(|at| now.saturating_duration_since(at) >= self.regrant_after);
            if due {
                *swept = Some(now);
            }
            due
        };
        if due {
            self.permits.revoke_stale();
        }
    }

    fn timed_out(&self, wanted: usize) -> AcquireTimeoutError {
        AcquireTimeoutError::Timeout { wanted, capacity: self.capacity(), waiting: self.waiting() }
    }
}

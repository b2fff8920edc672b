//! What can go wrong.

/// A value could not be built as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// More permits than fit.
    #[error("{permits} permits are more than a semaphore can count; use at most {max}")]
    TooManyPermits {
        /// How many were asked for.
        permits: usize,
        /// The most there can be.
        max: usize,
    },
    /// An interval of zero would never let a grant arrive.
    #[error("the regrant interval is zero; use a positive one, or Duration::MAX to turn it off")]
    ZeroInterval,
}

/// Permits could not be had at once.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TryAcquireError {
    /// Too few are free, or others stand in line first.
    #[error("{wanted} permits wanted, {available} free, and those in line come first; wait with acquire()")]
    NoPermits {
        /// How many were wanted.
        wanted: usize,
        /// How many were free.
        available: usize,
    },
    /// The semaphore is closed.
    #[error("the semaphore is closed")]
    Closed,
}

/// Permits will not come.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AcquireError {
    /// The semaphore is closed.
    #[error("the semaphore is closed")]
    Closed,
    /// The request could never be served.
    #[error("{wanted} permits wanted of a semaphore of {capacity}; ask for fewer or resize it")]
    TooMany {
        /// How many were wanted.
        wanted: usize,
        /// How many there are in all.
        capacity: usize,
    },
}

/// Permits did not come in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AcquireTimeoutError {
    /// The time was over first.
    #[error(
        "no {wanted} of {capacity} permits came in time, with {waiting} others in line; hold them for less time or resize the semaphore"
    )]
    Timeout {
        /// How many were wanted.
        wanted: usize,
        /// How many there are in all.
        capacity: usize,
        /// How many stood in line when the time was over.
        waiting: usize,
    },
    /// They will not come.
    #[error(transparent)]
    Acquire(#[from] AcquireError),
}

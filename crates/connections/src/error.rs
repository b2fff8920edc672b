//! What can go wrong, and what to do about it.

use std::{error::Error, fmt, sync::Arc, time::Duration};

/// A pool could not be built as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The range of sizes is empty, has no room for a connection, or is too big.
    #[error(
        "a size of {min}..={max} is no use; take a range with 1 <= max, min <= max, max <= {}",
        crate::MAX_SIZE
    )]
    Size {
        /// The least.
        min: usize,
        /// The most.
        max: usize,
    },
    /// A setting that must not be zero is zero.
    #[error("{0} is zero; use a positive value, or leave it out for the default")]
    Zero(&'static str),
    /// An async manager has nothing to run on.
    #[error("an async manager needs something to run its futures on: add .spawner(..)")]
    NoSpawner,
    /// The operating system refused the thread that keeps the pool.
    #[error("the spawner refused the pool's keeper")]
    Spawn,
}

/// A pool could not be resized as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResizeError {
    /// The range of sizes is empty, has no room for a connection, or is too big.
    #[error(
        "a size of {min}..={max} is no use; take a range with 1 <= max, min <= max, max <= {}",
        crate::MAX_SIZE
    )]
    Size {
        /// The least.
        min: usize,
        /// The most.
        max: usize,
    },
    /// A pool with a writer needs room for a reader too.
    #[error("a pool with a writer and readers needs a size of at least 2")]
    NeedsReader,
    /// The pool was built with one connection for both roles.
    #[error(
        "the pool was built with one connection that both reads and writes; build it with a size of 2 or more"
    )]
    OneForBoth,
    /// The pool is closed.
    #[error("the pool is closed")]
    Closed,
}

/// Why a connection could not be opened, or why a check or reset failed.
#[non_exhaustive]
pub enum ConnectError<E> {
    /// The manager said so.
    Failed(Arc<E>),
    /// The manager panicked.
    Panicked(String),
    /// It took longer than allowed.
    TimedOut(Duration),
    /// The spawner dropped the work before its end.
    Lost,
}

impl<E> Clone for ConnectError<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Failed(error) => Self::Failed(error.clone()),
            Self::Panicked(message) => Self::Panicked(message.clone()),
            Self::TimedOut(bound) => Self::TimedOut(*bound),
            Self::Lost => Self::Lost,
        }
    }
}

impl<E: fmt::Debug> fmt::Debug for ConnectError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => f.debug_tuple("Failed").field(error).finish(),
            Self::Panicked(message) => f.debug_tuple("Panicked").field(message).finish(),
            Self::TimedOut(bound) => f.debug_tuple("TimedOut").field(bound).finish(),
            Self::Lost => f.write_str("Lost"),
        }
    }
}

impl<E: fmt::Display> fmt::Display for ConnectError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => error.fmt(f),
            Self::Panicked(message) => write!(f, "the manager panicked: {message}"),
            Self::TimedOut(bound) => write!(f, "no answer within {bound:?}"),
            Self::Lost => f.write_str("the spawner dropped the work; is its runtime still running?"),
        }
    }
}

impl<E: Error + 'static> Error for ConnectError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Failed(error) => error.source(),
            Self::Panicked(_) | Self::TimedOut(_) | Self::Lost => None,
        }
    }
}

/// How the pool stood when a caller ran out of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Standing {
    /// Connections there are, whatever they do.
    pub size: usize,
    /// The most there may be now: the maximum, or less while the server refuses more.
    pub limit: usize,
    /// Connections in callers' hands.
    pub in_use: usize,
    /// Connections being opened.
    pub opening: usize,
    /// Others in line.
    pub waiting: usize,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { size, limit, in_use, opening, waiting } = self;
        write!(
            f,
            "{in_use} in use and {opening} opening of {size} (at most {limit}), {waiting} others waiting"
        )
    }
}

/// No connection came.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GetError<E: Error + 'static> {
    /// The time was over first.
    #[error(
        "no connection within {waited:?}: {standing}{}; hold them for less time, raise the size or wait longer",
        last_text(.last_error)
    )]
    Timeout {
        /// How long the caller waited.
        waited: Duration,
        /// How the pool stood.
        standing: Standing,
        /// Why the last attempt to open a connection failed, if the last attempt failed.
        last_error: Option<ConnectError<E>>,
    },
    /// There is no connection and none can be opened.
    #[error("no connection, and none of the last {attempts} attempts to open one succeeded: {cause}")]
    Connect {
        /// Why the last attempt failed.
        cause: ConnectError<E>,
        /// Attempts that failed in a row.
        attempts: u32,
    },
    /// Too many wait already.
    #[error("{waiting} callers wait already, the most allowed; shed load or raise max_waiters")]
    TooManyWaiters {
        /// How many wait.
        waiting: usize,
    },
    /// The call would block the only thread of the runtime that it runs on.
    #[error("a blocking wait on a current-thread runtime would stop the runtime; use get().await")]
    InsideRuntime,
    /// The pool is closed.
    #[error("the pool is closed")]
    Closed,
}

fn last_text<E: fmt::Display>(last: &Option<ConnectError<E>>) -> String {
    last.as_ref().map(|error| format!("; the last attempt to open one failed: {error}")).unwrap_or_default()
}

/// No connection could be had at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TryGetError {
    /// None is idle, or others stand in line first.
    #[error("no connection is idle, or others come first; wait with get()")]
    Busy,
    /// The idle ones have lain so long that they are checked first; the check has begun.
    #[error("the idle connection is being checked; try again soon or wait with get()")]
    Checking,
    /// The pool is closed.
    #[error("the pool is closed")]
    Closed,
}

/// The pool is closed, but not everything came back in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{in_use} connections were not given back and {busy} not closed within {waited:?}; they are closed when they return"
)]
#[non_exhaustive]
pub struct CloseError {
    /// Connections still in callers' hands.
    pub in_use: usize,
    /// Connections still being opened, checked, reset or closed.
    pub busy: usize,
    /// How long the close waited.
    pub waited: Duration,
}

//! What can go wrong.

use std::time::Duration;

/// Why an [`Llm`](crate::Llm) cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A limit of zero.
    #[error("`{0}` is zero, so no call would ever be made; use at least 1")]
    Zero(&'static str),
    /// The bounds of the adaptive concurrency contradict one another.
    #[error(
        "adaptive concurrency from {min} to {max}, starting at {start}, is no range; use 1 <= min <= start <= max"
    )]
    NoRange {
        /// The least.
        min: usize,
        /// The start.
        start: usize,
        /// The most.
        max: usize,
    },
    /// The cache cannot be built.
    #[error("the cache cannot be built: {0}")]
    Cache(String),
    /// The backend finds itself unusable.
    #[error("the backend cannot be used: {0}")]
    Backend(BackendError),
}

/// Why there is no answer. All who share a call share its error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// No model could answer this; nothing was sent.
    #[error("the chat cannot be asked: {0}")]
    Invalid(&'static str),
    /// Too many questions wait.
    #[error("{queued} questions wait already, the limit is {limit}; ask later, or raise `queue`")]
    Overloaded {
        /// How many wait.
        queued: usize,
        /// How many may.
        limit: usize,
    },
    /// The deadline of this question passed. A call that was on its way goes on, and its answer will
    /// be in the cache.
    #[error("no answer within {after:?} ({stage}){}", last.as_ref().map(|last| format!("; the last attempt failed: {last}")).unwrap_or_default())]
    Deadline {
        /// How long the question was given.
        after: Duration,
        /// What it was waiting for.
        stage: Stage,
        /// The failure of the attempt before, if there was one.
        last: Option<BackendError>,
    },
    /// The backend failed, as often as was allowed.
    #[error("no answer after {attempts} attempts: {error}")]
    Backend {
        /// The last failure.
        #[source]
        error: BackendError,
        /// How many calls were made.
        attempts: u32,
    },
    /// The processor was closed.
    #[error("the processor is closed; nothing was sent")]
    Closed,
}

impl AskError {
    /// Whether the same question may fare better later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Invalid(_) | Self::Closed => false,
            Self::Overloaded { .. } | Self::Deadline { .. } => true,
            Self::Backend { error, .. } => error.is_retryable(),
        }
    }

    /// When the backend wants to be asked again, if it said.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Backend { error, .. } | Self::Deadline { last: Some(error), .. } => error.retry_after,
            Self::Deadline { last: None, .. } | Self::Invalid(_) | Self::Overloaded { .. } | Self::Closed => {
                None
            }
        }
    }
}

/// Where a question was when its time was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// It waited for its turn.
    Queued,
    /// Its call was on its way.
    Running,
    /// It waited for the next attempt.
    Resting,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Queued => "it waited for its turn",
            Self::Running => "its call was on its way",
            Self::Resting => "it waited for another attempt",
        })
    }
}

/// A failed call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}{}: {message}", status.map(|status| format!(" (status {status})")).unwrap_or_default())]
#[non_exhaustive]
pub struct BackendError {
    /// What kind of failure.
    pub kind: ErrorKind,
    /// What the backend says. Never holds an API key.
    pub message: String,
    /// The HTTP status, where there was one.
    pub status: Option<u16>,
    /// When the backend wants to be asked again.
    pub retry_after: Option<Duration>,
}

impl BackendError {
    /// A failure of a kind, with what there is to say about it.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), status: None, retry_after: None }
    }

    /// Adds the HTTP status.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// Adds when to ask again.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// Whether the same call may fare better later.
    pub fn is_retryable(&self) -> bool {
        self.kind.is_retryable()
    }
}

/// What kind of failure a [`BackendError`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The backend wants fewer calls for now.
    RateLimited,
    /// The backend is there and cannot answer: an error of its own, overload, maintenance.
    Unavailable,
    /// No answer in time.
    Timeout,
    /// No connection.
    Connect,
    /// The answer broke off.
    Cut,
    /// No node takes the call.
    NoNode,
    /// The backend finds fault with the question.
    Rejected,
    /// The key is missing, wrong, or out of credit.
    Unauthorized,
    /// There is no such model.
    NotFound,
    /// The answer cannot be understood.
    Malformed,
    /// The backend is set up wrongly: a URL that is none, a certificate store that cannot be read.
    Setup,
    /// The backend's code panicked.
    Panicked,
    /// The call was dropped because its processor or its runtime ended.
    Stopped,
}

impl ErrorKind {
    /// Every kind.
    pub(crate) const ALL: [Self; 13] = [
        Self::RateLimited,
        Self::Unavailable,
        Self::Timeout,
        Self::Connect,
        Self::Cut,
        Self::NoNode,
        Self::Rejected,
        Self::Unauthorized,
        Self::NotFound,
        Self::Malformed,
        Self::Setup,
        Self::Panicked,
        Self::Stopped,
    ];

    /// Whether another attempt may fare better.
    pub fn is_retryable(self) -> bool {
        match self {
            Self::RateLimited
            | Self::Unavailable
            | Self::Timeout
            | Self::Connect
            | Self::Cut
            | Self::NoNode => true,
            Self::Rejected
            | Self::Unauthorized
            | Self::NotFound
            | Self::Malformed
            | Self::Setup
            | Self::Panicked
            | Self::Stopped => false,
        }
    }

    /// Whether it says that the backend has too much to do.
    pub(crate) fn is_overload(self) -> bool {
        matches!(self, Self::RateLimited | Self::Unavailable | Self::Timeout)
    }

    /// Its name, as statistics and metrics spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Connect => "connect",
            Self::Cut => "cut",
            Self::NoNode => "no_node",
            Self::Rejected => "rejected",
            Self::Unauthorized => "unauthorized",
            Self::NotFound => "not_found",
            Self::Malformed => "malformed",
            Self::Setup => "setup",
            Self::Panicked => "panicked",
            Self::Stopped => "stopped",
        }
    }
}

impl std::fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::RateLimited => "the backend wants fewer calls",
            Self::Unavailable => "the backend is unavailable",
            Self::Timeout => "the backend did not answer in time",
            Self::Connect => "no connection to the backend",
            Self::Cut => "the answer broke off",
            Self::NoNode => "no node takes the call",
            Self::Rejected => "the backend rejected the question",
            Self::Unauthorized => "the backend refused the key",
            Self::NotFound => "the backend does not know the model or path",
            Self::Malformed => "the answer cannot be understood",
            Self::Setup => "the backend is set up wrongly",
            Self::Panicked => "the backend's code panicked",
            Self::Stopped => "the call was stopped",
        })
    }
}

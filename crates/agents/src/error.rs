//! What can go wrong.

use crate::{message::Message, task::TaskId};
use ropewalk_graph::LookupError;
use ropewalk_resources::AcquireError;
use std::{fmt, sync::Arc, time::Duration};

/// Any error of a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A coordinator or agent could not be set up as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Nobody could ever work.
    #[error("{what} is 0; use at least 1")]
    Zero {
        /// Which number.
        what: &'static str,
    },
    /// An agent of this name is there already.
    #[error("there is an agent named {name:?} already; names are unique")]
    DuplicateAgent {
        /// The name.
        name: Arc<str>,
    },
    /// The longest pause between attempts is shorter than the shortest.
    #[error("the back-off starts at {min:?} and ends at {max:?}; the end must not be shorter")]
    Backoff {
        /// The shortest.
        min: Duration,
        /// The longest.
        max: Duration,
    },
    /// The coordinator is shut down.
    #[error("the coordinator is shut down; build another")]
    ShutDown,
}

/// A task was not taken on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// The coordinator takes no more tasks.
    #[error("the coordinator is shutting down and takes no more tasks")]
    ShuttingDown,
    /// A dependency does not exist: it is of another coordinator, or was forgotten long after its end.
    #[error("a dependency does not exist: {0}; keep a handle to a task as long as others may depend on it")]
    Dependency(#[from] LookupError),
}

/// A task did not complete.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// Its body returned an error in the last attempt.
    #[error("task {task:?} failed in attempt {attempts}: {source}")]
    Failed {
        /// Its name.
        task: Arc<str>,
        /// How many attempts there were.
        attempts: u32,
        /// What the body returned.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// Its body panicked in the last attempt.
    #[error("task {task:?} panicked in attempt {attempts}: {message}")]
    Panicked {
        /// Its name.
        task: Arc<str>,
        /// How many attempts there were.
        attempts: u32,
        /// The message of the panic.
        message: String,
    },
    /// The last attempt took too long.
    #[error("attempt {attempts} of task {task:?} took longer than {after:?}; give it more time or split it")]
    TimedOut {
        /// Its name.
        task: Arc<str>,
        /// How many attempts there were.
        attempts: u32,
        /// How long an attempt may take.
        after: Duration,
    },
    /// It was not done by its deadline.
    #[error("task {task:?} was not done by its deadline")]
    DeadlinePassed {
        /// Its name.
        task: Arc<str>,
    },
    /// Its resources will never be had.
    #[error("task {task:?} cannot have its resources: {source}")]
    Resources {
        /// Its name.
        task: Arc<str>,
        /// Why.
        source: AcquireError,
    },
    /// It was called off.
    #[error("task {task:?} was cancelled")]
    Cancelled {
        /// Its name.
        task: Arc<str>,
    },
    /// It never started, because of how its dependencies ended.
    #[error("task {task:?} was skipped because of how {because:?} ended")]
    Skipped {
        /// Its name.
        task: Arc<str>,
        /// The dependency that decided; empty when it is not known any more.
        because: Arc<str>,
    },
    /// It was never taken on.
    #[error("task {task:?} was refused: {source}")]
    Refused {
        /// Its name.
        task: Arc<str>,
        /// Why.
        source: SpawnError,
    },
    /// Whoever ran it went away in the middle: the runtime shut down, or a thread could not be started.
    #[error("task {task:?} was lost with its executor; keep the runtime alive until the team is shut down")]
    Lost {
        /// Its name.
        task: Arc<str>,
    },
}

impl TaskError {
    /// The name of the task.
    pub fn task(&self) -> &str {
        match self {
            Self::Failed { task, .. }
            | Self::Panicked { task, .. }
            | Self::TimedOut { task, .. }
            | Self::DeadlinePassed { task }
            | Self::Resources { task, .. }
            | Self::Cancelled { task }
            | Self::Skipped { task, .. }
            | Self::Refused { task, .. }
            | Self::Lost { task } => task,
        }
    }
}

/// A task was not done in time; waiting may be tried again.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinTimeoutError {
    /// The time was over first; the task goes on.
    #[error("the task was not done within {within:?}; it goes on")]
    Timeout {
        /// How long was waited.
        within: Duration,
    },
    /// It is done, and did not complete.
    #[error(transparent)]
    Task(#[from] TaskError),
}

/// The draining took too long; what was left was cancelled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{cancelled} tasks were not done within {within:?} and were cancelled")]
pub struct ShutdownTimeout {
    /// How many tasks were unfinished.
    pub cancelled: usize,
    /// How long was waited.
    pub within: Duration,
}

/// A message was not sent. [`into_message`](Self::into_message) gives it back.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum SendError<M = Message> {
    /// The mailbox is full.
    #[error("the mailbox is full; wait with send(), or receive faster")]
    Full(M),
    /// The mailbox is closed.
    #[error("the mailbox is closed")]
    Closed(M),
    /// Nobody has this name.
    #[error("there is no agent named {name:?}; add it, or send to one who is there")]
    UnknownAgent {
        /// The name.
        name: Arc<str>,
        /// The message.
        message: M,
    },
    /// There was no room in time.
    #[error("the mailbox was full for {within:?}")]
    Timeout {
        /// How long was waited.
        within: Duration,
        /// The message.
        message: M,
    },
}

impl<M> SendError<M> {
    /// The message that was not sent.
    pub fn into_message(self) -> M {
        match self {
            Self::Full(message)
            | Self::Closed(message)
            | Self::UnknownAgent { message, .. }
            | Self::Timeout { message, .. } => message,
        }
    }
}

/// Without the message, so that any kind can be in it.
impl<M> fmt::Debug for SendError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("Full(..)"),
            Self::Closed(_) => f.write_str("Closed(..)"),
            Self::UnknownAgent { name, .. } => write!(f, "UnknownAgent({name:?}, ..)"),
            Self::Timeout { within, .. } => write!(f, "Timeout({within:?}, ..)"),
        }
    }
}

/// No message was received.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecvError {
    /// There is none now. Only from `try_recv`.
    #[error("there is no message now; wait with recv()")]
    Empty,
    /// There is none and none will come.
    #[error("the mailbox is closed and empty")]
    Closed,
    /// None came in time. Only from the `_timeout` forms.
    #[error("no message came within {within:?}")]
    Timeout {
        /// How long was waited.
        within: Duration,
    },
}

/// An agent could not be let go.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RemoveAgentError {
    /// Nobody has this name.
    #[error("there is no agent named {name:?}")]
    Unknown {
        /// The name.
        name: Arc<str>,
    },
    /// It works.
    #[error("agent {name:?} runs {running} tasks; wait for them or cancel them first")]
    Busy {
        /// The name.
        name: Arc<str>,
        /// How many.
        running: usize,
    },
}

/// No such task; see [`LookupError`].
pub(crate) type Lookup<T> = Result<T, LookupError>;

/// Names a task in messages for people.
pub(crate) fn owner_name(name: &str, id: TaskId) -> String {
    format!("{name} ({id})")
}

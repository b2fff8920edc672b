//! What can go wrong.

use crate::task::{Status, Task, TaskId};
use std::{fmt, sync::Arc, time::Duration};

/// A cycle: each task waits for the next, the last is the first again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cycle {
    pub(crate) tasks: Vec<TaskId>,
    pub(crate) names: Vec<Arc<str>>,
}

impl Cycle {
    /// The tasks, the first repeated at the end.
    pub fn tasks(&self) -> &[TaskId] {
        &self.tasks
    }

    /// Their names, in the same order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }
}

/// `build -> test -> build`, read "build waits for test waits for build".
impl fmt::Display for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, name) in self.names().enumerate() {
            if i > 0 {
                f.write_str(" -> ")?;
            }
            f.write_str(name)?;
        }
        Ok(())
    }
}

/// A graph or its workers could not be built as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Tasks cannot age by the moment.
    #[error("the ageing interval is zero; use a positive one, or Duration::MAX to turn ageing off")]
    ZeroAgeing,
    /// The operating system refused a thread.
    #[error("the operating system refused worker thread {index}: {reason}; ask for fewer threads")]
    Thread {
        /// Which one, from 0.
        index: usize,
        /// What it said.
        reason: String,
    },
}

/// An id does not name a task of this graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// The task was removed.
    #[error("task {task} was removed from the graph; drop ids of removed tasks")]
    Stale {
        /// Its id.
        task: TaskId,
    },
    /// This graph never gave out the id.
    #[error("task {task} is not of this graph; use ids that its `add` returned")]
    UnknownTask {
        /// The id.
        task: TaskId,
    },
}

/// A task could not be added. [`into_task`](Self::into_task) gives it back.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddError {
    /// One of its dependencies does not exist.
    #[error("task {:?} cannot be added: {source}", task.name())]
    Dependency {
        /// The task.
        task: Box<Task>,
        /// What is wrong with the dependency.
        source: LookupError,
    },
    /// All slots are taken.
    #[error("task {:?} cannot be added: the graph holds as many tasks as it can; remove finished ones", task.name())]
    Full {
        /// The task.
        task: Box<Task>,
    },
}

impl AddError {
    /// The task that was not added.
    pub fn into_task(self) -> Task {
        match self {
            Self::Dependency { task, .. } | Self::Full { task } => *task,
        }
    }
}

/// A dependency could not be added; the graph is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DependError {
    /// It would close a cycle.
    #[error(
        "the dependency would close a cycle: {path}; drop one of these dependencies, or build the graph with Cycles::Permit and resolve them"
    )]
    Cycle {
        /// The whole cycle.
        path: Cycle,
    },
    /// The task was removed.
    #[error("task {task} was removed from the graph; drop ids of removed tasks")]
    Stale {
        /// Its id.
        task: TaskId,
    },
    /// This graph never gave out the id.
    #[error("task {task} is not of this graph; use ids that its `add` returned")]
    UnknownTask {
        /// The id.
        task: TaskId,
    },
    /// A task cannot wait for itself.
    #[error("task {name:?} cannot wait for itself")]
    SelfDependency {
        /// The task.
        task: TaskId,
        /// Its name.
        name: Arc<str>,
    },
    /// The dependent has started, so that it cannot be held back any more.
    #[error(
        "task {name:?} is {status} already, a new dependency cannot hold it back; add it before the task starts"
    )]
    Started {
        /// The dependent.
        task: TaskId,
        /// Its name.
        name: Arc<str>,
        /// Where it stands.
        status: Status,
    },
}

impl From<LookupError> for DependError {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::Stale { task } => Self::Stale { task },
            LookupError::UnknownTask { task } => Self::UnknownTask { task },
        }
    }
}

/// A dependency or task could not be removed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RemoveError {
    /// The id names nothing.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The task is running.
    #[error("task {name:?} is running; cancel it and wait for its runner's report first")]
    Running {
        /// The task.
        task: TaskId,
        /// Its name.
        name: Arc<str>,
    },
    /// There is no such dependency.
    #[error("task {task} does not wait for task {on}")]
    NoDependency {
        /// The dependent.
        task: TaskId,
        /// What it was thought to wait for.
        on: TaskId,
    },
}

/// A task could not change its state as asked; it is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// The id names nothing.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// It still waits for others.
    #[error("task {name:?} still waits for {waiting} of its dependencies")]
    NotReady {
        /// The task.
        task: TaskId,
        /// Its name.
        name: Arc<str>,
        /// How many.
        waiting: usize,
    },
    /// It is finished already, so this report came late or twice.
    #[error("task {name:?} is {status} already; the report came too late or twice")]
    AlreadyFinished {
        /// The task.
        task: TaskId,
        /// Its name.
        name: Arc<str>,
        /// How it ended.
        status: Status,
    },
    /// The state it is in does not allow it.
    #[error("task {name:?} is {status}, which does not allow this")]
    WrongStatus {
        /// The task.
        task: TaskId,
        /// Its name.
        name: Arc<str>,
        /// Where it stands.
        status: Status,
    },
    /// The attempt is over: another was started or the task was set aside.
    #[error("attempt {attempt} of task {name:?} is over (the latest is {latest}); its report is void")]
    Superseded {
        /// The task.
        task: TaskId,
        /// Its name.
        name: Arc<str>,
        /// The attempt that reported.
        attempt: u32,
        /// The latest attempt.
        latest: u32,
    },
    /// It was asked to stop, so it does not start again.
    #[error("task {name:?} was cancelled while it ran; report how it ended instead of trying again")]
    CancelRequested {
        /// The task.
        task: TaskId,
        /// Its name.
        name: Arc<str>,
    },
}

/// No task could be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PopError {
    /// Nothing is ready now, but something may become so. Only from `try_pop_ready`.
    #[error("no task is ready now; wait with pop_ready()")]
    Empty,
    /// All tasks are finished and nobody holds the graph open.
    #[error("all tasks of the graph are finished")]
    Finished,
    /// Nothing runs, nothing is ready, and some wait in or behind a cycle.
    #[error("{waiting} tasks wait in or behind a cycle and nothing runs; call resolve() or cancel them")]
    Stuck {
        /// How many.
        waiting: usize,
    },
    /// The time is over. Only from the `_timeout` forms.
    #[error("no task became ready within {within:?}")]
    Timeout {
        /// How long it waited.
        within: Duration,
    },
}

/// The graph has a cycle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the graph has a cycle: {cycle}; call resolve() or remove one of these dependencies")]
pub struct CycleError {
    /// One of its cycles.
    pub cycle: Cycle,
}

/// Cycles could not be resolved; the graph is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// A cycle has nothing that may be cut.
    #[error("every dependency of this cycle is immutable: {cycle}; remove one of them by hand")]
    Immutable {
        /// The cycle.
        cycle: Cycle,
    },
}

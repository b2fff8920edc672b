//! What a task is: its name, its place in the order, its rules.

use std::{fmt, sync::Arc, time::Duration};

/// Names one task of one graph. Cheap to copy; it stays unique after the task was removed, because a
/// recycled slot gets a new generation. It says nothing of its graph: given to another one, it names
/// nothing there, or another task.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct TaskId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl TaskId {
    /// The slot of the arena: small, dense, reused after removal.
    pub fn index(self) -> usize {
        self.index as usize
    }

    /// How often the slot had been reused when this task took it.
    pub fn generation(self) -> u32 {
        self.generation
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskId({self})")
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

/// One start of a task. A report that carries a claim is refused when another attempt has been
/// started since, so a late attempt changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Claim {
    pub(crate) task: TaskId,
    pub(crate) attempt: u32,
}

impl Claim {
    /// The task.
    pub fn task(self) -> TaskId {
        self.task
    }

    /// Which start of it this is, from 1.
    pub fn attempt(self) -> u32 {
        self.attempt
    }
}

/// A task, or one attempt of it: what a report is about.
///
/// A [`TaskId`] reports on the task whatever its attempt, and also when nobody started it, which is
/// what a plain tracker wants. A [`Claim`] reports on its own attempt only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    pub(crate) task: TaskId,
    pub(crate) attempt: Option<u32>,
}

impl From<TaskId> for Target {
    fn from(task: TaskId) -> Self {
        Self { task, attempt: None }
    }
}

impl From<Claim> for Target {
    fn from(claim: Claim) -> Self {
        Self { task: claim.task, attempt: Some(claim.attempt) }
    }
}

/// How urgent a task is. `Critical > High > Normal > Low`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum Priority {
    /// When nothing else is to do.
    Low,
    /// The default.
    #[default]
    Normal,
    /// Before the normal ones.
    High,
    /// Before everything else.
    Critical,
}

impl Priority {
    /// All four, most urgent first.
    pub const ALL: [Self; 4] = [Self::Critical, Self::High, Self::Normal, Self::Low];

    /// 0 for the most urgent, 3 for the least.
    pub(crate) fn level(self) -> usize {
        3 - self as usize
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Critical => "critical",
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        })
    }
}

/// Where a task stands.
///
/// ```text
/// Pending <-> Ready <-> Blocked      Pending: waits for its dependencies
///                \       /           Blocked: set aside by `block`, waits for something outside
///                 Running            (Running goes back to Ready by `retry`, to Blocked by `block`)
///                    |
///   Completed | Failed | Cancelled | Skipped      final
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum Status {
    /// Waits for its dependencies.
    Pending,
    /// May start.
    Ready,
    /// Has its dependencies, but was set aside until something outside of the graph is there.
    Blocked,
    /// Started.
    Running,
    /// Ended well.
    Completed,
    /// Ended badly.
    Failed,
    /// Called off before it ended.
    Cancelled,
    /// Never started, because its trigger rule cannot be met any more.
    Skipped,
}

impl Status {
    /// Whether it is final.
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled | Self::Skipped)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Ready => "ready",
            Self::Blocked => "blocked",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
        })
    }
}

/// How a task ended, as its runner reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Outcome {
    /// Well.
    Completed,
    /// Badly.
    Failed,
    /// It was called off.
    Cancelled,
    /// It found that there is nothing to do. Dependents with [`TriggerRule::NoneFailed`] or
    /// [`TriggerRule::AllDone`] still run.
    Skipped,
}

impl Outcome {
    pub(crate) fn status(self) -> Status {
        match self {
            Self::Completed => Status::Completed,
            Self::Failed => Status::Failed,
            Self::Cancelled => Status::Cancelled,
            Self::Skipped => Status::Skipped,
        }
    }
}

/// When a task with dependencies may start. Without dependencies it may start at once, whatever its
/// rule.
///
/// A dependency *succeeded* when it completed (or failed under [`FailurePolicy::FreeDependents`]). It
/// is *bad* when it failed, was cancelled, or was skipped because of something bad. One skipped for
/// another reason is neither.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum TriggerRule {
    /// All succeeded; skipped as soon as one is bad, or when all are finished and one was skipped.
    #[default]
    AllSucceeded,
    /// All are finished, however they ended.
    AllDone,
    /// One succeeded, as soon as it did; skipped when all are finished and none did.
    OneSucceeded,
    /// All are finished and none is bad; skipped as soon as one is.
    NoneFailed,
    /// One is bad, as soon as it is; skipped when all are finished and none is.
    OneFailed,
}

/// What the failure of a task does to others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum FailurePolicy {
    /// Dependents follow their trigger rules, so by default they are skipped, and theirs too.
    /// Everything else goes on.
    #[default]
    SkipDependents,
    /// Dependents run as if it had completed.
    FreeDependents,
    /// Nothing that has not started starts: all other unfinished tasks are cancelled, running ones
    /// asked to stop.
    FailFast,
}

/// A task to be added to a graph.
///
/// ```
/// use ropewalk_graph::{Graph, Priority, Task};
/// use std::time::Duration;
///
/// let graph = Graph::new();
/// let build = graph.add(Task::new("build").priority(Priority::High).estimated(Duration::from_secs(30)));
/// let test = graph.add(Task::new("test").after(build));
/// assert!(graph.is_ready(build)? && !graph.is_ready(test)?);
/// # Ok::<(), ropewalk_graph::LookupError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a task does nothing until it is added to a graph"]
pub struct Task {
    pub(crate) name: Arc<str>,
    pub(crate) priority: Priority,
    pub(crate) weight: u64,
    pub(crate) rule: TriggerRule,
    pub(crate) policy: Option<FailurePolicy>,
    pub(crate) after: Vec<TaskId>,
}

impl Task {
    /// A task of normal priority and weight 1. Names are for people and need not be unique.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            priority: Priority::default(),
            weight: 1,
            rule: TriggerRule::default(),
            policy: None,
            after: Vec::new(),
        }
    }

    /// How urgent it is.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// It waits for `task`.
    pub fn after(mut self, task: impl Into<TaskId>) -> Self {
        self.after.push(task.into());
        self
    }

    /// It waits for all of `tasks`.
    pub fn after_all(mut self, tasks: impl IntoIterator<Item = impl Into<TaskId>>) -> Self {
        self.after.extend(tasks.into_iter().map(Into::into));
        self
    }

    /// How much it adds to a path, in a unit of your choice; 1 by default. Guides the critical path.
    pub fn weight(mut self, weight: u64) -> Self {
        self.weight = weight;
        self
    }

    /// How long it is expected to take: its [`weight`](Self::weight) in nanoseconds, saturating.
    pub fn estimated(self, duration: Duration) -> Self {
        self.weight(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }

    /// When it may start; [`TriggerRule::AllSucceeded`] by default.
    pub fn rule(mut self, rule: TriggerRule) -> Self {
        self.rule = rule;
        self
    }

    /// What its failure does to others; the graph's policy by default.
    pub fn on_failure(mut self, policy: FailurePolicy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// A dependency with its price, for [`Graph::link`](crate::Graph::link).
#[derive(Clone, Copy, Debug)]
#[must_use = "a dependency does nothing until it is given to `Graph::link`"]
pub struct Dependency {
    pub(crate) task: TaskId,
    pub(crate) on: TaskId,
    pub(crate) weight: u64,
    pub(crate) immutable: bool,
}

impl Dependency {
    /// `task` waits for `on`. Weight 1.
    pub fn new(task: TaskId, on: TaskId) -> Self {
        Self { task, on, weight: 1, immutable: false }
    }

    /// What it costs to cut it when cycles are resolved; cheap ones are cut first.
    pub fn weight(mut self, weight: u64) -> Self {
        self.weight = weight;
        self
    }

    /// It is never cut.
    pub fn immutable(mut self) -> Self {
        self.immutable = true;
        self
    }
}

/// What adding a dependency came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Depended {
    /// The task now waits for it. A task that was ready and had not started is pending again.
    Added,
    /// It was there already; nothing changed.
    AlreadyPresent,
    /// The dependency has succeeded already, so nobody waits for it.
    AlreadySatisfied,
    /// The dependency has ended otherwise already; the task's trigger rule has been applied.
    AlreadyUnsatisfied,
}

/// What a report set off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Effects {
    /// Tasks that became ready, most urgent first.
    pub ready: Vec<TaskId>,
    /// Tasks whose trigger rule cannot be met any more.
    pub skipped: Vec<TaskId>,
    /// Tasks that were called off before they started.
    pub cancelled: Vec<TaskId>,
    /// Running tasks that were asked to stop: their runners decide how they end.
    pub asked: Vec<TaskId>,
}

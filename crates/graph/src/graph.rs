//! The live graph.

use crate::{
    builder::GraphBuilder,
    core::{Core, Report, Settings},
    error::{AddError, ChangeError, DependError, LookupError, RemoveError},
    observe::Observer,
    stats::Stats,
    task::{Claim, Depended, Dependency, Effects, Outcome, Priority, Status, Target, Task, TaskId},
};
use parking_lot::Mutex;
use ropewalk_sync::{Clock, WaitQueue};
use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
    time::Instant,
};

/// A dependency graph that grows and shrinks while it runs. All operations take `&self`; clones are
/// handles to one graph.
///
/// Everything that changes the graph takes one lock for a short section: no user code runs under
/// it. Adding a dependency looks for a path from the dependent to the dependency, so it takes time
/// proportional to what stands behind the dependent, and O(1) when nothing does.
///
/// ```
/// use ropewalk_graph::{DependError, Graph, Priority, Task};
///
/// let graph = Graph::new();
/// let build = graph.add(Task::new("build").priority(Priority::High));
/// let test = graph.add(Task::new("test").after(build));
/// match graph.depend(build, test) {
///     Err(DependError::Cycle { path }) => assert_eq!(path.to_string(), "build -> test -> build"),
///     other => panic!("{other:?}"),
/// }
/// assert_eq!(graph.complete(build)?, [test]);
/// # Ok::<(), ropewalk_graph::ChangeError>(())
/// ```
#[derive(Clone)]
pub struct Graph {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) core: Mutex<Core>,
    /// Those who wait for something to pop. A grant is a hint to look again, so nothing is lost with it.
    pub(crate) waiters: WaitQueue<(), ()>,
    pub(crate) clock: Clock,
    observers: Vec<Observer>,
}

/// Keeps a graph open: while one lives, [`Graph::pop_ready`] waits for more tasks instead of saying
/// that all are finished.
#[must_use = "the graph is open only while this lives"]
pub struct Hold {
    shared: Arc<Shared>,
}

/// What a graph knows of one task.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct TaskInfo {
    /// Its id.
    pub id: TaskId,
    /// Its name.
    pub name: Arc<str>,
    /// Its priority, without ageing.
    pub priority: Priority,
    /// Where it stands.
    pub status: Status,
    /// How often it was started.
    pub attempts: u32,
    /// Whether it runs and was asked to stop.
    pub cancel_requested: bool,
    /// Its weight.
    pub weight: u64,
    /// How many of its dependencies are not finished.
    pub waiting_for: usize,
    /// The tasks that it depends on, finished or not.
    pub dependencies: Vec<TaskId>,
}

impl Graph {
    /// An empty graph that refuses cycles, skips the dependents of failed tasks, orders by priority
    /// then age and raises a ready task by a level for every 10 s it waits.
    pub fn new() -> Self {
        GraphBuilder::new().build().expect("the defaults are valid")
    }

    /// Starts building a graph.
    pub fn builder() -> GraphBuilder {
        GraphBuilder::new()
    }

    pub(crate) fn from_parts(settings: &Settings, clock: Clock, observers: Vec<Observer>) -> Self {
        let core = Mutex::new(Core::new(settings));
        Self { shared: Arc::new(Shared { core, waiters: WaitQueue::new(), clock, observers }) }
    }

    /// Adds a task.
    ///
    /// # Panics
    ///
    /// When a dependency of the task does not exist or 2^32 - 1 slots are taken; see
    /// [`try_add`](Self::try_add).
    pub fn add(&self, task: Task) -> TaskId {
        match self.try_add(task) {
            Ok(id) => id,
            Err(error) => panic!("{error}"),
        }
    }

    /// Adds a task. Dependencies may be in any status. A new task has no dependents, so it closes no
    /// cycle and needs no check.
    ///
    /// # Errors
    ///
    /// [`AddError`] gives the task back.
    pub fn try_add(&self, task: Task) -> Result<TaskId, AddError> {
        self.shared.change(move |core, now| {
            if let Some(source) = task.after.iter().find_map(|&on| core.find(on).err()) {
                return Err(AddError::Dependency { task: Box::new(task), source });
            }
            let Some(at) = core.insert(&task, now) else {
                return Err(AddError::Full { task: Box::new(task) });
            };
            let id = core.id(at);
            for &on in &task.after {
                // Duplicates are already present; nothing else can be refused for a task that was
                // just made.
                let attached = core.attach(&Dependency::new(id, on), now);
                debug_assert!(attached.is_ok(), "{attached:?}");
            }
            core.reconsider(at, now, &mut Effects::default());
            Ok(id)
        })
    }

    /// Makes `task` wait for `on`.
    ///
    /// `on` may be in any status: one that is finished is accounted for at once. A `task` that is
    /// ready and has not started is held back again.
    ///
    /// # Errors
    ///
    /// [`DependError`]; the graph is as it was.
    pub fn depend(&self, task: TaskId, on: TaskId) -> Result<Depended, DependError> {
        self.link(Dependency::new(task, on))
    }

    /// [`depend`](Self::depend) with a weight, or immutable.
    ///
    /// # Errors
    ///
    /// As [`depend`](Self::depend).
    pub fn link(&self, dependency: Dependency) -> Result<Depended, DependError> {
        self.shared.change(|core, now| core.link(&dependency, now, &mut Effects::default()))
    }

    /// `task` no longer waits for `on`. Returns what became ready: the task, or nothing.
    ///
    /// # Errors
    ///
    /// [`RemoveError`]; the graph is as it was.
    pub fn remove_dependency(&self, task: TaskId, on: TaskId) -> Result<Vec<TaskId>, RemoveError> {
        self.shared.change(|core, now| {
            let mut effects = Effects::default();
            core.unlink(task, on, now, &mut effects)?;
            Ok(effects.ready)
        })
    }

    /// Removes a task that is not running, with its dependencies in both directions. Returns what
    /// became ready.
    ///
    /// # Errors
    ///
    /// [`RemoveError`]; the graph is as it was.
    pub fn remove(&self, task: TaskId) -> Result<Vec<TaskId>, RemoveError> {
        self.shared.change(|core, now| {
            let mut effects = Effects::default();
            core.remove(task, now, &mut effects)?;
            Ok(effects.ready)
        })
    }

    /// Removes each finished task that no unfinished one depends on; returns how many. Their slots
    /// are used again, so a graph that calls this now and then stays as large as its unfinished part.
    pub fn remove_finished(&self) -> usize {
        self.shared.change(|core, now| core.remove_finished(now))
    }

    /// Removes one finished task unless an unfinished one depends on it; tells whether it did.
    ///
    /// # Errors
    ///
    /// [`LookupError`].
    pub fn forget(&self, task: TaskId) -> Result<bool, LookupError> {
        self.shared.change(|core, now| {
            let at = core.find(task)?;
            let needed = core.node(at).dependents.iter().any(|&next| !core.node(next).status.is_finished());
            if needed || !core.node(at).status.is_finished() {
                return Ok(false);
            }
            Ok(core.remove(task, now, &mut Effects::default()).is_ok())
        })
    }

    /// Reports that a task completed; returns the tasks that became ready by it, most urgent first.
    ///
    /// Given a [`TaskId`], the task may be ready, blocked or running. Given a [`Claim`], the report
    /// counts for that attempt only.
    ///
    /// # Errors
    ///
    /// [`ChangeError`]: of several reports exactly one is accepted.
    #[doc(alias = "mark_completed")]
    pub fn complete(&self, target: impl Into<Target>) -> Result<Vec<TaskId>, ChangeError> {
        self.finish(target, Outcome::Completed).map(|effects| effects.ready)
    }

    /// [`complete`](Self::complete) under the name that others look for.
    ///
    /// # Errors
    ///
    /// As [`complete`](Self::complete).
    pub fn mark_completed(&self, target: impl Into<Target>) -> Result<Vec<TaskId>, ChangeError> {
        self.complete(target)
    }

    /// Reports that a task failed. Its failure policy decides what follows.
    ///
    /// A task that had been asked to stop counts as cancelled.
    ///
    /// # Errors
    ///
    /// [`ChangeError`].
    #[doc(alias = "mark_failed")]
    pub fn fail(&self, target: impl Into<Target>) -> Result<Effects, ChangeError> {
        self.finish(target, Outcome::Failed)
    }

    /// Reports how a task ended.
    ///
    /// # Errors
    ///
    /// [`ChangeError`].
    pub fn finish(&self, target: impl Into<Target>, outcome: Outcome) -> Result<Effects, ChangeError> {
        self.report(target.into(), Report::Finished(outcome))
    }

    /// Ends an attempt and makes the task ready again, at its old age.
    ///
    /// # Errors
    ///
    /// [`ChangeError`]; [`ChangeError::CancelRequested`] when it was asked to stop.
    pub fn retry(&self, target: impl Into<Target>) -> Result<(), ChangeError> {
        self.report(target.into(), Report::Retry).map(drop)
    }

    /// Sets a ready or running task aside until [`unblock`](Self::unblock): it waits for something
    /// outside of the graph, a resource or the end of a back-off. Ends the attempt of a running one.
    ///
    /// # Errors
    ///
    /// As [`retry`](Self::retry).
    pub fn block(&self, target: impl Into<Target>) -> Result<(), ChangeError> {
        self.report(target.into(), Report::Block).map(drop)
    }

    /// Makes a blocked task ready again, at its old age.
    ///
    /// # Errors
    ///
    /// [`ChangeError`].
    pub fn unblock(&self, task: TaskId) -> Result<(), ChangeError> {
        self.shared.change(|core, now| core.unblock(task, now))
    }

    /// Starts a particular ready or blocked task. To take the most urgent one, use
    /// [`pop_ready`](Self::pop_ready). Of several that try, one gets the claim.
    ///
    /// # Errors
    ///
    /// [`ChangeError`].
    pub fn start(&self, task: TaskId) -> Result<Claim, ChangeError> {
        self.shared.change(|core, now| core.start_task(task, now).map(|attempt| Claim { task, attempt }))
    }

    /// Calls a task off. Its dependents follow their trigger rules. A running one is asked to stop:
    /// it stays running until its runner reports, and what it reports counts.
    ///
    /// # Errors
    ///
    /// [`LookupError`]. Cancelling a finished task does nothing.
    pub fn cancel(&self, task: TaskId) -> Result<Effects, LookupError> {
        self.shared.change(|core, now| {
            let at = core.find(task)?;
            let mut effects = Effects::default();
            core.cancel_all(vec![at], now, &mut effects);
            Ok(effects)
        })
    }

    /// Calls a task and all that depend on it, directly or not, off, whatever their trigger rules.
    ///
    /// # Errors
    ///
    /// As [`cancel`](Self::cancel).
    pub fn cancel_tree(&self, task: TaskId) -> Result<Effects, LookupError> {
        self.shared.change(|core, now| {
            let at = core.find(task)?;
            let mut slots = core.descendants(at);
            slots.push(at);
            let mut effects = Effects::default();
            core.cancel_all(slots, now, &mut effects);
            Ok(effects)
        })
    }

    /// Calls everything off that is not finished.
    pub fn cancel_all(&self) -> Effects {
        self.shared.change(|core, now| {
            let slots = core.taken().map(|(at, _)| at).collect();
            let mut effects = Effects::default();
            core.cancel_all(slots, now, &mut effects);
            effects
        })
    }

    /// Keeps the graph open while the returned value lives.
    pub fn hold(&self) -> Hold {
        self.shared.core.lock().holds += 1;
        Hold { shared: self.shared.clone() }
    }

    /// Where a task stands.
    ///
    /// # Errors
    ///
    /// [`LookupError`].
    pub fn status(&self, task: TaskId) -> Result<Status, LookupError> {
        let core = self.shared.core.lock();
        core.find(task).map(|at| core.node(at).status)
    }

    /// Whether a task may start now.
    ///
    /// # Errors
    ///
    /// [`LookupError`].
    pub fn is_ready(&self, task: TaskId) -> Result<bool, LookupError> {
        self.status(task).map(|status| status == Status::Ready)
    }

    /// Whether a running task was asked to stop.
    ///
    /// # Errors
    ///
    /// [`LookupError`].
    pub fn is_cancel_requested(&self, task: TaskId) -> Result<bool, LookupError> {
        let core = self.shared.core.lock();
        core.find(task).map(|at| core.node(at).cancelled)
    }

    /// The ready tasks, most urgent first.
    pub fn ready(&self) -> Vec<TaskId> {
        let now = self.shared.clock.now();
        let mut core = self.shared.core.lock();
        core.refresh_ranks();
        let slots: Vec<u32> = core.ready.iter(now).copied().collect();
        core.ids(slots)
    }

    /// What the graph knows of a task.
    ///
    /// # Errors
    ///
    /// [`LookupError`].
    pub fn info(&self, task: TaskId) -> Result<TaskInfo, LookupError> {
        let core = self.shared.core.lock();
        core.find(task).map(|at| core.info(at))
    }

    /// All tasks in the graph, in no order that means anything.
    pub fn tasks(&self) -> Vec<TaskInfo> {
        let core = self.shared.core.lock();
        core.taken().map(|(at, _)| core.info(at)).collect()
    }

    /// The tasks that `task` depends on, finished or not.
    ///
    /// # Errors
    ///
    /// [`LookupError`].
    pub fn dependencies(&self, task: TaskId) -> Result<Vec<TaskId>, LookupError> {
        self.info(task).map(|info| info.dependencies)
    }

    /// The tasks that depend on `task`.
    ///
    /// # Errors
    ///
    /// [`LookupError`].
    pub fn dependents(&self, task: TaskId) -> Result<Vec<TaskId>, LookupError> {
        let core = self.shared.core.lock();
        core.find(task).map(|at| core.ids(core.node(at).dependents.iter().copied()))
    }

    /// The weight of the heaviest path that starts with `task`, its own included: how much work
    /// cannot be done before it is. A hint that may lag behind changes; kept up under
    /// [`Order::CriticalPath`](crate::Order::CriticalPath), else the task's own weight.
    ///
    /// # Errors
    ///
    /// [`LookupError`].
    pub fn rank(&self, task: TaskId) -> Result<u64, LookupError> {
        let mut core = self.shared.core.lock();
        let at = core.find(task)?;
        core.refresh_ranks();
        Ok(core.node(at).rank)
    }

    /// Whether all tasks are finished and nobody holds the graph open.
    pub fn is_finished(&self) -> bool {
        let core = self.shared.core.lock();
        core.unfinished() == 0 && core.holds == 0
    }

    /// How many tasks are in the graph, finished ones included.
    pub fn len(&self) -> usize {
        let core = self.shared.core.lock();
        core.stats.unfinished() + core.stats.finished()
    }

    /// Whether there are no tasks in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Figures, all of one instant.
    pub fn stats(&self) -> Stats {
        self.shared.core.lock().stats
    }

    /// The clock that it follows.
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    fn report(&self, target: Target, report: Report) -> Result<Effects, ChangeError> {
        self.shared.change(|core, now| core.report(target, report, now))
    }
}

impl Shared {
    /// Runs `f` under the lock; then, without it, wakes those who wait and tells the observers.
    pub(crate) fn change<R>(&self, f: impl FnOnce(&mut Core, Instant) -> R) -> R {
        let now = self.clock.now();
        let mut core = self.core.lock();
        let result = f(&mut core, now);
        let woken = std::mem::take(&mut core.woken);
        // Finished and stuck are told to everybody who waits.
        let all = core.stats.running + core.stats.blocked + core.stats.ready == 0 && core.holds == 0;
        let events = core.observed && !core.events.is_empty();
        drop(core);
        // Wakers are user code: a panic in one goes on when the observers have been told.
        let told = catch_unwind(AssertUnwindSafe(|| self.wake(woken, all)));
        if events {
            self.deliver();
        }
        if let Err(panic) = told {
            resume_unwind(panic);
        }
        result
    }

    /// Wakes `n` of those who wait for something to pop, or all.
    pub(crate) fn wake(&self, n: usize, all: bool) {
        if n == 0 && !all {
            return;
        }
        let mut waiters = self.waiters.lock();
        if all {
            waiters.grant_all(|| ());
        } else {
            for _ in 0..n {
                if waiters.grant_front(()).is_err() {
                    break;
                }
            }
        }
    }

    /// Hands the collected events to the observers, unless another thread is at it: that one will
    /// take these too. So events are delivered one at a time and in order.
    fn deliver(&self) {
        let mut core = self.core.lock();
        if std::mem::replace(&mut core.delivering, true) {
            return;
        }
        while let Some(event) = core.events.pop_front() {
            drop(core);
            let mut panics = 0;
            for observer in &self.observers {
                if catch_unwind(AssertUnwindSafe(|| observer(&event))).is_err() {
                    panics += 1;
                }
            }
            core = self.core.lock();
            core.stats.observer_panics += panics;
        }
        core.delivering = false;
    }
}

impl Default for Graph {
    /// [`Graph::new`].
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graph").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.shared.change(|core, _| core.holds -= 1);
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold").finish_non_exhaustive()
    }
}

impl Core {
    fn info(&self, at: u32) -> TaskInfo {
        let node = self.node(at);
        TaskInfo {
            id: self.id(at),
            name: node.name.clone(),
            priority: node.priority,
            status: node.status,
            attempts: node.attempt,
            cancel_requested: node.cancelled,
            weight: node.weight,
            waiting_for: node.waiting_for(),
            dependencies: self.ids(node.waits.iter().map(|wait| wait.on)),
        }
    }
}

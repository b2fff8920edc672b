//! A run under way, and how it went.

use super::{
    Frozen, Plan, TaskRef,
    deques::Deques,
    state::{self, IntoOutcome, State},
    workers::{Runnable, Workers},
};
use crate::task::{Status, TaskId};
use ropewalk_sync::Event;
use std::{fmt, future::IntoFuture, pin::Pin, sync::Arc};

/// One task that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// Which.
    pub task: TaskId,
    /// Its name.
    pub name: Arc<str>,
    /// Why: its error, or the message of its panic.
    pub reason: String,
}

/// How a run went.
#[derive(Clone)]
#[non_exhaustive]
pub struct Report {
    /// Tasks that completed.
    pub completed: usize,
    /// Tasks that failed.
    pub failed: usize,
    /// Tasks that were skipped.
    pub skipped: usize,
    /// Tasks that were cancelled.
    pub cancelled: usize,
    /// The failures, in the order in which they were noticed.
    pub failures: Vec<Failure>,
    plan: Arc<Plan>,
    outcomes: Vec<u8>,
}

/// A run could not be started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The workers take no more runs.
    #[error("the workers were shut down; start the run on others")]
    ShutDown,
}

/// A run ended with failed or cancelled tasks.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", describe(.report))]
#[non_exhaustive]
pub struct RunFailed {
    /// How it went.
    pub report: Box<Report>,
}

fn describe(report: &Report) -> String {
    let counts = format!(
        "{} of {} tasks failed, {} were skipped, {} cancelled",
        report.failed,
        report.outcomes.len(),
        report.skipped,
        report.cancelled
    );
    match report.failures.first() {
        Some(first) => format!("{counts}; first {:?}: {}", first.name, first.reason),
        None => counts,
    }
}

/// A run under way on [`Workers`]. Dropping it does not stop the run.
#[must_use = "wait for the run, or drop this on purpose to let it go on alone"]
pub struct Run {
    job: Arc<dyn Handle>,
}

/// What the handle needs of a job, whatever its body.
trait Handle: Send + Sync {
    fn state(&self) -> &State;
    fn done(&self) -> &Event;
}

struct Job<B> {
    state: State,
    body: B,
    done: Event,
}

impl Frozen {
    /// Starts a run on `workers`. The bodies of tasks that may run at the same time do; those of
    /// higher priority are taken first. A body that panics or returns an error fails its own task
    /// only; trigger rules and failure policies are those of the graph.
    ///
    /// The run goes on when the handle is dropped. Workers that are dropped finish it first.
    ///
    /// # Errors
    ///
    /// [`RunError::ShutDown`].
    pub fn run<B, R>(&self, workers: &Workers, body: B) -> Result<Run, RunError>
    where
        B: Fn(TaskRef<'_>) -> R + Send + Sync + 'static,
        R: IntoOutcome + 'static,
    {
        let job = Arc::new(Job { state: State::new(self.plan.clone()), body, done: Event::new() });
        if self.is_empty() {
            job.done.set();
        }
        let units = job.state.roots().map(|v| (self.plan.level(v), v)).collect::<Vec<_>>();
        workers.start(&(job.clone() as Arc<dyn Runnable>), units)?;
        Ok(Run { job })
    }

    /// Runs on `threads` threads of its own (0: one per core), this one among them, until it is
    /// done. The body may borrow.
    ///
    /// ```
    /// use ropewalk_graph::{Graph, Task};
    /// use std::sync::atomic::{AtomicU64, Ordering};
    ///
    /// let graph = Graph::new();
    /// let a = graph.add(Task::new("a").weight(3));
    /// graph.add(Task::new("b").after(a).weight(4));
    /// let sum = AtomicU64::new(0);
    /// graph.freeze()?.run_scoped(2, |task| { sum.fetch_add(task.weight(), Ordering::Relaxed); })?;
    /// assert_eq!(sum.into_inner(), 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`RunFailed`] when a task failed or was cancelled; all are finished all the same.
    ///
    /// # Panics
    ///
    /// When the operating system refuses a thread.
    pub fn run_scoped<B, R>(&self, threads: usize, body: B) -> Result<Report, RunFailed>
    where
        B: Fn(TaskRef<'_>) -> R + Send + Sync,
        R: IntoOutcome,
    {
        let state = State::new(self.plan.clone());
        let (deques, locals) = Deques::new(super::workers::count(threads));
        deques.inject(state.roots().map(|v| (self.plan.level(v), v)));
        let (state, deques, body) = (&state, &deques, &body);
        let work = move |me: usize, local| {
            let execute = |v: u32, release: &mut dyn FnMut(usize, u32)| {
                if state.execute(v, body, &mut |next| release(state.plan.level(next), next)) {
                    deques.wake_all();
                }
            };
            deques.work(me, &local, execute, || state.left() == 0);
        };
        std::thread::scope(|scope| {
            let mut locals = locals.into_iter().enumerate();
            let first = locals.next();
            for (me, local) in locals {
                scope.spawn(move || work(me, local));
            }
            if let Some((me, local)) = first {
                work(me, local);
            }
        });
        state.report().into_result()
    }
}

impl<B, R> Runnable for Job<B>
where
    B: Fn(TaskRef<'_>) -> R + Send + Sync + 'static,
    R: IntoOutcome + 'static,
{
    fn execute(&self, v: u32, release: &mut dyn FnMut(usize, u32)) {
        let done = self.state.execute(v, &self.body, &mut |next| release(self.state.plan.level(next), next));
        if done {
            self.done.set();
        }
    }
}

impl<B, R> Handle for Job<B>
where
    B: Fn(TaskRef<'_>) -> R + Send + Sync + 'static,
    R: IntoOutcome + 'static,
{
    fn state(&self) -> &State {
        &self.state
    }

    fn done(&self) -> &Event {
        &self.done
    }
}

impl Run {
    /// Parks this thread until the run is done. Do not call it on one of the workers. In async code,
    /// `.await` the run instead.
    ///
    /// # Errors
    ///
    /// [`RunFailed`] when a task failed or was cancelled; all are finished all the same.
    pub fn wait(self) -> Result<Report, RunFailed> {
        self.job.done().wait_blocking();
        self.job.state().report().into_result()
    }

    /// Starts no more tasks; those that have not started are cancelled. Bodies that run see it in
    /// [`TaskRef::is_cancelled`].
    pub fn cancel(&self) {
        self.job.state().cancel();
    }

    /// Whether all tasks are finished.
    pub fn is_finished(&self) -> bool {
        self.job.done().is_set()
    }

    /// How many tasks are not finished.
    pub fn remaining(&self) -> usize {
        self.job.state().left()
    }
}

impl IntoFuture for Run {
    type Output = Result<Report, RunFailed>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            self.job.done().wait().await;
            self.job.state().report().into_result()
        })
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("remaining", &self.remaining()).finish_non_exhaustive()
    }
}

impl Report {
    pub(super) fn new(plan: Arc<Plan>, outcomes: Vec<u8>, failures: Vec<Failure>) -> Self {
        let count = |codes: &[u8]| outcomes.iter().filter(|code| codes.contains(code)).count();
        Self {
            completed: count(&[state::COMPLETED]),
            failed: count(&[state::FAILED, state::PARDONED]),
            skipped: count(&[state::SKIPPED, state::TAINTED]),
            cancelled: count(&[state::CANCELLED]),
            failures,
            plan,
            outcomes,
        }
    }

    pub(super) fn into_result(self) -> Result<Self, RunFailed> {
        if self.failed + self.cancelled == 0 { Ok(self) } else { Err(RunFailed { report: Box::new(self) }) }
    }

    /// How each task ended, in topological order.
    pub fn statuses(&self) -> impl Iterator<Item = (TaskId, Status)> {
        let status = |code: &u8| match *code {
            state::COMPLETED => Status::Completed,
            state::FAILED | state::PARDONED => Status::Failed,
            state::CANCELLED => Status::Cancelled,
            _ => Status::Skipped,
        };
        self.plan.ids.iter().copied().zip(self.outcomes.iter().map(status))
    }

    /// How one task ended; `None` when it was not part of the run. O(tasks).
    pub fn status(&self, task: TaskId) -> Option<Status> {
        self.statuses().find(|&(id, _)| id == task).map(|(_, status)| status)
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report")
            .field("completed", &self.completed)
            .field("failed", &self.failed)
            .field("skipped", &self.skipped)
            .field("cancelled", &self.cancelled)
            .field("failures", &self.failures)
            .finish_non_exhaustive()
    }
}
